"""Decodes untrusted image files to the pixels that the text filter scores."""

import math

import numpy as np
from PIL import Image

from kgan.runtime.examiner import Examiner
from kgan.runtime.files import Limits
from kgan.runtime.pixels import UPRIGHT, decoded, eight_bits, orientation

BUCKETS = ((240, 240), (240, 360), (360, 240), (240, 480), (480, 240))  # height, width


def to_bucket(image, buckets=BUCKETS):
    """Resizes an image to the bucket with the nearest aspect ratio, both for training and at run time.

    The image is rotated upright (EXIF), blended onto white where it is transparent, scaled from 16 bits to 8, and
    stretched to the bucket with antialiased bilinear interpolation.

    Args:
        image: a `PIL.Image.Image`; it is not changed.
        buckets: list of `(height, width)` to choose from.

    Returns:
        uint8 RGB `(height, width, 3)`.

    Raises:
        ValueError: the pixels are floating-point numbers, whose range is unknown.

    Example:

    >>> to_bucket(Image.new("RGB", (640, 480))).shape
    (240, 360, 3)
    """
    return views(image, nearest_bucket(image, buckets))[0]


def nearest_bucket(image, buckets):
    """Returns the bucket `(height, width)` whose aspect ratio is nearest to that of the upright image."""
    shape = math.log(image.width / image.height)
    if orientation(image) >= 5:
        shape = -shape
    return min(buckets, key=lambda bucket: abs(math.log(bucket[1] / bucket[0]) - shape))


def views(image, bucket, resample=Image.Resampling.BILINEAR):
    """Converts an image to the arrays that the model scores.

    Returns:
        List of uint8 RGB arrays `(height, width, 3)` of the bucket's size. An opaque image gives one. An image with
        transparent parts gives two, on white and on black, because white text vanishes on the one and black text on
        the other.
    """
    turn = UPRIGHT.get(orientation(image))
    image = eight_bits(image)
    if turn is not None:
        image = image.transpose(turn)
    size = bucket[1], bucket[0]
    if image.has_transparency_data:
        image = image.convert("RGBA")
        if image.getchannel("A").getextrema()[0] < 255:
            # Pillow weights colours by alpha when it resizes, so blending the small image gives the same pixels.
            image = image.resize(size, resample)
            grounds = (Image.new("RGBA", size, colour) for colour in ("white", "black"))
            return [np.asarray(Image.alpha_composite(ground, image).convert("RGB")) for ground in grounds]
    if image.mode != "RGB":
        image = image.convert("RGB")
    return [np.asarray(image.resize(size, resample))]


def decode(data, buckets=BUCKETS, max_pixels=Limits.pixels, resample=Image.Resampling.BILINEAR, margin=1):
    """Decodes the bytes of a file.

    A JPEG file is decoded at a half, a quarter or an eighth of its size, as long as neither side becomes smaller than
    `margin` times the bucket's.

    Args:
        data: bytes of the whole file.
        buckets: list of `(height, width)` to choose from.
        max_pixels: as for `kgan.runtime.pixels.decoded`.
        resample: a `PIL.Image.Resampling`.
        margin: see above, 1 or more.

    Returns:
        `(views, (height, width))`: the arrays of `views`, and the size of the upright image.

    Raises:
        Undecodable: the file gives no pixels.
    """

    def shrunk(image):
        bucket = nearest_bucket(image, buckets)
        lying = orientation(image) >= 5
        size = (image.width, image.height) if lying else (image.height, image.width)
        height, width = (margin * side for side in bucket)
        image.draft(None, (height, width) if lying else (width, height))
        return views(image, bucket, resample), size

    return decoded(data, shrunk, max_pixels)


class Shrinker(Examiner):
    """Decodes an image and stretches it to a square, in a worker; the result is `(status, pixels)`.

    An opaque image gives the pixels that `kgan.data.files.decode` gives for training. It stands here because a worker
    imports the module of its function, and needs nothing that takes long.

    Args:
        size: height and width in pixels.
        limits: `Limits` for one image.
    """

    def __init__(self, size, limits):
        super().__init__(limits)
        self.buckets = [(size, size)]

    def examine(self, data):
        views, _ = decode(data, self.buckets, self.limits.pixels, Image.Resampling.LANCZOS, margin=2)
        return "ok", views[0]  # of a transparent image that on white, as the data sets have it

    def failed(self, status):
        return status, None
