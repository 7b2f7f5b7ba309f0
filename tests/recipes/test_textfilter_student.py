import json

import keras
import numpy as np
import pytest
import textfilter_student as recipe
from PIL import Image

from kgan import metrics, text_filter
from kgan.data.scenes.painter import draw_scenes
from kgan.data.text.crops import Photographs, draw_crops
from kgan.data.text.photos import read_photos
from kgan.filter.decoding import to_bucket

TINY = ["--count", "40", "--test-count", "20", "--epochs", "1"]


@pytest.mark.only_on("tensorflow")
def test_a_run_writes_a_student_with_its_card(start, tmp_path):
    out = tmp_path / "run"
    assert start(*TINY, "--seed", 3, "--out", out)[0] == 0
    # The shapes have scenes of their own, which depend on the seed alone.
    images = np.load(out / "scenes" / "train-240x360.images.npy")
    labels = np.load(out / "scenes" / "train-240x360.labels.npy")
    cells = np.load(out / "scenes" / "train-240x360.cells.npy")
    drawn, polygons = draw_scenes(len(images), (240, 360), 3 + 1)
    np.testing.assert_array_equal(images, drawn)
    np.testing.assert_array_equal(labels, [text_filter.region_labels(lines, (240, 360)) for lines in polygons])
    np.testing.assert_array_equal(cells, [recipe.text_cells(lines, (240, 360)) for lines in polygons])
    assert cells.any(axis=(1, 2)).tolist() == [bool(lines) for lines in polygons]

    card = json.loads((out / "student.json").read_text())
    assert set(card) == {"thresholds", "licence", "data_card"} and "40 drawn scenes" in card["data_card"]
    student = keras.saving.load_model(out / "student.keras")
    test = [
        (np.load(p), np.load(str(p).replace("images", "labels"))) for p in sorted(out.glob("scenes/test-*.images.npy"))
    ]
    # Its kernels are those of int8, to which nothing has to be rounded.
    before = [layer.kernel.numpy() for layer in student.layers if hasattr(layer, "kernel")]
    student.round_kernels()
    after = [layer.kernel.numpy() for layer in student.layers if hasattr(layer, "kernel")]
    for one, other in zip(before, after, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-5)
    scores = np.concatenate([student.score(images) for images, _ in test])
    text = np.concatenate([labels.max(axis=1) > 0 for _, labels in test])
    point = json.loads((out / "metrics.json").read_text())["drawn scenes"]["best_f"]
    assert (scores >= point["threshold"] - 1e-6)[text].mean() == pytest.approx(point["recall"])
    assert (scores >= card["thresholds"]["best_f"])[text].mean() == pytest.approx(point["recall"])
    assert (scores >= card["thresholds"]["recall"]["0.97"])[text].mean() >= 0.97

    # Scenes and epochs that are there are not made again.
    before = {path: path.stat().st_mtime_ns for path in out.rglob("*.npy")}
    rows = (out / "train.csv").read_text()
    assert start(*TINY, "--seed", 3, "--out", out, "--resume")[0] == 0
    assert before == {path: path.stat().st_mtime_ns for path in out.rglob("*.npy")}
    assert rows == (out / "train.csv").read_text()


@pytest.fixture
def indexed(tmp_path):
    """Photographs with an index, of two sources: drawn scenes, whose text is known."""
    folder, rows, boxes = tmp_path / "photos", ["file,source,licence,doubt,has_text,group"], {}
    folder.mkdir()
    images, polygons = draw_scenes(60, (100, 150), seed=9)
    for i, (image, lines) in enumerate(zip(images, polygons, strict=True)):
        Image.fromarray(image).save(folder / f"{i}.png")
        rows.append(f"{i}.png,{'ab'[i % 3 == 2]},CC0 1.0,,{'yes' if lines else 'no'},{i}")
        boxes[f"{i}.png"] = {"quads": [np.clip(line, 0, (150, 100)).tolist() for line in lines]}
    (folder / "index.csv").write_text("\n".join(rows))
    (folder / "boxes.json").write_text(json.dumps(boxes))
    return folder


@pytest.mark.only_on("tensorflow")
def test_labelled_photographs_are_learned_and_measured(start, tmp_path, indexed):
    out = tmp_path / "run"
    assert start(*TINY, "--crops", 30, "--photos", indexed, "--out", out)[0] == 0
    crops = np.load(out / "scenes" / "crops-240x360.images.npy")
    labels = np.load(out / "scenes" / "crops-240x360.labels.npy")
    photographs = Photographs(read_photos(indexed, "train", free=True))
    expected, polygons = draw_crops(photographs, range(len(crops)), (240, 360), 1)
    np.testing.assert_array_equal(crops, expected)
    np.testing.assert_array_equal(labels, [text_filter.region_labels(lines, (240, 360)) for lines in polygons])

    found = json.loads((out / "metrics.json").read_text())
    assert list(found) == ["drawn scenes", "photographs, validation", "photographs, test"]
    student = keras.saving.load_model(out / "student.keras")
    card = json.loads((out / "student.json").read_text())
    assert "30 crops of" in card["data_card"] and "photographs of the same sources" in card["data_card"]
    for split in ("validation", "test"):
        images = read_photos(indexed, split)
        scores = student.score(np.stack([to_bucket(image.open()) for image in images]))
        text = np.array([bool(image.polygons) for image in images])
        area = (scores[text][:, None] > scores[~text]).mean() + 0.5 * (scores[text][:, None] == scores[~text]).mean()
        assert found[f"photographs, {split}"]["area"] == pytest.approx(area, abs=1e-6)
    own = found["photographs, validation"]["own threshold"]
    assert own["f"] == pytest.approx(found["photographs, validation"]["best_f"]["f"])
    table = (out / "results.md").read_text()
    assert f"| photographs, test | {100 * found['photographs, test']['own threshold']['recall']:.1f} |" in table

    # The last images and scores are those of the test split.
    assert card["measured"]["on"].startswith(f"{len(images)} photographs")
    kinds = card["measured"]["kinds"]
    assert kinds["all"]["text"] == text.sum() and set(kinds) == {"all", images[0].source}
    for name, threshold in card["thresholds"]["recall"].items():
        reached = scores >= threshold
        assert kinds["all"]["passed"][f"recall {name}"] == [(reached & text).sum(), (reached & ~text).sum()]
    assert Image.open(out / "reliability.png").size[0] > 400


@pytest.mark.only_on("tensorflow")
def test_scores_of_photographs_are_calibrated_or_it_is_said_why_not(start, tmp_path, indexed, monkeypatch):
    """By as good a student as one of so few steps can be: its scores are those of the labels, with noise."""
    score = recipe.score_photos
    text_of = {}

    def known(student, images):
        text, _ = score(student, images)
        noise = np.random.default_rng(len(images)).normal(0, 1, len(text))
        raw = 1 / (1 + np.exp(-text_of["sign"] * (6 * text - 3 + 3 * noise)))
        scale, offset = student.options["calibration"] or (1, 0)
        return text, 1 / (1 + (1 / raw - 1) ** scale * np.exp(-offset))

    monkeypatch.setattr(recipe, "score_photos", known)
    for sign in (1, -1):
        text_of["sign"], out = sign, tmp_path / f"run{sign}"
        assert start(*TINY, "--crops", 30, "--photos", indexed, "--out", out)[0] == 0
        found = json.loads((out / "metrics.json").read_text())["photographs, test"]
        student = keras.saving.load_model(out / "student.keras")
        calibration = student.options["calibration"]
        if sign == 1:
            # By the validation split, and by nothing else.
            plain = recipe.TextStudent(context=recipe.CONTEXT)
            expected = plain.calibrated(*known(plain, read_photos(indexed, "validation"))).options["calibration"]
            assert calibration == pytest.approx(expected)
            text, scores = known(student, read_photos(indexed, "test"))
            error = metrics.calibration_error(text[:, None].astype(int), scores[:, None], bins=10)
            assert found["calibration_error"] == pytest.approx(error)
            text, scores = known(plain, read_photos(indexed, "test"))
            error = metrics.calibration_error(text[:, None].astype(int), scores[:, None], bins=10)
            assert found["calibration_error_before"] == pytest.approx(error)
        else:
            assert calibration is None and "calibration_error_before" not in found
        assert ("\nThe scores are not calibrated." in (out / "results.md").read_text()) == (sign == -1)


@pytest.mark.backend_free
def test_batches_have_each_image_once_mirrored_with_its_labels():
    random = np.random.default_rng(0)
    groups = []
    for shape, count in (((10, 20), 8), ((15, 15), 12)):
        images = np.zeros((count, *shape, 3), "uint8")
        labels = random.integers(0, 2, (count, 34)).astype("float32")
        cells = random.integers(0, 256, (count, *shape), "uint8")
        images[:, 0, 0] = np.arange(count)[:, None] + 1  # top left: tells which image it is, and whether mirrored
        groups.append((images, labels, cells))
    batches = recipe.ShapeBatches(groups, 4, seed=0)
    assert len(batches) == 5
    # Keras on TensorFlow learns from the first two which sides vary.
    assert [batches[i][0].shape[1:3] for i in range(2)] == [(10, 20), (15, 15)]
    seen, turned = [], 0
    for images, targets in (batches[i] for i in range(5)):
        group = [images.shape[1:3] == g.shape[1:3] for g, _, _ in groups].index(True)
        mirrored = images[0, 0, 0, 0] == 0
        turned += mirrored
        np.testing.assert_array_equal(targets["fifth"], targets["sixth"])
        np.testing.assert_array_equal(targets["image_logits"][:, 0], targets["logits"].max(axis=1))
        for image, found, cells in zip(images, targets["logits"], targets["fifth"], strict=True):
            number = int(image[0, -1 if mirrored else 0, 0])
            seen.append((group, number))
            expected = groups[group][1][number - 1]
            if mirrored:
                fine, coarse = expected[:25].reshape(5, 5)[:, ::-1], expected[25:].reshape(3, 3)[:, ::-1]
                expected = np.concatenate([fine.ravel(), coarse.ravel()])
            np.testing.assert_array_equal(found, expected)
            expected = groups[group][2][number - 1]
            np.testing.assert_allclose(255 * cells[..., 0], expected[:, ::-1] if mirrored else expected, rtol=1e-6)
    assert sorted(seen) == [(0, i + 1) for i in range(8)] + [(1, i + 1) for i in range(12)]
    assert 0 < turned < 5
    # The next epoch has another order, and the same again for the same epoch.
    batches.epoch = 1
    again = recipe.ShapeBatches(groups, 4, seed=0)
    again.epoch = 1
    assert all(np.array_equal(batches[i][0], again[i][0]) for i in range(5))


@pytest.mark.backend_free
def test_cells_have_the_share_of_text_in_them():
    rectangle = np.float32([(8, 4), (20, 4), (20, 24), (8, 24)])
    inside = np.float32([(9, 9), (15, 9), (15, 15), (9, 15)])
    expected = np.zeros((4, 5))
    expected[:3, 1:3] = np.outer([0.5, 1, 1], [1, 0.5])
    np.testing.assert_allclose(recipe.text_cells([rectangle, inside], (32, 40)), np.round(255 * expected))
    assert not recipe.text_cells([], (32, 40)).any()


def test_both_pooled_maps_learn_where_text_is():
    """The maps have a step for each cell, and they and the regions' logits are of the student itself."""
    student = text_filter.TextStudent(context=recipe.CONTEXT)
    images = np.random.default_rng(0).integers(0, 256, (2, 48, 64, 3), "uint8")
    outputs = recipe.with_targets(student).predict(images, verbose=0)
    assert {name: outputs[name].shape for name in recipe.MAPS} == dict.fromkeys(recipe.MAPS, (2, 6, 8, 1))
    for name in ("logits", "image_logits"):
        np.testing.assert_allclose(outputs[name], student.predict(images, verbose=0)[name], rtol=1e-4, atol=1e-5)


@pytest.mark.backend_free
def test_other_data_are_refused(start, tmp_path):
    status, error = start(*TINY, "--data", "textdis:somewhere", "--out", tmp_path / "run")
    assert status == 2 and "synthetic/scene_text" in error and error.count("\n") == 1
    assert not (tmp_path / "run").exists()
