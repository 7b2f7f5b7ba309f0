"""PRNet's mesh on its own files, and positions of a network that is known."""

import numpy as np
import pytest
from PIL import Image
from prnet_files import Flat, write_prnet

from kgan.faces.finder import Face
from kgan.faces.mesh import BROWS, POINTS, inside, interpolated, region, texels
from kgan.faces.prnet import SIDE, PRNet, around, read_mesh
from kgan.faces.skin import part_map
from kgan.faces.texture import render_table, unwrap, visibility

pytestmark = pytest.mark.backend_free


@pytest.fixture
def folder(shared_data):
    return shared_data / "face_uv" / "prnet"


def face_at(x, y, size):
    points = POINTS * (1, -1, -1) * size / np.ptp(POINTS[:, :2], axis=0).max() + (x, y, 0)
    return Face(points, 1.0)


def test_the_mesh_is_that_of_the_published_files(folder):
    mesh = read_mesh(folder)
    face = np.zeros(SIDE**2, bool)
    face[np.loadtxt(folder / "face_ind.txt").astype(int)] = True
    face = face.reshape(SIDE, SIDE)
    found = texels(SIDE, mesh)[0] >= 0
    assert (found != face).sum() <= 38 and (inside(SIDE, mesh.layout) != face).sum() <= 60
    published = np.load(folder / "triangles_from_grid.npz")["triangles"]
    assert abs(len(mesh.triangles) - len(published)) < 200
    marks = np.loadtxt(folder / "uv_kpt_ind.txt").T + 0.5
    np.testing.assert_allclose(np.array(mesh.layout.lips) * SIDE, marks[48:60], atol=1)
    np.testing.assert_allclose(np.array(mesh.layout.eyes).reshape(-1, 2) * SIDE, marks[36:48], atol=1)
    eyes = np.asarray(Image.open(folder / "uv_face_eyes.png").convert("L")) > 0
    assert eyes[part_map(SIDE, mesh.layout) == 0].any()


def test_its_regions_are_symmetric_and_where_they_should_be(folder):
    layout = read_mesh(folder).layout
    for size in (64, 256):
        parts = part_map(size, layout)
        np.testing.assert_array_equal(parts, parts[:, ::-1])
        rows = [np.nonzero(parts == number)[0].mean() / size for number in (1, 2)]
        assert 0.5 < rows[0] < 0.6 and 0.2 < rows[1] < 0.3
        brows = np.nonzero(region("brows", size, layout) > 0.5)[0].mean() / size
        assert brows < rows[1]


def test_it_is_mirrored_by_reversing_its_rows(folder):
    mesh = read_mesh(folder)
    there = {tuple(place) for place in np.round(mesh.places * SIDE * 2).astype(int).tolist()}
    assert there == {(2 * SIDE - x, y) for x, y in there}


def test_a_texture_is_read_where_the_network_says(folder):
    prnet = PRNet(folder, Flat())
    face = face_at(300, 260, 200)
    photo = Image.fromarray(np.random.default_rng(0).integers(0, 255, (520, 600, 3)).astype("uint8"))
    points = prnet.points(photo, face)
    square = around(face)
    low = face.points[sorted({*BROWS[0], *BROWS[1]}), 1].min()
    middle = ((face.points[:, 0].min() + face.points[:, 0].max()) / 2, (low + face.points[:, 1].max()) / 2)
    np.testing.assert_allclose((square.x, square.y), middle)
    # `Flat` puts texel 127 at 127.5, counted from the centre of the first pixel: in the middle.
    at = np.flatnonzero((np.abs(prnet.mesh.places * SIDE - 127.5) < 0.1).all(axis=1))
    np.testing.assert_allclose(points[at, :2], [middle], atol=1e-6)
    assert points[at, 2] < points[:, 2].max() - 10 * square.side / SIDE  # the nose is nearer

    pixels = np.stack(np.meshgrid(np.arange(600.0), np.arange(520.0)), axis=-1)
    texture = unwrap(pixels, points, 128, prnet.mesh)
    seen = texels(128, prnet.mesh)[0] >= 0
    np.testing.assert_allclose((texture + 0.5)[seen], interpolated(points[:, :2], 128, prnet.mesh)[seen], atol=1e-3)
    visible = visibility(points, (520, 600), 128, prnet.mesh)
    assert visible[seen].mean() > 0.8 and not visible[~seen].any()
    # And back: a texture of places is drawn where they are.
    index, weight, alpha = render_table(points, (520, 600), 128, mesh=prnet.mesh)
    drawn = (texture.reshape(-1, 2)[index] * weight[..., None]).sum(axis=1).reshape(520, 600, 2)
    inner = alpha > 0.9
    assert inner.sum() > 2000 and np.abs(drawn - pixels)[inner].max() < 1


def test_other_files_in_the_format(tmp_path):
    mesh = read_mesh(write_prnet(tmp_path))
    assert mesh.holes.any() and set(np.unique(part_map(64, mesh.layout))) == {0, 1, 2, 3}


@pytest.mark.parametrize(
    "face_ind, marks, error, words",
    [
        (None, "", FileNotFoundError, "face_ind.txt is missing: pass the folder Data/uv-data"),
        ("one two", "", ValueError, "face_ind.txt is no file of numbers"),
        ("-1 3", "", ValueError, "numbers below 0, or none"),
        ("1 2 3", "1 2 3\n4 5 6", ValueError, "are not PRNet's, for 256 x 256 texels"),
        ("1 2 70000", "\n".join([" ".join(["3"] * 68)] * 2), ValueError, "are not PRNet's"),
    ],
)
def test_files_that_are_not_prnets(tmp_path, face_ind, marks, error, words):
    if face_ind is not None:
        (tmp_path / "face_ind.txt").write_text(face_ind)
    (tmp_path / "uv_kpt_ind.txt").write_text(marks)
    with pytest.raises(error, match=words):
        read_mesh(tmp_path)


def test_a_network_of_another_size(folder):
    network = Flat()
    network.size = 64
    with pytest.raises(ValueError, match="The network has size 64: PRNet's files are for 256"):
        PRNet(folder, network)
