"""Export a trained generator or translator of images, and compare the pictures of the files with those of Keras.

TensorFlow converts a model trained on any backend. It runs in a separate process, `kgan.export.generator_conversion`.
"""

import json
import os
from pathlib import Path

from kgan import presets
from kgan.export.generator_parity import PicturesChanged
from kgan.export.process import read_keys, replacing, run
from kgan.runtime.keras_files import class_of

FLOATS = ("float32", "float16")
MODELS = (
    *("CVAEGAN", "CVAE", "CGAN", "FMCGAN", "ACGAN"),
    *("GAN", "WGAN", "WGANGP", "FeatureMatchingGAN"),
    *("MMSSIT", "CDAAE"),
)


def export_generator(
    model,
    out,
    quantisation=FLOATS,
    class_names=None,
    licence=None,
    data_card=None,
    max_changed=0.005,
):
    """Convert a trained generator to SavedModel and LiteRT, and compare the files with the Keras model.

    Writes the folder `NAME-saved_model`, one LiteRT file per quantisation (`NAME-float32.tflite`, ...), `report.json`,
    `report.md` and `parity.png`, which shows pictures of Keras above those of each file. NAME is that of the preset, or
    of the model's file, `flowers` for `flowers.keras`.

    The signatures depend on the model:

    | model | signature | inputs | output |
    |---|---|---|---|
    | CVAEGAN, CVAE, CGAN, FMCGAN, ACGAN | `generate` | `latents`, `labels` | `images` |
    | GAN, WGAN, WGANGP, FeatureMatchingGAN | `generate` | `latents` | `images` |
    | MMSSIT, CDAAE | `a_to_b`, `b_to_a` | `images`, `styles` | `images` |
    | | `style_of_a`, `style_of_b` | `images` | `styles` |

    `images` are uint8 `(n, height, width, 1 or 3)`, so that an app shows them as they are, and the report compares what
    is seen. All else is float32: `latents` `(n, latent_dim)` and `styles` `(n, style_dim)` from N(0, 1), `labels`
    `(n, num_classes)` the weight of each class, one-hot or mixed. The SavedModel takes any `n`, a LiteRT file 1: a free
    batch needs more operators. A zip archive with `kgan.json` (class names, shapes of the signatures, licence) is
    appended to a LiteRT file.

    Default values of `class_names`, `licence` and `data_card` come from the preset, or from a JSON file next to the
    model, `NAME.json` for `NAME.keras`, if there is one.

    Args:
        model: name of a preset in the package, path of the folder of another, or path of a `.keras` file of one of the
            models above, saved on any backend. A GAN's samples must be images with values in [-1, 1].
        out: output folder. Files of an earlier export are replaced after everything else has succeeded.
        quantisation: any of `"float32"` and `"float16"`. int8 is for students of the text filter.
        class_names: list of str, one for each class. Default: their numbers.
        licence: str, terms of use of the files.
        data_card: str, description of the training data.
        max_changed: share in [0, 1] of values at which a file may be more than one grey level from Keras (of styles:
            more than 0.01) in any signature. Measured on 200 images, at least one for each class.

    Returns:
        The report, a dict with `model`, `images` (their number) and `files`. `files` has a dict for each of
        `saved_model`, `float32` and `float16` with `name` and `signatures`, a dict for each with `changed` (the share),
        `max_difference` and `mean_difference` in grey levels from 0 to 255, or in a style's own unit. For LiteRT files
        there are `bytes`, and per signature `operators` and `milliseconds` (the median for an image on one thread).

    Raises:
        FileNotFoundError: if there is no such model file.
        ValueError: if an argument is out of range, there is no such preset, or the file holds no model of the above.
        PicturesChanged: if a file differs too much from Keras. Nothing is written.
        RuntimeError: if an operator is not built into LiteRT, or the conversion fails. Nothing is written.

    Example:

    ```python
    kgan.CGAN(num_classes=2, image_size=32, width=0.1).save("pets.keras")
    report = export_generator("pets.keras", "exported", ["float32"], class_names=["cat", "dog"])
    report["files"]["float32"]["signatures"]["generate"]["max_difference"]  # 0 or 1 grey level
    ```
    """
    out = Path(out)
    path, stated = _source(model)
    quantisation = list(dict.fromkeys(quantisation))
    if not quantisation or set(quantisation) - set(FLOATS):
        raise ValueError(f"quantisation={quantisation}: a generator has {' and '.join(FLOATS)}, pass one or both")
    if not 0 <= max_changed <= 1:
        raise ValueError(f"max_changed={max_changed}: pass a share in [0, 1]")
    given = {"class_names": class_names, "licence": licence, "data_card": data_card}
    given = {key: value for key, value in given.items() if value is not None}
    request = {
        "model": str(path.resolve()),
        "name": path.name.removesuffix(".keras"),
        "quantisation": quantisation,
        "card": {"licence": "not stated", "data_card": "not stated"} | stated | given,
        "max_changed": max_changed,
    }
    with replacing(out) as folder:
        (folder / "request.json").write_text(json.dumps(request))
        run("kgan.export.generator_conversion", folder, PicturesChanged)
    return json.loads((out / "report.json").read_text())


def _source(model):
    """Returns the path of a preset or model file, and what comes with it: class names, licence and data card."""
    if not os.fspath(model).endswith(".keras"):
        folder = presets.find(model)
        card = presets.read_card(folder)
        stated = {"licence": card.get("licence"), "data_card": card.get("data")}
        return folder, {key: value for key, value in stated.items() if isinstance(value, str)}
    path = Path(model)
    if not path.is_file():
        raise FileNotFoundError(f"no model file {str(path)!r}")
    if (name := class_of(path).removeprefix("kgan>")) not in MODELS:
        raise ValueError(f"{path} holds a {name}: pass one of {', '.join(MODELS)}")
    return path, read_keys(path.with_suffix(".json"), {"class_names", "licence", "data_card"})
