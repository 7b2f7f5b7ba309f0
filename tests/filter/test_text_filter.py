import contextlib
import gzip
import hashlib
import inspect
import io
import json
import os
import signal
import socket
import struct
import subprocess
import sys
import tarfile
import tempfile
import zipfile
import zlib
from pathlib import Path

import numpy as np
import pytest
import tiny_filter
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image, ImageDraw, ImageFont, ImageOps

from kgan.filter import decoding
from kgan.filter.decoding import BUCKETS, decode, nearest_bucket, to_bucket
from kgan.filter.regions import region_means
from kgan.filter.text_filter import TextFilter, heat_map
from kgan.runtime import files
from kgan.runtime.files import Limits, Undecodable, read_file
from kgan.runtime.inputs import find
from kgan.runtime.processes import spread

pytestmark = pytest.mark.backend_free


def encode(image, kind="PNG", **options):
    if not isinstance(image, Image.Image):
        image = Image.fromarray(image)
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def chunk(name, body):
    return struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))


def png(samples, depth, colour, transparent=None, extra=b""):
    """A PNG file of `(height, width)` or `(height, width, n)` samples of 2, 4, 8 or 16 bits; Pillow writes fewer."""
    height, width = samples.shape[:2]
    flat = samples.reshape(height, -1)
    if depth < 8:
        bits = (flat[..., None] >> np.arange(depth)[::-1]) & 1
        rows = np.packbits(bits.reshape(height, -1).astype("uint8"), axis=1)
    else:
        rows = flat.astype(">u2" if depth == 16 else "u1").view("u1").reshape(height, -1)
    data = zlib.compress(b"".join(b"\0" + row.tobytes() for row in rows))
    head = struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, 0)
    trns = b"" if transparent is None else chunk(b"tRNS", np.array(transparent, ">u2").tobytes())
    parts = [chunk(b"IHDR", head), extra, trns, chunk(b"IDAT", data), chunk(b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(parts)


def picture(width=600, height=400):
    """A gradient of colours with text on it."""
    y, x = np.indices((height, width)) / [[[height]], [[width]]]
    image = Image.fromarray((np.stack([60 + 120 * x, 90 + 100 * y, 200 - 90 * x * y], axis=-1)).astype("uint8"))
    font = ImageFont.load_default(height // 6)
    ImageDraw.Draw(image).multiline_text((width // 12, height // 8), "kgan reads\nthis TEXT", "white", font)
    return image


PICTURE = picture()
PIXELS = np.asarray(PICTURE)


@pytest.fixture(scope="session")
def model_path(tmp_path_factory):
    path = tmp_path_factory.mktemp("model") / "tiny.tflite"
    path.write_bytes(tiny_filter.model_file())
    return path


@pytest.fixture(scope="session")
def text_filter(model_path):
    return TextFilter.load(model_path)


def brightness(image):
    """What the tiny model gives for an image, from its definition: means over regions."""
    return region_means(to_bucket(image).mean(axis=-1, dtype="float64")) / 255


# === One definition of what the filter sees ===


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


# === One picture in many guises gives the same pixels ===


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


GREY = np.asarray(PICTURE.convert("L"))
FINE = {"quality": 97, "subsampling": 0}
BROKEN_EXIF = b"Exif\0\0" + b"II*\0\xff\xff\xff\xff" + bytes(range(60))

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


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP"])
@pytest.mark.parametrize("turn", STORED)
def test_exif_orientation(turn, kind):
    exif = Image.Exif()
    exif[0x0112] = turn
    options = {"JPEG": FINE, "PNG": {}, "WEBP": {"lossless": True}}[kind]
    seen, size = decode(encode(PICTURE.transpose(STORED[turn]), kind, exif=exif, **options))
    assert size == (400, 600)
    np.testing.assert_allclose(seen[0].astype(int), to_bucket(PICTURE), atol=5 if kind == "JPEG" else 0)


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


def test_text_that_differs_from_its_ground_by_alpha_alone_is_seen(text_filter):
    """Black on transparent black is lost over black, white on transparent white over white."""
    for value in (0, 255):
        image = Image.fromarray(np.dstack([np.full((240, 240, 3), value, "uint8"), GREY[:240, :240] // 2]))
        over = [Image.new("RGBA", image.size, ground) for ground in ("white", "black")]
        flat = [np.asarray(Image.alpha_composite(ground, image).convert("RGB")) for ground in over]
        both = [brightness(Image.fromarray(f)) for f in flat]
        np.testing.assert_allclose(text_filter.regions([image])[0], np.maximum(*both), atol=0.005)
        np.testing.assert_allclose(text_filter.score([image]), np.max(both), atol=0.005)


@pytest.mark.parametrize("dtype", ["uint16", ">u2", "int32"])
def test_sixteen_bits_are_scaled_and_not_clamped(dtype):
    deep = Image.fromarray(GREY.astype(dtype) * 256 + 200)
    assert deep.mode in ("I;16", "I;16B", "I")
    np.testing.assert_array_equal(to_bucket(deep), to_bucket(Image.fromarray(GREY)))


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
    monkeypatch.setattr(decoding, "views", lambda image, bucket: sizes.append((image.size, bucket)) or [None])
    exif = Image.Exif()
    exif[0x0112] = 6
    for size in ((2879, 1920), (2880, 1920), (1440, 960), (640, 480)):
        decode(encode(Image.new("RGB", size), "JPEG"))
        decode(encode(Image.new("RGB", size), "JPEG", exif=exif))
    upright, turned = (240, 360), (360, 240)
    expected = [(720, 480), (360, 240), (360, 240), (640, 480)]
    assert sizes == [(size, bucket) for size in expected for bucket in (upright, turned)]


# === Model files ===


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: b"", "there is no kgan.json behind the model"),
        (lambda: tiny_filter.model_bytes(), "there is no kgan.json behind the model"),
        (lambda: tiny_filter.model_file(members={"other.json": "{}"}), "there is no kgan.json behind the model"),
        (lambda: tiny_filter.model_file(members={"kgan.json": "{"}), "its kgan.json is damaged"),
        (lambda: tiny_filter.model_file(members={"kgan.json": "[1]"}), "format None, and this version of kgan reads 1"),
        (lambda: with_metadata(format=2), "format 2, and this version of kgan reads 1"),
        (lambda: with_metadata(digest="0" * 64), "not the one that kgan.json has the digest of"),
        (lambda: with_metadata(digest=None), "its kgan.json is damaged"),
        (lambda: with_metadata(thresholds={"best_f": 0.5}), "its kgan.json is damaged"),
        (lambda: with_metadata(thresholds={"best_f": 1.5, "recall": {}}), "its kgan.json is damaged"),
        (lambda: with_metadata(thresholds={"best_f": 0.5, "recall": {"high": 0.3}}), "its kgan.json is damaged"),
        (lambda: with_metadata(buckets=[]), "its kgan.json is damaged"),
        (lambda: with_metadata(buckets=[[240]]), "its kgan.json is damaged"),
        (lambda: with_metadata(buckets=[[120, 120]]), "no signature 120x120"),
        (lambda: with_metadata(resize="nearest"), "asks for resize 'nearest', and kgan knows 'bilinear, antialiased'"),
        (lambda: with_metadata(normalisation="outside"), "asks for normalisation 'outside'"),
        (lambda: tiny_filter.model_file(b"no model at all"), "not a valid Flatbuffer"),
        (lambda: b"x" + tiny_filter.model_file(), "not the one that kgan.json has the digest of"),
        (lambda: tiny_filter.model_file()[:-30], "there is no kgan.json behind the model"),
        (lambda: tiny_filter.model_file(members={"kgan.json": "[" * 5000}), "its kgan.json is damaged"),
        (lambda: tiny_filter.model_file(members={"kgan.json": " " * (2**20 + 1)}), "its kgan.json is larger than 1 MB"),
    ],
)
def test_damaged_model_files_are_refused_in_one_line(tmp_path, make, message):
    path = tmp_path / "model.tflite"
    path.write_bytes(make())
    with pytest.raises(ValueError, match=message) as caught:
        TextFilter.load(path)
    assert str(caught.value).startswith(f"{path} is not a model file of the text filter: ")
    assert "\n" not in str(caught.value)


def with_metadata(**changes):
    model = tiny_filter.model_bytes()
    return tiny_filter.model_file(model, tiny_filter.metadata(model, **changes))


def test_a_missing_model_file(tmp_path):
    with pytest.raises(FileNotFoundError, match="no model file '.*none.tflite'"):
        TextFilter.load(tmp_path / "none.tflite")


def test_metadata_and_thresholds(text_filter):
    model = tiny_filter.model_bytes()
    assert text_filter.metadata == tiny_filter.metadata(model)
    assert text_filter.metadata["digest"] == hashlib.sha256(model).hexdigest()
    assert text_filter.thresholds == {"best_f": 0.5, "recall": {"0.94": 0.41, "0.97": 0.3}}
    assert [text_filter.threshold(recall) for recall in (None, 0.94, 0.97)] == [0.5, 0.41, 0.3]
    with pytest.raises(ValueError, match="no threshold is stored for recall 0.9; stored: 0.94, 0.97"):
        text_filter.threshold(0.9)


# === Scores in this process ===


def test_scores_and_regions_are_those_of_the_model(text_filter):
    images = [picture(*size) for size in ((600, 400), (400, 600), (300, 300), (900, 420), (420, 900))]
    regions = np.array([brightness(image) for image in images])
    assert {to_bucket(image).shape[:2] for image in images} == set(BUCKETS)
    for given_images in (images, [np.asarray(image) for image in images]):
        found = text_filter.regions(given_images)
        assert found.dtype == "float32" and found.shape == (5, 34)
        np.testing.assert_allclose(found, regions, atol=1e-5)
        scores = text_filter.score(given_images)
        assert scores.dtype == "float32"
        np.testing.assert_allclose(scores, regions.max(axis=1), atol=1e-5)
    batch = np.stack([PIXELS, PIXELS // 2])
    np.testing.assert_allclose(
        text_filter.score(batch), [brightness(Image.fromarray(b)).max() for b in batch], atol=1e-5
    )
    assert text_filter.score([]).shape == (0,) and text_filter.regions([]).shape == (0, 34)


@pytest.mark.parametrize(
    ("images", "message"),
    [
        (PIXELS, r"an image is uint8 \(600, 3\): pass uint8 arrays \(height, width, 3\) or PIL images"),
        ([PIXELS / 255], "an image is float64"),
        ([GREY], r"an image is uint8 \(400, 600\)"),
        (["photo.jpg"], "an image is str"),
    ],
)
def test_other_images_are_refused(text_filter, images, message):
    with pytest.raises(ValueError, match=message):
        text_filter.score(images)


def test_heat_map():
    regions = np.zeros(34, "float32")
    regions[[0, 33]] = 1  # the first cell of the 5x5 grid and the last of the 3x3 grid
    data = heat_map(np.full((240, 360, 3), 100, "uint8"), (300, 600), regions)
    image = Image.open(io.BytesIO(data))
    assert image.format == "JPEG" and image.size == (480, 240)
    shown = np.asarray(image).astype(int)
    for rows, columns, colour in (
        (slice(0, 44), slice(0, 90), (193, 40, 40)),  # 100 + 0.6 (255 - 100), 100 - 0.6 * 100
        (slice(166, 240), slice(328, 480), (193, 40, 40)),
        (slice(60, 150), slice(0, 480), (100, 100, 100)),
    ):
        np.testing.assert_allclose(shown[rows, columns], np.broadcast_to(colour, shown[rows, columns].shape), atol=6)


# === Hostile files ===

PNG, JPEG, GIF, BMP = (
    encode(PICTURE.quantize(64) if kind == "GIF" else PICTURE, kind) for kind in ("PNG", "JPEG", "GIF", "BMP")
)
WEBP = encode(PICTURE, "WEBP")


def png_of_size(width, height, depth=1):
    """A PNG file whose header claims a size that its few bytes of pixels do not have."""
    head = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, depth, 0, 0, 0, 0))
    return PNG[:8] + head + chunk(b"IDAT", zlib.compress(b"\0" * 100)) + chunk(b"IEND", b"")


def jpeg_of_size(width, height):
    at = JPEG.index(b"\xff\xc0") + 5
    return JPEG[:at] + struct.pack(">HH", height, width) + JPEG[at + 4 :]


def bmp_of_size(width, height):
    return BMP[:18] + struct.pack("<ii", width, height) + BMP[26:]


def webp_of_size(width, height):
    size = struct.pack("<I", width - 1)[:3] + struct.pack("<I", height - 1)[:3]
    body = b"WEBPVP8X" + struct.pack("<I", 10) + bytes(4) + size + WEBP[12:]
    return b"RIFF" + struct.pack("<I", len(body)) + body


def endless_jpeg():
    """A large progressive JPEG file that goes over its pixels again and again: minutes of work in 1 MB."""
    data = encode(Image.new("L", (3000, 3000)), "JPEG", progressive=True)
    scan = data[data.rindex(b"\xff\xda") : -2]
    return data[:-2] + scan * (1_000_000 // len(scan) + 1) + data[-2:]


# What files begin like, and how Pillow or the filter must take them.
HOSTILE = {
    "plain.jpg": (JPEG, "ok"),
    # Cut off
    "empty.jpg": (b"", "empty"),
    "one byte.jpg": (JPEG[:1], "not_an_image"),
    "three bytes.jpg": (JPEG[:3], "damaged"),
    "cut in the header.jpg": (JPEG[:200], "truncated"),
    "cut in half.jpg": (JPEG[: len(JPEG) // 2], "truncated"),
    "cut at the last pixels.jpg": (JPEG[:-40], "truncated"),
    "cut in half, with an end mark.jpg": (JPEG[: len(JPEG) // 2] + JPEG[-2:], "ok"),  # libjpeg keeps it to itself
    "cut progressive.jpg": (encode(PICTURE, "JPEG", progressive=True)[:-3000], "truncated"),
    "signature.png": (PNG[:8], "damaged"),
    "cut in half.png": (PNG[: len(PNG) // 2], "truncated"),
    "no end chunk.png": (PNG[:-12], "ok"),
    "cut in half.gif": (GIF[: len(GIF) // 2], "truncated"),
    "header.gif": (GIF[:13], "damaged"),
    "cut in half.bmp": (BMP[: len(BMP) // 2], "truncated"),
    "header.bmp": (BMP[:20], "truncated"),
    "cut in half.webp": (WEBP[: len(WEBP) // 2], "truncated"),
    "header.webp": (WEBP[:16], "truncated"),
    # Broken inside
    "junk.jpg": (b"\xff\xd8\xff" + bytes(range(256)) * 20, "damaged"),
    "junk.png": (PNG[:8] + bytes(range(256)) * 20, "damaged"),
    "junk.gif": (b"GIF89a" + b"\xff" * 500, "damaged"),
    "junk.webp": (b"RIFF" + struct.pack("<I", 504) + b"WEBP" + b"\x01" * 500, "damaged"),
    "wrong checksum.png": (PNG[:60] + b"\0\0" + PNG[62:], "damaged"),
    "wrong stream.png": (PNG[:8] + chunk(b"IHDR", PNG[16:29]) + chunk(b"IDAT", b"junk" * 99) + PNG[-12:], "damaged"),
    "no pixels.png": (PNG[:33] + PNG[-12:], "damaged"),
    "size zero.png": (png_of_size(0, 10), "damaged"),
    "size zero.jpg": (jpeg_of_size(0, 10), "damaged"),
    "fewer pixels than said.png": (png_of_size(500, 500), "truncated"),
    "broken exif.jpg": (COLOURED["jpeg with broken exif"][0], "ok"),
    "junk profile.jpg": (encode(PICTURE, "JPEG", icc_profile=b"junk" * 9999), "ok"),
    # Bombs
    "bomb.png": (png_of_size(20_000, 20_000), "too_large"),
    "real bomb.png": (encode(Image.new("1", (3200, 3200))), "too_large"),
    "just allowed.png": (encode(Image.new("1", (3100, 3200), 1)), "ok"),
    "bomb.jpg": (jpeg_of_size(65_000, 65_000), "too_large"),
    "bomb.gif": (b"GIF89a" + b"\xff" * 4 + GIF[10:], "too_large"),
    "bomb.bmp": (bmp_of_size(2**30, 2**30), "too_large"),
    "bomb.webp": (webp_of_size(16_000, 16_000), "too_large"),
    "text bomb.png": (png(PIXELS, 8, 2, extra=chunk(b"zTXt", b"a\0\0" + zlib.compress(bytes(10**8)))), "damaged"),
    "too many bytes.jpg": (JPEG + bytes(2**22), "too_large"),
    "endless.jpg": (endless_jpeg(), "crashed"),
    # Shapes
    "one pixel.png": (encode(Image.new("RGB", (1, 1), "white")), "ok"),
    "one pixel.jpg": (encode(Image.new("L", (1, 1), 255), "JPEG"), "ok"),
    "one row.png": (encode(Image.new("RGB", (30_000, 1), "white")), "ok"),
    "one column.jpg": (encode(Image.new("RGB", (1, 30_000), "white"), "JPEG"), "ok"),
    # Wrong and odd names
    "jpeg.png": (JPEG, "ok"),
    "png.jpg": (PNG, "ok"),
    "picture.txt": (PNG, "ok"),
    "no suffix": (WEBP, "ok"),
    'new\nline \u2028 \U0001f600 "quoted", comma.png': (PNG, "ok"),
    "[a-z]*.png": (PNG, "ok"),
    "-x.png": (PNG, "ok"),
    # Other kinds
    "tiff.jpg": (encode(PICTURE, "TIFF"), "unsupported"),
    "big-endian.tif": (b"MM\0*" + bytes(50), "unsupported"),
    "photo.heic": (b"\0\0\0\x18ftypheic" + bytes(50), "unsupported"),
    "photo.jp2": (b"\0\0\0\x0cjP  \r\n\x87\n" + bytes(50), "unsupported"),
    "icon.ico": (encode(PICTURE.resize((32, 32)), "ICO"), "unsupported"),
    "layers.psd": (b"8BPS" + bytes(50), "unsupported"),
    "film.mp4": (b"\0\0\0\x20ftypisom" + bytes(50), "unsupported"),
    # No images
    "text.jpg": (b"no picture at all", "not_an_image"),
    "zeros.png": (bytes(5000), "not_an_image"),
    "page.jpg": (b"<!doctype html><title>404</title>", "not_an_image"),
    "drawing.svg": (b"<svg xmlns='http://www.w3.org/2000/svg'/>", "not_an_image"),
    "script.png": (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\nshowpage\n", "not_an_image"),
    "document.jpg": (b"%PDF-1.7\n", "not_an_image"),
    "fits.png": (b"SIMPLE  =                    T", "not_an_image"),
    "sound.webp": (b"RIFF\x24\0\0\0WAVEfmt ", "not_an_image"),
    "archive.png": (gzip.compress(PNG), "not_an_image"),
    "pickle.jpg": (b"cos\nsystem\n(S'true'\ntR.", "not_an_image"),
}


def special_files(folder):
    """Makes what is no regular file, or cannot be read; returns `{name: status}`."""
    os.mkfifo(folder / "pipe.jpg")
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(folder / "socket.png"))
    (folder / "loop.png").symlink_to("loop.png")
    (folder / "dangling.png").symlink_to("nowhere.png")
    (folder / "link.png").symlink_to("png.jpg")
    (folder / "folder link.png").symlink_to("..")
    (folder / "zeros.jpg").symlink_to("/dev/zero")
    (folder / "broken disk.png").symlink_to("/proc/self/mem")  # a regular file; reading it fails
    (folder / "folder.png").mkdir()
    (folder / "folder.png" / "inside.png").write_bytes(PNG)
    (folder / os.fsdecode(b"not utf-8 \xff.png")).write_bytes(PNG)
    (folder / ".hidden.png").write_bytes(PNG)
    return {
        "pipe.jpg": "not_a_file",
        "socket.png": "not_a_file",
        "loop.png": "unreadable",
        "dangling.png": "missing",
        "link.png": "ok",
        "folder link.png": "not_a_file",
        "zeros.jpg": "not_a_file",
        "broken disk.png": "unreadable",
        "folder.png/inside.png": "ok",
        os.fsdecode(b"not utf-8 \xff.png"): "ok",
    }


@pytest.fixture(scope="module")
def hostile(tmp_path_factory, text_filter):
    """`({name: status} of what was made, [(name, row)] of what came out)`."""
    # A short path, for that of a socket must be.
    folder = tmp_path_factory.mktemp("h")
    for name, (data, _) in HOSTILE.items():
        (folder / name).write_bytes(data)
    expected = {name: status for name, (_, status) in HOSTILE.items()} | special_files(folder)
    limits = Limits(pixels=10_000_000, bytes=2**22, seconds=0.5)
    rows = list(text_filter.filter([folder], threshold=0.01, processes=1, limits=limits))
    return expected, [(row["path"][len(str(folder)) + 1 :], row) for row in rows]


def test_hostile_files_give_one_row_each_in_order(hostile):
    expected, rows = hostile
    assert len(expected) >= 60
    # The order of a walk: parts of a path compare one by one.
    assert [name for name, _ in rows] == sorted(expected, key=lambda name: name.split("/"))


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_file(hostile, name):
    expected, rows = hostile
    found = dict(rows)[name]
    assert found["status"] == expected[name]
    assert set(found) == {"path", "score", "decision", "status"}
    if expected[name] == "ok":
        assert 0 < found["score"] <= 1 and found["decision"] == "text"
    else:
        assert found["score"] is None and found["decision"] is None


def test_special_files(hostile):
    expected, rows = hostile
    special = {name: row["status"] for name, row in rows if name not in HOSTILE}
    assert special == {name: status for name, status in expected.items() if name not in HOSTILE}


def test_every_status_is_in_the_table(hostile):
    for status in {*hostile[0].values(), "unsafe_name"}:
        assert f"| `{status}` |" in files.__doc__


def test_paths_that_cannot_be(tmp_path, text_filter):
    (tmp_path / "file.png").write_bytes(PNG)
    paths = ["none.png", "file.png/below.png", "a" * 300 + ".png", "nul\0.png"]
    rows = text_filter.filter([tmp_path / path for path in paths], processes=1)
    assert [row["status"] for row in rows] == ["missing", "missing", "unreadable", "missing"]


@contextlib.contextmanager
def without_privileges():
    """Root may read everything; so may, for once, nobody."""
    before = os.geteuid()
    if before == 0:
        os.seteuid(65534)
    try:
        yield
    finally:
        os.seteuid(before)


def test_files_without_permission(tmp_path):
    (tmp_path / "file.png").write_bytes(PNG)
    (tmp_path / "folder").mkdir()
    (tmp_path / "file.png").chmod(0)
    (tmp_path / "folder").chmod(0)
    top = Path(tempfile.gettempdir()).resolve()
    for folder in (tmp_path, *tmp_path.parents):
        if top in folder.parents:
            folder.chmod(0o755)
    with without_privileges():
        file, folder = find([tmp_path])
        for read in (lambda: read_file(file.path, 2**20), lambda: folder.read(2**20)):
            with pytest.raises(Undecodable) as caught:
                read()
            assert caught.value.status == "unreadable"


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
    kind = data.draw(st.sampled_from(["PNG", "JPEG", "GIF", "BMP", "WEBP"]))
    damaged = bytearray(encode(small, kind))
    for _ in range(data.draw(st.integers(1, 8))):
        damaged[data.draw(st.integers(0, len(damaged) - 1))] = data.draw(st.integers(0, 255))
    try:
        seen, _ = decode(bytes(damaged[: data.draw(st.integers(0, len(damaged)))]))
    except Undecodable as error:
        assert f"| `{error.status}` |" in files.__doc__ and error.status != "ok"
    else:
        assert all(view.shape[:2] in BUCKETS and view.dtype == "uint8" for view in seen)


# === Which files ===


def names(*paths, leave_out=()):
    return [found.name for found in find([os.fspath(path) for path in paths], leave_out)]


def test_folders_are_walked_in_order_and_links_not_followed(tmp_path):
    for name in (
        "b/2.png",
        "b/10.png",
        "b/c/deep.png",
        "a.png",
        "z.zip",
        ".git/x.png",
        "b/.DS_Store",
        "out/rows.jsonl",
    ):
        path = tmp_path / "root" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    (tmp_path / "root" / "up").symlink_to("..")
    root = f"{tmp_path}/root"
    expected = [f"{root}/{name}" for name in ("a.png", "b/10.png", "b/2.png", "b/c/deep.png", "up", "z.zip")]
    assert names(root, leave_out={f"{root}/out"}) == expected
    assert names(f"{root}/", leave_out={f"{root}/out"}) == expected
    assert [found.place for found in find([root], {f"{root}/out"})][1] == "b/10.png"
    assert names(f"{root}/a.png", f"{root}/a.png", f"{root}/none") == [f"{root}/a.png"] * 2 + [f"{root}/none"]


def test_folders_may_be_deeper_than_calls(tmp_path):
    folder = tmp_path.joinpath(*"d" * 150)
    folder.mkdir(parents=True)
    (folder / "a.png").touch()
    before = sys.getrecursionlimit()
    sys.setrecursionlimit(len(inspect.stack()) + 100)
    try:
        assert names(tmp_path) == [str(folder / "a.png")]
    finally:
        sys.setrecursionlimit(before)


def zip_file(path, members, method=zipfile.ZIP_DEFLATED):
    with zipfile.ZipFile(path, "w", method) as archive:
        for name, data in members.items():
            archive.writestr(name, data)
    return path


def tar_file(path, members):
    packing = path.suffix[1:] if path.suffix in (".gz", ".bz2", ".xz") else ""
    with tarfile.open(path, f"w:{packing}") as archive:
        for name, data in members.items():
            info = tarfile.TarInfo(name)
            if data is None:
                info.type, info.linkname = tarfile.SYMTYPE, "/etc/passwd"
            else:
                info.size = len(data)
            archive.addfile(info, None if data is None else io.BytesIO(data))
    return path


MEMBERS = {
    "z/first.png": PNG,
    "./a.jpg": JPEG,
    "z/.hidden.png": PNG,
    "__MACOSX/z/first.png": PNG,
    "z/empty.png": b"",
    "notes.txt": b"none",
    "z/cut.jpg": JPEG[:5000],
    "z/large.png": PNG + bytes(2**22),
    "../up.png": PNG,
    "z/../../up.png": PNG,
    "/etc/passwd.png": PNG,
    "..\\up.png": PNG,
    "inner.zip": b"PK\3\4",
}
FOUND = ["ok", "ok", "empty", "not_an_image", "truncated", "too_large", *["unsafe_name"] * 4, "not_an_image"]


@pytest.mark.parametrize("suffix", [".zip", ".tar", ".tar.gz", ".tar.bz2", ".tar.xz", ".TAR"])
def test_archives(tmp_path, text_filter, suffix):
    path = (zip_file if suffix == ".zip" else tar_file)(tmp_path / f"photos{suffix}", MEMBERS)
    rows = list(text_filter.filter([path], processes=1, limits=Limits(bytes=2**22)))
    visible = [name for name in MEMBERS if "hidden" not in name and "MACOSX" not in name]
    assert [row["path"] for row in rows] == [f"{path}!{name}" for name in visible]
    assert [row["status"] for row in rows] == FOUND
    assert rows[0]["score"] == pytest.approx(brightness(PICTURE).max(), abs=1e-5)
    places = [found.place for found in find([path])]
    assert places[:2] == [f"photos{suffix}/z/first.png", f"photos{suffix}/a.jpg"]


def read_all(path, max_bytes=2**22):
    """`{name without the archive's: status}` of an archive, without decoding."""
    statuses = {}
    for found in find([path]):
        try:
            found.read(max_bytes)
            statuses[found.name.partition("!")[2]] = "ok"
        except Undecodable as error:
            statuses[found.name.partition("!")[2]] = error.status
    return statuses


def test_members_that_are_no_files(tmp_path):
    assert read_all(tar_file(tmp_path / "a.tar", {"link.png": None, "b.png": PNG})) == {
        "link.png": "not_a_file",
        "b.png": "ok",
    }
    path = zip_file(tmp_path / "a.zip", {})
    with zipfile.ZipFile(path, "w") as archive:
        info = zipfile.ZipInfo("link.png")
        info.external_attr = 0o120777 << 16
        archive.writestr(info, "/etc/passwd")
    assert read_all(path) == {"link.png": "not_a_file"}


def test_zip_members_that_cannot_be_unpacked(tmp_path):
    path = zip_file(tmp_path / "lzma.zip", {"a.png": PNG}, zipfile.ZIP_LZMA)
    assert read_all(path) == {"a.png": "unsupported"}
    stored = zip_file(tmp_path / "stored.zip", {"a.png": PNG, "b.png": PNG}, zipfile.ZIP_STORED)
    data = bytearray(stored.read_bytes())
    data[data.index(b"IDAT") + 50] ^= 1
    stored.write_bytes(data)
    assert read_all(stored) == {"a.png": "damaged", "b.png": "ok"}
    flagged = data.replace(b"PK\1\2\x14\3\x14\0\0\0", b"PK\1\2\x14\3\x14\0\1\0")
    assert flagged != data
    stored.write_bytes(flagged)
    assert set(read_all(stored).values()) == {"unreadable"}


def test_a_size_that_is_a_lie(tmp_path):
    """The headers say 100 bytes, the stream unpacks to far more."""
    path = zip_file(tmp_path / "a.zip", {"a.png": PNG + bytes(2**23)})
    size = struct.pack("<I", len(PNG) + 2**23)
    path.write_bytes(path.read_bytes().replace(size, struct.pack("<I", 100)))
    assert read_all(path) == {"a.png": "damaged"}


@pytest.mark.parametrize("suffix", [".tar", ".tar.gz", ".tar.xz"])
def test_an_archive_that_breaks_off(tmp_path, suffix):
    path = tmp_path / f"a{suffix}"
    noise = np.random.default_rng(0).integers(0, 256, 50_000).astype("uint8").tobytes()
    tar_file(path, {"a.png": PNG, "b.png": PNG + noise, "c.png": PNG})
    data = path.read_bytes()
    path.write_bytes(data[: len(data) * 2 // 3])
    found = read_all(path)
    assert found.pop("") == "damaged"  # the archive itself
    assert list(found.values()) == ["ok", "damaged"][: len(found)]


@pytest.mark.parametrize("name", ["junk.zip", "junk.tar", "junk.tar.gz", "junk.tgz", "junk.tar.xz", "junk.tar.bz2"])
@pytest.mark.parametrize("data", [b"", b"junk" * 1000, PNG])
def test_files_that_are_no_archives(tmp_path, name, data):
    path = tmp_path / name
    path.write_bytes(data)
    assert read_all(path) == {"": "damaged"}


def test_a_header_of_an_archive_as_large_as_memory(tmp_path):
    """An extended header of 1 GB of zeros, in 1 MB."""
    info = tarfile.TarInfo("a.png")
    info.type, info.size = tarfile.XHDTYPE, 2**30
    path = tmp_path / "a.tar.gz"
    with gzip.open(path, "wb", compresslevel=1) as file:
        file.write(info.tobuf())
        file.write(bytes(2**21))
    assert read_all(path) == {"": "damaged"}


# === Rows ===


def test_rows_in_order_over_processes(tmp_path, text_filter):
    levels = np.random.default_rng(0).permutation(60)
    for number, level in enumerate(levels):
        Image.new("RGB", (240, 240), (int(level),) * 3).save(tmp_path / f"{number:02}.png")
    rows = list(text_filter.filter([tmp_path], threshold=29.5 / 255, processes=2))
    assert [row["path"] for row in rows] == [str(tmp_path / f"{number:02}.png") for number in range(60)]
    np.testing.assert_allclose([row["score"] for row in rows], levels / 255, atol=1e-5)
    # The row has the number that the threshold was compared with.
    assert [row["decision"] for row in rows] == ["text" if row["score"] >= 29.5 / 255 else "no_text" for row in rows]
    assert [row["decision"] == "text" for row in rows] == (levels >= 30).tolist()


def test_thresholds_patterns_and_regions(tmp_path, text_filter):
    for level in (70, 80, 110, 140):  # 0.27, 0.31, 0.43, 0.55
        Image.new("RGB", (240, 240), (level,) * 3).save(tmp_path / f"{level:03}.png")
    for options, number in (
        ({}, 1),
        ({"recall": 0.94}, 2),
        ({"recall": 0.97}, 3),
        ({"recall": 0.97, "threshold": 0}, 4),
    ):
        rows = text_filter.filter([f"{tmp_path}/*.png"], processes=1, **options)
        assert [row["decision"] for row in rows] == ["no_text"] * (4 - number) + ["text"] * number
    (row,) = text_filter.filter([tmp_path / "070.png"], regions=True, processes=1)
    assert row["regions"] == [round(70 / 255, 4)] * 34
    json.dumps(row)
    (row,) = text_filter.filter([tmp_path / "none.png"], regions=True, processes=1)
    assert row == {
        "path": str(tmp_path / "none.png"),
        "score": None,
        "decision": None,
        "status": "missing",
        "regions": None,
    }


def test_wrong_arguments_are_found_before_the_first_row(tmp_path, text_filter):
    with pytest.raises(ValueError, match=r"no file fits '.*/\*.jpg'"):
        text_filter.filter([f"{tmp_path}/*.jpg"])
    with pytest.raises(ValueError, match="no threshold is stored for recall 0.5"):
        text_filter.filter([tmp_path], recall=0.5)
    with pytest.raises(ValueError, match="paths='photos': pass a list of paths"):
        text_filter.filter("photos")


# === Processes ===


def killed_by(signals):
    """What becomes of calls of `signal.raise_signal`, in groups of three; signal 0 does nothing."""
    calls = [(number, (number,)) for number in signals]
    groups = (calls[i : i + 3] for i in range(0, len(calls), 3))
    return [(key, result) for (key, _), result in spread(signal.raise_signal, groups, 2, int, (), "crashed")]


def test_a_process_that_dies_takes_nothing_else_with_it():
    signals = [0] * 7 + [signal.SIGKILL] + [0] * 30 + [signal.SIGSEGV, signal.SIGKILL] + [0] * 5
    assert killed_by(signals) == [(number, "crashed" if number else None) for number in signals]
    assert killed_by([signal.SIGKILL]) == [(signal.SIGKILL, "crashed")]
    assert killed_by([]) == []


def test_processes_that_cannot_start():
    with pytest.raises(ChildProcessError, match="the processes that decode images do not start"):
        next(spread(int, [[(0, ())]], 1, os._exit, (3,), "crashed"))


UNGUARDED = """
from kgan.runtime.processes import spread
try:
    print(list(spread(len, [[(0, ("abc",))]], 1, len, (bytes(10**6),), "crashed")))
except ChildProcessError as error:
    print(error)
"""


@pytest.mark.parametrize("from_stdin", [True, False])
def test_a_script_that_no_process_can_import_is_told_so(tmp_path, from_stdin):
    """A process that dies before it reads what it is sent left the sender waiting, if that was more than 64 kB."""
    (tmp_path / "script.py").write_text(UNGUARDED)
    command = [sys.executable, "-" if from_stdin else tmp_path / "script.py"]
    done = subprocess.run(command, input=UNGUARDED, capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout.splitlines()[-1].startswith("the processes that decode images do not start; ")


def test_an_error_in_another_process_is_not_swallowed():
    with pytest.raises(ValueError, match="invalid literal"):
        list(spread(int, [[(0, ("1",)), (1, ("x",))]], 1, int, (), "crashed"))


SCRIPT = """
import sys
from pathlib import Path
import numpy as np
from kgan.filter.text_filter import TextFilter, to_bucket

if __name__ == "__main__":
    text_filter = TextFilter.load(sys.argv[1])
    print(text_filter.score(np.zeros((1, 9, 9, 3), "uint8")))
    print([row["status"] for row in text_filter.filter([sys.argv[2]])])
    print(sorted({"tensorflow", "keras", "jax", "torch"} & set(sys.modules)))
"""


def test_neither_keras_nor_a_backend_is_imported(tmp_path, model_path):
    """Not here, and not in the processes: packages of these names that fail come first on the path."""
    for name in ("tensorflow", "keras", "jax", "torch"):
        (tmp_path / f"{name}.py").write_text("raise SystemExit(f'{__name__} was imported')")
    (tmp_path / "a.png").write_bytes(PNG)
    (tmp_path / "script.py").write_text(SCRIPT)
    command = [sys.executable, tmp_path / "script.py", model_path, tmp_path / "a.png"]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(tmp_path), os.environ.get("PYTHONPATH", "")])}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0 and done.stderr == ""
    assert done.stdout == "[0.]\n['ok']\n[]\n"
