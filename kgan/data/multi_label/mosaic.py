"""Mosaics: four photographs of a folder or archive with one folder per class as one image with one to four labels."""

from pathlib import Path

import numpy as np

from kgan.data.batches import endless
from kgan.data.files import open_classes
from kgan.data.source import Source
from kgan.data.store import Store


def open_mosaic(path, split, image_size, channels, count, seed):
    """Opens mosaics of a folder or zip archive with one folder per class; 64 x 64 RGB by default.

    By default there are so many that each photograph occurs once; with a higher `count` they occur in other mosaics.
    """
    if not Path(path).expanduser().exists():
        raise FileNotFoundError(f"no folder or file {path!r}: pass 'mosaic:PATH' with one folder of images per class")
    image_size = image_size or 64
    if image_size % 2:
        raise ValueError(f"image_size={image_size}: mosaics of four need an even size")
    photos = open_classes(Store(path), split, image_size // 2, channels, None, seed)
    if not photos.class_names:
        raise ValueError(f"{path} has no class folders: mosaics need one folder of images per class")
    return Mosaic(photos, count or max(1, len(photos.labels) // 4), seed)


class Mosaic(Source):
    """Mosaics of four photos; image `i` does not depend on `count`. Labels are int32 `(n, classes)` of 0 and 1.

    In place of a broken photo comes another of its class, so that the labels hold.

    Args:
        photos: the `Source` of the photographs, with one label each.
        count: number of mosaics.
        seed: seed of the choice.
    """

    def __init__(self, photos, count, seed):
        pool = np.arange(len(photos.labels))
        chosen = np.array([endless(pool, (seed, 4), place) for place in range(4 * count)]).reshape(count, 4)
        labels = np.zeros((count, len(photos.class_names)), "int32")
        np.put_along_axis(labels, photos.labels[chosen], 1, axis=1)
        super().__init__(labels, photos.class_names, 2 * photos.image_size, photos.channels)
        self.photos, self.chosen = photos, chosen

    def images(self, indices):
        half, shape = self.photos.image_size, (len(indices), self.image_size, self.image_size, self.channels)
        parts = self.photos.images(self.chosen[indices].ravel())
        parts = parts.reshape(len(indices), 2, 2, half, half, self.channels)
        return parts.transpose(0, 1, 3, 2, 4, 5).reshape(shape)
