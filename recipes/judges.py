"""The classifiers that judge generated images, and what they measure."""

import math
from functools import partial

import common
import keras
import numpy as np
from keras import layers
from sklearn.model_selection import train_test_split

from kgan import metrics

FEATURES = 64  # of a classifier; distances are measured in them


def check_test_images(images):
    """Raise a `ValueError` where there are too few test images for a Frechet distance."""
    if len(images) <= FEATURES:
        raise ValueError(f"{len(images)} test images: the Frechet distance needs more than {FEATURES}.")


def hold_out(images, labels, share):
    """A training set without a share of each class, and that share; sets of the same labels hold out the same ones."""
    rest, held, rest_labels, held_labels = train_test_split(
        images, labels, test_size=share, stratify=labels, random_state=0
    )
    return (rest, rest_labels), (held, held_labels)


def evaluator(out, number, images, labels, num_classes, options):
    """A classifier trained on real images and kept in the run's folder; `number` sets its seed."""
    train = partial(train_evaluator, number, images, labels, num_classes, options.evaluator_steps)
    return common.keep(out / f"evaluator-{number}.keras", train, options)


def train_evaluator(number, images, labels, num_classes, steps):
    common.set_seed(1000 + number)
    inputs = keras.Input(images.shape[1:])
    x = layers.RandomTranslation(0.1, 0.1, fill_mode="nearest")(inputs)  # real data sets can be small
    widths = (16, 32, 64, 128, 128)[: max(3, images.shape[1].bit_length() - 3)]
    for width in widths:
        x = layers.Conv2D(width, 3, padding="same", use_bias=False)(x)
        x = layers.MaxPooling2D(2)(layers.ReLU()(layers.BatchNormalization(momentum=0.9)(x)))
    features = layers.Dense(FEATURES, activation="relu", name="features")(layers.Flatten()(x))
    outputs = layers.Dense(num_classes, activation="softmax", name="probabilities")(layers.Dropout(0.3)(features))
    network = keras.Model(inputs, outputs, name=f"evaluator_{number}")
    network.compile("adam", "sparse_categorical_crossentropy", metrics=["accuracy"])
    network.fit(images, labels, batch_size=64, epochs=math.ceil(steps * 64 / len(images)), verbose=2)
    return network


def with_features(evaluator):
    """The same network with two outputs: features and probabilities."""
    return keras.Model(evaluator.input, [evaluator.get_layer("features").output, evaluator.output])


def measure_images(first, second, images, labels, real, inception=None):
    """The numbers of CVAE-GAN's Table 1, and more, for one set of images.

    Args:
        first, second: evaluators; the second gives the inception score, the first everything else.
        labels: the classes asked for.
        real: `(images, labels)` to which distances are measured.
        inception: `inception_features` of the real images, to measure distances in these as well.
    """
    judge = with_features(first)
    features, probabilities = judge.predict(images, batch_size=256, verbose=0)
    real_features, _ = judge.predict(real[0], batch_size=256, verbose=0)
    score, _ = metrics.inception_score(second.predict(images, batch_size=256, verbose=0))
    subset_size = min(1000, len(real_features), len(features))
    numbers = {} if inception is None else inception_distances(inception, images, subset_size)
    return {
        "images": len(images),
        "top1": 100 * float(np.mean(probabilities.argmax(axis=1) == labels)),
        "inception_score": score,
        "frechet_distance": metrics.frechet_distance(real_features, features),
        "kernel_distance": metrics.kernel_distance(real_features, features, subset_size=subset_size),
        "diversity": metrics.within_class_diversity(features, labels),
        "pixel_diversity": metrics.within_class_diversity(images.reshape(len(images), -1), labels),
        **numbers,
    }


def inception_distances(real, images, subset_size):
    """FID, where there are enough images for it, and KID."""
    features = metrics.inception_features(images)
    numbers = {"kid": metrics.kernel_distance(real, features, subset_size=subset_size)}
    if min(len(real), len(features)) > real.shape[1]:
        numbers["fid"] = metrics.frechet_distance(real, features)
    return numbers
