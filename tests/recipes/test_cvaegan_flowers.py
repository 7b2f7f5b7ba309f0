"""The recipe on scikit-learn's digits and tiny networks: what it writes, killed and resumed, and bad input."""

import csv
import json
import os
import re
import signal
import subprocess
import sys
import tempfile
import time
from argparse import Namespace
from pathlib import Path

import common
import cvaegan_flowers as recipe
import keras
import numpy as np
import pytest
from PIL import Image

import kgan

TINY = "--data digits --width 0.05 --count 100 --models cgan --epochs 3 --evaluator-steps 5".split()
TINY += "--generator-width 0.05 --discriminator-width 0.05".split()


def snapshot(folder):
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def history(folder):
    """Rows of `train.csv` without the clock's."""
    rows = csv.DictReader((folder / "train.csv").open())
    return [{name: value for name, value in row.items() if name != "seconds"} for row in rows]


def assert_refused(result, *words):
    status, error = result
    assert status == 2
    assert error.startswith("error: ") and error.count("\n") == 1, error
    for word in words:
        assert word in error


@pytest.mark.only_on("torch")
def test_options_of_the_generator_and_its_training(start, tmp_path):
    more = ["--generator-width", "0.1", "--upsample", "--decay", "--epochs", "2"]
    assert start(*TINY, *more, "--out", tmp_path / "run")[0] == 0
    model = keras.saving.load_model(tmp_path / "run" / "cgan-seed0" / "model.keras")
    assert (model.width, model.generator_width, model.upsample) == (0.05, 0.1, True)
    assert [float(optimizer.learning_rate) for optimizer in model.optimizer.optimizers] == [0, 0]
    assert all(optimizer.iterations > 0 for optimizer in model.optimizer.optimizers)


@pytest.mark.only_on("torch")
@pytest.mark.parametrize(("last", "option"), [("generator", "--no-separate"), ("generator_prior", "--separate")])
def test_options_of_the_discriminator_and_averages(last, option, start, tmp_path):
    more = ["--models", "cvaegan", "--discriminator-norm", "spectral", "--discriminator-rate", "1e-5", "--no-decay"]
    more += ["--average", "0.9", "--latent-dim", "5", "--discriminator-width", "0.1", option]
    assert start(*TINY, *more, "--out", tmp_path / "run")[0] == 0
    model = keras.saving.load_model(tmp_path / "run" / "cvaegan-seed0" / "model.keras")
    assert (model.discriminator_norm, model.discriminator_width, model.latent_dim) == ("spectral", 0.1, 5)
    players = dict(zip(model.players, model.optimizer.optimizers, strict=True))
    assert float(players["discriminator"].learning_rate) == pytest.approx(1e-5)
    assert [name for name, optimizer in players.items() if optimizer.use_ema] == [last]
    assert players[last].ema_momentum == 0.9
    averages = players[last]._model_variables_moving_average
    for variable, average in zip(model.generator.trainable_variables, averages, strict=True):
        np.testing.assert_array_equal(*map(keras.ops.convert_to_numpy, (variable, average)))


@pytest.mark.only_on("torch")
def test_held_out_images_and_whitened_latents(start, tmp_path):
    out, steps = tmp_path / "run", ["--count", "400", "--epochs", "1"]
    arguments = [*TINY, *steps, "--models", "cvaegan", "cgan", "--validate", "--whiten", "--out", out]
    assert start(*arguments)[0] == 0
    numbers = json.loads((out / "metrics.json").read_text())
    assert numbers["real"]["0"]["images"] == 80
    model = keras.saving.load_model(out / "cvaegan-seed0" / "model.keras")
    assert not keras.ops.any(model.encoder.get_layer("log_variance").kernel)  # as whitening leaves it
    images, labels = kgan.data.load("digits", "train", image_size=32, count=400, seed=0)
    (images, labels), _ = recipe.judges.hold_out(images, labels, 0.2)
    mean, _ = model.encode(images, labels)
    for label in range(10):
        np.testing.assert_allclose(mean[labels == label].mean(axis=0), 0, atol=1e-2)
    table = (out / "results.md").read_text()
    assert "held out, not on test images" in table
    header, _, *rows = [[cell.strip() for cell in line.split("|")[1:-1]] for line in table.splitlines() if "|" in line]
    cells = {row[0]: dict(zip(header, row, strict=True)) for row in rows}
    assert cells["CGAN"]["diversity, codes"] == cells["real data"]["diversity, codes"] == "-"
    ours = numbers["cvaegan"]["0"]
    share = 100 * ours["codes_diversity"] / numbers["real"]["0"]["diversity"]
    assert float(cells["CVAE-GAN"]["diversity, codes"]) == pytest.approx(share, abs=0.06)
    assert float(cells["CVAE-GAN"]["Frechet distance, codes"]) == pytest.approx(
        ours["codes_frechet_distance"], abs=0.006
    )


@pytest.mark.only_on("torch")
@pytest.mark.parametrize("length", [20, 2000])
def test_distances_as_others_have_them(length, start, tmp_path, monkeypatch):
    """In features that stand for those of the Inception network, as many as images allow and more."""

    def features(images):
        return np.resize(images.reshape(len(images), -1)[:, ::7], (len(images), length)) / length

    monkeypatch.setattr(recipe.metrics, "inception_features", features)
    out = tmp_path / "run"
    assert start(*TINY, "--inception", "--epochs", 1, "--out", out)[0] == 0
    numbers = json.loads((out / "metrics.json").read_text())
    drawn = numbers["cgan"]["0"]
    assert drawn["kid"] > 0
    assert ("fid" in drawn) == (length == 20)
    if length == 20:
        images = keras.saving.load_model(out / "cgan-seed0" / "model.keras").generate(
            np.repeat(np.arange(10), 50), seed=1
        )
        real, _ = kgan.data.load("digits", "test", image_size=32)
        expected = recipe.metrics.frechet_distance(features(real), features(images))
        assert drawn["fid"] == pytest.approx(expected, rel=1e-3)
    table = (out / "results.md").read_text()
    assert "| FID | KID |" in table and ("too few images" in table) == (length == 2000)


# === A run, killed and resumed ===


@pytest.mark.only_on("torch")
@pytest.mark.parametrize("model", ["cgan", pytest.param("cvaegan", marks=pytest.mark.slow)])
def test_killed_run_resumes_to_the_end_of_an_uninterrupted_one(model, start, tmp_path):
    arguments = [*TINY, "--models", model]
    killed, straight = tmp_path / "killed", tmp_path / "straight"
    kill_in_second_epoch(arguments, killed, killed / f"{model}-seed0")
    refused_without_change(start, killed, arguments)
    # Each in a process of its own, as a user has it: in this one, where PyTorch was imported before, TensorFlow rounds
    # a sum differently.
    for run in ([*arguments, "--out", killed, "--resume"], [*arguments, "--out", straight]):
        with launch(run) as process:
            error = process.stderr.read().decode()
        assert process.returncode == 0, error

    folders = [run / f"{model}-seed0" for run in (killed, straight)]
    rows = history(folders[0])
    assert [row["epoch"] for row in rows] == ["0", "1", "2"]
    assert rows == history(folders[1])
    first, second = (keras.saving.load_model(folder / "model.keras") for folder in folders)
    variables = [[*m.variables, *m.optimizer.variables] for m in (first, second)]
    for a, b in zip(*variables, strict=True):
        np.testing.assert_array_equal(*(keras.ops.convert_to_numpy(v.value) for v in (a, b)), err_msg=a.path)

    metrics = [json.loads((run / "metrics.json").read_text()) for run in (killed, straight)]
    for numbers in metrics:
        del numbers[model]["0"]["seconds"]
    assert metrics[0] == metrics[1]
    if model == "cgan":
        check_contents(straight, model)
        a_finished_model_is_not_trained_again(start, arguments, killed, model)


def launch(arguments):
    root = Path(recipe.__file__).resolve().parents[1]
    path = os.pathsep.join([str(root), os.environ.get("PYTHONPATH", "")])
    return subprocess.Popen(
        [sys.executable, recipe.__file__, *map(str, arguments)],
        env={**os.environ, "PYTHONPATH": path},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
    )


def kill_in_second_epoch(arguments, out, folder):
    with launch([*arguments, "--out", out]) as process:
        while process.poll() is None and not (folder / "checkpoints" / "epoch-0001.weights.h5").exists():
            time.sleep(0.002)
        process.send_signal(signal.SIGKILL)
        error = process.stderr.read().decode()
    assert process.returncode == -signal.SIGKILL, error
    assert not (folder / "checkpoints" / "epoch-0003.weights.h5").exists() and not (folder / "result.json").exists()


def refused_without_change(start, run, arguments):
    before = snapshot(run)
    assert_refused(start(*arguments, "--out", run), "--resume")
    other = start(*arguments, "--out", run, "--resume", "--epochs", 4, "--seed", 7)
    assert_refused(other, "epochs was 3, is 4", "seed was 0, is 7")
    assert snapshot(run) == before


def check_contents(run, model):
    options = json.loads((run / "options.json").read_text())
    assert options["data"] == "digits" and options["backend"] == keras.backend.backend() and options["count"] == 100
    metrics = json.loads((run / "metrics.json").read_text())
    assert set(metrics) == {"real", model} and metrics[model]["0"]["images"] == 10 * options["per_class"]
    table = (run / "results.md").read_text()
    assert f"{metrics[model]['0']['top1']:.2f}" in table and "61.97" in table
    for picture in ("samples.png", "models.png"):
        assert np.asarray(Image.open(run / picture)).std() > 0
    folder = run / f"{model}-seed0"
    assert len(list((folder / "samples").glob("epoch-*.png"))) == 3
    assert list((folder / "logs").glob("events.out.tfevents.*"))
    assert not list(run.rglob("writing-*"))
    check_preset(run, model, metrics[model]["0"])


def check_preset(run, model, numbers):
    """It draws what the model draws, and its card names no place of this machine."""
    folder = run / f"{model}-seed0"
    preset, saved = kgan.presets.load(folder / "preset"), kgan.presets.load(folder / "model.keras")
    assert preset.class_names == list("0123456789")
    np.testing.assert_array_equal(preset.generate([3, 4], seed=0), saved.generate([3, 4], seed=0))
    card = kgan.presets.read_card(folder / "preset")
    assert card["data"] == "digits" and card["figures"]["top1"] == numbers["top1"]
    assert card["command"].startswith("python recipes/cvaegan_flowers.py --data digits")
    assert str(run) not in json.dumps(card) and "--out" not in card["command"]


def a_finished_model_is_not_trained_again(start, arguments, run, model):
    """A run that was killed after its last epoch still has to measure, but not to train."""
    folder = run / f"{model}-seed0"
    before, weights = json.loads((folder / "result.json").read_text()), snapshot(folder / "checkpoints")
    (folder / "result.json").unlink()
    assert start(*arguments, "--out", run, "--resume")[0] == 0
    assert json.loads((folder / "result.json").read_text()) == before
    (folder / "result.json").unlink()
    (folder / "model.keras").unlink()
    assert start(*arguments, "--out", run, "--resume")[0] == 0
    assert json.loads((folder / "result.json").read_text()) == before
    assert snapshot(folder / "checkpoints") == weights

    newest = folder / "checkpoints" / "epoch-0003.weights.h5"
    newest.write_bytes(newest.read_bytes()[:5000])
    (folder / "result.json").unlink()
    (folder / "model.keras").unlink()
    before = snapshot(folder / "checkpoints")
    assert_refused(start(*arguments, "--out", run, "--resume"), "epoch-0003.weights.h5 cannot be restored", "delete")
    assert snapshot(folder / "checkpoints") == before


@pytest.mark.only_on("torch")
def test_rehearsal_says_what_a_training_costs(start, tmp_path, monkeypatch, capsys):
    """Two steps at full size; nothing is left, and a run's folder may be named."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    clock = iter(np.cumsum([9.0, 0.5]))
    monkeypatch.setattr(common.time, "perf_counter", lambda: next(clock))
    monkeypatch.setattr(sys, "argv", [recipe.__file__, *TINY, "--epochs", "36", "--steps", "2", "--out", "kept"])
    common.run(recipe.main)
    printed = capsys.readouterr().out
    networks = kgan.CGAN(10, 32, 1, 64, 0.05)
    parts = f"generator {networks.generator.count_params():,}, discriminator {networks.discriminator.count_params():,}"
    assert f"CGAN: {networks.count_params():,} parameters ({parts})" in printed
    # 100 images are four batches of 32.
    assert "36 epochs of 4 steps, takes about 0.02 hours" in printed and "0.5 s a step" in printed
    peak = float(re.search(r"peak memory of the process (\S+) GB", printed)[1])
    assert 0.2 < peak < 20
    assert not list(tmp_path.iterdir())
    assert start(*TINY, "--steps", "2", "--resume") == (2, "error: --steps rehearses a new run: leave out --resume.\n")
    assert start(*TINY, "--steps", "1")[0] == 2


# === The parts that only some models have ===


@pytest.mark.only_on("torch")
def test_pictures_of_a_model_with_encoder(tmp_path):
    images, labels = kgan.data.load("digits", "test")
    model = kgan.CVAEGAN(10, 32, 1, 4, 0.05)
    recipe.write_pictures(tmp_path, {"cvaegan": model}, images, labels, list("0123456789"))
    expected = ("samples", "models", "reconstructions", "morphing", "inpainting", "super_resolution", "mixed")
    assert {path.name for path in tmp_path.iterdir()} == {f"{name}.png" for name in expected}


@pytest.mark.only_on("torch")
@pytest.mark.parametrize(("count", "known"), [(64, False), (65, True)])
def test_too_few_codes_are_not_measured(count, known):
    """A Frechet distance needs more images than features; the samples are measured all the same."""
    model = kgan.CVAEGAN(3, 32, 1, 4, 0.05)
    images, labels = np.zeros((count, 32, 32, 1), "float32"), np.arange(count) % 3

    def judge(images, labels, inception=None):
        return {"frechet_distance": float(len(images)), "diversity": 2.0}

    numbers = recipe.measure_model(judge, (images, labels), 40, None, model)
    assert numbers["frechet_distance"] == 120
    assert numbers.get("codes_frechet_distance") == (65 if known else None)


def new_model(name, **options):
    options = Namespace(**{**recipe.QUICK, "width": 0.05, "ablate": None, **options})
    return recipe.new_model(name, np.zeros((2, 32, 32, 1), "float32"), 3, options)


@pytest.mark.backend_free
def test_ablation_leaves_out_its_part():
    for part, left_out in (("img", "image"), ("D", "discriminator"), ("C", "classifier")):
        assert set(new_model("cvaegan", ablate=part).matching) == {"image", "discriminator", "classifier"} - {left_out}


@pytest.mark.backend_free
def test_lambdas_reach_the_models():
    for name in ("cvaegan", "cvae", "fmcgan"):
        assert new_model(name, lambdas=[9.0, 8.0, 7.0, 6.0]).lambdas == (9.0, 8.0, 7.0, 6.0)


@pytest.mark.backend_free
def test_lambdas_where_none_are_given_follow_the_sizes():
    """32 x 32 x 1 pixels are 1/48 of the paper's, and 3 classes are 3/530."""
    for name in ("cvaegan", "fmcgan"):
        assert new_model(name, lambdas=None).lambdas == pytest.approx((1.5 / 48, 1.0, 0.1, 0.53 / 3))
    assert new_model("cvae", lambdas=None).lambdas[:2] == (1.0, 1.0)


# === Bad input ===


def write_images(folder, classes, n):
    for name in classes:
        (folder / name).mkdir(parents=True)
        for i in range(n):
            Image.new("L", (8, 8), 10 * i).save(folder / name / f"{i}.png")


@pytest.mark.backend_free
@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--data", "digitz"], ["digitz"]),
        (["--data", "folder:nowhere"], ["nowhere"]),
        (["--data", "folder:empty"], ["empty"]),
        (["--data", "folder:one"], ["one class", "'rose'"]),
        (["--data", "folder:few", "--count", "8"], ["test split has fewer than two images of rose, tulip"]),
        (["--image-size", "48"], ["image_size=48", "pass one of 32, 64, 128, 256"]),
        (["--width", "0"], ["width=0"]),
        (["--count", "3"], ["train split has fewer than two images of 0"]),
        (["--resume"], ["no run to resume"]),
        (["--average", "1"], ["--average 1.0: pass 0 or more, and less than 1"]),
        (["--discriminator-rate", "0"], ["--discriminator-rate 0.0: pass a number above 0"]),
        (["--inception"], ["no network"]),
    ],
)
def test_bad_input_is_one_line_and_leaves_nothing(arguments, words, start, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "empty").mkdir()
    write_images(tmp_path / "one", ["rose"], 9)
    write_images(tmp_path / "few", ["rose", "tulip"], 5)
    monkeypatch.setattr(recipe.metrics, "inception_features", no_network)
    result = start(*TINY[:6], "--models", "cgan", *arguments, "--out", "run")
    assert_refused(result, *words)
    assert not (tmp_path / "run").exists()


def no_network(images):
    raise OSError("no network")


@pytest.mark.backend_free
@pytest.mark.parametrize("arguments", [["--epochs", "0"], ["--seeds", "0"], ["--models", "vae"], ["--ablate", "E"]])
def test_options_out_of_range(arguments, start, tmp_path):
    status, error = start(*arguments, "--out", tmp_path / "run")
    assert status == 2 and arguments[0] in error
    assert not (tmp_path / "run").exists()
