"""The networks of DCGAN (Radford et al., 2016) for 32 to 256 pixels."""

import keras
from keras import layers

from kgan.layers import (
    SampleNormalization,
    SpectralConv2D,
    batch_norm,
    channels_last,
    check_shape,
    judging_network,
    norm_relu,
    scaled,
)


@channels_last
def dcgan_generator(image_size=64, channels=3, latent_dim=100, width=1.0, name="generator"):
    """Build DCGAN's generator: a projection to 4x4, then one transposed convolution of stride 2 per doubling.

    At `width=1` the last hidden layer has 64 channels. Each layer before it has twice as many, at most 512.

    Args:
        image_size: 32, 64, 128 or 256.
        channels: 1 or 3.
        latent_dim: length of the latent vector.
        width: factor for the channels of all hidden layers, in (0, 4].

    Returns:
        A functional model that maps latents `(batch, latent_dim)` to images
        `(batch, image_size, image_size, channels)` in [-1, 1].

    Raises:
        ValueError: if the image size, the number of channels or the width is out of range.

    Example:

    >>> dcgan_generator(32, channels=1, width=0.25).output_shape
    (None, 32, 32, 1)
    """
    widths = _widths(image_size, channels, width)[::-1]
    x = inputs = keras.Input((latent_dim,))
    x = layers.Dense(4 * 4 * widths[0], use_bias=False)(x)
    x = norm_relu(layers.Reshape((4, 4, widths[0]))(x))
    for filters in widths[1:]:
        x = norm_relu(layers.Conv2DTranspose(filters, 4, strides=2, padding="same", use_bias=False)(x))
    x = layers.Conv2DTranspose(channels, 4, strides=2, padding="same")(x)
    outputs = layers.Activation("tanh", dtype="float32")(x)
    return keras.Model(inputs, outputs, name=name)


@channels_last
def dcgan_discriminator(
    image_size=64, channels=3, width=1.0, norm="batch", num_classes=None, feature_layers=(), name="discriminator"
):
    """Build DCGAN's discriminator: convolutions of stride 2 down to 4x4, then one fully connected layer.

    At `width=1` the convolutions have 64, 128, 256 and 512 channels. Further convolutions have 512.

    Args:
        image_size: 32, 64, 128 or 256.
        channels: 1 or 3.
        width: factor for the channels of all hidden layers, in (0, 4].
        norm: `"batch"` or `"layer"` normalisation, or `"spectral"`: the kernel of each convolution is divided by its
            largest singular value (Miyato et al., 2018). Nothing else is normalised, unlike there not the last layer
            either. WGAN-GP needs `"layer"`, because its penalty applies to each sample separately.
        num_classes: number of classes of a conditional discriminator, as in CGAN. The one-hot label is then a second
            input, mapped to an additional channel of the image. Default: no label.
        feature_layers: names of layers (`discriminator_conv1`, ...) whose outputs are appended to the features.

    Returns:
        A functional model of images `(batch, image_size, image_size, channels)` in [-1, 1], or of images and labels
        `(batch, num_classes)`. It has the outputs `logits` `(batch, 1)` and `features` `(batch, n)`. The features are
        the input of the last layer, followed by the outputs of `feature_layers`.

    Raises:
        ValueError: if the image size, the number of channels, the width or the norm is out of range.

    Example:

    >>> dcgan_discriminator(32, channels=1, width=0.25).output["logits"].shape
    (None, 1)
    """
    if norm not in ("batch", "layer", "spectral"):
        raise ValueError(f"norm={norm!r}: pass 'batch', 'layer' or 'spectral'.")
    widths = _widths(image_size, channels, width)
    x = image = keras.Input((image_size, image_size, channels), name="image")
    inputs = image
    if num_classes is not None:
        label = keras.Input((num_classes,), name="label")
        plane = layers.Reshape((image_size, image_size, 1))(layers.Dense(image_size**2, use_bias=False)(label))
        x, inputs = layers.Concatenate()([image, plane]), [image, label]
    for i, filters in enumerate(widths):
        if norm == "spectral":
            x = SpectralConv2D(filters, 4, strides=2, padding="same")(x)
        else:
            x = layers.Conv2D(filters, 4, strides=2, padding="same", use_bias=i == 0)(x)
            if i:  # DCGAN does not normalise the first layer
                x = batch_norm()(x) if norm == "batch" else SampleNormalization()(x)
        x = layers.LeakyReLU(0.2, name=f"{name}_conv{i + 1}")(x)
    return judging_network(inputs, layers.Flatten(dtype="float32")(x), 1, feature_layers, name)


def _widths(image_size, channels, width):
    """Return the channels of the stages between the image and 4x4, from the image inwards."""
    check_shape(image_size, channels)
    return [scaled(64 * min(2**i, 8), width) for i in range(image_size.bit_length() - 3)]
