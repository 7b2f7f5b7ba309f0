"""Scikit-learn's handwritten digits: 1,797 real digits of 8 x 8 pixels, part of its installation."""

import numpy as np

from kgan.data.source import GreyArray, balanced_subset, stratified_split

CLASS_NAMES = [str(digit) for digit in range(10)]


def open_digits(split, image_size, channels, count, seed):
    """Opens scikit-learn's digits with a seeded 80 / 20 split of each class; 32 x 32 grey by default.

    The digits touch the edges of their 8 x 8 images, so each image gets a black border of one pixel.
    """
    from sklearn.datasets import load_digits

    data = load_digits()
    kept = stratified_split(data.target, split, seed)
    kept = kept[balanced_subset(data.target[kept], count, seed)]
    pixels = np.pad(data.images[kept], ((0, 0), (1, 1), (1, 1)))
    return GreyArray(pixels, data.target[kept], CLASS_NAMES, image_size or 32, channels or 1, peak=16)
