"""The multi-label classifier of SPL. Equation and section numbers refer to Zhang et al., 2019."""

import keras
import numpy as np
from keras import layers, ops
from scipy.special import expit

from kgan import losses
from kgan.data.mixed import check_label_values
from kgan.metrics import MeanAveragePrecision
from kgan.models.conditional import check_images
from kgan.models.soft_pseudo_labels.networks import build_backbone
from kgan.presets import check_names
from kgan.training import ChecksFirstBatch, WithDefaultOptimizer, predict


def softmax_loss(labels, logits):
    """LSRO's loss, divided by the number of classes: `soft_class_loss` sums over them, and the other losses average."""
    return losses.soft_class_loss(labels, logits) / logits.shape[-1]


REAL_LOSSES = {"bce": losses.multilabel_loss, "asl": losses.asymmetric_loss}
GENERATED_LOSSES = {
    "bce": losses.multilabel_loss,
    "positive": losses.positive_loss,
    "softmax": softmax_loss,
}


@keras.saving.register_keras_serializable("kgan")
class MultiLabelClassifier(ChecksFirstBatch, WithDefaultOptimizer, keras.Model):
    """A multi-label classifier that can also learn from generated images with soft labels (SPL, section 2.4).

    `fit(images, labels)` takes images `(batch, image_size, image_size, 3)` in [-1, 1] and labels
    `(batch, num_classes)`: 1, 0, or -1 for unspecified, which counts as 0 in training. To train on generated images
    too, fit on `kgan.data.MixedBatches`, or on dicts `{"real": ..., "generated": ...}` of images and of labels; the
    labels of generated images are in [0, 1]. The loss is that of the real images, plus that of the generated ones, in
    which an image weighs `generated_weight` as much as a real one.

    The paper prints a loss with positive terms alone (eq. 3), which a probability of 1 everywhere minimises. Here, real
    images have binary cross entropy or the asymmetric loss. The paper names no optimizer; the default is Adam(1e-3). In
    addition to the loss, `fit` logs the mean average precision of the real images, `mAP`.

    A call returns logits `(batch, num_classes)`.

    Args:
        num_classes: number of classes, 1 or more.
        backbone: `"resnet101_v2"` (the paper's), `"resnet50_v2"`, `"resnet34_v2"`, `"resnet18_v2"`, `"small"` (for 32
            to 64 pixels), or a `keras.Model` of images in [-1, 1] to features `(batch, n)` or feature maps.
        image_size: height and width in pixels, 32 or more.
        weights: initial weights of the backbone: None, or, for ResNet-50 and 101, `"imagenet"` or a weights file.
        loss: of real images, `"bce"` or `"asl"` (Ridnik et al., 2021).
        generated_loss: of generated images, `"bce"`, `"positive"` (eq. 3) or `"softmax"` (as in LSRO, divided by the
            number of classes, because the others average over them).
        generated_weight: weight of a generated image, 0 or more.
        separate: whether generated images go through the network in a pass of their own, so that they change neither
            the batch statistics of real ones nor the moving averages.
        class_names: list of str; default: the numbers of the classes.
        thresholds: probability above which a class is tagged, a number or one for each class. It can be set later, for
            example to `kgan.metrics.best_thresholds(...)`, and is saved with the model.

    Raises:
        ValueError: an argument is out of range, or `backbone` takes images of another size or gives no features. `fit`
            raises it if an image is outside [-1, 1], or labels have another width or values.

    Example:

    ```python
    import numpy as np
    from kgan.soft_pseudo_labels import MultiLabelClassifier

    images = np.random.default_rng(0).uniform(-1, 1, (8, 32, 32, 3)).astype("float32")
    labels = np.eye(4, dtype="int32")[np.arange(8) % 4]
    model = MultiLabelClassifier(4, backbone="small", image_size=32, class_names=["cat", "dog", "car", "tree"])
    model.compile()
    model.fit(images, labels, verbose=0)
    model.tag(images)  # a dict for each image, such as {"dog": 0.71, "tree": 0.55}
    ```
    """

    def __init__(
        self,
        num_classes,
        backbone="resnet101_v2",
        image_size=224,
        weights=None,
        loss="bce",
        generated_loss="bce",
        generated_weight=1.0,
        separate=False,
        class_names=None,
        thresholds=0.5,
        name=None,
    ):
        super().__init__(name=name)
        if num_classes < 1:
            raise ValueError(f"num_classes={num_classes}: pass at least one class.")
        if loss not in REAL_LOSSES or generated_loss not in GENERATED_LOSSES:
            raise ValueError(
                f"loss={loss!r}, generated_loss={generated_loss!r}: pass one of {', '.join(map(repr, REAL_LOSSES))} "
                f"and one of {', '.join(map(repr, GENERATED_LOSSES))}."
            )
        if not 0 <= generated_weight < float("inf"):
            raise ValueError(f"generated_weight={generated_weight}: pass a finite number of at least 0.")
        self.num_classes = num_classes
        self.backbone = backbone
        self.image_size = image_size
        self.losses_by_name = loss, generated_loss
        self.generated_weight = generated_weight
        self.separate = separate
        self.class_names = check_names(class_names or list(map(str, range(num_classes))), num_classes)
        self.thresholds = check_thresholds(thresholds, num_classes).tolist()
        self.network = build_network(backbone, weights, image_size, num_classes)
        self.mean_average_precision = MeanAveragePrecision(num_classes)
        self.built = True

    def get_config(self):
        by_name = isinstance(self.backbone, str)
        return {
            "num_classes": self.num_classes,
            "backbone": self.backbone if by_name else keras.saving.serialize_keras_object(self.backbone),
            "image_size": self.image_size,
            "loss": self.losses_by_name[0],
            "generated_loss": self.losses_by_name[1],
            "generated_weight": self.generated_weight,
            "separate": self.separate,
            "class_names": list(self.class_names),
            "thresholds": np.asarray(self.thresholds, "float64").tolist(),
            "name": self.name,
        }

    @classmethod
    def from_config(cls, config, custom_objects=None):
        if not isinstance(config["backbone"], str):
            config = {**config, "backbone": keras.saving.deserialize_keras_object(config["backbone"])}
        return cls(**config)

    def default_optimizer(self):
        return keras.optimizers.Adam(1e-3)

    def check_batch(self, images, labels=None):
        if labels is None:
            raise ValueError("MultiLabelClassifier needs images and labels: call fit(images, labels).")
        pairs = {"real": (images, labels)}
        if isinstance(images, dict):
            kinds = {"real", "generated"}
            if set(images) != kinds or not isinstance(labels, dict) or set(labels) != kinds:
                raise ValueError("Images and labels must both be dicts of 'real' and 'generated', or neither.")
            pairs = {kind: (images[kind], labels[kind]) for kind in kinds}
        for kind, (some_images, some_labels) in pairs.items():
            check_images(some_images, self.image_size, 3, f"{kind} images".capitalize())
            check_multi_labels(some_labels, self.num_classes, kind)

    def call(self, images, training=False):
        """Map images to logits, or dicts of `"real"` and `"generated"` images to dicts of logits."""
        if not isinstance(images, dict):
            return self.network(images, training=training)
        if self.separate:
            logits = {"real": self.network(images["real"], training=training)}
            # Test images are real, so the moving averages must come from real images alone. What this pass assigns is
            # dropped, but for the states of random seeds: the next step would else repeat this pass's dropout.
            with keras.StatelessScope([(variable, variable.value) for variable in self.network.variables]) as scope:
                logits["generated"] = self.network(images["generated"], training=training)
            weights = {id(weight) for weight in self.network.weights}
            for variable in self.network.variables:
                if id(variable) not in weights:
                    variable.assign(scope.get_current_value(variable))
            return logits
        logits = self.network(ops.concatenate([images["real"], images["generated"]]), training=training)
        size = ops.shape(images["real"])[0]
        return {"real": logits[:size], "generated": logits[size:]}

    def compute_loss(self, x=None, y=None, y_pred=None, sample_weight=None, training=True):
        self.refuse_weights(sample_weight)
        real_loss, generated_loss = REAL_LOSSES[self.losses_by_name[0]], GENERATED_LOSSES[self.losses_by_name[1]]
        if not isinstance(y_pred, dict):
            return real_loss(targets_of(y), y_pred)
        sizes = {kind: ops.cast(ops.shape(logits)[0], "float32") for kind, logits in y_pred.items()}
        generated = generated_loss(targets_of(y["generated"]), y_pred["generated"])
        weight = self.generated_weight * sizes["generated"] / sizes["real"]
        return real_loss(targets_of(y["real"]), y_pred["real"]) + weight * generated

    def compute_metrics(self, x, y, y_pred, sample_weight=None):
        labels, logits = (y["real"], y_pred["real"]) if isinstance(y_pred, dict) else (y, y_pred)
        self.mean_average_precision.update_state(labels, logits)
        return self.get_metrics_result()

    def score(self, images, batch_size=32):
        """Return the probability of each class.

        Args:
            images: `(n, image_size, image_size, 3)` in [-1, 1].
            batch_size: batch size of `predict`.

        Returns:
            float32 `(n, num_classes)` in [0, 1].

        Raises:
            ValueError: the images have another shape or range.
        """
        images = np.asarray(images)
        if not len(images):
            return np.zeros((0, self.num_classes), "float32")
        check_images(images, self.image_size, 3)
        return expit(predict(self, images, batch_size))

    def tag(self, images, batch_size=32):
        """Name what is in images.

        Args:
            images, batch_size: as for `score`.

        Returns:
            For each image, a dict `{class name: probability}` of the classes above their thresholds, the most probable
            first. It may be empty.

        Raises:
            ValueError: the images have another shape or range.
        """
        scores = self.score(images, batch_size)
        above = scores > check_thresholds(self.thresholds, self.num_classes)
        return [
            {self.class_names[c]: float(row[c]) for c in np.argsort(-row, kind="stable") if tagged[c]}
            for row, tagged in zip(scores, above, strict=True)
        ]


def build_network(backbone, weights, image_size, num_classes):
    if isinstance(backbone, str):
        backbone = build_backbone(backbone, image_size, weights)
        image, features = backbone.input, backbone.output
    elif weights is not None:
        raise ValueError(f"weights={weights!r}: load them into the keras.Model that is the backbone.")
    else:
        image = keras.Input((image_size, image_size, 3), name="image")
        features = backbone(image)  # refuses images of another size
    shape = getattr(features, "shape", None)
    if shape is None or len(shape) not in (2, 4):
        what = f"outputs of shape {shape}" if shape else "several outputs"
        raise ValueError(f"backbone has {what}: pass a model to features (batch, n) or maps (batch, height, width, n).")
    if len(shape) == 4:
        features = layers.GlobalAveragePooling2D(data_format="channels_last")(features)
    logits = layers.Dense(num_classes, dtype="float32", name="logits")(features)
    return keras.Model(image, logits, name="network")


def targets_of(labels):
    """Labels as float32, with unspecified ones as 0."""
    return ops.maximum(ops.cast(labels, "float32"), 0.0)


def check_thresholds(thresholds, num_classes):
    """Raise a `ValueError` unless thresholds are one number or `num_classes`; return them as an array."""
    thresholds = np.asarray(thresholds, "float64")
    if thresholds.shape not in ((), (num_classes,)) or not np.isfinite(thresholds).all():
        raise ValueError(f"thresholds of shape {thresholds.shape}: pass one finite number or {num_classes}.")
    return thresholds


def check_multi_labels(labels, num_classes, kind="real"):
    """Raise a `ValueError` unless labels are `(batch, num_classes)`, of 1, 0 and -1 or, if generated, in [0, 1]."""
    labels = np.asarray(labels)
    if labels.ndim != 2 or labels.shape[1] != num_classes:
        raise ValueError(f"Labels of {kind} images must be (batch, {num_classes}), got {labels.shape}.")
    check_label_values(labels, kind)
