"""Drawn flowers of twelve species: labelled images without a download, at any size and in any number.

A flower is drawn in its own plane, in which the longest petals have length 1: first the rings of petals from back to
front, then the centre. Every quantity is a formula of the pixel's position in that plane. Edges are one pixel soft, so
no supersampling is needed. An image depends only on (seed, split, index).
"""

from types import SimpleNamespace

import numpy as np

from kgan.data.flowers.species import CLASS_NAMES, TABLE
from kgan.data.source import Source, check_split

COUNTS = {"train": 6000, "test": 1200}
CHUNK = 16


def open_flowers(split, image_size, channels, count, seed):
    """Opens the drawn flowers; 6,000 training and 1,200 test images, 64 x 64 RGB by default."""
    check_split(split, COUNTS)
    return Flowers(split, image_size or 64, channels or 3, count or COUNTS[split], seed)


class Flowers(Source):
    """Drawn flowers; image `i` shows species `i % 12` and does not depend on `count`."""

    def __init__(self, split, image_size, channels, count, seed):
        super().__init__(np.arange(count) % len(CLASS_NAMES), CLASS_NAMES, image_size, channels)
        self.stream = list(COUNTS).index(split)
        self.seed = seed

    def images(self, indices):
        images = np.empty((len(indices), self.image_size, self.image_size, self.channels), "float32")
        # Chunks keep the working arrays in the processor's cache.
        for start in range(0, len(indices), CHUNK):
            chunk = indices[start : start + CHUNK]
            draws = np.stack([np.random.default_rng([self.stream, i, self.seed]).random(96, "float32") for i in chunk])
            rgb = draw(self.labels[chunk], draws, self.image_size)
            if self.channels == 1:
                rgb = np.tensordot(rgb, np.float32([[0.299], [0.587], [0.114]]), axes=(1, 0)).transpose(0, 3, 1, 2)
            images[start : start + CHUNK] = rgb.transpose(0, 2, 3, 1)
        images *= 2
        images -= 1
        return np.clip(images, -1, 1, out=images)


class Draws:
    """Returns one column of an array of uniform numbers `(n, columns)` per call, scaled to a range, as `(n, 1, 1)`."""

    def __init__(self, uniform):
        self.uniform = uniform
        self.used = 0

    def __call__(self, low=0.0, high=1.0):
        self.used += 1
        return low + (high - low) * self.uniform[:, self.used - 1, None, None]


def draw(labels, uniform, size):
    """Draws one flower per label; returns float32 `(n, 3, size, size)`, approximately in [0, 1]."""
    draws = Draws(uniform)
    look = {name: values[labels].reshape(len(labels), *values.shape[1:], 1, 1) for name, values in TABLE.items()}
    look = SimpleNamespace(**look)
    axis = ((np.arange(size, dtype="float32") + 0.5) * 2 / size - 1)[None]
    x, y = axis[:, None, :], axis[:, :, None]

    image = draw_background(draws, x, y)
    radius = look.scale * draws(0.62, 0.82)
    centre_x, centre_y = draws(-0.16, 0.16), draws(-0.16, 0.16)
    draw_stem(image, draws, x - centre_x, y - centre_y, 2 / size)

    # The flower's plane: tilted about a random axis, then rotated about its centre.
    tilt_cos, tilt_sin = unit(draws(0, np.pi))
    dx, dy = (x - centre_x) / radius, (y - centre_y) / radius
    u = dx * tilt_cos + dy * tilt_sin
    v = (dy * tilt_cos - dx * tilt_sin) / draws(0.68, 1)
    look.distance = np.hypot(u, v)
    look.angle = np.arctan2(v, u) + draws(0, 2 * np.pi)
    look.pixel = 2 / (size * radius)
    shadow = np.hypot(u - draws(-0.12, 0.12), v - 0.1)
    shade(image, 0.5 * ramp((1.05 - shadow) / 0.5))
    draw_flower(image, draws, look)

    light_cos, light_sin = unit(draws(0, 2 * np.pi))
    light = draws(0.8, 1.12) * (1 + draws(0, 0.2) * (x * light_cos + y * light_sin))
    warmth = draws(-0.06, 0.06)
    image *= light[:, None]
    image[:, 0] *= 1 + warmth
    image[:, 2] *= 1 - warmth
    return image


def unit(angle):
    return np.cos(angle), np.sin(angle)


def ramp(x):
    """Clips to [0, 1]."""
    return np.clip(x, 0, 1)


def paint(image, alpha, colour):
    """Blends `colour` `(n, 3, 1, 1)` or `(n, 3, h, w)` into `image` `(n, 3, h, w)` with opacity `alpha` `(n, h, w)`."""
    image += alpha[:, None] * (colour - image)


def shade(image, alpha):
    """Darkens `image` by the fraction `alpha` `(n, h, w)`."""
    image *= 1 - alpha[:, None]


GROUNDS = np.array([
    [(0.1, 0.22, 0.07), (0.25, 0.45, 0.14), (0.45, 0.62, 0.25)],  # leaves
    [(0.2, 0.13, 0.08), (0.36, 0.25, 0.16), (0.5, 0.38, 0.25)],  # soil
    [(0.45, 0.65, 0.88), (0.65, 0.8, 0.95), (0.9, 0.95, 0.98)],  # sky
    [(0.08, 0.12, 0.1), (0.15, 0.25, 0.22), (0.35, 0.4, 0.3)],  # shade
], "float32")  # fmt: skip


def draw_background(draws, x, y):
    """Draws a gradient between two colours of a background, with waves of light and out-of-focus discs."""
    ground = GROUNDS[(draws(0, len(GROUNDS))[:, 0, 0]).astype(int)][..., None, None]
    cos, sin = unit(draws(0, 2 * np.pi))
    mix = 0.5 + 0.35 * (x * cos + y * sin)
    for _ in range(3):
        wave_x, wave_y = draws(-6, 6), draws(-6, 6)
        mix = mix + draws(0.03, 0.15) * np.sin(wave_x * x + wave_y * y + draws(0, 2 * np.pi))
    image = ground[:, 0] + ramp(mix)[:, None] * (ground[:, 1] - ground[:, 0])
    for _ in range(5):
        # Discs are slightly elongated in a random direction, like leaves.
        cos, sin = unit(draws(0, np.pi))
        dx, dy = x - draws(-1, 1), y - draws(-1, 1)
        distance = np.hypot(dx * cos + dy * sin, (dy * cos - dx * sin) * draws(1, 2.2))
        alpha = draws(0.1, 0.55) * ramp((draws(0.15, 0.5) - distance) / 0.12)
        paint(image, alpha, ground[:, 0] + draws()[:, None] * (ground[:, 2] - ground[:, 0]))
    return image


def draw_stem(image, draws, dx, dy, pixel):
    """Draws a stem below the flower and two leaves beside it."""
    green = np.concatenate([draws(0.12, 0.3), draws(0.35, 0.55), draws(0.08, 0.2)], axis=1)[..., None]
    bend = draws(-0.3, 0.3)
    across = np.abs(dx - bend * dy * np.abs(dy))
    paint(image, ramp((0.045 - across) / pixel + 0.5) * (dy > 0), green * (1.1 - 5 * across[:, None]))
    for side in (-1, 1):
        cos, sin = unit(draws(0.15, 1.2))
        along = (side * dx * cos + dy * sin) / draws(0.8, 1.15)
        across = np.abs(dy * cos - side * dx * sin)
        edge = np.minimum(0.55 * along * (1 - along), 0.15) - across
        vein = 0.75 + 0.25 * ramp(across / 0.05)
        paint(image, ramp(edge / pixel + 0.5), green * draws(0.7, 1.1)[:, None] * vein[:, None])


def draw_flower(image, draws, look):
    """Draws the petals ring by ring, then the stamens and the centre."""
    look.uneven, look.phase = draws(0, 0.07), draws(0, 6)
    look.tint = 1 + 0.16 * (np.stack([draws(), draws(), draws()], axis=1) - 0.5)
    for ring in range(int(look.rings.max())):
        drawn = np.flatnonzero(look.rings.ravel() > ring)
        canvas = image[drawn]
        draw_ring(canvas, SimpleNamespace(**{name: values[drawn] for name, values in vars(look).items()}), ring)
        image[drawn] = canvas
    draw_centre(image, look)


def draw_ring(image, look, ring):
    """Draws one ring of petals.

    `along` runs from 0 at the base of a petal to 1 at its tip; `across` is the distance from the petal's midline.
    """
    length = 1 - ring * look.step
    turn = look.angle * look.petals / (2 * np.pi) + ring * 0.61
    petal = np.round(turn)
    off = turn - petal
    # The angle wraps around after the last petal.
    petal = np.mod(petal, look.petals)
    length = length * (1 + look.uneven * np.cos(petal * 2.4 + look.phase))
    sector = off * (2 * np.pi / look.petals)
    along = look.distance * np.cos(sector) / length
    across = np.abs(look.distance * np.sin(sector)) / length
    rim = ramp(1 - across / look.width)
    along_tip = along * (1 + look.notch * rim * rim)
    along_tip = along_tip * (1 + look.teeth * np.cos(across / look.width * 9.4))

    # Half width: one power law from the base and one from the tip, scaled to 1 where the petal is widest.
    base_power = look.tip * look.widest / (1 - look.widest)
    inside = np.clip(along_tip, 1e-3, 1)
    width = (inside / look.widest) ** base_power * ((1 - inside) / (1 - look.widest)) ** look.tip
    depth = np.minimum(look.width * width - across, 1 - along_tip) * length

    shade(image, 0.4 * ramp((depth + 0.07) / 0.12) * (ring > 0))
    colour = look.colour + ramp(along)[:, None] * (look.tip_colour - look.colour)
    stripe = look.stripe * ramp((0.22 * look.width * width - across) / (0.12 * look.width))
    paint(colour, stripe, look.stripe_colour)
    paint(colour, (look.edge > 0) * ramp(1 - depth / (look.edge + 1e-3)), look.edge_colour)
    paint(colour, ramp((look.throat - along) / 0.1 + 0.5) * (look.throat > 0), look.throat_colour)
    spots = np.sin(along * 38) * np.sin(across / look.width * 9 + 1)
    paint(colour, look.spots * ramp(4 * (spots - 0.45)) * (along < 0.62), look.stripe_colour * 0.3)
    # A petal is lighter on one side, so that neighbours seem to overlap, and darker at its base and its edges.
    light = (0.86 + 0.14 * ramp(along)) * (1 + 0.22 * off) * (0.78 + 0.22 * ramp(depth / 0.05))
    paint(image, ramp(depth / look.pixel + 0.5), colour * look.tint * light[:, None])


def draw_centre(image, look):
    """Draws a ring of stamens and the disc or cup in the middle."""
    radius = look.centre * (1 + look.rim * np.cos(look.angle * 12))
    reach = look.centre + 0.16
    rays = ramp((np.cos(look.angle * look.stamens) - 0.75) * 4 + 0.5)
    knobs = ramp((0.04 - np.abs(look.distance - reach)) / look.pixel + 0.5)
    threads = 0.5 * ramp((reach - look.distance) / look.pixel + 0.5)
    paint(image, (look.stamens > 0) * rays * np.maximum(knobs, threads), look.stamen_colour)

    shade(image, 0.4 * ramp((radius + 0.05 - look.distance) / 0.08))
    seeds = np.sin(look.distance * 55) * np.sin(look.angle * 14 + look.distance * 25)
    share = look.distance / look.centre
    dome = 1.08 - 0.3 * share * share
    cup = 0.55 + 0.5 * share
    light = np.where(look.rim > 0, cup, dome) * (1 + look.seeds * 0.5 * seeds)
    paint(image, ramp((radius - look.distance) / look.pixel + 0.5), look.centre_colour * light[:, None])
