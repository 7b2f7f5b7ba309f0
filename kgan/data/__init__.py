"""Data sets by name: `load` returns images and labels in a form that `fit` accepts.

Embedded data sets need no download. The last column is the shape of an image unless you choose another.

| name | data set | default shape |
|---|---|---|
| `"digits"` | scikit-learn's 1,797 real handwritten digits, embedded | `(32, 32, 1)` |
| `"textured_digits"` | the same digits blended with drawn textures, embedded | `(32, 32, 3)` |
| `"synthetic/flowers"` | drawn flowers of twelve species, embedded | `(64, 64, 3)` |
| `"synthetic/shapes"` | drawn shapes of twelve kinds, several in an image, embedded; labels of each kind | \
`(64, 64, 3)` |
| `"synthetic/faces"` | textures of drawn faces in UV space, some made up, embedded; five classes of light | \
`(64, 64, 3)` |
| `"synthetic/scene_text"` | drawn scenes with and without text, embedded; region labels | `(240, 240, 3)` |
| `"folder:PATH"` | one folder per class: `PATH/<class>/*.jpg`, or `PATH/train/<class>/*.jpg` and \
`PATH/test/<class>/*.jpg`; images without classes: `PATH/*.jpg` | `(64, 64, 3)` |
| `"zip:PATH"` | a zip archive with the same layout | `(64, 64, 3)` |
| `"mnist:PATH"` | MNIST; `PATH` is the folder of its idx files | `(32, 32, 1)` |
| `"usps:FILE"` | USPS in an npz file | `(32, 32, 1)` |
| `"svhn:PATH"` | SVHN; `PATH` is the folder of `train_32x32.mat` and `test_32x32.mat` | `(32, 32, 3)` |
| `"mnist_m:DIGITS:PHOTOS"` | MNIST-M, made from the folder of MNIST and a folder or zip archive of photographs | \
`(32, 32, 3)` |
| `"pair:PATH:a"`, `"pair:PATH:b"` | one domain of paired images: pix2pix's files with both side by side, or folders \
`trainA`, `trainB`, `testA`, `testB` | `(128, 128, 3)` |
| `"nir_vis:PATH:nir"`, `"nir_vis:PATH:vis"` | faces in near infrared or visible light: `PATH/NIR/<person>/*` and \
`PATH/VIS/<person>/*` | `(128, 128, 3)` |
| `"multilabel:PATH"` | a folder or zip archive with a CSV file: `file` and a column for each class (1, 0, -1 or \
empty), or `file,labels` with names separated by `;`, and `split` or not; several labels | `(64, 64, 3)` |
| `"coco:PATH"` | COCO's images and `instances_train*.json`, `instances_val*.json`; several labels | `(64, 64, 3)` |
| `"wider_attribute:PATH"` | WIDER Attribute, people cut out by their boxes; several labels | `(64, 64, 3)` |
| `"nus_wide:PATH"` | NUS-WIDE with its 81 concepts; several labels | `(64, 64, 3)` |
| `"mosaic:PATH"` | four photographs of a folder or zip archive with one folder per class as one image; several labels \
| `(64, 64, 3)` |
| `"icdar2013:PATH"`, `"icdar2015:PATH"`, `"coco_text:PATH"`, `"textocr:PATH"`, `"total_text:PATH"`, `"svt:PATH"`, \
`"td500:PATH"`, `"textdis:PATH"`, `"photos:PATH"` | scene text in the layouts of `kgan.data.text.sets`; region labels \
| `(240, 240, 3)` |
| any other name | a data set of TensorFlow Datasets, such as `"oxford_flowers102"`, or `"coco/2014"` with several \
labels | its own if square (32 x 32 for 28 x 28), else 64 x 64; grey or RGB as stored |
"""

import math
import numbers

import numpy as np

from kgan.data.batches import Batches, SharedBatches
from kgan.data.digit_domains import open_mnist_m, open_svhn, open_textured_digits, open_usps
from kgan.data.digits import open_digits
from kgan.data.faces.drawn import load_makeup, open_faces
from kgan.data.files import open_folder, open_zip
from kgan.data.flowers.painter import open_flowers
from kgan.data.image_pairs import open_nir_vis, open_pair
from kgan.data.mixed import MixedBatches
from kgan.data.mnist import open_mnist
from kgan.data.multi_label.files import open_multilabel
from kgan.data.multi_label.mosaic import open_mosaic
from kgan.data.multi_label.published import open_coco, open_nus_wide, open_wider_attribute
from kgan.data.multi_label.shapes import open_shapes
from kgan.data.pairs import PairBatches, hide_labels
from kgan.data.text.images import flip_and_rotate, is_text_set, load_text
from kgan.data.text.sets import READERS
from kgan.data.tfds import load_tfds, tfds_class_names
from kgan.filter.regions import region_labels

__all__ = [
    "Batches",
    "MixedBatches",
    "PairBatches",
    "SharedBatches",
    "class_names",
    "flip_and_rotate",
    "hide_labels",
    "load",
    "load_makeup",
    "load_text",
]

EMBEDDED = {
    "digits": open_digits,
    "textured_digits": open_textured_digits,
    "synthetic/flowers": open_flowers,
    "synthetic/shapes": open_shapes,
    "synthetic/faces": open_faces,
}
AT_PATH = {
    "folder": open_folder,
    "zip": open_zip,
    "mnist": open_mnist,
    "usps": open_usps,
    "svhn": open_svhn,
    "mnist_m": open_mnist_m,
    "pair": open_pair,
    "nir_vis": open_nir_vis,
    "multilabel": open_multilabel,
    "coco": open_coco,
    "wider_attribute": open_wider_attribute,
    "nus_wide": open_nus_wide,
    "mosaic": open_mosaic,
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
    """Loads one split of a data set by name.

    Images are square, float32 in [-1, 1]. An image of another shape is resized with antialiasing until it covers the
    square, then cropped to the centre. Labels are int32 indices into `class_names(name)`.

    The train and test splits of the same `seed` share no sample. A data set in one piece is split 80 / 20 within each
    class. If a data set has a validation split but no test split, `"test"` takes the validation split.

    Hidden files and links that lead out of a folder or archive are ignored. Images that cannot be read are skipped with
    a warning.

    Sets with several labels in an image have labels `(n, classes)` of 1, 0 and -1 for unspecified. Their images are
    stretched to the square instead of cut, and a broken file is left out with its labels. A subset is random. The test
    split of COCO is its validation split, because the labels of its test images are not published.

    Scene text differs: images are uint8 in 0..255 and stretched to the square, and labels are those of the 34 regions,
    `(n, 34)`. `load_text` returns other shapes and the outlines of the text.

    Args:
        name: a name from the table in `kgan.data`.
        split: `"train"`, `"test"`, or another split of the data set.
        image_size: height and width in pixels, from 8 to 4096. None takes the default in the table.
        channels: 1 for grey or 3 for RGB. None takes the default in the table. Scene text is RGB only.
        count: number of samples. A subset of real data is random, with equally many samples of each class. None takes
            all samples, or draws 6,000 flowers or 2,000 scenes for training, and 1,200 flowers or 500 scenes for
            testing. `nir_vis` refuses it.
        seed: non-negative int that determines drawn pictures, splits, subsets and the order of batches.
        batch_size: samples per batch, if the result is in batches.
        data_dir: folder of TensorFlow Datasets (TFDS); `~/tensorflow_datasets` by default.
        memory_limit: largest size in bytes of the images as arrays. A larger data set is returned in batches; larger
            scene text is refused. TFDS ignores the limit.

    Returns:
        One of three, each of which `fit` accepts:

        - `(images, labels)`: NumPy arrays `(n, image_size, image_size, channels)` and `(n,)` or `(n, classes)`, if the
          images take at most `memory_limit` bytes. The labels are None if a folder or archive has no class folders.
        - A `keras.utils.PyDataset` of batches of the same form, if they take more. The train split is reshuffled each
          epoch (see `Batches`); the other splits keep their order. It has the attributes `labels` and `class_names`.
          Set its `workers` to decode in that many threads. A file that turns out to be broken when it is decoded is
          replaced by another of its class.
        - A `tf.data.Dataset` of such batches, for a TFDS name.

    Raises:
        ValueError: an argument is out of range, the name is unknown, the data are malformed, or scene text would take
            more than `memory_limit`.
        FileNotFoundError: a folder or file does not exist, or TFDS neither has the data nor can download them.
        ImportError: the name is a TFDS name and `tensorflow_datasets`, or a package that the data set needs, is not
            installed.

    Example:

    ```python
    images, labels = kgan.data.load("synthetic/flowers", image_size=32, count=1200)
    model = kgan.CVAEGAN(num_classes=12, image_size=32)
    ```
    """
    if not isinstance(name, str):
        raise ValueError(f"name={name!r}: pass a str, such as 'folder:PATH'")
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
    """Returns the class names of a data set; the labels from `load` are indices into this list.

    Args:
        name: as in `load`.
        data_dir: as in `load`.

    Returns:
        List of str; `["no_text", "text"]` for scene text; empty for images without classes.

    Raises:
        ValueError, FileNotFoundError, ImportError: as in `load`.

    Example:

    ```python
    kgan.data.class_names("synthetic/flowers")[0]  # "daisy"
    ```
    """
    if is_text_set(name):
        return ["no_text", "text"]
    try:
        source = _open(name, "train", None, None, None, 0)
    except ValueError as error:  # a set may have no other split than test
        try:
            source = _open(name, "test", None, None, None, 0)
        except ValueError:
            raise error from None
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
