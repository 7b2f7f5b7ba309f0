"""Makeup by colour: what is transferred, and what is left alone."""

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from PIL import Image, ImageDraw
from skimage.exposure import match_histograms

from kgan.faces.colour import lab_to_rgb, rgb_to_lab
from kgan.faces.mesh import MOUTH, region
from kgan.faces.skin import around_eyes, skin_tone
from kgan.faces.texture import Texture, read_texture
from kgan.faces.transfer import colour_transfer, lip_mask, match_values, repaired

pytestmark = pytest.mark.backend_free
SIZE = 256


@pytest.fixture(scope="module")
def bare(astronaut, face):
    return read_texture(astronaut, face.points, SIZE)


@pytest.fixture(scope="module")
def made_up(red_lips, face):
    return repaired(read_texture(red_lips, face.points, SIZE))


@given(st.integers(0, 2**32 - 1), st.integers(2, 200))
@example(662, 102)
@settings(max_examples=30, deadline=None)
def test_match_values_is_histogram_matching(seed, count):
    rng = np.random.default_rng(seed)
    # In single precision two values may be equal, and scikit-image then gives both the same.
    values, reference = rng.random((count, 3)), rng.normal(size=(count, 3)).astype("float32")
    matched = match_values(values, reference)
    np.testing.assert_array_equal(np.sort(matched, axis=0), np.sort(reference, axis=0))
    expected = match_histograms(values[None], reference[None], channel_axis=-1)[0]
    np.testing.assert_allclose(matched, expected, atol=1e-5)


def test_match_values_of_other_numbers():
    values = np.arange(5.0)[:, None]
    np.testing.assert_allclose(
        match_values(values, np.linspace(10, 20, 1001)[:, None])[:, 0], (11, 13, 15, 17, 19), atol=0.02
    )
    np.testing.assert_array_equal(match_values(values[::-1], values[::-1] * 2), values[::-1] * 2)
    np.testing.assert_array_equal(match_values(values, values[:1] + 7), np.full((5, 1), 7))


def test_lips_and_lids_take_the_colours_of_the_reference(bare, made_up):
    difference = colour_transfer(bare, made_up)
    lips, eyes = lip_mask(bare) > 0.9, (around_eyes(SIZE) > 0.9) & (bare.visible > 0.9)
    mean = difference[lips].mean(axis=0)
    truth = (made_up.lab - bare.lab)[lips].mean(axis=0)
    np.testing.assert_allclose(mean, truth, atol=5)
    assert truth[0] < -10 and truth[1] > 10  # darker and redder
    lids, truth = difference[eyes].mean(axis=0), (made_up.lab - bare.lab)[eyes].mean(axis=0)
    assert truth[1] < -8 and lids[1] < 0.5 * truth[1]  # greener
    skin = (region("face", SIZE) > 0.9) & (around_eyes(SIZE) == 0) & (bare.visible > 0.9) & (region("lips", SIZE) == 0)
    skin[int(0.6 * SIZE) :] = False  # beside the lips
    assert np.abs(difference[skin]).mean() < 1.5


def test_a_face_by_itself_changes_hardly(bare):
    assert np.abs(colour_transfer(bare, bare)).max() < 1e-3
    assert np.abs(colour_transfer(bare, repaired(bare))[bare.visible > 0.9]).mean() < 1.5


def test_parts_and_strengths(bare, made_up):
    whole = colour_transfer(bare, made_up)
    parts = [colour_transfer(bare, made_up, {part: 1.0}) for part in ("lips", "eyes", "skin")]
    np.testing.assert_allclose(sum(parts), whole, atol=1)  # where they meet, one is in the light of the other
    half = colour_transfer(bare, made_up, {"lips": 0.5})
    np.testing.assert_allclose(np.abs(half).sum(), np.abs(parts[0]).sum() / 2, rtol=0.2)
    assert not colour_transfer(bare, made_up, {}).any()
    assert not parts[0][around_eyes(SIZE) > 0].any() and not parts[1][lip_mask(bare) > 0.99].any()


def test_holes_and_hidden_texels_are_left_alone(bare, made_up):
    hidden = bare._replace(visible=bare.visible * (np.arange(SIZE) < SIZE // 2))
    difference = colour_transfer(hidden, made_up)
    assert not difference[region("mouth", SIZE) > 0.99].any() and not difference[region("eyes", SIZE) > 0.99].any()
    assert not difference[:, SIZE // 2 :].any()


@pytest.mark.parametrize("colour", [(30, 60, 200), (20, 20, 20), (40, 180, 60)])
def test_hidden_lips_of_a_reference_are_not_transferred(colour, bare, red_lips, face):
    box = Image.new("RGB", red_lips.size, colour)
    mouth = face.points[list(MOUTH), :2]
    mask = Image.new("L", red_lips.size)
    ImageDraw.Draw(mask).rectangle([*(mouth.min(axis=0) - 12).tolist(), *(mouth.max(axis=0) + 12).tolist()], 255)
    covered = repaired(read_texture(Image.composite(box, red_lips, mask), face.points, SIZE))
    assert not colour_transfer(bare, covered, {"lips": 1}).any()
    # Where half of the mouth is hidden, the other half tells.
    half = mask.copy()
    half.paste(0, (0, 0, int(mouth[:, 0].mean()), mask.height))
    seen = repaired(read_texture(Image.composite(box, red_lips, half), face.points, SIZE))
    whole = repaired(read_texture(red_lips, face.points, SIZE))
    lips = lip_mask(bare) > 0.9
    found, expected = (colour_transfer(bare, look, {"lips": 1})[lips].mean(axis=0) for look in (seen, whole))
    np.testing.assert_allclose(found, expected, atol=8)
    assert np.linalg.norm(expected) > 30


def relit(texture, factor):
    """The same face with so many times the light, by way of linear colours."""
    rgb = (lab_to_rgb(texture.lab) / 255.0) ** 2.2 * factor
    lab = rgb_to_lab(255 * np.clip(rgb, 0, 1) ** (1 / 2.2))
    return Texture(lab, texture.visible, skin_tone(lab, texture.visible))


def test_skin_tone_can_be_taken(bare, made_up):
    darker = relit(made_up, 0.6)
    cheeks = (slice(int(0.5 * SIZE), int(0.6 * SIZE)), slice(int(0.25 * SIZE), int(0.35 * SIZE)))
    kept, taken = (colour_transfer(bare, darker, keep_skin_tone=keep)[cheeks] for keep in (True, False))
    np.testing.assert_allclose((taken - kept).mean(axis=(0, 1)), darker.tone - bare.tone, atol=2.5)
    # No band around the brows: they get as much as the skin below them.
    change = (colour_transfer(bare, darker, keep_skin_tone=False) - colour_transfer(bare, darker))[..., 0]
    brows = region("brows", SIZE) > 0.9
    share = np.median((change / bare.lab[..., 0])[brows]) / np.median((change / bare.lab[..., 0])[cheeks])
    assert share == pytest.approx(1, abs=0.25)


def test_the_light_of_the_reference_is_left_behind(bare, made_up):
    """In other light, hues are the same, and the lightness of lips differs by half as much as that of the skin."""
    darker, lips = relit(made_up, 0.6), lip_mask(bare) > 0.9
    plain, dark = (bare.lab + colour_transfer(bare, look) for look in (made_up, darker))
    eyes = (around_eyes(SIZE) > 0.9) & (bare.visible > 0.9)
    for at, hue in ((lips, 0.03), (eyes, 0.03)):
        hues = [lab[at][:, 1:] / (lab[at][:, :1] + 16) for lab in (plain, dark)]
        np.testing.assert_allclose(hues[1].mean(axis=0), hues[0].mean(axis=0), atol=hue)
    change = np.log((dark[lips][:, 0] + 16) / (plain[lips][:, 0] + 16)).mean()
    tones = np.log((darker.tone[0] + 16) / (made_up.tone[0] + 16))
    assert 0.3 < change / tones < 0.7


@pytest.mark.parametrize("damage", ["shadow", "hidden"])
def test_repaired_takes_the_other_side(damage, bare):
    left = np.arange(SIZE) < 0.42 * SIZE
    half = np.where(np.arange(SIZE) < SIZE // 2, np.arange(SIZE), SIZE - 1 - np.arange(SIZE))
    symmetric = Texture(bare.lab[:, half], bare.visible[:, half], bare.tone)
    if damage == "shadow":
        damaged = symmetric._replace(lab=symmetric.lab - left[None, :, None] * np.float32((30, 0, 0)))
    else:
        grey = np.where(left[None, :, None], np.float32((20, 0, 0)), symmetric.lab)
        damaged = Texture(grey, symmetric.visible * ~left, symmetric.tone)
    at = (symmetric.visible > 0.9) & (np.arange(SIZE) < 0.38 * SIZE)
    before, after = (np.abs(lab - symmetric.lab)[at].mean() for lab in (damaged.lab, repaired(damaged).lab))
    assert before > 8 and after < 0.1 * before
    untouched = repaired(symmetric)
    assert np.abs(untouched.lab - symmetric.lab)[symmetric.visible > 0.9].mean() < 0.3
    if damage == "hidden":
        assert repaired(damaged).visible[at].mean() > 0.8


def test_textures_of_two_sizes_are_refused(bare):
    small = Texture(np.zeros((128, 128, 3), "float32"), np.ones((128, 128), "float32"), bare.tone)
    with pytest.raises(ValueError, match="the source's texture is 256 texels wide, the look's 128"):
        colour_transfer(bare, small)
