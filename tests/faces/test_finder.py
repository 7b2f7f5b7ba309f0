"""Faces of all sizes and turns, and what is no face."""

import numpy as np
import pytest
import skimage.data
from PIL import Image

from kgan.faces.finder import Square, find_faces
from kgan.faces.mesh import EYES, LIPS

pytestmark = pytest.mark.backend_free
LEFT_EYE, RIGHT_EYE, LIPS_AT = (204, 101), (247, 103), (223, 144)  # in the photo, by hand


def middle(face, ring):
    return face.points[list(ring), :2].mean(axis=0)


def test_a_face(face):
    assert face.score > 0.99 and face.points.shape == (468, 3)
    for ring, place in ((EYES[0], LEFT_EYE), (EYES[1], RIGHT_EYE), (LIPS, LIPS_AT)):
        np.testing.assert_allclose(middle(face, ring), place, atol=4)
    assert 90 < face.size < 130
    nose, cheek = face.points[1, 2], face.points[234, 2]
    assert nose < cheek - 20  # depths grow away from the camera


@pytest.mark.parametrize("degrees", [30, 90, 150, 180, 270])
def test_a_turned_face(degrees, portrait):
    (straight,) = find_faces(portrait)
    canvas = Image.new("RGB", (400, 400), "grey")
    canvas.paste(portrait, (100, 80))
    (turned,) = find_faces(canvas.rotate(degrees, Image.Resampling.BICUBIC, fillcolor="grey"))
    angle = np.radians(degrees)
    x, y = (turned.points[:, :2] - 200).T
    back = np.column_stack([np.cos(angle) * x - np.sin(angle) * y, np.sin(angle) * x + np.cos(angle) * y]) + 200
    assert np.abs(back - (100, 80) - straight.points[:, :2]).mean() < 2.5


def test_small_faces_in_a_large_photo_and_the_largest_first(portrait):
    photo = Image.new("RGB", (1800, 1400), (90, 120, 100))
    for size, at in ((110, (1500, 1200)), (400, (300, 200)), (130, (1300, 100))):
        photo.paste(portrait.resize((size, size * 6 // 5)), at)
    faces = find_faces(photo)
    np.testing.assert_allclose([face.points[:, 0].mean() for face in faces], (488, 1361, 1552), atol=8)
    assert len(find_faces(photo, small=False)) < 3  # the whole photo shows the large one


@pytest.mark.parametrize("name", ["chelsea", "coffee", "rocket"])
def test_no_face(name):
    assert find_faces(Image.fromarray(getattr(skimage.data, name)())) == []


def test_a_close_up_at_the_limit_of_pixels(astronaut, monkeypatch):
    """The tilted square around a face is larger than the photo; no more than the photo is looked at."""
    close = astronaut.crop((150, 30, 300, 200)).rotate(40, Image.Resampling.BICUBIC)
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", close.width * close.height // 2 + 1)
    assert len(find_faces(close.convert("RGBA"))) == 1


def test_a_square_is_cut_where_it_lies():
    ramp = np.stack([*np.indices((90, 120))[::-1], np.zeros((90, 120))], axis=-1).astype("uint8")  # red is x, green y
    square = Square(60, 40, 40, np.pi / 2)
    cut = square.cut(Image.fromarray(ramp), 20)
    places = square.to_photo(np.stack(np.meshgrid(*[(np.arange(20) + 0.5) / 20] * 2), axis=-1))
    np.testing.assert_allclose(cut[..., :2], places - 0.5, atol=1.01)
    assert not Square(-50, -50, 20).cut(Image.fromarray(ramp), 8).any()  # beside the photo
