"""Recall, precision and thresholds of a filter, as pure functions of NumPy arrays in float64."""

import numpy as np
from sklearn.metrics import roc_curve

from kgan.filter.measured import PREVALENCE, named


def text_filter_metrics(labels, scores, recalls=(0.94, 0.97), prevalences=(0.05, 0.10, 0.15), shares=()):
    """Recall, precision and F-measure of a filter that keeps the images whose score reaches a threshold.

    Precision depends on the prevalence, the share of images that contain text. It is reported for the given images and,
    computed from recall and false positive rate, for each of `prevalences`.

    Args:
        labels: `(n,)`, 1 for text and 0 for no text; both must occur.
        scores: `(n,)`, higher for images that are more likely to contain text.
        recalls: recalls to reach, each in (0, 1].
        prevalences: shares of images with text, each in (0, 1).
        shares: shares of images to keep, each in (0, 1], if one image in ten contains text.

    Returns:
        `{"best_f": point, "recall": {recall: point}, "share": {share: point}}`. A point is a dict with `threshold`,
        `recall`, `precision`, `f` (the F-measure), `passed` (the share of images that the filter keeps) and
        `precision_at` (`{prevalence: precision}`). The threshold is the highest one that gives the best F-measure or
        reaches the recall, or the lowest one that keeps no more than the share (the highest of all if each keeps more).
        It lies halfway between two scores, so that rounding on another machine changes no decision; where all images
        are kept, it is the lowest score.

    Raises:
        ValueError: if shapes differ, labels are not 0 and 1 with both present, scores are not finite, or a share is out
            of range.

    Example:

    >>> point = text_filter_metrics([1, 1, 0, 0], [0.9, 0.4, 0.6, 0.1])["recall"][0.97]
    >>> point["threshold"], point["precision"]
    (0.25, 0.6666666666666666)
    """
    labels, scores = check_scores(labels, scores, prevalences)
    if not all(0 < share <= 1 for share in (*recalls, *shares)):
        raise ValueError(f"recalls={recalls}, shares={shares}: pass shares above 0, at most 1")
    false_rates, true_rates, thresholds = roc_curve(labels, scores, drop_intermediate=False)
    # No image passes at the first point.
    false_rates, true_rates, thresholds = false_rates[1:], true_rates[1:], thresholds[1:]
    thresholds = np.append((thresholds[:-1] + thresholds[1:]) / 2, thresholds[-1:])
    prevalence = labels.mean()
    # F = 2 TP / (TP + FP + positives)
    f = 2 * prevalence * true_rates / (prevalence * true_rates + (1 - prevalence) * false_rates + prevalence)
    reached = {recall: np.argmax(true_rates >= recall - 1e-12) for recall in recalls}
    kept = PREVALENCE * true_rates + (1 - PREVALENCE) * false_rates
    within = {share: max(np.searchsorted(kept, share + 1e-12, side="right") - 1, 0) for share in shares}

    def point(i):
        return at_threshold(labels, scores, thresholds[i], prevalences)

    found = {"recall": reached, "share": within}
    return {"best_f": point(np.argmax(f))} | {
        kind: {share: point(i) for share, i in points.items()} for kind, points in found.items()
    }


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
    labels, scores = check_scores(labels, scores, prevalences)
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


def check_scores(labels, scores, prevalences=()):
    """Return a label and a score, in float64, for each image, or raise a `ValueError`."""
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


def find_thresholds(labels, scores, recalls=(0.9, 0.94, 0.97, 0.99), shares=(0.05, 0.1, 0.2, 0.5)):
    """The thresholds of `text_filter_metrics`, in the form that a model file stores.

    Args:
        labels, scores, recalls, shares: as in `text_filter_metrics`.

    Returns:
        `{"best_f": threshold, "recall": {"0.97": threshold}, "share": {"0.1": threshold}}`.

    Raises:
        ValueError: as in `text_filter_metrics`.

    Example:

    >>> find_thresholds([0, 0, 1, 1], [0.1, 0.4, 0.6, 0.9], recalls=[1.0], shares=[0.1])
    {'best_f': 0.5, 'recall': {'1.0': 0.5}, 'share': {'0.1': 0.5}}
    """
    points = text_filter_metrics(labels, scores, recalls, shares=shares)
    return {"best_f": points["best_f"]["threshold"]} | {
        kind: {str(share): point["threshold"] for share, point in points[kind].items()} for kind in ("recall", "share")
    }


def count_passed(labels, scores, kinds, thresholds, fewest=20):
    """How many images of each kind reach each threshold, in the form that a model file stores.

    Args:
        labels, scores: as in `text_filter_metrics`; kinds with one label only are welcome.
        kinds: `(n,)`, str, such as the collection of each image.
        thresholds: as `find_thresholds` returns them.
        fewest: kinds with fewer images are counted together, as `"others"`.

    Returns:
        `{kind: {"text": count, "no_text": count, "passed": {threshold: [text, no text]}}}`, with the kind `"all"` first
        and thresholds named `"best_f"`, `"recall 0.97"`, `"share 0.1"`.

    Raises:
        ValueError: as in `text_filter_metrics`, or there is not one kind per image.

    Example:

    >>> thresholds = {"best_f": 0.5, "recall": {"0.97": 0.3}, "share": {}}
    >>> count_passed([1, 0], [0.4, 0.1], ["shelf", "street"], thresholds, fewest=1)["shelf"]
    {'text': 1, 'no_text': 0, 'passed': {'best_f': [0, 0], 'recall 0.97': [1, 0]}}
    """
    labels, scores = check_scores(labels, scores)
    kinds = np.asarray(kinds, str)
    if kinds.shape != labels.shape:
        raise ValueError(f"kinds {kinds.shape} and labels {labels.shape}: pass one of each per image")
    if taken := {"all", "others"} & set(kinds.tolist()):
        raise ValueError(f"a kind is named {min(taken)!r}, which counts several kinds together: choose another name")
    names, number = np.unique(kinds, return_counts=True)
    kinds = np.where(np.isin(kinds, names[number < fewest]), "others", kinds)
    order = ["all", *sorted(set(kinds.tolist()) - {"others"}), *{"others"}.intersection(kinds.tolist())]
    limits = named(thresholds)

    def counts(at):
        text, none = at & (labels == 1), at & (labels == 0)
        passed = {name: [int((scores[some] >= least).sum()) for some in (text, none)] for name, least in limits.items()}
        return {"text": int(text.sum()), "no_text": int(none.sum()), "passed": passed}

    return {kind: counts((kinds == kind) | (kind == "all")) for kind in order}
