import csv
import json
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image
from scipy import stats

from kgan.metrics import ring_coverage

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "recipes"))
import cvaegan_ring as recipe  # noqa: E402

TINY = ["--epochs", "2", "--iterations", "10"]


def command_line(*arguments):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "argv", ["cvaegan_ring.py", *map(str, arguments)])
        recipe.common.run(recipe.main)


def read(path):
    return json.loads(path.read_text())


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    out = tmp_path_factory.mktemp("runs") / "ring"
    command_line("--out", out, *TINY)
    return out


# === The run ===


@pytest.mark.only_on("jax")
def test_run_writes_what_it_promises(finished):
    for name in ("options.json", "metrics.json", "results.md", *(f"{m}-seed0/model.keras" for m in recipe.MODELS)):
        assert (finished / name).stat().st_size > 0
    for name in ("ring.png", "on_ring.png", "angular_coverage.png"):
        with Image.open(finished / name) as picture:
            assert min(picture.size) > 300
    for method in recipe.MODELS:
        folder = finished / f"{method}-seed0"
        assert np.load(folder / "samples" / "epoch-0002.npy").shape == (500, 2)
        assert list((folder / "logs").iterdir()) and list((folder / "checkpoints").iterdir())
    assert not list(finished.rglob("writing*"))


@pytest.mark.only_on("jax")
def test_metrics_are_those_of_each_epoch(finished):
    results = read(finished / "metrics.json")
    assert list(results) == ["gan", "wgan", "fm"]
    for method, by_seed in results.items():
        assert list(by_seed) == ["0"]
        assert [m["iteration"] for m in by_seed["0"]] == [10, 20]
        with (finished / f"{method}-seed0" / "train.csv").open() as file:
            rows = list(csv.DictReader(file))
        for measured, row in zip(by_seed["0"], rows, strict=True):
            assert measured.keys() == {"iteration", "on_ring", "angular_coverage"}
            assert measured["on_ring"] == float(row["on_ring"]) and 0 <= measured["on_ring"] <= 1
            assert measured["angular_coverage"] == float(row["angular_coverage"])


@pytest.mark.only_on("jax")
def test_resume_repeats_what_was_lost(finished):
    before = read(finished / "metrics.json")
    folder = finished / "fm-seed0"
    lost = np.load(folder / "samples" / "epoch-0002.npy")
    for path in (folder / "model.keras", folder / "samples" / "epoch-0002.npy", finished / "metrics.json"):
        path.unlink()
    (folder / "checkpoints" / "epoch-0002.weights.h5").unlink()
    command_line("--out", finished, *TINY, "--resume")
    assert read(finished / "metrics.json") == before
    np.testing.assert_allclose(np.load(folder / "samples" / "epoch-0002.npy"), lost, rtol=1e-5, atol=1e-5)


@pytest.mark.backend_free
@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--data", "digits"], "--data digits"),
        (["--models", "vae"], "invalid choice: 'vae'"),
        (["--iterations", "0"], "must be 1 or more"),
    ],
)
def test_what_the_user_can_mend_is_one_line(arguments, message, tmp_path, capsys):
    with pytest.raises(SystemExit) as stopped:
        command_line("--out", tmp_path / "run", *TINY, *arguments)
    assert stopped.value.code == 2
    assert message in capsys.readouterr().err.strip().splitlines()[-1]
    assert not (tmp_path / "run").exists()


# === The table ===


@pytest.mark.backend_free
def test_a_ring_is_learnt_at_90_percent_and_all_sectors():
    def run(*measured):
        return [
            {"iteration": 10 * (i + 1), "on_ring": on, "angular_coverage": cover}
            for i, (on, cover) in enumerate(measured)
        ]

    results = {
        "gan": {"0": run((0.95, 0.5), (0.89, 1.0)), "1": run((0.95, 0.5), (0.91, 1.0))},
        "fm": {"0": run((0.9, 1.0), (0.8, 1.0)), "1": run((1.0, 1.0), (1.0, 1.0))},
    }
    options = SimpleNamespace(epochs=2, iterations=10, learning_rate=5e-5, data="ring", preset="quick", seed=0, seeds=2)
    rows = [[c.strip() for c in r.split("|")[1:-1]] for r in recipe.results_table(results, options).splitlines()]
    table = {row[0]: row[2:] for row in rows if row}
    assert table["GAN"] == ["never, 20", "90.0 ± 1.4", "100.0 ± 0.0"]
    assert table["mean feature matching"] == ["10, 10", "90.0 ± 14.1", "100.0 ± 0.0"]


# === Data and networks ===


@pytest.mark.backend_free
def test_ring_is_what_it_says():
    x, y = (recipe.ring(20_000, seed=3).astype("float64") - recipe.CENTRE).T
    distances, turns = np.hypot(x, y), np.arctan2(y, x) / (2 * np.pi) % 1
    assert stats.kstest(distances, stats.norm(recipe.RADIUS, recipe.STD).cdf).pvalue > 0.01
    assert stats.kstest(turns, "uniform").pvalue > 0.01
    assert abs(stats.spearmanr(distances, turns).statistic) < 0.03
    measured = ring_coverage(recipe.ring(20_000, seed=3), recipe.CENTRE, recipe.RADIUS, recipe.STD)
    assert measured["on_ring"] == pytest.approx(2 * stats.norm.cdf(3) - 1, abs=0.002)
    assert measured["angular_coverage"] == 1


@pytest.mark.backend_free
def test_ring_depends_on_the_seed_alone():
    np.testing.assert_array_equal(recipe.ring(50, seed=1), recipe.ring(50, seed=1))
    assert not np.array_equal(recipe.ring(50, seed=1), recipe.ring(50, seed=2))
    assert recipe.ring(50, seed=1).dtype == np.float32


@pytest.mark.backend_free
def test_networks_are_those_of_section_4():
    generator, discriminator = recipe.networks()
    for network, inputs, outputs in ((generator, recipe.LATENT_DIM, 2), (discriminator, 2, 1)):
        kernels = [tuple(w.shape) for w in network.trainable_variables if len(w.shape) == 2]
        assert kernels == [(inputs, 32), (32, 64), (64, 64), (64, outputs)]
    # The features are the input of the last layer.
    points = recipe.ring(8, seed=0)
    outputs = {name: np.asarray(value) for name, value in discriminator.predict(points, verbose=0).items()}
    kernel, bias = (w.numpy() for w in discriminator.layers[-1].weights)
    np.testing.assert_allclose(outputs["features"] @ kernel + bias, outputs["logits"], rtol=1e-4, atol=1e-3)


@pytest.mark.backend_free
@pytest.mark.parametrize(("epochs", "shown"), [(1, [1]), (6, [1, 2, 3, 4, 5, 6]), (60, [10, 20, 30, 40, 50, 60])])
def test_figure_shows_six_epochs_and_the_last(epochs, shown):
    assert recipe.shown_epochs(SimpleNamespace(epochs=epochs)) == shown
