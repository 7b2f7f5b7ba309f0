"""Drawn faces with something in front of them, and where: what the network of `kgan.faces.covers` learns from."""

import functools

import numpy as np
from scipy import ndimage

from kgan.data.faces.drawn import Bank, posed
from kgan.data.faces.painter import LIGHTS, Light, behind, lit, made_up
from kgan.data.source import check_split
from kgan.faces.colour import rgb_to_lab
from kgan.faces.covers import SIZE, features
from kgan.faces.mesh import texels
from kgan.faces.texture import visibility

# The shares of faces with each thing in front of them; "glasses and fringe" are two.
KINDS = {"nothing": 0.2, "fringe": 0.15, "glasses": 0.25, "hand": 0.2, "thing": 0.1, "glasses and fringe": 0.1}
VIEWS = 60  # in how many poses faces are seen, a quarter of them from the front
OWN_LIGHT = 0.3  # share of what is in front that is not in the face's light, but as bright as itself


def load_covered(split="train", count=100, seed=0, first=0):
    """Draws faces with something in front of most of them, as the network sees them.

    Args:
        split: `"train"` or `"test"`; the splits of drawn faces share no skin, makeup or light.
        count: number of faces, 1 or more.
        seed: non-negative int.
        first: number of the first face, 0 or more; with others of the same seed, parts of a set may be drawn by
            themselves.

    Returns:
        Dict of arrays: `features`, float16 `(count, 128, 128, 5)`, see `kgan.faces.covers.features`; `cover` and
        `visible`, uint8 `(count, 128, 128, 1)`, how much of each texel something hides, and how well the pose shows it,
        255 being all; `texture`, uint8 `(count, 128, 128, 3)`; `kind`, int64 `(count,)`, the number in `KINDS`.

    Raises:
        ValueError: an argument is out of range.

    Example:

    ```python
    from kgan.data.faces.covered import load_covered

    faces = load_covered(count=4)
    faces["cover"].shape  # (4, 128, 128, 1)
    ```
    """
    check_split(split, ("train", "test"))
    for name, value, least in (("count", count, 1), ("seed", seed, 0), ("first", first, 0)):
        if value < least:
            raise ValueError(f"{name}={value}: pass {least} or more")
    bank, views = _drawn_once(split, seed)
    samples = [_covered(bank, views, first + i) for i in range(count)]
    return {name: np.stack([sample[name] for sample in samples]) for name in samples[0]}


@functools.lru_cache(2)
def _drawn_once(split, seed):
    """Returns the `Bank` of a split, and how well each of some poses shows each texel."""
    bank = Bank(SIZE, split, seed)
    frontal = [(texels(SIZE)[0] >= 0).astype("float32")] * (VIEWS // 4)
    generators = [bank.generator("view", i) for i in range(VIEWS - len(frontal))]
    return bank, frontal + [visibility(posed(rng, 2 * SIZE), (2 * SIZE, 2 * SIZE), SIZE) for rng in generators]


def _covered(bank, views, index):
    """Draws face `index`."""
    rng, painter = bank.generator("covered", index), bank.painter
    skin = painter.draw_skin(rng)
    layers = painter.draw_eyes(rng, skin.tone) + painter.draw_folds(rng, skin.tone)
    texture = made_up(skin, (painter.draw_makeup(rng) if rng.random() < 0.6 else []) + layers)
    light = _mixed(*(bank.light(rng, rng.integers(len(LIGHTS))) for _ in range(2)), rng.random())
    kind = rng.choice(len(KINDS), p=list(KINDS.values()))
    covers = {
        "nothing": lambda: [],
        "fringe": lambda: [painter.draw_fringe(rng)],
        "glasses": lambda: [painter.draw_glasses(rng)],
        "hand": lambda: [painter.draw_hand(rng, skin.tone)],
        "thing": lambda: [painter.draw_thing(rng, skin.tone)],
        "glasses and fringe": lambda: [painter.draw_glasses(rng), painter.draw_fringe(rng)],
    }[list(KINDS)[kind]]()
    hidden = np.zeros((SIZE, SIZE))
    for cover in covers:
        if rng.random() < 0.5:  # its shadow, beside it
            shadow = ndimage.gaussian_filter(cover.alpha, rng.uniform(0.5, 3))
            shadow = ndimage.shift(shadow, rng.normal(size=2) * 2, order=1)
            texture = texture * (1 - rng.uniform(0, 0.5) * shadow[..., None])
        hidden += (1 - hidden) * cover.alpha
    if rng.random() < OWN_LIGHT:
        texture = functools.reduce(behind, covers, lit(texture, light))
    else:
        texture = lit(functools.reduce(behind, covers, texture), light)
    seen = views[rng.integers(len(views))]
    texture = _photographed(texture, seen, painter, rng)
    if rng.random() < 0.5:
        texture, hidden, seen = texture[:, ::-1], hidden[:, ::-1], seen[:, ::-1]
    pixels = np.rint(255 * texture).astype("uint8")
    return {
        "features": features(rgb_to_lab(pixels.astype("float32")), seen).astype("float16"),
        "cover": np.rint(255 * hidden).astype("uint8")[..., None],
        "visible": np.rint(255 * seen).astype("uint8")[..., None],
        "texture": pixels,
        "kind": kind,
    }


def _mixed(one, other, share):
    """Returns a light between two, which take long to draw."""
    return Light(*(share * a + (1 - share) * b for a, b in zip(one, other, strict=True)))


def _photographed(texture, seen, painter, rng):
    """Returns a texture as if read from a photo: turned, oddly lit, blurred, in other contrast and colours, noisy."""
    if rng.random() < 0.7:  # where the face turns away, the colours of something else
        shown = np.clip(ndimage.gaussian_filter(seen, rng.uniform(0, 2)) * rng.uniform(1.2, 4), 0, 1)[..., None]
        beside = rng.random(3) * (1 + 0.2 * painter.noise(rng, 0.03))[..., None]
        texture = beside + shown * (texture - beside)
    for share in (0.5, 0.2):
        if rng.random() < share:
            texture = texture * painter.draw_shadow(rng)
    blur = rng.choice((0, 0.4, 0.8, 1.3))
    texture = ndimage.gaussian_filter(texture, (blur, blur, 0)) if blur else texture
    texture = np.clip(texture * rng.uniform(0.6, 1.15) * (1 + 0.08 * rng.normal(size=3)), 0, 1)
    texture = texture ** np.exp(0.3 * rng.normal())
    if rng.random() < 0.5:
        texture = 0.5 + rng.uniform(0.8, 1.5) * (texture - 0.5)
    texture = texture + rng.uniform(0, 0.03) * rng.standard_normal(texture.shape)
    return np.clip(texture + rng.uniform(0, 0.02) * rng.standard_normal((SIZE, SIZE, 1)), 0, 1)
