"""Normalises stored pixels: EXIF orientation, 16-bit samples, transparent colours."""

import numpy as np
from PIL import Image

from kgan.runtime.files import Undecodable

ORIENTATION = 0x0112
UPRIGHT = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}


def orientation(image):
    """Returns the EXIF orientation, 1 to 8; 1 if it is missing or invalid."""
    if image.format == "PNG":
        # EXIF may follow the pixels, and then `getexif` loads the pixels first. Load them here instead: a failure
        # inside the `try` would be mistaken for broken EXIF, and the image would then decode as black.
        image.load()
    try:
        found = image.getexif().get(ORIENTATION)
        return found if found in UPRIGHT else 1
    except Exception:  # Broken EXIF raises exceptions of almost any type; the pixels may still be sound.
        return 1


def eight_bits(image):
    """Scales 16-bit samples to 8 bits. Pillow would clamp them at 255, which turns most pixels white."""
    if image.mode == "F":
        raise Undecodable("unsupported", "pixels are floating-point numbers of unknown range")
    if not image.mode.startswith("I"):
        return image
    values = np.clip(np.asarray(image), 0, 65535)
    grey = Image.fromarray((values >> 8).astype("uint8"))
    if "transparency" in image.info:
        grey.putalpha(Image.fromarray(np.where(values == image.info["transparency"], 0, 255).astype("uint8")))
    return grey


def scale_transparent_value(image):
    """Converts the transparent value of a PNG file from the file's bit depth to the 8 bits of Pillow's samples.

    Call it before the image is loaded, because loading discards the bit depth.
    """
    if image.format == "PNG" and "transparency" in image.info:
        value, stored = image.info["transparency"], image.tile[0].args
        if stored == "RGB;16B":
            image.info["transparency"] = tuple(v >> 8 for v in value)
        elif stored in ("L;2", "L;4"):
            image.info["transparency"] = value * (85 if stored == "L;2" else 17)
