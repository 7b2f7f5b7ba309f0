"""Drawn faces: what they are made of adds up, and the truths are what they are said to be."""

import time

import numpy as np
import pytest

import kgan
from kgan.data.faces.drawn import EVEN, TEETH, THROAT, Bank, _draw_pose, _drawn, load_makeup
from kgan.data.faces.heads import draw_expression, draw_head, expressed
from kgan.data.faces.painter import COVERS, DARKEST, LIGHTEST, LIGHTS, FacePainter, Layer, Light, behind, lit, made_up
from kgan.faces.mesh import EYES, HOLES, LIPS, MIRROR, MOUTH, OVAL, PLACES, POINTS, TRIANGLES, region
from kgan.faces.texture import render, render_table

pytestmark = pytest.mark.backend_free
SIZE = 64
NAME = "synthetic/faces"


@pytest.fixture(scope="module")
def painter():
    return FacePainter(SIZE)


@pytest.fixture(scope="module")
def pairs():
    return load_makeup(NAME, count=24)


def test_load():
    images, labels = kgan.data.load(NAME, image_size=32, count=12)
    assert images.shape == (12, 32, 32, 3) and images.dtype == "float32" and -1 <= images.min() < images.max() <= 1
    np.testing.assert_array_equal(labels, np.arange(12) % 5)
    assert kgan.data.class_names(NAME) == [*LIGHTS]
    np.testing.assert_array_equal(kgan.data.load(NAME, image_size=32, count=5)[0], images[:5])
    assert np.abs(kgan.data.load(NAME, "test", image_size=32, count=5)[0] - images[:5]).mean() > 0.05
    assert np.abs(kgan.data.load(NAME, image_size=32, count=5, seed=1)[0] - images[:5]).mean() > 0.05
    grey, _ = kgan.data.load(NAME, image_size=32, count=5, channels=1)
    np.testing.assert_allclose(grey[..., 0], images[:5] @ np.float32((0.299, 0.587, 0.114)), atol=1e-5)


@pytest.mark.parametrize(("kind", "axis", "sign"), [("left", 1, 1), ("right", 1, -1), ("top", 0, 1), ("bottom", 0, -1)])
def test_light_comes_from_where_it_is_said_to(kind, axis, sign, painter):
    skin = region("face", SIZE) > 0.9
    for seed in range(4):
        shade = painter.draw_light(np.random.default_rng(seed), kind).shade
        near, far = np.zeros((SIZE, SIZE), bool), np.zeros((SIZE, SIZE), bool)
        halves = (slice(None), slice(SIZE // 2)) if axis else (slice(SIZE // 2),)
        near[halves] = True
        far = ~near
        assert sign * (shade[near & skin].mean() - shade[far & skin].mean()) > 0.05
    even = painter.draw_light(np.random.default_rng(0), "front").shade
    assert np.abs(even - even[:, ::-1])[skin].mean() < 0.05


def test_light_is_linear(painter):
    """Twice the light is twice the linear colour; in even light of 1 without gloss, the texture is itself."""
    skin = painter.draw_skin(np.random.default_rng(0))
    plain = Light(np.ones((SIZE, SIZE)), np.zeros((SIZE, SIZE)), np.ones(3))
    np.testing.assert_allclose(lit(skin.texture, plain), skin.texture, atol=1e-12)
    half = lit(skin.texture, plain._replace(shade=0.5 * plain.shade))
    np.testing.assert_allclose(half**2.2, 0.5 * skin.texture**2.2, atol=1e-12)


def test_skins_of_all_tones(painter):
    tones = np.array([painter.draw_skin(np.random.default_rng(seed)).tone for seed in range(60)])
    brightness = tones.mean(axis=1)
    assert brightness.min() < DARKEST.mean() + 0.08 and brightness.max() > LIGHTEST.mean() - 0.08
    assert (tones[:, 0] > tones[:, 2]).all()


def test_makeup_is_symmetric_and_stays_on_its_part(painter):
    missing = np.zeros(2, int)
    for seed in range(30):
        layers = painter.draw_makeup(np.random.default_rng(seed))
        for layer in layers:
            assert 0 <= layer.alpha.min() and layer.alpha.max() <= 1
            np.testing.assert_allclose(layer.alpha, layer.alpha[:, ::-1], atol=1e-4)
            holes = region("eyes", SIZE) + region("mouth", SIZE) > 0.99
            assert not layer.alpha[holes].any()
        missing[0] += len(layers) == 3
        missing[1] += len(layers) < 3
    assert missing.min() >= 3
    skin = painter.draw_skin(np.random.default_rng(0))
    np.testing.assert_array_equal(made_up(skin, []), skin.texture)


def test_heads_are_symmetric():
    shape = draw_head(np.random.default_rng(3))
    np.testing.assert_allclose(shape[MIRROR] * (-1, 1, 1), shape, atol=1e-9)
    assert np.abs(shape - draw_head(np.random.default_rng(4))).max() > 0.3


def test_each_expression_moves_its_part():
    """At rest it is the canonical face, which an open mouth, shut eyes, raised brows and a smile change in places."""
    np.testing.assert_allclose(expressed(), POINTS, atol=1e-12)
    lips = list(zip(MOUTH[15:10:-1], MOUTH[5:0:-1], strict=True))
    lids = [pair for ring in EYES for pair in zip(ring[9:16], ring[7:0:-1], strict=True)]

    def gaps(pairs, **options):
        points = expressed(**options)
        return np.array([points[upper, 1] - points[lower, 1] for upper, lower in pairs])

    assert np.abs(gaps(lips, opening=-1)).max() < 0.02
    np.testing.assert_array_equal(expressed(opening=-1)[:, 2], POINTS[:, 2])  # the lower lip is not pushed forwards
    assert (
        gaps(lips, opening=1)[0] > 2 and (np.diff([gaps(lips, opening=o)[0] for o in (-1, -0.5, 0, 0.5)]) > 0.2).all()
    )
    assert np.abs(gaps(lids, shut=1)).max() < 0.03
    assert (gaps(lids, shut=-0.2) > gaps(lids)).all()
    corner = expressed(smile=1)[LIPS[0]] - POINTS[LIPS[0]]
    assert corner[0] < -0.4 and corner[1] > 0.3  # outwards and up
    assert expressed(brows=1)[105, 1] - POINTS[105, 1] > 0.4
    for options in ({"opening": 1}, {"opening": -1}, {"smile": 1}, {"brows": 1}, {"shut": 1}):
        moved = np.linalg.norm(expressed(**options) - POINTS, axis=1)
        assert moved[[OVAL[0], 234, 454]].max() < 0.4 and moved.max() < 3.5
        np.testing.assert_allclose(expressed(**options)[MIRROR] * (-1, 1, 1), expressed(**options), atol=1e-9)


@pytest.mark.parametrize("opening", [-1, -0.5, 1])
@pytest.mark.parametrize("smile", [-0.3, 1])
@pytest.mark.parametrize("brows", [-0.7, 1])
def test_expressions_fold_no_skin(opening, smile, brows):
    """Triangles of the face that are turned to the camera in the canonical face are so with any expression."""
    a, b, c = np.moveaxis(POINTS[TRIANGLES], 1, 0)
    front = np.cross(b - a, c - a)
    facing = (front[:, 2] > 0.3 * np.linalg.norm(front, axis=1)) & ~HOLES
    a, b, c = np.moveaxis(expressed(opening, smile, brows, shut=-0.2)[TRIANGLES], 1, 0)
    assert (np.cross(b - a, c - a)[facing, 2] > 0).all()


def test_expressions_are_drawn_in_their_ranges():
    drawn = [draw_expression(np.random.default_rng(seed)) for seed in range(300)]
    of = {key: np.array([each[key] for each in drawn]) for key in drawn[0]}
    assert abs((of["opening"] == -1).mean() - 0.5) < 0.1 and of["opening"].max() > 0.9
    assert 0.03 < (of["shut"] == 1).mean() < 0.2
    for key, low, high in (("opening", -1, 1), ("smile", -0.3, 1), ("brows", -0.7, 1), ("shut", -0.2, 1)):
        assert low <= of[key].min() < of[key].max() <= high


def test_covers_are_as_frequent_as_said(painter, monkeypatch):
    for kind in COVERS:
        monkeypatch.setattr(painter, f"draw_{kind}", lambda *arguments, kind=kind: kind)
    rng = np.random.default_rng(0)
    drawn = [painter.draw_cover(rng, np.ones(3)) for _ in range(3000)]
    assert {kind: pytest.approx(drawn.count(kind) / 3000, abs=0.03) for kind in COVERS} == COVERS
    assert set(drawn) == {*COVERS, None}


def covers(painter, kind, count=20):
    arguments = (np.array((0.7, 0.5, 0.4)),) if kind == "hand" else ()
    return [getattr(painter, f"draw_{kind}")(np.random.default_rng(seed), *arguments) for seed in range(count)]


@pytest.mark.parametrize("kind", COVERS)
def test_covers_are_layers(kind, painter):
    for cover in covers(painter, kind):
        assert 0 <= cover.alpha.min() and 0.4 < cover.alpha.max() <= 1 and cover.alpha.shape == (SIZE, SIZE)
        colour = np.broadcast_to(cover.colour, (SIZE, SIZE, 3))
        assert 0 <= colour.min() and colour.max() <= 1


def test_glasses_leave_the_cheeks_and_hands_the_hair_line(painter):
    at_cheek = tuple((PLACES[50][::-1] * SIZE).astype(int))
    for glasses in covers(painter, "glasses"):
        assert not glasses.alpha[at_cheek] and not glasses.alpha[: SIZE // 5].any()
        assert 0.01 < glasses.alpha.mean() < 0.3
        row = glasses.alpha[SIZE // 4 : SIZE // 2, 2].sum()  # the temple, thinner than a texel or not
        assert row > 0.4
    for hand in covers(painter, "hand"):
        assert not hand.alpha[: SIZE // 5].any() and 0.005 < hand.alpha.mean() < 0.3


def test_hands_come_from_either_side_alike(painter):
    """On average over many, hands from the left mirror hands from the right."""
    alphas = np.array([cover.alpha for cover in covers(painter, "hand", 400)])
    from_left = alphas[:, :, : SIZE // 2].sum(axis=(1, 2)) > alphas[:, :, SIZE // 2 :].sum(axis=(1, 2))
    assert 0.35 < from_left.mean() < 0.65
    left, right = alphas[from_left].mean(axis=0)[:, ::-1], alphas[~from_left].mean(axis=0)
    assert np.abs(left - right).max() < 0.2 and np.abs(left - right).mean() < 0.02


def test_nothing_is_painted_onto_what_is_in_front(monkeypatch):
    """Where something covers a face, no texel is visible and none is part of it, and source and target are equal."""
    drawn, draw = [], FacePainter.draw_cover

    def kept(*arguments):
        drawn.append(draw(*arguments))
        return drawn[-1]

    monkeypatch.setattr(FacePainter, "draw_cover", kept)
    pairs = load_makeup(NAME, count=60)
    change = np.abs(pairs["target_texture"] - pairs["source_texture"]).max(axis=-1)
    seen = 0
    for index in range(60):
        for role, cover in zip(("source", "reference"), drawn[2 * index : 2 * index + 2], strict=True):
            if cover is None or not (hidden := cover.alpha > 0.999).any():
                continue
            seen += 1
            assert pairs[f"{role}_visibility"][index, ..., 0][hidden].max() < 0.01
            if role == "source":
                assert change[index][cover.alpha == 1].max(initial=0) < 1e-6
                shown = np.take_along_axis(hidden.ravel()[None], pairs["source_index"][index], axis=1).all(axis=1)
                assert not pairs["source_parts"][index].ravel()[shown].any()
    assert len(drawn) == 120 and seen > 20


def test_open_mouths_show_teeth():
    """An open mouth is light above and dark below, and no part of the face: nothing is painted there."""
    wide = teeth = 0
    for seed in range(60):
        pose = _draw_pose(64, 128, np.random.default_rng(seed))
        if (pose.mouth > 0).sum() > 60:
            wide += 1
            above, below = (np.nonzero(pose.mouth == kind)[0] for kind in (TEETH, THROAT))
            teeth += len(above) > 0
            assert not len(above) or above.mean() < below.mean()
            assert (pose.nearest[pose.mouth > 0] == -1).all()
    assert wide > 5 and teeth > 0.8 * wide


def test_mouths_are_drawn_in_the_light_and_behind_hands(painter):
    pose = next(
        pose for seed in range(60) if (pose := _draw_pose(SIZE, 128, np.random.default_rng(seed))).mouth.sum() > 120
    )
    texture, ground = np.full((SIZE, SIZE, 3), 0.5), np.zeros((128, 128, 3))
    plain = Light(np.ones((SIZE, SIZE)), np.zeros((SIZE, SIZE)), np.ones(3))
    hand = Layer(np.ones((SIZE, SIZE)), np.array((0.7, 0.5, 0.4)))

    def drawn(light=plain, cover=None):
        return _drawn(texture, cover, light, pose, ground)

    inner = pose.whole[2] == 1
    teeth, throat = (inner & (pose.mouth == kind) for kind in (TEETH, THROAT))
    assert drawn()[teeth].min() > 0.7 and drawn()[throat].max() < 0.3
    dim = drawn(plain._replace(shade=0.5 * plain.shade))
    np.testing.assert_allclose(dim[teeth] ** 2.2, 0.5 * drawn()[teeth] ** 2.2, atol=1e-6)
    covered = drawn(cover=hand)[teeth | throat]
    np.testing.assert_allclose(covered, np.broadcast_to(hand.colour, covered.shape), atol=1e-6)
    np.testing.assert_allclose(drawn()[inner & (pose.mouth == 0)], 0.5, atol=1e-6)


def test_pairs(pairs):
    shapes = {key: value.shape[1:] for key, value in pairs.items()}
    assert shapes == {
        **dict.fromkeys(("source_texture", "reference_texture", "target_texture", "even_texture"), (64, 64, 3)),
        "reference_even_texture": (64, 64, 3),
        **dict.fromkeys(("source_parts", "reference_parts"), (64, 64)),
        **dict.fromkeys(("source_image", "reference_image"), (64, 64, 3)),
        **dict.fromkeys(("source_visibility", "reference_visibility", "source_alpha"), (64, 64, 1)),
        **dict.fromkeys(("source_shade", "reference_shade"), (64, 64, 1)),
        **dict.fromkeys(("source_index", "source_weight"), (4096, 4)),
        **dict.fromkeys(("source_light", "reference_light", "source_tone"), ()),
    }
    for key, value in pairs.items():
        whole = key.endswith(("index", "light", "parts"))
        assert len(value) == 24 and value.dtype == ("int32" if whole else "float32")
        assert np.isfinite(value).all()
    again = load_makeup(NAME, count=3)
    for key, value in again.items():
        np.testing.assert_array_equal(value, pairs[key][:3])
    assert 0 < (pairs["reference_visibility"][:, 8:10, 28:36] < 0.1).all(axis=(1, 2, 3)).mean() < 0.6  # fringes


def test_the_target_differs_by_makeup_alone(pairs):
    """Off the makeup, the target is the source; on the lips of most pairs it is not."""
    change = np.abs(pairs["target_texture"] - pairs["source_texture"]).max(axis=-1)
    holes = region("eyes", 64) + region("mouth", 64) > 0.99
    assert change[:, holes].max() < 1e-6
    chin = (slice(None), slice(56, 60), slice(30, 34))
    assert change[chin].max() < 0.02
    assert (change[:, region("lips", 64) > 0.9].mean(axis=1) > 0.05).mean() > 0.7


def test_even_light_is_even(pairs):
    """In even light, sides differ by what is on the skin alone: less than in the source's light."""
    skin = region("face", 64) > 0.9
    one_sided = np.isin(pairs["source_light"], (1, 2))
    sides = {
        key: np.abs(pairs[key] - pairs[key][:, :, ::-1])[one_sided][:, skin].mean()
        for key in ("target_texture", "even_texture")
    }
    assert sides["even_texture"] < 0.4 * sides["target_texture"]


def test_a_reference_in_even_light_is_the_same_face(pairs):
    """Its sides differ less than in a light from one side; where the light is hardly another, it hardly differs."""
    skin = region("face", 64) > 0.9
    one_sided = np.isin(pairs["reference_light"], (1, 2))
    sides = [
        np.abs(pairs[key] - pairs[key][:, :, ::-1])[one_sided][:, skin].mean()
        for key in ("reference_texture", "reference_even_texture")
    ]
    assert sides[1] < 0.4 * sides[0]
    apart = np.abs(pairs["reference_texture"] - pairs["reference_even_texture"]).max(axis=-1)
    same = np.abs(pairs["reference_shade"][..., 0] - EVEN) < 0.02
    assert same.any() and np.median(apart[same]) < 0.15 < np.median(apart[~same])


def test_parts_are_where_the_makeup_is(pairs):
    """In images, pixels of lips change most, other skin least, and what is no part is no face or is a hole."""
    texels = {name: pairs[f"{name}_texture"].reshape(24, -1, 1, 3) for name in ("source", "target")}
    index, weight = pairs["source_index"].reshape(24, -1, 1, 1), pairs["source_weight"][..., None]
    drawn = [
        (np.take_along_axis(texture, index, axis=1).reshape(24, -1, 4, 3) * weight).sum(axis=2)
        for texture in texels.values()
    ]
    change = np.abs(drawn[1] - drawn[0]).mean(axis=-1).reshape(24, 64, 64)
    by_part = [change[pairs["source_parts"] == number].mean() for number in range(4)]
    assert by_part[1] > by_part[2] > by_part[3] > by_part[0]
    for role in ("source", "reference"):
        assert set(np.unique(pairs[f"{role}_parts"])) == {0, 1, 2, 3}
        hair = pairs[f"{role}_visibility"][:, 8:12, 20:44].min(axis=(1, 2, 3)) < 0.05  # a fringe is no part
        share = (pairs[f"{role}_parts"] > 0).mean(axis=(1, 2))
        assert share[hair].mean() < share[~hair].mean()


def test_the_table_renders_as_the_renderer_does(pairs):
    """The source's image is its texture by index and weight, where the table says that there is face."""
    drawn = np.take_along_axis(
        pairs["source_texture"].reshape(24, -1, 1, 3), pairs["source_index"].reshape(24, -1, 1, 1), axis=1
    )
    drawn = drawn.reshape(24, 4096, 4, 3) * pairs["source_weight"][..., None]
    image = drawn.sum(axis=2).reshape(24, 64, 64, 3)
    solid = pairs["source_alpha"][..., 0] > 0.999
    assert solid.mean() > 0.2
    np.testing.assert_allclose(image[solid], pairs["source_image"][solid], atol=2e-3)

    rng = np.random.default_rng(0)
    texture = rng.random((32, 32, 3)).astype("float32")
    points = draw_head(rng) * 3 + (40, 40, 0)
    index, weight, _ = render_table(points, (80, 80), 32)
    by_table = (texture.reshape(-1, 3)[index] * weight[..., None]).sum(axis=1).reshape(80, 80, 3)
    expected, covered = render(texture, points, (80, 80))
    np.testing.assert_allclose(by_table[covered], expected[covered], atol=2e-3)
    assert not by_table[~covered].any()
    with_holes = render_table(points, (80, 80), 32, holes=True)[1].sum(axis=1)
    assert (with_holes > 0).sum() > covered.sum()


def test_a_hundred_textures_a_second():
    """Recombined from a bank that is drawn."""
    bank = Bank(64, "train", 0)
    rng = np.random.default_rng(0)
    skin, makeup, light = bank.skin(rng), bank.makeup(rng), bank.light(rng, 0)
    started = time.process_time()
    for _ in range(40):
        lit(behind(made_up(skin, makeup), bank.painter.draw_cover(rng, skin.tone)), light)
    assert time.process_time() - started < 0.4


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"name": "mt"}, "name='mt': pass \"synthetic/faces\""),
        ({"split": "val"}, "val"),
        ({"uv_size": 16}, "uv_size=16: pass 32 or more"),
        ({"image_size": 8}, "image_size=8: pass 32 or more"),
        ({"count": 0}, "count=0: pass 1 or more"),
    ],
)
def test_arguments_out_of_range(options, words):
    with pytest.raises(ValueError, match=words):
        load_makeup(**{"name": NAME, "count": 1} | options)
