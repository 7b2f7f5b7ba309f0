"""The classifier of light and the masks that say which side of a face to trust. Equations of Song, 2024."""

import keras
import numpy as np
from keras import layers, ops
from sklearn.linear_model import LogisticRegression

from kgan import losses
from kgan.layers import batch_norm, channels_last, scaled
from kgan.models.conditional import check_images
from kgan.training import ChecksFirstBatch, WithDefaultOptimizer

ATTENTIONS = ("calibrated", "paper", "asymmetry", "half")
LAYERS = (1, 2, 3)
CHANNELS = (32, 64, 128, 256)
STEEPNESS = 6.0  # of the mask of asymmetry, per unit of log luminance
DARKER = 0.15  # difference in log shade to the other side from which a texel counts as dark or lit in `calibrate`


@keras.saving.register_keras_serializable("kgan")
class IlluminationClassifier(ChecksFirstBatch, WithDefaultOptimizer, keras.Model):
    """Tells where the light on a face comes from, and which texels are in the dark (section 3.2).

    `fit(textures, labels)` takes textures `(batch, size, size, 3)` in [-1, 1] and the class of their light, int
    `(batch,)`, as `kgan.data.load("synthetic/faces")` gives. The paper does not describe its network; this one has four
    blocks of convolution, batch normalisation, ReLU and max pooling. A call returns logits `(batch, num_classes)`.

    `masks` gives M_l of eq. 4 for the first three blocks, how much of each place is taken from the other side:

    - `"calibrated"`: a logistic regression on the difference between a block's features and their mirror image, fitted
      by `calibrate` to the known light of relit textures;
    - `"paper"`: the sigmoid of the mean feature, by "channel-level aggregation and sigmoid normalization". Features are
      not negative, so this mask is never below a half;
    - `"asymmetry"`: the sigmoid of how much lighter the other side is, without any network;
    - `"half"`: a half everywhere, the control.

    Args:
        num_classes: number of classes of light, 2 or more.
        size: height and width of the textures, 32 or more.
        width: factor for the channels of all layers, in (0, 4]; 1 gives 32, 64, 128 and 256 channels.

    Raises:
        ValueError: an argument is out of range. `fit` raises it if textures are outside [-1, 1] or labels do not fit.

    Example:

    ```python
    import kgan
    from kgan.makeup import IlluminationClassifier

    textures, labels = kgan.data.load("synthetic/faces", image_size=32, count=40)
    classifier = IlluminationClassifier(num_classes=5, size=32, width=0.25)
    classifier.compile(metrics=["accuracy"])
    classifier.fit(textures, labels, epochs=1, verbose=0)
    masks = classifier.masks(textures[:2], attention="asymmetry")  # three of (2, height, width, 1)
    ```
    """

    def __init__(self, num_classes=5, size=64, width=1.0, name=None):
        super().__init__(name=name)
        if num_classes < 2:
            raise ValueError(f"num_classes={num_classes}: pass two classes or more.")
        if size < 32:
            raise ValueError(f"size={size}: pass 32 or more.")
        self.num_classes, self.size, self.width = num_classes, size, width
        self.network = _build(num_classes, size, width)
        # The weights of the features of each block, one behind the other; 0 until calibrated.
        self.channels = [self.network.output[f"block_{layer}"].shape[-1] for layer in LAYERS]
        self.calibration = self.add_weight((sum(self.channels),), "zeros", trainable=False, name="calibration")
        self.built = True

    def get_config(self):
        return {"num_classes": self.num_classes, "size": self.size, "width": self.width, "name": self.name}

    def default_optimizer(self):
        return keras.optimizers.Adam(2e-3)

    def check_batch(self, textures, labels=None):
        if labels is None:
            raise ValueError("IlluminationClassifier needs textures and labels: call fit(textures, labels).")
        check_images(textures, self.size, 3, "Textures")
        labels = np.asarray(labels)
        if labels.ndim != 1 or not np.isin(labels, np.arange(self.num_classes)).all():
            raise ValueError(f"Labels must be (batch,) whole numbers from 0 to {self.num_classes - 1}.")

    def call(self, textures, training=False):
        return self.network(textures, training=training)["logits"]

    def compute_loss(self, x=None, y=None, y_pred=None, sample_weight=None, training=True):
        self.refuse_weights(sample_weight)
        return losses.classifier_loss(y, y_pred)

    # === Masks ===

    def features(self, textures):
        """Return the features of each block, `(batch, height, width, channels)`."""
        outputs = self.network(textures, training=False)
        return [outputs[f"block_{layer}"] for layer in LAYERS]

    def masks(self, textures, attention="calibrated", layers=LAYERS):
        """Return how much of each texel is to be taken from the other side of the face: M_l of eq. 4.

        Args:
            textures: `(batch, size, size, 3)` in [-1, 1].
            attention: one of `ATTENTIONS`.
            layers: the blocks, of 1, 2 and 3; `(2,)` is the paper's ablation without several layers.

        Returns:
            List of a tensor for each layer, `(batch, size / 2^(layer - 1), size / 2^(layer - 1), 1)` in [0, 1].

        Raises:
            ValueError: `attention` or a layer is unknown, or the classifier is not calibrated.
        """
        check_masks(attention, layers)
        if attention == "calibrated":
            self.check_calibrated()
        return self.attention_masks(ops.convert_to_tensor(textures), attention, layers)

    def check_calibrated(self):
        """Raise a `ValueError` if the masks of `"calibrated"` are not fitted."""
        if not np.any(ops.convert_to_numpy(self.calibration)):
            raise ValueError("The masks are not calibrated: call calibrate(textures, shades) of the classifier first.")

    def attention_masks(self, textures, attention, layers):
        """`masks` of tensors, within a compiled step; what a generator made may lie outside [-1, 1]."""
        textures = ops.clip(textures, -1, 1)
        if attention == "asymmetry":
            light = ops.log((textures + 1) / 2 @ ops.convert_to_tensor([[0.3], [0.6], [0.1]], textures.dtype) + 0.05)
            full = ops.sigmoid(STEEPNESS * (ops.flip(light, axis=2) - light))
            return [_pooled(full, layer) for layer in layers]
        features, found = self.features(textures), []
        weights = ops.split(self.calibration, np.cumsum(self.channels)[:-1].tolist())
        for layer in layers:
            here = features[layer - 1]
            if attention == "calibrated":
                logits = ops.matmul(here - ops.flip(here, axis=2), weights[layer - 1][:, None])
            else:
                mean = ops.mean(here, axis=-1, keepdims=True)
                logits = mean if attention == "paper" else 0 * mean
            found.append(ops.sigmoid(logits))
        return found

    def calibrate(self, textures, shades):
        """Fit the masks of `"calibrated"` to textures whose light is known.

        Args:
            textures: `(n, size, size, 3)` in [-1, 1], which the classifier was not trained on.
            shades: `(n, size, size, 1)`, what the light multiplied their colours by.

        Raises:
            ValueError: no texel is darker or lighter than its mirror image.
        """
        shades = ops.convert_to_tensor(shades, "float32")
        weights = []
        for layer, features in zip(LAYERS, self.features(ops.convert_to_tensor(textures)), strict=True):
            shade = _pooled(shades, layer)
            log = np.log(np.maximum(ops.convert_to_numpy(shade)[..., 0], 1e-3))
            difference = log - log[:, :, ::-1]
            clear = np.abs(difference) > DARKER
            if not clear.any():
                raise ValueError("The light is the same on both sides of all faces: pass some lit from one side.")
            features = ops.convert_to_numpy(features)
            unlike = (features - features[:, :, ::-1])[clear]
            fitted = LogisticRegression(C=10, fit_intercept=False, max_iter=1000).fit(unlike, difference[clear] < 0)
            weights.append(fitted.coef_[0])
        self.calibration.assign(np.concatenate(weights).astype("float32"))


def check_masks(attention, layers):
    """Raise a `ValueError` if there are no such masks or layers."""
    if attention not in ATTENTIONS:
        raise ValueError(f"attention={attention!r}: pass one of {', '.join(map(repr, ATTENTIONS))}.")
    if not layers or not set(layers) <= set(LAYERS):
        raise ValueError(f"layers={layers!r}: pass some of 1, 2 and 3.")


@channels_last
def _build(num_classes, size, width):
    """Build the network: outputs `logits` and `block_1` to `block_3`, the features before each pooling."""
    x = image = keras.Input((size, size, 3), name="texture")
    outputs = {}
    for number, channels in enumerate(CHANNELS, 1):
        x = layers.Conv2D(scaled(channels, width), 3, padding="same", use_bias=False)(x)
        x = layers.ReLU()(batch_norm()(x))
        if number in LAYERS:
            outputs[f"block_{number}"] = x
        x = layers.MaxPooling2D()(x)
    outputs["logits"] = layers.Dense(num_classes, dtype="float32", name="logits")(layers.GlobalAveragePooling2D()(x))
    return keras.Model(image, outputs, name="illumination")


def _pooled(pictures, layer):
    """Reduce pictures to the size of a layer's features."""
    factor = 2 ** (layer - 1)
    # Given `strides`, because Keras 3.15.1 converts the default twice on JAX.
    return ops.average_pool(pictures, factor, strides=factor, data_format="channels_last")


def repaired(features, masks):
    """Mix features with those of the other side of the face, once for each mask (eq. 4 and 5).

    Args:
        features: `(batch, height, width, channels)`.
        masks: list of `(batch, h, w, 1)` in [0, 1], of any size: each is resized to the features.

    Returns:
        `(batch, height, width, channels * len(masks))`.
    """
    size = features.shape[1:3]
    masks = [ops.image.resize(mask, size, data_format="channels_last") for mask in masks]
    masks = [ops.cast(mask, features.dtype) for mask in masks]
    mirrored = ops.flip(features, axis=2)
    return ops.concatenate([(1 - mask) * features + mask * mirrored for mask in masks], axis=-1)
