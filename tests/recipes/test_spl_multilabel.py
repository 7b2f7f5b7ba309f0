"""The recipe on a few shapes: what it writes, resumed, and bad input."""

import json
from types import SimpleNamespace

import keras
import numpy as np
import pytest
import spl_images
import spl_multilabel as recipe
import spl_scores
from PIL import Image
from scipy import stats

from kgan import callbacks
from kgan.data.samples import Samples
from kgan.metrics import multilabel_metrics

TINY = "--count 24 --validation 12 --test-count 30 --epochs 1 --gan-epochs 1 --width 0.125".split()


@pytest.mark.only_on("torch")
def test_run_and_resume(start, tmp_path):
    rows = ["baseline", "random", "spl", "confidence_double", "confidence_anew", "noise", "unlabelled", "asl"]
    run = tmp_path / "run"
    arguments = [*TINY, "--rows", *rows, "--gans", "dcgan", "wgan_gp", "--out", run]
    assert start(*arguments)[0] == 0
    metrics = json.loads((run / "metrics.json").read_text())
    of_gans = [
        f"{row}/{gan}" for row in ("random", "spl", "confidence_double", "confidence_anew") for gan in spl_images.GANS
    ]
    assert set(metrics) == {"baseline", "noise", "unlabelled", "asl", *of_gans}
    table = (run / "results.md").read_text()
    for key, by_seed in metrics.items():
        assert f"| {recipe.title(key)} |" in table and f"{by_seed['0']['mAP']:.1f}" in table
    assert "| SPL (WGAN-GP) | 73.5 |" in table
    baseline = metrics["baseline"]["0"]
    all_of_it = " / ".join(f"{baseline[name]:.1f}" for name in ("f1_c_mean", "p_c", "r_c", "f1_o", "p_o", "r_o"))
    assert f"| Baseline | 65.8 / 79.8 / 58.6 / 71.8 / 81.9 / 63.8 | {all_of_it} |" in table
    assert "| CNN-RNN, reported only | - / - / - / - / - / - | - | 60.4 / 66.0 /" in table
    assert metrics["spl/dcgan"]["0"]["frechet_distance"] > 0 and 0 <= metrics["spl/dcgan"]["0"]["coverage"] <= 100

    seed = run / "seed0"
    best = json.loads((seed / "dcgan" / "best.weights.json").read_text())["best"]
    assert metrics["spl/dcgan"]["0"]["frechet_distance"] == pytest.approx(best, rel=0.5)  # of other samples
    of_each = [seed / gan / name for gan in spl_images.GANS for name in ("generated.png", "frechet.png")]
    for picture in (run / "classes.png", *of_each):
        with Image.open(picture) as image:
            assert min(image.size) > 200 and np.asarray(image).std() > 0
    assert Samples(seed / "dcgan" / "generated").shape == (48, 32, 32, 3)
    model = keras.saving.load_model(seed / "dcgan" / "spl" / "model.keras")
    assert model.class_names[0] == "disc" and len(model.thresholds) == 12

    # A run that was killed goes on with what is complete, and comes to the same figures.
    for path in (run / "metrics.json", seed / "dcgan" / "spl" / "model.keras", seed / "dcgan" / "spl" / "result.json"):
        path.unlink()
    before = {path: path.stat().st_mtime_ns for path in run.rglob("model.keras")}
    assert start(*arguments, "--resume")[0] == 0
    again = json.loads((run / "metrics.json").read_text())
    assert again["spl/dcgan"]["0"].pop("seconds") and metrics["spl/dcgan"]["0"].pop("seconds")
    ap = [numbers["spl/dcgan"]["0"].pop("ap") for numbers in (again, metrics)]
    np.testing.assert_allclose(*ap, atol=1e-6)
    assert again.pop("spl/dcgan")["0"] == pytest.approx(metrics.pop("spl/dcgan")["0"])
    assert again == metrics
    assert all(path.stat().st_mtime_ns == time for path, time in before.items())
    status, error = start(*arguments, "--resume", "--gan-epochs", "2")
    assert status == 2 and "gan_epochs was 1, is 2" in error


@pytest.mark.only_on("torch")
def test_a_run_killed_in_each_of_its_parts_comes_to_the_same_figures(start, tmp_path, monkeypatch):
    arguments = [*TINY, "--epochs", "2", "--gan-epochs", "3", "--rows", "baseline", "spl", "--gans", "wgan_gp"]
    assert start(*arguments, "--out", tmp_path / "straight")[0] == 0
    run = tmp_path / "run"
    saved, made, first = callbacks.Checkpoint.on_epoch_end, spl_images.generate_samples, ["--out", run]
    for at in ("baseline", "wgan_gp", "generated", "spl"):
        epochs = []

        def stop_after_one(self, epoch, logs=None, at=at, epochs=epochs):
            saved(self, epoch, logs)
            epochs.append(epoch)
            if self.folder.parent.name == at:
                raise KeyboardInterrupt

        def stop_before(*args, at=at):
            if at == "generated":
                raise KeyboardInterrupt
            return made(*args)

        monkeypatch.setattr(callbacks.Checkpoint, "on_epoch_end", stop_after_one)
        monkeypatch.setattr(spl_images, "generate_samples", stop_before)
        status, error = start(*arguments, *first)
        assert status == 130 and "--resume continues" in error
        assert epochs == {"baseline": [0], "wgan_gp": [1, 0], "generated": [1, 2], "spl": [0]}[at]
        first = ["--out", run, "--resume"]
    monkeypatch.undo()
    assert start(*arguments, *first)[0] == 0
    expected, found = (json.loads((tmp_path / name / "metrics.json").read_text()) for name in ("straight", "run"))
    for key in ("baseline", "spl/wgan_gp"):
        for numbers in (expected[key]["0"], found[key]["0"]):
            del numbers["seconds"]
        np.testing.assert_allclose(found[key]["0"].pop("ap"), expected[key]["0"].pop("ap"), rtol=1e-5)
        assert found[key]["0"] == pytest.approx(expected[key]["0"], rel=1e-5)


@pytest.mark.backend_free
@pytest.mark.parametrize(
    "arguments, words",
    [
        (["--data", "synthetic/flowers"], "has no labels (images, classes)"),
        (["--data", "multilabel:nowhere"], "nowhere"),
        (["--rows", "spl"], "--rows needs baseline"),
        (["--backbone", "resnet50_v2", "--weights", "nowhere.h5"], "nowhere.h5"),
        (["--folds", "1"], "--folds 1: pass 2 or more"),
        (["--gan-size", "48"], "--gan-size 48: pass one of 32, 64"),
        (["--gan-width", "5"], "--gan-width 5.0: pass a number above 0"),
    ],
)
def test_what_can_be_mended_is_said_before_the_run_begins(arguments, words, start, tmp_path):
    status, error = start(*TINY, *arguments, "--out", tmp_path / "run")
    assert status == 2 and words in error and error.count("\n") == 1
    assert not (tmp_path / "run").exists()


@pytest.mark.backend_free
def test_unlabelled_images_are_what_count_leaves(start, tmp_path):
    status, error = start("--preset", "paper", "--rows", "baseline", "unlabelled", "--out", tmp_path / "run")
    assert status == 2 and "--rows unlabelled needs --count" in error
    options = SimpleNamespace(validation=8, count=10, rows=["baseline", "unlabelled"])
    recipe.check_parts(19, options)
    with pytest.raises(ValueError, match="--count 10 leaves none of 10 training images"):
        recipe.check_parts(18, options)
    with pytest.raises(ValueError, match="8 training images, of which --validation 8: leave some"):
        recipe.check_parts(8, options)


@pytest.mark.only_on("torch")
def test_rows_without_generated_images_train_no_gan(start, tmp_path):
    assert start(*TINY, "--rows", "baseline", "asl", "--out", tmp_path)[0] == 0
    assert not (tmp_path / "seed0" / "dcgan").exists()
    assert set(json.loads((tmp_path / "metrics.json").read_text())) == {"baseline", "asl"}


@pytest.mark.only_on("torch")
def test_the_scores_of_all_folds_are_measured_together(start, tmp_path):
    rng, rows, data = np.random.default_rng(0), ["file,often,seldom,too"], tmp_path / "data"
    data.mkdir()
    for i in range(40):
        Image.fromarray(rng.integers(0, 256, (32, 32, 3), "uint8")).save(data / f"{i}.png")
        rows.append(f"{i}.png,{i % 2},{int(i < 10)},{int(i < 9)}")
    (data / "labels.csv").write_text("\n".join(rows))
    run = tmp_path / "run"
    arguments = [*TINY, "--data", f"multilabel:{data}", "--folds", "2", "--rows", "baseline", "spl"]
    assert start(*arguments, "--out", run)[0] == 0
    saved = [np.load(run / f"seed{k}" / "baseline" / "scores.npz") for k in range(2)]
    assert [file["scores"].shape for file in saved] == [(20, 3), (20, 3)]
    metrics = json.loads((run / "metrics.json").read_text())
    assert set(metrics) == {"baseline", "spl/dcgan"} and set(metrics["baseline"]) == {"pooled"}
    text = (run / "results.md").read_text()
    assert "2 folds, scores pooled" in text and "seeds [0, 1]" in text
    assert len(metrics["spl/dcgan"]["pooled"]["ap"]) == 2  # without the class of nine images
    # Of 40 images each in one test set.
    options = SimpleNamespace(data=f"multilabel:{data}", folds=2, image_size=32, seed=0, seeds=2)
    labels = np.concatenate([test[1] for _, test in recipe.folds(options).values()])
    assert labels.sum(axis=0).tolist() == [20, 10, 9]
    scores = np.concatenate([file["scores"] for file in saved])
    expected = 100 * multilabel_metrics(labels[:, :2], scores[:, :2])["ap"]
    np.testing.assert_allclose(metrics["baseline"]["pooled"]["ap"], expected)


@pytest.mark.backend_free
def test_gain_is_paired_over_seeds():
    baseline = {str(seed): {"mAP": value} for seed, value in enumerate((40.0, 50.0, 60.0))}
    row = {str(seed): {"mAP": value} for seed, value in enumerate((41.0, 52.0, 63.0))}
    half = stats.t.ppf(0.975, 2) * 1.0 / np.sqrt(3)
    assert spl_scores.gain(row, baseline) == f"+2.0 ± {half:.1f}" and spl_scores.gain(baseline, baseline) == "-"
    assert spl_scores.gain({"0": {"mAP": 39.5}}, baseline) == "-0.5"


@pytest.mark.backend_free
def test_parts_of_a_training_split_share_no_image():
    images, labels = np.arange(30)[:, None], np.arange(30)[:, None]
    options = type("Options", (), {"count": 10, "validation": 8})
    train, held, rest = recipe.three_parts(images, labels, options, seed=3)
    assert [len(train[0]), len(held[0]), len(rest)] == [10, 8, 12]
    assert sorted(np.concatenate([train[0], held[0], rest])[:, 0]) == list(range(30))
    np.testing.assert_array_equal(*train)
