"""Paints the textures of faces: skin without makeup, makeup in layers, what is in front of the face, and light.

Everything is in UV space (see `kgan.faces.mesh`), with colours from 0 to 1. A texture is skin, under layers of makeup,
perhaps behind hair, glasses or a hand, in a light; any of them go together. Each depends only on the generator that it
is drawn with.
"""

import colorsys
from typing import NamedTuple

import numpy as np
from scipy import ndimage
from scipy.special import expit

from kgan.data.faces.heads import draw_head
from kgan.faces.mesh import EYES, PLACES, TRIANGLES, interpolated, region
from kgan.faces.raster import rasterise, sample
from kgan.faces.texture import normals

LIGHTS = ("front", "left", "right", "top", "bottom")  # where the light comes from, in the picture
GAMMA = 2.2
DARKEST, LIGHTEST = np.array((0.36, 0.22, 0.15)), np.array((0.93, 0.76, 0.68))  # skin
# The shares of faces with something in front of them.
COVERS = {"fringe": 0.2, "glasses": 0.12, "hand": 0.08}
CHEEKS = (50, 280)  # points in the middle of the cheeks
FOLDS = ((129, 61), (358, 291))  # points at the wings of the nose and the corners of the mouth


class Skin(NamedTuple):
    """A face without makeup: its texture `(size, size, 3)`, and the colour of its skin `(3,)`."""

    texture: np.ndarray
    tone: np.ndarray


class Layer(NamedTuple):
    """Something on a face or in front of it: how much of each texel it covers, `(size, size)`, and its colour.

    The colour is `(3,)` or a texture.
    """

    alpha: np.ndarray
    colour: np.ndarray


class Light(NamedTuple):
    """Light on a face: what it multiplies colours by and what it adds to them, `(size, size)`; its tint `(3,)`."""

    shade: np.ndarray
    gloss: np.ndarray
    tint: np.ndarray


class FacePainter:
    """Draws skins, makeups, covers and lights, in textures of one size.

    Args:
        size: of the textures.
    """

    def __init__(self, size):
        self.size = size
        down, right = (np.indices((size, size)) + 0.5) / size
        self.down, self.right = down, right
        self.eyes = [PLACES[list(ring)].mean(axis=0) for ring in EYES]
        self.cheeks = PLACES[list(CHEEKS)]
        self.skin = np.clip(region("face", size) - region("lips", size), 0, 1)

    def noise(self, rng, coarseness):
        """Returns noise of mean 0 and standard deviation 1, with spots of a share of the texture."""
        found = ndimage.gaussian_filter(rng.standard_normal((self.size, self.size)), coarseness * self.size)
        return found / max(found.std(), 1e-9)

    def spot(self, x, y, width, height=None):
        height = width if height is None else height
        return np.exp(-0.5 * (((self.right - x) / width) ** 2 + ((self.down - y) / height) ** 2))

    # === Skin ===

    def draw_skin(self, rng):
        """Draws a face without makeup, of any skin tone: brows, lips, eyes, freckles, moles, perhaps a beard."""
        tone = DARKEST + rng.random() * (LIGHTEST - DARKEST)
        tone = tone * (1 + rng.normal() * np.array((0.05, 0, -0.05)))
        face = tone * (1 + 0.025 * self.noise(rng, 0.08) + 0.012 * self.noise(rng, 0.015))[..., None]
        red = sum(self.spot(x, y, 0.08, 0.065) for x, y in self.cheeks)
        face *= 1 + rng.random() * red[..., None] * (0.05, -0.04, -0.04)
        for _ in range(rng.integers(0, 7)):  # moles, which are on one side only
            mole = self.spot(*rng.uniform((0.2, 0.25), (0.8, 0.85)), 0.006 + 0.006 * rng.random())
            face *= 1 - 0.5 * rng.random() * mole[..., None]
        if rng.random() < 0.2:
            freckles = np.clip(self.noise(rng, 0.008) - 1.6, 0, 1) * np.clip(red + self.spot(0.5, 0.5, 0.1), 0, 1)
            face *= 1 - rng.uniform(0.2, 0.5) * freckles[..., None]
        hair = np.array((0.08, 0.06, 0.05)) + rng.random() * np.array((0.35, 0.25, 0.15))
        if rng.random() < 0.2:
            below = np.clip((self.down - 0.58) / 0.1, 0, 1) * np.clip(1 - self.spot(0.5, 0.6, 0.1, 0.05), 0, 1)
            face = _over(face, rng.uniform(0.2, 0.7) * below * np.clip(1 + 0.4 * self.noise(rng, 0.01), 0, 1.4), hair)
        face = _over(face, region("brows", self.size) * (0.6 + 0.4 * rng.random()), hair)
        lips = tone * (0.85, 0.6, 0.62) + (0.08, 0, 0.02)
        face = _over(face, region("lips", self.size), lips * (1 + 0.04 * self.noise(rng, 0.01))[..., None])
        radius = np.minimum(*(np.hypot(self.right - x, self.down - y) for x, y in self.eyes))
        iris = np.clip((0.024 - radius) / 0.006, 0, 1)[..., None]
        face = _over(face, region("eyes", self.size), 0.8 * (1 - iris) + iris * 0.4 * rng.random(3))
        lashes = ndimage.gaussian_filter(region("eyes", self.size), 0.012 * self.size) * (1 - region("eyes", self.size))
        face *= 1 - 0.5 * np.clip(4 * lashes, 0, 1)[..., None]
        face = _over(face, region("mouth", self.size), np.array((0.3, 0.1, 0.1)))
        return Skin(np.clip(face, 0, 1), tone)

    # === Makeup ===

    def draw_makeup(self, rng):
        """Draws makeup: a list of `Layer`, from the skin outwards; lipstick or eye shadow may be missing."""
        width, shift = rng.uniform(0.08, 0.14), 0.02 * rng.normal(size=2)
        blush = sum(
            self.spot(x + side * shift[0], y + shift[1], 0.7 * width, 0.55 * width)
            for side, (x, y) in zip((-1, 1), self.cheeks, strict=True)
        )
        rose = _colour(rng.normal() * 0.03 % 1, rng.uniform(0.4, 0.8), rng.uniform(0.7, 0.95))
        layers = [Layer(rng.uniform(0, 0.5) * blush * self.skin, rose)]
        if rng.random() < 0.85:
            wide, raised = rng.uniform(0.06, 0.12), rng.uniform(0, 0.05)
            far = np.minimum(*(np.hypot(0.85 * (self.right - x), 1.7 * (self.down - y + raised)) for x, y in self.eyes))
            lids = np.exp(-1.5 * (np.maximum(far - 0.02, 0) / wide) ** 2) * self.skin
            lids *= 1 - 0.7 * region("brows", self.size)
            shadow = _colour(rng.random(), rng.uniform(0.2, 0.9), rng.uniform(0.1, 0.8))
            layers.append(Layer(rng.uniform(0.2, 0.8) * lids, shadow))
        if rng.random() < 0.9:
            lipstick = _colour((rng.normal() * 0.05 - 0.02) % 1, rng.uniform(0.5, 1), rng.uniform(0.3, 0.95))
            layers.append(Layer(rng.uniform(0.45, 0.95) * region("lips", self.size), lipstick))
        return layers

    def draw_eyes(self, rng, tone):
        """Draws what makes eyes differ in photos: bold shadow, liner, lines in the skin; a list of `Layer`."""
        raised, (wide, high) = rng.uniform(-0.01, 0.05), rng.uniform((0.8, 1.0), (1.2, 1.8))
        far = np.minimum(*(np.hypot(wide * (self.right - x), high * (self.down - y + raised)) for x, y in self.eyes))
        eyes, layers = region("eyes", self.size), []
        if rng.random() < 0.6:
            alpha = rng.uniform(0.2, 1) * expit((rng.uniform(0.03, 0.11) - far) / rng.uniform(0.003, 0.03))
            alpha *= 1 + rng.uniform(0, 0.3) * self.noise(rng, rng.uniform(0.01, 0.05))
            layers.append(Layer(np.clip(alpha, 0, 1) * (1 - eyes), _colour(*rng.random(3))))
        if rng.random() < 0.6:
            near = ndimage.gaussian_filter(eyes, rng.uniform(0.004, 0.015) * self.size)
            layers.append(Layer(rng.uniform(0.3, 1) * np.clip(4 * near, 0, 1) * (1 - eyes), 0.3 * rng.random() * tone))
        for _ in range(rng.integers(0, 4)):
            line = np.exp(-(((far - rng.uniform(0.03, 0.09)) / rng.uniform(0.008, 0.02)) ** 2))
            half = expit(rng.choice((-1, 1)) * (self.down - self.eyes[0][1] - rng.uniform(-0.03, 0.03)) / 0.01)
            layers.append(
                Layer(rng.uniform(0, 0.7) * line * half * (1 - eyes), np.clip(rng.uniform(0.4, 1.2) * tone, 0, 1))
            )
        return layers

    def draw_folds(self, rng, tone):
        """Draws the folds between nose and mouth, which smiles deepen, as dark or light lines; a list of `Layer`."""
        if rng.random() < 0.5:
            return []
        layers, width, depth = [], rng.uniform(0.006, 0.025), rng.uniform(0.1, 0.8)
        for (nose, mouth), side in zip(FOLDS, (-1, 1), strict=True):
            (x, y), end = PLACES[nose] + (side * 0.02, 0), PLACES[mouth] + (side * rng.uniform(0.02, 0.07), 0)
            along = end - (x, y)
            at = np.clip(((self.right - x) * along[0] + (self.down - y) * along[1]) / (along @ along), 0, 1)
            off = np.hypot(self.right - x - at * along[0], self.down - y - at * along[1])
            alpha = depth * rng.uniform(0.3, 1) * np.exp(-((off / width) ** 2))
            layers.append(Layer(alpha, np.clip(rng.uniform(0.4, 1.3) * tone, 0, 1)))
        return layers

    # === What is in front of a face ===

    def draw_cover(self, rng, tone):
        """Draws hair, glasses or a hand in front of a face of some skin tone: a `Layer`; None for most faces."""
        kind = rng.choice([*COVERS, "nothing"], p=[*COVERS.values(), 1 - sum(COVERS.values())])
        if kind == "fringe":
            return self.draw_fringe(rng)
        if kind == "glasses":
            return self.draw_glasses(rng)
        return self.draw_hand(rng, tone) if kind == "hand" else None

    def draw_fringe(self, rng):
        """Draws hair over a part of the forehead and perhaps of one side."""
        side, low = rng.choice((-1, 1)), rng.uniform(0.12, 0.26)
        edge = low + 0.05 * self.noise(rng, 0.05) + 0.12 * side * (self.right - 0.5)
        alpha = np.clip((edge - self.down) / 0.015, 0, 1)
        if rng.random() < 0.4:
            beside = 0.12 + 0.02 * self.noise(rng, 0.05) - (0.5 - side * (self.right - 0.5))
            alpha = np.maximum(alpha, np.clip(beside / 0.015, 0, 1))
        hair = np.array((0.08, 0.06, 0.05)) + rng.random() * np.array((0.5, 0.38, 0.2))
        strands = 1 + 0.15 * self.noise(rng, 0.004)
        return Layer(alpha, np.clip(hair * strands[..., None], 0, 1))

    def draw_glasses(self, rng):
        """Draws glasses: a frame with clear lenses or, one time in three, with dark ones."""
        wide, high, half = rng.uniform(0.08, 0.11), rng.uniform(0.06, 0.09), rng.uniform(0.006, 0.018)
        roundness, drop = rng.uniform(2, 5), rng.uniform(0, 0.02)
        edge = np.full((self.size, self.size), np.inf)  # distance to the edge of the nearer lens, below 0 inside
        for x, y in self.eyes:
            across, down = np.abs(self.right - x) / wide, np.abs(self.down - y - drop) / high
            edge = np.minimum(edge, ((across**roundness + down**roundness) ** (1 / roundness) - 1) * min(wide, high))
        below = self.down - np.mean([y for _, y in self.eyes]) - drop + 0.3 * high  # the bridge and the temples

        def within(distance):  # as a share of the texel: in small textures, a rim is thinner than one
            return np.clip(0.5 - distance * self.size, 0, 1)

        rim = within(edge - half) - within(edge + half)
        bar = (within(below - 0.8 * half) - within(below + 0.8 * half)) * (edge > 0)
        tint = rng.uniform(0.5, 0.95) if rng.random() < 1 / 3 else 0
        frame = _colour(rng.random(), rng.uniform(0, 0.7), rng.uniform(0.05, 0.6))
        glass = _colour(rng.random(), rng.uniform(0, 0.7), rng.uniform(0.05, 0.25))
        solid = np.maximum(rim, bar)
        alpha = solid + (1 - solid) * tint * within(edge)
        return Layer(alpha, _over(np.broadcast_to(glass, (*alpha.shape, 3)), solid / np.maximum(alpha, 1e-9), frame))

    def draw_hand(self, rng, tone):
        """Draws two to four fingers that come from below or from one side, in the face's skin tone."""
        side, angle = rng.choice((-1, 1)), rng.uniform(0.3, 1.4)
        along = np.array((side * np.cos(angle), np.sin(angle)))  # from the tips to the hand
        beside = np.array((-side * np.sin(angle), np.cos(angle)))  # from a finger to the next
        tip = np.array((0.5 + side * rng.uniform(0.05, 0.3), rng.uniform(0.55, 0.85)))
        width = rng.uniform(0.035, 0.05)
        skin = np.clip(tone * (1 + 0.06 * rng.normal()), 0, 1)
        alpha, relief = np.zeros((2, self.size, self.size))
        for number in range(rng.integers(2, 5)):
            start = tip + 1.9 * number * width * beside + 0.05 * rng.normal() * along
            x, y = self.right - start[0], self.down - start[1]
            on = np.clip(x * along[0] + y * along[1], 0, None)
            off = np.hypot(x - on * along[0], y - on * along[1]) / width
            alpha = np.maximum(alpha, np.clip((1 - off) * width / 0.008, 0, 1))
            relief = np.maximum(relief, 1 - 0.45 * np.minimum(off, 1) ** 2)
        return Layer(alpha, skin * relief[..., None])

    def draw_thing(self, rng, tone):
        """Draws a bar, a patch or a blot in any colour, often the tone of skin: what else may be in front of a face."""
        place, (wide, high), angle = rng.uniform(0.1, 0.9, 2), rng.uniform(0.03, 0.25, 2), rng.uniform(0, np.pi)
        x, y = self.right - place[0], self.down - place[1]
        along, across = x * np.cos(angle) + y * np.sin(angle), y * np.cos(angle) - x * np.sin(angle)
        roundness = rng.uniform(1.5, 8)
        edge = ((abs(along) / wide) ** roundness + (abs(across) / high) ** roundness) ** (1 / roundness) - 1
        edge = edge * min(wide, high) + rng.choice((0, 0.02)) * self.noise(rng, rng.uniform(0.03, 0.12))
        colour = np.clip(tone * (1 + 0.3 * rng.normal()), 0, 1) if rng.random() < 0.3 else _colour(*rng.random(3))
        pattern = 1 + rng.uniform(0, 0.3) * self.noise(rng, rng.uniform(0.004, 0.05))
        alpha = np.clip(0.5 - edge * self.size / rng.uniform(1, 2.5), 0, 1)
        return Layer(alpha, np.clip(colour * pattern[..., None], 0, 1))

    # === Light ===

    def draw_shadow(self, rng):
        """Draws a shadow or a spot of light with a sharp or a soft edge, that nothing on a head explains.

        Returns:
            `(size, size, 3)`, what it multiplies colours by.
        """
        noise = self.noise(rng, rng.uniform(0.05, 0.16))
        if rng.random() < 0.5:
            angle, (x, y) = rng.uniform(0, 2 * np.pi), rng.uniform(0.2, 0.8, 2)
            inward = (self.right - x) * np.cos(angle) + (self.down - y) * np.sin(angle) + rng.uniform(0, 0.1) * noise
        else:
            inward = 0.1 * (noise - rng.uniform(0.3, 1.5))
        dark = rng.choice((-1, 1)) * rng.uniform(0.15, 0.6) * expit(inward / rng.uniform(0.006, 0.06))
        return 1 - dark[..., None] * (1 + 0.05 * rng.normal(size=3))

    def draw_light(self, rng, kind):
        """Draws a light from one of `LIGHTS`, on a head of its own, with shadows that it casts on itself."""
        shape = draw_head(rng)
        outwards = interpolated(normals(shape), self.size)
        across, up = rng.uniform(0.7, 1.6), rng.uniform(-0.2, 0.5)
        if kind in ("left", "right"):
            towards = np.array((across if kind == "right" else -across, -up, -rng.uniform(0.35, 1)))
        elif kind in ("top", "bottom"):
            towards = np.array((0.1 * rng.normal(), -across if kind == "top" else across, -rng.uniform(0.35, 1)))
        else:
            towards = np.array((0.08 * rng.normal(), -up, -1.0))
        towards /= np.linalg.norm(towards)
        ambient = rng.uniform(0.45, 0.7) if kind == "front" else rng.uniform(0.2, 0.5)
        lit = self._unshadowed(shape, towards)
        # The first two bands of spherical harmonics from around, and the light itself.
        around = 1 + 0.15 * outwards @ towards
        shade = ambient * around + 1.25 * (1 - ambient) * np.clip(outwards @ towards, 0, None) * lit
        half = towards + (0, 0, -1)
        lobe = np.clip(outwards @ (half / np.linalg.norm(half)), 0, None) ** rng.uniform(12, 40)
        return Light(shade, rng.uniform(0, 0.25) * lobe * lit, 1 + rng.normal() * np.array((0.06, 0, -0.06)))

    def _unshadowed(self, shape, towards, resolution=96):
        """Returns where light arrives, soft at the edges: no other part of the face is on the way."""
        places = interpolated(shape, self.size)
        low, scale = shape[:, :2].min(axis=0) - 1, resolution / (np.ptp(shape[:, :2], axis=0).max() + 2)
        seen = np.column_stack([(shape[:, :2] - low) * scale, shape[:, 2]])
        triangle, weights = rasterise(seen, TRIANGLES, (resolution, resolution))
        depth = np.where(triangle >= 0, np.einsum("ijk,ijk->ij", weights, shape[TRIANGLES[triangle], 2]), np.inf)
        depth = np.minimum(depth, 50).astype("float32")
        covered = np.zeros((self.size, self.size))
        for step in np.linspace(0.4, 7, 22):  # centimetres on the way
            at = places + step * towards
            nearer = at[..., 2] - sample(depth, (at[..., :2] - low) * scale)
            covered = np.maximum(covered, np.clip((nearer - 0.05) / 0.4, 0, 1))
        return ndimage.gaussian_filter(1 - covered, 0.012 * self.size)


def _colour(hue, saturation, value):
    return np.array(colorsys.hsv_to_rgb(hue, saturation, value))


def _over(below, alpha, colour):
    """Lays a colour over a texture."""
    alpha = np.clip(alpha, 0, 1)
    alpha = alpha if np.ndim(alpha) == 3 else alpha[..., None]
    return below * (1 - alpha) + alpha * colour


def made_up(skin, layers):
    """Returns the texture of a `Skin` under layers of makeup, which darken and lighten with it."""
    texture = skin.texture
    for layer in layers:
        relief = np.clip(0.55 + 0.45 * skin.texture.mean(axis=-1, keepdims=True) / max(skin.tone.mean(), 0.05), 0, 1.2)
        texture = _over(texture, layer.alpha, layer.colour * relief)
    return np.clip(texture, 0, 1)


def behind(texture, cover):
    """Returns a texture with a cover, a `Layer` or None, in front of it."""
    return texture if cover is None else _over(texture, cover.alpha, cover.colour)


def lit(texture, light):
    """Returns a texture in a `Light`; light adds in linear colours."""
    linear = texture**GAMMA * (light.shade[..., None] * light.tint) + light.gloss[..., None]
    return np.clip(linear, 0, 1) ** (1 / GAMMA)
