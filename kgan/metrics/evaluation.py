"""What a filter does to images whose labels are known, as a table and a curve for people."""

import numpy as np
from scipy.stats import binomtest
from sklearn.metrics import precision_recall_curve, roc_auc_score

from kgan import plots
from kgan.filter.measured import PREVALENCE
from kgan.metrics.text_filter import at_threshold, text_filter_metrics

RECALLS = (0.90, 0.94, 0.97, 0.99)


def evaluation_table(text, scores, threshold):
    """Returns the table of `kgan filter --evaluate`, a str of a few lines.

    It has the area under the ROC curve and, at the threshold of the run, that of the best F-measure and those that
    reach a recall: recall and precision with their 95 % intervals (Wilson), F, the share of images that pass, and the
    precision if one image in ten had text.

    Args:
        text: bool `(n,)`, whether each image has text; both must occur.
        scores: `(n,)`.
        threshold: of the run.

    Raises:
        ValueError: all images have text, or none.

    Example:

    >>> print(evaluation_table([True, True, False, False], [0.9, 0.4, 0.6, 0.1], 0.5).splitlines()[0])
    4 labelled images, 2 with text; area under the ROC curve 0.750
    """
    text, scores = np.asarray(text, bool), np.asarray(scores, "float64")
    if text.all() or not text.any():
        raise ValueError(f"of {len(text)} labelled images {text.sum()} have text: both kinds are needed")
    points = text_filter_metrics(text, scores, RECALLS, (PREVALENCE,))
    thresholds = {"this run": threshold, "best F": points["best_f"]["threshold"]}
    thresholds |= {f"recall {100 * r:.0f} %": point["threshold"] for r, point in points["recall"].items()}
    header = ("", "threshold", "recall %", "precision %", "F %", "passed %", "precision % of 10 % text")
    cells = [header, *((name, _short(at, scores), *_numbers(text, scores, at)) for name, at in thresholds.items())]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    lines = ["  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip() for line in cells]
    area = roc_auc_score(text, scores)
    first = f"{len(text)} labelled images, {text.sum()} with text; area under the ROC curve {area:.3f}"
    return "\n".join([first, "", *lines])


def _short(threshold, scores):
    """Returns a threshold with as few digits as pass the same images."""
    passed = scores >= threshold
    texts = (f"{threshold:.{digits}g}" for digits in range(3, 18))
    return next((text for text in texts if ((scores >= float(text)) == passed).all()), repr(float(threshold)))


def _numbers(text, scores, threshold):
    """Returns the cells of a line."""
    point = at_threshold(text, scores, threshold, (PREVALENCE,))
    passed = scores >= threshold
    hits = (text & passed).sum()
    shares = _percent(point["f"], point["passed"], point["precision_at"][PREVALENCE])
    if not passed.any():
        shares[-1] = "-"
    return (_share(hits, text.sum()), _share(hits, passed.sum()), *shares)


def _share(count, total):
    if not total:
        return "-"
    low, high = binomtest(int(count), int(total)).proportion_ci(method="wilson")
    return f"{100 * count / total:.1f} ({100 * low:.1f} to {100 * high:.1f})"


def _percent(*shares):
    return [f"{100 * share:.1f}" for share in shares]


def evaluation_curve(path, text, scores):
    """Writes the curve of precision against recall to a `.png` file.

    Args:
        path: of the file.
        text, scores: as in `evaluation_table`.
    """
    precision, recall, _ = precision_recall_curve(text, scores)
    precision, recall = precision[:-1], recall[:-1]  # the last point is of no image
    share = np.full(len(recall), np.mean(text))
    series = {"filter": (100 * recall, 100 * precision, None, None), "chance": (100 * recall, 100 * share, None, None)}
    plots.curves(path, series, "recall, %", "precision, %")
