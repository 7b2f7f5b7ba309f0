"""Networks of the text filter: the teacher, the student, MSP-Net, and the autoencoder that judges features.

The first three take RGB images of any size in 0..255 and normalise them internally. They return a feature vector and a
logit for each of the 34 regions (`kgan.filter.regions`), and a logit for the whole image.
"""

import keras
from keras import layers, ops

from kgan.filter.regions import GRIDS
from kgan.layers import application, channels_last, scaled

IMAGENET_MEAN, SPREAD = [123.68, 116.779, 103.939], 127.5
HIGHEST = 6.0  # of the student's activations
VGG16 = ((64, 2), (128, 2), (256, 3), (512, 3), (512, 3))  # channels and convolutions of each stage


@keras.saving.register_keras_serializable("kgan")
class RegionPooling(layers.Layer):
    """Averages a feature map of any size over the cells of a grid.

    Cell i of n covers rows `floor(i H / n)` to `ceil((i + 1) H / n)`, as in PyTorch's adaptive pooling. If the grid
    divides the map evenly, this is plain average pooling, which converters and phones support.

    Args:
        cells: number of cells along each side.

    Call arguments:
        inputs: `(batch, height, width, channels)`. Height and width may be unknown until the call.

    Returns:
        `(batch, cells, cells, channels)`.

    Example:

    >>> tuple(RegionPooling(3)(ops.ones((2, 31, 47, 8))).shape)
    (2, 3, 3, 8)
    """

    def __init__(self, cells, **kwargs):
        super().__init__(**kwargs)
        self.cells = cells

    def get_config(self):
        return {**super().get_config(), "cells": self.cells}

    def compute_output_shape(self, input_shape):
        return (input_shape[0], self.cells, self.cells, input_shape[3])

    def call(self, inputs):
        height, width = inputs.shape[1:3]
        if height and width and height % self.cells == 0 and width % self.cells == 0:
            window = (height // self.cells, width // self.cells)
            return ops.average_pool(inputs, window, strides=window, data_format="channels_last")
        height, width = ops.shape(inputs)[1:3]
        rows = ops.einsum("ih,bhwc->biwc", self._weights(height, inputs.dtype), inputs)
        return ops.einsum("jw,biwc->bijc", self._weights(width, inputs.dtype), rows)

    def _weights(self, length, dtype):
        """Return the weight of each row of the map in each cell, `(cells, length)`."""
        cell = ops.expand_dims(ops.arange(self.cells), 1)
        row = ops.arange(length)
        member = (row >= cell * length // self.cells) & (row < ((cell + 1) * length + self.cells - 1) // self.cells)
        member = ops.cast(member, dtype)
        return member / ops.sum(member, axis=1, keepdims=True)


@channels_last
def build_teacher(width, features, batch_norm, image_size=(None, None)):
    """Build the teacher (Fig. 2): VGG16 with its last two stages pooled to 5x5 and 3x3, summed and mapped to features.

    The paper reports 16.03 M parameters, 1.31 M more than the convolutions of VGG16. Here, a hidden layer of 2048 units
    before the map accounts for the difference.

    Args:
        width: factor for all hidden channels, in (0, 4].
        features: length of the feature vector of a region, the same for student and teacher.
        batch_norm: whether batch normalisation follows each convolution. VGG16 has none, but hardly learns from random
            weights without it.
        image_size: `(height, width)` in pixels, None for any.

    Returns:
        A functional model of images `(batch, height, width, 3)` with the outputs `features` `(batch, 34, features)`,
        `logits` `(batch, 34)` and `image_logits` `(batch, 1)`.
    """
    image = keras.Input((*image_size, 3), name="image")
    fourth, fifth = _vgg16(image, width, batch_norm)[-2:]
    pooled = [layers.Add()([RegionPooling(n)(fourth), RegionPooling(n)(fifth)]) for n in GRIDS]
    x = _regions(pooled)
    x = layers.Dense(scaled(2048, width), activation="relu")(x)
    return _region_model(image, layers.Dense(features, name="map")(x), "teacher")


@channels_last
def build_student(width, features, context=0.0, image_size=(None, None), calibration=None):
    """Build the student (Fig. 3): six convolutions, the last two normalised and pooled, one to 5x5, the other to 3x3.

    16-32-32-32-64-64 channels and 128 features give the paper's 0.087 M parameters, with batch normalisation folded
    into the convolutions. The second convolution reduces the resolution to a quarter, the fourth to an eighth. ReLUs
    are clipped at 6, which is not in the paper. Without it, one activation in ten thousand takes most of the 256 levels
    of int8.

    Args:
        width, features, image_size: as in `build_teacher`.
        context: weight of the mean over the large regions. With 0, the image logit is the maximum of the 34 region
            logits. Above 0, it is the maximum of the nine large regions' logits plus `context` times their mean.
        calibration: `(scale, offset)`, by which the image logit is multiplied and what is then added to it, or None.

    Returns:
        A functional model as in `build_teacher`.
    """
    image = keras.Input((*image_size, 3), name="image")
    x = layers.Rescaling(1 / 127.5, -1, name="normalise")(image)
    maps = []
    for channels, strides in ((16, 2), (32, 2), (32, 1), (32, 2), (64, 1), (64, 1)):
        x = _convolution(x, scaled(channels, width), strides=strides, highest=HIGHEST)
        maps.append(x)
    x = _regions([RegionPooling(n)(m) for n, m in zip(GRIDS, maps[-2:], strict=True)])
    return _region_model(image, layers.Dense(features, name="map")(x), "student", context, calibration)


@channels_last
def build_mspnet(width, batch_norm, image_size=(None, None)):
    """Build MSP-Net (Bai et al., 2017): each region is pooled to 7x7 and passes through the full head of VGG16.

    Only its size, 136.40 M parameters, and its parts are known. Here, each of the last two stages passes a 1x1
    convolution and is pooled, and a 3x3 convolution fuses their sum.

    Args:
        width, batch_norm, image_size: as in `build_teacher`.

    Returns:
        A functional model as in `build_teacher`. The features are the 4096 outputs of the last hidden layer.
    """
    image = keras.Input((*image_size, 3), name="image")
    w = scaled(512, width)
    stages = [layers.Conv2D(w, 1)(stage) for stage in _vgg16(image, width, batch_norm)[-2:]]
    fuse = layers.Conv2D(w, 3, padding="same", activation="relu")
    blocks = []
    for n in GRIDS:
        pooled = [RegionPooling(7 * n)(stage) for stage in stages]
        blocks.append(_blocks(fuse(layers.Add()(pooled)), n))
    x = layers.Concatenate(axis=1)(blocks)
    x = layers.Dense(scaled(4096, width), activation="relu")(x)
    return _region_model(image, layers.Dense(scaled(4096, width), name="map")(x), "mspnet")


def build_discriminator(features, hidden=64):
    """Build the discriminator (Fig. 4), a BEGAN autoencoder that reconstructs the teacher's features with small error.

    Returns:
        A functional model that maps features `(batch, 34, features)` to their reconstruction.
    """
    x = feature = keras.Input((None, features), name="features")
    for units in (hidden, hidden // 2, hidden):
        x = layers.LeakyReLU(0.2)(layers.Dense(units)(x))
    return keras.Model(feature, layers.Dense(features, dtype="float32")(x), name="discriminator")


def _convolution(x, channels, strides=1, batch_norm=True, highest=None):
    x = layers.Conv2D(channels, 3, strides=strides, padding="same", use_bias=not batch_norm)(x)
    return layers.ReLU(highest)(layers.BatchNormalization()(x) if batch_norm else x)


def _vgg16(image, width, batch_norm):
    """Return the outputs of VGG16's five stages, each before its pooling."""
    x = layers.Normalization(mean=IMAGENET_MEAN, variance=[SPREAD**2] * 3, name="normalise")(image)
    stages = []
    for stage, (channels, count) in enumerate(VGG16):
        x = layers.MaxPooling2D(2)(x) if stage else x
        for _ in range(count):
            x = _convolution(x, scaled(channels, width), batch_norm=batch_norm)
        stages.append(x)
    return stages


def load_imagenet(network):
    """Load the weights of `keras.applications.VGG16` into a `_vgg16` of full width without batch normalisation."""
    pretrained = application("VGG16", "imagenet")
    theirs = [layer for layer in pretrained.layers if isinstance(layer, layers.Conv2D)]
    ours = [layer for layer in network.layers if isinstance(layer, layers.Conv2D)][: len(theirs)]
    if any(a.kernel.shape != b.kernel.shape or not a.use_bias for a, b in zip(ours, theirs, strict=True)):
        raise ValueError("The ImageNet weights need a network with width=1 and batch_norm=False.")
    for a, b in zip(ours, theirs, strict=True):
        a.set_weights(b.get_weights())
    kernel, bias = ours[0].get_weights()
    # The pretrained kernel expects the channels as blue, green, red, and inputs that are not divided by SPREAD.
    ours[0].set_weights([SPREAD * kernel[:, :, ::-1], bias])


def _regions(maps):
    """Flatten and concatenate the two pooled maps, `(batch, 34, channels)`."""
    flat = [layers.Reshape((n * n, m.shape[-1]))(m) for n, m in zip(GRIDS, maps, strict=True)]
    return layers.Concatenate(axis=1)(flat)


def _blocks(pooled, n):
    """Flatten the 7x7 blocks of a map: `(batch, 7 n, 7 n, channels)` to `(batch, n * n, 49 * channels)`."""
    channels = pooled.shape[-1]
    x = layers.Reshape((n, 7, n, 7 * channels))(pooled)
    x = layers.Permute((1, 3, 2, 4))(x)
    return layers.Reshape((n * n, 49 * channels))(x)


def _region_model(image, features, name, context=0.0, calibration=None):
    """Build the model with its outputs.

    The logit of a region is computed from its features after a ReLU, so that their signs are the activation boundary.
    """
    features = layers.Activation("linear", dtype="float32", name="features")(features)
    logits = layers.Dense(1, dtype="float32", name="classifier")(layers.ReLU()(features))
    judged = layers.Cropping1D((GRIDS[0] ** 2, 0), dtype="float32")(logits) if context else logits
    image_logits = layers.GlobalMaxPooling1D(dtype="float32")(judged)
    if context:
        mean = layers.GlobalAveragePooling1D(dtype="float32")(judged)
        image_logits = layers.Add(dtype="float32")([image_logits, layers.Rescaling(context, dtype="float32")(mean)])
    if calibration:
        image_logits = layers.Rescaling(*calibration, dtype="float32", name="calibration")(image_logits)
    logits = layers.Reshape((-1,), dtype="float32", name="logits")(logits)
    return keras.Model(image, {"features": features, "logits": logits, "image_logits": image_logits}, name=name)
