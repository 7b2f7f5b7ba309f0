import keras
import numpy as np
import pytest
from keras import ops

from kgan import backend
from kgan.layers import MovingCentres, SampleNormalization, SpectralConv2D


def test_constant_features_are_their_own_centre_after_any_number_of_steps():
    """A moving average that starts at zero and is not corrected, or that does not move, fails here."""
    features = np.random.default_rng(0).normal(size=(3, 4)).astype("float32")
    labels = np.array([0, 2, 2, 0], "int32")
    centres = MovingCentres(4, 4, decay=0.9)
    for _ in range(5):
        real, fake = centres(features[labels], labels, 2 * features[labels], labels)
        for c in (0, 2):
            np.testing.assert_allclose(ops.convert_to_numpy(real)[c], features[c], rtol=1e-5)
            np.testing.assert_allclose(ops.convert_to_numpy(fake)[c], 2 * features[c], rtol=1e-5)
        np.testing.assert_array_equal(ops.convert_to_numpy(real)[[1, 3]], 0)


def test_average_is_adams():
    rng = np.random.default_rng(1)
    batches, decay = rng.normal(size=(6, 5, 3)), 0.8
    centres = MovingCentres(1, 3, decay)
    average = np.zeros(3)
    for t, batch in enumerate(batches, start=1):
        average = decay * average + (1 - decay) * batch.mean(axis=0)
        zeros = np.zeros(5, "int32")
        real, _ = centres(batch.astype("float32"), zeros, batch.astype("float32"), zeros)
        np.testing.assert_allclose(ops.convert_to_numpy(real)[0], average / (1 - decay**t), rtol=1e-5)


def test_class_without_a_sample_keeps_its_centre():
    centres = MovingCentres(2, 1, decay=0.5)
    both, one = np.array([0, 1], "int32"), np.array([0, 0], "int32")
    centres(np.array([[1.0], [5.0]], "float32"), both, np.array([[2.0], [7.0]], "float32"), both)
    real, fake = centres(np.ones((2, 1), "float32"), one, np.ones((2, 1), "float32"), one)
    assert float(real[1, 0]) == pytest.approx(5.0)
    assert float(fake[1, 0]) == pytest.approx(7.0)


@keras.saving.register_keras_serializable("kgan-test")
class Scale(keras.Model):
    """Features are `weight * x`; only there so that a gradient can be taken on every backend."""

    def __init__(self, shape=()):
        super().__init__()
        self.weight = self.add_weight(shape, "ones", name="weight")
        self.centres = MovingCentres(2, 1, decay=0.9)
        self.optimizer = keras.optimizers.SGD()
        self.built = True


def gradients(model, phase, groups):
    if keras.backend.backend() != "jax":
        return backend.gradients(model, phase, groups)
    with keras.StatelessScope(state_mapping=[(v, v.value) for v in [*model.variables, *model.optimizer.variables]]):
        return backend.gradients(model, phase, groups)


def test_gradient_is_the_current_batchs_without_the_decay():
    """Value from the average, gradient as if the centre were the batch's mean; a class without samples gives none."""
    model = Scale()
    zeros, x = np.zeros(2, "int32"), np.array([[1.0], [3.0]], "float32")
    model.centres(10 * x, np.array([0, 1], "int32"), 10 * x, np.array([0, 1], "int32"))

    def phase():
        _, fake = model.centres(x, zeros, model.weight * x, zeros)
        return {"first": fake[0, 0], "second": fake[1, 0] + 0 * model.weight}

    scalars, grads = gradients(model, phase, {"first": [model.weight], "second": [model.weight]})
    average = (0.9 * 0.1 * 10 + 0.1 * 2) / (1 - 0.9**2)
    assert float(scalars["first"]) == pytest.approx(average, rel=1e-5)
    assert float(grads["first"][0]) == pytest.approx(2.0, rel=1e-6)  # mean of x, not 0.1 times it
    assert float(grads["second"][0]) == pytest.approx(0.0, abs=1e-7)


def test_averages_are_weights_and_decay_is_checked():
    assert {v.name for v in MovingCentres(2, 3, 0.5).weights} == {
        f"{kind}_{what}" for kind in ("real", "fake") for what in ("average", "mass")
    }
    with pytest.raises(ValueError, match="decay=1"):
        MovingCentres(2, 3, 1)


def spectral(seed=0, **options):
    layer = SpectralConv2D(5, 3, kernel_initializer=keras.initializers.RandomNormal(1.0, seed=seed), **options)
    layer.build((None, 8, 8, 4))
    return layer


def test_spectral_convolution_has_a_largest_singular_value_of_one():
    layer, images = spectral(use_bias=False, padding="same"), np.random.default_rng(0).normal(size=(2, 8, 8, 4))
    images = ops.convert_to_tensor(images, "float32")
    before = ops.convert_to_numpy(layer.kernel)
    for _ in range(60):
        outputs = layer(images, training=True)
    np.testing.assert_array_equal(ops.convert_to_numpy(layer.kernel), before)
    largest = np.linalg.svd(before.reshape(-1, 5), compute_uv=False)[0]
    expected = ops.conv(images, layer.kernel / largest, padding="same")
    np.testing.assert_allclose(ops.convert_to_numpy(outputs), ops.convert_to_numpy(expected), rtol=2e-3, atol=1e-4)
    # At inference, the estimate is used and kept.
    kept = ops.convert_to_numpy(layer.direction)
    np.testing.assert_allclose(ops.convert_to_numpy(layer(images)), ops.convert_to_numpy(outputs), rtol=1e-3, atol=1e-4)
    np.testing.assert_array_equal(ops.convert_to_numpy(layer.direction), kept)


class Spectral(keras.Model):
    def __init__(self):
        super().__init__()
        self.layer = spectral(use_bias=False)
        self.optimizer = keras.optimizers.SGD()
        self.built = True


def test_gradient_through_the_singular_value():
    """Against finite differences of the loss in float64, with the direction that a step arrives at."""
    model = Spectral()
    images = np.random.default_rng(1).normal(size=(1, 3, 3, 4))
    start, kernel = (ops.convert_to_numpy(v).astype("float64") for v in (model.layer.direction, model.layer.kernel))

    def loss(kernel):
        matrix = kernel.reshape(-1, 5)
        left = fixed @ start / np.linalg.norm(fixed @ start)
        right = left @ fixed / np.linalg.norm(left @ fixed)
        return np.square(images.reshape(-1) @ matrix / (left @ matrix @ right)).sum()

    def phase():
        return {"all": ops.sum(ops.square(model.layer(ops.convert_to_tensor(images, "float32"), training=True)))}

    fixed = kernel.reshape(-1, 5)  # the direction is no part of the gradient
    _, found = gradients(model, phase, {"all": model.layer.trainable_variables})
    slopes = ops.convert_to_numpy(found["all"][0])
    expected = np.zeros_like(kernel)
    for at in np.ndindex(*kernel.shape):
        step = np.zeros_like(kernel)
        step[at] = 1e-5
        expected[at] = (loss(kernel + step) - loss(kernel - step)) / 2e-5
    np.testing.assert_allclose(slopes, expected, rtol=2e-3, atol=2e-4)


def test_spectral_convolution_can_be_saved(tmp_path):
    image = keras.Input((8, 8, 4))
    model = keras.Model(image, SpectralConv2D(5, 4, strides=2, padding="same", activation="relu")(image))
    images = np.random.default_rng(2).normal(size=(2, 8, 8, 4)).astype("float32")
    model(images, training=True)
    model.save(tmp_path / "model.keras")
    again = keras.saving.load_model(tmp_path / "model.keras")
    np.testing.assert_allclose(*(ops.convert_to_numpy(m(images)) for m in (model, again)), rtol=1e-6)


def test_sample_normalization_is_layer_norm():
    x = np.random.default_rng(0).normal(2, 3, (3, 4, 4, 2)).astype("float32")
    expected = (x - x.mean(axis=(1, 2, 3), keepdims=True)) / np.sqrt(x.var(axis=(1, 2, 3), keepdims=True) + 1e-5)
    np.testing.assert_allclose(ops.convert_to_numpy(SampleNormalization()(x)), expected, rtol=1e-4, atol=1e-5)


def test_gradient_of_the_gradient_through_the_norm():
    """TensorFlow's moments hold the mean fixed in the variance: right once, wrong by 1 / size in a gradient penalty."""
    cubes = np.array([0.3, -1.0, 0.5, 2.0])
    direction, x = np.array([1.0, 0.5, -0.3, 0.2]), np.array([0.5, -1.0, 2.0, 0.7])
    model = Scale(shape=(4,))
    norm = SampleNormalization(epsilon=0.0)
    norm.build((None, 4))

    def phase():
        def value(t):
            return ops.sum(ops.convert_to_tensor(cubes, "float32") * norm(model.weight * t) ** 3)

        slope = backend.input_gradient(value, ops.convert_to_tensor(x[None], "float32"))
        return {"penalty": ops.sum(ops.convert_to_tensor(direction, "float32") * slope)}

    _, grads = gradients(model, phase, {"penalty": [model.weight]})

    def along(weight, h=1e-4):  # the directional derivative of the value by x, in float64
        def value(x):
            y = weight * x
            return np.sum(cubes * ((y - y.mean()) / y.std()) ** 3)

        return (value(x + h * direction) - value(x - h * direction)) / (2 * h)

    h = 1e-4
    expected = [(along(1 + h * e) - along(1 - h * e)) / (2 * h) for e in np.eye(4)]
    np.testing.assert_allclose(ops.convert_to_numpy(grads["penalty"][0]), expected, rtol=1e-3, atol=1e-3)
