"""Drawn scenes with and without text, in any number, with the exact outline of each line of text.

A scene consists of a background, panels and lettering in perspective, objects in front of them, and the effects of a
camera and a file format. Scenes without text draw backgrounds, panels (blank, or with patterns that are not letters),
objects and camera from the same distributions. A scene depends only on (seed, split, index) and the installed fonts.
"""

import math
import numbers

import numpy as np

from kgan.data.scenes.camera import Camera
from kgan.data.scenes.lettering import (
    SMALLEST,
    Lettering,
    Panel,
    dress,
    erase,
    fitted,
    ink_against,
    ink_corners,
    ink_layer,
    is_visible,
    lay,
    lettered,
    panel_paint,
    picture_panel,
    sides,
)
from kgan.data.scenes.photos import photo_background, with_grain
from kgan.data.scenes.places import draw_background
from kgan.data.scenes.surfaces import mixed, random_colour
from kgan.data.scenes.things import THINGS
from kgan.data.scenes.typesetting import Plane, find_fonts, tilted_quad, typeset, typesetter
from kgan.data.scenes.words import JOINED, between, pick
from kgan.data.source import check_split

SPLITS = ("train", "test")


def draw_scenes(indices, size=(240, 240), seed=0, split="train", text_share=0.5, photos=None, fonts=None):
    """Draws scenes that look like photographs, some of them with text.

    Text is printed on signs, plates and labels or directly on a surface, in the scripts that the fonts support. It may
    be blurred, noisy, low in contrast, bent, seen at an angle or partly hidden. Its height ranges from 2 pixels to half
    the image; such small text occurs in photographs that were larger when people labelled them. Lines that are not
    visible in the final image are removed from it.

    Args:
        indices: number of scenes, or a sequence of ints, the indices of the scenes.
        size: `(height, width)` in pixels, each from 32 to 2048.
        seed: non-negative int.
        split: `"train"` or `"test"`; the splits share no scene and no photo.
        text_share: fraction of scenes with text, in [0, 1].
        photos: photographs without text, used for three out of four backgrounds: a list of at least five uint8 arrays
            `(height, width, 3)`, such as `load_photos` returns. Every fifth belongs to the test split. None uses drawn
            backgrounds only.
        fonts: sequence of `Font`; by default all installed fonts, `find_fonts()`. The same fonts give the same scenes.

    Returns:
        images: uint8 `(n, height, width, 3)`.
        polygons: list of `n` lists with one float32 array `(k, 2)` per line of text: its corners as x, y in pixels.
            A straight line has four corners, a bent line more. Corners lie outside the image if its edge cuts the line.
            The list of a scene without text is empty.

    Raises:
        ValueError: an argument is out of range, or no font has letters.

    Example:

    ```python
    from kgan.data.scenes.painter import draw_scenes

    images, polygons = draw_scenes(8, size=(240, 240))
    ```
    """
    check_arguments(size, seed, text_share, photos)
    check_split(split, SPLITS)
    indices = range(indices) if isinstance(indices, numbers.Integral) else [int(index) for index in indices]
    if any(index < 0 for index in indices):
        raise ValueError("indices has a negative value: pass whole numbers of at least 0")
    painter = ScenePainter(size, seed, split, text_share, photos, fonts)
    scenes = [painter.draw(index) for index in indices]
    images = np.stack([image for image, _ in scenes]) if scenes else np.empty((0, *size, 3), "uint8")
    return images, [polygons for _, polygons in scenes]


def check_arguments(size, seed, text_share, photos):
    if len(size) != 2 or not all(isinstance(n, numbers.Integral) and 32 <= n <= 2048 for n in size):
        raise ValueError(f"size={size!r}: pass (height, width), whole numbers from 32 to 2048")
    if not isinstance(seed, numbers.Integral) or seed < 0:
        raise ValueError(f"seed={seed!r}: pass a whole number of at least 0")
    if not 0 <= text_share <= 1:
        raise ValueError(f"text_share={text_share!r}: pass a fraction in [0, 1]")
    if photos is None:
        return
    if len(photos) < 5:
        raise ValueError(f"{len(photos)} photos: pass at least 5, since every fifth belongs to the test split")
    for i, photo in enumerate(photos):
        if photo.dtype != np.uint8 or photo.ndim != 3 or photo.shape[2] != 3 or min(photo.shape[:2]) < 32:
            raise ValueError(
                f"photo {i} is {photo.dtype} {photo.shape}: pass uint8 (height, width, 3), 32 x 32 or more"
            )


class ScenePainter:
    """Draws the scenes of one split; see `draw_scenes`."""

    def __init__(self, size, seed, split, text_share, photos, fonts):
        self.size, self.seed, self.text_share = tuple(size), int(seed), text_share
        self.stream = SPLITS.index(split)
        self.photos = photos and [p for i, p in enumerate(photos) if (i % 5 == 4) == (split == "test")]
        self.typesetter = typesetter(find_fonts() if fonts is None else tuple(fonts))
        if not self.typesetter.scripts:
            raise ValueError("no font has letters: reinstall matplotlib, which includes fonts, or pass find_fonts()")

    def draw(self, index):
        """Returns the image, uint8 `(height, width, 3)`, and the polygons of scene `index`."""
        rng, text_rng, front_rng, camera_rng = (
            np.random.default_rng([self.stream, index, self.seed, part]) for part in range(4)
        )
        camera = Camera(camera_rng, self.size)
        has_text = rng.random() < self.text_share
        background, spots = self.background(rng, *camera.canvas_size, has_text)
        for attempt in range(8):
            # If no line was visible, the next attempt has larger text.
            scale = float(camera.scale.min()) * 1.15**attempt
            blocks = self.plan(text_rng, background, spots, has_text, scale, camera.reduction)
            image, polygons = self.shoot(background, blocks, front_rng, camera)
            if polygons or not has_text:
                break
        return image, polygons

    def background(self, rng, width, height, has_text):
        if not self.photos or rng.random() >= 0.75:
            canvas, spots = draw_background(rng, width, height, has_text)
            return (with_grain(rng, canvas, self.photos) if self.photos else canvas), spots
        canvas = photo_background(rng, self.photos, width, height)
        for _ in range(pick(rng, (0, 0, 0, 1, 2, 3))):
            size = min(width, height) * rng.uniform(0.2, 0.8)
            pick(rng, THINGS)(canvas, rng, rng.random() * width, rng.uniform(0.4, 1.1) * height, size)
        return canvas, []

    def shoot(self, background, blocks, front_rng, camera):
        """Composes the scene, photographs it, and photographs it again without the lines that are not visible."""
        state = front_rng.bit_generator.state
        while True:
            front_rng.bit_generator.state = state
            canvas = background.copy()
            for block in blocks:
                lay(canvas, block)
            behind = canvas.copy()
            cover(canvas, front_rng)
            image = camera.take(canvas)
            lines = [(block, i) for block in blocks for i in range(len(block.boxes))]
            polygons = [block.plane.outline(*block.boxes[i]) / camera.scale for block, i in lines]
            if not lines:
                return image, []
            ink = camera.take_ink(ink_layer(blocks, behind, canvas))
            seen = [is_visible(image, ink, p, block.reduction) for p, (block, _) in zip(polygons, lines, strict=True)]
            if all(seen):
                return image, [polygon.astype("float32") for polygon in polygons]
            for block in blocks:
                hidden = [not s for (b, _), s in zip(lines, seen, strict=True) if b is block]
                erase(block, hidden)

    def plan(self, rng, background, spots, has_text, scale, reduction=1):
        """Chooses the blocks of a scene; without text, they are panels without letters, or none."""
        unit = min(background.size) / 240
        smallest = 7 * scale
        blocks, taken = [], []
        for spot in spots:
            if rng.random() < (0.85 if has_text else 0.6):
                if spot.kind == "plate":
                    blocks.append(self.plate(rng, spot.quad, has_text, scale))
                else:
                    blocks.append(self.board(rng, spot, has_text, scale, reduction))
                if blocks[-1].boxes or not has_text:
                    taken.append((spot.quad.min(axis=0), spot.quad.max(axis=0)))
        if len(taken) > 3 and rng.random() < 0.6:
            return blocks
        kind = rng.random()
        if kind < 0.55 - 0.35 * bool(taken):
            # Signs, mostly small.
            low = smallest * pick(rng, (0.8, 0.85, 1, 1))
            high = max(1.4 * low, pick(rng, (14, 20, 30)) * unit)
            sizes = [math.exp(rng.uniform(math.log(low), math.log(high))) for _ in range(pick(rng, (1, 2, 3, 5, 8)))]
            specs = [(height, between(rng, 1, 2), pick(rng, (8, 14, 20))) for height in sizes]
        elif kind < 0.66:
            # A page, a poster, a label.
            low = smallest
            specs = [(rng.uniform(low, max(1.5 * low, 13 * unit)), between(rng, 3, 12), pick(rng, (16, 28, 45)))]
        elif kind < 0.82:
            # Large print.
            sizes = [unit * math.exp(rng.uniform(math.log(18), math.log(118))) for _ in range(pick(rng, (1, 1, 2)))]
            specs = [(height, between(rng, 1, 3), pick(rng, (4, 8, 12))) for height in sizes]
        else:
            # The front of a plate, a box or a shop: a large line between smaller ones.
            specs = [
                (unit * h, 1, n)
                for h, n in ((rng.uniform(12, 40), 14), (rng.uniform(50, 110), 8), (rng.uniform(12, 30), 16))
            ]
            if taken:
                specs = specs[1:2]
            blocks += self.stack(rng, background, specs, has_text, scale, taken)
            specs = []
        if not has_text and rng.random() < 0.5:
            return blocks
        for height, count, longest in specs:
            block = self.block(rng, background, height, count, longest, has_text, scale, taken)
            if block:
                blocks.append(block)
        return blocks

    def set_lines(self, rng, target, count, longest, plate=False):
        script, font = self.typesetter.choose(rng)
        lines = self.typesetter.lines(rng, script, font, count, longest, plate)
        return typeset(rng, lines, font, target * 1.2, script in JOINED)

    def block(self, rng, background, target, count, longest, has_text, scale, taken, place=None, panel=None):
        """Sets a block of lines `target` canvas pixels high and places it; returns None if there is no room.

        `taken` lists the bounding boxes of the blocks placed so far; the new block's is appended.
        """
        plate = count == 1 and rng.random() < 0.15
        # Large print is short; otherwise it would be reduced to fit.
        count = max(1, min(count, int(background.height / (1.7 * target))))
        longest = max(2, min(longest, int(background.width / (0.6 * target))))
        text = self.set_lines(rng, target, count, longest, plate)
        factor = target / text.line_height
        width, height = text.ink.width * factor * rng.uniform(0.75, 1.2), text.ink.height * factor
        steep = pick(rng, (0.05, 0.3, 0.3, 0.8))
        roll = rng.normal(0, pick(rng, (0.02, 0.06, 0.15))) if rng.random() < 0.94 else rng.uniform(-1.6, 1.6)
        quad = tilted_quad(width, height, rng.uniform(-steep, steep), 0.6 * rng.uniform(-steep, steep), roll)
        bend = rng.uniform(-1.3, 1.3) if count == 1 and place is None and rng.random() < 0.12 else 0.0
        # A strongly bent line that is short for its height would fold onto itself.
        if abs(bend) > 0.9 * text.ink.width / text.ink.height:
            bend = 0.0
        plane = Plane(*text.ink.size, quad, bend)
        extent = np.concatenate([plane.outline(*box) for box in text.boxes])
        low, high = extent.min(axis=0), extent.max(axis=0)
        room = np.array(background.size) * 0.97
        shrink = min(1, *(room / (high - low)))
        if target * shrink < SMALLEST * scale:
            return None
        low, high, quad = low * shrink, high * shrink, quad * shrink
        free = np.array(background.size) - (high - low)
        gap = 0.5 * target * shrink
        for _ in range(8):
            where = rng.random(2) if place is None else np.clip(np.array(place) + rng.normal(0, 0.04, 2), 0, 1)
            corner = free * where
            if all(np.any((corner > b + gap) | (corner + high - low < a - gap)) for a, b in taken):
                break
        else:
            return None
        taken.append((corner, corner + high - low))
        plane = Plane(*text.ink.size, quad + corner - low, bend)
        return dress(rng, background, plane, text, target * shrink, has_text, panel)

    def stack(self, rng, background, specs, has_text, scale, taken):
        """Returns a large line with smaller ones above and below, often on a panel that fills the image."""
        ground = None
        blocks = []
        if rng.random() < 0.75:
            width, height = background.size
            inset = rng.uniform(-0.02, 0.12, 4) * min(width, height)
            quad = np.array([(0, 0), (width, 0), (width, height), (0, height)]) + inset[:, None] * [
                (1, 1),
                (-1, 1),
                (-1, -1),
                (1, -1),
            ]
            ground = random_colour(rng)
            if rng.random() < 0.5:
                ground = mixed(
                    ground, pick(rng, ((255, 255, 255), (255, 255, 255), (245, 210, 60), (20, 40, 120))), 0.8
                )
            plane = Plane(width, height, quad)
            blocks.append(
                Lettering(
                    plane, Panel(plane.outline(0, 0, width, height), panel_paint(rng, ground, background.size), ground)
                )
            )
        places = ((0.5, rng.uniform(0.02, 0.12)), (0.5, rng.uniform(0.4, 0.6)), (0.5, rng.uniform(0.9, 0.99)))
        if len(specs) == 1:
            places = places[1:2]
        for (target, count, longest), place in zip(specs, places, strict=True):
            if len(specs) > 1 and rng.random() < 0.2:
                continue
            place = (min(1, max(0, place[0] + rng.normal(0, 0.15))), place[1])
            block = self.block(rng, background, target, count, longest, has_text, scale, taken, place, ground)
            if block:
                blocks.append(block)
        return blocks

    def plate(self, rng, quad, has_text, scale):
        """Returns the number plate of a vehicle."""
        text = self.set_lines(rng, 0.6 * sides(quad)[1], 1, 8, plate=True)
        ground = pick(rng, PLATES)
        pad = text.line_height * rng.uniform(0.5, 2) * np.array((0.15, 0.25))
        block = fitted(rng, quad, text, pad, ground)
        colour = (240, 240, 235) if sum(ground) < 330 else pick(rng, PLATE_INKS)
        return lettered(block, text, colour, scale) if has_text else block

    def board(self, rng, spot, has_text, scale, reduction):
        """Returns a shop sign or a poster; signs mostly have one line, posters several."""
        wide, high = sides(spot.quad)
        count = 1 if spot.kind == "board" and rng.random() < 0.85 else between(rng, 1, 7)
        longest = int(min(40, max(2, count * wide / max(high, 1) / rng.uniform(0.5, 1))))
        text = self.set_lines(rng, 0.6 * high / count, count, longest)
        # Letters keep their proportions: the padding adapts the text to the shape of the sign.
        pad = text.line_height * rng.uniform(0.5, 2) * np.array((0.15, 0.25))
        low, far = ink_corners(text)
        across, down = far - low + 2 * pad
        aspect = rng.uniform(0.8, 1.25) * wide / max(high, 1)
        pad += np.maximum(0, (down * aspect - across, across / aspect - down)) / 2
        ground = random_colour(rng)
        if rng.random() < 0.5:
            ground = mixed(ground, pick(rng, ((255, 255, 255), (255, 255, 255), (20, 20, 25))), rng.uniform(0.5, 1))
        block = fitted(rng, spot.quad, text, pad, ground)
        if rng.random() < 0.3:
            block.panel = None  # letters directly on the wall or the glass
        elif rng.random() < (0.15 if has_text else 0.4):
            block.panel = block.panel._replace(face=picture_panel(rng, ground))
        block.reduction = reduction
        return lettered(block, text, ink_against(rng, ground), scale / reduction) if has_text else block


PLATES = ((245, 245, 240), (245, 245, 240), (240, 200, 50), (225, 228, 235), (30, 50, 120), (150, 20, 25))
PLATE_INKS = ((15, 15, 18), (15, 15, 18), (20, 40, 110), (140, 20, 25), (20, 90, 50))


def cover(canvas, rng):
    """Draws an object in front of everything else in some scenes; it may hide part of the text."""
    if rng.random() < 0.82:
        return
    width, height = canvas.size
    size = min(width, height) * rng.uniform(0.15, 0.6)
    pick(rng, THINGS)(canvas, rng, rng.random() * width, rng.uniform(0.4, 1.2) * height, size)
