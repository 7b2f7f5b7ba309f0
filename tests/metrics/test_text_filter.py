"""The filter's numbers against counts and scikit-learn."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import f1_score, precision_recall_curve

from kgan import metrics

pytestmark = pytest.mark.backend_free


def counted(labels, scores, threshold):
    kept = scores >= threshold
    true, false = np.sum(kept & (labels == 1)), np.sum(kept & (labels == 0))
    return true / np.sum(labels == 1), false / np.sum(labels == 0), true / max(true + false, 1), kept.mean()


scored = st.lists(st.tuples(st.integers(0, 40), st.booleans()), min_size=2, max_size=60).filter(
    lambda found: len({label for _, label in found}) == 2
)


@settings(deadline=None, max_examples=50)
@given(st.integers(0, 10**6), st.integers(4, 60), st.booleans())
def test_text_filter_metrics_are_counts(seed, n, ties):
    rng = np.random.default_rng(seed)
    labels = np.r_[0, 1, rng.integers(0, 2, n)]
    scores = rng.normal(size=n + 2)
    scores = np.round(scores) if ties else scores
    result = metrics.text_filter_metrics(labels, scores, recalls=(0.5, 0.94, 1.0), prevalences=(0.1,))
    points = [result["best_f"], *result["recall"].values()]
    for point in points:
        recall, false_rate, precision, passed = counted(labels, scores, point["threshold"])
        assert point["recall"] == pytest.approx(recall)
        assert point["precision"] == pytest.approx(precision)
        assert point["passed"] == pytest.approx(passed)
        expected = 0.1 * recall / (0.1 * recall + 0.9 * false_rate) if recall or false_rate else 0
        assert point["precision_at"][0.1] == pytest.approx(expected)
        assert point["f"] == pytest.approx(f1_score(labels, scores >= point["threshold"]))
    assert result["best_f"]["f"] == pytest.approx(max(f1_score(labels, scores >= t) for t in scores))
    for recall, point in result["recall"].items():
        enough = [t for t in scores if counted(labels, scores, t)[0] >= recall]
        np.testing.assert_array_equal(scores >= point["threshold"], scores >= max(enough))


@given(st.integers(0, 10**6), st.integers(2, 40), st.floats(-3, 3))
def test_a_given_threshold_against_counts(seed, n, threshold):
    """Also one that no image reaches."""
    rng = np.random.default_rng(seed)
    labels, scores = np.r_[0, 1, rng.integers(0, 2, n)], np.round(rng.normal(size=n + 2), 1)
    point = metrics.at_threshold(labels, scores, threshold, prevalences=(0.3,))
    recall, false_rate, precision, passed = counted(labels, scores, threshold)
    mixed = 0.3 * recall / (0.3 * recall + 0.7 * false_rate) if recall else 0
    expected = {"threshold": threshold, "recall": recall, "precision": precision, "passed": passed}
    expected["f"] = f1_score(labels, scores >= threshold, zero_division=0)
    assert point.pop("precision_at") == pytest.approx({0.3: mixed})
    assert point == pytest.approx(expected)


@given(scored, st.floats(0.01, 1))
def test_the_threshold_of_a_share_against_all_others(found, share):
    """Of all thresholds it keeps the most images within the share, where one image in ten has text."""
    labels, scores = np.array([label for _, label in found], int), np.array([score / 40 for score, _ in found])
    point = metrics.text_filter_metrics(labels, scores, shares=(share,))["share"][share]

    def kept(threshold):
        recall, false_rate, *_ = counted(labels, scores, threshold)
        return 0.1 * recall + 0.9 * false_rate

    allowed = [kept(t) for t in scores if kept(t) <= share + 1e-12]
    assert kept(point["threshold"]) == pytest.approx(max(allowed, default=kept(scores.max())))
    assert metrics.find_thresholds(labels, scores, shares=(share,))["share"] == {str(share): point["threshold"]}


@given(st.integers(0, 10**6))
def test_counts_of_each_kind(seed):
    rng = np.random.default_rng(seed)
    labels, scores = np.r_[0, 1, rng.integers(0, 2, 70)], np.round(rng.random(72), 1)
    kinds = rng.choice(["big", "great", "rare"], 72, p=[0.5, 0.4, 0.1])
    thresholds = {"best_f": 0.45, "recall": {"0.97": 0.2}, "share": {"0.1": 0.85}}
    found = metrics.count_passed(labels, scores, kinds, thresholds, fewest=(kinds == "rare").sum() + 1)
    assert list(found) == ["all", "big", "great", *(["others"] if "rare" in kinds else [])]
    for kind, of in (("all", kinds != ""), ("big", kinds == "big"), ("others", kinds == "rare")):
        if kind not in found:
            continue
        assert (found[kind]["text"], found[kind]["no_text"]) == (labels[of].sum(), (1 - labels[of]).sum())
        expected = {
            name: [sum(labels[of] * (scores[of] >= t)), sum((1 - labels[of]) * (scores[of] >= t))]
            for name, t in {"best_f": 0.45, "recall 0.97": 0.2, "share 0.1": 0.85}.items()
        }
        assert found[kind]["passed"] == expected


@pytest.mark.parametrize("name", ["all", "others"])
def test_names_of_counts_taken_together_are_refused(name):
    with pytest.raises(ValueError, match=f"a kind is named '{name}'"):
        metrics.count_passed([0, 1], [0.1, 0.2], ["one", name], {"best_f": 0.5, "recall": {}})


def test_counts_need_one_kind_per_image():
    with pytest.raises(ValueError, match=r"kinds \(1,\) and labels \(2,\)"):
        metrics.count_passed([0, 1], [0.1, 0.2], ["one"], {"best_f": 0.5, "recall": {}})


def test_precision_at_a_prevalence_is_the_papers():
    """Recall 94 % and precision 92 % where half of the images hold text is 56 % where a tenth does."""
    labels = np.r_[np.ones(1000), np.zeros(1000)]
    scores = np.r_[np.ones(940), np.zeros(60), np.ones(82), np.zeros(918)]
    point = metrics.text_filter_metrics(labels, scores)["best_f"]
    assert point["precision"] == pytest.approx(0.92, abs=0.001)
    assert point["precision_at"][0.10] == pytest.approx(0.561, abs=0.002)
    assert point["precision_at"][0.05] == pytest.approx(0.377, abs=0.002)


@given(scored)
def test_thresholds_against_scikit_learn(found):
    scores, labels = np.array([score / 40 for score, _ in found]), np.array([label for _, label in found], int)
    thresholds = metrics.find_thresholds(labels, scores, recalls=(0.5, 0.94))
    precision, recall, levels = precision_recall_curve(labels, scores)
    f_measure = 2 * precision * recall / np.maximum(precision + recall, 1e-9)

    def measure(threshold):
        decided = scores >= threshold
        hits = (decided & (labels == 1)).sum()
        return hits / labels.sum(), 2 * hits / (decided.sum() + labels.sum())

    assert measure(thresholds["best_f"])[1] == pytest.approx(f_measure.max(), abs=1e-9)
    for share in (0.5, 0.94):
        largest = levels[recall[:-1] >= share].max()
        np.testing.assert_array_equal(scores >= thresholds["recall"][str(share)], scores >= largest)


def test_thresholds_lie_between_scores():
    assert metrics.find_thresholds([0, 0, 1, 1], [0.1, 0.4, 0.6, 0.9], recalls=[0.5, 1.0], shares=[0.5, 0.6]) == {
        "best_f": 0.5,
        "recall": {"0.5": 0.75, "1.0": 0.5},
        "share": {"0.5": 0.5, "0.6": pytest.approx(0.25)},
    }


@pytest.mark.parametrize(
    "labels, scores, options, words",
    [
        ([1, 1], [0.1, 0.2], {}, "both must occur"),
        ([0, 2], [0.1, 0.2], {}, "both must occur"),
        ([0, 1], [0.1], {}, "one of each"),
        ([0, 1], [0.1, np.nan], {}, "finite"),
        ([0, 1], [0.1, 0.2], {"recalls": (0,)}, "above 0"),
        ([0, 1], [0.1, 0.2], {"shares": (1.1,)}, "above 0, at most 1"),
        ([0, 1], [0.1, 0.2], {"prevalences": (1,)}, "between 0 and 1"),
    ],
)
def test_text_filter_metrics_errors(labels, scores, options, words):
    with pytest.raises(ValueError, match=words):
        metrics.text_filter_metrics(labels, scores, **options)
