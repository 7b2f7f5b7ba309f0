"""Presets: trained models in folders, some of which come with the package.

The folder of a preset holds three files and nothing else:

- `preset.json`: format, class and arguments of the model, names of its classes, size and SHA-256 of the weights
- `model.weights.h5`: the weights, as Keras writes them, without optimizers
- `card.json`: what is to be known of the model, such as its data, command, figures and licence

A preset of a stranger can be opened: the files hold no code and name neither modules nor paths, and the memory that
they ask for is bounded. This module imports Keras on first use, so that `names` and `read_card` are fast.
"""

import contextlib
import difflib
import hashlib
import inspect
import json
import math
import os
import re
import shutil
import warnings
from pathlib import Path

import kgan
from kgan.runtime.json_files import parse_json
from kgan.runtime.keras_files import class_of

CLASSES = ("CVAEGAN", "CVAE", "CGAN", "FMCGAN", "ACGAN", "MMSSIT", "CDAAE")
PACKAGED = Path(__file__).parent / "preset_files"
FILES = DESCRIPTION, WEIGHTS, CARD = "preset.json", "model.weights.h5", "card.json"
FORMAT = 1
MAX_JSON, MAX_WEIGHTS = 10**6, 500 * 10**6  # bytes
# Largest value of the arguments that sizes of weights grow with. Presets are no larger than the papers' networks, and a
# hostile one cannot ask for more memory than a machine has.
LARGEST = {
    "num_classes": 1000,
    "latent_dim": 1024,
    "style_dim": 1024,
    "content_dim": 1024,
    "width": 1,
    "generator_width": 1,
    "discriminator_width": 1,
}
LONGEST = 16  # entries of a list or dict among the arguments
# Control characters, among them those that change the direction of text, and halves of surrogate pairs.
UNPRINTABLE = re.compile("[\x00-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")


def names():
    """Returns the names of the presets that come with the package.

    Example:

    ```python
    kgan.presets.names()
    ```
    """
    return sorted(path.parent.name for path in PACKAGED.glob(f"*/{DESCRIPTION}"))


def read_card(preset):
    """Returns the card of a preset, a dict of texts, numbers and lists, without loading the model.

    Args:
        preset: as in `HasPresets.from_preset`.

    Raises:
        ValueError: there is no such preset, or its card is damaged.
        FileNotFoundError: it has no card.
    """
    return _read_json(find(preset), CARD)


def load(model):
    """Loads a preset or a `.keras` file of one of the `CLASSES`, ready to generate; it is not compiled.

    Args:
        model: name of a preset in the package, path of the folder of another, or path of a `.keras` file.

    Returns:
        The model. Its `class_names` are None if it comes from a `.keras` file, which does not hold them.

    Raises:
        ValueError: there is no such preset, or a file is damaged or holds another model.
        FileNotFoundError: a file is missing.

    Example:

    ```python
    model.save("digits.keras")
    again = kgan.presets.load("digits.keras")
    ```
    """
    if not os.fspath(model).endswith(".keras"):
        return HasPresets.from_preset(model)
    if not Path(model).is_file():
        raise FileNotFoundError(f"no model file {os.fspath(model)!r}")
    import keras

    _class_of(class_of(model), model)  # also imports it, so that Keras finds it
    try:
        return keras.saving.load_model(model, compile=False)
    except Exception as error:  # of almost any type, on a damaged file
        raise ValueError(f"{model} is not a model file: {_first_line(error)}") from None


class HasPresets:
    """Mixin of the models that have presets: saves them as one, and loads them from one."""

    _class_names = None

    @property
    def class_names(self):
        """List of the names of the classes, in the order of their labels, or None. `save_to_preset` keeps them."""
        return self._class_names and list(self._class_names)

    @class_names.setter
    def class_names(self, names):
        self._class_names = None if names is None else tuple(check_names(names, self.num_classes))

    def save_to_preset(self, folder, class_names=None, card=None):
        """Save the model to a folder that `from_preset` loads on any backend.

        It holds the weights, but neither optimizers nor compilation: `save` writes what training goes on from.

        Args:
            folder: path of a new folder, or of a preset to replace.
            class_names: list of `num_classes` different names. Default: those of the model, if it has any.
            card: dict of texts, numbers and lists or dicts of them: data, command, figures, licence and so on.

        Raises:
            ValueError: the folder exists and is no preset, the class is not one of kgan, the model exceeds the bounds
                of a preset, or names or card are not as above.

        Example:

        ```python
        digits = [str(digit) for digit in range(10)]
        model.save_to_preset("digits_32", digits, card={"data": "digits", "licence": "Apache-2.0"})
        again = kgan.CGAN.from_preset("digits_32")
        ```
        """
        from keras import ops

        from kgan.training import undistributed

        name = type(self).__name__
        if name not in CLASSES or getattr(kgan, name) is not type(self):
            raise ValueError(f"{name} has no presets, only {', '.join(CLASSES)}: save it with its method save.")
        class_names = self.class_names if class_names is None else check_names(class_names, self.num_classes)
        own = ("name", "trainable", "dtype")  # of every layer; a loaded model has the dtype policy of its program
        config = {key: value for key, value in self.get_config().items() if key not in own}
        description = {"format": FORMAT, "class": f"kgan>{name}", "config": config, "class_names": class_names}
        description, card = (json.loads(_json_of(value)) for value in (description, card or {}))
        _check(description, DESCRIPTION)
        _check(card, CARD)

        with _new_folder(Path(folder).resolve()) as temporary:
            # A model of its own, because Keras saves the optimizers of a compiled one with its weights. Outside of a
            # distribution, because there all processes would have to make its variables.
            values = [ops.convert_to_numpy(variable.value) for variable in self.variables]
            with undistributed():
                plain = type(self)(**description["config"])
                for variable, value in zip(plain.variables, values, strict=True):
                    variable.assign(value)
                plain.save_weights(temporary / WEIGHTS)
            _compact(temporary / WEIGHTS)
            size = (temporary / WEIGHTS).stat().st_size
            if size > MAX_WEIGHTS:
                raise ValueError(f"{name} has {size} bytes of weights, and a preset {MAX_WEIGHTS} at most.")
            description["weights"] = {"bytes": size, "sha256": _digest(temporary / WEIGHTS)}
            (temporary / DESCRIPTION).write_text(_json_of(description), encoding="utf-8")
            (temporary / CARD).write_text(_json_of(card), encoding="utf-8")

    @classmethod
    def from_preset(cls, preset):
        """Load a model from a preset.

        Args:
            preset: name of a preset in the package, see `kgan.presets.names`; or path of the folder of another. A name
                goes before a folder of that name, which `./NAME` finds.

        Returns:
            The model, not compiled, with the `class_names` of the preset. It has the dtype policy of the program.

        Raises:
            ValueError: there is no such preset; it holds a model of another class, or is damaged; or it asks for more
                memory than presets may.
            FileNotFoundError: a file of the preset is missing.
        """
        folder = find(preset)
        description = _read_json(folder, DESCRIPTION)
        found = _class_of(description["class"], folder / DESCRIPTION)
        if not issubclass(found, cls):
            right = f"call kgan.{found.__name__}.from_preset"
            raise ValueError(f"{folder} holds a {found.__name__}, not a {cls.__name__}: {right}")
        _check_weights(folder / WEIGHTS, description.get("weights"))
        try:
            model = found(**description["config"])
        except Exception as error:  # of almost any type, for arguments of wrong types
            raise ValueError(f"{folder / DESCRIPTION} describes no {found.__name__}: {_first_line(error)}") from None
        _load_weights(model, folder / WEIGHTS)
        model.class_names = description["class_names"]
        return model


def check_names(class_names, num_classes):
    """Raise a `ValueError` unless there are `num_classes` different names; return them as a list."""
    names = list(class_names)
    if len(names) != num_classes or len(set(names)) < len(names) or not all(isinstance(n, str) and n for n in names):
        raise ValueError(f"class_names {names}: pass {num_classes} different names.")
    return names


# === Reading ===


def find(preset):
    """Returns the folder of a preset, given its name in the package or the path of another.

    Raises:
        ValueError: there is no such preset.
    """
    known = names()
    if preset in known:
        return PACKAGED / preset
    folder = Path(preset)
    if (folder / DESCRIPTION).is_file():
        return folder
    if folder.is_dir():
        raise ValueError(f"{folder} is no preset: it has no {DESCRIPTION}")
    listed = f"those of the package are {', '.join(known)}" if known else "the package has none"
    close = difflib.get_close_matches(os.fspath(preset).strip("/\\ ").lower(), known, n=1)
    hint = f"; did you mean {close[0]}?" if close else ""
    raise ValueError(f"no preset or folder {os.fspath(preset)!r}: {listed}{hint}")


def _read_json(folder, name):
    path = folder / name
    if not path.is_file():
        raise FileNotFoundError(f"{folder} has no {name}: copy the whole preset")
    if path.stat().st_size > MAX_JSON:
        raise ValueError(f"{path} has more than {MAX_JSON} bytes")
    found = parse_json(path.read_bytes(), path)
    _check(found, path)
    return found


def _check(found, path):
    """Raises a ValueError unless `preset.json` or `card.json` holds what it may."""
    if not isinstance(found, dict) or UNPRINTABLE.search("".join(_texts(found))):
        raise ValueError(f"{path} must be a dict without line breaks and control characters")
    if Path(path).name == CARD:
        return
    if found.get("format") != FORMAT:
        raise ValueError(f"{path} has format {found.get('format')!r}; this version of kgan reads format {FORMAT}")
    config, class_names = found.get("config"), found.get("class_names")
    if not isinstance(config, dict) or not isinstance(class_names, list | None):
        raise ValueError(f"{path} is damaged: config must be a dict and class_names a list or null")
    _check_config(_class_of(found.get("class"), path), config, path)
    if class_names is not None:
        try:
            check_names(class_names, config["num_classes"])
        except (ValueError, TypeError):  # TypeError: of a list or dict, which has no hash
            raise ValueError(f"{path}: class_names must be {config['num_classes']} different names") from None


def _check_config(model, config, path):
    """Raises a ValueError unless a model of this class can be built from the arguments in bounded memory."""
    arguments = inspect.signature(model.__init__).parameters.values()
    arguments = {argument.name: argument for argument in arguments if argument.kind is not argument.VAR_KEYWORD}
    del arguments["self"]
    unknown = sorted(config.keys() - arguments)
    missing = [name for name, each in arguments.items() if each.default is each.empty and name not in config]
    if unknown or missing:
        raise ValueError(f"{path}: {model.__name__} has other arguments (unknown: {unknown}, missing: {missing})")
    for name, value in config.items():
        if value is None and arguments[name].default is None:
            continue
        if name in LARGEST and (type(value) not in (int, float) or not 0 < value <= LARGEST[name]):
            raise ValueError(f"{path}: {name} is {value!r}; a preset has a number above 0 and up to {LARGEST[name]}")
        if isinstance(value, list | dict):
            texts = [each for each in value if isinstance(each, str)]
            if len(value) > LONGEST or len(set(texts)) < len(texts):
                raise ValueError(f"{path}: {name} has more than {LONGEST} entries, or one of them twice")


def _texts(found):
    """Yields all texts in what a JSON file holds."""
    waiting = [found]
    while waiting:
        each = waiting.pop()
        if isinstance(each, str):
            yield each
        elif isinstance(each, dict):
            waiting += [*each, *each.values()]
        elif isinstance(each, list):
            waiting += each


def _class_of(registered, path):
    """Returns the class of kgan that has a registered name, such as `kgan>CVAEGAN`."""
    package, _, name = str(registered).partition(">")
    if package != "kgan" or name not in CLASSES:
        raise ValueError(f"{path} holds a model of class {registered!r}; kgan opens only {', '.join(CLASSES)}")
    return getattr(kgan, name)


def _check_weights(path, expected):
    if not path.is_file():
        raise FileNotFoundError(f"{path.parent} has no {path.name}: copy the whole preset")
    size = path.stat().st_size
    if size > MAX_WEIGHTS:
        raise ValueError(f"{path} has {size} bytes; kgan reads {MAX_WEIGHTS} at most")
    if {"bytes": size, "sha256": _digest(path)} != expected:
        raise ValueError(f"{path} is not the file that {DESCRIPTION} describes, or is damaged: copy the preset again")


def _load_weights(model, path):
    import h5py

    sizes = []

    def visit(_, item):
        if isinstance(item, h5py.Dataset):
            # Chunks can be packed, and a packed one can fill the memory, whatever shape the array has.
            if item.shape is None or item.chunks or item.dtype.hasobject or item.dtype.itemsize > 8:
                raise ValueError(f"{item.name} is no plain array of numbers")
            sizes.append(item.size)

    try:
        with h5py.File(path, "r") as file:
            file.visititems(visit)
    except Exception as error:  # of almost any type, on a damaged file
        raise ValueError(f"{path} is not a file of weights: {_first_line(error)}") from None
    # An array without data takes no room in the file, whatever its shape.
    wanted = [math.prod(variable.shape) for variable in model.variables]
    if len(sizes) != len(wanted) or sum(sizes) != sum(wanted):
        described = f"and a {type(model).__name__} of this config has {len(wanted)} of {sum(wanted)}"
        raise ValueError(f"{path} holds {len(sizes)} arrays of {sum(sizes)} numbers, {described}")
    try:
        with warnings.catch_warnings(action="ignore"):  # of what the error below says in one line
            model.load_weights(path)
    except Exception:  # of almost any type
        shapes = f"arrays of other names or shapes than a {type(model).__name__} of this config"
        raise ValueError(f"{path} holds {shapes}") from None


def _digest(path):
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _first_line(error):
    return (str(error).splitlines() or [type(error).__name__])[0]


# === Writing ===


@contextlib.contextmanager
def _new_folder(folder):
    """Yields a temporary folder beside `folder`, which replaces it on success and is deleted on failure.

    Raises:
        ValueError: something else than a preset is at the place of `folder`.
    """
    if folder.exists():
        found = set(os.listdir(folder)) if folder.is_dir() else set()
        if DESCRIPTION not in found or found - set(FILES):
            raise ValueError(f"{folder} exists and is no preset, or holds other files as well: pass another folder")
    folder.parent.mkdir(parents=True, exist_ok=True)
    temporary, old = (folder.with_name(f".{folder.name}.{os.getpid()}.{kind}") for kind in ("tmp", "old"))
    shutil.rmtree(temporary, ignore_errors=True)  # of a killed process of the same number
    temporary.mkdir()
    try:
        yield temporary
        if folder.exists():  # no system call replaces a folder that holds files
            folder.rename(old)
            try:
                temporary.rename(folder)
            except OSError:
                old.rename(folder)
                raise
            shutil.rmtree(old)
        else:
            temporary.rename(folder)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def _compact(path):
    """Rewrites an HDF5 file in the latest format, where a group takes a tenth of the bytes: Keras makes hundreds."""
    import h5py

    whole = path.with_name("compact.h5")
    with h5py.File(path) as old, h5py.File(whole, "w", libver="latest") as new:

        def copy(name, item):
            made = new.create_dataset(name, data=item) if isinstance(item, h5py.Dataset) else new.create_group(name)
            made.attrs.update(item.attrs)

        old.visititems(copy)
    os.replace(whole, path)


def _json_of(value):
    try:
        return json.dumps(value, default=_plain, allow_nan=False, ensure_ascii=False, indent=2) + "\n"
    except ValueError as error:
        raise ValueError(f"a preset and its card hold finite numbers, texts, lists and dicts: {error}") from None


def _plain(value):
    """Numbers and arrays of NumPy as those of Python."""
    if not hasattr(value, "tolist"):
        raise ValueError(f"presets hold texts, numbers, lists and dicts, not a {type(value).__name__}")
    return value.tolist()
