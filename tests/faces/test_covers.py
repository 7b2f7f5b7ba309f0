"""What is in front of a face: what the network sees, and what it finds on a photograph."""

import dataclasses

import numpy as np
import pytest
import skimage.data

from kgan.data.faces.painter import FacePainter, Layer, behind
from kgan.faces.colour import lab_to_rgb, rgb_to_lab
from kgan.faces.covers import SCALE, features, uncovered
from kgan.faces.mesh import MEDIAPIPE, region
from kgan.faces.raster import resized
from kgan.faces.skin import around_eyes, like_skin, skin_area, skin_tone
from kgan.faces.texture import unwrap, visibility

pytestmark = pytest.mark.backend_free
SIZE = 256


@pytest.fixture(scope="module")
def shown(astronaut, face):
    """The astronaut's texture from 0 to 1, and how well the pose shows each texel."""
    rgb = unwrap(np.asarray(astronaut, "float32"), face.points, SIZE)
    return rgb / 255, visibility(face.points, astronaut.size[::-1], SIZE)


def hidden_behind(cover, shown):
    """Where the network says that a `Layer` hides the astronaut, and where it does, among visible skin."""
    rgb, seen = shown
    at = skin_area(SIZE) & (seen > 0.5) & (uncovered(rgb_to_lab(255 * rgb), seen) > 0.5)
    found = uncovered(rgb_to_lab(255 * behind(rgb, cover).astype("float32")), seen) < 0.5
    return found & at, (cover.alpha > 0.5) & at


def test_a_bare_face_is_not_covered(shown):
    rgb, seen = shown
    mask = uncovered(rgb_to_lab(255 * rgb), seen)
    assert mask.shape == (SIZE, SIZE) and mask.dtype == "float32" and 0 <= mask.min() and mask.max() <= 1
    at = skin_area(SIZE) & (seen > 0.5)
    assert np.mean(mask[at] > 0.5) > 0.8  # there is hair on the forehead
    at[: int(0.4 * SIZE)] = False
    assert np.mean(mask[at] > 0.5) > 0.97


@pytest.mark.parametrize(("kind", "least"), [("fringe", 0.6), ("glasses", 0.6), ("hand", 0.6)])
def test_drawn_covers_are_found(kind, least, shown):
    painter = FacePainter(SIZE)
    tone = lab_to_rgb(skin_tone(rgb_to_lab(255 * shown[0]), shown[1])[None])[0] / 255
    overlaps = []
    for seed in range(6):
        rng = np.random.default_rng(seed)
        cover = painter.draw_hand(rng, tone) if kind == "hand" else getattr(painter, f"draw_{kind}")(rng)
        found, drawn = hidden_behind(cover, shown)
        if drawn.sum() > 0.005 * SIZE**2:
            overlaps.append((found & drawn).sum() / (found | drawn).sum())
    assert len(overlaps) >= 3 and np.mean(overlaps) > least


def test_what_no_painter_drew_is_found(shown):
    """A patch of a cat over a cheek."""
    fur = resized(skimage.data.cat()[80:210, 120:250].astype("float32"), SIZE) / 255
    mask = np.zeros((SIZE, SIZE))
    mask[int(0.48 * SIZE) :, int(0.12 * SIZE) :][: SIZE // 6, : SIZE // 5] = 1
    found, drawn = hidden_behind(Layer(mask, fur), shown)
    assert drawn.sum() > 500 and (found & drawn).sum() / (found | drawn).sum() > 0.6


def test_a_mirrored_face_has_the_mirrored_answer(shown):
    rgb, seen = shown
    cover = FacePainter(SIZE).draw_hand(np.random.default_rng(0), np.array((0.8, 0.6, 0.5)))
    lab = rgb_to_lab(255 * behind(rgb, cover).astype("float32"))
    mask = uncovered(lab, seen)
    np.testing.assert_allclose(uncovered(lab[:, ::-1], seen[:, ::-1]), mask[:, ::-1], atol=1e-4)
    assert np.abs(mask - mask[:, ::-1]).max() > 0.5


def test_bold_makeup_is_no_cover(red_lips, face):
    rgb = unwrap(np.asarray(red_lips, "float32"), face.points, SIZE)
    mask = uncovered(rgb_to_lab(rgb), visibility(face.points, red_lips.size[::-1], SIZE))
    for part in (region("lips", SIZE) > 0.9, around_eyes(SIZE) > 0.9):
        assert mask[part].mean() > 0.7


def test_the_network_sees_colours_beside_the_tone_of_skin(shown):
    rgb, seen = shown[0][::2, ::2], shown[1][::2, ::2]
    lab = rgb_to_lab(255 * rgb)
    seen_by_it = features(lab, seen)
    assert seen_by_it.shape == (128, 128, 5) and seen_by_it.dtype == "float32"
    tone = np.median(lab[skin_area(128) & (seen >= 0.5)], axis=0)
    np.testing.assert_allclose(seen_by_it[..., :3], (lab - tone) / SCALE, atol=1e-4)
    np.testing.assert_allclose(seen_by_it[..., 3], 2 * seen - 1, atol=1e-6)
    np.testing.assert_allclose(seen_by_it[..., 4], 2 * like_skin(lab, seen) - 1, atol=1e-6)


def test_in_another_layout_colours_decide(shown):
    """The network knows the places of one layout alone."""
    other = dataclasses.replace(MEDIAPIPE.layout, name="other")
    lab = rgb_to_lab(255 * shown[0])
    np.testing.assert_array_equal(uncovered(lab, shown[1], other), like_skin(lab, shown[1], other))
    assert np.abs(uncovered(lab, shown[1]) - like_skin(lab, shown[1])).max() > 0.1
