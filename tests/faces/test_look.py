"""Looks in files, and references that cannot be used."""

import zipfile

import numpy as np
import pytest
import skimage.data
from PIL import Image

from kgan.faces.look import SIZE, Unsuitable, load_look, look_of, save_look

pytestmark = pytest.mark.backend_free


@pytest.fixture(scope="module")
def look(astronaut):
    return look_of(astronaut)


def test_there_and_back(look, tmp_path):
    save_look(tmp_path / "red.npz", look)
    again = load_look(tmp_path / "red.npz")
    for one, other in zip(again, look, strict=True):
        np.testing.assert_array_equal(one, other)
    assert [path.name for path in tmp_path.iterdir()] == ["red.npz"]


def test_unsuitable_photos(portrait):
    cases = {
        "no_face": Image.fromarray(skimage.data.chelsea()),
        "too_small": Image.new("RGB", (200, 200), "grey"),
    }
    cases["too_small"].paste(portrait.resize((36, 43), Image.Resampling.LANCZOS), (80, 80))
    for status, photo in cases.items():
        with pytest.raises(Unsuitable) as refused:
            look_of(photo)
        assert refused.value.status == status


def test_files_that_hold_no_look(look, tmp_path):
    sound = {
        "format": 1,
        "lab": look.lab.astype("float16"),
        "visible": np.zeros((SIZE, SIZE), "uint8"),
        "tone": look.tone,
    }
    wrong = {
        "a": (sound | {"lab": sound["lab"][:9]}, "its lab is float16 \\(9, 512, 3\\): expected finite float16"),
        "b": (sound | {"format": 2}, "it has format 2; this version reads format 1"),
        "c": (sound | {"tone": np.full(3, np.nan, "float32")}, "its tone is float32"),
        "d": ({"lab": sound["lab"]}, "format"),
        "e": (sound | {"tone": np.array([{}, 1, 2])}, "allow_pickle"),
        "f": (sound | {"more": np.zeros(SIZE * SIZE * 16, "uint8")}, "it is too large"),
    }
    for name, (arrays, message) in wrong.items():
        path = tmp_path / f"{name}.npz"
        np.savez_compressed(path, **arrays)
        with pytest.raises(ValueError, match=message):
            load_look(path)
    (tmp_path / "text.npz").write_text("no zip")
    with zipfile.ZipFile(tmp_path / "empty.npz", "w"):
        pass
    for name in ("text", "empty"):
        with pytest.raises(ValueError, match="is not a look that kgan saved"):
            load_look(tmp_path / f"{name}.npz")
    with pytest.raises(FileNotFoundError, match="no such file"):
        load_look(tmp_path / "none.npz")
