"""The text filter's networks as models that learn from region labels. Figure numbers refer to Zhao et al., 2019.

An image contains text if one of its regions does. Its score is the highest probability of a region, unless the student
has `context` or is calibrated. The threshold is chosen for the required recall.
"""

import warnings

import keras
import numpy as np
from keras import ops
from scipy.linalg import LinAlgWarning
from scipy.special import expit, logit
from sklearn.linear_model import LogisticRegression

from kgan import losses
from kgan.filter.regions import NUM_REGIONS
from kgan.metrics.text_filter import check_scores
from kgan.models.conditional import check_range
from kgan.models.text_filter import networks
from kgan.training import ChecksFirstBatch, WithDefaultOptimizer, predict


class RegionClassifier(ChecksFirstBatch, WithDefaultOptimizer, keras.Model):
    """Base class of the text filter networks, with features and a logit for each region and a logit for the image.

    `fit(images, labels)` takes uint8 or float images `(batch, height, width, 3)` in 0..255 and region labels
    `(batch, 34)` in [0, 1]. In addition to the loss, it logs the AUC over regions, `region_auc`, and over images,
    `image_auc`.

    A call returns `{"features": (batch, 34, features), "logits": (batch, 34), "image_logits": (batch, 1)}`.
    """

    def __init__(self, network, name=None, **options):
        super().__init__(network.input, network.output, name=name or network.name)
        self.options = options
        self.region_auc = keras.metrics.AUC(name="region_auc", from_logits=True)
        self.image_auc = keras.metrics.AUC(name="image_auc", from_logits=True)

    def get_config(self):
        return {"name": self.name, **self.options}

    @classmethod
    def from_config(cls, config, custom_objects=None):
        return cls(**config)

    def default_optimizer(self):
        return keras.optimizers.SGD(1e-4)  # the paper's, for batches of one image

    def check_batch(self, images, labels=None):
        check_pixels(images)
        check_regions(labels)
        check_range(labels, 0, 1, "Labels")

    def compute_loss(self, x=None, y=None, y_pred=None, sample_weight=None, training=True):
        self.refuse_weights(sample_weight)  # not every batch comes by `fit`
        check_regions(y)
        return losses.multilabel_loss(ops.cast(y, "float32"), y_pred["logits"])

    def compute_metrics(self, x, y, y_pred, sample_weight=None):
        labels = ops.cast(ops.cast(y, "float32") >= 0.5, "float32")
        self.region_auc.update_state(labels, y_pred["logits"])
        self.image_auc.update_state(ops.max(labels, axis=1, keepdims=True), y_pred["image_logits"])
        return self.get_metrics_result()

    def score(self, images, batch_size=32):
        """Return the highest region probability of each image.

        Thresholding this score is a logical OR over the regions. `TextStudent(context=...)` also includes the mean over
        the large regions, and a calibrated student rescales it.

        Args:
            images: uint8 or float `(n, height, width, 3)` in 0..255.
            batch_size: batch size of `predict`.

        Returns:
            float32 `(n,)` in [0, 1].

        Raises:
            ValueError: if an image is not in 0..255.
        """
        check_pixels(images)
        return expit(predict(self, images, batch_size)["image_logits"][:, 0])


@keras.saving.register_keras_serializable("kgan")
class TextTeacher(RegionClassifier):
    """The teacher (Fig. 2): VGG16 with its last two stages pooled to 5x5 and 3x3 and summed; 16.03 M parameters.

    Args:
        width: factor for all hidden channels, in (0, 4]. Use a small one on small machines.
        features: length of the feature vector of a region; must equal the student's.
        batch_norm: whether batch normalisation follows each convolution. VGG16 has none, but hardly learns from random
            weights without it.
        image_size: `(height, width)` in pixels, None for any.

    Example:

    ```python
    from kgan import data, text_filter

    images, labels = data.load("synthetic/scene_text", image_size=60, count=8)
    teacher = text_filter.TextTeacher(width=0.05)
    teacher.compile()
    teacher.fit(images, labels, batch_size=2, verbose=0)
    teacher.score(images)  # (8,)
    ```
    """

    def __init__(self, width=1.0, features=128, batch_norm=True, image_size=(None, None), name=None):
        network = networks.build_teacher(width, features, batch_norm, image_size)
        super().__init__(network, name, width=width, features=features, batch_norm=batch_norm, image_size=image_size)

    def load_imagenet(self):
        """Load the convolutions of `keras.applications.VGG16`, trained on ImageNet. The first call downloads 59 MB.

        Raises:
            ValueError: if `width` is not 1, or the network has batch normalisation.
            FileNotFoundError: if the weights can neither be found nor downloaded.
        """
        networks.load_imagenet(self)


@keras.saving.register_keras_serializable("kgan")
class TextStudent(RegionClassifier):
    """The student (Fig. 3): six convolutions, the last two pooled to 5x5 and 3x3; 0.087 M parameters.

    The image logit is the maximum of the 34 region logits. `context` and `calibration` change this, which is not in the
    paper. The receptive field of a student region is little larger than the region, that of a teacher region nearly the
    whole image. Small errors in 34 logits often make their maximum wrong.

    Args:
        width: factor for all hidden channels, in (0, 4].
        features: length of the feature vector of a region; must equal the teacher's.
        context: weight of the mean over the large regions, 0 or more. Above 0, the image logit is the maximum of the
            nine large regions' logits plus `context` times their mean.
        image_size: `(height, width)` in pixels, None for any.
        calibration: `(scale, offset)` of the image logit, as `calibrated` finds them; None for 1 and 0. Not in the
            paper.

    Raises:
        ValueError: if `context` is negative or not finite, or `calibration` is not two finite numbers, the first above
            0.

    Example:

    ```python
    from kgan import data, text_filter

    images, labels = data.load("synthetic/scene_text", image_size=60, count=8)
    student = text_filter.TextStudent()
    student.compile()
    student.fit(images, labels, verbose=0)  # hard labels; for distillation see BoundaryDistiller
    ```
    """

    def __init__(self, width=1.0, features=128, context=0.0, image_size=(None, None), calibration=None, name=None):
        if not 0 <= context < float("inf"):
            raise ValueError(f"context={context!r}: pass a finite number of at least 0")
        if calibration is not None:
            calibration = tuple(np.asarray(calibration, "float64").ravel().tolist())
            if len(calibration) != 2 or not np.isfinite(calibration).all() or calibration[0] <= 0:
                raise ValueError(f"calibration={calibration}: pass (scale, offset), finite, with a scale above 0")
        options = {"context": context, "image_size": image_size, "calibration": calibration}
        network = networks.build_student(width, features, **options)
        super().__init__(network, name, width=width, features=features, **options)

    def calibrated(self, labels, scores):
        """Return a copy whose scores are probabilities, by Platt's scaling (Platt, 1999).

        The image logit gets a scale and an offset, found by logistic regression on targets that are a little less than
        1 and more than 0, as Platt proposes for small sets. The order of images stays as it is, and so does the area
        under the ROC curve. The probabilities hold where as many images have text as among those given.

        Args:
            labels: `(n,)`, 1 for text and 0 for no text, of images that the student has not learned from.
            scores: `(n,)`, what `score` returns for them.

        Returns:
            A `TextStudent` that is not compiled.

        Raises:
            ValueError: as in `kgan.metrics.text_filter_metrics`, or higher scores do not mean text.

        Example:

        ```python
        from kgan import text_filter

        student = text_filter.TextStudent()
        student = student.calibrated(labels=[0, 0, 1, 1], scores=[0.4, 0.6, 0.5, 0.9])  # of student.score(images)
        ```
        """
        labels, scores = check_scores(labels, scores)
        single = np.finfo("float32")
        logits = logit(np.clip(scores, single.tiny, 1 - single.epsneg))
        with_text, without = (labels == 1).sum(), (labels == 0).sum()
        targets = np.where(labels == 1, (with_text + 1) / (with_text + 2), 1 / (without + 2))
        mean, spread = logits.mean(), logits.std() or 1
        regression = LogisticRegression(C=np.inf, solver="newton-cholesky", tol=1e-8)
        # Each image counts as either, as much as its target says.
        both, weights = np.repeat([1, 0], len(labels)), np.concatenate([targets, 1 - targets])
        with warnings.catch_warnings(action="ignore", category=LinAlgWarning):  # of scores that are all the same
            regression.fit(np.tile((logits - mean) / spread, 2)[:, None], both, weights)
        scale = regression.coef_[0, 0] / spread
        offset = regression.intercept_[0] - scale * mean
        if scale <= 1e-6:
            raise ValueError("higher scores do not mean text: train the student before it is calibrated")
        before, shift = self.options["calibration"] or (1.0, 0.0)
        calibration = (scale * before, scale * shift + offset)
        student = TextStudent(**{**self.options, "calibration": calibration}, name=self.name)
        student.set_weights(self.get_weights())
        return student

    def round_kernels(self):
        """Round each kernel to its int8 grid, which has 127 steps up to the largest value of each output channel.

        The change is small, and conversion to int8 then changes no kernel. The last layer is not rounded, because it
        stays in float32 in the int8 file.
        """
        for layer in self.layers:
            if hasattr(layer, "kernel") and layer.name != "classifier":
                kernel, *others = layer.get_weights()
                step = np.abs(kernel).max(axis=tuple(range(kernel.ndim - 1)), keepdims=True) / 127
                layer.set_weights([np.round(kernel / np.where(step > 0, step, 1)) * step, *others])


@keras.saving.register_keras_serializable("kgan")
class MSPNet(RegionClassifier):
    """MSP-Net (Bai et al., 2017), a baseline: VGG16 with its full head on every region; 136.4 M parameters.

    Label its regions with `region_labels(..., rule="msp_net")`. Its images are 500 pixels high.

    Args:
        width, batch_norm, image_size: as in `TextTeacher`.
    """

    def __init__(self, width=1.0, batch_norm=True, image_size=(None, None), name=None):
        network = networks.build_mspnet(width, batch_norm, image_size)
        super().__init__(network, name, width=width, batch_norm=batch_norm, image_size=image_size)

    def load_imagenet(self):
        """Load ImageNet weights, as `TextTeacher.load_imagenet` does."""
        networks.load_imagenet(self)


def check_pixels(images):
    """Raise a `ValueError` for images whose values are surely not in 0..255."""
    images = np.asarray(images)
    check_range(images, 0, 255, "Images")
    if images.dtype.kind == "f" and 0 < images.max() <= 1:
        raise ValueError("Images must be in [0, 255], got values from 0 to 1: multiply them by 255.")


def check_regions(labels):
    """Raise a `ValueError` unless there is a label for each region, `(batch, 34)`."""
    if labels is None or labels.shape[-1] != NUM_REGIONS:
        shape = None if labels is None else tuple(labels.shape)
        raise ValueError(f"Labels of shape {shape}: pass one for each region, (batch, {NUM_REGIONS}).")
