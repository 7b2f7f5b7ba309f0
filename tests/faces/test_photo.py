"""Photographs of every kind: what is not painted stays, and what the file says of itself."""

import io

import numpy as np
import pytest
from image_files import encode, png
from PIL import Image, ImageCms, ImageOps

from kgan.faces.mesh import HOLES, TRIANGLES
from kgan.faces.photo import SUFFIXES, Photo
from kgan.faces.raster import rasterise
from kgan.runtime.files import Undecodable

pytestmark = pytest.mark.backend_free
SRGB = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()


@pytest.fixture(scope="module")
def reddened(face):
    """Something to paint: the face becomes 20 units redder."""
    difference = np.zeros((128, 128, 3), "float32")
    difference[..., 1] = 20
    return [(face.points, difference)]


@pytest.fixture(scope="module")
def painted_area(face):
    triangle, _ = rasterise(face.points, TRIANGLES, (512, 512))
    return (triangle >= 0) & ~HOLES[triangle]


def paint(data, faces, suffix=None):
    photo = Photo.read(data)
    return Image.open(io.BytesIO(photo.encoded(photo.painted(faces), suffix)))


def test_only_the_face_changes(astronaut, reddened, painted_area):
    before, after = np.asarray(astronaut), np.asarray(Photo.of(astronaut).painted(reddened))
    changed = (before != after).any(axis=-1)
    assert not changed[~painted_area].any() and changed[painted_area].mean() > 0.99
    redder = after[painted_area].astype(int) - before[painted_area]
    assert np.median(redder[:, 0]) > 8 and np.median(redder[:, 1]) < -8
    same = Photo.of(astronaut).painted([(points, 0 * difference) for points, difference in reddened])
    assert same.tobytes() == astronaut.tobytes()


@pytest.mark.parametrize("mode", ["RGB", "RGBA", "L", "LA", "P", "CMYK", "1"])
def test_modes(mode, astronaut, reddened, painted_area):
    if mode in ("RGBA", "LA"):
        image = astronaut.convert(mode)
        image.putalpha(Image.linear_gradient("L").resize((512, 512)))
    else:
        image = astronaut.quantize(256) if mode == "P" else astronaut.convert(mode)
    painted = Photo.of(image).painted(reddened)
    assert painted.mode == {"L": "RGB", "LA": "RGBA", "P": "RGB", "1": "RGB"}.get(mode, mode) and painted.size == (
        512,
        512,
    )
    before, after = np.asarray(image.convert(painted.mode)), np.asarray(painted)
    np.testing.assert_array_equal(after[~painted_area], before[~painted_area])
    assert (after[painted_area] != before[painted_area]).any(axis=-1).mean() > 0.5
    if "A" in mode:
        np.testing.assert_array_equal(after[..., 3], np.asarray(image.getchannel("A")))


def test_sixteen_bits(astronaut, reddened):
    grey = np.asarray(astronaut.convert("L"), "uint16") * 257
    painted = paint(png(grey, 16, 0), reddened)
    assert painted.mode == "RGB"
    assert np.abs(np.asarray(painted.convert("L"), int) - np.asarray(astronaut.convert("L")))[:20].max() == 0


@pytest.mark.parametrize("orientation", range(1, 9))
def test_turned_by_exif(orientation, astronaut, reddened):
    """A photo that lies, as cameras write it, is painted where its face is, and goes on lying."""
    back = {1: None, 2: 0, 3: 3, 4: 1, 5: 5, 6: 2, 7: 6, 8: 4}[orientation]  # the transposition that undoes it
    stored = astronaut if back is None else astronaut.transpose(Image.Transpose(back))
    exif = Image.Exif()
    exif[0x0112] = orientation
    exif[0x010F] = "a camera"
    photo = Photo.read(encode(stored, "PNG", exif=exif))
    np.testing.assert_array_equal(np.asarray(photo.rgb), np.asarray(astronaut))
    painted = Image.open(io.BytesIO(photo.encoded(photo.painted(reddened))))
    assert dict(painted.getexif()) == {0x0112: orientation, 0x010F: "a camera"}
    expected = Photo.of(astronaut).painted(reddened)
    expected = expected if back is None else expected.transpose(Image.Transpose(back))
    np.testing.assert_array_equal(np.asarray(painted), np.asarray(expected))


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_formats_keep_their_kind_and_profile(suffix, astronaut, reddened):
    kind = SUFFIXES[suffix]
    extra = {} if kind in ("GIF", "BMP", "JPEG2000") else {"icc_profile": SRGB}
    image = astronaut.quantize(256) if kind == "GIF" else astronaut
    options = {"quality": 95} if kind in ("AVIF", "HEIF") else {}
    data = encode(image, kind, **extra, **options)
    painted = paint(data, reddened)
    assert painted.format == kind and painted.size == (512, 512)
    far = np.s_[300:, :100]
    before = np.asarray(Image.open(io.BytesIO(data)).convert("RGB"), int)
    lossy = kind in ("JPEG", "WEBP", "AVIF", "HEIF", "GIF")
    assert np.abs(np.asarray(painted.convert("RGB"), int) - before)[far].mean() < (2 if lossy else 0.01)
    assert painted.info.get("icc_profile") == extra.get("icc_profile")


def test_a_jpeg_is_written_with_its_own_tables(astronaut, reddened, painted_area):
    data = encode(astronaut, "JPEG", quality=70, subsampling=2, dpi=(300, 300))
    before, after = Image.open(io.BytesIO(data)), paint(data, reddened)
    assert after.quantization == before.quantization and after.info["dpi"] == (300, 300)
    far = np.ones((512, 512), bool)
    far[:240, 100:340] = False
    assert np.abs(np.asarray(after, int) - np.asarray(before))[far].mean() < 0.2


def test_profiles_of_other_colours_are_dropped(astronaut, reddened):
    """The profile of a grey photo does not describe the colours it gets."""
    data = encode(astronaut.convert("L"), "PNG", icc_profile=SRGB)
    assert "icc_profile" not in paint(data, reddened).info


def test_another_format(astronaut, reddened):
    transparent = astronaut.convert("RGBA")
    transparent.putalpha(128)
    for suffix, mode in ((".jpg", "RGB"), (".bmp", "RGB"), (".webp", "RGBA"), (".PNG", "RGBA")):
        painted = paint(encode(transparent), reddened, suffix)
        assert (painted.format, painted.mode) == (SUFFIXES[suffix.lower()], mode)
    cmyk = encode(astronaut.convert("CMYK"), "JPEG")
    assert paint(cmyk, reddened).mode == "CMYK" and paint(cmyk, reddened, ".png").mode == "RGB"


@pytest.mark.parametrize("profile", [b"", SRGB, SRGB + bytes(1), bytes(100_001)])
def test_lossless_webp_stays_lossless_behind_a_profile(profile, astronaut, reddened, painted_area):
    for lossless in (True, False):
        data = encode(astronaut, "WEBP", lossless=lossless, quality=80, icc_profile=profile)
        before, after = (
            np.asarray(image.convert("RGB"), int) for image in (Image.open(io.BytesIO(data)), paint(data, reddened))
        )
        changed = (before != after).any(axis=-1)
        assert changed[painted_area].mean() > 0.9
        assert (changed[~painted_area].mean() < 0.01) == lossless


def test_a_tiff_of_inks_stays_one(astronaut, reddened, painted_area):
    data = encode(astronaut.convert("CMYK"), "TIFF", icc_profile=SRGB)
    before, after = Image.open(io.BytesIO(data)), paint(data, reddened)
    assert after.mode == "CMYK" and after.info["icc_profile"] == SRGB
    np.testing.assert_array_equal(np.asarray(after)[300:], np.asarray(before)[300:])


def test_animations_are_refused(astronaut):
    frames = [astronaut.quantize(16), astronaut.quantize(16).rotate(90)]
    gif = encode(frames[0], "GIF", save_all=True, append_images=frames[1:])
    moving = encode(astronaut, "PNG", save_all=True, append_images=[astronaut.rotate(90)])
    film = encode(astronaut, "AVIF", save_all=True, append_images=[astronaut.rotate(90)])
    pages = encode(astronaut, "TIFF", save_all=True, append_images=[astronaut.rotate(90)])
    for data, words in ((gif, "an animation"), (moving, "an animation"), (film, "an animation"), (pages, "pages")):
        with pytest.raises(Undecodable, match=words) as refused:
            Photo.read(data)
        assert refused.value.status == "unsupported"
    # A second picture behind the first, as phones write it, is no animation.
    double = encode(astronaut, "MPO", save_all=True, append_images=[astronaut.rotate(90)])
    assert Photo.read(double).rgb.size == (512, 512)


def test_a_face_larger_than_its_texture(astronaut, reddened, face):
    large = astronaut.crop((150, 30, 300, 200)).resize((1200, 1360), Image.Resampling.BICUBIC)
    points = (face.points - (150, 30, 0)) * 8
    before, after = np.asarray(large, int), np.asarray(Photo.of(large).painted([(points, reddened[0][1])]), int)
    triangle, _ = rasterise(points, TRIANGLES, (1360, 1200))
    changed = (before != after).any(axis=-1)
    inside = (triangle >= 0) & ~HOLES[triangle]
    assert changed[inside].mean() > 0.98 and changed[~inside].mean() < 0.03
    holes = np.isin(triangle, np.flatnonzero(HOLES))
    assert holes.sum() > 2000 and changed[holes].mean() < 0.01


def test_black_ink_stays(astronaut, reddened, painted_area):
    inks = np.asarray(astronaut.convert("CMYK")).copy()
    inks[..., 3] = 40
    painted = Photo.of(Image.fromarray(inks, "CMYK")).painted(reddened)
    assert painted.getextrema()[3] == (40, 40)
    before, after = (np.asarray(image.convert("RGB"), int) for image in (Image.fromarray(inks, "CMYK"), painted))
    assert np.median((after - before)[painted_area][:, 1]) < -5
    np.testing.assert_array_equal(after[~painted_area], before[~painted_area])


def test_formats_without_exif_are_written_upright(astronaut, reddened):
    exif = Image.Exif()
    exif[0x0112] = 6
    lying = encode(astronaut.crop((0, 0, 512, 400)).transpose(Image.Transpose.ROTATE_90), "PNG", exif=exif)
    for suffix in (".bmp", ".tif", ".jp2"):
        assert paint(lying, reddened, suffix).size == (512, 400)
    assert paint(lying, reddened, ".png").size == (400, 512)
    exif[0x010F] = "a camera"
    lying = encode(astronaut.transpose(Image.Transpose.ROTATE_90), "JPEG", exif=exif)
    found = paint(lying, reddened, ".tif").getexif()
    assert found[0x010F] == "a camera" and found.get(0x0112, 1) == 1


@pytest.mark.parametrize("kind", ["AVIF", "TIFF"])  # HEIC photos say nowhere that they lie
def test_photos_that_lie_are_painted_upright(kind, astronaut, reddened):
    exif = Image.Exif()
    exif[0x0112] = 6
    upright = astronaut.crop((0, 0, 512, 400))
    options = {"quality": 95} if kind == "AVIF" else {}
    lying = encode(upright.transpose(Image.Transpose.ROTATE_90), kind, exif=exif, **options)
    expected = np.asarray(Photo.of(upright).painted(reddened), int)
    painted = np.asarray(ImageOps.exif_transpose(paint(lying, reddened)), int)
    assert painted.shape == expected.shape and np.abs(painted - expected).mean() < 3


def test_exif_too_long_for_the_format(astronaut, reddened):
    exif = Image.Exif()
    exif[0x010E] = "x" * 70_000
    assert paint(encode(astronaut, "PNG", exif=exif), reddened, ".jpg").getexif() == {}


def test_a_face_beside_the_photo_changes_nothing(astronaut, reddened):
    points, difference = reddened[0]
    assert Photo.of(astronaut).painted([(points + (900, 0, 0), difference)]).tobytes() == astronaut.tobytes()


def test_what_a_format_cannot_hold():
    wide = Photo.of(Image.new("RGB", (16400, 4)))
    with pytest.raises(Undecodable, match="WEBP cannot hold it") as caught:
        wide.encoded(wide.stored, ".webp")
    assert caught.value.status == "unsupported"
    assert Image.open(io.BytesIO(wide.encoded(wide.stored, ".png"))).size == (16400, 4)
    # EXIF data that are too long for JPEG are left out.
    said = Photo.of(Image.new("RGB", (8, 8)))
    said.stored.info["exif"] = b"Exif\0\0" + bytes(70000)
    assert "exif" not in Image.open(io.BytesIO(said.encoded(said.stored, ".jpg"))).info
