"""Presets: a model comes back as it was saved, on any backend, and a preset of a stranger is refused in one line."""

import hashlib
import json
import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import h5py
import keras
import numpy as np
import pytest
from model_contract import assert_same, noise, values
from PIL import Image
from sklearn.linear_model import LogisticRegression

import kgan
from kgan import presets
from kgan.models.conditional import ClassConditional
from kgan.models.cvae_gan import networks

pytestmark = pytest.mark.only_on("torch")

NAMES = ["daisy", "iris", "rose"]
CARD = {"data": "drawn flowers", "figures": {"top-1": 96.5, "seeds": [0, 1]}, "licence": "Apache-2.0"}
DOMAINS = ("MMSSIT", "CDAAE")


def make(name="CGAN", **options):
    if name in DOMAINS:
        return getattr(kgan, name)(num_classes=3, width=0.05, **options)
    return getattr(kgan, name)(num_classes=3, image_size=32, channels=1, latent_dim=8, width=0.05, **options)


def pictures(model):
    if hasattr(model, "translate"):
        return model.translate(noise((2, 32, 32, 3), salt=1), "a", "b", samples=2, seed=3)
    return model.generate([0, 2], seed=3)


def train(model):
    model.compile()
    model.fit(noise((6, 32, 32, 1), salt=2), np.arange(6) % 3, verbose=0)


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    """A preset of a CGAN, and its model."""
    keras.utils.set_random_seed(1)
    model, folder = make(), tmp_path_factory.mktemp("presets") / "flowers_32"
    model.save_to_preset(folder, NAMES, CARD)
    return folder, model


@pytest.fixture
def preset(saved, tmp_path):
    """A copy of the preset, to be changed."""
    return Path(shutil.copytree(saved[0], tmp_path / "flowers_32"))


@pytest.fixture
def packaged(saved, tmp_path, monkeypatch):
    """The package has two presets."""
    folder = tmp_path / "preset_files"
    for name in ("flowers_32", "mnist_32"):
        shutil.copytree(saved[0], folder / name)
    monkeypatch.setattr(presets, "PACKAGED", folder)
    monkeypatch.chdir(tmp_path)
    return folder


def change(preset, **values):
    """Rewrites entries of `preset.json`; those of `config` one by one."""
    path = preset / "preset.json"
    description = json.loads(path.read_text())
    description["config"].update(values.pop("config", {}))
    path.write_text(json.dumps(description | values))


def sign(preset):
    """Makes `preset.json` fit the weights, as a stranger can."""
    data = (preset / "model.weights.h5").read_bytes()
    change(preset, weights={"bytes": len(data), "sha256": hashlib.sha256(data).hexdigest()})


def refused(preset, words, error=ValueError, model=kgan.CGAN):
    with pytest.raises(error) as caught:
        model.from_preset(preset)
    assert words in str(caught.value) and "\n" not in str(caught.value)


# === A model comes back ===


def test_every_class_with_presets_is_known():
    found = {name for name in kgan._MODULE_OF if issubclass(getattr(kgan, name), presets.HasPresets)}
    assert set(presets.CLASSES) == found


@pytest.mark.parametrize("name", presets.CLASSES)
def test_a_model_comes_back_exactly(name, tmp_path, monkeypatch):
    monkeypatch.setattr(networks, "_inception", lambda x, w, *channels: x)  # GoogLeNet takes long to build
    model = make(name)
    for salt, weight in enumerate(model.weights):  # statistics of batch norm, too, which are the same in new models
        weight.assign(weight + 0.1 * np.abs(noise(tuple(weight.shape), salt)))
    model.save_to_preset(tmp_path / "preset", NAMES, CARD)
    assert sorted(os.listdir(tmp_path / "preset")) == ["card.json", "model.weights.h5", "preset.json"]
    keras.utils.set_random_seed(5)
    again = type(model).from_preset(tmp_path / "preset")
    assert type(again) is type(model) and not again.compiled
    assert_same(model.variables, values(again.variables))
    np.testing.assert_array_equal(pictures(again), pictures(model))
    own = {"name", "trainable", "dtype"}
    for key, value in model.get_config().items():
        assert key in own or again.get_config()[key] == value
    assert pictures(model).std() > 0.01
    assert again.class_names == NAMES and kgan.presets.read_card(tmp_path / "preset") == CARD


@pytest.mark.only_on("tensorflow", "jax", "torch")
def test_the_optimizers_stay_out(saved, tmp_path):
    folder, model = saved
    twin = kgan.CGAN.from_preset(folder)
    train(twin)
    for old, new in zip(model.variables, twin.variables, strict=True):
        new.assign(old.value)
    twin.save_to_preset(tmp_path / "trained")
    size = (folder / "model.weights.h5").stat().st_size
    assert (tmp_path / "trained" / "model.weights.h5").stat().st_size == size
    assert json.loads((tmp_path / "trained" / "preset.json").read_text())["class_names"] == NAMES


def test_a_dict_of_weights_comes_back(tmp_path):
    weights = {"label": 10, "style_recovery": (0.25, 1)}
    make("MMSSIT", weights=weights, share=(4,)).save_to_preset(tmp_path / "preset")
    again = kgan.MMSSIT.from_preset(tmp_path / "preset")
    assert again._weight["style_recovery"] == (0.25, 1.0) and again._weight["label"] == (10.0, 10.0)
    assert again.share == (4,) and again.class_names is None


def test_numbers_of_numpy(tmp_path):
    model = kgan.CGAN(np.array([0, 1, 2]).max() + 1, 32, channels=1, latent_dim=8, width=np.float32(0.05))
    model.save_to_preset(tmp_path / "preset", np.array(NAMES), {"top-1": np.float32(0.5), "seeds": np.arange(2)})
    config = json.loads((tmp_path / "preset" / "preset.json").read_text())["config"]
    assert config["num_classes"] == 3 and config["width"] == pytest.approx(0.05)
    assert presets.read_card(tmp_path / "preset") == {"top-1": 0.5, "seeds": [0, 1]}
    assert kgan.CGAN.from_preset(tmp_path / "preset").class_names == NAMES


@pytest.mark.parametrize("policy", ["mixed_bfloat16", "bfloat16"])
def test_dtype_policies(policy, tmp_path):
    keras.config.set_dtype_policy(policy)
    try:
        model = make()
        model.save_to_preset(tmp_path / "preset")
        same = kgan.CGAN.from_preset(tmp_path / "preset")
    finally:
        keras.config.set_dtype_policy("float32")
    np.testing.assert_array_equal(pictures(same), pictures(model))
    assert "bfloat16" not in (tmp_path / "preset" / "preset.json").read_text()
    again = kgan.CGAN.from_preset(tmp_path / "preset")
    layers = [layer for network in (again.generator, again.discriminator) for layer in network.layers]
    assert {layer.dtype_policy.name for layer in [again, *layers]} == {"float32"}
    for old, new in zip(values(model.weights), values(again.weights), strict=True):
        assert new.dtype == "float32"
        np.testing.assert_array_equal(old.astype("float32"), new)


LOAD = """
import numpy as np, sys, kgan
model = kgan.presets.load(sys.argv[1])
assert model.class_names == ["daisy", "iris", "rose"]
np.save(sys.argv[2], model.generate([0, 2], seed=3))
"""


def test_another_backend_draws_the_same(saved, tmp_path):
    pytest.importorskip("jax")
    folder, model = saved
    root = str(Path(kgan.__file__).parents[1])
    path = os.pathsep.join([root, os.environ.get("PYTHONPATH", "")])
    environment = {**os.environ, "KERAS_BACKEND": "jax", "PYTHONPATH": path}
    command = [sys.executable, "-c", LOAD, str(folder), str(tmp_path / "images.npy")]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    np.testing.assert_allclose(np.load(tmp_path / "images.npy"), pictures(model), atol=1e-5)


def test_a_base_class_loads_any_of_its_own(saved):
    assert type(ClassConditional.from_preset(saved[0])) is kgan.CGAN
    refused(saved[0], "holds a CGAN, not a CVAE: call kgan.CGAN.from_preset", model=kgan.CVAE)
    refused(saved[0], "holds a CGAN, not a CVAEGAN", model=kgan.CVAEGAN)


# === Saving ===


def test_an_older_preset_is_replaced(preset):
    model = make("ACGAN")
    model.save_to_preset(preset)
    assert type(presets.load(preset)) is kgan.ACGAN and presets.read_card(preset) == {}
    assert os.listdir(preset.parent) == ["flowers_32"]


@pytest.mark.parametrize("found", ["none", "others", "more", "file"])
def test_what_is_no_preset_stays(found, preset, tmp_path):
    if found == "more":
        (preset / "notes.txt").write_text("mine")
    elif found == "file":
        shutil.rmtree(preset)
        preset.write_text("mine")
    else:
        shutil.rmtree(preset)
        preset.mkdir()
        if found == "others":
            (preset / "notes.txt").write_text("mine")
    before = sorted(preset.rglob("*"))
    with pytest.raises(ValueError, match="exists and is no preset, or holds other files"):
        make().save_to_preset(preset)
    assert sorted(preset.rglob("*")) == before and os.listdir(tmp_path) == ["flowers_32"]


def test_a_failure_leaves_the_older_preset_and_nothing_else(preset, monkeypatch):
    before = {path.name: path.read_bytes() for path in preset.iterdir()}

    def full(self, path):
        Path(path).write_bytes(b"half")
        raise OSError("disk full")

    model = make()
    with monkeypatch.context() as patch:
        patch.setattr(kgan.CGAN, "save_weights", full)
        with pytest.raises(OSError, match="disk full"):
            model.save_to_preset(preset)
        with pytest.raises(OSError, match="disk full"):
            model.save_to_preset(preset.parent / "new")
    rename = Path.rename

    def refuses(self, target):
        if self.name.endswith(".tmp"):
            raise OSError("no rename")
        return rename(self, target)

    with monkeypatch.context() as patch:
        patch.setattr(Path, "rename", refuses)
        with pytest.raises(OSError, match="no rename"):
            model.save_to_preset(preset)
    assert {path.name: path.read_bytes() for path in preset.iterdir()} == before
    assert os.listdir(preset.parent) == ["flowers_32"]


class Other(kgan.CGAN):
    pass


@pytest.mark.parametrize(
    "call, words",
    [
        (lambda folder: make().save_to_preset(folder, ["daisy"]), "pass 3 different names"),
        (lambda folder: make().save_to_preset(folder, ["a", "b", "a"]), "pass 3 different names"),
        (lambda folder: make().save_to_preset(folder, ["a", "b", "c\nd"]), "without line breaks"),
        (lambda folder: make().save_to_preset(folder, card=["data"]), "must be a dict"),
        (lambda folder: make().save_to_preset(folder, card={"data": object()}), "not a object"),
        (lambda folder: make().save_to_preset(folder, card={"loss": float("nan")}), "not JSON compliant"),
        (lambda folder: kgan.CGAN(3, 32, width=2.0).save_to_preset(folder), "width is 2.0"),
        (lambda folder: Other(3, 32, width=0.05).save_to_preset(folder), "Other has no presets"),
        (lambda folder: setattr(make(), "class_names", ["daisy"]), "pass 3 different names"),
    ],
)
def test_what_cannot_be_saved(call, words, tmp_path):
    with pytest.raises(ValueError, match=words):
        call(tmp_path / "preset")
    assert os.listdir(tmp_path) == []


def test_bounds_of_the_files(preset, tmp_path, monkeypatch):
    monkeypatch.setattr(presets, "MAX_WEIGHTS", 10_000)
    with pytest.raises(ValueError, match="a preset 10000 at most"):
        make().save_to_preset(tmp_path / "new")
    assert os.listdir(tmp_path) == ["flowers_32"]
    refused(preset, "kgan reads 10000 at most")
    (preset / "preset.json").write_text(" " * (presets.MAX_JSON + 1))
    refused(preset, "has more than 1000000 bytes")


# === Names ===


def test_presets_of_the_package(packaged, saved):
    assert presets.names() == ["flowers_32", "mnist_32"]
    assert presets.read_card("mnist_32") == CARD
    assert_same(saved[1].variables, values(kgan.CGAN.from_preset("mnist_32").variables))
    shutil.rmtree(packaged)
    assert presets.names() == []
    refused("mnist_32", "no preset or folder 'mnist_32': the package has none")


@pytest.mark.parametrize("name", ["Mnist_32", "mnist_32/", "mnist32", "MNIST_32 ", "./mnist_32"])
def test_names_that_are_nearly_one(name, packaged):
    refused(
        name, f"no preset or folder {name!r}: those of the package are flowers_32, mnist_32; did you mean mnist_32?"
    )


def test_a_name_goes_before_a_folder(packaged, tmp_path):
    make("ACGAN").save_to_preset("mnist_32")
    assert type(presets.load("mnist_32")) is kgan.CGAN
    for own in ("./mnist_32", "mnist_32/", Path("mnist_32"), tmp_path / "mnist_32"):
        assert type(presets.load(own)) is kgan.ACGAN


@pytest.mark.parametrize(
    "name", ["../mnist_32", "flowers_32/../mnist_32", "..", "", "/", "x", "a\0b", "*", "preset.json"]
)
def test_a_name_does_not_lead_through_the_package(name, packaged, tmp_path, monkeypatch):
    below = tmp_path / "below"
    below.mkdir()
    monkeypatch.chdir(below)
    with pytest.raises(ValueError, match="no preset"):
        presets.load(name)
    with pytest.raises(ValueError, match="no preset"):
        presets.read_card(name)


# === Presets of strangers ===


@pytest.mark.parametrize("name", presets.FILES)
def test_a_missing_file(name, preset):
    (preset / name).unlink()
    if name == "card.json":
        assert type(presets.load(preset)) is kgan.CGAN
        with pytest.raises(FileNotFoundError, match="has no card.json"):
            presets.read_card(preset)
    elif name == "preset.json":
        refused(preset, "is no preset: it has no preset.json")
    else:
        refused(preset, "has no model.weights.h5: copy the whole preset", FileNotFoundError)


def test_damaged_weights(preset):
    path = preset / "model.weights.h5"
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)
    refused(preset, "is not the file that preset.json describes, or is damaged")
    path.write_bytes(data[:-100])
    refused(preset, "is not the file that preset.json describes, or is damaged")
    sign(preset)
    refused(preset, "is not a file of weights")
    change(preset, weights=None)
    refused(preset, "is not the file that preset.json describes")


def drop(file):
    del file["generator/layers/dense/vars/0"]


def add(file):
    file["generator/layers/dense_9/vars/0"] = np.zeros(3, "float32")


def rename(file):
    file.move("generator/layers/dense/vars/0", "generator/layers/dense/vars/1")


def reshape(file):
    drop(file)
    file["generator/layers/dense/vars/0"] = np.zeros((2, 2), "float32")


def flatten(file):
    values = file["generator/layers/dense/vars/0"][()].ravel()
    drop(file)
    file["generator/layers/dense/vars/0"] = values


def bomb(file):
    drop(file)
    file.create_dataset("generator/layers/dense/vars/0", (2**20, 2**20), "float32", chunks=(256, 256))


def unwritten(file):
    drop(file)
    file.create_dataset("generator/layers/dense/vars/0", (2**20, 2**20), "float32")


def pack(file):
    """Its chunk could hold more than the array."""
    values = file["generator/layers/dense/vars/0"][()]
    drop(file)
    file.create_dataset("generator/layers/dense/vars/0", data=values, compression="gzip")


def empty(file):
    drop(file)
    file["generator/layers/dense/vars/0"] = h5py.Empty("f4")


def link(file):
    drop(file)
    file["generator/layers/dense/vars/0"] = h5py.ExternalLink("other.h5", "/data")


def words(file):
    drop(file)
    file["generator/layers/dense/vars/0"] = "import os"


def texts(file):
    shape = file["generator/layers/dense/vars/0"].shape
    drop(file)
    file["generator/layers/dense/vars/0"] = np.zeros(shape, "S9")


@pytest.mark.parametrize(
    "tamper, message",
    [
        (drop, "arrays of"),
        (add, "arrays of"),
        (rename, "arrays of other names or shapes than a CGAN"),
        (reshape, "numbers, and a CGAN of this config has"),
        (flatten, "arrays of other names or shapes than a CGAN"),
        (bomb, "vars/0 is no plain array of numbers"),
        (unwritten, "numbers, and a CGAN of this config has"),
        (pack, "vars/0 is no plain array of numbers"),
        (empty, "vars/0 is no plain array of numbers"),
        (link, "arrays of"),
        (words, "vars/0 is no plain array of numbers"),
        (texts, "vars/0 is no plain array of numbers"),
    ],
)
def test_weights_of_another_model(tamper, message, preset):
    with h5py.File(preset / "model.weights.h5", "a") as file:
        tamper(file)
    sign(preset)
    refused(preset, message)


@pytest.mark.parametrize(
    "values, words",
    [
        ({"format": 2}, "has format 2; this version of kgan reads format 1"),
        ({"format": None}, "has format None"),
        ({"class": "kgan>GAN"}, "holds a model of class 'kgan>GAN'; kgan opens only CVAEGAN, "),
        ({"class": "kgan>AdversarialModel"}, "holds a model of class 'kgan>AdversarialModel'"),
        ({"class": "os>system"}, "holds a model of class 'os>system'"),
        ({"class": "CGAN"}, "holds a model of class 'CGAN'"),
        ({"class": ["kgan>CGAN"]}, "holds a model of class ['kgan>CGAN']"),
        ({"class": "kgan>__getattr__"}, "holds a model of class 'kgan>__getattr__'"),
        ({"class_names": ["a", "b"]}, "class_names must be 3 different names"),
        ({"class_names": [["a"], "b", "c"]}, "class_names must be 3 different names"),
        ({"class_names": "abc"}, "class_names a list or null"),
        ({"class_names": ["\x1b[2J", "b", "c"]}, "without line breaks and control characters"),
        ({"config": {"num_classes": 10**9}}, "num_classes is 1000000000"),
        ({"config": {"num_classes": 1001}}, "up to 1000"),
        ({"config": {"num_classes": "3"}}, "num_classes is '3'"),
        ({"config": {"num_classes": True}}, "num_classes is True"),
        ({"config": {"num_classes": 2.5}, "class_names": None}, "describes no CGAN"),
        ({"config": {"latent_dim": 10**10}}, "latent_dim is 10000000000"),
        ({"config": {"latent_dim": -1}}, "latent_dim is -1"),
        ({"config": {"width": 3.9}}, "width is 3.9"),
        ({"config": {"generator_width": 3.9}}, "generator_width is 3.9"),
        ({"config": {"discriminator_width": 3.9}}, "discriminator_width is 3.9"),
        ({"config": {"width": [1]}}, "width is [1]"),
        ({"config": {"image_size": 10**6}}, "describes no CGAN: image_size=1000000"),
        ({"config": {"image_size": [32]}}, "describes no CGAN"),
        ({"config": {"channels": 10**9}}, "describes no CGAN: channels=1000000000"),
        ({"config": {"dtype": {"class_name": "DTypePolicy", "config": {}}}}, "unknown: ['dtype']"),
        ({"config": {"generator": {"class_name": "Lambda"}}}, "unknown: ['generator']"),
        ({"config": {"self": 1}}, "unknown: ['self']"),
        ({"config": {"kwargs": {}}}, "unknown: ['kwargs']"),
    ],
)
def test_descriptions_of_strangers(values, words, preset):
    change(preset, **values)
    refused(preset, words)


@pytest.mark.parametrize(
    "name, config, words",
    [
        ("FMCGAN", {"feature_layers": ["classifier_conv1"] * 2}, "feature_layers has more than 16 entries, or one"),
        ("FMCGAN", {"lambdas": [1.0] * 17}, "lambdas has more than 16 entries"),
        ("FMCGAN", {"feature_layers": [5]}, "describes no FMCGAN"),
        ("MMSSIT", {"content_dim": 10**8}, "content_dim is 100000000"),
        ("MMSSIT", {"style_dim": 10**8}, "style_dim is 100000000"),
        ("MMSSIT", {"weights": {"class_name": "Lambda", "config": {}}}, "describes no MMSSIT"),
    ],
)
def test_arguments_of_other_models(name, config, words, tmp_path):
    make(name).save_to_preset(tmp_path / "preset")
    change(tmp_path / "preset", config=config)
    refused(tmp_path / "preset", words, model=getattr(kgan, name))


@pytest.mark.parametrize("text", ["", "[]", "{", "null", '{"format": NaN}', "\xff", '{"format": 1}', "[" * 10**5])
def test_a_description_that_is_none(text, preset):
    (preset / "preset.json").write_bytes(text.encode("latin-1"))
    refused(preset, "preset.json")


def test_too_few_arguments(preset):
    description = json.loads((preset / "preset.json").read_text())
    del description["config"]["num_classes"]
    (preset / "preset.json").write_text(json.dumps(description))
    refused(preset, "missing: ['num_classes']")


# === Files of Keras ===


def test_keras_files(tmp_path, monkeypatch):
    model = make("ACGAN")
    train(model)
    model.save(tmp_path / "model.keras")
    again = presets.load(tmp_path / "model.keras")
    assert type(again) is kgan.ACGAN and again.class_names is None and not again.compiled
    np.testing.assert_array_equal(pictures(again), pictures(model))
    with pytest.raises(FileNotFoundError, match="no model file 'none.keras'"):
        presets.load("none.keras")
    (tmp_path / "broken.keras").write_bytes(b"PK no model")
    with pytest.raises(ValueError, match="broken.keras is not a model that Keras can read"):
        presets.load(tmp_path / "broken.keras")
    keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)]).save(tmp_path / "other.keras")
    with pytest.raises(ValueError, match="holds a model of class None|holds a model of class 'Sequential'"):
        presets.load(tmp_path / "other.keras")
    with zipfile.ZipFile(tmp_path / "half.keras", "w") as archive:
        archive.writestr("config.json", json.dumps({"registered_name": "kgan>CGAN"}))
    with pytest.raises(ValueError, match="half.keras is not a model file"):
        presets.load(tmp_path / "half.keras")
    for config in ({"class_name": "CGAN"}, {"class_name": "kgan>CGAN", "registered_name": None}):
        with zipfile.ZipFile(tmp_path / "foreign.keras", "w") as archive:
            archive.writestr("config.json", json.dumps(config))
        with pytest.raises(ValueError, match="holds a model of class 'CGAN'; kgan opens only"):
            presets.load(tmp_path / "foreign.keras")
    with zipfile.ZipFile(tmp_path / "deflated.keras", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("config.json", json.dumps({"registered_name": "kgan>CGAN", "config": list(range(1000))}))
    data = bytearray((tmp_path / "deflated.keras").read_bytes())
    data[100:300] = bytes(200)
    (tmp_path / "deflated.keras").write_bytes(data)
    with pytest.raises(ValueError, match="deflated.keras is not a model that Keras can read"):
        presets.load(tmp_path / "deflated.keras")


# === Those of the package ===


@pytest.mark.parametrize("name", presets.names())
def test_packaged(name):
    """Each has a card. A simple classifier of real digits or drawn flowers recognises what it makes."""
    card = presets.read_card(name)
    assert {"data", "command", "figures", "licence", "made with", "weights"} <= set(card)
    model = presets.load(name)
    flowers = "flowers" in name
    data, small = ("synthetic/flowers", thumbnails) if flowers else ("digits", coarse)
    assert model.class_names == kgan.data.class_names(data)
    wanted = np.repeat(np.arange(model.num_classes), 20)
    made = there_and_back(model, wanted) if hasattr(model, "translate") else model.generate(wanted, seed=0)
    options = {"image_size": model.image_size, "channels": made.shape[-1], "count": 1200 if flowers else None}
    images, labels = kgan.data.load(data, **options)
    judge = LogisticRegression(max_iter=1000).fit(small(images), labels)
    # Chance is 0.1 or less. The digits were scanned otherwise than MNIST's.
    assert judge.score(small(made), wanted) > 0.5
    assert made.reshape(model.num_classes, 20, -1).std(axis=1).mean() > 0.1  # no two of a class alike


def there_and_back(translator, wanted):
    """Given white digits on black, taken to the translator's first domain and back."""
    white = np.repeat(kgan.CVAEGAN.from_preset("mnist_32").generate(wanted, seed=0), 3, axis=-1)
    grounds = translator.translate(white, "b", "a", samples=2, seed=0)
    assert np.abs(grounds[:, 0] - grounds[:, 1]).mean() > 0.1  # each style has its own ground
    return translator.translate(grounds[:, 0], "a", "b", samples=1, seed=1)[:, 0]


def test_the_package_stays_small():
    files = list(presets.PACKAGED.glob("*/*"))
    assert {path.name for path in files} == set(presets.FILES)
    assert sum(path.stat().st_size for path in files) < 8e6


def thumbnails(images):
    """Each image in 8x8 pixels, `(n, 192)`, in [-1, 1]."""
    blocks = images.reshape(len(images), 8, images.shape[1] // 8, 8, images.shape[2] // 8, images.shape[3])
    return blocks.mean(axis=(2, 4)).reshape(len(images), -1)


def coarse(images):
    """The brightest part of each image in 8x8 pixels: a digit fills it, whatever its margin."""
    found = []
    for image in ((images.max(axis=-1) + 1) * 127.5).astype("uint8"):
        rows, columns = (np.flatnonzero((image > 100).any(axis=axis)) for axis in (1, 0))
        box = columns[0], rows[0], columns[-1] + 1, rows[-1] + 1
        found.append(np.asarray(Image.fromarray(image).crop(box).resize((8, 8), Image.Resampling.BOX)).ravel())
    return np.array(found, "float32") / 255


def test_listing_needs_no_keras(packaged):
    code = "import sys; sys.modules['keras'] = None; from kgan import presets; presets.names(); presets.find"
    root = str(Path(kgan.__file__).parents[1])
    subprocess.run([sys.executable, "-c", code], env={**os.environ, "PYTHONPATH": root}, check=True)
