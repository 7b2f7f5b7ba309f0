"""MNIST from its original idx files, plain or gzipped."""

import gzip
import math
import struct
import zlib
from pathlib import Path

import numpy as np

from kgan.data.digits import CLASS_NAMES
from kgan.data.source import GreyArray, balanced_subset, check_split

# The first half of MNIST's test set is also published separately, as t5k.
PREFIXES = {"train": ("train",), "test": ("t10k", "t5k")}
MAX_BYTES = 2**30


def open_mnist(path, split, image_size, channels, count, seed):
    """Opens the idx files in the folder `path`; 32 x 32 grey by default.

    The 28 x 28 digits get a black border of two pixels.
    """
    check_split(split, PREFIXES)
    folder = Path(path).expanduser()
    if not folder.is_dir():
        raise FileNotFoundError(f"no folder {path!r}: pass 'mnist:PATH', the folder with train-images-idx3-ubyte[.gz]")
    pixels = read_idx(find(folder, split, "images-idx3-ubyte"), ndim=3)
    labels = read_idx(find(folder, split, "labels-idx1-ubyte"), ndim=1).astype("int32")
    if pixels.shape != (len(labels), 28, 28):
        raise ValueError(f"{path}: images {pixels.shape} for {len(labels)} labels: expected ({len(labels)}, 28, 28)")
    if labels.max(initial=0) > 9:
        raise ValueError(f"{path}: the labels reach {labels.max()}: expected digits from 0 to 9")
    kept = balanced_subset(labels, count, seed)
    pixels = np.pad(pixels[kept], ((0, 0), (2, 2), (2, 2)))
    return GreyArray(pixels, labels[kept], CLASS_NAMES, image_size or 32, channels or 1, peak=255)


def find(folder, split, ending):
    """Returns the path of a split's idx file."""
    names = [f"{prefix}-{ending}{suffix}" for prefix in PREFIXES[split] for suffix in ("", ".gz")]
    for name in names:
        if (folder / name).is_file():
            return folder / name
    raise FileNotFoundError(f"{folder} has no {split} file: expected one of {', '.join(names)}")


def read_idx(path, ndim):
    """Reads an idx file of unsigned bytes.

    Args:
        path: `Path` of the file, which is gzipped if its name ends in .gz.
        ndim: required number of dimensions.

    Returns:
        uint8 array with `ndim` dimensions.

    Raises:
        ValueError: the file is not an idx file of this form, or is longer or shorter than its header says.
    """
    try:
        with (gzip.open if path.suffix == ".gz" else open)(path, "rb") as file:
            header = file.read(4 + 4 * ndim).ljust(4 + 4 * ndim, b"\0")
            magic, *shape = struct.unpack(f">{1 + ndim}I", header)
            if magic != 0x800 + ndim:
                raise ValueError(f"{path} is not an idx file of unsigned bytes with {ndim} dimensions")
            size = math.prod(shape)
            if size > MAX_BYTES:
                raise ValueError(f"{path} claims {size} bytes, more than the limit of {MAX_BYTES}")
            data = file.read(size + 1)
    except (EOFError, gzip.BadGzipFile, zlib.error) as error:
        raise ValueError(f"{path} is not a complete gzip file ({error}): download it again") from None
    if len(data) != size:
        raise ValueError(f"{path} has {'more' if len(data) > size else 'fewer'} than the {size} bytes it claims")
    return np.frombuffer(data, "uint8").reshape(shape)
