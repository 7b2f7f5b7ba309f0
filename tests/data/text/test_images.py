import numpy as np
import pytest
from matplotlib.path import Path

from kgan.data import flip_and_rotate

pytestmark = pytest.mark.backend_free
QUAD = np.array([(20.0, 15), (70, 22), (66, 45), (18, 38)])


def painted(polygon, size):
    """White where the centre of a pixel lies in a polygon, by matplotlib."""
    height, width = size
    x, y = np.meshgrid(np.arange(width) + 0.5, np.arange(height) + 0.5)
    inside = Path(polygon).contains_points(np.stack([x.ravel(), y.ravel()], 1)).reshape(size)
    return np.repeat((255 * inside)[..., None], 3, axis=2).astype("uint8")


def test_outlines_turn_with_the_image():
    size = (60, 100)
    images = np.stack([painted(QUAD, size)] * 12)
    turned, polygons = flip_and_rotate(images, [[QUAD, QUAD + 5]] * 12, degrees=30, seed=1)
    assert turned.dtype == np.uint8 and turned.shape == images.shape
    angles = []
    for image, (outline, other) in zip(turned, polygons, strict=True):
        expected, found = painted(outline, size)[..., 0] > 0, image[..., 0] > 127
        assert (expected & found).sum() / (expected | found).sum() > 0.95
        # Lengths stay, and the order of the corners changes its sense.
        np.testing.assert_allclose(np.linalg.norm(np.diff(outline, axis=0), axis=1),
                                   np.linalg.norm(np.diff(QUAD, axis=0), axis=1))  # fmt: skip
        np.testing.assert_allclose(np.linalg.norm(other - outline, axis=1), np.sqrt(50))
        x, y = outline[1] - outline[0]
        angles.append(np.degrees(np.arctan2(y, x) - np.arctan2(7, -50)))
    angles = (np.array(angles) + 180) % 360 - 180
    assert np.abs(angles).max() <= 30 and angles.min() < -10 and angles.max() > 10


def test_corners_are_filled_from_the_edge():
    images = np.full((8, 40, 60, 3), 200, "uint8")
    turned, polygons = flip_and_rotate(images, [[]] * 8, degrees=45)
    assert (turned == 200).all() and polygons == [[]] * 8


def test_without_an_angle_it_mirrors():
    images = np.random.default_rng(0).integers(0, 256, (3, 20, 31, 3), "uint8")
    turned, polygons = flip_and_rotate(images, [[np.array([(0.0, 0), (10, 0), (10, 5)])]] * 3, degrees=0)
    np.testing.assert_array_equal(turned, images[:, :, ::-1])
    np.testing.assert_allclose(polygons[0][0], [(31, 0), (21, 0), (21, 5)])


def test_a_seed_gives_the_same_angles_and_leaves_the_images_alone():
    images = np.random.default_rng(0).integers(0, 256, (4, 20, 20, 3), "uint8")
    before = images.copy()
    one, two, other = (flip_and_rotate(images, [[]] * 4, seed=seed)[0] for seed in (1, 1, 2))
    np.testing.assert_array_equal(one, two)
    np.testing.assert_array_equal(images, before)
    assert not np.array_equal(one, other)


@pytest.mark.parametrize("degrees, count", [(-1, 2), (91, 2), (5, 3)])
def test_bad_arguments(degrees, count):
    with pytest.raises(ValueError, match="degrees" if count == 2 else "outlines"):
        flip_and_rotate(np.zeros((2, 9, 9, 3), "uint8"), [[]] * count, degrees=degrees)
