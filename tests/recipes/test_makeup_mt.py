"""The recipe on a few drawn faces: what it writes, resumed, other methods, the survey, and bad input."""

import json
import re

import keras
import makeup_mt as recipe
import makeup_pictures
import makeup_scores
import makeup_survey
import numpy as np
import pytest
from PIL import Image
from scipy import stats

import kgan
from kgan.faces import PARTS
from kgan.models.makeup.illumination import ATTENTIONS, IlluminationClassifier

TINY = "--count 8 --validation 12 --test-count 30 --epochs 1 --light-epochs 1 --width 0.05".split()


@pytest.fixture(scope="module")
def pairs():
    return kgan.data.load_makeup("synthetic/faces", "test", uv_size=32, image_size=32, count=30)


@pytest.mark.only_on("torch")
def test_run_and_resume(start, tmp_path, monkeypatch):
    textures, labels = kgan.data.load("synthetic/faces", image_size=32, count=40)
    monkeypatch.setattr(kgan.data, "load", lambda *args, **options: (textures, labels))
    run, rows = tmp_path / "run", ["untouched", "colour", "image", "single", "even", "calibrated", "truth"]
    arguments = [*TINY, "--rows", *rows, "--out", run]
    assert start(*arguments, "--survey")[0] == 0
    metrics = json.loads((run / "metrics.json").read_text())
    assert set(metrics) == {"masks", *rows}
    table = (run / "results.md").read_text()
    for key in rows:
        assert f"| {recipe.ROWS[key].title} |" in table and f"{metrics[key]['0']['all']['lips']:.1f}" in table
    assert metrics["untouched"]["0"]["all"] == dict.fromkeys(PARTS, pytest.approx(100))
    assert metrics["untouched"]["0"]["leak"] == 0 and metrics["even"]["0"]["leak"] == 0
    assert metrics["image"]["0"]["background_psnr"] > 0 and "leak" not in metrics["image"]["0"]
    assert metrics["calibrated"]["0"]["background_psnr"] is None and metrics["calibrated"]["0"]["seconds"] > 0
    assert "| Song, 2024 | 33.5 | 61.5 |" in table
    for name in ("attention", "transfer", "shade", "matrix"):
        with Image.open(run / f"{name}.png") as image:
            assert min(image.size) > 200 and np.asarray(image).std() > 0
    assert len(list((run / "pairs").glob("*.png"))) == 60
    model = keras.saving.load_model(run / "seed0" / "single" / "model.keras")
    assert model.layers_of_masks == (2,) and model.get_config()["layers"] == (2,)

    # A run that was killed goes on with what is complete, and comes to the same figures.
    for path in (run / "metrics.json", run / "seed0" / "single" / "model.keras"):
        path.unlink()
    before = {path: path.stat().st_mtime_ns for path in run.rglob("model.keras")}
    assert start(*arguments, "--survey", "--resume")[0] == 0
    again = json.loads((run / "metrics.json").read_text())
    for numbers in (again, metrics):
        numbers["single"]["0"].pop("seconds")
    assert again["single"]["0"]["all"] == pytest.approx(metrics["single"]["0"]["all"], rel=1e-3)
    assert again["truth"] == metrics["truth"] and again["masks"] == metrics["masks"]
    assert all(path.stat().st_mtime_ns == time for path, time in before.items())
    status, error = start(*arguments, "--survey", "--resume", "--width", "0.1")
    assert status == 2 and "width was 0.05, is 0.1" in error


@pytest.mark.backend_free
@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--rows", "untouched", "none"], "--rows none: pass some of untouched, colour"),
        (["--rows", "colour"], "--rows needs untouched"),
        (["--rows", "untouched", "even"], "--rows even needs calibrated"),
        (["--compare", "peer:nowhere", "--rows", "untouched", "peer"], "there is no such folder"),
        (["--compare", "peer:."], "add peer to --rows"),
        (["--data", "mt:nowhere", "--rows", "untouched"], "no folder or zip archive 'nowhere'"),
        (["--data", "mt:nowhere"], "--rows truth needs drawn faces: of mt:nowhere the truth is unknown"),
        (["--uv-size", "64", "--rows", "untouched", "image"], "pass the same --uv-size and --image-size"),
        (["--compare", "calibrated:."], "--compare takes NAME:FOLDER, each name once and none of a row"),
        (["--compare", "peer", "--rows", "untouched", "peer"], "there is no such folder"),
        (["--votes", "nowhere.json"], "survey.json is missing"),
    ],
)
def test_what_can_be_mended_is_said_before_the_run_begins(arguments, words, start, tmp_path):
    status, error = start(*TINY, *arguments, "--out", tmp_path / "run")
    assert status == 2 and words in error and error.count("\n") == 1
    assert not (tmp_path / "run").exists()


@pytest.mark.only_on("torch")
def test_another_method_is_a_row(start, tmp_path, pairs, monkeypatch):
    """One that gives the truth is right but for the rounding of its pictures."""
    textures, labels = kgan.data.load("synthetic/faces", image_size=32, count=40)
    monkeypatch.setattr(kgan.data, "load", lambda *args, **options: (textures, labels))
    truth = makeup_scores.rendered(pairs["target_texture"], pairs)
    peer = tmp_path / "peer"
    arguments = [*TINY, "--rows", "untouched", "peer", "--compare", f"peer:{peer}"]
    peer.mkdir()
    status, error = start(*arguments, "--out", tmp_path / "early")
    assert status == 2 and "0000.png is missing: --compare needs a picture for each of 30" in error
    for i, pixels in enumerate(kgan.plots.to_pixels(truth)):
        kgan.plots.save_image(peer / f"{i:04d}.png", pixels)
    # It may come later: what is trained stays.
    assert start(*TINY, "--rows", "untouched", "--out", tmp_path / "run")[0] == 0
    assert start(*arguments, "--survey", "--out", tmp_path / "run", "--resume")[0] == 0
    assert json.loads((tmp_path / "run" / "options.json").read_text())["rows"] == ["untouched", "peer"]
    assert (tmp_path / "run" / "survey.html").exists()
    found = json.loads((tmp_path / "run" / "metrics.json").read_text())["peer"]["0"]["all"]
    assert found["lips"] < 3 and found["eyes"] < 5
    Image.new("RGB", (40, 32)).save(peer / "0003.png")
    status, error = start(*arguments, "--out", tmp_path / "late")
    assert status == 2 and "0003.png has (40, 32) pixels: pass pictures of (32, 32)" in error


def test_pictures_of_few_pairs_show_what_there_is(pairs, tmp_path):
    front = np.flatnonzero(makeup_scores.lit(pairs, "front"))[:2]
    few = {key: value[front] for key, value in pairs.items()}
    makeup_pictures.transfers(tmp_path / "few.png", few, {"itself": few["source_image"]}, 8)
    with Image.open(tmp_path / "few.png") as image:
        assert np.asarray(image).std() > 10
    assert makeup_pictures.one_sided(few, 8).tolist() == [0, 1]
    everyone = makeup_pictures.one_sided(pairs, 30)
    assert makeup_scores.lit(pairs, "one side")[everyone].all() and len(everyone) > 2


# === Scores ===


@pytest.mark.backend_free
def test_errors_are_means_over_the_pixels_of_a_part(pairs):
    images = pairs["source_image"] + 0.1
    found = makeup_scores.errors(images, pairs["source_image"], pairs)
    for part in PARTS:
        values = found[part][np.isfinite(found[part])]
        np.testing.assert_allclose(values, 12.75, rtol=1e-4)
    at = (pairs["source_parts"][4] == 1) & (pairs["source_alpha"][4, ..., 0] > 0.5)
    wrong = pairs["source_image"].copy()
    wrong[4][at] += 0.2
    found = makeup_scores.errors(wrong, pairs["source_image"], pairs)
    assert found["lips"][4] == pytest.approx(25.5, rel=1e-4) and found["eyes"][4] == found["skin"][4] == 0
    assert np.nanmax(np.delete(found["lips"], 4)) == 0


@pytest.mark.backend_free
def test_measured(pairs):
    """Between the source and the truth, half of the makeup leaves half of the error."""
    source, target = pairs["source_texture"], pairs["target_texture"]
    half = (source + target) / 2
    found = makeup_scores.measured(makeup_scores.rendered(half, pairs), half, pairs, half)
    for group in ("all", "front", "one side", "top or bottom", "dark skin", "light skin", "turned pose"):
        assert found[group] == {part: pytest.approx(50, rel=1e-3) for part in PARTS}, group
    assert found["leak"] == 0 and found["background_psnr"] is None
    noisy = makeup_scores.rendered(half, pairs) + 0.02
    psnr = makeup_scores.measured(noisy, None, pairs)["background_psnr"]
    assert psnr == pytest.approx(20 * np.log10(2 / 0.02), rel=1e-3)
    # What adds the reference's light to the source leaks all of it.
    leaking, even = source + pairs["reference_texture"], source + pairs["reference_even_texture"]
    assert makeup_scores.measured(pairs["source_image"], leaking, pairs, even)["leak"] == pytest.approx(100, rel=1e-4)
    tone = makeup_scores._thirds(np.array([5.0, 1, 3, 2, 4, 9]), ("low", "middle", "high"))
    assert [np.flatnonzero(group).tolist() for group in tone.values()] == [[1, 3], [2, 4], [0, 5]]


@pytest.mark.only_on("torch")
def test_masks_of_light(pairs):
    """A half errs on both sides as much as nothing does on one, and tells nothing; asymmetry tells nearly all."""
    light = IlluminationClassifier(size=32, width=0.125)
    light.calibrate(pairs["reference_texture"], pairs["reference_shade"])
    found = makeup_scores.of_masks(light, pairs)
    before = found["untouched"][0][1]
    assert before > 0.15
    for area, error in found["half"]:
        assert area == 0.5 and error == pytest.approx(before, rel=1e-3)
    for area, error in found["asymmetry"]:
        assert area > 0.95 and error < 0.3 * before
    assert {mask: len(layers) for mask, layers in found.items()} == {"untouched": 1} | dict.fromkeys(ATTENTIONS, 3)


@pytest.mark.backend_free
def test_colours_alone_are_nearer_to_the_truth_on_lips(pairs):
    textures = makeup_scores.colour_transferred(pairs)
    found = makeup_scores.measured(makeup_scores.rendered(textures, pairs), textures, pairs)
    assert 30 < found["all"]["lips"] < 85


# === The survey ===


@pytest.mark.backend_free
def test_survey_hides_names_and_counts_votes(tmp_path, pairs):
    painted = {"one": pairs["source_image"], "two": pairs["reference_image"], "three": -pairs["source_image"]}
    makeup_survey.write(tmp_path, pairs, painted, seed=0)
    page, key = (tmp_path / "survey.html").read_text(), json.loads((tmp_path / "survey.json").read_text())
    words = re.sub(r'"data:[^"]*"', "", page)
    assert not re.search(r"\b(one|two|three)\b", words.split("<form>")[1]) and "http" not in words
    rows = key["rows"]
    lights = np.array([row["light"] for row in rows])
    assert len(rows) <= 20 and set(lights) == {"normal", "one side"}
    assert page.count('type="radio"') == 3 * len(rows) and len({tuple(row["order"]) for row in rows}) > 1

    for name, choice in (("anna", "two"), ("ben", "one")):
        choices = {str(i): str(row["order"].index(choice)) for i, row in enumerate(rows)}
        (tmp_path / f"{name}.json").write_text(json.dumps({"survey": key["name"], "choices": choices}))
    table = makeup_survey.tallied([tmp_path / "anna.json", tmp_path / "ben.json"], tmp_path / "survey.json")
    count = int((lights == "normal").sum())
    low, high = stats.binomtest(count, 2 * count).proportion_ci(method="wilson")
    assert f"| one | 50.0 ({100 * low:.1f} to {100 * high:.1f}) |" in table
    assert table.splitlines()[3].startswith("| three | 0.0 (0.0 to ")

    before = key["name"]
    makeup_survey.write(tmp_path, pairs, dict(list(painted.items())[:2]), seed=0)
    assert json.loads((tmp_path / "survey.json").read_text())["name"] != before  # of the same seed, but other rows
    makeup_survey.write(tmp_path, pairs, painted, seed=0)
    (tmp_path / "other.json").write_text(json.dumps({"survey": "else", "choices": choices}))
    (tmp_path / "broken.json").write_text("[1, 2")
    for name, words in (("other", "of another survey"), ("broken", "holds no choices"), ("none", "is missing")):
        with pytest.raises((ValueError, FileNotFoundError), match=words):
            makeup_survey.tallied([tmp_path / f"{name}.json"], tmp_path / "survey.json")
