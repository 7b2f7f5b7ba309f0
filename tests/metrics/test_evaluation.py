"""The table of a filter on labelled images against counts, and its curve against scikit-learn."""

import numpy as np
import pytest
from PIL import Image
from scipy.stats import binomtest
from sklearn.metrics import f1_score, roc_auc_score

from kgan.metrics.evaluation import evaluation_curve, evaluation_table

pytestmark = pytest.mark.backend_free


@pytest.fixture(scope="module")
def data():
    rng = np.random.default_rng(3)
    text = rng.random(400) < 0.3
    return text, np.clip(rng.normal(0.35 + 0.3 * text, 0.15), 0, 1)


def cells(table, name):
    line = next(line for line in table.splitlines() if line.startswith(name))
    return [cell for cell in line[len(name) :].split("  ") if cell.strip()]


def test_the_line_of_the_run(data):
    text, scores = data
    table = evaluation_table(text, scores, 0.55)
    assert table.startswith(f"400 labelled images, {text.sum()} with text; area under the ROC curve ")
    assert f"{roc_auc_score(text, scores):.3f}" in table.splitlines()[0]
    threshold, recall, precision, f, passed, mixed = (cell.strip() for cell in cells(table, "this run"))
    found = scores >= 0.55
    hits = int((found & text).sum())
    assert threshold == "0.55"
    for cell, total in ((recall, text.sum()), (precision, found.sum())):
        low, high = binomtest(hits, int(total)).proportion_ci(method="wilson")
        assert cell == f"{100 * hits / total:.1f} ({100 * low:.1f} to {100 * high:.1f})"
    assert float(f) == pytest.approx(100 * f1_score(text, found), abs=0.051)
    assert float(passed) == pytest.approx(100 * found.mean(), abs=0.051)
    true, false = hits / text.sum(), (found & ~text).sum() / (~text).sum()
    assert float(mixed) == pytest.approx(100 * 0.1 * true / (0.1 * true + 0.9 * false), abs=0.051)


def test_lines_of_recalls_and_of_the_best_f(data):
    text, scores = data
    table = evaluation_table(text, scores, 0.5)
    for recall in (90, 94, 97, 99):
        threshold, cell, *_ = cells(table, f"recall {recall} %")
        assert float(cell.split()[0]) >= recall
        # The printed number does what is printed beside it.
        assert f"{100 * (scores >= float(threshold))[text].mean():.1f}" == cell.split()[0]
    best = float(cells(table, "best F")[3])
    assert best == pytest.approx(100 * max(f1_score(text, scores >= at) for at in np.unique(scores)), abs=0.051)


def test_a_threshold_that_nothing_reaches(data):
    line = cells(evaluation_table(*data, 1.5), "this run")
    assert [cell.strip() for cell in line[2:]] == ["-", "0.0", "0.0", "-"] and line[1].strip().startswith("0.0 (0.0 to")


@pytest.mark.parametrize("value", [True, False])
def test_labels_of_one_kind(value):
    with pytest.raises(ValueError, match=f"of 3 labelled images {3 * value} have text: both kinds are needed"):
        evaluation_table([value] * 3, [0.1, 0.2, 0.3], 0.5)


@pytest.mark.parametrize("place", [0.0, 1 - 2**-20])
def test_thresholds_between_scores_that_hardly_differ(place):
    scores = place + np.arange(40) * 2.0**-26
    table = evaluation_table(np.arange(40) % 3 > 0, scores, 0.5)
    for name in ("best F", "recall 90 %", "recall 99 %"):
        threshold, _, _, _, passed, _ = (cell.strip() for cell in cells(table, name))
        assert f"{100 * (scores >= float(threshold)).mean():.1f}" == passed


def test_the_curve_is_that_of_precision_and_recall(data, tmp_path, monkeypatch):
    drawn = {}
    monkeypatch.setattr("kgan.plots.curves", lambda path, series, *labels: drawn.update(series))
    text, scores = data
    evaluation_curve(tmp_path / "curve.png", text, scores)
    recall, precision, *_ = drawn["filter"]
    for at in np.unique(scores)[::37]:
        found = scores >= at
        point = np.array([100 * found[text].mean(), 100 * text[found].mean()])
        assert np.abs(np.column_stack([recall, precision]) - point).sum(axis=1).min() < 1e-9
    assert set(drawn["chance"][1]) == {100 * text.mean()}
    monkeypatch.undo()
    evaluation_curve(tmp_path / "curve.png", text, scores)
    with Image.open(tmp_path / "curve.png") as image:
        assert min(image.size) > 200
