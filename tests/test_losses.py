import keras
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from keras import ops
from scipy.integrate import quad
from scipy.stats import norm
from skimage.exposure import match_histograms
from sklearn.metrics import log_loss

from kgan import backend, losses


def numbers(*shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape)


def value(tensor):
    return float(ops.convert_to_numpy(tensor))


def tensor(array):
    return ops.convert_to_tensor(array, "float32")


def test_gan_losses_are_cross_entropies():
    real, fake, other = (numbers(9, 1, seed=s) * 3 for s in range(3))
    probability = {name: 1 / (1 + np.exp(-x[:, 0])) for name, x in (("r", real), ("f", fake), ("o", other))}
    ones, zeros = np.ones(9), np.zeros(9)
    expected = log_loss(ones, probability["r"], labels=[0, 1]) + log_loss(zeros, probability["f"], labels=[0, 1])
    assert value(losses.gan_discriminator_loss(tensor(real), tensor(fake))) == pytest.approx(expected, rel=1e-5)
    expected += log_loss(zeros, probability["o"], labels=[0, 1])
    three = losses.gan_discriminator_loss(tensor(real), tensor(fake), tensor(other))
    assert value(three) == pytest.approx(expected, rel=1e-5)
    expected = log_loss(ones, probability["f"], labels=[0, 1])
    assert value(losses.gan_generator_loss(tensor(fake))) == pytest.approx(expected, rel=1e-5)


def test_gan_losses_stay_finite_for_a_certain_discriminator():
    sure = tensor(np.full((2, 1), 1e4))
    assert value(losses.gan_discriminator_loss(sure, -sure)) == pytest.approx(0, abs=1e-6)
    assert value(losses.gan_discriminator_loss(-sure, sure)) == pytest.approx(2e4)
    assert value(losses.gan_generator_loss(-sure)) == pytest.approx(1e4)


def test_wasserstein_losses():
    real, fake = tensor([[1.0], [3.0]]), tensor([[-1.0], [0.5]])
    assert value(losses.wasserstein_discriminator_loss(real, fake)) == pytest.approx(-2.25)
    assert value(losses.wasserstein_generator_loss(fake)) == pytest.approx(0.25)


def test_least_squares_losses():
    real, fake = numbers(3, 4, 4, 1), numbers(3, 4, 4, 1, seed=1)
    expected = np.mean((real - 1) ** 2) + np.mean(fake**2)
    assert value(losses.least_squares_discriminator_loss(tensor(real), tensor(fake))) == pytest.approx(
        expected, rel=1e-5
    )
    assert value(losses.least_squares_generator_loss(tensor(fake))) == pytest.approx(np.mean((fake - 1) ** 2), rel=1e-5)


def histogram_distance(values, references, norm=False):
    """scikit-image matches each sample to its reference, in float64."""
    matched = [match_histograms(a[None], b[None], channel_axis=-1)[0] for a, b in zip(values, references, strict=True)]
    squares = np.square(values - np.stack(matched))
    return np.mean(np.sqrt(squares.sum(axis=(1, 2)))) if norm else squares.mean()


@pytest.mark.parametrize("norm", [False, True])
def test_histogram_loss_is_the_distance_to_histogram_matching(norm):
    values, references = numbers(2, 20, 3), numbers(2, 20, 3, seed=1) * 2 + 1
    loss = value(losses.histogram_loss(tensor(values), tensor(references), norm=norm))
    assert loss == pytest.approx(histogram_distance(values, references, norm), rel=1e-4)
    assert value(losses.histogram_loss(tensor(values), tensor(values[:, ::-1]))) == pytest.approx(0)
    # One row alone, as a slip of a peer has it, gives another loss; values far outside 0 to 255 are not cut off.
    assert value(losses.histogram_loss(tensor(values[:, :1]), tensor(references[:, :1]))) != pytest.approx(loss, 0.01)
    far = value(losses.histogram_loss(tensor(values + 1000), tensor(references), norm=norm))
    assert far == pytest.approx(histogram_distance(values + 1000, references, norm), rel=1e-3)


def test_histogram_loss_of_values_that_occur_often():
    """Colours in 256 levels: a rank for each value, where histogram matching has one for all that are equal."""
    rng = np.random.default_rng(0)
    values, references = (np.clip(rng.normal(m, 25, (1, 1500, 1)).round(), 0, 255) for m in (110, 150))
    matched = match_histograms(values[0], references[0], channel_axis=-1)
    ours = np.empty_like(matched)
    ours[np.argsort(values[0, :, 0], kind="stable")] = np.sort(references[0], axis=0)
    apart = np.abs(ours - matched)
    assert 0 < apart.max() <= 3
    loss = value(losses.histogram_loss(tensor(values), tensor(references)))
    assert loss == pytest.approx(np.mean((values[0] - ours) ** 2), rel=1e-4)
    assert loss**0.5 == pytest.approx(np.mean((values[0] - matched) ** 2) ** 0.5, abs=3)


def test_histogram_loss_of_what_is_seen_alone():
    """What is not seen is as if it were not there; regions of different sizes are compared at the same quantiles."""
    values, references = numbers(1, 20, 3), numbers(1, 30, 3, seed=1)
    seen, others = np.arange(20)[None] % 3 > 0, np.arange(30)[None] % 4 > 0
    loss = value(losses.histogram_loss(tensor(values), tensor(references), ops.array(seen), ops.array(others)))
    own, theirs = values[seen][None], references[others][None]
    assert loss == pytest.approx(value(losses.histogram_loss(tensor(own), tensor(theirs))), rel=1e-5)
    quantiles, known = (np.arange(13) + 0.5) / 13, (np.arange(22) + 0.5) / 22
    matched = [np.interp(quantiles, known, np.sort(theirs[0, :, i])) for i in range(3)]
    assert loss == pytest.approx(np.mean((np.sort(own[0], axis=0) - np.stack(matched, axis=1)) ** 2), rel=1e-4)


@pytest.mark.parametrize("norm", [False, True])
@pytest.mark.parametrize("hidden", ["values", "references"])
def test_histogram_loss_of_nothing(norm, hidden):
    """A closed eye: no loss and no gradient, and the rest of the batch as if alone."""
    values, references = numbers(2, 8, 2), numbers(2, 8, 2, seed=1)
    seen = {name: np.ones((2, 8), bool) for name in ("values", "references")}
    seen[hidden][0] = False

    def loss(x):
        found = losses.histogram_loss(x, tensor(references), *(ops.array(seen[name]) for name in seen), norm=norm)
        return found * ops.ones((1, 1))

    alone = losses.histogram_loss(tensor(values[1:]), tensor(references[1:]), norm=norm)
    assert value(loss(tensor(values))[0, 0]) == pytest.approx(value(alone) / 2, rel=1e-3)
    slopes = ops.convert_to_numpy(backend.input_gradient(loss, tensor(values)))
    assert np.isfinite(slopes).all() and not slopes[0].any() and slopes[1].any()


def test_gradient_of_the_histogram_loss_takes_the_matched_region_as_constant():
    values, references = numbers(1, 20, 2), numbers(1, 20, 2, seed=1)

    def loss(x):
        return losses.histogram_loss(x, tensor(references)) * ops.ones((1, 1))

    slopes = ops.convert_to_numpy(backend.input_gradient(loss, tensor(values)))[0]
    own, theirs = values[0], references[0]
    matched = np.take_along_axis(np.sort(theirs, axis=0), own.argsort(axis=0).argsort(axis=0), axis=0)
    np.testing.assert_allclose(slopes, 2 * (own - matched) / own.size, atol=1e-5)


def test_gradient_penalty():
    slopes = np.zeros((3, 2, 2, 1))
    slopes[0, 0, 0], slopes[1, 0, 0], slopes[1, 1, 1] = 1, 3, 4
    assert value(losses.gradient_penalty(tensor(slopes))) == pytest.approx((0 + 16 + 1) / 3, rel=1e-5)


def test_matching_losses_are_half_of_sums_not_means_over_features():
    a, b = numbers(5, 4, 4, 3), numbers(5, 4, 4, 3, seed=1)
    expected = 0.5 * np.sum((a - b) ** 2) / 5
    assert value(losses.pairwise_matching_loss(tensor(a), tensor(b))) == pytest.approx(expected, rel=1e-5)
    expected = 0.5 * np.sum((a.mean(axis=0) - b.mean(axis=0)) ** 2)
    centres = (tensor(x.mean(axis=0).reshape(-1)) for x in (a, b))
    assert value(losses.mean_matching_loss(*centres)) == pytest.approx(expected, rel=1e-5)


def test_mean_matching_is_not_the_error_of_unpaired_samples():
    """The slip of several published versions: equal means must cost nothing, whatever the samples are."""
    a = numbers(6, 3)
    shuffled = a[::-1]
    means = [tensor(x.mean(axis=0)) for x in (a, shuffled)]
    assert value(losses.mean_matching_loss(*means)) == pytest.approx(0, abs=1e-10)
    assert value(losses.pairwise_matching_loss(tensor(a), tensor(shuffled.copy()))) > 0.1


@settings(max_examples=20, deadline=None)
@given(mean=st.floats(-3, 3), log_variance=st.floats(-3, 2))
def test_kl_divergence_is_the_integral(mean, log_variance):
    q = norm(mean, np.exp(log_variance / 2))
    expected, _ = quad(lambda z: q.pdf(z) * (q.logpdf(z) - norm.logpdf(z)), *q.interval(1 - 1e-13))
    assert value(losses.kl_divergence(tensor([[mean]]), tensor([[log_variance]]))[0, 0]) == pytest.approx(
        expected, rel=1e-4, abs=1e-5
    )


def test_kl_loss_sums_over_dimensions_and_averages_over_the_batch():
    mean, log_variance = tensor([[1.0, 2.0], [0.0, 0.0]]), tensor(np.zeros((2, 2)))
    assert value(losses.kl_loss(mean, log_variance)) == pytest.approx((1 + 4) / 2 / 2)


def test_classifier_loss():
    logits, labels = numbers(7, 4), np.arange(7) % 4
    probability = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    expected = log_loss(labels, probability, labels=range(4))
    assert value(losses.classifier_loss(labels.astype("int32"), tensor(logits))) == pytest.approx(expected, rel=1e-5)


# === Text filter ===


def gradient(function, inputs, by):
    """Of a function of tensors, by one of them, on the active backend."""
    variables = [tensor(x) for x in inputs]

    def of_one(x):
        # The added zero is a path from x where the function has none.
        return function(*variables[:by], x, *variables[by + 1 :]) + 0 * ops.sum(x)

    if keras.backend.backend() == "torch":
        variables[by].requires_grad_()
    return ops.convert_to_numpy(backend.input_gradient(of_one, variables[by]))


def slope_float64(function, inputs, i, epsilon=1e-6):
    """Central differences in NumPy's float64."""
    inputs = [np.array(x, "float64") for x in inputs]
    slope = np.zeros_like(inputs[i])
    for place in np.ndindex(*slope.shape):
        values = []
        for step in (epsilon, -epsilon):
            moved = [x.copy() for x in inputs]
            moved[i][place] += step
            values.append(function(*moved))
        slope[place] = (values[0] - values[1]) / (2 * epsilon)
    return slope


def numpy_boundary(teacher, student, margin=1.0, reduction="region_mean"):
    total = 0.0
    for b in range(teacher.shape[0]):
        for m in range(teacher.shape[1]):
            for t, s in zip(teacher[b, m], student[b, m], strict=True):
                total += max(margin - s, 0) ** 2 if t > 0 else max(margin + s, 0) ** 2
    return total / teacher.shape[0] / (teacher.shape[1] if reduction == "region_mean" else 1)


def numpy_region(labels, logits):
    p = 1 / (1 + np.exp(-logits))
    return -np.mean(labels * np.log(p) + (1 - labels) * np.log(1 - p))


def numpy_kl(teacher, student):
    p, q = 1 / (1 + np.exp(-teacher)), 1 / (1 + np.exp(-student))
    return np.mean(p * np.log(p / q) + (1 - p) * np.log((1 - p) / (1 - q)))


REGIONS = (2, 4)
FEATURES = (2, 4, 3)


@pytest.mark.parametrize(
    "ours, theirs, inputs, by",
    [
        (losses.boundary_loss, numpy_boundary, (numbers(*FEATURES), numbers(*FEATURES, seed=1)), 1),
        (
            lambda t, s: losses.boundary_loss(t, s, 0.5, "sum_batch"),
            lambda t, s: numpy_boundary(t, s, 0.5, "sum_batch"),
            (numbers(*FEATURES), numbers(*FEATURES, seed=1)),
            1,
        ),
        (losses.multilabel_loss, numpy_region, (np.abs(np.tanh(numbers(*REGIONS))), numbers(*REGIONS, seed=1)), 1),
        (losses.soft_label_kl, numpy_kl, (numbers(*REGIONS), numbers(*REGIONS, seed=1)), 1),
        (losses.reconstruction_error, lambda x, r: np.mean(np.abs(r - x)), (numbers(5), numbers(5, seed=1)), 1),
        (losses.reconstruction_error, lambda x, r: np.mean(np.abs(r - x)), (numbers(5), numbers(5, seed=1)), 0),
        (losses.began_discriminator_loss, lambda r, f, k: r - k * f, (0.7, 0.5, 0.3), 0),
        (losses.began_discriminator_loss, lambda r, f, k: r - k * f, (0.7, 0.5, 0.3), 1),
        (losses.began_balance, lambda r, f, n: n * r - f, (0.7, 0.5, 0.75), 1),
    ],
)
def test_distillation_losses_and_their_gradients(ours, theirs, inputs, by):
    assert value(ours(*map(tensor, inputs))) == pytest.approx(theirs(*inputs), rel=1e-5)
    np.testing.assert_allclose(gradient(ours, inputs, by), slope_float64(theirs, inputs, by), rtol=1e-4, atol=1e-6)


def test_boundary_pushes_the_student_to_the_teachers_side():
    """The paper prints the indicator inverted: with it an active teacher would push the student down."""
    for side in (1.0, -1.0):
        teacher, student = np.full((1, 1, 1), side), np.zeros((1, 1, 1))
        assert gradient(losses.boundary_loss, (teacher, student), 1).item() == pytest.approx(-2 * side)
        assert gradient(losses.boundary_loss, (teacher, student), 0).item() == 0
        assert gradient(losses.boundary_loss, (teacher, 1.5 * teacher), 1).item() == 0
    # Zero belongs to the inactive side.
    assert gradient(losses.boundary_loss, (0 * student, student), 1).item() == pytest.approx(2)


def test_boundary_refuses_an_unknown_reduction():
    with pytest.raises(ValueError, match="reduction"):
        losses.boundary_loss(tensor([[[1.0]]]), tensor([[[1.0]]]), reduction="mean")


def test_soft_label_kl_is_zero_for_equals_and_finite_for_the_certain():
    logits = tensor(numbers(3, 34))
    assert value(losses.soft_label_kl(logits, logits)) == pytest.approx(0, abs=1e-6)
    assert value(losses.soft_label_kl(tensor([[200.0]]), tensor([[-200.0]]))) == pytest.approx(200)


def test_sign_agreement():
    agreement = losses.sign_agreement(tensor([[1.0, -2.0, 0.0, 3.0]]), tensor([[0.5, 1.0, -1.0, 0.1]]))
    assert value(agreement) == pytest.approx(0.75)


# === Multi-label losses ===


def numpy_probability(logits):
    return 1 / (1 + np.exp(-logits))


def numpy_asymmetric(labels, logits, a, b, shift):
    p = numpy_probability(logits)
    q = np.maximum(p - shift, 0)
    return -np.mean(labels * (1 - p) ** a * np.log(p) + (1 - labels) * q**b * np.log(1 - q))


def numpy_positive(labels, logits):
    return -np.mean(labels * np.log(numpy_probability(logits)))


def numpy_soft_class(labels, logits):
    return -np.mean(np.sum(labels * np.log(np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)), axis=1))


SOFT, LOGITS = np.random.default_rng(4).uniform(size=(3, 5)), numbers(3, 5, seed=5) * 2


@pytest.mark.parametrize(
    "ours, theirs",
    [
        (lambda y, x: losses.asymmetric_loss(y, x), lambda y, x: numpy_asymmetric(y, x, 0, 4, 0.05)),
        (lambda y, x: losses.asymmetric_loss(y, x, 1, 2, 0.2), lambda y, x: numpy_asymmetric(y, x, 1, 2, 0.2)),
        (losses.positive_loss, numpy_positive),
        (losses.soft_class_loss, numpy_soft_class),
    ],
)
def test_multi_label_losses_and_their_gradients(ours, theirs):
    assert value(ours(tensor(SOFT), tensor(LOGITS))) == pytest.approx(theirs(SOFT, LOGITS), rel=1e-5)
    slope = slope_float64(theirs, (SOFT, LOGITS), 1)
    np.testing.assert_allclose(gradient(ours, (SOFT, LOGITS), 1), slope, rtol=1e-3, atol=1e-6)


def test_asymmetric_loss_without_asymmetry_is_cross_entropy():
    labels = (SOFT > 0.5).astype("float64")
    expected = log_loss(labels.ravel(), numpy_probability(LOGITS).ravel())
    plain = losses.asymmetric_loss(tensor(labels), tensor(LOGITS), 0, 0, 0)
    assert value(plain) == pytest.approx(expected, rel=1e-5)
    assert value(losses.multilabel_loss(tensor(labels), tensor(LOGITS))) == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize(
    "loss",
    [
        losses.multilabel_loss,
        losses.positive_loss,
        losses.asymmetric_loss,
        lambda labels, logits: losses.asymmetric_loss(labels, logits, 0.5, 0.5),
        lambda labels, logits: losses.asymmetric_loss(labels, logits, 0, 0),
        lambda labels, logits: losses.asymmetric_loss(labels, logits, 0, 4, 0),
        lambda labels, logits: losses.asymmetric_loss(labels, logits, 0, 0, 0),
    ],
)
@pytest.mark.parametrize("sure", [17.0, 1e4])
def test_multi_label_losses_of_sure_logits_are_finite(loss, sure):
    labels, logits = tensor([[1.0, 0.0]]), tensor([[sure, -sure]])
    assert value(loss(labels, logits)) == pytest.approx(0, abs=1e-6)
    assert np.isfinite(value(loss(labels, -logits)))
    for sign in (1, -1):
        slope = gradient(loss, ([[1.0, 0.0]], [[sign * sure, -sign * sure]]), 1)
        assert np.isfinite(slope).all()
        if sign > 0:
            np.testing.assert_allclose(slope, 0, atol=1e-6)


def test_the_printed_loss_rises_all_probabilities():
    """Eq. 3 of SPL has no term for what is absent."""
    slopes = gradient(losses.positive_loss, (np.full((1, 4), 0.25), np.zeros((1, 4))), 1)
    assert (slopes < 0).all()
    slopes = gradient(losses.multilabel_loss, (np.full((1, 4), 0.25), np.zeros((1, 4))), 1)
    assert (slopes > 0).all()
