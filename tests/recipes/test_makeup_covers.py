"""The recipe of the network that finds what is in front of a face, on a few faces, and its loss."""

import json

import keras
import makeup_covers as recipe
import numpy as np
import pytest
from PIL import Image
from sklearn.metrics import log_loss

from kgan.data.faces.covered import KINDS


@pytest.mark.only_on("torch")
def test_run_and_resume(start, tmp_path):
    arguments = "--count 70 --test-count 30 --epochs 2 --width 0.25 --out".split() + [tmp_path / "run"]
    assert start(*arguments)[0] == 0
    run = tmp_path / "run"
    metrics = json.loads((run / "metrics.json").read_text())
    assert set(metrics) <= set(KINDS) and len(metrics) > 3 and all(0 <= value <= 1 for value in metrics.values())
    table = (run / "results.md").read_text()
    for kind, value in metrics.items():
        assert f"| {kind} | {value:.3f} |" in table
    with Image.open(run / "covers.png") as image:
        assert image.width > 12 * 128 and image.height > 3 * 128
    # A run that was stopped after its first epoch sees the same batches as one that went on.
    trained = [w.copy() for w in keras.saving.load_model(run / "model.keras").get_weights()]
    for path in (run / "metrics.json", run / "model.keras", run / "checkpoints" / "epoch-0002.weights.h5"):
        path.unlink()
    assert start(*arguments, "--resume")[0] == 0
    for one, other in zip(keras.saving.load_model(run / "model.keras").get_weights(), trained, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-3, atol=1e-5)
    again = json.loads((run / "metrics.json").read_text())
    assert again == {kind: pytest.approx(value, abs=1e-3) for kind, value in metrics.items()}


def test_other_data_are_refused(start, tmp_path):
    status, error = start("--data", "mt:faces", "--out", tmp_path / "run")
    assert status == 2 and "--data mt:faces: this recipe learns from synthetic/faces alone" in error
    assert not (tmp_path / "run").exists()


def test_the_loss_counts_what_is_seen():
    rng = np.random.default_rng(0)
    hidden, seen = rng.integers(0, 2, (3, 8, 8, 1)) * 255, rng.integers(0, 2, (3, 8, 8, 1)) * 255
    logits = rng.normal(size=(3, 8, 8, 1)).astype("float32")
    value = float(keras.ops.convert_to_numpy(recipe.cover_loss(np.concatenate([hidden, seen], -1), logits)))
    chance, truth, at = 1 / (1 + np.exp(-logits.astype("float64"))), hidden / 255, seen > 0
    entropy = log_loss(truth[at], chance[at], labels=[0, 1]) * at.sum() / (at.sum() + 1)
    both = (truth * chance * at).sum(axis=(1, 2, 3))
    dice = 1 - 2 * both / ((truth + chance) * at).sum(axis=(1, 2, 3))
    assert value == pytest.approx(entropy + 0.5 * dice.mean(), rel=1e-5)


def test_overlaps():
    cover = np.zeros((3, 4, 4, 1), "uint8")
    cover[0, :2], cover[1, :, :1] = 255, 255
    found = np.zeros((3, 4, 4, 1))
    found[0, :1], found[1, :, :2], found[2, 0, 0] = 0.9, 0.6, 1
    kinds = [list(KINDS).index(kind) for kind in ("hand", "hand", "nothing")]
    test = {"cover": cover, "visible": np.full_like(cover, 255), "kind": np.array(kinds)}
    assert recipe.overlaps(found, test) == {"nothing": 15 / 16, "hand": 0.5}
    test["visible"][1, :, 1] = 0  # what is not seen does not count
    assert recipe.overlaps(found, test) == {"nothing": 15 / 16, "hand": 0.75}
    test["visible"][1, :, 0] = 0  # nor does a hand that hides nothing which is seen
    assert recipe.overlaps(found, test) == {"nothing": 15 / 16, "hand": 0.5}
