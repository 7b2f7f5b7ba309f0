"""Multi-label metrics against the numbers of SRN's rules worked out by hand, scikit-learn and plain counts."""

import keras
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import average_precision_score, f1_score, precision_recall_fscore_support

from kgan.metrics import MeanAveragePrecision, best_thresholds, calibration_error, multilabel_metrics

backend_free = pytest.mark.backend_free

LABELS = [[1, 0, 0, 0, 0], [1, 1, 0, 0, 0], [0, 1, 1, 0, 0], [1, 0, 0, 0, 0], [0, 0, 1, 0, 0], [1, 1, 1, 0, 0]]
SCORES = [
    [0.9, 0.2, 0.1, 0.05, 0.3],
    [0.8, 0.4, 0.2, 0.1, 0.2],
    [0.3, 0.7, 0.6, 0.2, 0.1],
    [0.6, 0.55, 0.1, 0.05, 0.2],
    [0.2, 0.1, 0.45, 0.6, 0.1],
    [0.7, 0.6, 0.3, 0.2, 0.4],
]
SEVEN = [*LABELS, [1, 0, 1, 1, 0]], [*SCORES, [0.9, 0.8, 0.7, 0.6, 0.55]]
NAMES = ("p_c", "r_c", "f1_c_mean", "f1_c_of_means", "p_o", "r_o", "f1_o")


@backend_free
@pytest.mark.parametrize(
    "labels, scores, options, percent",
    [
        (LABELS, SCORES, {}, (73.33, 80.00, 63.33, 76.52, 77.78, 70.00, 73.68)),
        (LABELS, SCORES, {"top_k": 3, "thresholds": None}, (38.67, 93.33, 44.33, 54.68, 50.00, 90.00, 64.29)),
        (np.array(LABELS)[:, :3], np.array(SCORES)[:, :3], {}, (88.89, 66.67, 72.22, 76.19, 87.50, 70.00, 77.78)),
        (*SEVEN, {}, (60.00, 83.33, 58.10, 69.77, 71.43, 76.92, 74.07)),
        (*SEVEN, {"top_k": 3, "thresholds": None}, (39.29, 75.00, 45.00, 51.56, 52.38, 84.62, 64.71)),
        (*SEVEN, {"top_k": 3}, (70.00, 63.33, 64.76, 66.50, 75.00, 69.23, 72.00)),
    ],
)
def test_by_hand(labels, scores, options, percent):
    result = multilabel_metrics(labels, scores, **options)
    np.testing.assert_allclose([100 * result[name] for name in NAMES], percent, atol=0.005)


@backend_free
def test_average_precision_by_hand():
    result = multilabel_metrics(LABELS, SCORES)
    np.testing.assert_allclose(result["ap"], [1, 0.9167, 1, np.nan, np.nan], atol=5e-5)
    assert result["mAP"] == pytest.approx(0.9722, abs=5e-5)
    assert (result["positives"] == [4, 3, 3, 0, 0]).all() and result["absent"] == 2


@backend_free
def test_the_two_forms_of_average_precision():
    labels, scores = [[0], [1], [1]], [[0.9], [0.8], [0.7]]
    found = {protocol: multilabel_metrics(labels, scores, protocol)["mAP"] for protocol in ("srn", "mlgcn", "asl")}
    assert found == {"srn": pytest.approx(2 / 3), "mlgcn": pytest.approx(7 / 12), "asl": pytest.approx(7 / 12)}


def drawn(seed, n, classes, ties=False):
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, 2, (n, classes))
    labels[0], labels[1] = 1, 0
    scores = rng.uniform(size=(n, classes))
    return labels, np.round(scores, 1) if ties else scores


@backend_free
@settings(deadline=None, max_examples=40)
@given(st.integers(0, 10**6), st.integers(2, 30), st.integers(2, 6), st.booleans())
def test_against_scikit_learn(seed, n, classes, ties):
    labels, scores = drawn(seed, n, classes, ties)
    result = multilabel_metrics(labels, scores, "asl", thresholds=0.45)
    assert result["mAP"] == pytest.approx(average_precision_score(labels, scores, average="macro"), abs=1e-12)
    chosen = scores > 0.45
    each = precision_recall_fscore_support(labels, chosen, zero_division=0)
    macro = precision_recall_fscore_support(labels, chosen, average="macro", zero_division=0)[:3]
    micro = precision_recall_fscore_support(labels.ravel(), chosen.ravel(), average="binary", zero_division=0)[:3]
    np.testing.assert_allclose([result[k] for k in ("precision", "recall", "f1", "positives")], each, atol=1e-12)
    np.testing.assert_allclose([result[k] for k in ("p_c", "r_c", "f1_c_mean")], macro, atol=1e-12)
    np.testing.assert_allclose([result[k] for k in ("p_o", "r_o", "f1_o")], micro, atol=1e-12)
    order = np.random.default_rng(seed + 1).permutation(n)
    for protocol in ("srn", "asl"):
        one, other = (multilabel_metrics(labels[i], scores[i], protocol)["ap"] for i in (np.arange(n), order))
        np.testing.assert_allclose(one, other, atol=1e-12)
    # Each step of the interpolated curve is the best precision at this recall or a higher one.
    assert (multilabel_metrics(labels, scores, "srn")["ap"] >= result["ap"] - 1e-12).all()


@backend_free
def test_slips_of_peers_are_not_made():
    labels, scores = np.array(LABELS)[:, :4], np.array(SCORES)[:, :4]
    never = scores.copy()
    never[:, 1] = 0.1  # class 1 has positives and is never predicted
    result = multilabel_metrics(labels, never, "mlgcn")
    predicted, hits = (never >= 0.5).sum(), ((never >= 0.5) & (labels == 1)).sum()
    assert result["p_o"] == hits / predicted, "ML-GCN's code adds a phantom prediction for each class never predicted"
    assert result["mAP"] == np.mean(result["ap"][:3]), "ASL's code counts the AP of an absent class as 0"
    for protocol in ("mlgcn", "asl"):
        result = multilabel_metrics(labels, scores, protocol)
        assert np.isnan([result[k][3] for k in ("ap", "precision", "recall", "f1")]).all()
        assert result["r_c"] == pytest.approx(np.mean(result["recall"][:3]))
    area = keras.metrics.AUC(curve="PR")  # an approximation by 200 thresholds is no average precision
    y, s = np.array([0, 1] * 20), np.linspace(0.5, 0.501, 40)
    area.update_state(y, s)
    exact = multilabel_metrics(y[:, None], s[:, None], "asl")["mAP"]
    assert exact == pytest.approx(average_precision_score(y, s)) and abs(float(area.result()) - exact) > 0.05


@backend_free
def test_top_k_is_exact_on_ties():
    labels, scores = np.eye(4, dtype=int), np.full((4, 4), 0.5)
    result = multilabel_metrics(labels, scores, top_k=2, thresholds=None)
    assert result["recall"].tolist() == [1, 1, 0, 0] and result["p_o"] == 2 / 8


@backend_free
def test_thresholds_for_each_class():
    labels, scores = drawn(3, 40, 3)
    thresholds = np.array([0.2, 0.5, 0.9])
    result = multilabel_metrics(labels, scores, thresholds=thresholds)
    expected = f1_score(labels, scores > thresholds, average=None, zero_division=1)
    np.testing.assert_allclose(result["f1"], expected, atol=1e-12)
    assert multilabel_metrics(labels, np.full((40, 3), 0.5), "srn")["r_o"] == 0, "a score of .5 is not above .5"
    assert multilabel_metrics(labels, np.full((40, 3), 0.5), "mlgcn")["r_o"] == 1


@backend_free
def test_unspecified_labels_count_by_two_rules():
    """Left out of the average precision, negative in the rest, as in SRN's code for WIDER-Attribute."""
    labels, scores = np.array([[1], [-1], [1], [0]]), np.array([[0.7], [0.9], [0.6], [0.1]])
    for protocol in ("srn", "asl"):
        result = multilabel_metrics(labels, scores, protocol)
        assert result["mAP"] == 1 and result["p_o"] == pytest.approx(2 / 3) and result["positives"] == [2]


@backend_free
def test_best_thresholds_are_the_best():
    labels, scores = drawn(5, 60, 4)
    labels[:, 2], labels[:, 3] = 1, 0
    thresholds = best_thresholds(labels, scores)
    for c in (0, 1):
        best = max(f1_score(labels[:, c], scores[:, c] >= t) for t in scores[:, c])
        assert f1_score(labels[:, c], scores[:, c] > thresholds[c]) == pytest.approx(best)
        assert thresholds[c] not in scores[:, c]
    assert thresholds[2:].tolist() == [0.5, 0.5]


@backend_free
@pytest.mark.parametrize(
    "labels, scores, options, words",
    [
        ([[1, 0]], [[0.1]], {}, "pass both as"),
        ([1, 0], [0.1, 0.2], {}, "pass both as"),
        (np.zeros((0, 2)), np.zeros((0, 2)), {}, "pass both as"),
        ([[2, 0]], [[0.1, 0.2]], {}, "labels must be"),
        ([[0.5, 0]], [[0.1, 0.2]], {}, "labels must be"),
        ([[1, 0]], [[0.1, np.nan]], {}, "finite"),
        ([[1, 0]], [[0.1, 0.2]], {"protocol": "voc"}, "protocol='voc': pass one of 'srn'"),
        ([[1, 0]], [[0.1, 0.2]], {"top_k": 3}, "top_k=3: pass 1 to 2"),
        ([[1, 0]], [[0.1, 0.2]], {"top_k": 0}, "top_k=0"),
        ([[1, 0]], [[0.1, 0.2]], {"thresholds": [0.1, 0.2, 0.3]}, "pass one finite number or 2"),
        ([[1, 0]], [[0.1, 0.2]], {"thresholds": np.nan}, "pass one finite number"),
        ([[1, 0]], [[0.1, 0.2]], {"thresholds": None}, "thresholds, top_k or both"),
    ],
)
def test_errors(labels, scores, options, words):
    with pytest.raises(ValueError, match=words):
        multilabel_metrics(labels, scores, **options)


@backend_free
def test_without_any_positive():
    result = multilabel_metrics(np.zeros((3, 2), int), np.full((3, 2), 0.9), "asl")
    assert np.isnan([result["mAP"], result["p_c"], result["f1_c_mean"]]).all() and result["absent"] == 2
    assert result["p_o"] == 0


# === The metric of `fit` ===


@pytest.mark.parametrize("bins", [10, 1200])
def test_histograms_give_what_scikit_learn_gives_for_rounded_logits(bins):
    rng = np.random.default_rng(1)
    logits = rng.normal(size=(90, 4), scale=6).astype("float32")
    labels = rng.integers(-1, 2, (90, 4))
    labels[:, 3] = -1 * (labels[:, 3] != 0)  # without positives
    metric = MeanAveragePrecision(4, bins)
    for part in np.array_split(np.arange(90), 4):
        metric.update_state(labels[part], logits[part])
    rounded = np.clip(np.floor((logits.astype("float64") + 12) * bins / 24), 0, bins - 1)
    expected = [
        average_precision_score(labels[known, c], rounded[known, c])
        for c, known in enumerate((labels >= 0).T)
        if (labels[:, c] == 1).any()
    ]
    assert len(expected) == 3
    assert float(metric.result()) == pytest.approx(np.mean(expected), rel=1e-5)
    again = MeanAveragePrecision.from_config(metric.get_config())
    again.update_state(labels, logits)
    assert float(again.result()) == pytest.approx(np.mean(expected), rel=1e-5)
    metric.reset_state()
    assert np.isnan(float(metric.result()))


def test_a_logit_that_is_not_finite_does_not_stop_the_metric():
    metric = MeanAveragePrecision(1)
    metric.update_state([[1], [0], [1], [0]], [[np.inf], [-np.inf], [np.nan], [-100.0]])
    assert float(metric.result()) == 1


def test_fit_logs_it_compiled():
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(20, 3)).astype("float32"), rng.integers(0, 2, (20, 2))
    y[0] = 1
    model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(2)])
    model.compile(
        "sgd",
        keras.losses.BinaryCrossentropy(from_logits=True),
        metrics=[MeanAveragePrecision(2, bins=4000)],
        jit_compile=keras.backend.backend() != "torch",
    )
    history = model.fit(x, y, batch_size=8, validation_data=(x, y), verbose=0).history
    expected = average_precision_score(y, model.predict(x, verbose=0), average="macro")
    assert history["val_mAP"][0] == pytest.approx(expected, abs=1e-3)
    assert 0 < history["mAP"][0] < 1


@backend_free
@given(seed=st.integers(0, 1000), n=st.integers(1, 40), bins=st.integers(1, 20))
def test_calibration_error_is_the_mean_gap_of_bins(seed, n, bins):
    rng = np.random.default_rng(seed)
    labels, scores = rng.integers(-1, 2, (n, 3)), rng.choice([0, 0.2, 0.5, 0.77, 1.0], (n, 3))
    pairs = [(y, p) for y, p in zip(labels.ravel(), scores.ravel(), strict=True) if y >= 0]
    total = 0.0
    for b in range(bins):
        inside = [(y, p) for y, p in pairs if min(int(p * bins), bins - 1) == b]
        if inside:
            y, p = np.mean(inside, axis=0)
            total += len(inside) * abs(y - p)
    expected = total / len(pairs) if pairs else np.nan
    assert calibration_error(labels, scores, bins) == pytest.approx(expected, abs=1e-12, nan_ok=True)


@backend_free
def test_calibration_of_logits_is_refused():
    with pytest.raises(ValueError, match="scores from -3 to 2: pass probabilities"):
        calibration_error([[1, 0]], [[-3.0, 2.0]])
