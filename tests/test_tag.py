"""`kgan tag`: rows for every file, whatever it holds, and runs that can be stopped and continued."""

import csv
import json
import zipfile

import keras
import numpy as np
import pytest
from PIL import Image
from pyarrow import parquet

from kgan.cli import main
from kgan.models.soft_pseudo_labels.networks import build_small
from kgan.soft_pseudo_labels import MultiLabelClassifier

pytestmark = pytest.mark.only_on("torch")

NAMES = ["red", "green", "blue"]


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    """Sees how red, green and blue an image is: the mean of each channel is a logit."""
    image = keras.Input((32, 32, 3))
    classifier = MultiLabelClassifier(3, keras.Model(image, keras.layers.AveragePooling2D(32)(image)), 32)
    classifier.class_names = NAMES
    classifier.network.get_layer("logits").set_weights([4 * np.eye(3), np.zeros(3)])
    classifier.thresholds = [0.5, 0.6, 0.5]
    path = tmp_path_factory.mktemp("model") / "tagger.keras"
    classifier.save(path)
    return path


@pytest.fixture
def photos(tmp_path):
    folder = tmp_path / "photos"
    folder.mkdir()
    for name, colour in {"a": (255, 0, 0), "b": (0, 140, 255), "c": (200, 255, 0), "d": (0, 0, 0)}.items():
        Image.new("RGB", (50, 40), colour).save(folder / f"{name}.png")
    (folder / "e.png").write_bytes(b"")
    (folder / "f.jpg").write_bytes((folder / "a.png").read_bytes()[:60])
    (folder / "g.txt").write_text("no image")
    Image.new("RGBA", (50, 40), (0, 0, 255, 0)).save(folder / "h.png")  # nothing but white is to be seen
    with zipfile.ZipFile(folder.with_suffix(".zip"), "w") as archive:
        archive.write(folder / "b.png", "in/b.png")
    return folder


LABELS = ["red", "blue", "green;red", "", None, None, None, "red;green;blue"]
STATUSES = ["ok"] * 4 + ["empty", "truncated", "not_an_image", "ok"]


def tag(*arguments):
    return main(["tag", *map(str, arguments), "--processes", "1"])


def read(path):
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_rows(model, photos, tmp_path, capsys):
    out = tmp_path / "rows.jsonl"
    assert tag(model, photos, photos.with_suffix(".zip"), "--out", out) == 0
    assert "9 images: 5 with labels, 3 not ok; 9 in this run" in capsys.readouterr().err
    rows = read(out)
    assert [row["labels"] for row in rows] == [*LABELS, "blue"] and [row["status"] for row in rows] == [*STATUSES, "ok"]
    assert rows[-1]["path"].endswith("photos.zip!in/b.png")
    assert list(rows[0]) == ["path", "labels", "score_red", "score_green", "score_blue", "status"]
    expected = 1 / (1 + np.exp(-4 * (np.array([0, 140, 255]) / 127.5 - 1)))
    np.testing.assert_allclose([rows[1][f"score_{name}"] for name in NAMES], expected, atol=2e-6)
    assert rows[4]["score_red"] is None

    assert tag(model, photos, photos.with_suffix(".zip"), "--out", out.with_suffix(".csv")) == 0
    with out.with_suffix(".csv").open() as file:
        table = list(csv.DictReader(file))
    assert [row["labels"] for row in table] == [*(label or "" for label in LABELS), "blue"]

    assert tag(model, photos, photos.with_suffix(".zip"), "--out", out.with_suffix(".parquet")) == 0
    assert parquet.read_table(out.with_suffix(".parquet")).to_pylist() == rows


@pytest.mark.parametrize(
    "options, labels",
    [
        (["--threshold", "0.99"], ["", "", "", ""]),
        (["--threshold", "0.9"], ["red", "blue", "green;red", ""]),
        (["--top-k", "2"], ["red;green", "blue;green", "green;red", "red;green"]),
        (["--top-k", "1", "--threshold", "0.5"], ["red", "blue", "green", ""]),
    ],
)
def test_thresholds_and_top_k(options, labels, model, photos, capsys):
    assert tag(model, *(photos / f"{name}.png" for name in "abcd"), *options) == 0
    assert [json.loads(line)["labels"] for line in capsys.readouterr().out.splitlines()] == labels


def test_a_stopped_run_goes_on(model, photos, tmp_path, capsys):
    straight, stopped = tmp_path / "straight.jsonl", tmp_path / "stopped.jsonl"
    assert tag(model, photos, "--out", straight) == tag(model, photos, "--out", stopped) == 0
    lines = stopped.read_text().splitlines(keepends=True)
    stopped.write_text("".join(lines[:3]) + lines[3][:20])
    assert tag(model, photos, "--out", stopped) == 0
    assert "8 images: 4 with labels, 3 not ok; 5 in this run" in capsys.readouterr().err
    assert stopped.read_text() == straight.read_text()
    assert tag(model, photos, "--out", stopped, "--threshold", "0.7") == 2
    assert "started with other options (threshold)" in capsys.readouterr().err


def test_more_images_than_a_batch(model, tmp_path, capsys):
    for i in range(70):
        Image.new("RGB", (20, 20), (3 * i, 0, 0)).save(tmp_path / f"{i:02d}.png")
    assert tag(model, tmp_path) == 0
    scores = [json.loads(line)["score_red"] for line in capsys.readouterr().out.splitlines()]
    np.testing.assert_allclose(scores, 1 / (1 + np.exp(-4 * (3 * np.arange(70) / 127.5 - 1))), atol=1e-5)


@pytest.mark.parametrize(
    "arguments, words",
    [
        (["nowhere.keras", "."], "no model file 'nowhere.keras'"),
        (["MODEL", ".", "--top-k", "4"], "top_k 4: pass 1 to 3"),
        (["MODEL", ".", "--threshold", "1.5"], "--threshold 1.5: pass a score from 0 to 1"),
        (["MODEL", "*.nothing"], "no file matches"),
        (["BROKEN", "."], "is not a model file"),
        (["OTHER", "."], "holds a Functional, not a MultiLabelClassifier"),
        (["FAILED", "."], "has weights that are no numbers"),
        (["JOINED", "."], "has the class 'green;blue', but semicolons separate labels"),
    ],
)
def test_one_line_for_what_does_not_fit(arguments, words, model, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "broken.keras").write_bytes(b"PK no model")
    build_small(32, 0.125).save(tmp_path / "other.keras")
    failed = keras.saving.load_model(model)
    failed.network.get_layer("logits").set_weights([np.full((3, 3), np.nan), np.zeros(3)])
    failed.save(tmp_path / "failed.keras")
    joined = keras.saving.load_model(model)
    joined.class_names = ["red", "green;blue", "blue"]
    joined.save(tmp_path / "joined.keras")
    names = ("broken", "other", "failed", "joined")
    places = {name.upper(): tmp_path / f"{name}.keras" for name in names} | {"MODEL": model}
    assert tag(*(places.get(argument, argument) for argument in arguments)) == 2
    error = capsys.readouterr().err
    assert words in error and error.count("\n") == 1
