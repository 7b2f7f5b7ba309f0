"""Metrics against closed forms, SciPy, scikit-learn and plain loops."""

import doctest
import tracemalloc
from itertools import combinations

import ml_dtypes
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.linalg import sqrtm
from scipy.stats import entropy, norm, ortho_group
from sklearn.datasets import load_digits

from kgan import metrics
from kgan.metrics import generative

pytestmark = pytest.mark.backend_free

seeds = st.integers(0, 2**32 - 1)


def with_moments(n, mean, root, rng):
    """Points whose sample mean is exactly `mean` and whose unbiased covariance is exactly `root @ root.T`."""
    white = rng.normal(size=(n, len(mean)))
    white -= white.mean(axis=0)
    covariance = np.atleast_2d(np.cov(white, rowvar=False))
    white @= np.linalg.inv(np.linalg.cholesky(covariance)).T
    return white @ np.transpose(root) + mean


def ring(n, modes, radius=1.0):
    angles = 2 * np.pi * np.arange(n) / modes
    return radius * np.stack([np.cos(angles), np.sin(angles)], axis=1)


def test_docstring_examples_run():
    results = doctest.testmod(generative)
    assert results.attempted > 10
    assert results.failed == 0


# --- Coverage ---------------------------------------------------------------------------------------------------------


@given(seed=seeds, n=st.integers(3, 30), m=st.integers(1, 30), k=st.integers(1, 5))
def test_coverage_counts_real_samples_with_a_generated_one_within_their_neighbours(seed, n, m, k):
    k = min(k, n - 1)
    rng = np.random.default_rng(seed)
    real, generated = rng.normal(size=(n, 3)), rng.normal(1, 1, size=(m, 3))
    covered = 0
    for i, sample in enumerate(real):
        others = np.sort(np.linalg.norm(np.delete(real, i, axis=0) - sample, axis=1))
        covered += np.linalg.norm(generated - sample, axis=1).min() <= others[k - 1]
    assert metrics.coverage(real, generated, k) == pytest.approx(covered / n)


def test_coverage_of_the_same_distribution():
    pairs = np.random.default_rng(0).normal(size=(8, 2, 2000, 2))
    found = [metrics.coverage(real, same, neighbours=3) for real, same in pairs]
    assert np.mean(found) == pytest.approx(1 - 2**-3, abs=0.01)
    assert metrics.coverage(pairs[0, 0], pairs[0, 1] + 100) == 0


@pytest.mark.parametrize("neighbours", [0, 10])
def test_coverage_needs_neighbours(neighbours):
    with pytest.raises(ValueError, match="fewer than the 10 real samples"):
        metrics.coverage(np.zeros((10, 2)), np.zeros((4, 2)), neighbours)


# --- Fréchet distance -------------------------------------------------------------------------------------------------


def test_frechet_distance_of_gaussians_with_diagonal_covariances():
    rng = np.random.default_rng(0)
    mean_a, mean_b = np.array([1.0, -2.0, 0.5]), np.array([0.0, 4.0, 0.5])
    std_a, std_b = np.array([1.0, 3.0, 0.2]), np.array([2.0, 3.0, 5.0])
    a = with_moments(50, mean_a, np.diag(std_a), rng)
    b = with_moments(70, mean_b, np.diag(std_b), rng)
    expected = ((mean_a - mean_b) ** 2).sum() + ((std_a - std_b) ** 2).sum()
    assert metrics.frechet_distance(a, b) == pytest.approx(expected, rel=1e-10)


def test_frechet_distance_of_one_feature():
    rng = np.random.default_rng(0)
    a, b = with_moments(9, [2.0], [[3.0]], rng), with_moments(5, [5.0], [[1.0]], rng)
    assert metrics.frechet_distance(a, b) == pytest.approx(3.0**2 + 2.0**2, rel=1e-10)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_frechet_distance_agrees_with_the_matrix_root_of_scipy(dtype):
    rng = np.random.default_rng(1)
    a = (rng.normal(size=(200, 24)) @ rng.normal(size=(24, 24))).astype(dtype)
    b = (rng.normal(size=(300, 24)) @ rng.normal(size=(24, 24)) + 0.3).astype(dtype)
    a64, b64 = a.astype("float64"), b.astype("float64")
    cov_a, cov_b = np.cov(a64, rowvar=False), np.cov(b64, rowvar=False)
    shift = ((a64.mean(axis=0) - b64.mean(axis=0)) ** 2).sum()
    expected = shift + np.trace(cov_a + cov_b - 2 * sqrtm(cov_a @ cov_b).real)
    assert metrics.frechet_distance(a, b) == pytest.approx(expected, rel=1e-9)


def test_frechet_distance_stays_exact_with_constant_features():
    rng = np.random.default_rng(2)
    a, b = rng.normal(size=(400, 5)), 2 * rng.normal(size=(400, 5)) + 1
    embed = ortho_group.rvs(60, random_state=0)[:5]  # 5 features that vary, hidden in 60
    assert metrics.frechet_distance(a @ embed, b @ embed) == pytest.approx(metrics.frechet_distance(a, b), rel=1e-11)


def test_frechet_distance_of_real_digits_is_zero_to_themselves_and_grows_with_collapse():
    digits = load_digits().data  # three of the 64 pixels are constant
    assert metrics.frechet_distance(digits, digits[::-1]) == pytest.approx(0.0, abs=1e-9)
    half, other_half = digits[::2], digits[1::2]
    two_classes = digits[load_digits().target < 2]
    one_point = np.repeat(digits[:1], 100, axis=0)
    distances = [metrics.frechet_distance(half, x) for x in (other_half, two_classes, one_point)]
    assert distances == sorted(distances)
    total_variance = half.var(axis=0, ddof=1).sum()
    assert distances[2] == pytest.approx(total_variance + ((half.mean(axis=0) - digits[0]) ** 2).sum(), rel=1e-9)


@settings(max_examples=25, deadline=None)
@given(seed=seeds, features=st.integers(1, 6), scale=st.floats(0.01, 100.0))
def test_frechet_distance_is_symmetric_and_ignores_order_rotation_and_common_shift(seed, features, scale):
    rng = np.random.default_rng(seed)
    a, b = rng.normal(size=(20, features)), rng.normal(size=(30, features)) @ rng.normal(size=(features, features)) + 1
    expected = pytest.approx(metrics.frechet_distance(a, b), rel=1e-8)
    rotation = np.linalg.qr(rng.normal(size=(features, features)))[0]
    assert metrics.frechet_distance(b, a) == expected
    assert metrics.frechet_distance(rng.permutation(a), b) == expected
    assert metrics.frechet_distance(a @ rotation, b @ rotation) == expected
    assert metrics.frechet_distance(a + scale, b + scale) == expected
    assert metrics.frechet_distance(a * scale, b * scale) / scale**2 == expected


@pytest.mark.parametrize("n", [5, 8])
def test_frechet_distance_refuses_too_few_samples(n):
    rng = np.random.default_rng(0)
    few, enough = rng.normal(size=(n, 8)), rng.normal(size=(9, 8))
    assert metrics.frechet_distance(enough, enough + 1) == pytest.approx(8.0)
    with pytest.raises(ValueError, match=f"{n} generated samples of 8 features .* at least 9"):
        metrics.frechet_distance(enough, few)
    with pytest.raises(ValueError, match=f"{n} real samples"):
        metrics.frechet_distance(few, enough)


# --- Kernel distance --------------------------------------------------------------------------------------------------


def test_kernel_distance_agrees_with_the_kernel_of_scikit_learn():
    rng = np.random.default_rng(3)
    x, y = rng.normal(size=(40, 7)), rng.normal(size=(40, 7)) * 1.5 + 0.2
    xx, yy, xy = ((a @ b.T / a.shape[1] + 1) ** 3 for a, b in ((x, x), (y, y), (x, y)))
    different = ~np.eye(40, dtype=bool)
    expected = xx[different].mean() + yy[different].mean() - 2 * xy.mean()
    assert metrics.kernel_distance(x, y, subsets=1, subset_size=40) == pytest.approx(expected, rel=1e-10)


def test_kernel_distance_of_two_constant_sets():
    # Every kernel value is the same in a block: (4 / 2 + 1)^3 + (0 + 1)^3 - 2 (0 + 1)^3 with x = (2, 0), y = 0.
    x, y = np.tile([2.0, 0.0], (10, 1)), np.zeros((10, 2))
    assert metrics.kernel_distance(x, y, subsets=3, subset_size=5) == pytest.approx(27 + 1 - 2, rel=1e-12)


def test_kernel_distance_is_unbiased():
    rng = np.random.default_rng(4)
    values = [
        metrics.kernel_distance(*rng.normal(size=(2, 12, 3)), subsets=1, subset_size=12, seed=seed)
        for seed in range(400)
    ]
    standard_error = np.std(values) / np.sqrt(len(values))
    assert min(values) < 0 < max(values)
    assert abs(np.mean(values)) < 4 * standard_error


def test_kernel_distance_repeats_for_a_seed_and_draws_other_subsets_for_another():
    x, y = np.random.default_rng(5).normal(size=(2, 100, 4))
    first = metrics.kernel_distance(x, y, subsets=5, subset_size=30, seed=1)
    assert metrics.kernel_distance(x, y, subsets=5, subset_size=30, seed=1) == first
    assert metrics.kernel_distance(x, y, subsets=5, subset_size=30, seed=2) != first


@settings(max_examples=25, deadline=None)
@given(seed=seeds)
def test_kernel_distance_is_symmetric_and_ignores_order_and_rotation(seed):
    rng = np.random.default_rng(seed)
    x, y = rng.normal(size=(2, 15, 4))
    y += 1.0
    rotation = np.linalg.qr(rng.normal(size=(4, 4)))[0]
    expected = pytest.approx(metrics.kernel_distance(x, y, subsets=1, subset_size=15), rel=1e-8, abs=1e-9)
    assert metrics.kernel_distance(y, x, subsets=1, subset_size=15) == expected
    assert metrics.kernel_distance(rng.permutation(x), y, subsets=1, subset_size=15) == expected
    assert metrics.kernel_distance(x @ rotation, y @ rotation, subsets=1, subset_size=15) == expected


@pytest.mark.parametrize("subset_size", [0, 1, 21, 1000])
def test_kernel_distance_refuses_a_subset_size_that_does_not_fit(subset_size):
    x, y = np.zeros((30, 2)), np.zeros((20, 2))
    assert metrics.kernel_distance(x, y, subset_size=20) == 0.0
    with pytest.raises(ValueError, match=f"subset_size={subset_size} .* 30 real and 20 generated .* 2 to 20"):
        metrics.kernel_distance(x, y, subset_size=subset_size)
    with pytest.raises(ValueError, match="subsets=0"):
        metrics.kernel_distance(x, y, subsets=0, subset_size=5)


@pytest.mark.parametrize("distance", [metrics.frechet_distance, metrics.kernel_distance])
def test_distances_refuse_features_that_do_not_fit(distance):
    good = np.random.default_rng(0).normal(size=(20, 3))
    bad = good.copy()
    bad[[4, 7], 0] = np.nan, np.inf
    with pytest.raises(ValueError, match="generated_features hold NaN or infinity in 2 of 20 rows"):
        distance(good, bad)
    with pytest.raises(ValueError, match="real_features have 3 columns, generated_features 2"):
        distance(good, good[:, :2])
    with pytest.raises(ValueError, match=r"real_features must be .*; got shape \(20, 3, 1\)"):
        distance(good[:, :, None], good)
    with pytest.raises(ValueError, match=r"got shape \(0, 3\)"):
        distance(good, good[:0])


# --- Inception score --------------------------------------------------------------------------------------------------


def test_inception_score_of_mixed_certainty():
    # Two classes, each prediction 0.9 / 0.1 or its mirror: log 2 minus the entropy of one prediction.
    probabilities = np.array([[0.9, 0.1], [0.1, 0.9]] * 30)
    mean, std = metrics.inception_score(probabilities, splits=1)
    assert mean == pytest.approx(np.exp(np.log(2) - entropy([0.9, 0.1])), rel=1e-12)
    assert std == 0.0


def test_inception_score_runs_from_one_to_the_number_of_classes():
    sure = np.eye(5)[np.arange(50) % 5]
    assert metrics.inception_score(sure, splits=1)[0] == pytest.approx(5.0, rel=1e-12)
    assert metrics.inception_score(np.full((50, 5), 0.2), splits=5) == pytest.approx((1.0, 0.0), abs=1e-12)
    assert metrics.inception_score(sure[::5], splits=2) == pytest.approx((1.0, 0.0), abs=1e-12)  # one class only


def test_inception_score_is_the_mean_and_spread_of_its_splits():
    probabilities = np.random.default_rng(0).dirichlet(np.ones(4), size=103).astype("float32")
    parts = np.array_split(np.random.default_rng(7).permutation(probabilities), 10)
    scores = [np.exp(np.mean([entropy(p, part.mean(axis=0, dtype="float64")) for p in part])) for part in parts]
    mean, std = metrics.inception_score(probabilities, splits=10, seed=7)
    assert mean == pytest.approx(np.mean(scores), rel=1e-6)
    assert std == pytest.approx(np.std(scores), rel=1e-5)


def test_inception_score_takes_softmax_in_bfloat16():
    """Whose rows sum to 0.99 to 1.01, as under the policy mixed_bfloat16; logits are refused."""
    logits = np.random.default_rng(0).normal(0, 3, (500, 100))
    exact = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    rounded = exact.astype(ml_dtypes.bfloat16).astype("float32")
    assert np.abs(rounded.sum(axis=1) - 1).max() > 1e-3
    assert metrics.inception_score(rounded)[0] == pytest.approx(metrics.inception_score(exact)[0], rel=1e-3)
    with pytest.raises(ValueError, match="apply softmax to logits first"):
        metrics.inception_score(np.abs(logits))


def test_inception_score_of_samples_sorted_by_class():
    sorted_by_class = np.eye(10)[np.repeat(np.arange(10), 200)]
    mean, _ = metrics.inception_score(sorted_by_class)
    assert 9.5 < mean <= 10.0


def test_inception_score_refuses_what_is_no_distribution():
    with pytest.raises(ValueError, match="row sums from 2 to 2; apply softmax"):
        metrics.inception_score(np.ones((20, 2)))
    with pytest.raises(ValueError, match="minimum of -0.5"):
        metrics.inception_score(np.tile([1.5, -0.5], (20, 1)))
    with pytest.raises(ValueError, match="probabilities hold NaN"):
        metrics.inception_score(np.full((20, 2), np.nan))
    with pytest.raises(ValueError, match="splits=10 does not fit 9 samples"):
        metrics.inception_score(np.full((9, 2), 0.5))


# --- Within-class diversity -------------------------------------------------------------------------------------------


@settings(max_examples=25, deadline=None)
@given(seed=seeds, offset=st.sampled_from([0.0, 1e7]))
def test_within_class_diversity_agrees_with_a_loop(seed, offset):
    rng = np.random.default_rng(seed)
    features = rng.normal(size=(30, 3)) + offset
    labels = np.concatenate([[3, 3, -1, -1, 9], rng.integers(-1, 4, size=25)])  # 9 has one sample
    means = []
    for label in set(labels) - {-1, 9}:
        members = features[labels == label]
        if len(members) > 1:
            means.append(np.mean([np.linalg.norm(a - b) for a, b in combinations(members, 2)]))
    assert metrics.within_class_diversity(features, labels) == pytest.approx(np.mean(means), rel=1e-6)


def test_within_class_diversity_of_a_large_class_is_exact_in_bounded_memory():
    points = np.random.default_rng(0).normal(size=(5000, 1))  # 200 MB of distances
    ordered = np.sort(points[:, 0])
    pair_sum = (ordered * (2 * np.arange(5000) - 4999)).sum()  # closed form of the sum over pairs on a line
    expected = pair_sum / (5000 * 4999 / 2)
    tracemalloc.start()
    diversity = metrics.within_class_diversity(points, np.zeros(5000, int))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert diversity == pytest.approx(expected, rel=1e-7)
    assert 30e6 < peak < 150e6


def test_within_class_diversity_of_a_collapsed_class_is_zero():
    features = np.repeat([[1e3, 2e3], [3.0, 4.0]], 50, axis=0)
    assert metrics.within_class_diversity(features, np.repeat([0, 1], 50)) == pytest.approx(0.0, abs=1e-6)


def test_within_class_diversity_refuses_what_has_no_pairs():
    features = np.zeros((3, 2))
    with pytest.raises(ValueError, match="No class has two samples"):
        metrics.within_class_diversity(features, [0, 1, 2])
    with pytest.raises(ValueError, match="No class has two samples"):
        metrics.within_class_diversity(features, [-1, -1, -1])
    with pytest.raises(ValueError, match=r"labels must have shape \(3,\).*got \(2,\)"):
        metrics.within_class_diversity(features, [0, 0])


# --- Mode coverage ----------------------------------------------------------------------------------------------------


def test_mode_coverage_of_the_true_mixture():
    modes, rng = ring(8, modes=8), np.random.default_rng(0)
    samples = modes[np.arange(40_000) % 8] + 0.01 * rng.normal(size=(40_000, 2))
    result = metrics.mode_coverage(samples, modes, std=0.01)
    assert result["modes"] == 8
    assert result["high_quality"] == pytest.approx(1 - np.exp(-4.5), abs=0.003)  # radius of a 2-D Gaussian, 3 sigma
    assert result["reverse_kl"] == pytest.approx(0.0, abs=1e-4)


def test_mode_coverage_counts_hits_quality_and_divergence():
    grid = np.stack(np.meshgrid([-4, -2, 0, 2, 4], [-4, -2, 0, 2, 4]), axis=-1).reshape(-1, 2)
    inside, outside = [0.149, 0.0], [0.151, 0.0]  # 3 standard deviations are 0.15
    samples = np.concatenate([np.tile(grid[0] + inside, (3, 1)), [grid[1] - inside], [grid[2] + outside]])
    result = metrics.mode_coverage(samples, grid, std=0.05)
    assert result["modes"] == 2
    assert result["high_quality"] == pytest.approx(0.8)
    assert result["reverse_kl"] == pytest.approx(entropy([0.75, 0.25], [0.04, 0.04]) + np.log(1 / 0.08), rel=1e-12)


def test_mode_coverage_of_one_mode_and_of_none():
    modes = ring(8, modes=8)
    assert metrics.mode_coverage(modes[[3] * 9], modes, std=0.01) == {
        "modes": 1,
        "high_quality": 1.0,
        "reverse_kl": pytest.approx(np.log(8)),
    }
    nothing = metrics.mode_coverage(np.zeros((9, 2)), modes, std=0.01)
    assert nothing == {"modes": 0, "high_quality": 0.0, "reverse_kl": pytest.approx(np.nan, nan_ok=True)}


def test_mode_coverage_refuses_what_does_not_fit():
    with pytest.raises(ValueError, match="samples have 3 dimensions, modes 2"):
        metrics.mode_coverage(np.zeros((5, 3)), np.zeros((4, 2)), std=1.0)
    with pytest.raises(ValueError, match="std=0"):
        metrics.mode_coverage(np.zeros((5, 2)), np.zeros((4, 2)), std=0)


# --- Ring coverage ----------------------------------------------------------------------------------------------------


def test_ring_coverage_of_the_true_ring():
    rng = np.random.default_rng(0)
    angles, radii = rng.uniform(0, 2 * np.pi, 40_000), rng.normal(2.0, 0.05, 40_000)
    samples = 100 + radii[:, None] * np.stack([np.cos(angles), np.sin(angles)], axis=1)
    result = metrics.ring_coverage(samples, centre=(100, 100), radius=2.0, std=0.05)
    assert result["on_ring"] == pytest.approx(2 * norm.cdf(3) - 1, abs=0.002)
    assert result["angular_coverage"] == 1.0


@pytest.mark.parametrize("arc", [1, 9, 18, 36])
def test_ring_coverage_of_an_arc(arc):
    angles = np.radians(10 * np.arange(arc) + 5)  # the middles of the first sectors
    samples = [5.0, -7.0] + 3 * np.stack([np.cos(angles), np.sin(angles)], axis=1)
    result = metrics.ring_coverage(samples, centre=(5, -7), radius=3, std=0.01)
    assert result == {"on_ring": 1.0, "angular_coverage": arc / 36}


def test_ring_coverage_leaves_out_what_is_off_the_ring():
    samples = [[1.29, 0.0], [-0.71, 0.0], [0.0, 1.31], [0.0, -0.69], [0.0, 0.0]]  # 3 standard deviations are 0.3
    result = metrics.ring_coverage(samples, centre=(0, 0), radius=1, std=0.1, bins=4)
    assert result == {"on_ring": 0.4, "angular_coverage": 0.5}
    far = metrics.ring_coverage(np.zeros((10, 2)), centre=(100, 100), radius=2, std=0.1)
    assert far == {"on_ring": 0.0, "angular_coverage": 0.0}


def test_ring_coverage_puts_a_full_turn_into_the_first_sector():
    angles = np.array([0.0, -1e-17, 1e-17, 2 * np.pi])
    samples = np.stack([np.cos(angles), np.sin(angles)], axis=1)
    assert metrics.ring_coverage(samples, (0, 0), radius=1, std=0.1, bins=8)["angular_coverage"] == 1 / 8


def test_ring_coverage_refuses_what_does_not_fit():
    samples = np.zeros((5, 2))
    for wrong in ({"radius": 0}, {"std": -1}, {"bins": 0}):
        with pytest.raises(ValueError, match=f"{next(iter(wrong))}=.*more than 0"):
            metrics.ring_coverage(samples, **{"centre": (0, 0), "radius": 1, "std": 0.1, **wrong})
    with pytest.raises(ValueError, match=r"two-dimensional; got samples \(5, 3\)"):
        metrics.ring_coverage(np.zeros((5, 3)), (0, 0), radius=1, std=0.1)
    with pytest.raises(ValueError, match=r"a centre \(3,\)"):
        metrics.ring_coverage(samples, (0, 0, 0), radius=1, std=0.1)


def brute_force_verification(similarities, same, folds):
    """Loops, whole counts, and no sorting; of equally good thresholds the lowest."""
    accuracies = []
    for fold in sorted(set(folds)):
        others = [i for i in range(len(folds)) if folds[i] != fold]
        best, best_correct = None, -1
        for threshold in sorted({similarities[i] for i in others}):
            correct = sum((similarities[i] >= threshold) == same[i] for i in others)
            if correct > best_correct:
                best, best_correct = threshold, correct
        inside = [i for i in range(len(folds)) if folds[i] == fold]
        accuracies.append(sum((similarities[i] >= best) == same[i] for i in inside) / len(inside))
    return sum(accuracies) / len(accuracies)


@settings(deadline=None, max_examples=50)
@given(
    st.lists(st.tuples(st.integers(-5, 5), st.booleans(), st.integers(0, 3)), min_size=2, max_size=40).filter(
        lambda pairs: len({fold for _, _, fold in pairs}) > 1
    )
)
def test_verification_is_that_of_a_brute_force_search(pairs):
    similarities, same, folds = (np.array(column) for column in zip(*pairs, strict=True))
    expected = brute_force_verification((similarities / 5).tolist(), same.tolist(), folds.tolist())
    assert metrics.verification_accuracy(similarities / 5, same, folds) == pytest.approx(expected, abs=1e-12)


def test_threshold_does_not_come_from_the_fold_it_is_scored_on():
    """Fold 0 is as separable as the others, at another threshold: it must be scored at theirs, so half right."""
    same = np.tile([True, False], 20)
    folds = np.repeat(np.arange(4), 10)
    similarities = np.where(same, 0.5, 0.1)
    assert metrics.verification_accuracy(similarities, same, folds) == 1
    similarities[folds == 0] += 0.45
    assert metrics.verification_accuracy(similarities, same, folds) == pytest.approx((0.5 + 3) / 4)


def test_verification_refuses_what_does_not_fit():
    for wrong in (([0.1, 0.2], [True], [0, 1]), ([[0.1, 0.2]], [[True, False]], [[0, 1]])):
        with pytest.raises(ValueError):
            metrics.verification_accuracy(*wrong)
    with pytest.raises(ValueError, match="two folds"):
        metrics.verification_accuracy([0.1, 0.2], [True, False], [0, 0])
    with pytest.raises(ValueError, match="NaN"):
        metrics.verification_accuracy([0.1, np.nan], [True, False], [0, 1])
