"""The networks of MM-SSIT (section 4). Details that its figures do not show are those of CDAAE.

Each domain has an encoder. The encoders share the stem and the content tail, but the batch normalisation layers keep
separate statistics for each domain.
"""

import keras
from keras import layers

from kgan.layers import DomainBatchNormalization, channels_last, scaled

SIZES = (32, 64, 128)


@channels_last
def build_encoders(image_size, domains, style_dim, content_dim, width, mixed_norm):
    """Build encoders of content and style (Fig. 5): a shared stem and content tail, and one style tail per domain.

    At 32 pixels the stem has convolutions of 64 and 128 channels. The content tail has 256 and `content_dim`, the style
    tail 256, 128 and `style_dim`. Each doubling of the image size adds one convolution of stride 2 to both tails.

    Args:
        image_size: 32, 64 or 128.
        domains: number of domains.
        style_dim, content_dim: lengths of the style and content vectors.
        width: factor for the channels of all hidden layers, in (0, 4].
        mixed_norm: whether all domains share one set of batch normalisation statistics, as in CDAAE.

    Returns:
        `(content_encoders, style_encoders)`, two lists with a functional model per domain. A content encoder maps
        images `(batch, image_size, image_size, 3)` to the outputs `content` `(batch, content_dim)` and `stem`, the
        output of the stem. A style encoder maps `stem` to styles `(batch, style_dim)`.
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


@channels_last
def build_decoders(image_size, domains, style_dim, content_dim, width, mixed_norm, share):
    """Build one decoder of content and style per domain (Fig. 8). The domains may share some layers (Fig. 10).

    At 32 pixels a decoder has four transposed convolutions of 128, 256, 64 and 3 channels. Each doubling of the image
    size adds one of 256.

    Args:
        image_size, domains, style_dim, content_dim, width, mixed_norm: as in `build_encoders`.
        share: numbers of the transposed convolutions that all domains share, counted from 1.

    Returns:
        A list with a functional model per domain. It maps `[content, style]` to images
        `(batch, image_size, image_size, 3)` in [-1, 1].

    Raises:
        ValueError: if `share` has a number that is not a layer.
    """
    count = 1 if mixed_norm else domains
    channels = [scaled(128, width), *[scaled(256, width)] * (1 + _doublings(image_size)), scaled(64, width), 3]
    if not set(share) <= set(range(1, len(channels) + 1)):
        raise ValueError(f"share={share}: the decoder layers are numbered from 1 to {len(channels)}.")

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
    """Build the discriminator of prior samples and styles (Fig. 6): `(batch, style_dim)` to logits `(batch, 1)`."""
    return _mlp(style_dim, (256, 64, 16), 1, name)


def build_category_classifier(content_dim, num_classes):
    """Build the category classifier, one layer (Fig. 7): `(batch, content_dim)` to logits `(batch, num_classes)`."""
    return _mlp(content_dim, (), num_classes, "category_classifier")


def build_domain_classifier(content_dim, domains):
    """Build the domain classifier (Fig. 7): `(batch, content_dim)` to logits `(batch, domains)`."""
    return _mlp(content_dim, (256, 128, 64, 64), domains, "domain_classifier")


class _Block:
    """A convolution, batch normalisation with separate statistics for `count` domains, and ReLU."""

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
