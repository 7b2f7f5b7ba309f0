"""Random crops of annotated photographs, as the text filter may see them."""

import io

import numpy as np
from PIL import Image, ImageEnhance, ImageFilter

from kgan.data.files import to_eight_bits
from kgan.data.scenes.words import pick
from kgan.data.text.records import UnreadableImage

LEAST = 0.3  # area of the smallest crop, as a share of the largest one of its shape
STRETCH = 1.25  # most by which a crop is stretched; at run time, whole photographs are stretched to one of few shapes
SEEN = 0.5  # of a line of text, a crop of a photograph with text shows at least so much
PIECE = 0.1  # and pieces of lines from this share on are text, too: they may be read
TRIES = 8  # crops that are looked at for one that shows text


class Photographs:
    """Decoded photographs with the outlines of their text, in two lists.

    Args:
        images: list of `TextImage`. Left out are those with text that nobody has outlined, and those that cannot be
            decoded.
        short_edge: largest length of the shorter side in pixels; larger photographs are reduced to it.

    Attributes:
        text, plain: lists of `(pixels, polygons)`: uint8 `(height, width, 3)` and a list of float64 `(k, 2)`.
    """

    def __init__(self, images, short_edge=900):
        self.text, self.plain = [], []
        for image in images:
            if image.care == [False]:
                continue
            try:
                picture = to_eight_bits(image.open(), 3)
            except UnreadableImage:
                continue
            scale = min(1.0, short_edge / min(picture.size))
            size = [max(1, round(side * scale)) for side in picture.size]
            polygons = [polygon * size / picture.size for polygon in image.polygons]
            pixels = np.asarray(picture.resize(size, Image.Resampling.LANCZOS) if scale < 1 else picture)
            (self.text if polygons else self.plain).append((pixels, polygons))
        if not self.text or not self.plain:
            raise ValueError("there are no photographs with text, or none without: pass some of both")


def draw_crops(photographs, indices, size=(240, 240), seed=0, text_share=0.5):
    """Cuts crops out of photographs, of random place and size, and changes their light, sharpness and file quality.

    Args:
        photographs: `Photographs`.
        indices: sequence of non-negative ints; each gives a crop of its own.
        size: `(height, width)` of the crops in pixels.
        seed: non-negative int.
        text_share: fraction of crops from photographs with text, in [0, 1]. A crop of such a photograph nearly always
            shows some of its text.

    Returns:
        images: uint8 `(n, height, width, 3)`.
        polygons: list of `n` lists with a float64 `(k, 2)` for each line of text that is seen: x, y in pixels of the
            crop, beyond its edge where it cuts the line.

    Raises:
        ValueError: `text_share` is out of range.

    Example:

    ```python
    from kgan.data.text.crops import Photographs, draw_crops
    from kgan.data.text.records import TextImage

    image = PIL.Image.open("photo.jpg")
    line = np.array([(10.0, 10), (60, 10), (60, 20), (10, 20)])
    photos = [TextImage("photo.jpg", lambda: image, image.size[::-1], lines, []) for lines in ([line], [])]
    crops, polygons = draw_crops(Photographs(photos), range(8), size=(120, 120))
    ```
    """
    if not 0 <= text_share <= 1:
        raise ValueError(f"text_share={text_share}: pass a share from 0 to 1")
    crops = [_crop(photographs, np.random.default_rng([seed, *size, index]), size, text_share) for index in indices]
    return np.stack([image for image, _ in crops]), [polygons for _, polygons in crops]


def _crop(photographs, rng, size, text_share):
    with_text = rng.random() < text_share
    pixels, polygons = pick(rng, photographs.text if with_text else photographs.plain)
    for _ in range(TRIES):
        box = _box(rng, pixels.shape[:2], size)
        moved = [_moved(polygon, box, size) for polygon in polygons]
        shares = [_inside(polygon, size) for polygon in moved]
        if not with_text or max(shares) >= SEEN:
            break
    image = Image.fromarray(pixels).resize(size[::-1], Image.Resampling.BILINEAR, box)
    pieces = [polygon for polygon, share in zip(moved, shares, strict=True) if share >= PIECE]
    return np.asarray(_photographed(rng, image)), pieces


def _box(rng, shape, size):
    """Returns left, top, right and bottom of a crop, in pixels of a photograph."""
    height, width = shape
    aspect = size[1] / size[0] * STRETCH ** rng.uniform(-1, 1)
    share = rng.uniform(LEAST, 1) ** 0.5
    w, h = share * min(width, height * aspect), share * min(height, width / aspect)
    left, top = rng.uniform(0, width - w), rng.uniform(0, height - h)
    return left, top, left + w, top + h


def _moved(polygon, box, size):
    left, top, right, bottom = box
    return (np.asarray(polygon) - (left, top)) * (size[1] / (right - left), size[0] / (bottom - top))


def _inside(polygon, size):
    """Returns how much of the upright box around a polygon lies in the crop, a share of its area."""
    low, high = polygon.min(axis=0), polygon.max(axis=0)
    shown = np.clip(high, 0, size[::-1]) - np.clip(low, 0, size[::-1])
    return float((shown / np.maximum(high - low, 1e-9)).prod())


def _photographed(rng, image):
    """Changes light, colours, sharpness and file quality, each of them in some of the images."""
    for enhance, low, high in (
        (ImageEnhance.Brightness, 0.7, 1.3),
        (ImageEnhance.Contrast, 0.75, 1.25),
        (ImageEnhance.Color, 0.5, 1.4),
    ):
        if rng.random() < 0.5:
            image = enhance(image).enhance(rng.uniform(low, high))
    if rng.random() < 0.2:
        image = image.filter(ImageFilter.GaussianBlur(rng.uniform(0.3, 1.2)))
    if rng.random() < 0.3:
        buffer = io.BytesIO()
        image.save(buffer, "JPEG", quality=int(rng.integers(30, 90)))
        image = Image.open(buffer).convert("RGB")
    return image
