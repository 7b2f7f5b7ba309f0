"""The networks of CVAE-GAN (section 5) for 32 to 256 pixels. The discriminator is DCGAN's (`kgan.models.gan`).

The paper describes the networks for 128 pixels. For all but the generator, it only names a published network. Other
image sizes add or remove stages next to the image, so that the innermost feature map keeps its size. `width` scales all
hidden channels. Labels are one-hot vectors `(batch, num_classes)`, so that labels can be mixed.
"""

from functools import partial

import keras
from keras import layers

from kgan.layers import batch_norm, channels_last, check_shape, judging_network, norm_relu, scaled


@channels_last
def build_encoder(image_size, channels, num_classes, latent_dim, width, name="encoder"):
    """Build the encoder: GoogLeNet (Szegedy et al., 2015) with batch normalisation.

    The label is concatenated to the input of the last fully connected layer.

    Returns:
        A functional model that maps images `(batch, image_size, image_size, channels)` and labels
        `(batch, num_classes)` to the outputs `mean` and `log_variance`, each `(batch, latent_dim)`.
    """
    w = partial(scaled, width=width)
    x = image = keras.Input((image_size, image_size, channels), name="image")
    # GoogLeNet halves five times, from 128 px to 4x4. For 64 px the last pooling is left out, for 32 px also the first.
    if image_size > 128:
        x = _conv(x, w(32), 3, strides=2)
    x = _conv(x, w(64), 7 if image_size > 32 else 3, strides=2)
    x = _pool(x) if image_size > 32 else x
    x = _conv(x, w(64), 1)
    x = _pool(_conv(x, w(192), 3))
    x = _inception(x, w, 64, 96, 128, 16, 32, 32)
    x = _pool(_inception(x, w, 128, 128, 192, 32, 96, 64))
    x = _inception(x, w, 192, 96, 208, 16, 48, 64)
    x = _inception(x, w, 160, 112, 224, 24, 64, 64)
    x = _inception(x, w, 128, 128, 256, 24, 64, 64)
    x = _inception(x, w, 112, 144, 288, 32, 64, 64)
    x = _inception(x, w, 256, 160, 320, 32, 128, 128)
    x = _pool(x) if image_size > 64 else x
    x = _inception(x, w, 256, 160, 320, 32, 128, 128)
    x = _inception(x, w, 384, 192, 384, 48, 128, 128)
    x = layers.GlobalAveragePooling2D()(x)
    label = keras.Input((num_classes,), name="label")
    x = layers.Concatenate()([x, label])
    return keras.Model(
        [image, label],
        {
            "mean": layers.Dense(latent_dim, dtype="float32", name="mean")(x),
            "log_variance": layers.Dense(latent_dim, dtype="float32", name="log_variance")(x),
        },
        name=name,
    )


@channels_last
def build_generators(image_size, channels, num_classes, latent_dim, width, names=("generator",), upsample=False):
    """Build the generator: two fully connected layers, then one transposed convolution per doubling from 2x2.

    At 128 px the transposed convolutions have 256-256-128-92-64-3 channels and kernels 3-3-5-5-5-5. The paper does not
    give the widths of the fully connected layers. Here the first has 1024 units. The second has `2 * 2 * 256`, a 2x2
    map with as many channels as the first transposed convolution.

    Args:
        names: a name for each kind of latents. All networks have the same weights, but each has moving averages of its
            own in batch normalisation.
        upsample: whether to double by bilinear interpolation and a 3x3 convolution. Transposed convolutions can leave a
            pattern of squares (Odena et al., 2016).

    Returns:
        A list with a functional model for each name. It maps latents `(batch, latent_dim)` and labels
        `(batch, num_classes)` to images `(batch, image_size, image_size, channels)` in [-1, 1].
    """
    check_shape(image_size, channels)
    w = partial(scaled, width=width)
    doublings = image_size.bit_length() - 2
    widths = [w(c) for c in (256, 256, 128, 92, 64, 48)[: doublings - 1]]
    kernels = (3, 3, 5, 5, 5, 5, 5)[:doublings]
    stages = [_double(count, kernel, upsample, use_bias=False) for count, kernel in zip(widths, kernels, strict=False)]
    hidden = [
        *(layers.Dense(units, use_bias=False) for units in (w(1024), 2 * 2 * widths[0])),
        layers.Reshape((2, 2, widths[0])),
        *(layer for stage in stages for layer in stage),
    ]
    weightless = (layers.Reshape, layers.UpSampling2D)
    norms = [None if isinstance(layer, weightless) else batch_norm(len(names)) for layer in hidden]
    last = _double(channels, kernels[-1], upsample)
    networks = []
    for number, name in enumerate(names):
        domain = {"domain": number} if len(names) > 1 else {}
        latent = keras.Input((latent_dim,), name="latent")
        label = keras.Input((num_classes,), name="label")
        x = layers.Concatenate()([latent, label])
        for layer, norm in zip(hidden, norms, strict=True):
            x = layers.ReLU()(norm(layer(x), **domain)) if norm else layer(x)
        for layer in last:
            x = layer(x)
        image = layers.Activation("tanh", dtype="float32")(x)
        networks.append(keras.Model([latent, label], image, name=name))
    return networks


@channels_last
def build_classifier(image_size, channels, num_classes, width, feature_layers=(), name="classifier"):
    """Build the classifier: AlexNet (Krizhevsky et al., 2012) with batch normalisation, for 128 px.

    The last pooling leaves 4x4. Unlike AlexNet, the network has no dropout: the losses compare the features of two
    passes, and the noise of two dropout masks would hide the difference.

    Args:
        feature_layers: names (`classifier_conv1` to `classifier_conv5`, `classifier_fc6`) of layers whose outputs are
            appended to the features.

    Returns:
        A functional model of images with the outputs `logits` `(batch, num_classes)` and `features` `(batch, n)`. The
        features are the input of the last fully connected layer, followed by the outputs of `feature_layers`.
    """
    w = partial(scaled, width=width)
    x = image = keras.Input((image_size, image_size, channels), name="image")
    # AlexNet's first convolution has stride 4. Smaller images are halved fewer times, larger ones more often.
    if image_size > 128:
        x = _pool(x)
    kernel, stride = (11, 4) if image_size > 64 else (5, 2)
    x = _pool(_conv(x, w(96), kernel, strides=stride, name=f"{name}_conv1"))
    x = _conv(x, w(256), 5, name=f"{name}_conv2")
    x = _pool(x) if image_size > 32 else x
    x = _conv(x, w(384), 3, name=f"{name}_conv3")
    x = _conv(x, w(384), 3, name=f"{name}_conv4")
    x = layers.Flatten()(_pool(_conv(x, w(256), 3, name=f"{name}_conv5")))
    for number in (6, 7):
        x = layers.Dense(w(4096), activation="relu", name=f"{name}_fc{number}")(x)
    return judging_network(image, layers.Activation("linear", dtype="float32")(x), num_classes, feature_layers, name)


def _inception(x, w, one, three_in, three, five_in, five, pooled):
    return layers.Concatenate()(
        [
            _conv(x, w(one), 1),
            _conv(_conv(x, w(three_in), 1), w(three), 3),
            _conv(_conv(x, w(five_in), 1), w(five), 5),
            _conv(layers.MaxPooling2D(3, strides=1, padding="same")(x), w(pooled), 1),
        ]
    )


def _double(channels, kernel, upsample, **options):
    """Layers that double height and width."""
    if not upsample:
        return [layers.Conv2DTranspose(channels, kernel, strides=2, padding="same", **options)]
    bilinear = layers.UpSampling2D(2, interpolation="bilinear")
    return [bilinear, layers.Conv2D(channels, 3, padding="same", **options)]


def _conv(x, channels, kernel, strides=1, name=None):
    return norm_relu(layers.Conv2D(channels, kernel, strides=strides, padding="same", use_bias=False)(x), name)


def _pool(x):
    return layers.MaxPooling2D(3, strides=2, padding="same")(x)
