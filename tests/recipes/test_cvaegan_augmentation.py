import json
import sys
from itertools import combinations
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

import kgan

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "recipes"))
import cvaegan_augmentation as recipe  # noqa: E402

TINY = "--data digits --count 120 --held-out 4 --epochs 1 --width 0.03 --per-identity 3 --new-identities 2".split()
TINY += "--per-new-identity 4 --recogniser-images 200".split()


def command_line(*arguments):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "argv", ["cvaegan_augmentation.py", *map(str, arguments)])
        recipe.common.run(recipe.main)


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    out = tmp_path_factory.mktemp("runs") / "augmentation"
    command_line("--out", out, *TINY)
    return out


def read(path):
    return json.loads(path.read_text())


# === The run ===


@pytest.mark.only_on("torch")
def test_run_writes_what_it_promises(finished):
    for name in ("options.json", "metrics.json", "results.md", "seed0/model.keras", "seed0/samples.png"):
        assert (finished / name).stat().st_size > 0
    for name in ("seed0/train.csv", "seed0/samples/epoch-0001.png", "seed0/checkpoints", "seed0/logs"):
        assert (finished / name).exists()
    assert not list(finished.rglob("writing*"))
    numbers = read(finished / "metrics.json")
    assert list(numbers) == ["none", "existing", "new"]
    assert [numbers[s]["0"]["generated_images"] for s in numbers] == [0, 6 * 3, 2 * 4]
    for strategy, by_seed in numbers.items():
        assert list(by_seed) == ["0"]
        assert by_seed["0"]["real_images"] == 6 * 12
        assert by_seed["0"]["pairs"] >= 20 * recipe.FOLDS
        assert 40 < by_seed["0"]["verification"] <= 100
        assert 25 < by_seed["0"]["nearest_neighbour"] <= 100
        assert by_seed["0"] == read(finished / "seed0" / f"{strategy}.json")


@pytest.mark.only_on("torch")
def test_table_is_that_of_the_metrics(finished):
    text = (finished / "results.md").read_text()
    numbers = read(finished / "metrics.json")
    for strategy, reported in (("none", 91.87), ("existing", 92.77), ("new", 92.98)):
        title = recipe.REPORTED[strategy][0]
        row = [cell.strip() for cell in next(r for r in text.splitlines() if title in r).split("|")[1:-1]]
        ours = numbers[strategy]["0"]
        assert float(row[2]) == reported
        assert float(row[5]) == pytest.approx(ours["verification"], abs=0.0051)
        gain = ours["verification"] - numbers["none"]["0"]["verification"]
        assert float(row[6]) == pytest.approx(gain, abs=0.0051)
        assert float(row[7]) == pytest.approx(ours["nearest_neighbour"], abs=0.0051)


@pytest.mark.backend_free
def test_gain_is_taken_seed_by_seed():
    def numbers(verification):
        return {"real_images": 9, "generated_images": 0, "verification": verification, "nearest_neighbour": 50.0}

    results = {
        "none": {"0": numbers(60.0), "1": numbers(90.0)},
        "existing": {"0": numbers(61.0), "1": numbers(91.0)},
        "new": {"0": numbers(60.0), "1": numbers(92.0)},
    }
    text = recipe.results_table(results)
    assert "| 76.00 ± 21.21 | 1.00 ± 0.00 |" in text
    assert "| 76.00 ± 22.63 | 1.00 ± 1.41 |" in text


@pytest.mark.only_on("torch")
def test_resume_reads_finished_parts_and_repeats_the_others(finished):
    before = read(finished / "metrics.json")
    (finished / "metrics.json").unlink()
    (finished / "seed0" / "new.json").unlink()
    kept = finished / "seed0" / "existing.json"
    kept.write_text(json.dumps(before["existing"]["0"] | {"nearest_neighbour": 12.5}))  # a number no run would give
    command_line("--out", finished, *TINY, "--resume")
    after = read(finished / "metrics.json")
    assert after["existing"]["0"]["nearest_neighbour"] == 12.5
    assert after["none"] == before["none"]
    assert after["new"] == before["new"]
    recipe.common.write(finished / "metrics.json", before)
    recipe.common.write(kept, before["existing"]["0"])


@pytest.mark.backend_free
@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--held-out", "8"], "--held-out 8: digits has 10 classes"),
        (["--held-out", "1"], "--held-out 1"),
        (["--new-identities", "21"], "6 identities allow 1 to 20 mixes"),
        (["--count", "70"], "0 classes of 8"),
    ],
)
def test_what_the_user_can_mend_is_one_line(arguments, message, tmp_path, capsys):
    with pytest.raises(SystemExit) as stopped:
        command_line("--out", tmp_path / "run", *TINY, *arguments)
    error = capsys.readouterr().err.strip().splitlines()[-1]
    assert stopped.value.code == 2
    assert error.startswith("error: ") and message in error
    assert not (tmp_path / "run").exists()


@pytest.mark.only_on("torch")
def test_a_finished_run_is_not_overwritten(finished, capsys):
    with pytest.raises(SystemExit) as stopped:
        command_line("--out", finished, *TINY)
    assert stopped.value.code == 2 and "--resume" in capsys.readouterr().err
    with pytest.raises(SystemExit) as stopped:
        command_line("--out", finished, *TINY, "--width", "0.5", "--resume")
    assert stopped.value.code == 2 and "width was 0.03, is 0.5" in capsys.readouterr().err


# === Identities ===


@pytest.mark.backend_free
def test_unseen_identities_are_not_trained_on():
    options = SimpleNamespace(data="digits", image_size=32, count=200, held_out=3)
    (images, labels), (unseen_images, unseen_labels) = recipe.split_identities(1, options)
    train, test = (kgan.data.load("digits", split, count=n, seed=1) for split, n in (("train", 200), ("test", None)))
    unseen = np.unique(unseen_labels)
    known = np.setdiff1d(np.arange(10), unseen)
    assert len(unseen) == 3
    np.testing.assert_array_equal(images, train[0][np.isin(train[1], known)])
    np.testing.assert_array_equal(known[labels], train[1][np.isin(train[1], known)])
    np.testing.assert_array_equal(unseen_images, test[0][np.isin(test[1], unseen)])
    np.testing.assert_array_equal(unseen_labels, test[1][np.isin(test[1], unseen)])
    choices = {tuple(np.unique(recipe.split_identities(seed, options)[1][1])) for seed in range(4)}
    assert len(choices) > 1


@pytest.mark.backend_free
def test_mixes_are_different_sets_of_three():
    mixes = recipe.draw_mixes(7, 30, seed=2)
    assert len(set(mixes)) == 30 and set(mixes) <= set(combinations(range(7), 3))
    assert recipe.draw_mixes(7, 35, seed=0) == list(combinations(range(7), 3))
    assert mixes == recipe.draw_mixes(7, 30, seed=2) != recipe.draw_mixes(7, 30, seed=3)


@pytest.mark.backend_free
def test_generated_images_follow_the_real_ones_under_new_labels():
    class Model:
        def mix_identities(self, labels, seed):
            return np.broadcast_to(np.mean(labels, axis=1).reshape(-1, 1, 1, 1) / 10, (len(labels), 4, 4, 1))

    images = np.linspace(-1, 1, 3 * 16, dtype="float32").reshape(3, 4, 4, 1)
    labels = np.int32([0, 4, 2])
    pixels, all_labels = recipe.add_generated(Model(), images, labels, [(0, 1, 2), (2, 3, 4)], 5, 2, seed=0)
    assert pixels.dtype == np.uint8 and all_labels.dtype == np.int32
    assert all_labels.tolist() == [0, 4, 2, 5, 5, 6, 6]
    np.testing.assert_allclose(pixels[:3] / 127.5 - 1, images, atol=1 / 255 + 1e-6)
    np.testing.assert_allclose(pixels[3:, 0, 0, 0] / 127.5 - 1, [0.1, 0.1, 0.3, 0.3], atol=1 / 255 + 1e-6)


# === The verification protocol ===


@pytest.mark.backend_free
@pytest.mark.parametrize("identities", [4, 25])
def test_folds_share_no_identity_where_these_suffice_and_never_an_image(identities):
    labels = np.random.default_rng(0).permutation(np.repeat(np.arange(identities), 30))
    folds = recipe.fold_numbers(labels, seed=1)
    assert set(folds) == set(range(recipe.FOLDS))
    counts = np.array([[np.sum((labels == c) & (folds == f)) for f in range(recipe.FOLDS)] for c in range(identities)])
    if identities >= 20:
        assert (np.count_nonzero(counts, axis=1) == 1).all() and (np.count_nonzero(counts, axis=0) >= 2).all()
    else:
        assert (counts == 3).all()


@pytest.mark.backend_free
def test_pairs_are_balanced_distinct_and_inside_a_fold(monkeypatch):
    labels = np.random.default_rng(0).integers(0, 4, 200)
    folds = recipe.fold_numbers(labels, seed=0)
    monkeypatch.setattr(recipe, "PAIRS", 25)
    pairs = recipe.draw_pairs(labels, folds, seed=0)
    assert len({frozenset(pair) for pair in pairs.tolist()}) == len(pairs) == 2 * 25 * recipe.FOLDS
    assert (pairs[:, 0] != pairs[:, 1]).all() and (folds[pairs[:, 0]] == folds[pairs[:, 1]]).all()
    same = labels[pairs[:, 0]] == labels[pairs[:, 1]]
    assert np.bincount(folds[pairs[:, 0]][same]).tolist() == [25] * recipe.FOLDS
    with pytest.raises(ValueError, match="Fold 0 of 10 lacks pairs"):
        recipe.draw_pairs(np.arange(20), np.arange(20) % 10, seed=0)


@pytest.mark.backend_free
def test_measure_against_loops():
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 3, 60)
    features = rng.standard_normal((60, 5)) + 1.5 * np.eye(3, 5)[labels]
    folds = recipe.fold_numbers(labels, seed=3)
    pairs = recipe.draw_pairs(labels, folds, seed=3)
    numbers = recipe.measure(features.astype("float32"), labels, folds, pairs)
    cosine = np.array([[a @ b / np.linalg.norm(a) / np.linalg.norm(b) for b in features] for a in features])
    nearest = [max((j for j in range(60) if j != i), key=lambda j, i=i: cosine[i, j]) for i in range(60)]
    assert numbers["nearest_neighbour"] == pytest.approx(100 * np.mean(labels[nearest] == labels))
    first, second = pairs.T
    expected = kgan.metrics.verification_accuracy(cosine[first, second], labels[first] == labels[second], folds[first])
    # Similarities of float32 features may change the order of two pairs that are next to each other.
    assert numbers["verification"] == pytest.approx(100 * expected, abs=100 * 2 / len(first))
    assert numbers["pairs"] == len(first)
