"""Scenes with and without text as arrays of one size: drawn ones, and those of published data sets."""

import math
import warnings

import numpy as np
from PIL import Image

from kgan.data.scenes.painter import draw_scenes
from kgan.data.source import check_split
from kgan.data.store import none_readable
from kgan.data.text.sets import READERS, UnreadableImage
from kgan.filter.decoding import to_bucket

COUNTS = {"train": 2000, "test": 500}
VALIDATION = ("coco_text", "textocr")  # they keep the annotations of their test split to themselves


def is_text_set(name):
    kind, _, path = name.partition(":")
    return name == "synthetic/scene_text" or (kind in READERS and bool(path))


def load_text(name, split="train", *, image_size=(240, 240), count=None, seed=0, memory_limit=None):
    """Loads one split of a scene-text data set, with all images at one size.

    Args:
        name: `"synthetic/scene_text"`, or `"KIND:PATH"` with a kind of `kgan.data.text.sets.READERS`, such as
            `"textdis:PATH"` or `"icdar2015:PATH"`.
        split: `"train"` or `"test"`; for COCO-Text and TextOCR `"test"` is the validation split, the one with labels.
        image_size: `(height, width)` in pixels; images are stretched to it, whatever their shape.
        count: number of images, a random subset of real photographs. None takes all, or draws 2,000 scenes for training
            and 500 for testing. Images that cannot be read are skipped with a warning, so that fewer are returned.
        seed: non-negative int that determines the drawn scenes and the subset.
        memory_limit: the most bytes that the images may take; None sets no limit.

    Returns:
        images: uint8 `(n, height, width, 3)`.
        polygons: list of `n` lists of `(k, 2)` arrays, the outlines of text in pixels of these images, illegible text
            included.

    Raises:
        ValueError: the name is not a scene-text data set, the data are not as they should be, or the images would take
            more than `memory_limit`, which is found before any is drawn or decoded.
        FileNotFoundError: there is nothing at the path.

    Example:

    ```python
    from kgan.data.text.images import load_text

    images, polygons = load_text("synthetic/scene_text", image_size=(120, 120), count=16)
    ```
    """
    if not is_text_set(name):
        known = ", ".join(["synthetic/scene_text", *(f"{kind}:PATH" for kind in READERS)])
        raise ValueError(f"{name!r} is not a scene-text data set: pass one of {known}")
    if name == "synthetic/scene_text":
        check_split(split, COUNTS)
        count = count or COUNTS[split]
        check_memory(name, count, image_size, memory_limit)
        return draw_scenes(count, image_size, seed, split)
    kind, _, path = name.partition(":")
    records = READERS[kind](path, "val" if split == "test" and kind in VALIDATION else split)
    for note in records.notes:
        print(f"{name}: {note}")
    chosen = np.sort(np.random.default_rng(seed).permutation(len(records))[:count])
    check_memory(name, len(chosen), image_size, memory_limit)
    images = np.empty((len(chosen), *image_size, 3), "uint8")
    polygons = []
    for record in (records[i] for i in chosen):
        try:
            picture = record.open()
        except UnreadableImage as error:
            warnings.warn(f"skipped {path}: {error}", stacklevel=2)
            continue
        images[len(polygons)] = to_bucket(picture, [image_size])
        scale = np.divide(image_size, record.size)[::-1]
        polygons.append([np.asarray(polygon) * scale for polygon in record.polygons])
    if not polygons:
        raise none_readable(path, len(chosen))
    return images[: len(polygons)], polygons


def check_memory(name, count, image_size, limit):
    nbytes = count * math.prod(image_size) * 3
    if limit is not None and nbytes > limit:
        raise ValueError(
            f"{name}: {count} images of {image_size[0]} x {image_size[1]} take {nbytes} bytes, more than "
            f"memory_limit={limit}: pass a smaller count or image_size, or a larger memory_limit"
        )


def flip_and_rotate(images, polygons, degrees=10, seed=0):
    """Mirrors images and turns each by an angle of its own, with the outlines of their text (section IV-A).

    Where the turned image leaves a corner open, its edge is drawn out.

    Args:
        images: uint8 `(n, height, width, 3)`.
        polygons: list of `n` lists of `(k, 2)` arrays, x and y in pixels.
        degrees: the largest angle, to either side; in [0, 90].
        seed: non-negative int, of the angles.

    Returns:
        Images and polygons of the same form; outlines may now reach over the edge.

    Raises:
        ValueError: images and polygons differ in number, or `degrees` is out of range.

    Example:

    ```python
    from kgan.data.text.images import flip_and_rotate, load_text

    images, polygons = load_text("synthetic/scene_text", image_size=(120, 120), count=16)
    more_images, more_polygons = flip_and_rotate(images, polygons)
    ```
    """
    if len(images) != len(polygons):
        raise ValueError(f"{len(images)} images but {len(polygons)} lists of outlines")
    if not 0 <= degrees <= 90:
        raise ValueError(f"degrees={degrees}: pass an angle from 0 to 90")
    height, width = images.shape[1:3]
    margin = math.ceil(math.hypot(height, width) / 2)
    turned, outlines = np.empty_like(images), []
    for i, angle in enumerate(np.random.default_rng(seed).uniform(-degrees, degrees, len(images))):
        wide = np.pad(images[i, :, ::-1], [(margin, margin), (margin, margin), (0, 0)], "edge")
        wide = np.asarray(Image.fromarray(wide).rotate(angle, Image.Resampling.BILINEAR))
        turned[i] = wide[margin:-margin, margin:-margin]
        cos, sin = math.cos(math.radians(angle)), math.sin(math.radians(angle))
        to_corner = np.array([(cos, -sin), (sin, cos)])  # counter-clockwise, with y pointing down
        centre = np.array([width, height]) / 2
        outlines.append([(polygon * [-1, 1] + [width, 0] - centre) @ to_corner + centre for polygon in polygons[i]])
    return turned, outlines
