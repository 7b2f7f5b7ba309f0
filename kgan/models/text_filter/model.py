"""The three stages of the text filter (Zhao et al., 2019): a teacher on region labels, activation boundaries, then soft
labels with adversarial features.

An image holds text when one of its regions does: its score is the greatest probability of a region (unless a student
has `context`), and the threshold is chosen for the recall that is wanted.
"""

import keras
import numpy as np
from keras import ops

from kgan import losses
from kgan.adversarial import AdversarialModel, Phase
from kgan.filter.regions import NUM_REGIONS
from kgan.models.text_filter import networks

# === Networks that classify regions ===


class WithDefaultOptimizer:
    """`compile()` without arguments takes the paper's optimizer, SGD, whose rate is meant for batches of one image."""

    learning_rate = 1e-4

    def compile(self, optimizer=None, **kwargs):
        super().compile(optimizer=optimizer or keras.optimizers.SGD(self.learning_rate), **kwargs)

    def compile_from_config(self, config):
        # Keras takes no chances with a `compile` of a subclass.
        self.compile(**keras.saving.deserialize_keras_object(config))
        self.optimizer.build(self.trainable_variables)


class RegionClassifier(WithDefaultOptimizer, keras.Model):
    """Base of the networks of the text filter: images in, features and a logit for each region, and one for the image.

    `fit(images, labels)` takes uint8 or float images in 0..255, `(batch, height, width, 3)`, and labels of regions
    `(batch, 34)` in [0, 1], and logs beside the loss `region_auc` and `image_auc`, of single regions and of whole
    images. A call returns `{"features": (batch, 34, features), "logits": (batch, 34), "image_logits": (batch, 1)}`.
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

    def compute_loss(self, x=None, y=None, y_pred=None, sample_weight=None, training=True):
        if sample_weight is not None:
            raise ValueError("Networks of the text filter take no sample weights.")
        if y is None or y.shape[-1] != NUM_REGIONS:
            shape = None if y is None else tuple(y.shape)
            raise ValueError(f"Labels of shape {shape}: pass one for each region, (batch, {NUM_REGIONS}).")
        return losses.region_loss(ops.cast(y, "float32"), y_pred["logits"])

    def compute_metrics(self, x, y, y_pred, sample_weight=None):
        labels = ops.cast(ops.cast(y, "float32") >= 0.5, "float32")
        self.region_auc.update_state(labels, y_pred["logits"])
        self.image_auc.update_state(ops.max(labels, axis=1, keepdims=True), y_pred["image_logits"])
        return self.get_metrics_result()

    def score(self, images, batch_size=32):
        """The greatest probability of an image's regions: the logical OR, with a threshold still to be chosen.

        `TextStudent(context=...)` weighs all of the image in.

        Args:
            images: uint8 or float `(n, height, width, 3)` in 0..255.
            batch_size: of `predict`.

        Returns:
            float32 `(n,)` in [0, 1].
        """
        return 1 / (1 + np.exp(-self.predict(images, batch_size=batch_size, verbose=0)["image_logits"][:, 0]))


@keras.saving.register_keras_serializable("kgan")
class TextTeacher(RegionClassifier):
    """The teacher (Fig. 2): VGG16, its last two stages pooled to 5x5 and 3x3 and summed; 16.03 M parameters.

    Args:
        width: scales all hidden channels, for small machines.
        features: length of a region's feature vector, the same as the student's.
        batch_norm: after each convolution. VGG16 has none, and hardly learns from random weights without.
        image_size: `(height, width)` in pixels; None for any.

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
        """Starts the convolutions from `keras.applications.VGG16`, which downloads 59 MB when it is not there.

        Raises:
            ValueError: `width` is not 1, or there is batch norm.
        """
        networks.load_imagenet(self)


@keras.saving.register_keras_serializable("kgan")
class TextStudent(RegionClassifier):
    """The student (Fig. 3): six convolutions, the last two pooled to 5x5 and 3x3; 0.087 M parameters.

    Args:
        width: scales all hidden channels.
        features: length of a region's feature vector, the same as the teacher's.
        context: above 0 the image's logit is the greatest of the nine large regions and so many times their mean,
            beyond the paper. A region of the student sees little more than itself, a teacher's nearly all of the image,
            and the greatest of 34 logits that are each a little wrong is wrong often.
        image_size: `(height, width)` in pixels; None for any.

    Raises:
        ValueError: `context` is negative or not finite.

    Example:

    ```python
    from kgan import data, text_filter

    images, labels = data.load("synthetic/scene_text", image_size=60, count=8)
    student = text_filter.TextStudent()
    student.compile()
    student.fit(images, labels, verbose=0)  # hard labels; else see BoundaryDistiller and AdversarialDistiller
    ```
    """

    def __init__(self, width=1.0, features=128, context=0.0, image_size=(None, None), name=None):
        if not 0 <= context < float("inf"):
            raise ValueError(f"context={context!r}: pass a finite number of at least 0")
        network = networks.build_student(width, features, context, image_size)
        super().__init__(network, name, width=width, features=features, context=context, image_size=image_size)

    def round_kernels(self):
        """Moves each kernel onto the grid that int8 has for it, 127 steps to the greatest value of an output channel.

        It changes little, and conversion to int8 then changes no kernel at all. The last layer stays as it is: it is
        in float32 there, too.
        """
        for layer in self.layers:
            if hasattr(layer, "kernel") and layer.name != "classifier":
                kernel, *others = layer.get_weights()
                step = np.abs(kernel).max(axis=tuple(range(kernel.ndim - 1)), keepdims=True) / 127
                layer.set_weights([np.round(kernel / np.where(step > 0, step, 1)) * step, *others])


@keras.saving.register_keras_serializable("kgan")
class MSPNet(RegionClassifier):
    """MSP-Net (Bai et al., 2017), the compared method: VGG16 with its full head on every region; 136.4 M parameters.

    Its rule for labels is `region_labels(..., rule="msp_net")`, its images are 500 pixels high.

    Args:
        width, batch_norm, image_size: as in `TextTeacher`.
    """

    def __init__(self, width=1.0, batch_norm=True, image_size=(None, None), name=None):
        network = networks.build_mspnet(width, batch_norm, image_size)
        super().__init__(network, name, width=width, batch_norm=batch_norm, image_size=image_size)

    def load_imagenet(self):
        """As `TextTeacher.load_imagenet`."""
        networks.load_imagenet(self)


# === Distillation with one optimizer ===


@keras.saving.register_keras_serializable("kgan")
class BoundaryLoss(keras.distillation.DistillationLoss):
    """`kgan.losses.boundary_loss` for `keras.distillation.Distiller`, on the features of the text filter's networks.

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
        # Behind the features comes the classifier, which this stage leaves as it is: a gradient of zero says so.
        return losses.boundary_loss(*features, self.margin, self.reduction) + 0 * ops.sum(student_outputs["logits"])


@keras.saving.register_keras_serializable("kgan")
class SoftLabelLoss(keras.distillation.DistillationLoss):
    """The cross entropy with the teacher's region probabilities, eq. 3, for `keras.distillation.Distiller`."""

    def get_config(self):
        return {}

    @classmethod
    def from_config(cls, config):
        return cls(**config)

    def compute_loss(self, teacher_outputs, student_outputs, **kwargs):
        return losses.region_loss(ops.sigmoid(teacher_outputs["logits"]), student_outputs["logits"])


class RegionDistiller(WithDefaultOptimizer, keras.Model):
    """Base of the stages that have one optimizer: the student learns from the teacher's outputs.

    Unlike `keras.distillation.Distiller`, student and teacher run once a step, the teacher never in training mode.
    `fit(images)` lets the teacher run in every step; `fit(images, teacher.predict(images))` with `teacher=None` has run
    it once, where images stay the same in all epochs.
    """

    loss_function = None

    def __init__(self, teacher, student, name=None):
        super().__init__(name=name)
        self.teacher, self.student = teacher, student
        if teacher is not None:
            check_features(teacher, student)
            teacher.trainable = False
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

    def call(self, images, training=False):
        return self.student(images, training=training)

    def compute_loss(self, x=None, y=None, y_pred=None, sample_weight=None, training=True):
        teacher, size = targets_of(self.teacher, x, y), ops.shape(y_pred["logits"])[0]
        self.sign_agreement.update_state(losses.sign_agreement(teacher["features"], y_pred["features"]), size)
        self.soft_label_kl.update_state(losses.soft_label_kl(teacher["logits"], y_pred["logits"]), size)
        return self.loss_function.compute_loss(teacher, y_pred)

    def compute_metrics(self, x, y, y_pred, sample_weight=None):
        return self.get_metrics_result()


@keras.saving.register_keras_serializable("kgan")
class BoundaryDistiller(RegionDistiller):
    """Pre-training of the student: the teacher's activation boundaries, eq. 1.

    Logs `sign_agreement`, the share of features on the teacher's side of zero, and `soft_label_kl`.

    Args:
        teacher: a trained `TextTeacher`, or None where `fit` is given its outputs.
        student: a `TextStudent` with the same `features`.
        margin, reduction: as in `kgan.losses.boundary_loss`.

    Raises:
        ValueError: the networks' features differ in length.

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
    """The student on the teacher's region probabilities alone, eq. 3: a row of Table II.

    Args:
        teacher, student: as in `BoundaryDistiller`.
    """

    def __init__(self, teacher, student, name=None):
        super().__init__(teacher, student, name=name)
        self.loss_function = SoftLabelLoss()


# === Distillation with a discriminator ===


@keras.saving.register_keras_serializable("kgan")
class AdversarialDistiller(AdversarialModel):
    """Training of the student, eq. 2 to 6: soft labels, and features that a discriminator takes for the teacher's.

    The discriminator is an auto-encoder of region features that reconstructs the teacher's better than the student's.
    `k`, kept in [0, 1] as in BEGAN (the paper does not say), weighs how much it looks at the student's, so that
    their errors settle at the ratio `diversity_ratio`. Absolute errors are averaged over the features.

    Logs beside the losses:

    - `soft_label`, `adversarial`: the parts of the student's loss; `soft_label_kl`: the first without its floor.
    - `k`, and `convergence`, BEGAN's measure M_global: it falls while training converges.
    - `feature_norm_ratio`: student over teacher. A student can please the discriminator by shrinking its features;
      `kgan.callbacks.Watchdog` warns of it.
    - `sign_agreement`: as in `BoundaryDistiller`.

    The paper divides the learning rates by ten when the loss stops improving: `keras.callbacks.ReduceLROnPlateau`
    does so for both optimizers.

    Args:
        teacher, student: as in `BoundaryDistiller`.
        adversarial_weight: b of eq. 2.
        diversity_ratio: n of eq. 6.
        k_rate: f_k of eq. 6.

    Raises:
        ValueError: the networks' features differ in length.

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
        """The paper's: SGD with 1e-4 for the student and twice that for the discriminator, for batches of one image."""
        return {"student": keras.optimizers.SGD(1e-4), "discriminator": keras.optimizers.SGD(2e-4)}

    def phases(self):
        return [Phase(self.distil, ("student", "discriminator"))]

    def check_batch(self, images, targets=None):
        check_targets(self.teacher, targets)

    def call(self, images, training=False):
        """The student's outputs."""
        return self.student(images, training=training)

    def distil(self, images, targets=None, *, training):
        teacher = targets_of(self.teacher, images, targets)
        student = self.student(images, training=training)
        # One pass serves both players: each takes the gradient by its own variables, so that the student is a constant
        # in the discriminator's loss and the discriminator one in the student's.
        real_error = losses.reconstruction_error(teacher["features"], self.discriminator(teacher["features"]))
        fake_error = losses.reconstruction_error(student["features"], self.discriminator(student["features"]))
        balance = losses.began_balance(real_error, fake_error, self.diversity_ratio)
        soft_label = losses.region_loss(ops.sigmoid(teacher["logits"]), student["logits"])
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


# === What the distillers share ===


def networks_of(config):
    return {
        name: config[name] and keras.saving.deserialize_keras_object(config[name]) for name in ("teacher", "student")
    }


def check_features(teacher, student):
    lengths = [network.options["features"] for network in (teacher, student)]
    if lengths[0] != lengths[1]:
        raise ValueError(
            f"The teacher's features have length {lengths[0]}, the student's {lengths[1]}: make them equal."
        )


def check_targets(teacher, targets):
    if teacher is None and not isinstance(targets, dict):
        raise ValueError("Without a teacher fit() needs its outputs: fit(images, teacher.predict(images)).")


def targets_of(teacher, images, targets):
    """The teacher's outputs: of this batch of images, or, without a teacher, those that came with it."""
    check_targets(teacher, targets)
    return targets if teacher is None else teacher(images, training=False)


def rms(values):
    return ops.sqrt(ops.mean(ops.square(values)))
