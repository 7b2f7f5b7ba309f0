"""The networks of makeup transfer (section 3). Details that the paper leaves open are those of BeautyGAN and PSGAN.

The last one, which finds what is in front of a face, is not in the paper.
"""

import dataclasses

import keras
from keras import layers, ops

from kgan.faces import PARTS, covers
from kgan.faces.mesh import MEDIAPIPE, Layout
from kgan.faces.skin import part_shares
from kgan.layers import SpectralConv2D, application, channels_last, norm_relu, scaled

BLOCKS = 3  # residual blocks before the makeup is put on, and after it


@keras.saving.register_keras_serializable("kgan")
class PartChannels(layers.Layer):
    """Appends to textures how much of each texel belongs to lips, eyes and skin, three channels that never change.

    A convolution does not know where on the face it is, although in UV space each texel has its place.

    Args:
        layout: `kgan.faces.mesh.Layout`, where the parts lie.

    Example:

    >>> tuple(PartChannels()(ops.ones((2, 32, 32, 3))).shape)
    (2, 32, 32, 6)
    """

    def __init__(self, layout=MEDIAPIPE.layout, **kwargs):
        super().__init__(**kwargs)
        self.layout = layout

    def get_config(self):
        return {**super().get_config(), "layout": dataclasses.asdict(self.layout)}

    @classmethod
    def from_config(cls, config):
        layout = config.get("layout")  # models of earlier versions have none
        return cls(**{**config, "layout": Layout.of(**layout) if layout else MEDIAPIPE.layout})

    def compute_output_shape(self, input_shape):
        return (*input_shape[:-1], input_shape[-1] + len(PARTS))

    def call(self, inputs):
        shares = ops.convert_to_tensor(part_shares(inputs.shape[1], self.layout), inputs.dtype)[None]
        return ops.concatenate([inputs, ops.broadcast_to(shares, (ops.shape(inputs)[0], *shares.shape[1:]))], axis=-1)


@channels_last
def build_encoder(size, width, layout=MEDIAPIPE.layout):
    """Build the encoder of textures, with two down-sampling layers (section 3.1).

    Args:
        size: height and width of the textures, a multiple of 4.
        width: factor for the channels of all hidden layers, in (0, 4].
        layout: `kgan.faces.mesh.Layout` that tells it where the parts of the face are; None for images, where nobody
            knows.

    Returns:
        A functional model from textures `(batch, size, size, 3)` to features `(batch, size / 4, size / 4, channels)`.
    """
    texture = keras.Input((size, size, 3), name="texture")
    x = PartChannels(layout)(texture) if layout else texture
    for channels, kernel, strides in ((64, 7, 1), (128, 4, 2), (256, 4, 2)):
        x = _norm_relu(layers.Conv2D(scaled(channels, width), kernel, strides, padding="same", use_bias=False)(x))
    return keras.Model(texture, x, name="encoder")


@channels_last
def build_fusion(size, width, count):
    """Build what follows the concatenation of eq. 5: a convolution from `count` repaired features to one.

    Returns:
        A functional model from `(batch, size / 4, size / 4, count * channels)` to `(batch, size / 4, size / 4,
        channels)`.
    """
    channels = scaled(256, width)
    features = keras.Input((size // 4, size // 4, count * channels), name="repaired")
    x = _norm_relu(layers.Conv2D(channels, 1, use_bias=False)(features))
    return keras.Model(features, x, name="fusion")


@channels_last
def build_makeup_encoder(size, width):
    """Build the part of the makeup transfer module that reads a reference, as in PSGAN.

    Returns:
        A functional model from the repaired features of a reference to `gamma` and `beta`, one behind the other:
        `(batch, size / 4, size / 4, 2 * channels)`.
    """
    channels = scaled(256, width)
    features = keras.Input((size // 4, size // 4, channels), name="reference")
    makeup = layers.Conv2D(2 * channels, 1, kernel_initializer=keras.initializers.RandomNormal(0.02))(features)
    return keras.Model(features, makeup, name="makeup_encoder")


@channels_last
def build_decoder(size, width, layout=MEDIAPIPE.layout):
    """Build the rest of the makeup transfer module, and the decoder.

    In the middle of six residual blocks, features become `norm(features) * (1 + gamma) + beta`.

    Args:
        size, width, layout: as in `build_encoder`.

    Returns:
        A functional model from `[features, makeup]`, of `build_fusion` and `build_makeup_encoder`, to `(batch, size,
        size, 3)`, without an activation.
    """
    channels = scaled(256, width)
    features = keras.Input((size // 4, size // 4, channels), name="features")
    makeup = keras.Input((size // 4, size // 4, 2 * channels), name="makeup")
    gamma, beta = ops.split(makeup, 2, axis=-1)
    x = features
    for _ in range(BLOCKS):
        x = _residual(x, channels)
    x = _norm(scale=False)(x) * (1 + gamma) + beta
    for _ in range(BLOCKS):
        x = _residual(x, channels)
    for up in (128, 64):
        x = _norm_relu(layers.Conv2DTranspose(scaled(up, width), 4, 2, padding="same", use_bias=False)(x))
    almost_nothing = keras.initializers.RandomNormal(0.002)  # to start from the source as it is
    x = PartChannels(layout)(x) if layout else x
    x = layers.Conv2D(3, 7, padding="same", dtype="float32", kernel_initializer=almost_nothing)(x)
    return keras.Model([features, makeup], x, name="decoder")


@channels_last
def build_patch_discriminator(size, width, outputs, name):
    """Build a PatchGAN with spectral normalisation.

    Args:
        size: height and width of the pictures, a multiple of 8.
        width: as in `build_encoder`.
        outputs: number of scores for each patch.
        name: of the network.

    Returns:
        A functional model from `(batch, size, size, 3)` to scores `(batch, size / 8, size / 8, outputs)`.
    """
    x = picture = keras.Input((size, size, 3), name="picture")
    for channels, strides in ((64, 2), (128, 2), (256, 2), (512, 1)):
        x = layers.LeakyReLU(0.01)(SpectralConv2D(scaled(channels, width), 4, strides, padding="same")(x))
    return keras.Model(picture, SpectralConv2D(outputs, 4, padding="same", dtype="float32")(x), name=name)


def _norm(scale=True):
    """Instance normalisation."""
    return layers.GroupNormalization(groups=-1, epsilon=1e-5, scale=scale, center=scale)


def _norm_relu(x):
    return layers.ReLU()(_norm()(x))


def _residual(x, channels):
    branch = _norm_relu(layers.Conv2D(channels, 3, padding="same", use_bias=False)(x))
    return x + _norm()(layers.Conv2D(channels, 3, padding="same", use_bias=False)(branch))


@channels_last
def build_vgg_features(size, weights="imagenet"):
    """Build VGG-16 up to relu4_1, which the perceptual loss looks through (eq. 8).

    Args:
        size: height and width of the textures, 32 or more.
        weights: as for `keras.applications.VGG16`; `"imagenet"` is downloaded on first use.

    Returns:
        A functional model from textures `(batch, size, size, 3)` in [-1, 1] to `(batch, size / 8, size / 8, 512)`.

    Raises:
        FileNotFoundError: the weights can neither be found nor downloaded.
    """
    texture = keras.Input((size, size, 3), name="texture")
    # As keras.applications.vgg16.preprocess_input: blue, green, red from 0 to 255, less their means on ImageNet.
    pixels = (ops.flip(texture, axis=-1) + 1) * 127.5 - ops.convert_to_tensor([103.939, 116.779, 123.68])
    vgg = application("VGG16", weights, input_shape=(size, size, 3))
    features = keras.Model(vgg.input, vgg.get_layer("block4_conv1").output, name="relu4_1")
    return keras.Model(texture, features(pixels), name="vgg_features")


@channels_last
def build_cover_network(width=1.0):
    """Build a small U-Net (Ronneberger et al., 2015), which finds what is in front of a face.

    Trained, it comes with the package (`kgan/faces/files/covers.tflite`).

    Args:
        width: factor for the channels of all hidden layers, in (0, 4].

    Returns:
        A functional model that maps `kgan.faces.covers.features` `(batch, 128, 128, 5)` to logits
        `(batch, 128, 128, 1)` of how much of each texel is hidden.

    Raises:
        ValueError: `width` is out of range.

    Example:

    ```python
    import numpy as np

    from kgan.models.makeup.networks import build_cover_network

    build_cover_network()(np.zeros((1, 128, 128, 5), "float32"))  # (1, 128, 128, 1)
    ```
    """

    def convolution(x, channels, kernel=3, strides=1):
        # Batch normalisation, unlike instance normalisation, costs nothing in LiteRT: it becomes part of the weights.
        return norm_relu(layers.Conv2D(channels, kernel, strides, padding="same", use_bias=False)(x))

    channels = [scaled(8 * 2 ** min(stage, 3), width) for stage in range(5)]
    features = keras.Input((covers.SIZE, covers.SIZE, 5))
    x = convolution(PartChannels()(features), channels[0])
    finer = []
    for count in channels[1:]:
        finer.append(x)
        x = convolution(convolution(x, count, strides=2), count)
    for count, beside in zip(channels[-2::-1], finer[::-1], strict=True):
        x = layers.UpSampling2D(interpolation="bilinear")(convolution(x, count, 1))
        x = convolution(layers.Concatenate()([x, beside]), count)
    return keras.Model(features, layers.Conv2D(1, 3, padding="same", dtype="float32")(x), name="covers")
