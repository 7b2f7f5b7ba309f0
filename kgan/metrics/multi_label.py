"""Metrics of multi-label classifiers: on NumPy arrays in float64 by the rules of three protocols, and within `fit`."""

import keras
import numpy as np
from keras import ops
from sklearn.metrics import precision_recall_curve

from kgan.metrics.text_filter import find_thresholds

PROTOCOLS = ("srn", "mlgcn", "asl")


def multilabel_metrics(labels, scores, protocol="srn", top_k=None, thresholds=0.5):
    """Mean average precision, and precision, recall and F1 per class (C) and overall (O).

    Papers disagree on the rules, so that their tables do not compare:

    | | `"srn"` (Zhu et al. 2017, `evaluate.m`) | `"mlgcn"` (Chen et al. 2019) | `"asl"` (Ridnik et al. 2021) |
    |---|---|---|---|
    | average precision | interpolated, as in VOC 2010 | not interpolated | not interpolated |
    | positive if the score is | above the threshold | at or above it | above it |
    | precision of a class that is never predicted | 1 | 0 | 0 |
    | a class without positives in the means of P, R and F1 | counted | left out | left out |

    The average precision of a class without positives is undefined. It is NaN, and left out of the mean in all three.
    Equal scores share a rank, so no result depends on the order of the images. ML-GCN's code adds a prediction to the
    overall precision for each class that is never predicted; this is not repeated here.

    Labels of -1 are unspecified. As in SRN, they are left out of the average precision and count as negative elsewhere.

    Args:
        labels: `(n, classes)` of 1, 0 and -1.
        scores: `(n, classes)`, higher for what is more likely; probabilities if `thresholds` are probabilities.
        protocol: `"srn"`, `"mlgcn"` or `"asl"`.
        top_k: number of classes, those with the highest scores, that can be positive in an image; None for all. Of
            equal scores, those of the first classes count.
        thresholds: a number, one for each class, or None for no threshold: with `top_k`, each image then has exactly
            `top_k` positives, as in SRN's NUS-WIDE; `top_k=3, thresholds=0.5` is SRN's COCO.

    Returns:
        A dict of shares in [0, 1]: `mAP`; `p_c`, `r_c`, `f1_c_mean` (mean of the F1 of the classes, SRN's F1-C) and
        `f1_c_of_means` (F1 of `p_c` and `r_c`, that of CNN-RNN and ML-GCN); `p_o`, `r_o`, `f1_o`; arrays `(classes,)`
        of `ap`, `precision`, `recall`, `f1`, NaN for a class without positives, and of the count `positives`; and
        `absent`, the number of classes without positives.

    Raises:
        ValueError: the shapes differ, a label is not 1, 0 or -1, a score is not finite, `protocol` is unknown, `top_k`
            exceeds the number of classes, or there is neither `top_k` nor a threshold.

    Example:

    >>> labels, scores = [[1, 0], [1, 1], [0, 1]], [[0.9, 0.6], [0.8, 0.4], [0.3, 0.7]]
    >>> result = multilabel_metrics(labels, scores)
    >>> round(result["mAP"], 3), result["p_o"], result["r_o"], result["f1_c_mean"]
    (0.917, 0.75, 0.75, 0.75)
    """
    if protocol not in PROTOCOLS:
        raise ValueError(f"protocol={protocol!r}: pass one of {', '.join(map(repr, PROTOCOLS))}")
    labels, scores = _checked(labels, scores)
    positive, chosen = labels == 1, _decide(scores, protocol, top_k, thresholds)
    count = positive.sum(axis=0)
    present = count > 0
    ap = np.full(len(count), np.nan)
    for c in np.flatnonzero(present):
        known = labels[:, c] >= 0
        ap[c] = _average_precision(positive[known, c], scores[known, c], interpolated=protocol == "srn")

    of_nothing = 1.0 if protocol == "srn" else 0.0
    hits, predicted = (positive & chosen).sum(axis=0), chosen.sum(axis=0)

    def ratio(part, whole):
        return np.where(whole > 0, part / np.maximum(whole, 1), of_nothing)

    def f1(p, r):
        return 2 * p * r / (p + r) if p + r else 0.0

    per_class = {
        "precision": ratio(hits, predicted),
        "recall": ratio(hits, count),
        "f1": ratio(2 * hits, predicted + count),
    }
    counted = np.ones_like(present) if protocol == "srn" else present
    p_c, r_c, f1_c = (float(values[counted].mean()) if counted.any() else np.nan for values in per_class.values())
    p_o, r_o = (float(ratio(hits.sum(), whole.sum())) for whole in (predicted, count))
    return {
        "mAP": float(ap[present].mean()) if present.any() else np.nan,
        **{"p_c": p_c, "r_c": r_c, "f1_c_mean": f1_c, "f1_c_of_means": f1(p_c, r_c)},
        **{"p_o": p_o, "r_o": r_o, "f1_o": f1(p_o, r_o)},
        "ap": ap,
        **{name: np.where(present, values, np.nan) for name, values in per_class.items()},
        "positives": count,
        "absent": int((~present).sum()),
    }


def best_thresholds(labels, scores):
    """The threshold of each class that gives its best F1; choose them on validation data.

    Args:
        labels, scores: as in `multilabel_metrics`. Unspecified labels count as negative.

    Returns:
        float64 `(classes,)`, each halfway between two scores, or just below the lowest; 0.5 for a class without
        positives or without negatives.

    Raises:
        ValueError: as in `multilabel_metrics`.

    Example:

    >>> best_thresholds([[0, 1], [1, 1]], [[0.2, 0.9], [0.4, 0.8]]).round(3).tolist()
    [0.3, 0.5]
    """
    labels, scores = _checked(labels, scores)
    positive = labels == 1
    mixed = positive.any(axis=0) & ~positive.all(axis=0)
    thresholds = [
        # Just below: the text filter keeps a score that equals its threshold.
        np.nextafter(find_thresholds(y.astype(int), s)["best_f"], -np.inf) if both else 0.5
        for y, s, both in zip(positive.T, scores.T, mixed, strict=True)
    ]
    return np.array(thresholds)


def calibration_error(labels, scores, bins=15):
    """Expected calibration error: how far the scores of all classes are from shares of positives (Guo et al., 2017).

    Scores are sorted into bins of equal width. The error is the gap between the mean score and the share of positives
    in a bin, averaged over the scores.

    Args:
        labels, scores: as in `multilabel_metrics`, with scores in [0, 1]. Unspecified labels are left out.
        bins: number of bins.

    Returns:
        A float in [0, 1]; NaN if all labels are unspecified.

    Raises:
        ValueError: as in `multilabel_metrics`, or a score is outside [0, 1].

    Example:

    >>> round(calibration_error([[1], [0]], [[0.9], [0.9]]), 3)
    0.4
    """
    labels, scores = _checked(labels, scores)
    if scores.size and not 0 <= scores.min() <= scores.max() <= 1:
        raise ValueError(f"scores from {scores.min():.3g} to {scores.max():.3g}: pass probabilities in [0, 1]")
    known = labels >= 0
    positive, scores = labels[known], scores[known]
    place = np.minimum((scores * bins).astype(int), bins - 1)
    gaps = np.bincount(place, scores - positive, bins)
    return float(np.abs(gaps).sum() / len(scores)) if len(scores) else float("nan")


@keras.saving.register_keras_serializable("kgan")
class MeanAveragePrecision(keras.metrics.Metric):
    """Mean average precision of multi-label logits, within `fit` and `evaluate`.

    It is not interpolated. The metric keeps a histogram of the logits of each class, so its memory does not grow with
    the data, and it is exact for logits that are rounded to the middle of their bin. Classes without positives are left
    out of the mean; without any positive it is NaN. Labels of -1 are left out.

    Args:
        num_classes: number of classes.
        bins: number of bins for logits from -12 to 12; those beyond fall into the last ones.

    Example:

    >>> metric = MeanAveragePrecision(num_classes=2)
    >>> metric.update_state([[1, 0], [0, 1]], [[2.0, -1.0], [-1.0, -3.0]])
    >>> float(metric.result())
    0.75
    """

    limit = 12.0  # a probability of 0.999994

    def __init__(self, num_classes, bins=1200, name="mAP", **kwargs):
        super().__init__(name=name, **kwargs)
        self.num_classes, self.bins = num_classes, bins
        shape = (num_classes, bins)
        self.positives = self.add_weight(shape=shape, initializer="zeros", name="positives", dtype="float32")
        self.negatives = self.add_weight(shape=shape, initializer="zeros", name="negatives", dtype="float32")

    def get_config(self):
        return {**super().get_config(), "num_classes": self.num_classes, "bins": self.bins}

    def update_state(self, y_true, y_pred, sample_weight=None):
        """Count a batch of labels and logits, each `(batch, num_classes)`; `sample_weight` is ignored."""
        labels = ops.cast(y_true, "float32")
        # A logit that is NaN has no place; the loss tells of it.
        logits = ops.clip(ops.nan_to_num(ops.cast(y_pred, "float32")), -self.limit, self.limit)
        places = ops.cast(ops.floor((logits + self.limit) * (self.bins / (2 * self.limit))), "int32")
        places = ops.minimum(places, self.bins - 1) + self.bins * ops.arange(self.num_classes, dtype="int32")
        for value, counts in ((1.0, self.positives), (0.0, self.negatives)):
            found = ops.ravel(ops.cast(labels == value, "float32"))
            added = ops.segment_sum(found, ops.ravel(places), num_segments=self.num_classes * self.bins)
            counts.assign_add(ops.reshape(added, counts.shape))

    def result(self):
        positives, negatives = (ops.flip(counts.value, axis=1) for counts in (self.positives, self.negatives))
        hits = ops.cumsum(positives, axis=1)
        precision = hits / ops.maximum(hits + ops.cumsum(negatives, axis=1), 1.0)
        count = hits[:, -1]
        each = ops.sum(positives * precision, axis=1) / ops.maximum(count, 1.0)
        return ops.sum(each) / ops.sum(ops.cast(count > 0, "float32"))  # `each` is 0 for a class without positives


def _decide(scores, protocol, top_k, thresholds):
    """Returns bool `(n, classes)`: which classes are positive."""
    classes = scores.shape[1]
    if top_k is None and thresholds is None:
        raise ValueError("pass thresholds, top_k or both")
    chosen = np.ones(scores.shape, bool)
    if thresholds is not None:
        thresholds = np.asarray(thresholds, "float64")
        if thresholds.shape not in ((), (classes,)) or not np.isfinite(thresholds).all():
            raise ValueError(f"thresholds of shape {thresholds.shape}: pass one finite number or {classes}")
        chosen = scores >= thresholds if protocol == "mlgcn" else scores > thresholds
    if top_k is not None:
        if not 1 <= top_k <= classes:
            raise ValueError(f"top_k={top_k}: pass 1 to {classes}, the number of classes")
        highest = np.zeros(scores.shape, bool)
        np.put_along_axis(highest, np.argsort(-scores, axis=1, kind="stable")[:, :top_k], True, axis=1)
        chosen &= highest
    return chosen


def _average_precision(positive, scores, interpolated):
    precision, recall, _ = precision_recall_curve(positive, scores)  # from recall 1 down to 0
    if interpolated:
        precision = np.maximum.accumulate(precision)
    return -np.diff(recall) @ precision[:-1]


def _checked(labels, scores):
    labels, scores = np.asarray(labels), np.asarray(scores, "float64")
    if labels.ndim != 2 or labels.shape != scores.shape or not labels.size:
        raise ValueError(f"labels {labels.shape} and scores {scores.shape}: pass both as (images, classes)")
    if not np.isin(labels, (1, 0, -1)).all():
        raise ValueError("labels must be 1, 0 or -1 (unspecified)")
    if not np.isfinite(scores).all():
        raise ValueError("scores must be finite; check the model that made them")
    return labels, scores
