"""The networks of MM-SSIT (section 4), with what its figures leave open taken from CDAAE's.

Both domains go through the same stem and content tail, so that the encoders, one a domain, share layers; what is
normalised keeps statistics of its own for each domain.
"""

import keras
from keras import layers, ops

from kgan.layers import scaled

SIZES = (32, 64, 128)


@keras.saving.register_keras_serializable("kgan")
class DomainBatchNormalization(layers.Layer):
    """Batch norm with one gain and offset for all domains, and moving averages for each.

    Two domains that take turns in one batch norm are trained on statistics of their own and tested on a mixture.

    Args:
        domains: number of domains.
        momentum: of the moving averages.
        epsilon: added to the variance.

    Call arguments:
        inputs: `(batch, ..., channels)`, all of one domain.
        domain: int, which.

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
        # Keras' default lets every replica of `tf.distribute` go its own way.
        average = {"shape": (self.domains, channels), "trainable": False, "aggregation": "mean"}
        average.update(dtype="float32", autocast=False)
        self.moving_mean = self.add_weight(initializer="zeros", name="moving_mean", **average)
        self.moving_variance = self.add_weight(initializer="ones", name="moving_variance", **average)

    def compute_output_shape(self, input_shape):
        return input_shape

    def call(self, inputs, domain, training=False):
        if training:
            x = ops.cast(inputs, "float32")
            mean, variance = ops.moments(x, axes=tuple(range(len(x.shape) - 1)))
            row = ops.expand_dims(ops.arange(self.domains) == domain, 1)
            for average, new in ((self.moving_mean, mean), (self.moving_variance, variance)):
                moved = self.momentum * average + (1 - self.momentum) * ops.stop_gradient(new)
                average.assign(ops.where(row, moved, average.value))
        else:
            mean, variance = self.moving_mean[domain], self.moving_variance[domain]
        mean, variance, gamma, beta = (ops.cast(v, inputs.dtype) for v in (mean, variance, self.gamma, self.beta))
        return ops.batch_normalization(inputs, mean, variance, axis=-1, offset=beta, scale=gamma, epsilon=self.epsilon)


def build_encoders(image_size, domains, style_dim, content_dim, width, mixed_norm):
    """Encoders of images into content and style (Fig. 5): shared stem and content tail, a style tail for each domain.

    At 32 pixels the convolutions of the content have 64, 128, 256 and `content_dim` channels, those of the style 256,
    128 and `style_dim` behind the first two. Each doubling of the size adds one of stride 2 to both tails.

    Args:
        image_size: 32, 64 or 128.
        domains: number of domains.
        style_dim, content_dim: lengths of the codes.
        width: scales the channels of all hidden layers.
        mixed_norm: one set of batch norm statistics for all domains, as CDAAE has it.

    Returns:
        Two lists with a functional model for each domain: of images `(batch, image_size, image_size, 3)` with the
        outputs `content` `(batch, content_dim)` and `stem`, what both codes begin with; and of `stem` with the style
        `(batch, style_dim)`.
    """
    more = _doublings(image_size)
    count = 1 if mixed_norm else domains

    def convolution(channels, kernel, strides=1, padding="same"):
        return _Block(layers.Conv2D(channels, kernel, strides, padding, use_bias=False), count)

    stem = [convolution(scaled(channels, width), 3, 2) for channels in (64, 128)]
    tail = [convolution(scaled(256, width), 3, 2) for _ in range(1 + more)]
    tail.append(convolution(content_dim, 4, padding="valid"))
    content_encoders, style_encoders = [], []
    for domain in range(domains):
        image = x = keras.Input((image_size, image_size, 3))
        for block in stem:
            x = block(x, domain)
        features = x
        for block in tail:
            x = block(x, domain)
        content = layers.Flatten(dtype="float32")(x)
        outputs = {"content": content, "stem": features}
        content_encoders.append(keras.Model(image, outputs, name=f"content_encoder_{domain}"))

        x = inputs = keras.Input(features.shape[1:])
        own = [convolution(scaled(256, width), 1), *(convolution(scaled(128, width), 3, 2) for _ in range(1 + more))]
        for block in own:
            x = block(x, domain)
        style = layers.Conv2D(style_dim, 4, padding="valid")(x)
        style = layers.Flatten(dtype="float32")(style)
        style_encoders.append(keras.Model(inputs, style, name=f"style_encoder_{domain}"))
    return content_encoders, style_encoders


def build_decoders(image_size, domains, style_dim, content_dim, width, mixed_norm, share):
    """Decoders of content and style into images (Fig. 8), one a domain, of which some layers are shared (Fig. 10).

    At 32 pixels four deconvolutions of 128, 256, 64 and 3 channels; each doubling of the size adds one of 256.

    Args:
        image_size, domains, style_dim, content_dim, width, mixed_norm: as in `build_encoders`.
        share: numbers of the deconvolutions that all domains share, counted from 1.

    Returns:
        A functional model for each domain, of `[content, style]` with images `(batch, image_size, image_size, 3)` in
        [-1, 1].
    """
    count = 1 if mixed_norm else domains
    channels = [scaled(128, width), *[scaled(256, width)] * (1 + _doublings(image_size)), scaled(64, width), 3]
    if not set(share) <= set(range(1, len(channels) + 1)):
        raise ValueError(f"share={share}: the decoder's layers are numbered from 1 to {len(channels)}.")

    def deconvolution(number):
        kernel, strides, padding = (4, 1, "valid") if number == 1 else (3, 2, "same")
        last = number == len(channels)
        layer = layers.Conv2DTranspose(channels[number - 1], kernel, strides, padding, use_bias=last)
        return layer if last else _Block(layer, count)

    numbers = range(1, len(channels) + 1)
    shared = {number: deconvolution(number) for number in numbers if number in share}
    decoders = []
    for domain in range(domains):
        content, style = keras.Input((content_dim,)), keras.Input((style_dim,))
        x = layers.Concatenate()([content, style])
        x = layers.Reshape((1, 1, content_dim + style_dim))(x)
        for number in numbers[:-1]:
            x = (shared.get(number) or deconvolution(number))(x, domain)
        x = (shared.get(len(channels)) or deconvolution(len(channels)))(x)
        image = layers.Activation("tanh", dtype="float32")(x)
        decoders.append(keras.Model([content, style], image, name=f"decoder_{domain}"))
    return decoders


def build_style_discriminator(style_dim, name):
    """Tells samples of the prior from styles of images (Fig. 6): `(batch, style_dim)` to logits `(batch, 1)`."""
    return _mlp(style_dim, (256, 64, 16), 1, name)


def build_category_classifier(content_dim, num_classes):
    """One layer (Fig. 7): content `(batch, content_dim)` to logits `(batch, num_classes)`."""
    return _mlp(content_dim, (), num_classes, "category_classifier")


def build_domain_classifier(content_dim, domains):
    """Fig. 7: content `(batch, content_dim)` to logits `(batch, domains)`."""
    return _mlp(content_dim, (256, 128, 64, 64), domains, "domain_classifier")


class _Block:
    """A convolution, batch norm with statistics for each of `count` domains, ReLU."""

    def __init__(self, convolution, count):
        self.convolution, self.norm, self.count = convolution, DomainBatchNormalization(count), count

    def __call__(self, x, domain):
        return layers.ReLU()(self.norm(self.convolution(x), domain=domain % self.count))


def _doublings(image_size):
    return SIZES.index(image_size)


def _mlp(inputs, hidden, outputs, name):
    x = code = keras.Input((inputs,))
    for units in hidden:
        x = layers.Dense(units, activation="relu")(x)
    return keras.Model(code, layers.Dense(outputs, dtype="float32")(x), name=name)
