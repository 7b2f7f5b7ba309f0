"""Drawn shapes: pictures with one to six of twelve kinds of things, embedded multi-label data at any size.

What makes photographs hard is here in small. Things cover each other, but at least a third of each is to be seen. The
ground has slopes, lines and blots that are none of the kinds. Colour and texture usually go with a kind, and sometimes
do not. Kinds keep company, and some are eight times as common as others. An image depends only on (seed, split, index).
"""

import colorsys
from typing import NamedTuple

import numpy as np
from PIL import Image, ImageDraw

from kgan.data.source import Source, check_split

COUNTS = {"train": 2000, "test": 2000}
# From the most common kind to the rarest.
CLASS_NAMES = (
    "disc",
    "triangle",
    "square",
    "ring",
    "star",
    "cross",
    "leaf",
    "arrow",
    "heart",
    "rhombus",
    "bolt",
    "crescent",
)
HOW_MANY = (0.2, 0.25, 0.22, 0.15, 0.1, 0.08)  # shares of images with one to six kinds
COMPANIES, LOYALTY = 4, 5  # kinds k, k + 4, k + 8 keep company: they are this many times as common among themselves
OWN_LOOK = 0.75  # share of things in the colours and the texture of their kind
TEXTURES = ("plain", "stripes", "dots", "checks")
FINER = 4  # masks are drawn this many times as fine


def open_shapes(split, image_size, channels, count, seed):
    """Opens the drawn shapes; 2,000 training and 2,000 test images, 64 x 64 RGB by default."""
    check_split(split, COUNTS)
    return Shapes(split, image_size or 64, channels or 3, count or COUNTS[split], seed)


class Thing(NamedTuple):
    kind: int
    x: float  # of the centre, in widths of the image
    y: float
    radius: float
    angle: float


class Shapes(Source):
    """Drawn shapes; image `i` does not depend on `count`. Labels are int32 `(n, 12)` of 0 and 1."""

    def __init__(self, split, image_size, channels, count, seed):
        self.stream, self.seed = list(COUNTS).index(split), seed
        labels = np.zeros((count, len(CLASS_NAMES)), "int32")
        for i, row in enumerate(labels):
            row[[thing.kind for thing in things_of(self._rng(i))]] = 1
        super().__init__(labels, CLASS_NAMES, image_size, channels)

    def _rng(self, index):
        return np.random.default_rng([self.stream, index, self.seed])

    def images(self, indices):
        images = np.empty((len(indices), self.image_size, self.image_size, self.channels), "float32")
        for image, index in zip(images, indices, strict=True):
            rng = self._rng(index)
            rgb = draw(things_of(rng), self.image_size, rng)
            image[:] = rgb if self.channels == 3 else rgb @ np.float32([[0.299], [0.587], [0.114]])
        images *= 2
        images -= 1
        return np.clip(images, -1, 1, out=images)


def things_of(rng):
    """Draws what is in an image and where, from back to front."""
    company = rng.integers(COMPANIES)
    weights = (1 + np.arange(len(CLASS_NAMES))) ** -0.8
    weights *= np.where(np.arange(len(CLASS_NAMES)) % COMPANIES == company, LOYALTY, 1)
    count = 1 + rng.choice(len(HOW_MANY), p=HOW_MANY)
    things = []
    for kind in rng.choice(len(CLASS_NAMES), count, replace=False, p=weights / weights.sum()):
        for _ in range(30):
            radius = rng.uniform(0.1, 0.3 if count < 4 else 0.22)
            x, y = rng.uniform(0.8 * radius, 1 - 0.8 * radius, 2)
            if all(np.hypot(x - t.x, y - t.y) > 0.65 * (radius + t.radius) for t in things):
                things.append(Thing(int(kind), x, y, radius, rng.normal(scale=0.35)))
                break
    return things


# --- Outlines, in a plane where a thing has radius 1 and y grows downwards --------------------------------------------


def _circle(radius=1.0, x=0.0, y=0.0):
    angle = np.linspace(0, 2 * np.pi, 48, endpoint=False)
    return np.stack([x + radius * np.cos(angle), y + radius * np.sin(angle)], axis=1)


def _spokes(*radii, count, start=-np.pi / 2):
    """Corners at equal angles, at these radii in turn."""
    angle = start + 2 * np.pi * np.arange(count) / count
    return np.resize(radii, count)[:, None] * np.stack([np.cos(angle), np.sin(angle)], axis=1)


def _heart():
    t = np.linspace(0, 2 * np.pi, 48, endpoint=False)
    y = 13 * np.cos(t) - 5 * np.cos(2 * t) - 2 * np.cos(3 * t) - np.cos(4 * t)
    return np.stack([16 * np.sin(t) ** 3, -y - 2], axis=1) / 16.5


def _leaf():
    t = np.linspace(-1, 1, 24)
    side = np.stack([0.4 * (1 - t**2), t], axis=1)
    return np.concatenate([side, side[::-1] * (-1, 1)])


ARM = 0.36
# Of each kind a list of (outline, whether it is filled or cut out).
OUTLINES = {
    "disc": [(_circle(0.9), 1)],
    "triangle": [(_spokes(1.0, count=3), 1)],
    "square": [(_spokes(1.0, count=4, start=-np.pi / 4), 1)],
    "ring": [(_circle(0.95), 1), (_circle(0.55), 0)],
    "star": [(_spokes(1.0, 0.42, count=10), 1)],
    "cross": [([(-ARM, -1), (ARM, -1), (ARM, 1), (-ARM, 1)], 1), ([(-1, -ARM), (1, -ARM), (1, ARM), (-1, ARM)], 1)],
    "leaf": [(_leaf(), 1)],
    "arrow": [([(0, -1), (0.8, 0), (0.3, 0), (0.3, 1), (-0.3, 1), (-0.3, 0), (-0.8, 0)], 1)],
    "heart": [(_heart(), 1)],
    "rhombus": [([(0, -1), (0.7, 0), (0, 1), (-0.7, 0)], 1)],
    "bolt": [([(0.25, -1), (-0.55, 0.15), (-0.05, 0.15), (-0.25, 1), (0.55, -0.2), (0.05, -0.2)], 1)],
    "crescent": [(_circle(0.95), 1), (_circle(0.8, x=0.45), 0)],
}


# --- Painting ---------------------------------------------------------------------------------------------------------


def draw(things, size, rng):
    """Returns float32 `(size, size, 3)`, approximately in [0, 1]."""
    axis = (np.arange(size, dtype="float32") + 0.5) / size
    x, y = np.meshgrid(axis, axis)
    image = _ground(x, y, rng)
    for thing in things:
        mask = _mask(thing, size)
        own = rng.uniform() < OWN_LOOK
        hue = thing.kind / len(CLASS_NAMES) + rng.normal(scale=0.03) if own else rng.uniform()
        texture = thing.kind % len(TEXTURES) if own else rng.integers(len(TEXTURES))
        colour = _colour(hue, rng.uniform(0.55, 0.95), rng.uniform(0.55, 0.95))
        tone = _texture(TEXTURES[texture], *_within(thing, x, y), rng)
        shadow = np.roll(mask, (1 + size // 40,) * 2, axis=(0, 1))
        image *= 1 - 0.35 * shadow[..., None]
        image += mask[..., None] * (colour * tone[..., None] - image)
    slope = x * rng.uniform(-0.3, 0.3) + y * rng.uniform(-0.3, 0.3)
    image *= (rng.uniform(0.85, 1.1) + slope)[..., None]
    image += rng.normal(scale=0.02, size=image.shape).astype("float32")
    return image


def _ground(x, y, rng):
    """Two colours in waves, with lines and blots."""
    first, second = (_colour(rng.uniform(), rng.uniform(0.1, 0.5), rng.uniform(0.3, 0.9)) for _ in range(2))
    mix = 0.5 + sum(
        rng.uniform(0.1, 0.25) * np.sin(rng.uniform(-9, 9) * x + rng.uniform(-9, 9) * y + rng.uniform(0, 6))
        for _ in range(3)
    )
    image = (first + mix[..., None] * (second - first)).astype("float32")
    size = len(x)
    clutter = Image.new("RGBA", (2 * size, 2 * size))
    pen = ImageDraw.Draw(clutter)
    for _ in range(rng.integers(2, 9)):
        ends = rng.uniform(0, 2 * size, (2, 2))
        colour = (*(255 * _colour(rng.uniform(), rng.uniform(0.2, 0.8), rng.uniform(0.2, 0.9))).astype(int), 200)
        if rng.uniform() < 0.6:
            pen.line([tuple(end) for end in ends], colour, width=max(1, size // 24))
        else:
            corner, extent = ends[0], rng.uniform(0.02, 0.08, 2) * 2 * size
            pen.ellipse([*corner, *(corner + extent)], colour)
    clutter = np.asarray(clutter.resize((size, size), Image.Resampling.BOX), "float32") / 255
    return image + clutter[..., 3:] * (clutter[..., :3] - image)


def _mask(thing, size):
    """The share of each pixel that a thing covers, float32 `(size, size)`."""
    canvas = Image.new("L", (FINER * size, FINER * size))
    pen = ImageDraw.Draw(canvas)
    turn = np.array([[np.cos(thing.angle), -np.sin(thing.angle)], [np.sin(thing.angle), np.cos(thing.angle)]])
    for outline, filled in OUTLINES[CLASS_NAMES[thing.kind]]:
        corners = (thing.x, thing.y) + thing.radius * (np.asarray(outline) @ turn.T)
        pen.polygon([tuple(corner) for corner in FINER * size * corners], fill=255 * filled)
    return np.asarray(canvas.resize((size, size), Image.Resampling.BOX), "float32") / 255


def _within(thing, x, y):
    """The pixels' positions in the plane of a thing."""
    dx, dy = (x - thing.x) / thing.radius, (y - thing.y) / thing.radius
    cos, sin = np.cos(thing.angle), np.sin(thing.angle)
    return cos * dx + sin * dy, cos * dy - sin * dx


def _texture(name, u, v, rng):
    """Factors of the colour, float32 like `u`: light from the upper left, and a pattern."""
    light = 1 - 0.15 * np.clip(u + v, -1, 1)
    period, depth = rng.uniform(0.35, 0.6), rng.uniform(0.35, 0.6)
    waves = [np.sin(2 * np.pi * w / period) for w in (u, v)]
    pattern = {
        "plain": np.zeros_like(u),
        "stripes": waves[1] > 0,
        "dots": waves[0] * waves[1] > 0.45,
        "checks": waves[0] * waves[1] > 0,
    }[name]
    return light * (1 - depth * pattern)


def _colour(hue, saturation, value):
    return np.float32(colorsys.hsv_to_rgb(hue % 1, saturation, value))
