"""A photograph that is changed in its face alone: what is not painted, and all that a file says of itself, is kept."""

import contextlib
import dataclasses
import io

import numpy as np
from PIL import Image, ImageDraw, JpegImagePlugin

from kgan.faces.colour import lab_to_rgb, rgb_to_lab
from kgan.faces.mesh import EYES, MOUTH
from kgan.faces.raster import resized
from kgan.faces.texture import render
from kgan.runtime.files import HEAD, Limits, Undecodable, sniff
from kgan.runtime.pixels import ORIENTATION, UPRIGHT, check_readable, decoded, eight_bits, orientation

# What is written, by the suffix of the file; HEIC needs the package pillow-heif.
SUFFIXES = {".jpg": "JPEG", ".jpeg": "JPEG", ".png": "PNG", ".webp": "WEBP", ".gif": "GIF", ".bmp": "BMP"}
SUFFIXES |= {".avif": "AVIF", ".heic": "HEIF", ".heif": "HEIF", ".jp2": "JPEG2000", ".tif": "TIFF", ".tiff": "TIFF"}
MOVING = ("GIF", "WEBP", "AVIF")  # formats of animations
PAINTED = ("RGB", "RGBA", "CMYK")  # modes that are painted as they are stored; of others all pixels are converted
UPRIGHT_ONLY = ("BMP", "GIF", "TIFF", "JPEG2000")  # formats that Pillow writes without their orientation
STRIP = 512  # rows that are painted at a time, to bound memory
KEPT = ("exif", "icc_profile", "dpi", "xmp")  # what is written again
# What undoes UPRIGHT, where this is not the same again.
BACK = UPRIGHT | {6: Image.Transpose.ROTATE_90, 8: Image.Transpose.ROTATE_270}


@dataclasses.dataclass
class Photo:
    """A decoded photograph.

    Args:
        data: bytes of the file; None for an image that comes from none.
        stored: `PIL.Image.Image` as the file has it, not turned upright.
        rgb: the same upright, of mode RGB.
        turn: its EXIF orientation, 1 to 8.
    """

    data: bytes | None
    stored: Image.Image
    rgb: Image.Image
    turn: int = 1

    @classmethod
    def read(cls, data, max_pixels=Limits.pixels):
        """Decodes the bytes of a file.

        Raises:
            Undecodable: the file gives no pixels, or is an animation.
        """

        def read(image):
            # Not of JPEG: phones put a second picture behind the first, for depth or for bright screens.
            several = getattr(image, "is_animated", False)
            if several and image.format in MOVING or b"acTL" in data[:128]:
                raise Undecodable("unsupported", "it is an animation")
            if several and image.format == "TIFF":
                raise Undecodable("unsupported", "it has several pages")
            image.load()
            return cls.of(image, data)

        return decoded(data, read, max_pixels)

    @classmethod
    def of(cls, image, data=None):
        """Returns the `Photo` of an image of any mode."""
        turn = orientation(image)
        stored = eight_bits(image)
        # Of a transparent image the colours, whatever their alpha.
        rgb = stored.convert("RGBA").convert("RGB") if stored.has_transparency_data else stored.convert("RGB")
        return cls(data, stored, rgb.transpose(UPRIGHT[turn]) if turn in UPRIGHT else rgb, turn)

    def painted(self, faces):
        """Returns the photograph with changed colours, a `PIL.Image.Image` that lies as the file's does.

        Args:
            faces: list of `(points, difference)`: points `(468, 3)` in pixels of `rgb`, and what is added to their
                texture, in Lab, `(size, size, 3)`.
        """
        pixels = np.array(self.rgb)
        changed = np.zeros(pixels.shape[:2], bool)
        for points, difference in faces:
            add(pixels, changed, points, difference)
        edited, mask = Image.fromarray(pixels), Image.fromarray(changed)
        if self.turn in UPRIGHT:
            edited, mask = edited.transpose(BACK[self.turn]), mask.transpose(BACK[self.turn])
        image = self.stored
        if image.mode not in PAINTED:
            image = image.convert("RGBA" if image.has_transparency_data else "RGB")
        alpha = image.getchannel("A") if image.mode == "RGBA" else None
        image = image.copy()
        image.paste(_inks(edited, image) if image.mode == "CMYK" else edited.convert(image.mode), mask=mask)
        if alpha is not None:
            image.putalpha(alpha)
        return image

    def encoded(self, image, suffix=None):
        """Returns the bytes of an image with the format and what else the file of this photograph says of itself.

        Args:
            image: what `painted` returns.
            suffix: of the file to write, of `SUFFIXES`; None for the format of this photograph.

        Raises:
            Undecodable: the format cannot hold the image, such as a WebP file of more than 16,383 pixels a side.
        """
        own = sniff(self.data[:HEAD]) if self.data else None
        kind = SUFFIXES[suffix.lower()] if suffix else own
        said = {key: value for key, value in self._said().items() if key in KEPT}
        if image.mode == "CMYK" and kind not in ("JPEG", "TIFF") or image.mode == "RGBA" and kind in ("JPEG", "BMP"):
            image = image.convert("RGB")
        if image.mode.removesuffix("A") not in (
            self.stored.mode.removesuffix("A"),
            self.stored.mode.replace("P", "RGB"),
        ):
            said.pop("icc_profile", None)  # a profile of grey or of inks says nothing about red, green and blue
        options = {}
        check_readable(kind)
        if kind == "JPEG":
            if own == "JPEG" and self.stored.mode == image.mode:
                # The tables of the file: what is not painted is rounded to what it was.
                sampling = JpegImagePlugin.get_sampling(self.stored)
                options = {
                    "qtables": self.stored.quantization,
                    "subsampling": sampling if sampling >= 0 else 0,
                    "progressive": "progressive" in self.stored.info,
                }
            else:
                options = {"quality": 95, "subsampling": 0}
        elif kind == "WEBP":
            options = {"quality": 95, "lossless": own != "WEBP" or _is_lossless(self.data)}
        elif kind in ("AVIF", "HEIF"):
            options = {"quality": 95}
        elif kind == "TIFF":
            options = {"compression": "tiff_lzw"}
        if kind in UPRIGHT_ONLY and self.turn in UPRIGHT:  # these cannot say that they lie
            image = image.transpose(UPRIGHT[self.turn])
            said = {key: value for key, value in said.items() if key != "exif"} | _upright_exif(said.get("exif"))
        for kept in (KEPT, ("dpi", "icc_profile"), ()):  # EXIF data may be too long for the format, or broken
            buffer = io.BytesIO()
            try:
                image.save(buffer, kind, **{key: said[key] for key in said.keys() & set(kept)}, **options)
                return buffer.getvalue()
            except MemoryError:
                raise
            except Exception as error:  # Pillow's encoders raise exceptions of several types.
                reason = error
        raise Undecodable("unsupported", f"{kind} cannot hold it: {reason}")

    def writes(self, suffix):
        """Whether `encoded` gives the format of the file: for `suffix` None, or one of the same format."""
        return suffix is None or SUFFIXES[suffix.lower()] == sniff(self.data[:HEAD])

    def _said(self):
        """Returns what the file says of itself, profiles included, which are left aside when it is decoded."""
        found = dict(self.stored.info)
        if self.data:
            with contextlib.suppress(Exception):  # what Pillow refuses is left out
                found |= Image.open(io.BytesIO(self.data), formats=[sniff(self.data[:HEAD])]).info
        return found


def add(pixels, changed, points, difference):
    """Adds a difference in Lab to the pixels of a face, in place.

    Args:
        pixels: uint8 `(height, width, 3)`.
        changed: bool `(height, width)`; becomes True where a pixel was changed.
        points: `(468, 3)` in pixels.
        difference: `(size, size, 3)`, of the texture.
    """
    height, width = changed.shape
    low = np.floor(points[:, :2].min(axis=0)).astype(int) - 1
    size = np.ceil(points[:, :2].max(axis=0)).astype(int) + 1 - low
    # No finer than the texture: in a larger face, the difference is drawn smaller and enlarged.
    factor = max(1.0, float(size.max()) / len(difference))
    shape = tuple(int(np.ceil(n / factor)) for n in size[::-1])
    drawn, _ = render(
        difference, (points - (*low, 0)) * ((shape[1] / size[0]), (shape[0] / size[1]), 1 / factor), shape
    )
    left, top = np.maximum(low, 0)
    right, below = np.minimum(low + size, (width, height))
    if left >= right or top >= below:
        return
    drawn = resized(drawn, tuple(size.tolist()))
    drawn = drawn[top - low[1] : below - low[1], left - low[0] : right - low[0]]
    closed = Image.new("1", (int(right - left), int(below - top)), 1)
    for ring in (MOUTH, *EYES):  # enlarged, the difference reaches into them
        ImageDraw.Draw(closed).polygon([tuple(p) for p in points[list(ring), :2] - (left, top)], 0, 0)
    at = (np.abs(drawn).max(axis=-1) > 0.05) & np.asarray(closed)
    for row in range(0, len(at), STRIP):
        strip, here = drawn[row : row + STRIP], at[row : row + STRIP]
        part = pixels[top + row : min(top + row + STRIP, below), left:right]
        part[here] = np.rint(lab_to_rgb(rgb_to_lab(part[here]) + strip[here])).astype("uint8")
    changed[top:below, left:right] |= at


def _is_lossless(webp):
    """Whether the picture of a WebP file, which may follow a profile of any length, is lossless."""
    at = 12
    while webp[at : at + 4] not in (b"VP8L", b"VP8 ", b""):
        at += 8 + int.from_bytes(webp[at + 4 : at + 8], "little") + 1 & ~1
    return webp[at : at + 4] == b"VP8L"


def _upright_exif(exif):
    """Returns `{"exif": ...}` of a photo that no longer lies; {} if it has no EXIF data, or broken ones."""
    found = Image.Exif()
    try:
        found.load(exif)
        found[ORIENTATION] = 1
        return {"exif": found.tobytes()} if exif else {}
    except Exception:  # Broken EXIF raises exceptions of almost any type.
        return {}


def _inks(rgb, cmyk):
    """Converts an image to CMYK with the black of another, so that only the colours change."""
    black = np.asarray(cmyk)[..., 3:]
    light = np.maximum(255 - black.astype("float32"), 1)
    inks = np.clip(255 - 255 * np.asarray(rgb, "float32") / light, 0, 255)
    return Image.fromarray(np.concatenate([np.rint(inks).astype("uint8"), black], axis=-1), "CMYK")
