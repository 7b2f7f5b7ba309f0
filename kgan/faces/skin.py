"""What of a face is skin: its parts, its tone, and the texels that have the colour of skin."""

import functools

import numpy as np
from scipy import ndimage

from kgan.faces.mesh import MEDIAPIPE, inside, region
from kgan.faces.raster import resized

GRID = 128  # texels a side at which covers are looked for
# Differences in L, a and b that are usual on one face. With what follows, they were chosen on every second of 51 faces,
# 29 of them with parsing maps, all with drawn covers, and checked on the others.
USUAL = np.array((12, 9, 7), "float32")
STEEP = 0.003  # how much light that changes steeply across the face is distrusted
BORDER = 0.15  # distance from the border, as a share of the texture, within which a cover is likelier than elsewhere
COVERED = (2.5, 4.0)  # at the lower difference a texel is skin, at the higher one it is covered


@functools.cache
def _static(size, layout=MEDIAPIPE.layout):
    """Returns masks of a texture: skin, its safest part, how much a difference counts; and the terms of a plane."""
    down, right = (np.indices((size, size)) + 0.5) / size - 0.5
    skin = (region("face", size, layout) > 0.9) & (region("lips", size, layout) + region("brows", size, layout) < 0.1)
    cheeks = skin & (down > -0.08) & (down < 0.3) & (abs(right) < 0.25)
    inward = ndimage.distance_transform_edt(inside(size, layout)) / size
    weight = np.clip(1 + 0.5 * (BORDER - inward) / BORDER, 0.6, None)
    # Make-up around the eyes is no cover.
    weight *= 1 - 0.5 * around_eyes(size, layout)
    return skin, cheeks, weight.astype("float32"), np.stack([np.ones_like(down), right, down], axis=-1)


@functools.cache
def around_eyes(size, layout=MEDIAPIPE.layout):
    """Returns how much a texel belongs to what is painted around the eyes, float32 `(size, size)` in [0, 1]."""
    far = ndimage.distance_transform_edt(region("eyes", size, layout) < 0.5) / size
    down, right = (np.indices((size, size)) + 0.5) / size
    eye = np.array(layout.eyes[0])
    # Mostly on the upper lids and outwards: what is below the eyes or towards the nose counts as farther away.
    far *= np.where(down > eye[:, 1].mean(), 1.7, 1) * np.where(abs(right - 0.5) < 0.5 - eye[:, 0].max(), 1.5, 1)
    return (np.clip((0.1 - far) / 0.04, 0, 1) * region("face", size, layout)).astype("float32")


@functools.cache
def part_map(size, layout=MEDIAPIPE.layout):
    """Returns the part of each texel, int32 `(size, size)`: 1 more than its number in `PARTS`, 0 for no part."""
    lips, brows, face = (region(name, size, layout) for name in ("lips", "brows", "face"))
    eyes = around_eyes(size, layout)
    skin = (face > 0.9) & (eyes < 0.05) & (lips < 0.01) & (brows < 0.1)
    return np.select([lips > 0.5, eyes > 0.5, skin], [1, 2, 3]).astype("int32")


@functools.cache
def part_shares(size, layout=MEDIAPIPE.layout):
    """Returns how much of each texel belongs to each of `PARTS`, float32 `(size, size, 3)`, which sums to 1."""
    lips = region("lips", size, layout)
    eyes = around_eyes(size, layout) * (1 - lips)
    return np.stack([lips, eyes, 1 - lips - eyes], axis=-1).astype("float32")


def skin_area(size):
    """Returns where there is skin, bool `(size, size)`: no lips, eyes or brows."""
    return _static(size)[0]


def skin_tone(lab, visible):
    """Returns the Lab colour of the skin, float32 `(3,)`: the median of what is visible of it.

    Args:
        lab: `(size, size, 3)`.
        visible: `(size, size)` in [0, 1].
    """
    skin, *_ = _static(len(lab))
    return np.median(lab[skin & (visible >= min(0.5, visible[skin].max()))], axis=0).astype("float32")


def like_skin(lab, visible, layout=MEDIAPIPE.layout):
    """Returns where colours are those of skin, float32 `(size, size)` in [0, 1]: nothing of other colour is in front.

    Skin is what has the colour of cheeks, nose and chin, or what their colours change to along a plane, which takes
    light from one side into account. Differences count most at the border, where hair is, and less in the middle,
    where makeup is. Of lips, eyes and brows, only what is around them is judged.

    Args:
        lab: `(size, size, 3)`.
        visible: `(size, size)` in [0, 1], what the shape of the face leaves visible.
        layout: `kgan.faces.mesh.Layout`.
    """
    skin, cheeks, weight, terms = _static(GRID, layout)
    small = ndimage.median_filter(resized(lab, GRID), (5, 5, 1))
    seen = resized(visible, GRID)
    at = cheeks & (seen >= min(0.5, seen[cheeks].max()))
    # No skin is black, and none is blue or green but in coloured light.
    human = at & (small[..., 0] > 15) & (small[..., 1] > -3) & (small[..., 2] > 0)
    at = human if human.sum() > 0.1 * at.sum() else at
    colours, places = small[at], terms[at]
    middle = np.median(colours, axis=0)
    counts = _likeness((colours - middle) / USUAL)
    steep = np.diag((1e-6, STEEP, STEEP)) * len(colours)
    for _ in range(4):  # what is unlike the plane counts less for it
        weighted = counts[:, None] * places
        plane = np.linalg.solve(weighted.T @ places + steep, weighted.T @ (colours - middle))
        counts = _likeness((colours - middle - places @ plane) / USUAL)
    difference = np.linalg.norm((small - middle - terms @ plane) / USUAL, axis=-1) * weight
    low, high = COVERED
    mask = np.clip((high - difference) / (high - low), 0, 1)
    # Lips, eyes and brows cannot be told by colour: they are covered where the skin around them is.
    near = ndimage.gaussian_filter(skin.astype("float32"), 0.03 * GRID) + 1e-6
    around = ndimage.gaussian_filter(mask * skin, 0.03 * GRID) / near
    mask = np.where(skin, mask, np.clip(2 * around - 0.5, 0, 1))
    return resized(ndimage.gaussian_filter(mask.astype("float32"), 0.7), len(lab))


def _likeness(differences):
    return np.exp(-0.5 * (differences**2).sum(axis=-1)) + 1e-9
