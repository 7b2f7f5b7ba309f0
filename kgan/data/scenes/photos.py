"""Photographs without text, used as backgrounds of drawn scenes."""

import math

import numpy as np
from PIL import Image, ImageDraw, ImageFilter, ImageOps

from kgan.data.files import read_image, to_eight_bits
from kgan.data.scenes.surfaces import outline
from kgan.data.scenes.words import pick
from kgan.data.store import Store, none_readable
from kgan.runtime.pixels import upright


def load_photos(path, short_edge=320):
    """Reads all photographs of a folder or zip archive, at any depth, for `draw_scenes`.

    Args:
        path: folder or zip archive. Hidden files are ignored, and photographs that cannot be read are skipped with a
            warning.
        short_edge: largest length of the shorter side in pixels; larger photographs are reduced to it.

    Returns:
        List of uint8 arrays `(height, width, 3)`, sorted by file name.

    Raises:
        FileNotFoundError: the path does not exist.
        ValueError: the file is not a complete zip archive, or no photograph can be read.

    Example:

    ```python
    from kgan.data.scenes.painter import draw_scenes

    images, polygons = draw_scenes(8, photos=load_photos("photos.zip"))
    ```
    """
    store = Store(path)
    names = store.pictures()
    photos = [store.attempt(name, _decode_reduced, short_edge) for name in names]
    photos = [photo for photo in photos if photo is not None]
    if not photos:
        raise none_readable(path, len(names))
    return photos


def _decode_reduced(file, short_edge):
    image = read_image(file)
    image.draft("RGB", (2 * short_edge, 2 * short_edge))
    image = to_eight_bits(upright(image), 3)
    scale = short_edge / min(image.size)
    if scale < 1:
        image = image.resize([max(1, round(n * scale)) for n in image.size], Image.Resampling.LANCZOS)
    return np.asarray(image)


def photo_background(rng, photos, width, height):
    """Returns a crop of a photograph at the canvas size, often with pieces of others pasted over it.

    Crops at different scales and mixtures of them give many textures and edges from a few photographs.
    """
    picture = piece(rng, pick(rng, photos), width, height)
    for _ in range(pick(rng, (0, 0, 0, 1, 2, 4))):
        size = min(width, height) * rng.uniform(0.15, 0.8)
        mask = Image.new("L", picture.size)
        ImageDraw.Draw(mask).polygon(outline(rng, rng.random() * width, rng.random() * height, size), 255)
        if rng.random() < 0.5:
            mask = mask.filter(ImageFilter.BoxBlur(rng.uniform(0.5, 3)))
        picture.paste(piece(rng, pick(rng, photos), width, height), (0, 0), mask)
    return picture


def with_grain(rng, canvas, photos):
    """Adds the fine detail of photographs to a drawn place, because drawn surfaces are too smooth."""
    photo = np.asarray(photo_background(rng, photos, *canvas.size), "int16")
    smooth = Image.fromarray(photo.astype("uint8")).filter(ImageFilter.BoxBlur(rng.uniform(4, 30)))
    detail = rng.uniform(0.3, 1.2) * (photo - np.asarray(smooth, "int16"))
    if rng.random() < 0.5:
        detail = detail.mean(axis=2, keepdims=True)
    return Image.fromarray(np.clip(np.asarray(canvas) + detail, 0, 255).astype("uint8"))


def piece(rng, photo, width, height):
    """Returns a random crop of a photograph, randomly mirrored or upside down, sometimes with its channels permuted."""
    rows, columns = photo.shape[:2]
    widest = min(columns / width, rows / height)
    # Enlarged crops are too smooth.
    share = math.exp(rng.uniform(math.log(min(widest, 0.8)), math.log(widest)))
    # If the photo has the shape of the canvas, a rounding error must not make the crop larger than the photo.
    w, h = min(share * width, columns), min(share * height, rows)
    x, y = rng.random() * (columns - w), rng.random() * (rows - h)
    box = tuple(int(n) for n in (x, y, math.ceil(x + w), math.ceil(y + h)))
    image = Image.fromarray(photo[box[1] : box[3], box[0] : box[2]])
    image = image.resize((width, height), Image.Resampling.BILINEAR, reducing_gap=2.0)
    if rng.random() < 0.5:
        image = ImageOps.mirror(image)
    if rng.random() < 0.15:
        image = ImageOps.flip(image)
    if rng.random() < 0.3:
        image = Image.merge("RGB", [image.getchannel(int(c)) for c in rng.permutation(3)])
    return image
