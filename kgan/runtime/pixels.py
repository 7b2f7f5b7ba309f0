"""Gets at the pixels of a file: EXIF orientation, 16-bit samples, transparent colours, harmless faults of a file.

A file that gives no pixels raises `Undecodable` with one of the statuses of `kgan.runtime.files`. Errors that a decoder
conceals remain `ok`: if a JPEG file has an end marker, libjpeg fills missing data with grey. Of a file with several
pictures, such as the pages of a TIFF file or the two of a phone's JPEG, the first counts.
"""

import functools
import hashlib
import io
import warnings
import zlib

import numpy as np
from PIL import Image, features

from kgan.runtime import tiff
from kgan.runtime.files import HEAD, Limits, Undecodable, sniff

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


# Formats for which Pillow needs a library that may be missing, by Pillow's name of it.
LIBRARIES = {"WEBP": "webp", "AVIF": "avif", "JPEG2000": "jpg_2000", "TIFF": "libtiff"}
HUNGRY = 4  # how many times as much memory as others the decoder of JPEG 2000 takes; it gets as many pixels fewer


def decoded(data, convert, max_pixels=Limits.pixels):
    """Opens an image and returns what a function makes of it.

    An image with more than `max_pixels` pixels is refused as soon as its header is read.

    Args:
        data: bytes of the whole file.
        convert: function of a `PIL.Image.Image` that is not loaded yet.
        max_pixels: most pixels, width times height. Above twice `PIL.Image.MAX_IMAGE_PIXELS` Pillow refuses the image.

    Raises:
        Undecodable: the file gives no pixels.
    """
    kind = sniff(data[:HEAD])
    check_readable(kind)
    if kind == "JPEG2000":
        max_pixels //= HUNGRY
    try:
        if kind == "TIFF":
            tiff.check(data, max_pixels)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            image = Image.open(io.BytesIO(pixel_chunks(data)), formats=[kind])
            if image.width * image.height > max_pixels:
                raise Undecodable("too_large", f"{image.width} x {image.height} pixels")
            scale_transparent_value(image)
            return convert(image)
    except (Undecodable, MemoryError):
        raise
    except Image.DecompressionBombError as error:
        raise Undecodable("too_large", str(error)) from None
    except Exception as error:  # On corrupt files Pillow's decoders raise exceptions of almost any type.
        if kind == "JPEG" and lacks_only_its_end(data):
            return decoded(data + END_OF_JPEG, convert, max_pixels)
        if str(error).startswith("Unsupported BMP") or (kind == "JPEG" and not common_jpeg(data)):
            raise Undecodable("unsupported", str(error)) from None
        cut = "truncated" in str(error).lower() or ends_early(kind, data)
        raise Undecodable("truncated" if cut else "damaged", str(error)) from None


@functools.cache
def check_readable(kind):
    """Makes Pillow ready for a format, or raises `Undecodable` where a package is missing.

    Pillow reads HEIC, the photos of iPhones, with `pillow-heif`, the extra `kgan[heif]`.
    """
    if kind == "HEIF":
        try:
            import pillow_heif
        except ImportError:
            raise Undecodable("needs_pillow_heif", "pip install pillow-heif") from None
        pillow_heif.register_heif_opener(thumbnails=False)
    if kind in LIBRARIES and not features.check(LIBRARIES[kind]):
        raise Undecodable("unsupported", f"Pillow was built without {LIBRARIES[kind]}")


def orientation(image):
    """Returns the EXIF orientation, 1 to 8; 1 if it is missing or invalid."""
    if image.format in ("PNG", "TIFF"):
        # EXIF may follow the pixels, and then `getexif` loads the pixels first. Load them here instead: a failure
        # inside the `try` would be mistaken for broken EXIF, and the image would then decode as black. Pillow turns a
        # TIFF image upright when it is loaded.
        image.load()
    try:
        found = image.getexif().get(ORIENTATION)
        return found if found in UPRIGHT else 1
    except Exception:  # Broken EXIF raises exceptions of almost any type; the pixels may still be sound.
        return 1


def upright(image):
    """Returns an image in its EXIF orientation.

    `PIL.ImageOps.exif_transpose` also writes the EXIF data again, and fails on data that can only be read.
    """
    turn = UPRIGHT.get(orientation(image))
    return image if turn is None else image.transpose(turn)


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


def sound(data):
    """Returns a file without two harmless faults for which Pillow refuses it: odd chunks, and a missing end marker."""
    ends = END_OF_JPEG in data[-64:] or not data.startswith(b"\xff\xd8")
    return pixel_chunks(data) if ends or not lacks_only_its_end(data) else data + END_OF_JPEG


PNG = b"\x89PNG\r\n\x1a\n"


def pixel_chunks(data):
    """Returns a PNG file without the chunks that say nothing about its pixels; data of another format as they are.

    Pillow refuses a whole file for a profile or text that is too long, a wrong checksum or a wrong length in a chunk
    that no viewer needs. Of the ancillary chunks, transparency (`tRNS`) and EXIF are kept where they are sound. Of an
    animation, the default image remains.
    """
    if not data.startswith(PNG):
        return data
    view, kept, start = memoryview(data), [PNG], len(PNG)
    while start + 8 <= len(data):
        kind = data[start + 4 : start + 8]
        end = start + 12 + int.from_bytes(data[start : start + 4], "big")
        if not kind[0] & 0x20 or kind in (b"tRNS", b"eXIf") and _sound(view[start:end], data[25]):
            kept.append(view[start:end])
        start = end
    return b"".join(kept)


def _sound(chunk, colour):
    """Whether the checksum of a `tRNS` or `eXIf` chunk is right, and its length fits the file's type of colour."""
    length = len(chunk) - 12
    if length < 0 or zlib.crc32(chunk[4:-4]).to_bytes(4, "big") != chunk[-4:]:
        return False
    return chunk[4:8] == b"eXIf" or {0: length == 2, 2: length == 6, 3: 0 < length <= 256}.get(colour, False)


END_OF_JPEG = b"\xff\xd9"
# Codes that a cut file would take for its next pixels, each restart marker among them.
_MORE_CODES = b"".join(bytes([0xFF, marker, *(i * 37 % 251 for i in range(1, 200))]) for marker in range(0xD0, 0xD8))


def lacks_only_its_end(data):
    """Whether a JPEG file ends without an end marker, but has all its pixels.

    If it has, more codes behind the last do not change the pixels.
    """
    data = data.removesuffix(END_OF_JPEG[:1])
    if data.endswith(END_OF_JPEG):
        return False
    try:
        first, second = (_digest(data + more + END_OF_JPEG) for more in (b"", _MORE_CODES[2:]))
    except Exception:  # On corrupt files Pillow's decoders raise exceptions of almost any type.
        return False
    return first == second


def _digest(data):
    image = Image.open(io.BytesIO(data), formats=["JPEG"])
    digest = hashlib.sha256()
    for top in range(0, image.height, 256):  # in strips, to hold the pixels only once
        digest.update(image.crop((0, top, image.width, min(top + 256, image.height))).tobytes())
    return digest.digest()


def ends_early(kind, data):
    """Whether the file is shorter than its chunks or boxes say."""
    if kind == "WEBP":
        return len(data) < 8 + int.from_bytes(data[4:8], "little")
    if kind == "JPEG2000":
        return not data.endswith(END_OF_JPEG)
    if kind not in ("AVIF", "HEIF"):
        return False
    at = 0
    while at + 8 <= len(data):
        size = int.from_bytes(data[at : at + 4], "big")
        size = int.from_bytes(data[at + 8 : at + 16], "big") if size == 1 else size
        if size == 0:  # the last box, to the end of the file
            return False
        at += max(size, 8)
    return at != len(data)


def common_jpeg(data):
    """Whether a JPEG file is of a kind that Pillow reads: of 8 bits, sequential or progressive."""
    start = 2
    while data[start : start + 1] == b"\xff" and start + 5 <= len(data):
        marker = data[start + 1]
        if 0xC0 <= marker <= 0xCF and marker not in (0xC4, 0xC8, 0xCC):  # the start of a frame
            return marker in (0xC0, 0xC1, 0xC2, 0xC9, 0xCA) and data[start + 4] == 8
        start += 2 + int.from_bytes(data[start + 2 : start + 4], "big")
    return True  # there is no frame: the file is damaged
