"""PRNet's mesh on its own files, and positions of a network that is known."""

import numpy as np
import pytest
from PIL import Image
from prnet_files import Flat, write_prnet

from kgan.faces.finder import Face
from kgan.faces.look import Unsuitable
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
    np.testing.assert_allclose(np.array(mesh.layout.mouth) * SIDE, marks[60:68], atol=1)
    upper = np.array(mesh.layout.brows)[:, :5].reshape(-1, 2) * SIDE
    np.testing.assert_allclose(upper, marks[17:27], atol=1)
    # Holes are what lies between the lids and the lips of the landmarks.
    held = mesh.places[mesh.triangles[mesh.holes]].mean(axis=1) * SIDE
    for ring in (marks[36:42], marks[42:48], marks[60:68]):
        low, high = ring.min(axis=0) - 1.5, ring.max(axis=0) + 1.5
        in_it = ((held > low) & (held < high)).all(axis=1)
        assert 0.5 < in_it.sum() / 2 / (np.ptp(ring, axis=0).prod() * 0.65) < 1.6


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
    left, right, below = face.points[:, 0].min(), face.points[:, 0].max(), face.points[:, 1].max()
    np.testing.assert_allclose((square.x, square.y), ((left + right) / 2, (low + below) / 2))
    side = 1.6 * (right - left + below - low) / 2
    assert square.side == pytest.approx(side) and square.angle == pytest.approx(0)
    # Where `Flat` puts a texel, counted from the centre of the first pixel, and how deep.
    row, column = 100, 90
    at = np.flatnonzero((np.abs(prnet.mesh.places * SIDE - (column + 0.5, row + 0.5)) < 0.1).all(axis=1))
    x, y = (column - 127.5) * 0.62 + 127.5 + 0.5, row * 0.62 + 22 + 0.5
    expected = square.x + (x / SIDE - 0.5) * side, square.y + (y / SIDE - 0.5) * side
    depth = -60 * np.exp(-((column - 127.5) ** 2) / 2 / 50**2) * side / SIDE
    np.testing.assert_allclose(points[at], [(*expected, depth)], rtol=1e-5)

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


@pytest.mark.parametrize("turn", [0, 30, 90, 135, 180])
def test_turned_faces_are_cut_out_like_upright_ones(turn):
    face = face_at(300, 260, 200)
    angle = np.radians(turn)
    turned = np.array([(np.cos(angle), np.sin(angle)), (-np.sin(angle), np.cos(angle))])
    middle = np.array((300.0, 260))
    points = np.column_stack([(face.points[:, :2] - middle) @ turned + middle, face.points[:, 2]])
    before, after = around(face), around(Face(points, 1.0))
    assert after.side == pytest.approx(before.side)
    np.testing.assert_allclose(np.array(after[:2]) - middle, (np.array(before[:2]) - middle) @ turned, atol=1e-6)
    grid = np.array([(0.0, 0), (1, 0), (1, 1), (0.3, 0.8)])
    np.testing.assert_allclose(after.to_photo(grid) - middle, (before.to_photo(grid) - middle) @ turned, atol=1e-6)


def test_a_network_without_weights_is_noticed(tmp_path):
    prnet = PRNet(write_prnet(tmp_path), Flat())
    face, photo = face_at(300, 260, 200), Image.new("L", (600, 520))
    assert np.isfinite(prnet.points(photo, face)).all()
    for value in (40.0, np.nan):
        prnet.network.positions = lambda faces, value=value: np.full((1, SIDE, SIDE, 3), value, "float32")
        with pytest.raises(Unsuitable, match="has its checkpoint been loaded") as caught:
            prnet.points(photo, face)
        assert caught.value.status == "astray"


def test_the_digest_tells_weights_and_files_apart(tmp_path):
    folder = write_prnet(tmp_path)
    prnet = PRNet(folder, Flat())
    before = prnet.digest
    assert PRNet(folder, Flat()).digest == before
    prnet.network.weight = 1.0
    assert prnet.digest != before
    marks = np.loadtxt(folder / "uv_kpt_ind.txt")
    marks[1, 48:60] += 5
    np.savetxt(folder / "uv_kpt_ind.txt", marks)
    assert PRNet(folder, Flat()).digest != before


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
