"""Makeup from one face to another by colour alone, in UV space, without a network.

The difference between the reference's eyelids and cheeks and its skin is added to the source, after the source's own
difference is subtracted. Lips take the distribution of the reference's colours. The result is a difference in Lab, so
that the source keeps its light, its pores and everything that is not made up.

Colours are compared without light. In Lab, more light multiplies L + 16, a and b by about the same factor, since all
three are made of cube roots. So log(L + 16) grows by a constant, and a / (L + 16) and b / (L + 16), the *hues*, stay.
"""

import functools

import numpy as np
from scipy import ndimage
from scipy.special import expit

from kgan.faces import PARTS
from kgan.faces.colour import lab_to_rgb, rgb_to_lab
from kgan.faces.mesh import MEDIAPIPE, inside, region
from kgan.faces.raster import resized
from kgan.faces.skin import around_eyes, skin_area
from kgan.faces.texture import Texture

DARKER = (8, 2)  # difference in L to the other side at which half of a texel is repaired, and over which this changes
DETAIL = {"eyes": 0.008, "skin": 0.05}  # coarseness of what is transferred, as a share of the texture
LIGHT = 0.04  # coarseness of light, as a share of the texture
# How much of each difference is makeup, and not light or a face's own colours, for log(L + 16) and the hues. These and
# the two below were chosen on drawn faces of the train split, whose makeup is known; but the first, which would be 0.2
# there, is higher for black eyeliner's sake, of which drawn faces have none.
MAKEUP = {"eyes": (0.5, 1, 1), "skin": (0, 0.6, 0.2)}
LOCAL_LIGHT = 0.5  # how much of the light around the lips is taken for light
TONE_LIGHT = 0.5  # how much of the difference between two skin tones
LIPS_SHOWN = 0.3  # share of the reference's lips that has to be seen
SEEN = 0.3  # visibility from which a texel's colour is trusted


def repaired(texture):
    """Returns a texture whose shadows and hidden parts are taken from the other side of the face, where that is better.

    Args:
        texture: a `Texture`.

    Returns:
        A `Texture`; where both sides are hidden, it is as it was.
    """
    lab, visible = texture.lab, texture.visible
    light = _coarse(lab[..., :1], visible, 0.02)[..., 0]
    half, width = DARKER
    other = np.maximum(expit((light[:, ::-1] - light - half) / width), 1 - visible) * (visible[:, ::-1] > SEEN)
    other = ndimage.gaussian_filter(other, 0.01 * len(lab))[..., None]
    lab = lab * (1 - other) + lab[:, ::-1] * other
    visible = np.maximum(visible * (1 - other[..., 0]), visible[:, ::-1] * other[..., 0])
    return Texture(lab.astype("float32"), visible.astype("float32"), texture.tone)


def colour_transfer(source, look, strengths=None, keep_skin_tone=True):
    """Returns what to add to the source's colours, in Lab.

    Args:
        source: `Texture` of the face to make up.
        look: `Texture` of the reference, `repaired`, of the same size.
        strengths: dict from parts, of `PARTS`, to how much of them is transferred, in [0, 1]; None for all.
        keep_skin_tone: whether the source keeps its skin tone, and does not take the reference's.

    Returns:
        float32 `(size, size, 3)`; 0 where the source is hidden, and in its eyes and mouth.

    Raises:
        ValueError: the textures differ in size.
    """
    if source.lab.shape != look.lab.shape:
        raise ValueError(f"the source's texture is {len(source.lab)} texels wide, the look's {len(look.lab)}")
    strengths = dict.fromkeys(PARTS, 1.0) if strengths is None else strengths
    size = len(source.lab)
    lips = lip_mask(source)
    colours = _without_light(source.lab)
    change = resized(_coarse_change(source, look, strengths, keep_skin_tone), size)
    change *= ((1 - lips) * region("face", size))[..., None]
    if strength := strengths.get("lips", 0):
        change += strength * lips[..., None] * _lip_change(source, look, lips)
    changed = np.where(change.any(axis=-1, keepdims=True), _with_light(colours + change), source.lab)
    return (changed - source.lab) * source.visible[..., None]


def check_model(model):
    """Raises ValueError unless a model paints textures in this package's layout."""
    layout = getattr(getattr(model, "uv_layout", None), "name", None)
    if layout != MEDIAPIPE.layout.name or model.image_space:
        what = f"textures in the layout {MEDIAPIPE.layout.name!r}"
        raise ValueError(f"model is a {type(model).__name__}: pass a kgan.MakeupGAN that paints {what}")


def network_transfer(model, source, look, strengths=None):
    """Returns what to add to the source's colours, in Lab, by a trained network in place of `colour_transfer`.

    Args:
        model: `kgan.MakeupGAN`, checked by `check_model`.
        source, look, strengths: as for `colour_transfer`.

    Returns:
        As `colour_transfer`.
    """
    textures = [lab_to_rgb(resized(texture.lab, model.uv_size)) / np.float32(127.5) - 1 for texture in (source, look)]
    before, theirs = (np.clip(texture, -1, 1)[None] for texture in textures)
    after = model.transfer(before, theirs, parts=strengths)
    change = np.subtract(*(rgb_to_lab((colours[0] + 1) * np.float32(127.5)) for colours in (after, before)))
    return resized(change, len(source.lab)) * source.visible[..., None]


def _without_light(lab):
    """Returns log(L + 16) and the hues, `(..., 3)`."""
    light = lab[..., :1] + np.float32(16)
    return np.concatenate([np.log(light), lab[..., 1:] / light], axis=-1)


def _with_light(colours):
    """The inverse of `_without_light`."""
    light = np.exp(colours[..., :1])
    return np.concatenate([light - 16, colours[..., 1:] * light], axis=-1)


def _coarse_change(source, look, strengths, keep_skin_tone):
    """Returns what to add to the colours of eyes and skin, which is coarse, in textures of half the size."""
    source, look = (
        Texture(resized(t.lab, len(t.lab) // 2), resized(t.visible, len(t.lab) // 2), t.tone) for t in (source, look)
    )
    areas = _areas(len(source.lab))
    trusted = _soft((look.visible > SEEN).astype("float32"), 0.01)
    change = np.zeros_like(source.lab)
    for part, share in MAKEUP.items():
        if strength := strengths.get(part, 0):
            makeup = (_contrast(look, part) - _contrast(source, part)) * np.float32(share)
            change += strength * (areas[part] * trusted)[..., None] * makeup
    if not keep_skin_tone:
        tones = _without_light(look.tone) - _without_light(source.tone)
        change += strengths.get("skin", 0) * areas["tone"][..., None] * tones
    return change


@functools.cache
def _areas(size):
    """Returns where the colours of eyes and skin and the skin's tone go: soft, and 0 at the border of the face.

    Brows have no makeup, but the tone of the skin around them. The tone fades slowly on the forehead, of which the mesh
    leaves out the upper part.
    """
    inward = ndimage.distance_transform_edt(inside(size)) / size
    face = 1 - np.clip(region("mouth", size) + region("eyes", size), 0, 1)
    open_ = np.clip(inward / 0.05, 0, 1) * face * (1 - _brows(size))
    eyes = _soft(around_eyes(size), 0.012)
    fading = np.interp(np.arange(size) / size, (0.1, 0.4), (0.15, 0.02))[:, None]
    tone = np.clip(inward / fading, 0, 1) * face
    return {"eyes": eyes * open_, "skin": (1 - eyes) * open_, "tone": tone}


@functools.cache
def _brows(size):
    """Returns where brows are, which the mesh often puts a little too high; soft."""
    mask = ndimage.grey_dilation(region("brows", size), int(0.03 * size))
    return _soft(mask, 0.01)


def _soft(mask, share):
    return ndimage.gaussian_filter(mask, share * len(mask))


def _contrast(texture, part):
    """Returns how a face's coarse colours differ from its skin: in light from the skin around, in hue from its tone."""
    size = len(texture.lab)
    counts = texture.visible * (1 - region("eyes", size)) * (1 - _brows(size))
    if part == "skin":
        counts = counts * _areas(size)["skin"] * (1 - region("lips", size))
    colours = _coarse(_without_light(texture.lab), counts, DETAIL[part])
    hues = np.broadcast_to(_without_light(texture.tone)[1:], (size, size, 2))
    contrast = colours - np.concatenate([_skin_light(texture), hues], axis=-1)
    # The hues of what is nearly black say little: they count as much as its light does.
    return contrast * np.exp(np.minimum(contrast[..., :1], 0) * (0, 1, 1)).astype("float32")


def _skin_light(texture):
    """Returns log(L + 16) of the skin around each texel, `(size, size, 1)`: beside the eyes and lips."""
    size = len(texture.lab)
    counts = texture.visible * skin_area(size) * (1 - np.clip(2 * around_eyes(size), 0, 1))
    return _coarse(np.log(texture.lab[..., :1] + np.float32(16)), counts, LIGHT)


def _coarse(values, weights, share):
    """Returns a weighted Gaussian mean around each texel, with a width that is a share of the texture."""
    size = len(values)
    few = size >> max(0, int(np.log2(max(1, share * size / 2))))  # so coarse a mean needs no more texels
    weights = weights[..., None].astype("float32")
    both = np.concatenate([values * weights, weights], axis=-1)
    both = ndimage.gaussian_filter(resized(both, few), (share * few, share * few, 0), mode="nearest")
    mean = both[..., :-1] / np.maximum(both[..., -1:], 1e-4)
    return resized(mean, size)


# === Lips ===


@functools.cache
def _lip_places(size):
    """Returns the box to look in; in it, distances into the lips of the mesh in 512ths, and masks: lips, skin, both."""
    lips, mouth = region("lips", size) > 0.5, region("mouth", size) > 0.5
    unit = size / 512
    signed = (ndimage.distance_transform_edt(lips) - ndimage.distance_transform_edt(~lips)) / unit
    outside = ndimage.distance_transform_edt(~(lips | mouth)) / unit
    box = ndimage.find_objects((outside < 36).astype(int))[0]
    return box, *(
        part[box] for part in (signed.astype("float32"), signed > 6, (outside > 14) & (outside < 34), outside < 22)
    )


def lip_mask(texture):
    """Returns how much of each texel is lips, float32 `(size, size)` in [0, 1].

    The mesh knows where lips are, the colours know it better: a texel is compared with the middle of the lips and with
    the skin around them, as normal distributions, and its distance from the mesh's edge counts beside this.
    """
    size = len(texture.lab)
    box, signed, middle, around, near = _lip_places(size)
    lab, visible = ndimage.gaussian_filter(texture.lab[box], (1, 1, 0)), texture.visible[box]
    evidence = np.zeros_like(signed)
    evidence[near] = _likelihood(lab, middle, visible, near) - _likelihood(lab, around, visible, near)
    evidence = ndimage.gaussian_filter(np.clip(evidence, -8, 8), 1.5 * size / 512)
    mask = np.zeros((size, size), "float32")
    mask[box] = expit(evidence + 0.5 * signed) * near
    return mask * (1 - region("mouth", size))


def _likelihood(lab, where, visible, at):
    """Returns the logarithm of the density of colours `at` some texels, by the distribution `where` they are known."""
    seen = where & (visible > SEEN)
    known = lab[seen if seen.sum() > 50 else where].astype("float64")
    covariance = np.cov(known.T) + 3 * np.eye(3)
    apart = lab[at] - np.median(known, axis=0)
    distance = np.einsum("ij,jk,ik->i", apart, np.linalg.inv(covariance), apart)
    return -0.5 * (distance + np.linalg.slogdet(covariance)[1])


def _lip_change(source, look, lips):
    """Returns what to add to the colours of the source's lips, `(size, size, 3)`, from matching their hues by rank.

    Lightness is shifted as a whole, so that lips keep their relief: to that of the reference, in the source's light.
    Lips of the reference that are hidden change nothing.
    """
    change = np.zeros_like(source.lab)
    box, signed, *_ = _lip_places(len(lips))
    shown, seen = (texture.visible[box] > SEEN for texture in (source, look))
    if np.mean(seen[signed > 0]) < LIPS_SHOWN:
        return change
    inside, theirs = (lips[box] > 0.5) & shown, (lip_mask(look)[box] > 0.5) & seen
    if inside.any() and theirs.any():
        own, colours = (_without_light(t.lab[box])[at] for t, at in ((source, inside), (look, theirs)))
        matched = match_values(own, colours)
        tones = [_without_light(t.tone)[0] for t in (source, look)]
        around = [_skin_light(t)[box][at].mean() for t, at in ((source, inside), (look, theirs))]
        light = LOCAL_LIGHT * (around[0] - tones[0] - around[1] + tones[1]) + TONE_LIGHT * (tones[0] - tones[1])
        matched[:, 0] = own[:, 0] + colours[:, 0].mean() - own[:, 0].mean() + light
        spread = np.zeros((*inside.shape, 4), "float32")  # with the number of texels, for a mean of those that are lips
        spread[inside] = np.column_stack([matched - own, np.ones(len(own))])
        spread = ndimage.gaussian_filter(spread, (0.004 * len(lips), 0.004 * len(lips), 0))
        change[box] = spread[..., :3] / np.maximum(spread[..., 3:], 1e-4)
    return change


def match_values(values, reference):
    """Returns values with the distribution of a reference, each column by itself and by rank alone.

    Args:
        values: `(n, channels)`.
        reference: `(m, channels)`.

    Returns:
        float32 `(n, channels)`: with n equal to m the reference's values, in the order of `values`.
    """
    at = (np.arange(len(values)) + 0.5) / len(values)
    known = (np.arange(len(reference)) + 0.5) / len(reference)
    matched = np.empty(values.shape, "float32")
    for channel in range(values.shape[1]):
        order = np.argsort(values[:, channel], kind="stable")
        matched[order, channel] = np.interp(at, known, np.sort(reference[:, channel]))
    return matched
