"""Backbones of the multi-label classifier: images `(batch, height, width, 3)` in [-1, 1] to features `(batch, n)`."""

import keras
from keras import layers

from kgan.layers import application, channels_last, norm_relu, scaled

# Blocks in each stage of the pre-activation ResNets that keras.applications does not have.
STAGES = {"resnet18_v2": (2, 2, 2, 2), "resnet34_v2": (3, 4, 6, 3)}
APPLICATIONS = {"resnet50_v2": "ResNet50V2", "resnet101_v2": "ResNet101V2"}
BACKBONES = (*APPLICATIONS, *STAGES, "small")


@channels_last
def build_backbone(name, image_size, weights=None):
    """Build a backbone by name.

    Args:
        name: `"resnet50_v2"` or `"resnet101_v2"` of `keras.applications` (the paper's is ResNet-101 with the blocks of
            He et al., 2016, "Identity mappings"), `"resnet18_v2"` or `"resnet34_v2"` of KerasCV, or `"small"`.
        image_size: height and width in pixels, 32 or more.
        weights: None for random ones. The backbones of `keras.applications` also take `"imagenet"`, which are
            downloaded at first use, or the path of a weights file.

    Raises:
        ValueError: the name is unknown, the backbone has no weights, or the image is too small.
        FileNotFoundError: the weights can neither be found nor downloaded.
        ImportError: KerasCV or TensorFlow, which it needs on every backend, is not installed.
    """
    if name not in BACKBONES:
        raise ValueError(f"backbone={name!r}: pass a keras.Model or one of {', '.join(map(repr, BACKBONES))}")
    if image_size < 32:
        raise ValueError(f"image_size={image_size}: pass 32 or more")
    if name in APPLICATIONS:
        return application(APPLICATIONS[name], weights, input_shape=(image_size, image_size, 3), pooling="avg")
    if weights is not None:
        raise ValueError(f"weights={weights!r}: {name} has none; pass None, or one of {', '.join(APPLICATIONS)}")
    return build_small(image_size) if name == "small" else _build_keras_cv(name, image_size)


@channels_last
def build_small(image_size, width=1.0):
    """Build a ResNet of seven convolutions for images of 32 to 64 pixels, which the usual stem would leave 2x2 of.

    It has the pre-activation blocks of the large ones, one in each of three stages. The first convolution keeps the
    size; each stage has half the size of the one before.

    Args:
        image_size: height and width in pixels.
        width: factor for the channels, 32, 64 and 128 at 1, in (0, 4].
    """
    image = keras.Input((image_size, image_size, 3), name="image")
    x = layers.MaxPooling2D(2)(layers.Conv2D(scaled(32, width), 3, padding="same", use_bias=False)(image))
    for stage in range(3):
        x = _block(x, scaled(32 * 2**stage, width), strides=1 if stage == 0 else 2)
    return keras.Model(image, layers.GlobalAveragePooling2D()(norm_relu(x)), name="small")


def _block(x, channels, strides):
    """Add a pre-activation block (He et al., 2016): batch normalisation and ReLU come before each convolution."""
    active, shortcut = norm_relu(x), x
    if strides > 1:
        # Pooled first (He et al., 2019): a strided 1x1 convolution would not see three quarters of the pixels.
        shortcut = layers.AveragePooling2D(strides)(active)
        shortcut = layers.Conv2D(channels, 1, use_bias=False)(shortcut)
    y = layers.Conv2D(channels, 3, strides=strides, padding="same", use_bias=False)(active)
    y = layers.Conv2D(channels, 3, padding="same", use_bias=False)(norm_relu(y))
    return layers.Add()([shortcut, y])


def _build_keras_cv(name, image_size):
    try:
        from keras_cv.models import ResNetV2Backbone
    except ImportError as error:
        raise ImportError(f"{name} needs {error.name}: pip install keras-cv==0.9.0 tensorflow") from error
    backbone = ResNetV2Backbone(
        stackwise_filters=[64, 128, 256, 512],
        stackwise_blocks=list(STAGES[name]),
        stackwise_strides=[1, 2, 2, 2],
        block_type="basic_block",
        include_rescaling=False,
        input_shape=(image_size, image_size, 3),
    )
    return keras.Model(backbone.input, layers.GlobalAveragePooling2D()(backbone.output), name=name)
