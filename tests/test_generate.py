"""`kgan generate`: what is in the rows, and one line for what does not fit."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import kgan
from kgan import presets
from kgan.cli import main
from kgan.plots import labelled_rows

pytestmark = pytest.mark.only_on("torch")

NAMES = ["daisy", "iris", "0"]


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    """Models in files, and two presets that a package could have."""
    folder = tmp_path_factory.mktemp("models")
    flowers = kgan.CGAN(3, 32, channels=1, latent_dim=8, width=0.05)
    flowers.save_to_preset(folder / "packaged" / "flowers", NAMES, {"data": "drawn flowers"})
    flowers.save(folder / "flowers.keras")
    digits = kgan.MMSSIT(10, width=0.05)
    digits.save_to_preset(folder / "packaged" / "digits", card={"licence": "CC0"})
    kgan.CGAN(20, 32, channels=1, latent_dim=8, width=0.05).save_to_preset(folder / "many")
    return folder


@pytest.fixture(autouse=True)
def place(folders, tmp_path, monkeypatch):
    monkeypatch.setattr(presets, "PACKAGED", folders / "packaged")
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def generate(capsys):
    """Function that runs `kgan generate` and returns its exit status, standard output and standard error."""

    def run(*arguments):
        status = main(["generate", *map(str, arguments)])
        found = capsys.readouterr()
        return status, found.out, found.err

    return run


def picture(name="grid.png"):
    with Image.open(name) as image:
        return np.asarray(image)


def latents(count, length=8, seed=0):
    return np.random.default_rng(seed).standard_normal((count, length), "float32")


def test_a_row_for_each_class(generate):
    model = presets.load("flowers")
    assert generate("flowers", "--count", 3) == (0, "grid.png: a row each of daisy, iris, 0\n", "")
    rows = {name: model.generate([label] * 3, latents(3)) for label, name in enumerate(NAMES)}
    np.testing.assert_array_equal(picture(), labelled_rows(rows))
    assert generate("flowers", "--count", 3, "--seed", 7, "--out", "new/seven.PNG")[0] == 0
    rows = {name: model.generate([label] * 3, latents(3, seed=7)) for label, name in enumerate(NAMES)}
    np.testing.assert_array_equal(picture("new/seven.PNG"), labelled_rows(rows))
    assert sorted(os.listdir()) == ["grid.png", "new"] and os.listdir("new") == ["seven.PNG"]


def test_names_go_before_numbers(generate):
    model = presets.load("flowers")
    assert generate("flowers", "--classes", " iris,0,1,", "--count", 2)[1] == "grid.png: a row each of iris, 0\n"
    rows = {"iris": model.generate([1] * 2, latents(2)), "0": model.generate([2] * 2, latents(2))}
    np.testing.assert_array_equal(picture(), labelled_rows(rows))


def test_a_morph_goes_straight_from_one_latent_vector_to_another(generate):
    assert generate("flowers", "--classes", "iris", "--morph", "--count", 5)[0] == 0
    first, last = latents(2).astype("float64")
    between = np.stack([first + (last - first) * step / 4 for step in range(5)]).astype("float32")
    rows = {"iris": presets.load("flowers").generate([1] * 5, between)}
    np.testing.assert_allclose(picture().astype(int), labelled_rows(rows).astype(int), atol=1)


def test_files_of_keras_have_numbers(generate, folders):
    status, out, _ = generate(folders / "flowers.keras", "--classes", "2,0", "--count", 1)
    assert (status, out) == (0, "grid.png: a row each of 2, 0\n")
    model = presets.load("flowers")
    rows = {str(label): model.generate([label], latents(1)) for label in (2, 0)}
    np.testing.assert_array_equal(picture(), labelled_rows(rows))


def test_at_most_sixteen_classes_by_themselves(generate, folders):
    assert generate(folders / "many", "--count", 1)[1].endswith("13, 14, 15\n")
    assert generate(folders / "many", "--count", 1, "--classes", "19")[1].endswith("of 19\n")


@pytest.mark.parametrize("morph", [[], ["--morph"]])
def test_translations_follow_an_image_of_the_class(morph, generate):
    status, _, error = generate(
        "digits", "--images", "digits", "--classes", "3,8", "--count", 4, "--source", "b", *morph
    )
    assert (status, error) == (0, "")
    model = presets.load("digits")
    images, labels = kgan.data.load("digits", "test", image_size=32, channels=3, count=10, seed=0)
    assert sorted(labels) == list(range(10))
    styles = latents(4)
    if morph:
        first, last = latents(2)
        styles = [first + (last - first) * step / 3 for step in range(4)]
    rows = {}
    for label in (3, 8):
        image = images[labels == label]
        rows[str(label)] = np.concatenate([image, model.translate(image, "b", "b", styles)[0]])
    np.testing.assert_allclose(picture().astype(int), labelled_rows(rows).astype(int), atol=1)


@pytest.mark.parametrize("arguments", [[], ["--list"], ["flowers", "--list"]])
def test_the_list(arguments, generate):
    assert generate(*arguments) == (0, "digits: no data named\nflowers: drawn flowers\n", "")
    assert os.listdir() == []


def test_a_list_of_none(generate, tmp_path, monkeypatch):
    monkeypatch.setattr(presets, "PACKAGED", tmp_path)
    assert generate() == (0, "", "the package has no presets\n")


def test_the_list_needs_no_keras():
    code = "import sys; sys.modules['keras'] = None; from kgan.cli import main; sys.exit(main(['generate']))"
    environment = {**os.environ, "PYTHONPATH": str(Path(kgan.__file__).parents[1])}
    subprocess.run([sys.executable, "-c", code], env=environment, check=True, capture_output=True)


@pytest.mark.parametrize(
    "arguments, words",
    [
        (["flower"], "no preset or folder 'flower': those of the package are digits, flowers; did you mean flowers?"),
        (["none.keras"], "no model file 'none.keras'"),
        (
            ["flowers", "--classes", "dasy"],
            "--classes dasy: the classes are daisy, iris, 0, or 0 to 2; did you mean daisy?",
        ),
        (["flowers", "--classes", "3"], "--classes 3: the classes are daisy, iris, 0, or 0 to 2"),
        (["flowers", "--classes", "-1"], "--classes -1: the classes are"),
        (["flowers", "--classes", ","], "--classes names 0 classes: pass 1 to 16"),
        (["MANY", "--classes", ",".join(map(str, range(17)))], "--classes names 17 classes: pass 1 to 16"),
        (["MANY", "--classes", "x"], "18, 19, or 0 to 19"),
        (["flowers", "--count", "0"], "--count 0: pass 1 to 64"),
        (["flowers", "--count", "65"], "--count 65: pass 1 to 64"),
        (["flowers", "--count", "1", "--morph"], "--count 1: pass 2 to 64"),
        (["flowers", "--seed", "-1"], "--seed -1: pass 0 or more"),
        (["flowers", "--out", "grid.jpg"], "--out grid.jpg: pass a name that ends in .png"),
        (["flowers", "--images", "digits"], "--images digits: flowers needs no images; leave them out"),
        (["digits"], "digits translates images: pass some, such as --images digits"),
        (["digits", "--images", "nothing:here"], "nothing:here"),
        (["digits", "--images", "synthetic/shapes"], "pass a data set of images with one class each"),
        (["digits", "--images", "synthetic/faces"], "--images synthetic/faces has no image of class 5"),
    ],
)
def test_one_line_for_what_does_not_fit(arguments, words, generate, folders):
    status, out, error = generate(*(folders / "many" if each == "MANY" else each for each in arguments))
    assert (status, out) == (2, "") and words in error and error.count("\n") == 1
    assert error.startswith("kgan generate: ") and os.listdir() == []


def test_a_picture_that_cannot_be_written(generate):
    Path("taken").write_text("a file")
    status, out, error = generate("flowers", "--count", 1, "--out", "taken/grid.png")
    assert (status, out) == (1, "") and "taken" in error and error.count("\n") == 1
