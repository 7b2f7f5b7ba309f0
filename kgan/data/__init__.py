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

    Images of another shape than the square asked for are resized until they cover it (antialiased) and cut about their
    centre. The train and test split never share a sample; a set that comes in one piece is split 80 / 20 in each class.
    Files that cannot be read are skipped with a warning.

    Of scene text the images are uint8 in 0..255, stretched to the square (240 pixels by default), and the labels those
    of regions, `(n, 34)`; for other shapes, and for the outlines of the text, see `load_text`.

    Args:
        name: a name of the table above.
        split: `"train"` or `"test"`, or another split that the set has.
        image_size: height and width in pixels, at least 8. None takes the natural size: 32 for digits, else 64, or
            what a TFDS set has.
        channels: 1 for grey or 3 for RGB. None takes the natural number: 1 for digits, else 3. Scene text is RGB only.
        count: number of samples. None takes all; `"synthetic/flowers"` has no end and then gives 6,000 for training
            and 1,200 for testing. Of real data, `count` takes a random subset with equal classes.
        seed: non-negative int, the seed of drawn pictures, of splits and subsets, and of the order of batches.
        batch_size: samples in a batch, where the result comes in batches.
        data_dir: the folder of TFDS data sets, `~/tensorflow_datasets` by default.
        memory_limit: most bytes that the images may take as arrays. Larger sets come in batches, but for scene text,
            which is refused.

    Returns:
        `(images, labels)`, NumPy arrays `(n, image_size, image_size, channels)` and `(n,)`, when the images take at
        most `memory_limit` bytes. Else a `keras.utils.PyDataset` of such batches, in a new order each epoch of
        training (see `Batches`), with the attributes `labels` and `class_names`; set its `workers` to decode in that
        many threads. For a TFDS name a `tf.data.Dataset` of such batches.

    Raises:
        ValueError: an argument is out of range, or the name is unknown, or the data are not as they should be.
        FileNotFoundError: there is nothing at the path, or TFDS neither has the data nor can fetch them.
        ImportError: a TFDS name, and `tensorflow_datasets` is not installed.

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
