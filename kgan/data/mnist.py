"""MNIST from its original idx files, plain or gzipped."""

import gzip
import math
import re
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
    """Opens the idx files in the folder `path`, or in its folder `raw` or `MNIST/raw`; 32 x 32 grey by default.

    The names may be those that 7-Zip, Kaggle or a browser made of `train-images-idx3-ubyte.gz`. The 28 x 28 digits get
    a black border of two pixels.
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
    """Returns the path of a split's idx file, `ending` being that of its published name."""
    spelled = ending.replace("-", "[-._ ]")
    # Unpacking and downloading add `.gz`, `.idx` or ` (1)`, and Kaggle puts the file into a folder of its name.
    places = [place for name in ("", "raw", "MNIST/raw") if (place := folder / name).is_dir()]
    files = [path for place in places for path in sorted(place.iterdir()) if path.is_file()]
    files += [path for place in places for path in sorted(place.glob(f"*{ending[-10:]}*/*")) if path.is_file()]
    for prefix in PREFIXES[split]:
        for path in files:
            if re.fullmatch(rf"{prefix}[-._ ]{spelled}( ?\(\d+\)|\.gz|\.idx|\.bin)*", path.name, re.IGNORECASE):
                return path
    names = " or ".join(f"{prefix}-{ending}[.gz]" for prefix in PREFIXES[split])
    there = ", ".join(path.name for path in files[:4]) + (", ..." if len(files) > 4 else "") if files else "no files"
    raise FileNotFoundError(f"{folder} has no {split} file called {names}; it has {there}")


def read_idx(path, ndim):
    """Reads an idx file of unsigned bytes.

    Args:
        path: `Path` of the file, gzipped or not, whatever its name.
        ndim: required number of dimensions.

    Returns:
        uint8 array with `ndim` dimensions.

    Raises:
        ValueError: the file is not an idx file of this form, or is longer or shorter than its header says.
    """
    try:
        with open(path, "rb") as file:
            packed = file.read(2) == b"\x1f\x8b"
        with (gzip.open if packed else open)(path, "rb") as file:
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
