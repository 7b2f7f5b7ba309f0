"""Data sets by name: `load` returns what `fit` takes.

| name | what |
|---|---|
| `"digits"` | scikit-learn's handwritten digits, real, embedded |
| `"synthetic/flowers"` | drawn flowers of twelve species, embedded |
| `"folder:PATH"` | `PATH/<class>/*.jpg`, or `PATH/train/<class>/*.jpg` and `PATH/test/<class>/*.jpg` |
| `"zip:PATH"` | the same inside a zip archive |
| `"mnist:PATH"` | the folder of MNIST's idx files |
| `"usps:FILE"`, `"svhn:PATH"` | USPS in an npz file, the folder of SVHN's `train_32x32.mat` and `test_32x32.mat` |
| `"mnist_m:DIGITS:PHOTOS"` | MNIST-M, made from the folder of MNIST and a folder or zip of photographs |
| `"pair:PATH:a"`, `"pair:PATH:b"` | a domain of pix2pix's folders of pairs side by side, or of `trainA`, `trainB` ... |
| `"nir_vis:PATH:nir"`, `"nir_vis:PATH:vis"` | faces in `PATH/NIR/<person>/*` and `PATH/VIS/<person>/*` |
| `"textured_digits"` | `"digits"`, made into another domain in the same way with drawn textures, embedded |
| `"synthetic/scene_text"` | drawn scenes with and without text, embedded; labels of regions |
| `"textdis:PATH"`, `"icdar2013:PATH"`, `"icdar2015:PATH"`, `"coco_text:PATH"`, `"textocr:PATH"`, `"total_text:PATH"`, \
`"svt:PATH"`, `"td500:PATH"` | scene text (`kgan.data.text.sets` says in which layout); labels of regions |
| any other | a TensorFlow Datasets name, such as `"oxford_flowers102"` |
"""

import math
import numbers

import numpy as np

from kgan.data.batches import Batches
from kgan.data.digit_domains import open_mnist_m, open_svhn, open_textured_digits, open_usps
from kgan.data.digits import open_digits
from kgan.data.files import open_folder, open_zip
from kgan.data.flowers.painter import open_flowers
from kgan.data.image_pairs import open_nir_vis, open_pair
from kgan.data.mnist import open_mnist
from kgan.data.pairs import PairBatches, hide_labels
from kgan.data.text.images import flip_and_rotate, is_text_set, load_text
from kgan.data.text.sets import READERS
from kgan.data.tfds import load_tfds, tfds_class_names
from kgan.filter.regions import region_labels

__all__ = ["Batches", "PairBatches", "class_names", "flip_and_rotate", "hide_labels", "load", "load_text"]

EMBEDDED = {"digits": open_digits, "textured_digits": open_textured_digits, "synthetic/flowers": open_flowers}
AT_PATH = {
    "folder": open_folder,
    "zip": open_zip,
    "mnist": open_mnist,
    "usps": open_usps,
    "svhn": open_svhn,
    "mnist_m": open_mnist_m,
    "pair": open_pair,
    "nir_vis": open_nir_vis,
}


def load(
    name,
    split="train",
    *,
    image_size=None,
    channels=None,
    count=None,
    seed=0,
    batch_size=64,
    data_dir=None,
    memory_limit=2**30,
):
    """Loads one split of a data set as float32 images in [-1, 1] and int32 labels, the indices of `class_names(name)`.

    Images of another shape are resized (antialiased) until they cover the square, and cropped to its centre. The train
    and test splits never share a sample; a set that comes in one piece is split 80 / 20 within each class.

    Hidden files in folders and archives are passed over, and so are links that lead out of them. Images that cannot be
    read are skipped with a warning.

    Scene text comes as uint8 images in 0..255, stretched to the square (240 pixels by default), with the labels of the
    34 regions, `(n, 34)`. `load_text` gives other shapes and the outlines of the text.

    Args:
        name: a name from the table in `kgan.data`.
        split: `"train"` or `"test"`, or another split that the set has.
        image_size: height and width in pixels, from 8 to 4096. None takes the natural size: 32 for digits, 64 for other
            images, or the size that a TFDS set has.
        channels: 1 for grey or 3 for RGB. None takes the natural number: 1 for digits, else 3. Scene text is RGB only.
        count: number of samples, a random subset of real data with equal classes. None takes all, or draws 6,000
            flowers for training and 1,200 for testing.
        seed: non-negative int that determines drawn pictures, splits, subsets, and the order of batches.
        batch_size: samples in a batch, when the result comes in batches.
        data_dir: the folder of TFDS data sets, `~/tensorflow_datasets` by default.
        memory_limit: the most bytes that the images may take as arrays. Larger sets come in batches. Scene text does
            not, and is refused.

    Returns:
        `(images, labels)`, NumPy arrays `(n, image_size, image_size, channels)` and `(n,)`, when the images take at
        most `memory_limit` bytes. Otherwise a `keras.utils.PyDataset` of such batches, which the train split reshuffles
        each epoch (see `Batches`), with the attributes `labels` and `class_names`; set its `workers` to decode in that
        many threads. A TFDS name gives a `tf.data.Dataset` of such batches.

    Raises:
        ValueError: an argument is out of range, the name is unknown, the data are not as they should be, or scene text
            would take more than `memory_limit`.
        FileNotFoundError: there is nothing at the path, or TFDS neither has the data nor can fetch them.
        ImportError: the name is one of TFDS, and `tensorflow_datasets` is not installed.

    Example:

    ```python
    images, labels = kgan.data.load("synthetic/flowers", image_size=32, count=1200)
    model = kgan.CVAEGAN(num_classes=12, image_size=32)
    ```
    """
    if image_size is not None:
        _check_whole("image_size", image_size, 8, 4096)
    if count is not None:
        _check_whole("count", count, 1)
    _check_whole("seed", seed, 0)
    _check_whole("batch_size", batch_size, 1)
    if channels not in (None, 1, 3):
        raise ValueError(f"channels={channels!r}: pass 1 for grey or 3 for RGB")

    if is_text_set(name):
        if channels == 1:
            raise ValueError(f"{name}: channels=1, but scene text is RGB: pass channels=3 or leave it out")
        size = (image_size or 240,) * 2
        images, polygons = load_text(name, split, image_size=size, count=count, seed=seed, memory_limit=memory_limit)
        return images, np.stack([region_labels(outlines, size) for outlines in polygons])
    source = _open(name, split, image_size, channels, count, seed)
    if source is None:
        return load_tfds(name, split, image_size, channels, count, seed, batch_size, data_dir, others=_own_names())
    if source.nbytes <= memory_limit:
        return source.arrays()
    return source.batches(batch_size, seed if split == "train" else None)


def class_names(name, *, data_dir=None):
    """Returns the names of the classes of a data set; the labels that `load` gives are indices of this list.

    Args:
        name: as in `load`.
        data_dir: the folder of TFDS data sets.

    Returns:
        List of str.

    Raises:
        ValueError, FileNotFoundError, ImportError: as `load`.

    Example:

    ```python
    kgan.data.class_names("synthetic/flowers")[0]  # "daisy"
    ```
    """
    if is_text_set(name):
        return ["no_text", "text"]
    source = _open(name, "train", None, None, None, 0)
    return source.class_names if source else tfds_class_names(name, data_dir, others=_own_names())


def _check_whole(name, value, low, high=math.inf):
    if not isinstance(value, numbers.Integral) or not low <= value <= high:
        limits = f"from {low} to {high}" if high < math.inf else f"of at least {low}"
        raise ValueError(f"{name}={value!r}: pass a whole number {limits}")


def _open(name, *options):
    """Returns the `Source` of a name, or None for a name that TFDS may know."""
    kind, _, path = name.partition(":")
    if name in EMBEDDED:
        return EMBEDDED[name](*options)
    if path and kind in AT_PATH:
        return AT_PATH[kind](path, *options)
    return None


def _own_names():
    return [*EMBEDDED, "synthetic/scene_text", *(f"{kind}:PATH" for kind in (*AT_PATH, *READERS))]
