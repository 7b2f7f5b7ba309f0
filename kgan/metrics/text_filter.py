"""Recall, precision and thresholds of a filter, as pure functions of NumPy arrays in float64."""

import numpy as np
from sklearn.metrics import roc_curve


def text_filter_metrics(labels, scores, recalls=(0.94, 0.97), prevalences=(0.05, 0.10, 0.15)):
    """Recall, precision and F-measure of a filter that keeps the images whose score reaches a threshold.

    Precision depends on the prevalence, the share of images that contain text. It is reported for the given images and,
    computed from recall and false positive rate, for each of `prevalences`.

    Args:
        labels: `(n,)`, 1 for text and 0 for no text; both must occur.
        scores: `(n,)`, higher for images that are more likely to contain text.
        recalls: recalls to reach, each in (0, 1].
        prevalences: shares of images with text, each in (0, 1).

    Returns:
        `{"best_f": point, "recall": {recall: point}}`. A point is a dict with `threshold`, `recall`, `precision`, `f`
        (the F-measure), `passed` (the share of images that the filter keeps) and `precision_at`
        (`{prevalence: precision}`). The threshold is the highest one that gives the best F-measure or reaches the
        recall. It lies halfway between two scores, so that rounding on another machine changes no decision.

    Raises:
        ValueError: if shapes differ, labels are not 0 and 1 with both present, scores are not finite, or a share is out
            of range.

    Example:

    >>> point = text_filter_metrics([1, 1, 0, 0], [0.9, 0.4, 0.6, 0.1])["recall"][0.97]
    >>> point["threshold"], point["precision"]
    (0.25, 0.6666666666666666)
    """
    labels, scores = _checked(labels, scores, prevalences)
    if not all(0 < share <= 1 for share in recalls):
        raise ValueError(f"recalls={recalls}: pass shares above 0, at most 1")
    false_rates, true_rates, thresholds = roc_curve(labels, scores, drop_intermediate=False)
    # No image passes at the first point.
    false_rates, true_rates, thresholds = false_rates[1:], true_rates[1:], thresholds[1:]
    thresholds = np.append((thresholds[:-1] + thresholds[1:]) / 2, thresholds[-1:])
    share = labels.mean()
    # F = 2 TP / (TP + FP + positives)
    f = 2 * share * true_rates / (share * true_rates + (1 - share) * false_rates + share)
    reached = {recall: np.argmax(true_rates >= recall - 1e-12) for recall in recalls}

    def point(i):
        return at_threshold(labels, scores, thresholds[i], prevalences)

    return {"best_f": point(np.argmax(f)), "recall": {recall: point(i) for recall, i in reached.items()}}


def at_threshold(labels, scores, threshold, prevalences=(0.05, 0.10, 0.15)):
    """Recall, precision and F-measure of a filter that keeps the images whose score reaches a given threshold.

    Args:
        labels, scores, prevalences: as in `text_filter_metrics`.
        threshold: least score of an image that is kept.

    Returns:
        A point of `text_filter_metrics`. Where no image is kept, its recall, precision and F-measure are 0.

    Raises:
        ValueError: as in `text_filter_metrics`.

    Example:

    >>> at_threshold([1, 1, 0, 0], [0.9, 0.4, 0.6, 0.1], 0.5)["precision"]
    0.5
    """
    labels, scores = _checked(labels, scores, prevalences)
    text, passed = labels == 1, scores >= threshold
    recall, alarms, share = passed[text].mean(), passed[~text].mean(), text.mean()

    def precision(prevalence):
        true, false = prevalence * recall, (1 - prevalence) * alarms
        return float(true / (true + false)) if true else 0.0

    return {
        "threshold": float(threshold),
        "recall": float(recall),
        "precision": precision(share),
        "f": float(2 * share * recall / (passed.mean() + share)),
        "passed": float(passed.mean()),
        "precision_at": {prevalence: precision(prevalence) for prevalence in prevalences},
    }


def _checked(labels, scores, prevalences):
    labels, scores = np.asarray(labels), np.asarray(scores, "float64")
    if labels.ndim != 1 or labels.shape != scores.shape:
        raise ValueError(f"labels {labels.shape} and scores {scores.shape}: pass one of each per image")
    if set(np.unique(labels)) != {0, 1}:
        raise ValueError("labels must be 0 (no text) and 1 (text), and both must occur")
    if not np.isfinite(scores).all():
        raise ValueError("scores must be finite; check the model that made them")
    if not all(0 < share < 1 for share in prevalences):
        raise ValueError(f"prevalences={prevalences}: pass shares between 0 and 1")
    return labels, scores


def find_thresholds(labels, scores, recalls=(0.9, 0.94, 0.97, 0.99)):
    """The thresholds of `text_filter_metrics`, in the form that a model file stores.

    Args:
        labels, scores, recalls: as in `text_filter_metrics`.

    Returns:
        `{"best_f": threshold, "recall": {"0.97": threshold}}`.

    Raises:
        ValueError: as in `text_filter_metrics`.

    Example:

    >>> find_thresholds([0, 0, 1, 1], [0.1, 0.4, 0.6, 0.9], recalls=[1.0])
    {'best_f': 0.5, 'recall': {'1.0': 0.5}}
    """
    points = text_filter_metrics(labels, scores, recalls)
    reached = {str(recall): point["threshold"] for recall, point in points["recall"].items()}
    return {"best_f": points["best_f"]["threshold"], "recall": reached}
