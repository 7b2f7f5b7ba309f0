"""The base of all data sets in memory or on disk: splits, subsets, conversion to images, arrays and batches."""

import numpy as np
from PIL import Image

from kgan.data.batches import SourceBatches


class Source:
    """Base class of labelled samples that become images on demand.

    Args:
        labels: int array `(n,)`, the class of each sample, or `(n, classes)`, of 1, 0 and -1 for unspecified.
        class_names: list of str, in label order; empty if the samples have no classes, and all labels are 0.
        image_size: height and width of the images in pixels.
        channels: 1 (grey) or 3 (RGB).
    """

    def __init__(self, labels, class_names, image_size, channels):
        self.labels = np.asarray(labels, "int32")
        self.class_names = list(class_names)
        self.image_size = image_size
        self.channels = channels

    @property
    def nbytes(self):
        """The size in bytes of all images as float32."""
        return 4 * len(self.labels) * self.image_size**2 * self.channels

    def images(self, indices):
        """Returns float32 `(len(indices), image_size, image_size, channels)` in [-1, 1]."""
        raise NotImplementedError

    def readable(self, indices):
        """Returns the images that can be made, and their indices. By default, all of them or an error."""
        return self.images(indices), indices

    def arrays(self):
        """Returns all images and their labels."""
        return self.images(np.arange(len(self.labels))), self.labels

    def batches(self, batch_size, seed):
        """Returns a `keras.utils.PyDataset` that makes the images one batch at a time."""
        return SourceBatches(self, batch_size, seed)


class GreyArray(Source):
    """Grey images held in memory at their original size; resized and scaled on demand.

    Args:
        pixels: array `(n, height, width)` in [0, `peak`].
        peak: pixel value of white.
    """

    def __init__(self, pixels, labels, class_names, image_size, channels, peak):
        super().__init__(labels, class_names, image_size, channels)
        self.pixels = pixels
        self.peak = peak

    def images(self, indices):
        size = (self.image_size, self.image_size)
        images = np.empty((len(indices), *size, self.channels), "float32")
        for image, index in zip(images, indices, strict=True):
            resized = Image.fromarray(self.pixels[index].astype("float32")).resize(size, Image.Resampling.BICUBIC)
            image[:] = np.asarray(resized)[..., None]
        images *= 2 / self.peak
        images -= 1
        # Bicubic resizing overshoots at edges.
        return np.clip(images, -1, 1, out=images)


class ColourArray(Source):
    """Colour images held in memory at their original size; resized and scaled on demand.

    Args:
        pixels: uint8 `(n, height, width, 3)`.
    """

    def __init__(self, pixels, labels, class_names, image_size, channels):
        super().__init__(labels, class_names, image_size, channels)
        self.pixels = pixels

    def images(self, indices):
        size = (self.image_size, self.image_size)
        images = np.empty((len(indices), *size, self.channels), "uint8")
        for image, index in zip(images, indices, strict=True):
            picture = Image.fromarray(self.pixels[index])
            if picture.size != size:
                picture = picture.resize(size, Image.Resampling.BICUBIC)
            image[:] = np.asarray(picture if self.channels == 3 else picture.convert("L")).reshape(image.shape)
        return images / np.float32(127.5) - 1


def ranks_in_class(labels, seed):
    """Returns int `(n,)`: the rank of each sample in a random order of its class, drawn from `seed`."""
    order = np.random.default_rng(seed).permutation(len(labels))
    order = order[np.argsort(labels[order], kind="stable")]
    counts = np.bincount(labels)
    ranks = np.empty(len(labels), int)
    ranks[order] = np.arange(len(labels)) - (np.cumsum(counts) - counts)[labels[order]]
    return ranks


def stratified_split(labels, split, seed, test_share=0.2):
    """Chooses the samples of one side of a random split that preserves the share of each class.

    Args:
        labels: int array `(n,)`.
        split: `"train"` or `"test"`.
        seed: seed of the split; both sides must use the same one.
        test_share: share of each class in the test split, rounded to whole samples.

    Returns:
        Increasing int array of the indices of the chosen samples.
    """
    check_split(split, ("train", "test"))
    in_test = ranks_in_class(labels, seed) < np.round(test_share * np.bincount(labels))[labels]
    return np.flatnonzero(in_test == (split == "test"))


def random_split(size, split, seed, test_share=0.2):
    """Chooses the samples of one side of a random split, as `stratified_split`, whatever their labels."""
    check_split(split, ("train", "test"))
    order = np.random.default_rng(seed).permutation(size)
    first = round(test_share * size)
    return np.sort(order[:first] if split == "test" else order[first:])


def random_subset(size, count, seed):
    """Chooses `count` random samples, as `balanced_subset`, whatever their labels."""
    if count is None:
        return np.arange(size)
    check_count(count, size)
    return np.sort(np.random.default_rng(seed).permutation(size)[:count])


def balanced_subset(labels, count, seed):
    """Chooses `count` random samples, equally many of each class until a class is used up.

    Args:
        labels: int array `(n,)`.
        count: number of samples, or None for all.
        seed: seed of the choice. With the same seed, a larger subset contains every smaller one.

    Returns:
        Increasing int array `(count,)` of the indices of the chosen samples.
    """
    if count is None:
        return np.arange(len(labels))
    check_count(count, len(labels))
    return np.sort(np.lexsort((labels, ranks_in_class(labels, seed)))[:count])


def check_count(count, most):
    """Raises ValueError if a split of `most` samples has fewer than `count`."""
    if count > most:
        raise ValueError(f"count={count}, but the split has only {most} samples: pass at most that many")


def check_split(split, available):
    """Raises ValueError if `split` is not one of `available`."""
    if split not in available:
        raise ValueError(f"split={split!r} is not one of {', '.join(map(repr, available))}")
