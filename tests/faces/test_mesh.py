"""The files that ship, and the mesh against the published one."""

import hashlib

import numpy as np
import pytest

from kgan.faces.mesh import (
    EYES,
    FILES,
    HOLES,
    LIPS,
    MIRROR,
    MOUTH,
    PLACES,
    POINTS,
    TRIANGLES,
    interpolated,
    region,
    texels,
)

pytestmark = pytest.mark.backend_free


def as_sets(triangles):
    return {frozenset(triangle) for triangle in triangles.tolist()}


def test_the_notice_names_the_files_that_ship():
    notice = (FILES / "NOTICE").read_text()
    files = [path for path in FILES.iterdir() if path.suffix in (".tflite", ".binarypb")]
    assert len(files) == 4
    for path in files:
        assert path.name in notice and hashlib.sha256(path.read_bytes()).hexdigest() in notice
    assert "Apache License" in (FILES / "LICENSE").read_text()


def test_the_mesh_mirrors_exactly():
    assert POINTS.shape == (468, 3) and TRIANGLES.shape == (898, 3)
    np.testing.assert_array_equal(MIRROR[MIRROR], np.arange(468))
    np.testing.assert_array_equal(POINTS[MIRROR] * (-1, 1, 1), POINTS)
    np.testing.assert_allclose(PLACES[MIRROR, 0], 1 - PLACES[:, 0], atol=1e-15)
    np.testing.assert_array_equal(PLACES[MIRROR, 1], PLACES[:, 1])
    assert {frozenset(triangle) for triangle in MIRROR[TRIANGLES].tolist()} == {
        frozenset(t) for t in TRIANGLES.tolist()
    }
    assert HOLES.sum() == 18 + 28


def test_rings_mirror_and_lie_where_they_are_said_to():
    assert {*MIRROR[list(LIPS)]} == {*LIPS} and {*MIRROR[list(MOUTH)]} == {*MOUTH}
    assert {*MIRROR[list(EYES[0])]} == {*EYES[1]}
    assert POINTS[list(EYES[0]), 0].max() < 0 < POINTS[list(EYES[1]), 0].min()
    assert POINTS[list(LIPS), 1].max() < POINTS[list(EYES[0]), 1].min()


@pytest.mark.parametrize("name", ["lips", "mouth", "eyes", "brows", "face"])
@pytest.mark.parametrize("size", [128, 256])
def test_regions(name, size):
    mask = region(name, size)
    np.testing.assert_allclose(mask, mask[:, ::-1], atol=1e-6)
    assert mask.min() >= 0 and mask.max() <= 1 and 0.0005 < mask.mean() < 0.7
    assert not mask[texels(size)[0] < 0].any()


def test_a_texel_lies_where_its_place_says():
    at = interpolated(PLACES, 64) * 64
    inside = texels(64)[0] >= 0
    row, column = np.nonzero(inside)
    np.testing.assert_allclose(at[inside], np.column_stack([column, row]) + 0.5, atol=1e-4)
    # Beside the face, that of the border goes on.
    assert np.abs(at[0, 0] - 0.5).min() > 1


def test_equal_to_the_published_mesh(shared_data):
    points, places, corners = [], [], []
    for line in (shared_data / "face_uv" / "mediapipe" / "canonical_face_model.obj").read_text().splitlines():
        kind, *values = line.split() or [""]
        if kind == "f":
            corners.append([[int(number) - 1 for number in value.split("/")[:2]] for value in values])
        elif kind in ("v", "vt"):
            (points if kind == "v" else places).append([float(value) for value in values[: 3 if kind == "v" else 2]])
    corners = np.array(corners)
    np.testing.assert_allclose(POINTS, points, atol=1e-5)
    assert as_sets(corners[..., 0]) == as_sets(TRIANGLES)
    place = np.empty((468, 2))
    place[corners[..., 0].ravel()] = np.array(places)[corners[..., 1].ravel()]
    np.testing.assert_allclose(PLACES, np.column_stack([place[:, 0], 1 - place[:, 1]]), atol=2e-3)
