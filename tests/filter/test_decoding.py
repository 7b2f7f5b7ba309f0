"""From bytes to pixels: buckets, every kind of file, and files that cannot be decoded."""

import io

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from image_files import BROKEN_EXIF, FINE, GREY, HOSTILE, PICTURE, PIXELS, encode, picture, png
from PIL import Image, ImageOps

from kgan.data import files as training
from kgan.filter import decoding
from kgan.filter.decoding import BUCKETS, Shrinker, decode, nearest_bucket, to_bucket
from kgan.runtime import files
from kgan.runtime.files import Undecodable

pytestmark = pytest.mark.backend_free


@pytest.mark.parametrize(
    ("size", "bucket"),
    [
        ((100, 100), (240, 240)),
        ((640, 480), (240, 360)),  # log 4/3 is nearer to log 3/2 than to 0
        ((480, 640), (360, 240)),
        ((1920, 1080), (240, 480)),  # 16/9: 0.575, between 0.405 and 0.693
        ((1080, 1920), (480, 240)),
        ((122, 100), (240, 240)),  # the middle between the two is at the root of 1.5, 1.2247
        ((123, 100), (240, 360)),
        ((5000, 1), (240, 480)),
        ((1, 5000), (480, 240)),
    ],
)
def test_buckets(size, bucket):
    image = Image.new("RGB", size, (1, 2, 3))
    assert nearest_bucket(image, BUCKETS) == bucket
    seen = to_bucket(image)
    assert seen.shape == (*bucket, 3) and seen.dtype == "uint8" and (seen == [1, 2, 3]).all()


@pytest.mark.parametrize("turn", range(1, 9))
def test_to_bucket_is_transpose_convert_and_resize(turn):
    exif = Image.Exif()
    exif[0x0112] = turn
    opened = Image.open(io.BytesIO(encode(PICTURE, "JPEG", exif=exif)))
    plain = ImageOps.exif_transpose(opened).convert("RGB")
    expected = plain.resize((360, 240) if turn < 5 else (240, 360), Image.Resampling.BILINEAR)
    np.testing.assert_array_equal(to_bucket(opened), expected)
    assert opened.size == PICTURE.size


def test_downscaling_is_antialiased():
    checks = (np.indices((960, 960)).sum(axis=0) % 2 * 255).astype("uint8")
    np.testing.assert_allclose(to_bucket(Image.fromarray(checks)), 127.5, atol=1)


def test_floating_point_is_refused():
    with pytest.raises(ValueError, match="floating-point numbers of unknown range"):
        to_bucket(Image.new("F", (8, 8)))


# === Every kind of file ===


def ycck(image):
    """A JPEG file as Photoshop writes it: inverted CMYK, as YCCK. Pillow writes CMYK; the marker is changed."""
    inks = 255 - np.asarray(image).astype(int)
    ycc = np.asarray(Image.fromarray(inks.astype("uint8")).convert("YCbCr"))
    stored = np.concatenate([255 - ycc, np.zeros_like(ycc[..., :1])], axis=-1)  # Pillow inverts all four when it writes
    data = encode(Image.fromarray(stored, "CMYK"), "JPEG", quality=98)
    at = data.index(b"Adobe") + 11
    assert data[at] == 0
    return data[:at] + b"\2" + data[at + 1 :]


def cmyk(image):
    inks = 255 - np.asarray(image).astype(int)
    return Image.fromarray(np.concatenate([inks, np.zeros_like(inks[..., :1])], axis=-1).astype("uint8"), "CMYK")


def animated(kind, **options):
    others = [Image.new("RGB", PICTURE.size, colour) for colour in ("red", "green")]
    return encode(
        PICTURE.quantize(256) if kind == "GIF" else PICTURE, kind, save_all=True, append_images=others, **options
    )


# Files of the same picture, and how far a pixel may be from the plain one: at most, and on average.
COLOURED = {
    "png": (encode(PICTURE), 0, 0),
    "bmp": (encode(PICTURE, "BMP"), 0, 0),
    "webp": (encode(PICTURE, "WEBP", lossless=True), 0, 0),
    "jpeg": (encode(PICTURE, "JPEG", **FINE), 5, 0.5),
    "progressive jpeg": (encode(PICTURE, "JPEG", progressive=True, **FINE), 5, 0.5),
    "jpeg with broken exif": (encode(PICTURE, "JPEG", exif=BROKEN_EXIF, **FINE), 5, 0.5),
    "jpeg with several pictures": (
        encode(PICTURE, "MPO", save_all=True, append_images=[cmyk(PICTURE).convert("L")], **FINE),
        5,
        0.5,
    ),
    "cmyk jpeg": (encode(cmyk(PICTURE), "JPEG", quality=97), 3, 0.1),
    "ycck jpeg": (ycck(PICTURE), 5, 1),
    "opaque alpha": (encode(PICTURE.convert("RGBA")), 0, 0),
    "palette": (encode(PICTURE.quantize(256)), 30, 2),
    "gif": (encode(PICTURE.quantize(256), "GIF"), 30, 2),
    "animated gif": (animated("GIF"), 30, 2),
    "animated webp": (animated("WEBP", lossless=True), 0, 0),
    "animated png": (animated("PNG"), 0, 0),
    "16 bits": (png(PIXELS.astype("uint16") * 256 + 77, 16, 2), 0, 0),
}
GREYS = {
    "grey": (encode(GREY), 0, 0),
    "grey jpeg": (encode(GREY, "JPEG", quality=97), 3, 0.1),
    "16 bits": (encode(GREY.astype("uint16") * 256 + 200), 0, 0),
    "opaque grey and alpha": (encode(Image.fromarray(GREY).convert("LA")), 0, 0),
    "4 bits": (png(GREY >> 4, 4, 0), 12, 5),
    "webp": (encode(GREY, "WEBP", lossless=True), 0, 0),
}


@pytest.mark.parametrize(
    ("plain", "data", "most", "mean"),
    [
        pytest.param(plain, *case, id=f"{name}, {plain.ndim}")
        for plain, cases in ((PIXELS, COLOURED), (GREY, GREYS))
        for name, case in cases.items()
    ],
)
def test_every_kind_of_file_gives_the_pixels_of_the_plain_one(plain, data, most, mean):
    seen, size = decode(data)
    assert size == (400, 600) and len(seen) == 1
    difference = np.abs(seen[0].astype(int) - to_bucket(Image.fromarray(plain)))
    assert difference.max() <= most and difference.mean() <= mean


@pytest.mark.parametrize("size", [(1440, 960), (1700, 1300), (2000, 640), (640, 480)])
def test_jpeg_decoded_small_is_close_to_jpeg_decoded_whole(size, text_filter):
    """The bound: 50 of 255 at any pixel, at the edges of letters, 0.5 on average; 0.002 of this model's score."""
    data = encode(picture(*size), "JPEG", quality=92)
    (fast,), found = decode(data)
    whole = to_bucket(Image.open(io.BytesIO(data)))
    assert found == size[::-1] and fast.shape == whole.shape
    difference = np.abs(fast.astype(int) - whole)
    assert difference.max() <= 50 and difference.mean() <= 0.5
    scores = [text_filter.look([seen])[0] for seen in (fast, whole)]
    assert abs(scores[0] - scores[1]) <= 0.002


def test_jpeg_is_decoded_as_small_as_the_bucket_allows(monkeypatch):
    sizes = []
    monkeypatch.setattr(decoding, "views", lambda image, bucket, _: sizes.append((image.size, bucket)) or [None])
    exif = Image.Exif()
    exif[0x0112] = 6
    for size in ((2879, 1920), (2880, 1920), (1440, 960), (640, 480)):
        decode(encode(Image.new("RGB", size), "JPEG"))
        decode(encode(Image.new("RGB", size), "JPEG", exif=exif))
    upright, turned = (240, 360), (360, 240)
    expected = [(720, 480), (360, 240), (360, 240), (640, 480)]
    assert sizes == [(size, bucket) for size in expected for bucket in (upright, turned)]


# === Files that cannot be decoded ===


def test_decoding_leaves_the_settings_of_pillow_alone():
    from PIL import ImageFile

    before = Image.MAX_IMAGE_PIXELS, ImageFile.LOAD_TRUNCATED_IMAGES
    for data, status in HOSTILE.values():
        try:
            decode(data if status != "crashed" else b"")
        except Undecodable:
            pass
    assert (Image.MAX_IMAGE_PIXELS, ImageFile.LOAD_TRUNCATED_IMAGES) == before == (89478485, False)


@given(st.data())
def test_damaged_bytes_give_pixels_or_a_status(data):
    small = PICTURE.resize((60, 40))
    kind = data.draw(st.sampled_from(["PNG", "JPEG", "GIF", "BMP", "WEBP", "TIFF", "AVIF", "JPEG2000"]))
    damaged = bytearray(encode(small, kind))
    for _ in range(data.draw(st.integers(1, 8))):
        damaged[data.draw(st.integers(0, len(damaged) - 1))] = data.draw(st.integers(0, 255))
    try:
        seen, _ = decode(bytes(damaged[: data.draw(st.integers(0, len(damaged)))]))
    except Undecodable as error:
        assert f"| `{error.status}` |" in files.__doc__ and error.status != "ok"
    else:
        assert all(view.shape[:2] in BUCKETS and view.dtype == "uint8" for view in seen)


@pytest.mark.parametrize("kind", ["JPEG", "rotated", "grey", "deep", "palette"])
def test_a_tagger_sees_what_its_classifier_was_trained_on(kind):
    noise = np.random.default_rng(0).integers(0, 256, (60, 90, 3), "uint8")
    image, options = Image.fromarray(noise).resize((900, 600)), {"format": "PNG"}
    if kind in ("JPEG", "rotated"):
        options = {"format": "JPEG", "quality": 95, "exif": Image.Exif()}
        options["exif"][0x0112] = 6 if kind == "rotated" else 1
    elif kind == "deep":
        image = Image.fromarray(np.asarray(image.convert("L")).astype("uint16") * 257)
    else:
        image = image.convert({"grey": "L", "palette": "P"}[kind])
    file = io.BytesIO()
    image.save(file, **options)
    status, pixels = Shrinker(64, files.Limits()).examine(file.getvalue())
    expected = training.decode(io.BytesIO(file.getvalue()), 64, 3, stretch=True)
    assert status == "ok"
    np.testing.assert_array_equal(pixels, expected)
