"""Images with and without text as arrays of one size, drawn or from published data sets."""

import math
import warnings

import numpy as np
from PIL import Image

from kgan.data.scenes.painter import draw_scenes
from kgan.data.source import check_count, check_split
from kgan.data.store import none_readable
from kgan.data.text.records import UnreadableImage
from kgan.data.text.sets import READERS
from kgan.filter.decoding import to_bucket

COUNTS = {"train": 2000, "test": 500}
VALIDATION = ("coco_text", "textocr")  # their test annotations are not published


def is_text_set(name):
    kind, _, path = name.partition(":")
    return name == "synthetic/scene_text" or (kind in READERS and bool(path))


def load_text(name, split="train", *, image_size=(240, 240), count=None, seed=0, memory_limit=None):
    """Loads one split of a scene-text data set, with all images stretched to one size.

    Args:
        name: `"synthetic/scene_text"`, or `"KIND:PATH"` with a kind from `kgan.data.text.sets.READERS`, such as
            `"textdis:PATH"` or `"icdar2015:PATH"`.
        split: `"train"` or `"test"`. For COCO-Text and TextOCR, `"test"` is the validation split, because the labels of
            their test splits are not published.
        image_size: `(height, width)` in pixels; images of any shape are stretched to it.
        count: number of images. Real data give a random subset. None takes all images, or draws 2,000 scenes for
            training and 500 for testing. Fewer are returned if some cannot be read; these are skipped with a warning.
        seed: non-negative int that determines the drawn scenes and the subset.
        memory_limit: largest size of the images in bytes; None sets no limit.

    Returns:
        images: uint8 `(n, height, width, 3)`.
        polygons: list of `n` lists of `(k, 2)` arrays: x, y in pixels of these images, the outlines of all text,
            illegible text included.

    Raises:
        ValueError: the name is not a scene-text data set, the data are malformed or fewer than `count`, or the images
            would take more than `memory_limit`. The limit is checked before an image is drawn or decoded.
        FileNotFoundError: a folder or file does not exist.

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
    if count is not None:
        check_count(count, len(records))
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
    """Flips images horizontally and rotates each by a random angle, with the outlines of their text (section IV-A).

    The image's edge pixels are repeated in the corners that the rotation uncovers.

    Args:
        images: uint8 `(n, height, width, 3)`.
        polygons: list of `n` lists of `(k, 2)` arrays, x and y in pixels.
        degrees: largest angle in either direction, in [0, 90].
        seed: non-negative int, the seed of the angles.

    Returns:
        Images and polygons of the same form; outlines may reach outside the image.

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
        raise ValueError(f"{len(images)} images but {len(polygons)} lists of outlines: pass one list per image")
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
        to_corner = np.array([(cos, -sin), (sin, cos)])  # anticlockwise, with y pointing down
        centre = np.array([width, height]) / 2
        outlines.append([(polygon * [-1, 1] + [width, 0] - centre) @ to_corner + centre for polygon in polygons[i]])
    return turned, outlines
