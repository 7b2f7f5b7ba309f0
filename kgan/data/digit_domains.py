"""Digits for translation between domains: USPS, SVHN, MNIST-M, and digits on textures."""

import zipfile
from pathlib import Path

import numpy as np

from kgan.data.digits import CLASS_NAMES, open_digits
from kgan.data.mnist import open_mnist
from kgan.data.scenes.photos import load_photos
from kgan.data.scenes.surfaces import surface
from kgan.data.source import ColourArray, GreyArray, balanced_subset, check_split

SPLITS = ("train", "test")


def open_usps(path, split, image_size, channels, count, seed):
    """Opens USPS from an npz file; 32 x 32 grey by default.

    The file holds `x_train` and `x_test`, uint8 `(n, 16, 16)`, and `y_train` and `y_test`, ints `(n,)` from 0 to 9.
    """
    check_split(split, SPLITS)
    file = Path(path).expanduser()
    if not file.is_file():
        raise FileNotFoundError(f"no file {path!r}: pass 'usps:FILE', an npz file with x_{split} and y_{split}")
    if not zipfile.is_zipfile(file):
        raise ValueError(f"{path} is not an npz file")
    with np.load(file, allow_pickle=False) as arrays:
        if missing := {f"{name}_{split}" for name in "xy"} - set(arrays.files):
            raise ValueError(f"{path} has no {', '.join(sorted(missing))}; it has {', '.join(arrays.files)}")
        pixels, labels = arrays[f"x_{split}"], arrays[f"y_{split}"]
    _check(path, pixels, labels, (len(labels), 16, 16))
    kept = balanced_subset(labels, count, seed)
    return GreyArray(pixels[kept], labels[kept], CLASS_NAMES, image_size or 32, channels or 1, peak=255)


def open_svhn(path, split, image_size, channels, count, seed):
    """Opens SVHN's cropped digits from `train_32x32.mat` and `test_32x32.mat` in the folder `path`.

    The split `"extra"` holds the 531,131 easier digits of `extra_32x32.mat`, on which CDAAE's code trains.
    """
    from scipy.io import loadmat
    from scipy.io.matlab import MatReadError

    check_split(split, (*SPLITS, "extra"))
    file = Path(path).expanduser() / f"{split}_32x32.mat"
    if not file.is_file():
        raise FileNotFoundError(f"no file {str(file)!r}: download it from http://ufldl.stanford.edu/housenumbers")
    try:
        arrays = loadmat(file, variable_names=("X", "y"))
        # The axes of X are height, width, colour and sample. The label of the digit 0 is 10.
        pixels, labels = np.moveaxis(arrays["X"], 3, 0), arrays["y"].ravel() % 10
    except (MatReadError, KeyError, ValueError, TypeError, np.exceptions.AxisError) as error:
        raise ValueError(f"{file} is not an SVHN file ({' '.join(str(error).split())}): download it again") from None
    _check(file, pixels, labels, (len(labels), 32, 32, 3))
    kept = balanced_subset(labels, count, seed)
    return ColourArray(pixels[kept], labels[kept], CLASS_NAMES, image_size or 32, channels or 3)


def open_mnist_m(path, split, image_size, channels, count, seed):
    """Opens MNIST-M (Ganin et al., 2016): the absolute difference of each MNIST digit and a random photo patch.

    `path` is `DIGITS:PHOTOS`: the folder of MNIST's files, and a folder or zip archive of photographs. Every fifth
    photograph belongs to the test split.
    """
    digits, _, photos = path.partition(":")
    if not photos:
        raise ValueError(f"'mnist_m:{path}': pass 'mnist_m:DIGITS:PHOTOS', the folders of MNIST and of photographs")
    source = open_mnist(digits, split, None, 1, count, seed)
    large = [photo for photo in load_photos(photos) if min(photo.shape[:2]) >= 32]
    if len(large) < 5:
        raise ValueError(f"{photos} has {len(large)} photographs of at least 32 x 32 pixels: at least 5 are needed")
    photos = [photo for i, photo in enumerate(large) if (i % 5 == 4) == (split == "test")]

    def ground(rng):
        photo = photos[rng.integers(len(photos))]
        top, left = (rng.integers(side - 31) for side in photo.shape[:2])
        return photo[top : top + 32, left : left + 32]

    return _on_grounds(source.pixels, source.labels, ground, split, image_size, channels, seed)


def open_textured_digits(split, image_size, channels, count, seed):
    """Opens scikit-learn's digits, blended with drawn textures as MNIST-M blends its digits with photographs.

    The digits and their order are those of `"digits"`, so that the correct result of a translation is known.
    """
    grey = open_digits(split, 32, 1, count, seed)
    pixels = np.round((grey.arrays()[0][..., 0] + 1) * 127.5)

    def ground(rng):
        return np.asarray(surface(rng, 32, 32, rng.uniform(0.1, 0.5)).convert("RGB"))

    return _on_grounds(pixels, grey.labels, ground, split, image_size, channels, seed)


def _on_grounds(digits, labels, ground, split, image_size, channels, seed):
    pixels = np.empty((len(digits), 32, 32, 3), "uint8")
    for i, digit in enumerate(digits):
        piece = ground(np.random.default_rng([seed, SPLITS.index(split), i]))
        pixels[i] = np.abs(piece.astype("int16") - digit[..., None].astype("int16"))
    return ColourArray(pixels, labels, CLASS_NAMES, image_size or 32, channels or 3)


def _check(path, pixels, labels, shape):
    if pixels.dtype != "uint8" or pixels.shape != shape:
        raise ValueError(f"{path}: images are {pixels.dtype} {pixels.shape}, expected uint8 {shape}")
    if labels.dtype.kind not in "iu" or len(labels) and not 0 <= labels.min() <= labels.max() <= 9:
        raise ValueError(f"{path}: labels are not digits from 0 to 9")
