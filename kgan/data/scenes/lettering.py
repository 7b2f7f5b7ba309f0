"""Blocks of lettering and panels of a drawn scene: their paint, how they are drawn, and whether a line can be seen."""

import math
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
from PIL import Image, ImageChops, ImageDraw

from kgan.data.scenes.surfaces import gradient, lit, mixed, noise, outline, random_colour, shifted, surface
from kgan.data.scenes.typesetting import Plane
from kgan.data.scenes.words import between, pick
from kgan.filter.regions import line_height, polygon_mask

SMALLEST = 5.5  # smallest height of a line, in pixels of the photograph

# A line is visible if three conditions hold: its pattern has a contrast of at least this many grey levels (root mean
# square), at least this fraction of the contrast of everything else around it, and blur has left at least this fraction
# of the contrast of sharp strokes.
VISIBLE_LEVELS, VISIBLE_SHARE, VISIBLE_DETAIL = 3.0, 0.2, 0.04


class Panel(NamedTuple):
    """A sign or a label: `(k, 2)` corners in the image, the picture on it, and the colour of its ground."""

    corners: np.ndarray
    face: Image.Image
    ground: tuple


@dataclass
class Lettering:
    """One block of text in the image, or a panel without text.

    `layers` are the sheets to draw over the image, each a mask of mode L with a colour and an offset on the sheet.
    `reduction` says how many times larger the photograph was when people labelled it.
    """

    plane: Plane
    panel: Panel | None = None
    layers: list = field(default_factory=list)
    boxes: list = field(default_factory=list)
    reduction: float = 1


def sides(quad):
    """Returns the width and height of a quadrilateral, measured between the midpoints of its edges."""
    left, right = quad[[0, 3]].mean(axis=0), quad[1:3].mean(axis=0)
    top, bottom = quad[:2].mean(axis=0), quad[2:].mean(axis=0)
    return np.linalg.norm(right - left), np.linalg.norm(bottom - top)


def ink_corners(text):
    """Returns the top left and bottom right corners of the lines of a block set by `typeset`."""
    boxes = np.array(text.boxes, "float64")
    return boxes[:, :2].min(axis=0), boxes[:, 2:].max(axis=0)


def fitted(rng, quad, text, pad, ground):
    """Returns a panel on a slightly rotated quadrilateral that the text's ink with a margin of `pad` fills."""
    turned = (quad - quad.mean(axis=0)) @ rotation(rng.normal(0, 0.03)) + quad.mean(axis=0)
    low, far = ink_corners(text)
    # The corners of the whole sheet, such that those of the padded ink coincide with the quadrilateral.
    sheet = np.array([(0, 0), (text.ink.width, 0), text.ink.size, (0, text.ink.height)])
    corners = Plane(1, 1, turned).to_picture((sheet - low + pad) / (far - low + 2 * pad))
    face = gradient(rng, 16, 16, [ground, shifted(rng, ground, 30)])
    return Lettering(Plane(*text.ink.size, corners), Panel(turned, face, ground))


def lettered(block, text, colour, scale):
    """Adds text to a block with the same plane, unless a line is too small or extremely enlarged by perspective."""
    outlines = [block.plane.outline(*box) for box in text.boxes]
    if all(line_height(o) >= SMALLEST * scale and np.ptp(o[:, 0]) < 2000 for o in outlines):
        block.layers = [(text.ink, colour, (0, 0))]
        block.boxes = [tuple(box) for box in text.boxes]
    return block


def rotation(angle):
    return np.array([(math.cos(angle), math.sin(angle)), (-math.sin(angle), math.cos(angle))])


def luminance(colour):
    return 0.299 * colour[0] + 0.587 * colour[1] + 0.114 * colour[2]


def ink_against(rng, ground):
    """Returns a colour lighter or darker than the ground, with high, medium or low contrast."""
    contrast = pick(rng, ((90, 230), (90, 230), (90, 230), (45, 100), (45, 100), (22, 50)))
    contrast = rng.uniform(*contrast)
    level = luminance(ground)
    up, down = 255 - level, level
    sign = 1 if up * rng.random() > down * rng.random() else -1
    target = level + sign * min(contrast, up if sign > 0 else down)
    colour = random_colour(rng) if rng.random() < 0.6 else (128, 128, 128)
    own = luminance(colour)
    if target < own:
        return mixed((0, 0, 0), colour, target / max(own, 1))
    return mixed(colour, (255, 255, 255), (target - own) / max(255 - own, 1))


def panel_paint(rng, colour, size):
    """Returns the face of a panel: a slight or strong gradient, or a texture; half of them with light and shadow."""
    small = [max(8, n // 3) for n in size]
    kind = rng.random()
    if kind < 0.45:
        face = gradient(rng, *small, [colour, shifted(rng, colour, 25)])
    elif kind < 0.75:
        face = gradient(rng, *small, [colour, shifted(rng, colour, 110)])
    else:
        face = Image.blend(
            Image.new("RGB", small, colour), surface(rng, *small, min(small) / 240), rng.uniform(0.1, 0.45)
        )
    return lit(rng, face, 0.4) if rng.random() < 0.5 else face


def dress(rng, background, plane, text, height, has_text, ground=None):
    """Returns a block with panel, colours, outline and shadow; without text, a panel that is blank or has a picture."""
    boxes = np.array(text.boxes)
    left, top = boxes[:, :2].min(axis=0)
    right, bottom = boxes[:, 2:].max(axis=0)
    block = Lettering(plane)
    if ground is None and rng.random() < 0.6:
        ground = random_colour(rng)
        if rng.random() < 0.5:
            ground = mixed(ground, pick(rng, ((255, 255, 255), (255, 255, 255), (15, 15, 20))), rng.uniform(0.6, 1))
        pad = text.line_height * rng.uniform(0.15, 1.2, 4) * (0.6 if plane.radius else 1)
        block.panel = Panel(
            plane.outline(left - pad[0], top - pad[1], right + pad[2], bottom + pad[3]),
            panel_paint(rng, ground, (60, 60)),
            ground,
        )
    elif ground is None:
        outline_ = plane.outline(left, top, right, bottom)
        low = np.clip(outline_.min(axis=0), 0, np.array(background.size) - 2)
        high = np.clip(outline_.max(axis=0), low + 1, background.size)
        ground = background.resize((1, 1), Image.Resampling.BOX, (*low, *high)).getpixel((0, 0))
    if not has_text:
        if block.panel and rng.random() < 0.6:
            block.panel = block.panel._replace(face=picture_panel(rng, ground))
        return block
    colour = ink_against(rng, ground)
    ink = text.ink
    if rng.random() < 0.08:
        # Worn or badly printed letters.
        wear = noise(rng, *ink.size, coarse=12, gain=0.8, octaves=3).point(
            [min(255, max(0, 4 * (v - 85))) for v in range(256)]
        )
        ink = ImageChops.multiply(ink, wear)
    if text.edge:
        block.layers.append((text.edge, ink_against(rng, colour), (0, 0)))
    elif rng.random() < 0.15:
        shift = rng.uniform(-0.09, 0.09, 2) * text.line_height
        shade = mixed(ground, pick(rng, ((0, 0, 0), (0, 0, 0), (255, 255, 255))), rng.uniform(0.4, 0.9))
        block.layers.append((text.ink, shade, tuple(np.round(shift).astype(int).tolist())))
        boxes = np.concatenate([boxes[:, :2] + np.minimum(0, shift), boxes[:, 2:] + np.maximum(0, shift)], axis=1)
    block.layers.append((ink, colour, (0, 0)))
    block.boxes = [tuple(box) for box in boxes]
    return block


def picture_panel(rng, ground):
    """Returns the face of a panel without letters: a texture or a few shapes, like a pictogram."""
    face = Image.new("RGB", (64, 64), ground)
    if rng.random() < 0.4:
        return surface(rng, 64, 64, 64 / 240 * rng.uniform(0.7, 2))
    pen = ImageDraw.Draw(face)
    colour = ink_against(rng, ground)
    for _ in range(between(rng, 1, 4)):
        pen.polygon(outline(rng, rng.uniform(10, 54), rng.uniform(10, 54), rng.uniform(4, 30)), colour)
    return face


def lay(canvas, block):
    """Draws a block on the canvas."""
    if block.panel:
        corners, face, ground = block.panel
        low = np.clip(np.floor(corners.min(axis=0)), 0, canvas.size).astype(int)
        high = np.clip(np.ceil(corners.max(axis=0)) + 1, 0, canvas.size).astype(int)
        wide, tall = (high - low).tolist()
        if wide > 0 and tall > 0:
            mask = Image.new("L", (wide, tall))
            shape = [(x - low[0], y - low[1]) for x, y in corners]
            ImageDraw.Draw(mask).polygon(shape, 255)
            face = face.resize((wide, tall), Image.Resampling.BILINEAR)
            line = sum(corners[0]) % 7
            if line < 3:
                # Some panels have a border.
                edge = mixed(ground, (0, 0, 0) if line < 1.5 else (255, 255, 255), 0.6)
                ImageDraw.Draw(face).line([*shape, shape[0]], edge, 1 + int(0.03 * min(wide, tall)))
            canvas.paste(face, tuple(low.tolist()), mask)
    for sheet, colour, (dx, dy) in block.layers:
        cut, place = block.plane.lay(ImageChops.offset(sheet, dx, dy) if dx or dy else sheet, canvas.size)
        canvas.paste(colour, place, cut)


def ink_layer(blocks, behind, canvas):
    """Returns the uncovered letters as an image of mode L, white on black."""
    layer = Image.new("L", canvas.size)
    for block in blocks:
        if block.panel:
            ImageDraw.Draw(layer).polygon([tuple(corner) for corner in block.panel.corners], 0)
        if block.boxes:
            cut, place = block.plane.lay(block.layers[-1][0], canvas.size)
            layer.paste(255, place, cut)
    covered = ImageChops.difference(behind, canvas).convert("L").point([0] + [255] * 255)
    layer.paste(0, (0, 0), covered)
    return layer


def erase(block, hidden):
    """Removes the lines marked in `hidden` from a block."""
    if not any(hidden):
        return
    for k, (sheet, colour, offset) in enumerate(block.layers):
        sheet = sheet.copy()
        for box, gone in zip(block.boxes, hidden, strict=True):
            if gone:
                sheet.paste(
                    0, [math.floor(box[0]) - 1, math.floor(box[1]) - 1, math.ceil(box[2]) + 1, math.ceil(box[3]) + 1]
                )
        block.layers[k] = (sheet, colour, offset)
    block.boxes = [box for box, gone in zip(block.boxes, hidden, strict=True) if not gone]
    if not block.boxes:
        block.layers = []


def is_visible(image, ink, polygon, reduction=1):
    """Returns whether a line of text is visible in the final image.

    The image around the line is regressed on the pattern of its letters. The part that the pattern explains is the
    contrast of the text; the residual is what hides it.

    Args:
        image: uint8 `(height, width, 3)`, after all effects.
        ink: uint8 `(height, width)`, the letters, blurred like the image.
        polygon: `(k, 2)`, the outline of the line.
        reduction: how many times larger the photograph was when people labelled it.
    """
    high = line_height(polygon)
    if high < (SMALLEST - 0.5) / reduction:
        return False
    # A line outside the image, or that reaches at most one pixel into it, is not text of this image.
    if (polygon.max(axis=0) <= 1).any() or (polygon.min(axis=0) >= np.array(ink.shape[::-1]) - 1).any():
        return False
    # Letters too small to tell apart form a band, which contrasts with the area above and below it.
    grown = polygon + 0.25 * (reduction - 1) * high * np.sign(polygon - polygon.mean(axis=0))
    inside = polygon_mask(grown, ink.shape)
    if inside.sum() < 12:
        return False
    pattern = ink[inside].astype("float32") / 255
    values = image[inside].astype("float32")
    pattern -= pattern.mean()
    values -= values.mean(axis=0)
    variance = (pattern**2).mean()
    if variance < (VISIBLE_DETAIL / reduction) ** 2:
        return False
    slope = pattern @ values / (len(pattern) * variance)
    signal = np.abs(slope) * math.sqrt(variance)
    rest = np.sqrt(np.maximum((values**2).mean(axis=0) - signal**2, 0))
    return bool(np.any((signal >= VISIBLE_LEVELS) & (signal >= VISIBLE_SHARE * rest)))
