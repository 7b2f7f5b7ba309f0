"""Metrics of generated samples, as pure functions of NumPy arrays in float64.

The caller provides the feature extractor: every function takes features, probabilities or points, never images or
models. Two values are comparable only if the extractor, the sample counts, the seed and the subset settings are equal.
"""

import numpy as np
from scipy.spatial.distance import cdist
from scipy.special import rel_entr
from sklearn.metrics import pairwise_distances_chunked
from sklearn.metrics.pairwise import polynomial_kernel
from sklearn.neighbors import NearestNeighbors

# --- Distance between two sets of features ----------------------------------------------------------------------------


def frechet_distance(real_features, generated_features):
    """Fréchet distance between the Gaussians fitted to two sets of features.

    `|m1 - m2|^2 + tr(S1 + S2 - 2 (S1^(1/2) S2 S1^(1/2))^(1/2))` with unbiased covariances (Heusel et al. 2017,
    arXiv:1706.08500, eq. 6). It is the FID only if the features come from the Inception network of the FID. The
    symmetric eigendecomposition keeps all terms real, so there is no imaginary part to discard.

    Args:
        real_features: `(n, features)`, with `n > features`.
        generated_features: `(m, features)`, with `m > features`.

    Returns:
        The distance as a float, 0 or more, in squared units of the features.

    Raises:
        ValueError: if a set has too few samples for a full-rank covariance or holds NaN or infinity, or the shapes do
            not match.

    Example:

    >>> rng = np.random.default_rng(0)
    >>> real = rng.normal(size=(1000, 8))
    >>> round(frechet_distance(real, real + 0.5), 6)  # only the mean differs: 8 * 0.5^2
    2.0
    """
    real, generated = _feature_pair(real_features, generated_features)
    features = real.shape[1]
    for name, values in (("real", real), ("generated", generated)):
        if len(values) <= features:
            raise ValueError(
                f"{len(values)} {name} samples of {features} features give a rank-deficient covariance; pass at least "
                f"{features + 1} samples, fewer features, or use kernel_distance."
            )
    real_root, generated_root = _covariance_root(real), _covariance_root(generated)
    # The trace of the root is the sum of the singular values of R1' R2. Taking square roots of the eigenvalues of the
    # full product would turn a rounding error of 1e-16 into 1e-8 for every constant feature.
    trace_of_root = np.linalg.norm(real_root.T @ generated_root, ord="nuc")
    shift = real.mean(axis=0) - generated.mean(axis=0)
    distance = shift @ shift + np.sum(real_root**2) + np.sum(generated_root**2) - 2.0 * trace_of_root
    return max(float(distance), 0.0)  # for equal sets, rounding can give a value just below zero


def _covariance_root(values):
    """Return `R` with `R R' = S`, the symmetric root of the covariance up to a rotation."""
    eigenvalues, eigenvectors = np.linalg.eigh(np.atleast_2d(np.cov(values, rowvar=False)))
    return eigenvectors * np.sqrt(np.clip(eigenvalues, 0.0, None))


def kernel_distance(real_features, generated_features, subsets=50, subset_size=1000, seed=0):
    """Kernel distance: the mean unbiased MMD^2 over random subsets, with the kernel `(x.y / features + 1)^3`.

    This is the estimator of KID (Bińkowski et al. 2018, arXiv:1801.01401). It is unbiased at any sample size, so it
    suits small sets. It can be slightly negative if the two distributions agree.

    Args:
        real_features: `(n, features)`.
        generated_features: `(m, features)`.
        subsets: number of pairs of subsets, each drawn without replacement.
        subset_size: samples per subset, from 2 to `min(n, m)`. `subsets=1, subset_size=n` uses all samples once.
        seed: seed of the subsets.

    Returns:
        The distance as a float.

    Raises:
        ValueError: if `subset_size` exceeds a set, a set holds NaN or infinity, or the shapes do not match. The size is
            never reduced silently, because the spread of the result depends on it.

    Example:

    >>> rng = np.random.default_rng(0)
    >>> real, generated = rng.normal(size=(2, 300, 8))
    >>> abs(kernel_distance(real, generated, subset_size=200)) < 0.1
    True
    >>> kernel_distance(real, generated + 1.0, subset_size=200) > 1.0
    True
    """
    real, generated = _feature_pair(real_features, generated_features)
    if subsets < 1:
        raise ValueError(f"subsets={subsets}: pass 1 or more.")
    smallest = min(len(real), len(generated))
    if not 2 <= subset_size <= smallest:
        raise ValueError(
            f"subset_size={subset_size} does not fit {len(real)} real and {len(generated)} generated samples; pass a "
            f"subset_size from 2 to {smallest}, or more samples."
        )
    rng = np.random.default_rng(seed)
    return float(
        np.mean(
            [
                _unbiased_mmd(
                    real[rng.choice(len(real), subset_size, replace=False)],
                    generated[rng.choice(len(generated), subset_size, replace=False)],
                )
                for _ in range(subsets)
            ]
        )
    )


def _unbiased_mmd(x, y):
    def mean_off_diagonal(matrix):
        n = len(matrix)
        return (matrix.sum() - np.trace(matrix)) / (n * (n - 1))

    kernel = polynomial_kernel  # with scikit-learn's defaults (x.y / features + 1)^3
    return mean_off_diagonal(kernel(x, x)) + mean_off_diagonal(kernel(y, y)) - 2.0 * kernel(x, y).mean()


# --- Realism and diversity --------------------------------------------------------------------------------------------


def coverage(real_features, generated_features, neighbours=5):
    """Share of real samples that have a generated one nearby (Naeem et al. 2020, arXiv:2002.09797, section 3).

    Nearby is within the distance of the sample's nearest real neighbours. If both sets have the same distribution and
    size, the coverage is about `1 - 2**-neighbours`.

    Args:
        real_features: `(n, features)`, with `n > neighbours`.
        generated_features: `(m, features)`.
        neighbours: of a real sample among the others.

    Returns:
        A float in [0, 1].

    Raises:
        ValueError: there are too few samples, or a set holds NaN or infinity, or the shapes do not match.

    Example:

    >>> real = np.linspace(0, 1, 100)[:, None]
    >>> coverage(real, real[:50])
    0.52
    """
    real, generated = _feature_pair(real_features, generated_features)
    if not 0 < neighbours < len(real):
        raise ValueError(f"neighbours={neighbours}: pass at least 1 and fewer than the {len(real)} real samples.")
    radius = NearestNeighbors(n_neighbors=neighbours).fit(real).kneighbors()[0][:, -1]  # without the sample itself
    nearest = NearestNeighbors(n_neighbors=1).fit(generated).kneighbors(real)[0][:, 0]
    return float(np.mean(nearest <= radius))


def inception_score(probabilities, splits=10, seed=0):
    """Inception score `exp(E_x KL(p(y|x) || p(y)))` of a classifier's outputs, over random splits.

    Salimans et al. 2016 (arXiv:1606.03498), section 4; CVAE-GAN, section 5.2, calls it realism. It ranges from 1 (all
    predictions are equal) to the number of classes (predictions are confident and evenly spread).

    Args:
        probabilities: `(n, classes)`; each row sums to 1 (softmax outputs, not logits).
        splits: number of parts that are scored separately.
        seed: seed of the shuffle before the split. Without a shuffle, samples generated class by class would fall into
            splits with few classes, and the score would be far too low.

    Returns:
        `(mean, standard deviation)` over the splits, as floats.

    Raises:
        ValueError: if a row is not a distribution, or there are fewer samples than splits.

    Example:

    >>> mean, std = inception_score(np.eye(4)[np.arange(400) % 4], splits=1)
    >>> round(mean, 6), std
    (4.0, 0.0)
    """
    probabilities = _matrix("probabilities", probabilities)
    sums = probabilities.sum(axis=1)
    if probabilities.min() < 0 or np.abs(sums - 1.0).max() > 0.02:  # sums of bfloat16 are off by up to 0.01
        raise ValueError(
            f"probabilities must be 0 or more with rows that sum to 1; got a minimum of {probabilities.min():.4g} and "
            f"row sums from {sums.min():.4g} to {sums.max():.4g}; apply softmax to logits first."
        )
    if not 1 <= splits <= len(probabilities):
        raise ValueError(f"splits={splits} does not fit {len(probabilities)} samples; pass 1 to {len(probabilities)}.")
    shuffled = np.random.default_rng(seed).permutation(probabilities / sums[:, None])
    scores = [np.exp(rel_entr(part, part.mean(axis=0)).sum(axis=1).mean()) for part in np.array_split(shuffled, splits)]
    return float(np.mean(scores)), float(np.std(scores))


def within_class_diversity(features, labels):
    """Mean Euclidean distance between two different samples of the same class, averaged over the classes.

    It is exact over all pairs and needs bounded memory. Compare it with the value for real data: a much lower value
    means that the model collapses within classes.

    Args:
        features: `(n, features)`.
        labels: `(n,)` integers. Unlabelled samples (-1) and classes with one sample are ignored.

    Returns:
        The diversity as a float, in units of the features.

    Raises:
        ValueError: if no class has two samples, the features hold NaN or infinity, or the shapes do not match.

    Example:

    >>> within_class_diversity([[0.0, 0.0], [3.0, 4.0], [1.0, 1.0], [1.0, 2.0]], [0, 0, 1, 1])
    3.0
    """
    features = _matrix("features", features)
    labels = np.asarray(labels)
    if labels.shape != (len(features),):
        raise ValueError(f"labels must have shape ({len(features)},), one for each sample; got {labels.shape}.")
    classes, counts = np.unique(labels[labels >= 0], return_counts=True)
    diversities = []
    for label in classes[counts > 1]:
        members = features[labels == label]
        n = len(members)
        # Centred, because the fast formula |x|^2 + |y|^2 - 2xy loses small distances between points far from zero.
        blocks = pairwise_distances_chunked(members - members.mean(axis=0), working_memory=64)
        diversities.append(sum(block.sum() for block in blocks) / (n * (n - 1)))
    if not diversities:
        raise ValueError(
            f"No class has two samples ({len(classes)} classes in {len(labels)} samples); pass more samples."
        )
    return float(np.mean(diversities))


# --- Coverage of a known distribution ---------------------------------------------------------------------------------


def mode_coverage(samples, modes, std):
    """Number of modes hit and share of high-quality samples for an even mixture of Gaussians, such as a ring or a grid.

    A sample is of high quality if it lies within 3 standard deviations of its nearest mode. A mode is hit if it is the
    nearest mode of at least one high-quality sample (VEEGAN, arXiv:1705.07761). Papers usually take 2,500 samples.

    Args:
        samples: `(n, dimensions)` generated points.
        modes: `(modes, dimensions)` centres of the mixture.
        std: standard deviation of each mode, more than 0.

    Returns:
        A dict. `modes` is the number of modes hit. `high_quality` is the share of high-quality samples, in [0, 1].
        `reverse_kl` is `KL(p || uniform)` in nats, where p is the distribution of the high-quality samples over the
        modes, as in the code of PacGAN (arXiv:1712.04086); NaN if there is no high-quality sample.

    Raises:
        ValueError: if `std` is not positive, an array holds NaN or infinity, or the shapes do not match.

    Example:

    >>> angles = 2 * np.pi * np.arange(8) / 8
    >>> ring = np.stack([np.cos(angles), np.sin(angles)], axis=1)  # PacGAN's ring, std 0.01
    >>> mode_coverage(ring[[0, 0, 1, 1]], ring, std=0.01)["modes"]
    2
    >>> grid = np.stack(np.meshgrid([-4, -2, 0, 2, 4], [-4, -2, 0, 2, 4]), axis=-1).reshape(-1, 2)  # std 0.05
    >>> mode_coverage(grid, grid, std=0.05)
    {'modes': 25, 'high_quality': 1.0, 'reverse_kl': 0.0}
    """
    samples, modes = _matrix("samples", samples), _matrix("modes", modes)
    if samples.shape[1] != modes.shape[1]:
        raise ValueError(f"samples have {samples.shape[1]} dimensions, modes {modes.shape[1]}; they must agree.")
    _check_positive("std", std)
    distances = cdist(samples, modes)
    high_quality = distances.min(axis=1) <= 3.0 * std
    hits = np.bincount(distances.argmin(axis=1)[high_quality], minlength=len(modes))
    shares = hits / hits.sum() if hits.any() else np.full(len(modes), np.nan)
    return {
        "modes": int(np.count_nonzero(hits)),
        "high_quality": float(high_quality.mean()),
        "reverse_kl": float(rel_entr(shares, 1.0 / len(modes)).sum()),
    }


def ring_coverage(samples, centre, radius, std, bins=36):
    """Share of samples on a continuous ring and share of the ring that they cover (CVAE-GAN, section 4).

    Args:
        samples: `(n, 2)` generated points.
        centre: the two coordinates of the ring's centre.
        radius: radius of the ring, more than 0.
        std: standard deviation of the real points' distance from the circle, more than 0.
        bins: number of equal angular sectors.

    Returns:
        A dict of shares in [0, 1]. `on_ring` is the share of samples within 3 `std` of the circle. `angular_coverage`
        is the share of sectors that contain at least one of these samples.

    Raises:
        ValueError: if `radius`, `std` or `bins` is not positive, the samples hold NaN or infinity, or the shapes do
            not match.

    Example:

    >>> angles = np.linspace(0, np.pi, 500, endpoint=False)
    >>> half = 100 + 2 * np.stack([np.cos(angles), np.sin(angles)], axis=1)
    >>> ring_coverage(half, centre=(100, 100), radius=2, std=0.1, bins=4)
    {'on_ring': 1.0, 'angular_coverage': 0.5}
    """
    samples, centre = _matrix("samples", samples), np.asarray(centre, "float64")
    if samples.shape[1] != 2 or centre.shape != (2,):
        raise ValueError(f"A ring is two-dimensional; got samples {samples.shape} and a centre {centre.shape}.")
    for name, value in (("radius", radius), ("std", std), ("bins", bins)):
        _check_positive(name, value)
    x, y = (samples - centre).T
    on_ring = np.abs(np.hypot(x, y) - radius) <= 3.0 * std
    turns = np.arctan2(y, x)[on_ring] / (2.0 * np.pi) % 1.0
    hits = np.unique(np.floor(turns * bins).astype(int) % bins)
    return {"on_ring": float(on_ring.mean()), "angular_coverage": len(hits) / bins}


# --- Verification of identities ---------------------------------------------------------------------------------------


def verification_accuracy(similarities, same, folds):
    """Share of pairs classified correctly as same or different, by the protocol of LFW (Huang et al., 2007, view 2).

    A pair is classified as same if its similarity reaches a threshold. Each fold is scored at the threshold with the
    best accuracy on all other folds; ties go to the lowest threshold. All folds have equal weight.

    Args:
        similarities: `(pairs,)`, higher for pairs that are more alike.
        same: `(pairs,)` booleans, the ground truth.
        folds: `(pairs,)` integers with at least two different values.

    Returns:
        The accuracy as a float in [0, 1].

    Raises:
        ValueError: if the shapes do not match, a similarity is NaN or infinite, or there is only one fold.

    Example:

    >>> verification_accuracy([0.9, 0.2, 0.9, 0.1], [True, False, True, False], [0, 0, 1, 1])
    1.0
    """
    similarities = _matrix("similarities", np.asarray(similarities)[..., None])[:, 0]
    same, folds = np.asarray(same, bool), np.asarray(folds)
    if not similarities.shape == same.shape == folds.shape:
        raise ValueError(
            "similarities, same and folds must have one value per pair; "
            f"got shapes {similarities.shape}, {same.shape} and {folds.shape}."
        )
    if len(np.unique(folds)) < 2:
        raise ValueError("Pass at least two folds: the threshold of a fold is chosen on the others.")
    accuracies = []
    for fold in np.unique(folds):
        inside = folds == fold
        thresholds = np.unique(similarities[~inside])
        correct = np.sum((similarities[~inside] >= thresholds[:, None]) == same[~inside], axis=1)
        predicted = similarities[inside] >= thresholds[correct.argmax()]
        accuracies.append(np.mean(predicted == same[inside]))
    return float(np.mean(accuracies))


# --- Checks -----------------------------------------------------------------------------------------------------------


def _matrix(name, values):
    values = np.asarray(values, "float64")
    if values.ndim != 2 or 0 in values.shape:
        raise ValueError(f"{name} must be a non-empty (samples, columns) array; got shape {values.shape}.")
    bad = np.count_nonzero(~np.isfinite(values).all(axis=1))
    if bad:
        raise ValueError(f"{name} hold NaN or infinity in {bad} of {len(values)} rows; check the model that made them.")
    return values


def _feature_pair(real_features, generated_features):
    real, generated = _matrix("real_features", real_features), _matrix("generated_features", generated_features)
    if real.shape[1] != generated.shape[1]:
        raise ValueError(
            f"real_features have {real.shape[1]} columns, generated_features {generated.shape[1]}; "
            "take both from the same extractor."
        )
    return real, generated


def _check_positive(name, value):
    if not value > 0:
        raise ValueError(f"{name}={value}: must be more than 0.")
