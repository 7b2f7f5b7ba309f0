"""Textures: there and back, what is hidden, and what is in front."""

import io
import zipfile

import numpy as np
import pytest
from PIL import Image, ImageDraw

from kgan.faces.finder import find_faces
from kgan.faces.mesh import POINTS, interpolated, region, texels
from kgan.faces.skin import skin_tone
from kgan.faces.texture import facing, read_texture, render, unwrap, visibility

pytestmark = pytest.mark.backend_free
SIZE = 256


def turned(degrees, size=200):
    """The canonical face in pixels, `size` high, looking to the side."""
    angle = np.radians(degrees)
    x, y, z = (POINTS * (1, -1, -1)).T
    points = np.column_stack([np.cos(angle) * x + np.sin(angle) * z, y, np.cos(angle) * z - np.sin(angle) * x])
    return (points - points.min(axis=0)) * size / np.ptp(y) + (20, 20, 0)


def decibels(error):
    return 10 * np.log10(255**2 / np.mean(np.square(error)))


def test_there_and_back(astronaut, face):
    pixels = np.asarray(astronaut, "float32")
    image, covered = render(unwrap(pixels, face.points, 512), face.points, pixels.shape[:2])
    assert decibels((image - pixels)[covered]) > 34
    assert not image[~covered].any()


def test_there_and_back_on_all_faces(shared_data):
    with zipfile.ZipFile(shared_data / "makeup_faces" / "makeup_faces.zip") as archive:
        names = [name for name in archive.namelist() if name.startswith("images/") and name.endswith(".png")]
        found = []
        for name in names[::3]:
            photo = Image.open(io.BytesIO(archive.read(name))).convert("RGB")
            face = find_faces(photo)[0]
            pixels = np.asarray(photo, "float32")
            image, covered = render(unwrap(pixels, face.points, 512), face.points, pixels.shape[:2])
            found.append(decibels((image - pixels)[covered]))
    assert len(found) == 17 and min(found) > 34 and np.mean(found) > 40


def test_a_texture_moves_with_its_face():
    """A drawing in UV, rendered on a turned face and read again, is the same where it can be seen."""
    down, right = np.indices((SIZE, SIZE)) / SIZE
    drawing = np.stack([128 + 100 * np.sin(20 * right), 128 + 100 * np.sin(25 * down), 255 * right], axis=-1)
    for degrees in (0, 25):
        points = turned(degrees)
        image, _ = render(drawing.astype("float32"), points, (260, 320))
        again = unwrap(image, points, SIZE)
        seen = (visibility(points, (260, 320), SIZE) > 0.9) & (region("eyes", SIZE) + region("mouth", SIZE) < 0.01)
        seen &= interpolated(facing(points), SIZE) > 0.5
        assert seen.mean() > 0.2 and np.abs(again - drawing)[seen].mean() < 4


def test_visibility_of_a_turned_face():
    inside = texels(SIZE)[0] >= 0
    frontal, left, profile = (visibility(turned(degrees), (260, 320), SIZE) for degrees in (0, 40, 90))
    np.testing.assert_allclose(frontal, frontal[:, ::-1], atol=0.1)
    assert frontal[inside].mean() > 0.75 and not frontal[~inside].any()
    halves = [left[:, half][inside[:, half]].mean() for half in (slice(SIZE // 2), slice(SIZE // 2, None))]
    assert min(halves) < 0.4 and max(halves) > 0.9
    assert profile[inside].mean() < 0.5
    # Turned to the other side, the other half is seen.
    assert np.abs(visibility(turned(-40), (260, 320), SIZE) - left[:, ::-1]).mean() < 0.01


def test_what_the_photo_cuts_off_is_hidden():
    points = turned(0)
    whole, cut = visibility(points, (260, 320), SIZE), visibility(points, (140, 320), SIZE)
    below = interpolated(points[:, 1], SIZE) >= 140
    assert not cut[below].any()
    np.testing.assert_allclose(cut[~below], whole[~below], atol=1e-6)


def test_drawn_occluders(astronaut, face):
    """What is drawn over forehead and cheek is taken for a cover, and little else."""
    x0, y0 = face.points[:, :2].min(axis=0)
    x1, y1 = face.points[:, :2].max(axis=0)
    mask = Image.new("L", astronaut.size)
    pen = ImageDraw.Draw(mask)
    pen.rectangle((x0, y0 - 5, x0 + 0.12 * (x1 - x0), y1), 255)
    pen.polygon([(x0, y0 - 5), (x1, y0 - 5), (x1, y0 + 0.1 * (y1 - y0)), (x0, y0 + 0.3 * (y1 - y0))], 255)
    drawn = unwrap(np.asarray(mask, "float32")[..., None], face.points, SIZE)[..., 0] > 127
    plain = read_texture(astronaut, face.points, SIZE).visible
    judged = (plain > 0.5) & (region("brows", SIZE) + region("lips", SIZE) + region("eyes", SIZE) < 0.01)
    overlaps = []
    for colour in ((40, 30, 25), (220, 190, 110), (60, 80, 170)):  # dark hair, fair hair, a scarf
        photo = Image.composite(Image.new("RGB", astronaut.size, colour), astronaut, mask)
        found = judged & (read_texture(photo, face.points, SIZE).visible < 0.5)
        overlaps.append((found & drawn).sum() / ((found | drawn) & judged).sum())
    assert np.mean(overlaps) >= 0.8 and min(overlaps) > 0.75


def test_lips_behind_a_scarf_are_covered(astronaut, face):
    mouth = face.points[[61, 291, 0, 17], :2]
    scarf = astronaut.copy()
    low, high = mouth.min(axis=0) - (30, 12), mouth.max(axis=0) + (30, 60)
    ImageDraw.Draw(scarf).rectangle((*low, *high), (60, 80, 170))
    lips = region("lips", SIZE) > 0.5
    plain, covered = (read_texture(image, face.points, SIZE).visible[lips].mean() for image in (astronaut, scarf))
    assert plain > 0.8 and covered < 0.2


def test_skin_tone_is_that_of_the_skin(astronaut, face):
    texture = read_texture(astronaut, face.points, SIZE)
    cheek = texture.lab[int(0.55 * SIZE), [int(0.3 * SIZE), int(0.7 * SIZE)]].mean(axis=0)
    np.testing.assert_allclose(texture.tone, cheek, atol=12)
    # The same where only one half can be seen.
    half = texture.visible * (np.arange(SIZE) < SIZE // 2)
    np.testing.assert_allclose(skin_tone(texture.lab, half), texture.tone, atol=6)


def test_a_large_face_is_reduced_and_gives_the_same(astronaut, face):
    large = astronaut.resize((2048, 2048), Image.Resampling.BICUBIC)
    small = read_texture(astronaut, face.points, SIZE)
    big = read_texture(large, face.points * 4, SIZE)
    assert np.abs(small.lab - big.lab)[small.visible > 0.5].mean() < 1.5
    np.testing.assert_allclose(small.tone, big.tone, atol=1)
