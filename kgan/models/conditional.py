"""Checks of images and labels, and the base class of class-conditional generators."""

import operator

import keras
import numpy as np
from keras import ops

from kgan.adversarial import AdversarialModel, Phase
from kgan.presets import HasPresets
from kgan.training import predict


def check_images(images, image_size, channels, name="Images"):
    """Raise a `ValueError` unless images are `(batch, image_size, image_size, channels)` in [-1, 1]."""
    if tuple(images.shape[1:]) != (image_size, image_size, channels):
        expected = f"(batch, {image_size}, {image_size}, {channels})"
        raise ValueError(f"{name} must be {expected}, got {tuple(images.shape)}.")
    check_range(images, -1, 1, name)


def check_range(values, lowest, highest, name):
    """Raise a `ValueError` unless all values lie in `[lowest, highest]`, but for rounding."""
    if not np.size(values):
        raise ValueError(f"{name} are missing: the batch is empty.")
    low, high = float(np.min(values)), float(np.max(values))
    if not (lowest - 1e-3 <= low and high <= highest + 1e-3):
        raise ValueError(f"{name} must be in [{lowest}, {highest}], got values from {low:g} to {high:g}.")


def check_labels(labels, num_classes, lowest=0, name="Labels"):
    """Raise a `ValueError` unless labels are integers `(batch,)` from `lowest` to `num_classes - 1`.

    Pass `lowest=-1` to allow unlabelled samples.
    """
    labels = np.asarray(labels)
    if labels.ndim != 1 or labels.dtype.kind not in "iu":
        hint = "; pass labels.argmax(axis=1) of one-hot labels, labels[:, 0] of a column" if labels.ndim == 2 else ""
        raise ValueError(f"{name} must be integers (batch,), got {labels.dtype} {labels.shape}{hint}.")
    if len(labels) and not (lowest <= labels.min() and labels.max() < num_classes):
        raise ValueError(
            f"{name} must be {lowest} to {num_classes - 1}, got values from {labels.min()} to {labels.max()}."
        )


def check_num_classes(num_classes):
    """Raise a `ValueError` unless there are two classes or more; return their number as an int.

    `labels.max() + 1` is a NumPy integer, which some layers refuse.
    """
    if num_classes < 2:
        raise ValueError(f"num_classes={num_classes}: pass at least two classes.")
    return operator.index(num_classes)


class ClassConditional(HasPresets, AdversarialModel):
    """Base class of class-conditional generators, trained in one phase on `(images, labels)`.

    A subclass builds its generator, passes it to `__init__`, and defines `players`, `logged` and
    `step(images, labels, training)`. `step` returns the dict of scalars of a phase.

    Args:
        generator: `keras.Model` that maps latents `(batch, latent_dim)` and one-hot labels `(batch, num_classes)` to
            images `(batch, image_size, image_size, channels)` in [-1, 1].
        num_classes: number of classes, 2 or more.
        image_size: 32, 64, 128 or 256.
        channels: 1 or 3.
        latent_dim: length of the latent vector, drawn from N(0, 1).
        width: factor for the channels of all hidden layers, in (0, 4].

    Raises:
        ValueError: if an argument is out of range. `fit` raises it if an image is outside [-1, 1] or a label is out of
            range.
    """

    def __init__(self, generator, num_classes, image_size, channels, latent_dim, width, **kwargs):
        super().__init__(**kwargs)
        self.generator = generator
        self.num_classes = check_num_classes(num_classes)
        self.image_size = image_size
        self.channels = channels
        self.latent_dim = latent_dim
        self.width = width

    def get_config(self):
        names = ("num_classes", "image_size", "channels", "latent_dim", "width")
        return {**super().get_config(), **{name: getattr(self, name) for name in names}}

    def check_batch(self, images, labels=None):
        if labels is None:
            raise ValueError(f"{type(self).__name__} needs images and labels: call fit(images, labels).")
        check_images(images, self.image_size, self.channels)
        check_labels(labels, self.num_classes)

    def phases(self):
        return [Phase(self.step, tuple(self.players))]

    def one_hot(self, labels):
        return ops.one_hot(labels, self.num_classes, dtype="float32")

    def generate_prior(self, images, training):
        """Generate as many images as there are real ones, from random latents and labels; return `(images, labels)`."""
        n = ops.shape(images)[0]
        latents = keras.random.normal((n, self.latent_dim), seed=self.seed_generator)
        labels = keras.random.randint((n,), 0, self.num_classes, seed=self.seed_generator)
        return self.generator([latents, self.one_hot(labels)], training=training), labels

    def call(self, inputs, training=False):
        """Map `(latents, one_hot_labels)` to images."""
        return self.generator(inputs, training=training)

    def generate(self, labels, latents=None, seed=None):
        """Generate images of given classes.

        Args:
            labels: `(n,)` integers, or `(n, num_classes)` weights of mixed classes.
            latents: `(n, latent_dim)`. Default: drawn from N(0, 1). For codes of images there is `decode`.
            seed: int for the same latents in every call, None for new ones.

        Returns:
            NumPy array `(n, image_size, image_size, channels)` in [-1, 1].

        Raises:
            ValueError: if a label is out of range or mixed labels have a wrong shape.
        """
        if latents is None:
            latents = np.random.default_rng(seed).standard_normal((len(labels), self.latent_dim), "float32")
        return self._images(self.generator, labels, latents)

    def _images(self, network, labels, latents):
        labels = np.asarray(labels)
        if labels.ndim != 2:
            check_labels(labels, self.num_classes)
            labels = np.eye(self.num_classes, dtype="float32")[labels]
        elif labels.shape[1] != self.num_classes:
            raise ValueError(f"Mixed labels must be (n, {self.num_classes}), got {labels.shape}.")
        return predict(network, [latents, labels.astype("float32")], batch_size=256)
