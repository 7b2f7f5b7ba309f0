"""Drawn faces with something in front of them: the truth is where the picture says."""

import numpy as np
import pytest

from kgan.data.faces.covered import KINDS, load_covered
from kgan.data.faces.painter import FacePainter
from kgan.faces.colour import rgb_to_lab
from kgan.faces.covers import features
from kgan.faces.mesh import region, texels

pytestmark = pytest.mark.backend_free


@pytest.fixture(scope="module")
def faces():
    return load_covered(count=60)


def test_arrays(faces):
    assert {name: (array.shape, str(array.dtype)) for name, array in faces.items()} == {
        "features": ((60, 128, 128, 5), "float16"),
        "cover": ((60, 128, 128, 1), "uint8"),
        "visible": ((60, 128, 128, 1), "uint8"),
        "texture": ((60, 128, 128, 3), "uint8"),
        "kind": ((60,), "int64"),
    }
    seen = features(rgb_to_lab(faces["texture"][3].astype("float32")), faces["visible"][3, ..., 0] / np.float32(255))
    np.testing.assert_allclose(faces["features"][3], seen, atol=0.02)


def test_a_set_may_be_drawn_in_parts(faces):
    part = load_covered(count=2, first=7)
    for name, array in part.items():
        np.testing.assert_array_equal(array, faces[name][7:9])
    for other in (load_covered("test", 2), load_covered(count=2, seed=1)):
        assert np.abs(other["texture"].astype(int) - faces["texture"][:2]).mean() > 5
    for options, words in (
        ({"split": "all"}, "split"),
        ({"count": 0}, "count=0: pass 1 or more"),
        ({"seed": -1}, "seed=-1: pass 0 or more"),
        ({"first": -1}, "first=-1: pass 0 or more"),
    ):
        with pytest.raises(ValueError, match=words):
            load_covered(**options)


def test_nothing_is_seen_beside_the_face(faces):
    outside = texels(128)[0] < 0
    assert not faces["visible"][:, outside].any()
    assert (faces["visible"][:, ~outside] > 127).mean(axis=(1, 2)).max() > 0.99  # from the front


def test_what_is_in_front(faces):
    """By kind, how much of the face is hidden."""
    hidden = (faces["cover"] > 127).mean(axis=(1, 2, 3))
    shares = {kind: hidden[faces["kind"] == number] for number, kind in enumerate(KINDS)}
    assert not shares["nothing"].any() and len(shares["nothing"]) >= 4
    for kind, low, high in (("fringe", 0.05, 0.4), ("glasses", 0.01, 0.1), ("hand", 0.005, 0.25)):
        assert len(shares[kind]) >= 4 and low < shares[kind].mean() < high
    assert sum(KINDS.values()) == pytest.approx(1)


def test_colours_change_where_something_begins(faces):
    """Edges of what is in front are edges of the picture, whatever light and noise there are."""
    steep = []
    for texture, cover in zip(faces["texture"].astype(float), faces["cover"][..., 0] / 255.0, strict=True):
        edge, step = (np.abs(np.diff(array, axis=0)) for array in (cover, texture.mean(axis=-1)))
        if (edge > 0.5).sum() > 20:
            steep.append(step[edge > 0.5].mean() / step.mean())
    assert len(steep) > 15 and np.median(steep) > 1.4  # 1 if they were anywhere


def test_things_shadows_and_eyes():
    painter = FacePainter(64)
    eyeballs, drawn = region("eyes", 64) > 0.999, np.zeros(2)
    for seed in range(20):
        rng = np.random.default_rng(seed)
        thing, shadow = painter.draw_thing(rng, np.array((0.7, 0.5, 0.4))), painter.draw_shadow(rng)
        assert thing.alpha.shape == (64, 64) and 0 <= thing.alpha.min() and 0 < thing.alpha.max() <= 1
        assert thing.colour.shape == (64, 64, 3) and 0 <= thing.colour.min() and thing.colour.max() <= 1
        assert shadow.shape == (64, 64, 3) and 0.2 < shadow.min() < shadow.max() < 1.8
        eyes, folds = (draw(rng, np.array((0.7, 0.5, 0.4))) for draw in (painter.draw_eyes, painter.draw_folds))
        for layer in [*eyes, *folds]:
            assert 0 <= layer.alpha.min() and 0 < layer.alpha.max() <= 1 and layer.alpha[eyeballs].max() < 0.01
            assert np.shape(layer.colour) == (3,) and 0 <= np.min(layer.colour) and np.max(layer.colour) <= 1
        drawn += [len(eyes), len(folds)]
    assert 20 < drawn[0] < 80 and 10 < drawn[1] < 32
