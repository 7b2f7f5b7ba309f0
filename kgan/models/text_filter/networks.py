"""The networks of the text filter: the teacher, the student, MSP-Net, and the auto-encoder that judges features.

The first three take RGB images in 0..255 of any size and normalise them inside. Out come, for each of the 34 regions
(`regions.py`), a feature vector and a logit, and a logit for the whole image.
"""

import keras
from keras import layers, ops

from kgan.filter.regions import GRIDS
from kgan.layers import scaled

IMAGENET_MEAN, SPREAD = [123.68, 116.779, 103.939], 127.5
VGG16 = ((64, 2), (128, 2), (256, 3), (512, 3), (512, 3))  # channels and convolutions of each stage


@keras.saving.register_keras_serializable("kgan")
class RegionPooling(layers.Layer):
    """Averages a feature map over the cells of a grid, whatever its size.

    Cell i of n covers rows `floor(i H / n)` to `ceil((i + 1) H / n)`, as PyTorch's adaptive pooling has it. Where the
    grid divides the map evenly this is plain average pooling, which is what converters and phones know.

    Args:
        cells: number of cells along each side.

    Call arguments:
        inputs: `(batch, height, width, channels)`; height and width may be unknown until the call.

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
        """`(cells, length)`: what each row of the map weighs in each cell."""
        cell = ops.expand_dims(ops.arange(self.cells), 1)
        row = ops.arange(length)
        member = (row >= cell * length // self.cells) & (row < ((cell + 1) * length + self.cells - 1) // self.cells)
        member = ops.cast(member, dtype)
        return member / ops.sum(member, axis=1, keepdims=True)


def build_teacher(width, features, batch_norm, image_size=(None, None)):
    """The teacher (Fig. 2): the last two stages of VGG16, pooled to 5x5 and 3x3, summed, mapped to the shared space.

    The paper's 16.03 M parameters leave 1.31 M beside VGG16: here a hidden layer of 2048 before the map.

    Args:
        width: scales all hidden channels.
        features: length of a region's feature vector, which student and teacher share.
        batch_norm: after each convolution. VGG16 has none, and hardly learns from random weights without.
        image_size: `(height, width)` in pixels; None for any.

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


def build_student(width, features, context=0.0, image_size=(None, None)):
    """The student (Fig. 3): six convolutions, the last two normalised and pooled, one to 5x5, the other to 3x3.

    16-32-32-32-64-64 channels and 128 features give the paper's 0.087 M parameters, batch norm folded into the
    convolutions. It reads a quarter of the resolution from the second convolution on, an eighth from the fourth. Its
    ReLUs end at 6, beyond the paper: without, one activation in ten thousand takes most of int8's 256 steps.

    Args:
        context: the image's logit is the greatest of the 34; above 0 that of the nine large regions, and so many times
            their mean.

    Other Args, Returns: as `build_teacher`.
    """
    image = keras.Input((*image_size, 3), name="image")
    x = layers.Rescaling(1 / 127.5, -1, name="normalise")(image)
    maps = []
    for channels, strides in ((16, 2), (32, 2), (32, 1), (32, 2), (64, 1), (64, 1)):
        x = _convolution(x, scaled(channels, width), strides=strides, highest=6.0)
        maps.append(x)
    x = _regions([RegionPooling(n)(m) for n, m in zip(GRIDS, maps[-2:], strict=True)])
    return _region_model(image, layers.Dense(features, name="map")(x), "student", context)


def build_mspnet(width, batch_norm, image_size=(None, None)):
    """MSP-Net (Bai et al., 2017), to compare with: each region is pooled to 7x7 and goes through VGG16's full head.

    Known are its size, 136.40 M parameters, and its parts. Here the last two stages are fused where they are pooled,
    with a 1x1 convolution each and a 3x3 convolution over the sum.

    Args, Returns: as `build_teacher`; the features are the 4096 of the last hidden layer.
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
    """The auto-encoder that judges features (Fig. 4, BEGAN): its error is small on the teacher's.

    Returns:
        A functional model of features `(batch, 34, features)` with their reconstruction.
    """
    x = feature = keras.Input((None, features), name="features")
    for units in (hidden, hidden // 2, hidden):
        x = layers.LeakyReLU(0.2)(layers.Dense(units)(x))
    return keras.Model(feature, layers.Dense(features, dtype="float32")(x), name="discriminator")


def _convolution(x, channels, strides=1, batch_norm=True, highest=None):
    x = layers.Conv2D(channels, 3, strides=strides, padding="same", use_bias=not batch_norm)(x)
    return layers.ReLU(highest)(layers.BatchNormalization()(x) if batch_norm else x)


def _vgg16(image, width, batch_norm):
    """The outputs of VGG16's five stages, each before its pooling."""
    x = layers.Normalization(mean=IMAGENET_MEAN, variance=[SPREAD**2] * 3, name="normalise")(image)
    stages = []
    for stage, (channels, count) in enumerate(VGG16):
        x = layers.MaxPooling2D(2)(x) if stage else x
        for _ in range(count):
            x = _convolution(x, scaled(channels, width), batch_norm=batch_norm)
        stages.append(x)
    return stages


def load_imagenet(network):
    """Gives a network on `_vgg16`, full width and without batch norm, the weights of `keras.applications.VGG16`."""
    pretrained = keras.applications.VGG16(weights="imagenet", include_top=False)
    theirs = [layer for layer in pretrained.layers if isinstance(layer, layers.Conv2D)]
    ours = [layer for layer in network.layers if isinstance(layer, layers.Conv2D)][: len(theirs)]
    if any(a.kernel.shape != b.kernel.shape or not a.use_bias for a, b in zip(ours, theirs, strict=True)):
        raise ValueError("ImageNet's weights need a network with width=1 and batch_norm=False.")
    for a, b in zip(ours, theirs, strict=True):
        a.set_weights(b.get_weights())
    kernel, bias = ours[0].get_weights()
    # Theirs takes blue, green, red, and does not divide.
    ours[0].set_weights([SPREAD * kernel[:, :, ::-1], bias])


def _regions(maps):
    """`(batch, 34, channels)` of the two pooled maps."""
    flat = [layers.Reshape((n * n, m.shape[-1]))(m) for n, m in zip(GRIDS, maps, strict=True)]
    return layers.Concatenate(axis=1)(flat)


def _blocks(pooled, n):
    """`(batch, n * n, 49 * channels)`: the 7x7 blocks of a map `(batch, 7 n, 7 n, channels)`, each flat."""
    channels = pooled.shape[-1]
    x = layers.Reshape((n, 7, n, 7 * channels))(pooled)
    x = layers.Permute((1, 3, 2, 4))(x)
    return layers.Reshape((n * n, 49 * channels))(x)


def _region_model(image, features, name, context=0.0):
    """A region's logit is read from its features behind a ReLU, so that their signs are the activation boundary."""
    features = layers.Activation("linear", dtype="float32", name="features")(features)
    logits = layers.Dense(1, dtype="float32", name="classifier")(layers.ReLU()(features))
    judged = layers.Cropping1D((GRIDS[0] ** 2, 0), dtype="float32")(logits) if context else logits
    image_logits = layers.GlobalMaxPooling1D(dtype="float32")(judged)
    if context:
        mean = layers.GlobalAveragePooling1D(dtype="float32")(judged)
        image_logits = layers.Add(dtype="float32")([image_logits, layers.Rescaling(context, dtype="float32")(mean)])
    logits = layers.Reshape((-1,), dtype="float32", name="logits")(logits)
    return keras.Model(image, {"features": features, "logits": logits, "image_logits": image_logits}, name=name)
