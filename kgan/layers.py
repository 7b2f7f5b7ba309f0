"""Layers and building blocks that two or more papers share."""

import functools
from functools import partial

import keras
from keras import layers, ops

SIZES = (32, 64, 128, 256)  # height and width of images, in pixels


def check_shape(image_size, channels=3, sizes=SIZES):
    """Raise a `ValueError` if the networks do not support this image size or number of channels."""
    if image_size not in sizes:
        raise ValueError(f"image_size={image_size}: pass one of {', '.join(map(str, sizes))}.")
    if channels not in (1, 3):
        raise ValueError(f"channels={channels}: pass 1 for grey or 3 for colour.")


def channels_last(build):
    """Decorator for functions that build networks of images `(batch, height, width, channels)`.

    Layers would else follow `image_data_format` in keras.json. The format of all images in kgan is the same.
    """

    @functools.wraps(build)
    def built(*args, **kwargs):
        before = keras.config.image_data_format()
        keras.config.set_image_data_format("channels_last")
        try:
            return build(*args, **kwargs)
        finally:
            keras.config.set_image_data_format(before)

    return built


def scaled(channels, width):
    """Multiply the channels of a hidden layer by `width`, in (0, 4], and round to a multiple of 4, at least 4."""
    if not 0 < width <= 4:
        raise ValueError(f"width={width}: pass a number above 0 and up to 4.")
    return max(4, 4 * round(channels * width / 4))


def application(name, weights, **options):
    """Build a network of `keras.applications` without its classifier.

    Args:
        name: of the function there, such as `"VGG16"`.
        weights, options: as there; `"imagenet"` is downloaded on first use.

    Raises:
        FileNotFoundError: the weights can neither be found nor downloaded.
    """
    try:
        return getattr(keras.applications, name)(include_top=False, weights=weights, **options)
    except Exception as error:
        if type(error) is not Exception:  # which Keras raises where a download fails
            raise
        raise FileNotFoundError(f"{name} has no weights {weights!r} here: {error}") from error


def batch_norm(domains=1):
    """Return batch normalisation, for several domains one whose call takes the domain."""
    options = {"momentum": 0.9, "epsilon": 1e-5}
    return layers.BatchNormalization(**options) if domains == 1 else DomainBatchNormalization(domains, **options)


def norm_relu(x, name=None):
    return layers.ReLU(name=name)(batch_norm()(x))


def judging_network(inputs, last, units, feature_layers=(), name=None):
    """Build a discriminator or classifier with the outputs `logits` and `features`.

    Args:
        inputs: input tensor or list of input tensors.
        last: float32 `(batch, n)`, the input of the last fully connected layer.
        units: number of logits.
        feature_layers: names of layers whose outputs are appended to the features.
        name: name of the network. Its last layer is called `NAME_logits`.

    Returns:
        A functional model with the outputs `logits` `(batch, units)` and `features` `(batch, m)`. The features are
        `last`, followed by the flattened outputs of `feature_layers`.
    """
    logits = layers.Dense(units, dtype="float32", name=f"{name}_logits")(last)
    network = keras.Model(inputs, {"logits": logits, "features": last}, name=name)
    if not feature_layers:
        return network
    extra = [layers.Flatten(dtype="float32")(network.get_layer(each).output) for each in feature_layers]
    return keras.Model(inputs, {"logits": logits, "features": ops.concatenate([last, *extra], axis=-1)}, name=name)


@keras.saving.register_keras_serializable("kgan")
class MovingCentres(keras.layers.Layer):
    """Moving averages of the mean features of each class, for real and for generated samples.

    CVAE-GAN, sections 3.1 and 3.2. The average of a class changes only if the batch contains a sample of the class. It
    is corrected for its initial value of zero, as in Adam: with constant features, the centre equals them after any
    number of steps.

    The value of a centre is the moving average, but its gradient is the gradient of the mean over the current batch,
    without the factor `1 - decay`. The decay therefore smooths the target and does not change the weight of the loss. A
    class without a generated sample in the batch has no gradient. Real centres have no gradient.

    Args:
        num_classes: number of centres.
        features: length of a feature vector.
        decay: decay of the averages, in [0, 1). With 0, the centres are the means of the batch.

    Call arguments:
        real_features, fake_features: `(batch, features)`.
        real_labels, fake_labels: `(batch,)` integers.

    Returns:
        `(real_centres, fake_centres)`, each `(num_classes, features)`. The row of a class is zero in both until the
        layer has seen a real and a generated sample of the class.

    Example:

    >>> centres = MovingCentres(num_classes=2, features=3, decay=0.9)
    >>> ones, labels = ops.ones((4, 3)), ops.zeros((4,), "int32")
    >>> real, fake = centres(ones, labels, 2 * ones, labels)
    >>> [round(float(v), 4) for v in (real[0, 0], fake[0, 0], real[1, 0])]
    [1.0, 2.0, 0.0]
    """

    def __init__(self, num_classes, features, decay, dtype="float32", **kwargs):
        super().__init__(dtype=dtype, **kwargs)  # float32 under any policy: half precision would lose small updates
        if not 0 <= decay < 1:
            raise ValueError(f"decay={decay}: pass a number in [0, 1).")
        self.num_classes = num_classes
        self.features = features
        self.decay = decay
        self.real_average, self.real_mass = self._weights("real")
        self.fake_average, self.fake_mass = self._weights("fake")
        self.built = True

    def _weights(self, kind):
        # With the default aggregation of Keras, the replicas of `tf.distribute` would diverge.
        weight = partial(self.add_weight, initializer="zeros", trainable=False, aggregation="mean")
        return (
            weight((self.num_classes, self.features), name=f"{kind}_average"),
            # The weight of the data in the average, 1 - decay^t: the divisor of Adam's bias correction.
            weight((self.num_classes, 1), name=f"{kind}_mass"),
        )

    def get_config(self):
        return {
            **super().get_config(),
            "num_classes": self.num_classes,
            "features": self.features,
            "decay": self.decay,
        }

    def call(self, real_features, real_labels, fake_features, fake_labels):
        real, real_seen = self._centres(self.real_average, self.real_mass, real_features, real_labels)
        fake, fake_seen = self._centres(self.fake_average, self.fake_mass, fake_features, fake_labels)
        both = real_seen & fake_seen
        return ops.where(both, ops.stop_gradient(real), 0.0), ops.where(both, fake, 0.0)

    def _centres(self, average, mass, features, labels):
        members = ops.one_hot(labels, self.num_classes, dtype="float32")
        counts = ops.expand_dims(ops.sum(members, axis=0), 1)
        means = ops.matmul(ops.transpose(members), features) / ops.maximum(counts, 1.0)

        present = counts > 0
        constant = ops.stop_gradient(means)
        average.assign(ops.where(present, self.decay * average + (1 - self.decay) * constant, average.value))
        mass.assign(ops.where(present, self.decay * mass + (1 - self.decay), mass.value))
        value = average / ops.maximum(mass, 1e-12)
        return value + (means - constant), mass > 0


@keras.saving.register_keras_serializable("kgan")
class DomainBatchNormalization(layers.Layer):
    """Batch normalisation with one gain and offset for all domains, and separate moving averages for each domain.

    A domain is a kind of data that has batches of its own: the images of one style, or of one source of codes. If two
    kinds alternated in ordinary batch normalisation, training would use the statistics of one and inference a mixture
    of both.

    Args:
        domains: number of domains.
        momentum: momentum of the moving averages.
        epsilon: added to the variance.

    Call arguments:
        inputs: `(batch, ..., channels)`, all from one domain.
        domain: int, index of this domain.

    Example:

    >>> norm = DomainBatchNormalization(2)
    >>> tuple(norm(ops.ones((4, 8, 8, 3)), domain=1).shape)
    (4, 8, 8, 3)
    """

    def __init__(self, domains, momentum=0.95, epsilon=1e-3, **kwargs):
        super().__init__(**kwargs)
        self.domains = domains
        self.momentum = momentum
        self.epsilon = epsilon

    def get_config(self):
        return {
            **super().get_config(),
            "domains": self.domains,
            "momentum": self.momentum,
            "epsilon": self.epsilon,
        }

    def build(self, input_shape):
        channels = input_shape[-1]
        self.gamma = self.add_weight((channels,), initializer="ones", name="gamma")
        self.beta = self.add_weight((channels,), initializer="zeros", name="beta")
        # With the default aggregation of Keras, the replicas of `tf.distribute` would diverge.
        average = {"shape": (self.domains, channels), "trainable": False, "aggregation": "mean"}
        average.update(dtype="float32", autocast=False)
        self.moving_mean = self.add_weight(initializer="zeros", name="moving_mean", **average)
        self.moving_variance = self.add_weight(initializer="ones", name="moving_variance", **average)

    def compute_output_shape(self, input_shape):
        return input_shape

    def call(self, inputs, domain, training=False):
        # In float32 under any policy: half precision would lose digits of the variance.
        x = ops.cast(inputs, "float32")
        if training:
            mean, variance = ops.moments(x, axes=tuple(range(len(x.shape) - 1)))
            row = ops.expand_dims(ops.arange(self.domains) == domain, 1)
            for average, new in ((self.moving_mean, mean), (self.moving_variance, variance)):
                moved = self.momentum * average + (1 - self.momentum) * ops.stop_gradient(new)
                average.assign(ops.where(row, moved, average.value))
        else:
            mean, variance = self.moving_mean[domain], self.moving_variance[domain]
        gamma, beta = (ops.cast(v, "float32") for v in (self.gamma, self.beta))
        x = ops.batch_normalization(x, mean, variance, axis=-1, offset=beta, scale=gamma, epsilon=self.epsilon)
        return ops.cast(x, self.compute_dtype)


@keras.saving.register_keras_serializable("kgan")
class SampleNormalization(keras.layers.Layer):
    """Layer normalisation over all axes of a sample, with a gain and an offset per channel, for critics of WGAN-GP.

    `keras.layers.LayerNormalization` does not work with a gradient penalty. On TensorFlow it calls `tf.nn.moments`,
    which treats the mean as a constant inside the variance: the first-order gradient is correct, the second-order
    gradient is wrong.

    Args:
        epsilon: added to the variance.

    Call arguments:
        inputs: `(batch, ..., channels)`.

    Example:

    >>> norm = SampleNormalization()
    >>> round(float(ops.std(norm(ops.reshape(ops.arange(8.0), (1, 2, 2, 2))))), 3)
    1.0
    """

    def __init__(self, epsilon=1e-5, **kwargs):
        super().__init__(**kwargs)
        self.epsilon = epsilon

    def build(self, input_shape):
        self.gamma = self.add_weight((input_shape[-1],), initializer="ones", name="gamma")
        self.beta = self.add_weight((input_shape[-1],), initializer="zeros", name="beta")

    def get_config(self):
        return {**super().get_config(), "epsilon": self.epsilon}

    def call(self, inputs):
        axes = tuple(range(1, len(inputs.shape)))
        centred = inputs - ops.mean(inputs, axis=axes, keepdims=True)
        variance = ops.mean(ops.square(centred), axis=axes, keepdims=True)
        return centred * ops.rsqrt(variance + self.epsilon) * self.gamma + self.beta


@keras.saving.register_keras_serializable("kgan")
class SpectralConv2D(layers.Conv2D):
    """Convolution whose kernel is divided by its largest singular value (Miyato et al., 2018).

    The singular value is estimated by one step of power iteration in each forward pass of training, from where the last
    one ended. Unlike `keras.layers.SpectralNormalization`, the layer leaves the kernel itself alone, and gradients flow
    through the division. So it suits models with several optimizers, and is the same on all backends.

    Args:
        filters, kernel_size, **options: as for `keras.layers.Conv2D`.

    Example:

    ```python
    layer = SpectralConv2D(8, 4, strides=2, padding="same")
    layer(keras.random.normal((2, 16, 16, 3)), training=True).shape  # (2, 8, 8, 8)
    ```
    """

    def build(self, input_shape):
        super().build(input_shape)
        self.direction = self.add_weight(
            shape=(self.filters,), initializer=keras.initializers.RandomNormal(1.0), trainable=False, name="direction"
        )

    def call(self, inputs, training=False):
        matrix = ops.reshape(ops.cast(self.kernel, "float32"), (-1, self.filters))
        fixed = ops.stop_gradient(matrix)
        left = _unit(ops.matmul(fixed, ops.cast(self.direction, "float32")))
        right = _unit(ops.matmul(left, fixed)) if training else _unit(ops.cast(self.direction, "float32"))
        if training:
            self.direction.assign(right)
        value = ops.sum(left * ops.matmul(matrix, right))
        outputs = self.convolution_op(inputs, self.kernel / ops.cast(value, self.kernel.dtype))
        if self.use_bias:
            outputs = outputs + ops.cast(self.bias, outputs.dtype)
        return self.activation(outputs) if self.activation is not None else outputs

    # `Conv2D` saves its kernel and its bias alone.

    def save_own_variables(self, store):
        super().save_own_variables(store)
        store["direction"] = self.direction

    def load_own_variables(self, store):
        super().load_own_variables(store)
        self.direction.assign(store["direction"])


def _unit(vector):
    return vector / ops.maximum(ops.norm(vector), 1e-12)


def shift_and_mirror(images, seed):
    """Shift each image by up to an eighth, zeros coming in, and mirror half of them by chance; gradients pass.

    Args:
        images: `(batch, height, width, channels)`.
        seed: `keras.random.SeedGenerator`.
    """
    batch, (height, width) = ops.shape(images)[0], images.shape[1:3]
    mirrored = keras.random.randint((batch, 1), 0, 2, seed=seed)
    columns = ops.arange(width, dtype="int32")
    columns = ops.where(mirrored == 1, width - 1 - columns, columns)
    rows = ops.arange(height, dtype="int32")
    # A matrix for each image that picks its rows, and one that picks its columns. What it picks from outside is 0.
    picks = []
    for places, size in ((rows, height), (columns, width)):
        shift = keras.random.randint((batch, 1), -(size // 8), size // 8 + 1, seed=seed)
        picks.append(ops.cast(ops.expand_dims(places + shift, 2) == ops.arange(size, dtype="int32"), images.dtype))
    return ops.einsum("nyr,nrcd,nxc->nyxd", picks[0], images, picks[1])
