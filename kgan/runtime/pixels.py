"""Pixels of images as strangers store them: turned, with 16 bits, with a transparent colour."""

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
    """The EXIF orientation, 1 to 8; 1 where there is none, or none that makes sense."""
    if image.format == "PNG":
        # Its EXIF may come behind the pixels, which Pillow would then load below, and a failure would pass for one of
        # EXIF; what is loaded after that is black.
        image.load()
    try:
        found = image.getexif().get(ORIENTATION)
        return found if found in UPRIGHT else 1
    except Exception:  # Pillow raises almost anything on broken EXIF, which says nothing about the pixels.
        return 1


def eight_bits(image):
    """Scales 16-bit samples to 8 bits; Pillow would clamp them, and turn a scan white."""
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
    """Brings the transparent value of a PNG file, which has the file's depth, to the 8 bits of Pillow's samples.

    To be called before the image is loaded: then the depth is forgotten.
    """
    if image.format == "PNG" and "transparency" in image.info:
        value, stored = image.info["transparency"], image.tile[0].args
        if stored == "RGB;16B":
            image.info["transparency"] = tuple(v >> 8 for v in value)
        elif stored in ("L;2", "L;4"):
            image.info["transparency"] = value * (85 if stored == "L;2" else 17)
