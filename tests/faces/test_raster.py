"""Triangles to pixels against a loop over pixels, interpolation against SciPy."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage

from kgan.faces.raster import four_around, rasterise, resized, sample

pytestmark = pytest.mark.backend_free


def by_loop(points, triangles, shape):
    """`rasterise`, pixel by pixel, in float64."""
    found = np.full(shape, -1)
    weights = np.zeros((*shape, 3))
    for y, x in np.ndindex(*shape):
        nearest = np.inf
        for number, corners in enumerate(points[triangles]):
            system = np.vstack([corners[:, :2].T, np.ones(3)])
            if abs(np.linalg.det(system)) < 1e-9:
                continue
            share = np.linalg.solve(system, (x + 0.5, y + 0.5, 1))
            if share.min() >= -1e-9 and share @ corners[:, 2] < nearest:
                nearest, found[y, x], weights[y, x] = share @ corners[:, 2], number, share
    return found, weights


@given(st.integers(0, 2**32 - 1))
@settings(max_examples=25, deadline=None)
def test_the_nearest_triangle_of_each_pixel(seed):
    rng = np.random.default_rng(seed)
    points = np.column_stack([rng.uniform(-4, 16, (9, 2)), rng.normal(size=9)])  # some of them outside
    triangles = np.array([rng.choice(9, 3, replace=False) for _ in range(6)])
    expected, weights = by_loop(points, triangles, (11, 13))
    triangle, share = rasterise(points, triangles, (11, 13))
    np.testing.assert_array_equal(triangle < 0, expected < 0)
    # At an edge that two share, either may be found: what has to agree is where the surface is.
    places = [
        np.einsum("ijk,ijkl->ijl", of, points[triangles[found]])
        for found, of in ((triangle, share), (expected, weights))
    ]
    np.testing.assert_allclose(*places, atol=1e-4)


def test_a_flat_triangle_covers_nothing_and_one_outside_neither():
    points = np.array([(0.0, 0), (4, 4), (8, 8), (20, 20), (30, 20), (20, 30)])
    triangle, _ = rasterise(points, np.array([(0, 1, 2), (3, 4, 5)]), (8, 8))
    assert (triangle == -1).all()


@given(st.integers(0, 2**32 - 1), st.integers(2, 7), st.integers(2, 7))
@settings(max_examples=25, deadline=None)
def test_four_pixels_around_a_place_give_what_sample_gives(seed, height, width):
    rng = np.random.default_rng(seed)
    values = rng.random((height, width, 2)).astype("float32")
    places = rng.uniform(-2, 9, (12, 2))
    index, weight = four_around(places, (height, width))
    assert index.dtype == "int32" and 0 <= index.min() and index.max() < height * width
    np.testing.assert_allclose(weight.sum(axis=1), 1, atol=1e-6)
    taken = (values.reshape(-1, 2)[index] * weight[..., None]).sum(axis=1)
    np.testing.assert_allclose(taken, sample(values, places), atol=1e-5)


@given(st.integers(0, 2**32 - 1), st.integers(1, 7), st.integers(1, 7))
@settings(max_examples=25, deadline=None)
def test_sample_is_bilinear_between_centres(seed, height, width):
    rng = np.random.default_rng(seed)
    values = rng.random((height, width, 2)).astype("float32")
    places = rng.uniform(-2, 9, (5, 4, 2))
    at = [places[..., 1] - 0.5, places[..., 0] - 0.5]
    expected = np.stack([ndimage.map_coordinates(values[..., i], at, order=1, mode="nearest") for i in (0, 1)], axis=-1)
    np.testing.assert_allclose(sample(values, places), expected, atol=1e-5)
    np.testing.assert_allclose(sample(values[..., 0], places), expected[..., 0], atol=1e-5)


def test_resized():
    values = np.random.default_rng(0).random((12, 8, 3)).astype("float32")
    np.testing.assert_allclose(resized(values, (4, 6)), values.reshape(6, 2, 4, 2, 3).mean(axis=(1, 3)), atol=1e-6)
    ramp = np.tile(np.arange(4, dtype="float32"), (4, 1))
    np.testing.assert_allclose(resized(ramp, 8)[0], (0, 0.25, 0.75, 1.25, 1.75, 2.25, 2.75, 3), atol=1e-6)
    assert resized(values[:8], 8).dtype == "float32"
