"""An annotated image, the list that readers of scene-text sets return, and what those readers share."""

import functools
import posixpath
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import PurePosixPath

from kgan.data.files import open_image, read_image
from kgan.data.store import none_readable
from kgan.data.text import annotations as formats
from kgan.runtime.pixels import UPRIGHT, orientation

MAX_GROUND_TRUTH_BYTES = 2**20
# TextOCR's training annotation alone has 272 MB.
MAX_JSON_BYTES = 2**30

LICENCES = {
    "icdar2013": "not stated",
    "icdar2015": "CC BY 4.0",
    "coco_text": "CC BY 4.0 (annotations); the photos under the terms of COCO and Flickr",
    "textocr": "CC BY 4.0",
    "total_text": "BSD-3-Clause",
    "svt": "not stated",
    "td500": "not stated, research use",
    "textdis": "not stated",
    "photos": "of each photograph, in the index.csv",
}


@dataclass(frozen=True, eq=False)
class TextImage:
    """An image and the text in it.

    Args:
        name: path of the image in the folder or archive.
        open: function without arguments that decodes the image to a `PIL.Image`. It raises `UnreadableImage` if the
            file cannot be decoded, and ValueError if its size differs from the annotated one.
        size: `(height, width)` of that image in pixels.
        polygons: list of float64 `(k, 2)`, x and y in pixels of that image; empty if there is no text.
        care: list of bool, one per polygon; False if the annotation says to ignore it (illegible, `###`).
        source: the collection that it is from, where the data set says so.
    """

    name: str
    open: Callable
    size: tuple
    polygons: list
    care: list
    source: str | None = None


class UnreadableImage(ValueError):
    """An image file is broken, too large, or in an unsupported format."""


class TextImages(list):
    """A list of `TextImage` with its licence.

    Args:
        images: iterable of `TextImage`.
        licence: str, the licence of the data set, or `"not stated"`.
        notes: list of str, what a reader inferred about a data set whose format is not published.
    """

    def __init__(self, images, licence, notes=()):
        super().__init__(images)
        self.licence = licence
        self.notes = list(notes)


def split_of(name):
    """Returns the split that the names of a file's folders give, the innermost first, or None."""
    for folder in reversed(PurePosixPath(name).parent.parts):
        found = [split for split in ("train", "test") if split in folder.lower()]
        if len(found) == 1:
            return found[0]
    return None


def only_file(store, pattern, expected):
    """Returns the only file whose base name matches `pattern`."""
    found = [name for name in store.names if re.fullmatch(pattern, posixpath.basename(name), re.IGNORECASE)]
    if not found:
        raise FileNotFoundError(f"{store.path} has no {expected}")
    if len(found) > 1:
        raise ValueError(f"{store.path}: expected one {expected}, found {', '.join(found)}")
    return found[0]


def beside(store, source):
    """Returns a function that resolves a path relative to the file `source`."""
    known = frozenset(store.names)

    def beside(name):
        found = posixpath.normpath(posixpath.join(posixpath.dirname(source), name))
        if found not in known:
            raise FileNotFoundError(f"{store.path}: the file {name!r} that {source} names is missing")
        return found

    return beside


def picture_size(store, name):
    """Returns `(height, width)` from the header of an image; warns and returns None if it cannot be read."""
    return store.attempt(name, lambda file: open_image(file).size[::-1])


def text_image(store, name, words, tolerance, size, rotation=0, source=None):
    """Returns a `TextImage`, or None if `size`, from the annotation or the file, is None."""
    if size is None:
        return None
    if not all(isinstance(length, int) and length > 0 for length in size):
        raise ValueError(f"{name}: its annotation gives the size {size[0]!r} x {size[1]!r}: expected positive integers")
    polygons = [formats.attempt(word.where, formats.fit, word.points, size, tolerance) for word in words]
    opened = functools.partial(open_picture, store, name, size, rotation)
    return TextImage(name, opened, size, polygons, [word.care for word in words], source)


def readable(store, images, licence, notes=()):
    """Returns the `TextImages` of a data set without its unreadable images, which are None."""
    kept = [image for image in images if image]
    if images and not kept:
        raise none_readable(store.path, len(images))
    return TextImages(kept, licence, notes)


ORIENTATION = ("exif", "xmp", "XML:com.adobe.xmp", "Raw profile type exif")


def open_picture(store, name, size, rotation):
    """Decodes an image in the orientation of its annotation.

    Annotations refer to the pixels as stored, so the EXIF orientation is dropped. It is applied if only the rotated
    image has the annotated size.

    Args:
        store: a `Store`.
        name: name of the image in the store.
        size: the annotated `(height, width)`.
        rotation: degrees anticlockwise by which the image is rotated if only this gives the annotated size.

    Returns:
        `PIL.Image` without an orientation tag.

    Raises:
        UnreadableImage: the file cannot be decoded.
        ValueError: its size differs from the annotated one.
    """
    try:
        with store.open(name) as file:
            image = read_image(file)
            image.load()
        # A copy is a plain image, without the data that a file format keeps besides pixels, such as TIFF's tags.
        stored = image.copy()
        for key in ORIENTATION:
            stored.info.pop(key, None)
        if stored.size == size[::-1]:
            return stored
        turn = UPRIGHT.get(orientation(image))
        turned = stored if turn is None else stored.transpose(turn)
    except Exception as error:  # Pillow's decoders raise many exception types on a broken file.
        raise UnreadableImage(f"{name}: {error}") from None
    for image in (turned, stored.rotate(rotation, expand=True)):
        if image.size == size[::-1]:
            return image
    raise ValueError(
        f"{name}: {stored.width} x {stored.height} pixels, but its annotation is for {size[1]} x {size[0]} pixels"
    )
