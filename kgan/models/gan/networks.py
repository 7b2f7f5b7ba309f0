"""The networks of DCGAN (Radford et al., 2016) for 32 to 256 pixels."""

import keras
from keras import layers

from kgan.layers import SampleNormalization

SIZES = (32, 64, 128, 256)


def dcgan_generator(image_size=64, channels=3, latent_dim=100, base=64, name="generator"):
    """DCGAN's generator: a projection to 4x4, then one stride-2 deconvolution for each doubling.

    Args:
        image_size: 32, 64, 128 or 256.
        channels: 1 or 3.
        latent_dim: length of the latent vector.
        base: channels of the last hidden layer; each layer before it has twice as many, 8 times `base` at most.

    Returns:
        A functional model `(batch, latent_dim)` -> `(batch, image_size, image_size, channels)` in [-1, 1].

    Example:

    >>> dcgan_generator(32, channels=1, base=16).output_shape
    (None, 32, 32, 1)
    """
    widths = _widths(image_size, channels, base)[::-1]
    x = inputs = keras.Input((latent_dim,))
    x = layers.Dense(4 * 4 * widths[0], use_bias=False)(x)
    x = layers.Reshape((4, 4, widths[0]))(x)
    x = layers.ReLU()(_batch_norm()(x))
    for width in widths[1:]:
        x = layers.Conv2DTranspose(width, 4, strides=2, padding="same", use_bias=False)(x)
        x = layers.ReLU()(_batch_norm()(x))
    x = layers.Conv2DTranspose(channels, 4, strides=2, padding="same")(x)
    outputs = layers.Activation("tanh", dtype="float32")(x)
    return keras.Model(inputs, outputs, name=name)


def dcgan_discriminator(image_size=64, channels=3, base=64, norm="batch", name="discriminator"):
    """DCGAN's discriminator: stride-2 convolutions down to 4x4, then one fully connected layer.

    Args:
        image_size: 32, 64, 128 or 256.
        channels: 1 or 3.
        base: channels of the first layer; each further layer has twice as many, 8 times `base` at most.
        norm: `"batch"`, or `"layer"`, which WGAN-GP needs: its penalty is on each sample by itself.

    Returns:
        A functional model of images `(batch, image_size, image_size, channels)` in [-1, 1] with the outputs `logits`
        `(batch, 1)` and `features` `(batch, n)`, the input of the last layer.

    Example:

    >>> dcgan_discriminator(32, channels=1, base=16).output["logits"].shape
    (None, 1)
    """
    if norm not in ("batch", "layer"):
        raise ValueError(f"norm={norm!r}: must be 'batch' or 'layer'.")
    x = inputs = keras.Input((image_size, image_size, channels))
    for i, width in enumerate(_widths(image_size, channels, base)):
        x = layers.Conv2D(width, 4, strides=2, padding="same", use_bias=i == 0)(x)
        if i:  # DCGAN: no normalisation of the input layer
            x = _batch_norm()(x) if norm == "batch" else SampleNormalization()(x)
        x = layers.LeakyReLU(0.2)(x)
    features = layers.Flatten(dtype="float32")(x)
    logits = layers.Dense(1, dtype="float32")(features)
    return keras.Model(inputs, {"logits": logits, "features": features}, name=name)


def _batch_norm():
    return layers.BatchNormalization(momentum=0.9, epsilon=1e-5)


def _widths(image_size, channels, base):
    """Channels of the stages between 4x4 and the image, from the image inwards."""
    if image_size not in SIZES:
        raise ValueError(f"image_size={image_size}: must be a power of two, one of {SIZES}.")
    if channels not in (1, 3):
        raise ValueError(f"channels={channels}: must be 1 (grey) or 3 (colour).")
    return [base * min(2**i, 8) for i in range(image_size.bit_length() - 3)]
