"""Models of the text filter and its three stages of training. Equation and figure numbers refer to Zhao et al., 2019.

A teacher learns from region labels. A student then learns the teacher's activation boundaries. In the last stage, the
student learns from soft labels and from a discriminator of features.

An image contains text if one of its regions does. Its score is the highest probability of a region, unless the student
has `context`. The threshold is chosen for the required recall.
"""

import keras
import numpy as np
from keras import ops

from kgan import losses
from kgan.adversarial import AdversarialModel, Phase
from kgan.filter.regions import NUM_REGIONS
from kgan.models.conditional import check_range
from kgan.models.text_filter import networks
from kgan.training import ChecksFirstBatch, TrainsSome, WithDefaultOptimizer

# === Networks that classify regions ===


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
        the large regions.

        Args:
            images: uint8 or float `(n, height, width, 3)` in 0..255.
            batch_size: batch size of `predict`.

        Returns:
            float32 `(n,)` in [0, 1].

        Raises:
            ValueError: if an image is not in 0..255.
        """
        check_pixels(images)
        return 1 / (1 + np.exp(-self.predict(images, batch_size=batch_size, verbose=0)["image_logits"][:, 0]))


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
        """
        networks.load_imagenet(self)


@keras.saving.register_keras_serializable("kgan")
class TextStudent(RegionClassifier):
    """The student (Fig. 3): six convolutions, the last two pooled to 5x5 and 3x3; 0.087 M parameters.

    The image logit is the maximum of the 34 region logits. `context` changes this, which is not in the paper. The
    receptive field of a student region is little larger than the region, that of a teacher region nearly the whole
    image. Small errors in 34 logits often make their maximum wrong.

    Args:
        width: factor for all hidden channels, in (0, 4].
        features: length of the feature vector of a region; must equal the teacher's.
        context: weight of the mean over the large regions, 0 or more. Above 0, the image logit is the maximum of the
            nine large regions' logits plus `context` times their mean.
        image_size: `(height, width)` in pixels, None for any.

    Raises:
        ValueError: if `context` is negative or not finite.

    Example:

    ```python
    from kgan import data, text_filter

    images, labels = data.load("synthetic/scene_text", image_size=60, count=8)
    student = text_filter.TextStudent()
    student.compile()
    student.fit(images, labels, verbose=0)  # hard labels; for distillation see BoundaryDistiller
    ```
    """

    def __init__(self, width=1.0, features=128, context=0.0, image_size=(None, None), name=None):
        if not 0 <= context < float("inf"):
            raise ValueError(f"context={context!r}: pass a finite number of at least 0")
        network = networks.build_student(width, features, context, image_size)
        super().__init__(network, name, width=width, features=features, context=context, image_size=image_size)

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


# === Distillation with one optimizer ===


@keras.saving.register_keras_serializable("kgan")
class BoundaryLoss(keras.distillation.DistillationLoss):
    """`kgan.losses.boundary_loss` for `keras.distillation.Distiller`, on the features of text filter networks.

    Args:
        margin, reduction: as in `kgan.losses.boundary_loss`.
    """

    def __init__(self, margin=1.0, reduction="region_mean"):
        self.margin, self.reduction = margin, reduction

    def get_config(self):
        return {"margin": self.margin, "reduction": self.reduction}

    @classmethod
    def from_config(cls, config):
        return cls(**config)

    def compute_loss(self, teacher_outputs, student_outputs, **kwargs):
        features = teacher_outputs["features"], student_outputs["features"]
        # This stage does not train the classifier behind the features. The second term gives it a gradient of zero.
        return losses.boundary_loss(*features, self.margin, self.reduction) + 0 * ops.sum(student_outputs["logits"])


@keras.saving.register_keras_serializable("kgan")
class SoftLabelLoss(keras.distillation.DistillationLoss):
    """Cross entropy with the teacher's region probabilities (eq. 3), for `keras.distillation.Distiller`."""

    def get_config(self):
        return {}

    @classmethod
    def from_config(cls, config):
        return cls(**config)

    def compute_loss(self, teacher_outputs, student_outputs, **kwargs):
        return losses.multilabel_loss(ops.sigmoid(teacher_outputs["logits"]), student_outputs["logits"])


class RegionDistiller(TrainsSome, ChecksFirstBatch, WithDefaultOptimizer, keras.Model):
    """Base class of the distillation stages with one optimizer.

    Unlike in `keras.distillation.Distiller`, student and teacher run once per step, and the teacher never runs in
    training mode. `fit(images)` runs the teacher in every step. If the images are the same in all epochs, set
    `teacher=None` and call `fit(images, teacher.predict(images))` to run it only once.
    """

    loss_function = None
    learning_rate = 1e-4

    def __init__(self, teacher, student, name=None):
        super().__init__(name=name)
        self.teacher, self.student = teacher, student
        if teacher is not None:
            check_features(teacher, student)
        self.sign_agreement = keras.metrics.Mean(name="sign_agreement")
        self.soft_label_kl = keras.metrics.Mean(name="soft_label_kl")
        self.built = True

    def get_config(self):
        return {
            "name": self.name,
            "teacher": self.teacher and keras.saving.serialize_keras_object(self.teacher),
            "student": keras.saving.serialize_keras_object(self.student),
        }

    @classmethod
    def from_config(cls, config, custom_objects=None):
        return cls(**{**config, **networks_of(config)})

    def default_optimizer(self):
        return keras.optimizers.SGD(self.learning_rate)

    def trained(self):
        return self.student.trainable_variables

    def check_batch(self, images, targets=None):
        check_pixels(images)
        check_targets(self.teacher, targets)

    def call(self, images, training=False):
        return self.student(images, training=training)

    def compute_loss(self, x=None, y=None, y_pred=None, sample_weight=None, training=True):
        self.refuse_weights(sample_weight)
        teacher, size = targets_of(self.teacher, x, y), ops.shape(y_pred["logits"])[0]
        self.sign_agreement.update_state(losses.sign_agreement(teacher["features"], y_pred["features"]), size)
        self.soft_label_kl.update_state(losses.soft_label_kl(teacher["logits"], y_pred["logits"]), size)
        return self.loss_function.compute_loss(teacher, y_pred)

    def compute_metrics(self, x, y, y_pred, sample_weight=None):
        return self.get_metrics_result()


@keras.saving.register_keras_serializable("kgan")
class BoundaryDistiller(RegionDistiller):
    """Pre-trains the student on the teacher's activation boundaries (eq. 1).

    Logs `sign_agreement`, the share of features with the same sign as the teacher's, and `soft_label_kl`.

    Args:
        teacher: a trained `TextTeacher`, or None if `fit` gets the teacher's outputs as targets.
        student: a `TextStudent` with features of the same length.
        margin, reduction: as in `kgan.losses.boundary_loss`.

    Raises:
        ValueError: if the features of the two networks differ in length.

    Example:

    ```python
    from kgan import data, text_filter

    images, labels = data.load("synthetic/scene_text", image_size=60, count=8)
    teacher, student = text_filter.TextTeacher(width=0.05), text_filter.TextStudent()
    teacher.compile()
    teacher.fit(images, labels, verbose=0)
    for stage in (text_filter.BoundaryDistiller(teacher, student), text_filter.AdversarialDistiller(teacher, student)):
        stage.compile()
        stage.fit(images, verbose=0)
    student.score(images)  # (8,)
    ```
    """

    learning_rate = 1e-5

    def __init__(self, teacher, student, margin=1.0, reduction="region_mean", name=None):
        super().__init__(teacher, student, name=name)
        self.loss_function = BoundaryLoss(margin, reduction)

    def get_config(self):
        return {**super().get_config(), **self.loss_function.get_config()}


@keras.saving.register_keras_serializable("kgan")
class SoftLabelDistiller(RegionDistiller):
    """Trains the student on the teacher's region probabilities only (eq. 3), a row of Table II.

    Args:
        teacher, student: as in `BoundaryDistiller`.
    """

    def __init__(self, teacher, student, name=None):
        super().__init__(teacher, student, name=name)
        self.loss_function = SoftLabelLoss()


# === Distillation with a discriminator ===


@keras.saving.register_keras_serializable("kgan")
class AdversarialDistiller(AdversarialModel):
    """Trains the student on soft labels and against a discriminator of features (eq. 2 to 6).

    The discriminator is an autoencoder of region features. It learns to reconstruct the teacher's features better than
    the student's. `k` is the weight of the student's error in the loss of the discriminator. It is adapted so that the
    ratio of the student's error to the teacher's settles at `diversity_ratio`. It is clipped to [0, 1] as in BEGAN; the
    paper does not mention this. Absolute errors are averaged over the features.

    Logs in addition to the losses:

    - `soft_label`, `adversarial`: the two parts of the student's loss.
    - `soft_label_kl`: `soft_label` minus its lowest possible value.
    - `k`: the weight described above.
    - `convergence`: BEGAN's measure M_global, which falls while training converges.
    - `feature_norm_ratio`: norm of the student's features divided by the norm of the teacher's. A student can deceive
      the discriminator by shrinking its features; `kgan.callbacks.Watchdog` warns of this.
    - `sign_agreement`: as in `BoundaryDistiller`.

    The paper divides the learning rates by ten when the loss stops improving. `keras.callbacks.ReduceLROnPlateau` does
    this for both optimizers.

    Args:
        teacher, student: as in `BoundaryDistiller`.
        adversarial_weight: b of eq. 2.
        diversity_ratio: n of eq. 6.
        k_rate: f_k of eq. 6.

    Raises:
        ValueError: if the features of the two networks differ in length.

    Example: see `BoundaryDistiller`.
    """

    players = {"student": ("student",), "discriminator": ("discriminator",)}
    logged = (
        "soft_label",
        "soft_label_kl",
        "adversarial",
        "k",
        "convergence",
        "feature_norm_ratio",
        "sign_agreement",
    )

    def __init__(self, teacher, student, adversarial_weight=0.2, diversity_ratio=0.75, k_rate=1e-3, name=None):
        super().__init__(name=name)
        self.teacher, self.student = teacher, student
        if teacher is not None:
            check_features(teacher, student)
        self.discriminator = networks.build_discriminator(student.options["features"])
        self.adversarial_weight = adversarial_weight
        self.diversity_ratio = diversity_ratio
        self.k_rate = k_rate
        self.k = self.add_weight(
            (), initializer="zeros", trainable=False, dtype="float32", aggregation="mean", name="k"
        )

    def get_config(self):
        return {
            "name": self.name,
            "teacher": self.teacher and keras.saving.serialize_keras_object(self.teacher),
            "student": keras.saving.serialize_keras_object(self.student),
            "adversarial_weight": self.adversarial_weight,
            "diversity_ratio": self.diversity_ratio,
            "k_rate": self.k_rate,
        }

    @classmethod
    def from_config(cls, config, custom_objects=None):
        return cls(**{**config, **networks_of(config)})

    def default_optimizers(self):
        """Return the paper's optimizers: SGD(1e-4) for the student and SGD(2e-4) for the discriminator.

        The learning rates are meant for batches of one image.
        """
        return {"student": keras.optimizers.SGD(1e-4), "discriminator": keras.optimizers.SGD(2e-4)}

    def phases(self):
        return [Phase(self.distil, ("student", "discriminator"))]

    def check_batch(self, images, targets=None):
        check_pixels(images)
        check_targets(self.teacher, targets)

    def call(self, images, training=False):
        """Return the outputs of the student."""
        return self.student(images, training=training)

    def distil(self, images, targets=None, *, training):
        teacher = targets_of(self.teacher, images, targets)
        student = self.student(images, training=training)
        # One pass serves both players. Each loss is differentiated only with respect to its own player's variables, so
        # the student is constant in the discriminator's loss, and the discriminator in the student's.
        real_error = losses.reconstruction_error(teacher["features"], self.discriminator(teacher["features"]))
        fake_error = losses.reconstruction_error(student["features"], self.discriminator(student["features"]))
        balance = losses.began_balance(real_error, fake_error, self.diversity_ratio)
        soft_label = losses.multilabel_loss(ops.sigmoid(teacher["logits"]), student["logits"])
        k = self.k + 0.0  # a copy: PyTorch assigns in place
        self.k.assign(ops.clip(k + self.k_rate * ops.stop_gradient(balance), 0.0, 1.0))
        return {
            "student": soft_label + self.adversarial_weight * fake_error,
            "discriminator": losses.began_discriminator_loss(real_error, fake_error, k),
            "soft_label": soft_label,
            "soft_label_kl": losses.soft_label_kl(teacher["logits"], student["logits"]),
            "adversarial": fake_error,
            "k": k,
            "convergence": real_error + ops.abs(balance),
            "feature_norm_ratio": rms(student["features"]) / rms(teacher["features"]),
            "sign_agreement": losses.sign_agreement(teacher["features"], student["features"]),
        }


# === What the models share ===


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


def networks_of(config):
    return {
        name: config[name] and keras.saving.deserialize_keras_object(config[name]) for name in ("teacher", "student")
    }


def check_features(teacher, student):
    lengths = [network.options["features"] for network in (teacher, student)]
    if lengths[0] != lengths[1]:
        raise ValueError(
            f"The teacher's features have length {lengths[0]}, the student's {lengths[1]}: pass equal `features`."
        )


def check_targets(teacher, targets):
    if teacher is None and not isinstance(targets, dict):
        raise ValueError("teacher=None needs the teacher's outputs: call fit(images, teacher.predict(images)).")


def targets_of(teacher, images, targets):
    """Return the teacher's outputs for a batch of images, or the given targets if there is no teacher."""
    check_targets(teacher, targets)
    if teacher is None:
        return targets
    return keras.tree.map_structure(ops.stop_gradient, teacher(images, training=False))


def rms(values):
    return ops.sqrt(ops.mean(ops.square(values)))
