"""What the recipes share: the progress line, what a resumed run keeps, the last lines of a run."""

import json
import logging
import os
import pty
import re
import subprocess
import sys
import threading
from argparse import Namespace
from pathlib import Path

import common
import devices
import keras
import numpy as np
import pytest

import kgan

RECIPES = Path(common.__file__).parent
# What one epoch of CVAEGAN logs in the recipe: 13 trackers, and what callbacks and the recipe add.
PLAYERS = {"classifier": (), "discriminator": (), "generator": (), "encoder": ()}
OTHERS = "kl pixel pairwise_discriminator pairwise_classifier mean_matching class_matching real_accuracy fake_accuracy"
OTHERS += " classifier_accuracy diversity seconds val_generator_loss val_encoder_loss val_kl val_pixel val_diversity"
NAMES = [*(f"{player}_loss" for player in PLAYERS), *OTHERS.split()]


@pytest.fixture
def terminal(monkeypatch):
    """Function that runs another with a terminal of 80 columns as its output, and returns the lines that it showed."""

    def lines_of(shown):
        master, slave = pty.openpty()
        read = bytearray()

        def drain():
            while chunk := os.read(master, 4096):
                read.extend(chunk)
                if read.endswith(b"\0"):
                    return

        reader = threading.Thread(target=drain)
        reader.start()
        with os.fdopen(slave, "w") as stdout, monkeypatch.context() as patch:
            patch.setattr(sys, "stdout", stdout)
            shown()
            stdout.write("\0")
            stdout.flush()
            reader.join()
        os.close(master)
        text = re.sub(r"\x1b\[[0-9;]*m|\x08|\0", "", read.decode())
        return [line.rstrip() for line in re.split(r"[\r\n]+", text) if line.strip()]

    return lines_of


def epochs(progress, model, steps, values, verbose=1):
    """Two epochs of a training as Keras shows them."""
    callbacks = keras.callbacks.CallbackList([progress], add_progbar=True, model=model)
    callbacks.set_params({"verbose": verbose, "epochs": 2, "steps": steps})
    callbacks.on_train_begin()
    for epoch in range(2):
        callbacks.on_epoch_begin(epoch)
        for batch in range(3):
            if progress.progbar:
                progress.progbar._last_update = 0  # no line is left out because it comes too soon
                progress.progbar._start -= 50 * (batch + 1)  # a slow training has the longest times
            callbacks.on_train_batch_end(batch, dict.fromkeys(NAMES, values[batch]))
        callbacks.on_epoch_end(epoch, {**dict.fromkeys(NAMES, values[0]), "seconds": 36000.123})
    callbacks.on_train_end()


@pytest.mark.backend_free
@pytest.mark.parametrize("steps", [3, 938, 12500])
@pytest.mark.parametrize("values", [(0.6931, 1.38629, 123.456), (-1234.5, 9.87e9, -0.000123), (0.0, 99999.9, -1e12)])
def test_progress_of_twenty_logs_fits_a_terminal(terminal, steps, values):
    assert len(NAMES) == 20
    lines = terminal(lambda: epochs(common.Progress(), Namespace(players=PLAYERS), steps, values))
    assert max(map(len, lines)) <= 79, max(lines, key=len)
    bars = [line for line in lines if "/step" in line]
    assert len(bars) == 2 * 4
    for line in bars:
        assert re.findall(r" - (\w+): ", line) == ["clas", "disc", "gene"]
        assert "━" in line
    assert sum(line.startswith("Epoch ") for line in lines) == 2


@pytest.mark.backend_free
def test_values_are_the_losses(terminal):
    lines = terminal(lambda: epochs(common.Progress(), Namespace(players=PLAYERS), 3, (0.6931, 1.38629, 123.456)))
    bars = [line for line in lines if "/step" in line]
    for line, value in zip(bars, ["0.693", "1.386", "123.5", "0.693"] * 2, strict=True):
        assert line.count(f": {value}") == 3


@pytest.mark.backend_free
def test_losses_of_a_plain_model(terminal):
    names = NAMES[:]
    NAMES.append("loss")
    try:
        lines = terminal(lambda: epochs(common.Progress(), Namespace(), 3, (0.5, 0.25, 0.125)))
    finally:
        NAMES[:] = names
    assert [re.findall(r" - (\w+: \S+)", line) for line in lines if "/step" in line][0] == ["loss: 0.500"]


@pytest.mark.backend_free
def test_one_short_line_an_epoch_where_there_is_no_terminal(capsys):
    epochs(common.Progress(), Namespace(players=PLAYERS), 938, (0.6931, 1.38629, 123.456), verbose=2)
    lines = capsys.readouterr().out.splitlines()
    losses = "clas: 0.693 - disc: 0.693 - gene: 0.693"
    assert lines == [f"Epoch 1/2 - 36000s - {losses}", f"Epoch 2/2 - 36000s - {losses}"]


@pytest.mark.only_on("jax")
def test_keras_shows_this_bar_and_no_other(terminal, tmp_path):
    network = lambda: keras.Sequential([keras.Input((2,)), keras.layers.Dense(2)])  # noqa: E731
    inputs = keras.Input((2,))
    logits = keras.layers.Dense(1)(inputs)
    model = kgan.GAN(network(), keras.Model(inputs, {"logits": logits, "features": inputs}), 2)
    model.compile()
    batches = kgan.data.Batches(np.zeros((12, 2), "float32"), None, 4, seed=0)
    options = Namespace(resume=False, epochs=2, devices=1, steps=None)
    lines = terminal(lambda: common.train(model, batches, tmp_path, options))
    assert max(map(len, lines)) <= 79
    finished = [line for line in lines if line.startswith("3/3")]
    assert {line.count(" - ") for line in finished} == {2} and "disc: " in finished[0] and "gene: " in finished[0]
    assert sum(line.startswith("Epoch ") for line in lines) == 2
    header = (tmp_path / "train.csv").read_text().splitlines()[0].split(",")
    assert {*(metric.name for metric in model.metrics), "epoch", "seconds"} <= set(header)


# === Resume ===


@pytest.mark.backend_free
def test_only_a_resumed_run_reads_what_is_there(tmp_path):
    path = tmp_path / "result.json"
    assert common.keep(path, lambda: {"top1": 1.5}, Namespace(resume=True)) == {"top1": 1.5}
    assert common.keep(path, lambda: 1 / 0, Namespace(resume=True)) == {"top1": 1.5}
    assert common.keep(path, lambda: {"top1": 2.5}, Namespace(resume=False)) == {"top1": 2.5}
    assert json.loads(path.read_text()) == {"top1": 2.5}


@pytest.mark.backend_free
@pytest.mark.parametrize(
    ("recipe", "model"),
    [
        ("cvaegan_augmentation", "CVAEGAN"),
        ("mmssit_edges_shoes", "MMSSIT"),
        ("textfilter_student", "TextStudent"),
    ],
)
def test_a_new_process_knows_the_models_that_it_resumes(recipe, model):
    """Their classes are registered on import, and `kgan` imports them on first use."""
    code = f"import {recipe}, keras; assert keras.saving.get_registered_object('kgan>{model}')"
    root = str(RECIPES.parent)
    env = {**os.environ, "PYTHONPATH": os.pathsep.join([root, os.environ.get("PYTHONPATH", "")])}
    done = subprocess.run([sys.executable, "-c", code], cwd=RECIPES, env=env, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


# === The end of a run ===


@pytest.mark.backend_free
def test_last_lines_say_where_to_look(tmp_path, capsys):
    common.finish(tmp_path, "# A table\n", tmp_path / "samples.png")
    assert capsys.readouterr().out.splitlines()[-2:] == [
        f"Pictures: {tmp_path}/samples.png",
        f"TensorBoard: tensorboard --logdir {tmp_path}",
    ]
    assert (tmp_path / "results.md").read_text() == "# A table\n"
    common.finish(tmp_path, "# A table\n")
    assert "Pictures" not in capsys.readouterr().out


@pytest.mark.only_on("tensorflow")
def test_several_small_networks_bring_no_warning(caplog):
    for _ in range(7):
        network = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)])
        network.predict(np.zeros((3, 2)), verbose=0)
    logging.getLogger("tensorflow").warning("of something else")
    assert [record.getMessage() for record in caplog.records] == ["of something else"]


@pytest.mark.backend_free
def test_a_table_has_a_column_for_each_header():
    assert common.table({"a": [1, 2], "b": ("x", "y")}) == "| a | b |\n| --- | --- |\n| 1 | x |\n| 2 | y |\n"
    with pytest.raises(ValueError):
        common.table({"a": [1, 2], "b": ["x"]})


@pytest.mark.backend_free
def test_no_recipe_imports_another():
    """Recipes are the scripts; what they import may not be one."""
    texts = {path.stem: path.read_text() for path in RECIPES.glob("*.py")}
    recipes = {name for name, text in texts.items() if "common.run(main)" in text}
    imported = {found for text in texts.values() for found in re.findall(r"^(?:from|import) (\w+)", text, re.M)}
    assert len(recipes) == 10 and not recipes & imported


@pytest.mark.backend_free
def test_card_of_a_preset_names_no_places(tmp_path, monkeypatch):
    words = "x.py --data mnist_m:/home/me/MNIST:/photos --target mnist:/home/me --out /a --resume --seed 3 --out=/b"
    monkeypatch.setattr(sys, "argv", words.split())
    options = Namespace(data="mnist_m:/home/me/MNIST:/photos", target="mnist:/home/me", resume=True)
    common.save_preset(tmp_path, kgan.CGAN(2, 32, width=0.05), ["a", "b"], {"top1": 97.5}, options)
    card = kgan.presets.read_card(tmp_path / "preset")
    assert card["data"] == "mnist_m and mnist" and card["figures"] == {"top1": 97.5}
    assert card["command"] == "python recipes/x.py --data mnist_m:PATH --target mnist:PATH --seed 3"
    common.save_preset(tmp_path, kgan.CGAN(2, 32, width=0.05), ["c", "d"], {"top1": 1.0}, options)
    assert kgan.presets.read_card(tmp_path / "preset") == card  # of the run that trained


@pytest.mark.backend_free
def test_a_model_that_presets_have_no_room_for_ends_no_run(tmp_path, capsys):
    options = Namespace(data="digits", resume=False)
    for width, number in ((1.5, 1.0), (0.05, float("nan"))):
        common.save_preset(tmp_path, kgan.CGAN(2, 32, width=width), ["a", "b"], {"top1": number}, options)
        error = capsys.readouterr().err
        assert error.startswith(f"{tmp_path} gets no preset: ") and error.count("\n") == 1
        assert not (tmp_path / "preset").exists()


# === Several devices ===


@pytest.mark.parametrize(
    ("count", "batch_size", "message"),
    [
        (3, 33, {"jax": "finds 2, gpu:0, gpu:1; XLA_FLAGS=", "tensorflow": "finds 2, gpu:0, gpu:1.$"}),
        (2, 33, dict.fromkeys(("jax", "tensorflow"), "--devices 2: they cannot share gan_batch_size=33")),
    ],
)
def test_devices_that_are_not_there_or_cannot_share(count, batch_size, message, monkeypatch):
    monkeypatch.setattr(keras.distribution, "list_devices", lambda: ["gpu:0", "gpu:1"])
    devices.check(Namespace(devices=1, gan_batch_size=batch_size))
    with pytest.raises(ValueError, match=message.get(keras.backend.backend(), "one device with PyTorch")):
        devices.check(Namespace(devices=count, gan_batch_size=batch_size))
    if keras.backend.backend() != "torch":
        devices.check(Namespace(devices=2, gan_batch_size=32))


@pytest.mark.backend_free
def test_a_run_is_resumed_on_other_devices(tmp_path):
    options = {"out": tmp_path / "run", "epochs": 3}
    common.open_run(Namespace(**options, resume=False, devices=2))
    common.check_run(Namespace(**options, resume=True, devices=1))
    with pytest.raises(ValueError, match="epochs was 3, is 4"):
        common.check_run(Namespace(**options | {"epochs": 4}, resume=True, devices=2))


@pytest.mark.backend_free
def test_a_run_is_resumed_by_a_recipe_that_has_got_more_options(tmp_path):
    run = Namespace(out=tmp_path / "run", epochs=3, ablate=None)
    common.open_run(Namespace(**vars(run), resume=False))
    common.check_run(Namespace(**vars(run), resume=True, separate=False, average=0.0, generator_width=None))
    with pytest.raises(ValueError, match="separate was None, is True.$"):
        common.check_run(Namespace(**vars(run), resume=True, separate=True, average=0.0))
    with pytest.raises(ValueError, match="ablate was None, is 'D'.$"):
        common.check_run(Namespace(**vars(run) | {"ablate": "D"}, resume=True))
    with pytest.raises(ValueError, match="epochs was 3, is None.$"):
        common.check_run(Namespace(out=run.out, ablate=None, resume=True))
