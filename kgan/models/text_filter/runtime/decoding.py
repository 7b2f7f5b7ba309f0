"""From the bytes of a file that nobody vouches for to the pixels the text filter sees.

Whatever a file holds, it gives pixels or a `status`:

| status | what it says of the file |
|---|---|
| `ok` | it was decoded |
| `empty` | it has no bytes |
| `not_an_image` | it does not begin like an image |
| `unsupported` | an image of a kind that is not read (see `FORMATS`), or a member of an archive packed in such a way |
| `truncated` | it ends before its last pixel |
| `damaged` | it begins like an image, and then makes no sense; or an archive that does |
| `too_large` | more bytes, pixels or memory than the limits allow |
| `missing` | there is no such file |
| `unreadable` | it may not be read (rights, an encrypted archive), or reading it failed |
| `not_a_file` | a pipe, a socket, a device; in an archive also a link |
| `unsafe_name` | a member of an archive with a name that leads out of the archive |
| `crashed` | decoding it took the process down, or more than the seconds allowed |

What a decoder makes up for without a word passes for `ok`: libjpeg fills with grey what is missing before the end mark.
"""

import errno
import io
import math
import os
import stat
import warnings

import numpy as np
from PIL import Image

BUCKETS = ((240, 240), (240, 360), (360, 240), (240, 480), (480, 240))  # height, width

# Five formats that hold nearly all photos, and how a file of each begins. TIFF stays out: its decoder is a zoo of
# old compressions with a long record of flaws, and what strangers send is hardly ever TIFF.
FORMATS = {"JPEG": b"\xff\xd8\xff", "PNG": b"\x89PNG\r\n\x1a\n", "WEBP": b"RIFF", "GIF": b"GIF8", "BMP": b"BM"}
# Beginnings of other images, so that these are told from files that are none.
OTHER_IMAGES = (
    *(b"II*\0", b"MM\0*", b"II+\0", b"MM\0+"),  # TIFF
    *(b"\0\0\0\x0cjP  ", b"\0\0\0\x0cJXL ", b"\xff\x0a"),  # JPEG 2000, JPEG XL
    *(b"8BPS", b"\0\0\1\0"),  # Photoshop, icons
)
HEAD = 16  # bytes that tell what a file is
PART = 2**20  # bytes read at once

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


class Undecodable(ValueError):
    """A file gives no pixels; `status` says why."""

    def __init__(self, status, message=None):
        super().__init__(message or status)
        self.status = status


def to_bucket(image, buckets=BUCKETS):
    """Resizes an image to the bucket whose shape is nearest: what the text filter sees, in training and at run time.

    The image is turned upright (EXIF), laid over white where it is transparent, 16 bits become 8; then it is stretched
    to the bucket, bilinear and antialiased.

    Args:
        image: a `PIL.Image.Image`; it is not changed.
        buckets: list of `(height, width)` to choose from.

    Returns:
        uint8 RGB `(height, width, 3)`.

    Raises:
        ValueError: pixels are floating-point numbers, whose range is unknown.

    Example:

    >>> to_bucket(Image.new("RGB", (640, 480))).shape
    (240, 360, 3)
    """
    return views(image, nearest_bucket(image, buckets))[0]


def nearest_bucket(image, buckets):
    """The bucket `(height, width)` whose ratio of width to height is nearest to that of the upright image."""
    shape = math.log(image.width / image.height)
    if orientation(image) >= 5:
        shape = -shape
    return min(buckets, key=lambda bucket: abs(math.log(bucket[1] / bucket[0]) - shape))


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


def views(image, bucket):
    """What is seen of an image at the size of a bucket.

    Returns:
        List of uint8 RGB `(height, width, 3)`: one, or of an image with transparent parts two, over white and over
        black, because black text is lost on the one and white text on the other.
    """
    turn = UPRIGHT.get(orientation(image))
    image = eight_bits(image)
    if turn is not None:
        image = image.transpose(turn)
    size = bucket[1], bucket[0]
    if image.has_transparency_data:
        image = image.convert("RGBA")
        if image.getchannel("A").getextrema()[0] < 255:
            # Pillow weighs colours by alpha when it resizes, so that to lay over later is the same, and cheaper.
            image = image.resize(size, Image.Resampling.BILINEAR)
            grounds = (Image.new("RGBA", size, colour) for colour in ("white", "black"))
            return [np.asarray(Image.alpha_composite(ground, image).convert("RGB")) for ground in grounds]
    if image.mode != "RGB":
        image = image.convert("RGB")
    return [np.asarray(image.resize(size, Image.Resampling.BILINEAR))]


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


def decode(data, buckets=BUCKETS):
    """Decodes a file's bytes.

    Pixels beyond `PIL.Image.MAX_IMAGE_PIXELS` are refused when the header is read. JPEG is decoded at a half, a quarter
    or an eighth of its size as long as no side falls below the bucket's.

    Args:
        data: bytes of the whole file.
        buckets: list of `(height, width)` to choose from.

    Returns:
        `(views, (height, width))`: as `views`, and the size of the upright image.

    Raises:
        Undecodable: with the status.
    """
    kind = sniff(data[:HEAD])
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            image = Image.open(io.BytesIO(data), formats=[kind])
            scale_transparent_value(image)
            bucket = nearest_bucket(image, buckets)
            lying = orientation(image) >= 5
            size = (image.width, image.height) if lying else (image.height, image.width)
            image.draft(None, bucket if lying else bucket[::-1])
            return views(image, bucket), size
    except (Undecodable, MemoryError):
        raise
    except (Image.DecompressionBombWarning, Image.DecompressionBombError) as error:
        raise Undecodable("too_large", str(error)) from None
    except Exception as error:  # Pillow's decoders raise almost anything on a broken file.
        cut = "truncated" in str(error).lower() or (
            kind == "WEBP" and len(data) < 8 + int.from_bytes(data[4:8], "little")
        )
        raise Undecodable("truncated" if cut else "damaged", str(error)) from None


def sniff(head):
    """The format of a file, one of `FORMATS`, by its first `HEAD` bytes."""
    if not head:
        raise Undecodable("empty")
    for kind, beginning in FORMATS.items():
        if head.startswith(beginning) and (kind != "WEBP" or head[8:12] == b"WEBP"):
            return kind
    # HEIC, AVIF and their kin; MP4 begins like them.
    if head.startswith(OTHER_IMAGES) or head[4:8] == b"ftyp":
        raise Undecodable("unsupported")
    raise Undecodable("not_an_image")


def read_file(path, max_bytes):
    """Reads a regular file that begins like an image, and no other."""
    try:
        # What opening a device does nobody knows, hence the look before; and without O_NONBLOCK a pipe that has no
        # writer would hold up the run.
        if not stat.S_ISREG(os.stat(path).st_mode):
            raise Undecodable("not_a_file")
        flags = os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)
        with open(os.open(path, flags), "rb", buffering=0) as file:
            found = os.fstat(file.fileno())
            if not stat.S_ISREG(found.st_mode):
                raise Undecodable("not_a_file")
            return read_bounded(file, found.st_size, max_bytes)
    except Undecodable:
        raise
    except OSError as error:
        gone = error.errno in (errno.ENOENT, errno.ENOTDIR)
        raise Undecodable("missing" if gone else "unreadable", str(error)) from None
    except ValueError as error:  # a name with a NUL in it
        raise Undecodable("missing", str(error)) from None


def read_bounded(file, size, max_bytes):
    """Reads an open file, said to have `size` bytes, as long as it begins like an image and keeps to the limit."""
    parts = [file.read(HEAD)]
    sniff(parts[0])
    # The size may be a lie, so the end is where nothing more comes, or one byte beyond the limit.
    left = max_bytes + 1 - len(parts[0]) if size <= max_bytes else 0
    while left > 0:
        parts.append(file.read(min(PART, left)))
        left -= len(parts[-1])
        if not parts[-1]:
            return b"".join(parts)
    raise Undecodable("too_large", f"more than {max_bytes} bytes")
