"""From the bytes of a file that nobody vouches for to the pixels the text filter sees.

A file that gives none raises `Undecodable` with one of the statuses of `kgan.runtime.files`. What a decoder makes up
for without a word passes for `ok`: libjpeg fills with grey what is missing before the end mark.
"""

import io
import math
import warnings

import numpy as np
from PIL import Image

from kgan.runtime.files import HEAD, Undecodable, sniff
from kgan.runtime.pixels import UPRIGHT, eight_bits, orientation, scale_transparent_value

BUCKETS = ((240, 240), (240, 360), (360, 240), (240, 480), (480, 240))  # height, width


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
