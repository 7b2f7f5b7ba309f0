"""The recipe on few pictures and tiny networks: what it writes, resumed, and bad input."""

import json
from argparse import Namespace

import mmssit_edges_shoes as recipe
import numpy as np
import pytest
from PIL import Image

TINY = "--width 0.05 --count 60 --test-count 12 --epochs 1 --steps-per-epoch 2".split()


@pytest.mark.only_on("torch")
def test_run_and_resume(start, tmp_path):
    arguments = [*TINY, "--out", tmp_path / "run"]
    assert start(*arguments)[0] == 0
    run = tmp_path / "run"
    metrics = json.loads((run / "metrics.json").read_text())
    assert set(metrics) == {*recipe.DIRECTIONS, "seconds"}
    table = (run / "results.md").read_text()
    for direction in recipe.DIRECTIONS:
        assert f"| {direction} | {metrics[direction]['error']:.1f} |" in table
        with Image.open(run / f"{direction}.png") as image:
            assert min(image.size) > 200 and np.asarray(image).std() > 0
    for name in ("model.keras", "train.csv", "samples/epoch-0001.png"):
        assert (run / name).stat().st_size
    (run / "metrics.json").unlink()
    assert start(*arguments, "--resume")[0] == 0
    again = json.loads((run / "metrics.json").read_text())
    assert again["a2b"] == pytest.approx(metrics["a2b"], rel=1e-4)


def pairs(folder, counts):
    rng = np.random.default_rng(0)
    for name, count in counts.items():
        (folder / name).mkdir(parents=True)
        for i in range(count):
            Image.fromarray(rng.integers(0, 256, (32, 32, 3)).astype("uint8")).save(folder / name / f"{i}.png")
    return ["--data", f"pair:{folder}:a", "--target", f"pair:{folder}:b"]


@pytest.mark.backend_free
def test_two_domains_from_a_folder(tmp_path):
    counts = {"trainA": 20, "trainB": 30, "testA": 9, "testB": 9}
    _, data, _, target = pairs(tmp_path, counts)
    options = Namespace(data=data, target=target, count=20, test_count=100, image_size=32, seed=0)
    assert {d: len(x) for d, x in recipe.two_domains("train", options).items()} == {"a": 20, "b": 20}
    assert {d: x.shape for d, x in recipe.two_domains("test", options).items()} == dict.fromkeys("ab", (9, 32, 32, 3))
    options.count, options.test_count = 21, 8
    assert {d: len(x) for d, x in recipe.two_domains("test", options).items()} == {"a": 8, "b": 8}
    with pytest.raises(ValueError, match="count=21, but the split has only 20"):
        recipe.two_domains("train", options)


@pytest.mark.backend_free
@pytest.mark.parametrize(
    "counts, words",
    [
        ({"trainA": 9, "trainB": 9, "testA": 9, "testB": 8}, "there are 9 of a and 8 of b"),
        ({"trainA": 9, "trainB": 9, "testA": 3, "testB": 3}, "3 test images: at least 8"),
        ({"trainA": 9, "testA": 9}, "no train images of domain 'b'"),
    ],
)
def test_bad_folders(counts, words, start, tmp_path):
    status, error = start(*TINY, "--count", 9, *pairs(tmp_path / "data", counts), "--out", tmp_path / "run")
    assert status == 2 and words in error and error.count("\n") == 1
    assert not (tmp_path / "run").exists()


@pytest.mark.backend_free
def test_outlines():
    """White where nothing changes, black where black meets white."""
    images = -np.ones((1, 16, 16, 3), "float32")
    images[:, :, 8:] = 1
    lines = recipe.outlines(images)
    assert lines.shape == images.shape and (lines[:, :, 7:9] == -1).all()
    assert (lines[:, :, :6] == 1).all() and (lines[:, :, 10:] == 1).all()


class Painter:
    """Makes eight images of one colour each, whatever it is given."""

    def translate(self, images, source, target, samples, seed):
        shades = np.linspace(-1, 1, samples)[None, :, None, None, None]
        return np.broadcast_to(shades, (len(images), samples, *images.shape[1:]))


@pytest.mark.backend_free
def test_measures():
    black, white = (np.full((1, 4, 4, 3), value) for value in (-1.0, 1.0))
    test = {"a": np.concatenate([black, white]), "b": np.concatenate([white, black])}
    found = recipe.measure(Painter(), test, "a2b")
    assert found["least_error"] == pytest.approx(0)  # one of the eight is right
    assert found["error"] == pytest.approx(50)  # shades from one end to the other are half as far as the ends
    assert found["diversity"] == pytest.approx(100 * 3 / 7)  # the mean distance of two of 0, 1/7 ... 1


@pytest.mark.backend_free
def test_outlines_are_a_few_black_lines_on_white():
    """In pictures of little contrast as of much, with a texture or without, whatever lies beside them in the batch."""
    y, x = np.indices((32, 32))
    disc = np.where((y - 16) ** 2 + (x - 16) ** 2 < 80, 1.0, -1.0)
    texture = np.random.default_rng(0).uniform(-1, 1, (32, 32))
    pictures = np.stack([disc, 0.1 * disc, 0.7 * disc + 0.1 * texture, np.ones((32, 32))])
    lines = recipe.outlines(np.repeat(pictures[..., None], 3, axis=-1).astype("float32"))
    assert lines.shape == (4, 32, 32, 3) and lines.dtype == "float32"
    np.testing.assert_allclose(lines[1], lines[0], atol=1e-4)
    np.testing.assert_array_equal(lines[3], 1)
    ring = np.abs(np.hypot(y - 16, x - 16) - 9) < 1
    for picture in lines[:3]:
        assert picture[ring].mean() < -0.4 and picture[~ring].mean() > 0.6
