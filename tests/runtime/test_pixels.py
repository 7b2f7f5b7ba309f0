"""Orientation, 16-bit samples and transparency, seen through `decode` and `to_bucket`."""

import sys

import numpy as np
import pytest
from image_files import AVIF, FINE, GREY, HEIC, JPEG2000, LZW, PICTURE, TIFF, encode, png
from PIL import Image

from kgan.filter.decoding import decode, to_bucket
from kgan.runtime.files import Undecodable, sniff
from kgan.runtime.pixels import check_readable

pytestmark = pytest.mark.backend_free


# What undoes each EXIF orientation, so that the camera's pixels come out.
STORED = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_90,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_270,
}


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "AVIF", "TIFF"])
@pytest.mark.parametrize("turn", STORED)
def test_exif_orientation(turn, kind):
    exif = Image.Exif()
    exif[0x0112] = turn
    options = {
        "JPEG": FINE,
        "PNG": {},
        "WEBP": {"lossless": True},
        "AVIF": {"quality": 100, "subsampling": "4:4:4"},
        "TIFF": {},
    }[kind]
    seen, size = decode(encode(PICTURE.transpose(STORED[turn]), kind, exif=exif, **options))
    assert size == (400, 600)
    np.testing.assert_allclose(seen[0].astype(int), to_bucket(PICTURE), atol={"JPEG": 5, "AVIF": 12}.get(kind, 0))


@pytest.mark.parametrize("data", [TIFF, LZW, AVIF, HEIC, JPEG2000], ids="tiff lzw avif heic jp2".split())
def test_formats_beside_those_of_the_web(data):
    seen, size = decode(data)
    assert size == (400, 600)
    assert np.abs(seen[0].astype(int) - to_bucket(PICTURE)).mean() < 2


def test_deep_tiff():
    seen, _ = decode(encode(Image.fromarray(GREY.astype("uint16") * 256 + 200), "TIFF"))
    np.testing.assert_array_equal(seen[0], to_bucket(Image.fromarray(GREY)))


def test_of_several_pictures_the_first_counts():
    other = Image.new("RGB", PICTURE.size, "red")
    for data in (
        encode(PICTURE, "TIFF", save_all=True, append_images=[other]),
        encode(PICTURE, "MPO", save_all=True, append_images=[other], **FINE),
        encode(PICTURE, "AVIF", save_all=True, append_images=[other], quality=95),
    ):
        assert np.abs(decode(data)[0][0].astype(int) - to_bucket(PICTURE)).mean() < 2


def test_heic_without_its_package(monkeypatch):
    monkeypatch.setitem(sys.modules, "pillow_heif", None)
    check_readable.cache_clear()
    with pytest.raises(Undecodable, match="pip install pillow-heif") as caught:
        decode(HEIC)
    assert caught.value.status == "needs_pillow_heif"


@pytest.mark.parametrize("brand, kind", [(b"heic", "HEIF"), (b"mif1", "HEIF"), (b"avif", "AVIF"), (b"avis", "AVIF")])
def test_brands(brand, kind):
    assert sniff(b"\0\0\0\x18ftyp" + brand + bytes(52)) == kind
    assert sniff(b"\0\0\0\x1cftypmsf1\0\0\0\0iso8" + brand + bytes(40)) == kind
    # What comes behind the list of brands is none, and a film may name a photo's brand.
    assert sniff(b"\0\0\0\x14ftypmif1\0\0\0\0iso8" + brand + bytes(40)) == "HEIF"
    with pytest.raises(Undecodable, match="a film"):
        sniff(b"\0\0\0\x1cftypisom\0\0\0\0iso8" + brand + bytes(40))


@pytest.mark.parametrize("value", [0, 9, 65535])
def test_orientations_that_do_not_exist_are_left_alone(value):
    exif = Image.Exif()
    exif[0x0112] = value
    seen, _ = decode(encode(PICTURE, exif=exif))
    np.testing.assert_array_equal(seen[0], to_bucket(PICTURE))


HALF = np.where(np.indices(GREY.shape)[1] < 300, 255, 0).astype("uint8")  # the right half is transparent


def palette_with_transparency(**options):
    image = Image.fromarray((HALF == 0).astype("uint8"))
    image.putpalette([10, 200, 30, 99, 99, 99])
    return encode(image, transparency=1, **options)


def value_is_transparent(depth, colour, left, right):
    """A PNG file whose left half has the samples `left`, and the right one `right`, which it calls transparent."""
    samples = np.where((HALF > 0)[..., None], np.array(left), np.array(right))
    return png(samples if colour == 2 else samples[..., 0], depth, colour, right)


@pytest.mark.parametrize(
    ("data", "left"),
    [
        (encode(np.dstack([np.full((400, 600, 3), [10, 200, 30], "uint8"), HALF])), (10, 200, 30)),
        (
            encode(np.dstack([np.full((400, 600, 3), [10, 200, 30], "uint8"), HALF]), "WEBP", lossless=True),
            (10, 200, 30),
        ),
        (encode(Image.merge("LA", [Image.new("L", (600, 400), 40), Image.fromarray(HALF)])), (40, 40, 40)),
        (palette_with_transparency(), (10, 200, 30)),
        (palette_with_transparency(kind="GIF"), (10, 200, 30)),
        (value_is_transparent(8, 2, [10, 200, 30], [9, 9, 9]), (10, 200, 30)),
        (value_is_transparent(8, 0, [40], [41]), (40, 40, 40)),
        (value_is_transparent(16, 2, [10 * 256, 200 * 256, 30 * 256], [9 * 256] * 3), (10, 200, 30)),
        (value_is_transparent(16, 0, [40 * 256 + 5], [40 * 256 + 6]), (40, 40, 40)),
        (value_is_transparent(4, 0, [3], [2]), (51, 51, 51)),
        (value_is_transparent(2, 0, [1], [2]), (85, 85, 85)),
        (value_is_transparent(1, 0, [0], [1]), (0, 0, 0)),
    ],
    ids="rgba webp la palette gif rgb grey rgb16 grey16 grey4 grey2 grey1".split(),
)
def test_transparent_parts_are_seen_over_white_and_over_black(data, left):
    (white, black), _ = decode(data)
    for seen, ground in ((white, 255), (black, 0)):
        np.testing.assert_allclose(seen[:, :175].astype(int), np.broadcast_to(left, (240, 175, 3)), atol=1)
        assert (seen[:, 185:] == ground).all()


@pytest.mark.parametrize("dtype", ["uint16", ">u2", "int32"])
def test_sixteen_bits_are_scaled_and_not_clamped(dtype):
    deep = Image.fromarray(GREY.astype(dtype) * 256 + 200)
    assert deep.mode in ("I;16", "I;16B", "I")
    np.testing.assert_array_equal(to_bucket(deep), to_bucket(Image.fromarray(GREY)))
