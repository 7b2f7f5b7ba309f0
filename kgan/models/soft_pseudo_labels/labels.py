"""Labels for generated images (SPL, section 2.3), as pure functions of NumPy arrays.

Each returns float32 `(n, classes)` in [0, 1].
"""

import numpy as np
from scipy.special import expit, softmax


def random_labels(n, num_classes, positives=3, seed=0):
    """Labels with `positives` random classes in each image.

    Args:
        n: number of images.
        num_classes: number of classes.
        positives: classes of an image, from 1 to `num_classes`; the paper takes 3, about what a real image has.
        seed: non-negative int.

    Raises:
        ValueError: `positives` is out of range.

    Example:

    >>> random_labels(2, num_classes=5).sum(axis=1).tolist()
    [3.0, 3.0]
    """
    _check_count("positives", positives, num_classes)
    scores = np.random.default_rng(seed).random((n, num_classes))
    return _highest(scores, positives)


def pseudo_labels(scores, top_k=3):
    """Labels with the `top_k` classes of the highest scores (eq. 1).

    Args:
        scores: `(n, classes)`, logits or probabilities of a classifier. Of equal scores, those of the first classes
            count, so that there are exactly `top_k`.
        top_k: classes of an image, from 1 to the number of classes.

    Raises:
        ValueError: `top_k` is out of range, or `scores` are not a finite matrix.

    Example:

    >>> pseudo_labels([[0.1, 0.9, 0.1, 0.1]], top_k=2).tolist()
    [[1.0, 1.0, 0.0, 0.0]]
    """
    scores = _matrix(scores)
    _check_count("top_k", top_k, scores.shape[1])
    return _highest(scores, top_k)


def smooth_labels(n, num_classes):
    """Labels of 1 / `num_classes` everywhere, as in LSRO (Zheng et al., 2017).

    Example:

    >>> smooth_labels(1, 4).tolist()
    [[0.25, 0.25, 0.25, 0.25]]
    """
    return np.full((n, num_classes), 1 / num_classes, "float32")


def soft_pseudo_labels(logits, of="sigmoid", temperature=1.0):
    """Soft pseudo labels: the softmax of a classifier's confidences (eq. 2). Each row sums to 1.

    The paper calls v "confidence values" that may be "close to 0", so they seem to be probabilities. Their softmax is
    nearly uniform: of 12 classes it cannot leave 0.06 to 0.2. The softmax of the logits is as sharp as the classifier.

    Args:
        logits: `(n, classes)`.
        of: `"sigmoid"` takes the softmax of the probabilities, `"logits"` that of the logits.
        temperature: divides them before the softmax, more than 0.

    Raises:
        ValueError: `of` is unknown, `temperature` is not positive, or `logits` are not a finite matrix.

    Example:

    >>> soft_pseudo_labels([[2.0, -2.0]]).round(2)
    array([[0.68, 0.32]], dtype=float32)
    >>> soft_pseudo_labels([[2.0, -2.0]], of="logits").round(2)
    array([[0.98, 0.02]], dtype=float32)
    """
    logits = _matrix(logits)
    if of not in ("sigmoid", "logits"):
        raise ValueError(f"of={of!r}: pass 'sigmoid' or 'logits'")
    if not 0 < temperature < np.inf:
        raise ValueError(f"temperature={temperature}: pass a number above 0")
    values = expit(logits) if of == "sigmoid" else logits
    return softmax(values / temperature, axis=1).astype("float32")


def confidence_labels(logits):
    """The probabilities themselves, `sigmoid(logits)`, which is not in the paper.

    Unlike the paper's labels, they do not sum to 1, so an image may hold several classes or none.

    Args:
        logits: `(n, classes)`.

    Raises:
        ValueError: `logits` are not a finite matrix.

    Example:

    >>> confidence_labels([[0.0, -100.0]]).round(3)
    array([[0.5, 0. ]], dtype=float32)
    """
    return expit(_matrix(logits)).astype("float32")


def _highest(scores, count):
    labels = np.zeros(scores.shape, "float32")
    np.put_along_axis(labels, np.argsort(-scores, axis=1, kind="stable")[:, :count], 1, axis=1)
    return labels


def _check_count(name, value, num_classes):
    if not 1 <= value <= num_classes:
        raise ValueError(f"{name}={value}: pass 1 to {num_classes}, the number of classes")


def _matrix(scores):
    scores = np.asarray(scores, "float64")
    if scores.ndim != 2 or not np.isfinite(scores).all():
        raise ValueError(f"scores of shape {scores.shape}: pass finite numbers (images, classes)")
    return scores
