"""The text filter's stages of distillation. Equation numbers refer to Zhao et al., 2019.

A student first learns the activation boundaries of a trained teacher. It then learns from soft labels and from a
discriminator of features.
"""

import keras
from keras import ops

from kgan import losses
from kgan.adversarial import AdversarialModel, Phase
from kgan.models.text_filter import networks
from kgan.models.text_filter.model import check_pixels
from kgan.training import ChecksFirstBatch, TrainsSome, WithDefaultOptimizer


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


class WithTeacher:
    """What the stages of distillation share; comes first in their bases.

    `fit(images)` runs the teacher in every step. If the images are the same in all epochs, set `teacher=None` and call
    `fit(images, teacher.predict(images))` to run it only once.
    """

    def __init__(self, teacher, student, name=None):
        super().__init__(name=name)
        self.teacher, self.student = teacher, student
        if teacher is not None:
            check_features(teacher, student)

    def get_config(self):
        return {
            "name": self.name,
            "teacher": self.teacher and keras.saving.serialize_keras_object(self.teacher),
            "student": keras.saving.serialize_keras_object(self.student),
        }

    @classmethod
    def from_config(cls, config, custom_objects=None):
        names = "teacher", "student"
        made = {name: config[name] and keras.saving.deserialize_keras_object(config[name]) for name in names}
        return cls(**{**config, **made})

    def check_batch(self, images, targets=None):
        check_pixels(images)
        check_targets(self.teacher, targets)

    def call(self, images, training=False):
        """Return the outputs of the student."""
        return self.student(images, training=training)

    def teacher_outputs(self, images, targets):
        """Return the teacher's outputs for a batch of images, or the given targets if there is no teacher."""
        check_targets(self.teacher, targets)
        if self.teacher is None:
            return targets
        return keras.tree.map_structure(ops.stop_gradient, self.teacher(images, training=False))


class RegionDistiller(WithTeacher, TrainsSome, ChecksFirstBatch, WithDefaultOptimizer, keras.Model):
    """Base class of the distillation stages with one optimizer.

    Unlike in `keras.distillation.Distiller`, student and teacher run once per step, and the teacher never runs in
    training mode.
    """

    loss_function = None
    learning_rate = 1e-4

    def __init__(self, teacher, student, name=None):
        super().__init__(teacher, student, name)
        self.sign_agreement = keras.metrics.Mean(name="sign_agreement")
        self.soft_label_kl = keras.metrics.Mean(name="soft_label_kl")
        self.built = True

    def default_optimizer(self):
        return keras.optimizers.SGD(self.learning_rate)

    def trained(self):
        return self.student.trainable_variables

    def compute_loss(self, x=None, y=None, y_pred=None, sample_weight=None, training=True):
        self.refuse_weights(sample_weight)
        teacher, size = self.teacher_outputs(x, y), ops.shape(y_pred["logits"])[0]
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

    loss_function = SoftLabelLoss()


@keras.saving.register_keras_serializable("kgan")
class AdversarialDistiller(WithTeacher, AdversarialModel):
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
        super().__init__(teacher, student, name)
        self.discriminator = networks.build_discriminator(student.options["features"])
        self.adversarial_weight = adversarial_weight
        self.diversity_ratio = diversity_ratio
        self.k_rate = k_rate
        self.k = self.add_weight(
            (), initializer="zeros", trainable=False, dtype="float32", aggregation="mean", name="k"
        )

    def get_config(self):
        return {
            **super().get_config(),
            "adversarial_weight": self.adversarial_weight,
            "diversity_ratio": self.diversity_ratio,
            "k_rate": self.k_rate,
        }

    def default_optimizers(self):
        """Return the paper's optimizers: SGD(1e-4) for the student and SGD(2e-4) for the discriminator.

        The learning rates are meant for batches of one image.
        """
        return {"student": keras.optimizers.SGD(1e-4), "discriminator": keras.optimizers.SGD(2e-4)}

    def phases(self):
        return [Phase(self.distil, ("student", "discriminator"))]

    def distil(self, images, targets=None, *, training):
        teacher = self.teacher_outputs(images, targets)
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


def check_features(teacher, student):
    lengths = [network.options["features"] for network in (teacher, student)]
    if lengths[0] != lengths[1]:
        raise ValueError(
            f"The teacher's features have length {lengths[0]}, the student's {lengths[1]}: pass equal `features`."
        )


def check_targets(teacher, targets):
    if teacher is None and not isinstance(targets, dict):
        raise ValueError("teacher=None needs the teacher's outputs: call fit(images, teacher.predict(images)).")


def rms(values):
    return ops.sqrt(ops.mean(ops.square(values)))
