"""Planes in perspective or bent along an arc, and the lines of text set on them."""

import functools
import math
import os
from dataclasses import dataclass

import numpy as np
from matplotlib import font_manager, ft2font, get_data_path
from PIL import Image, ImageDraw, ImageFilter, ImageFont, features

from kgan.data.scenes import words
from kgan.data.scenes.words import between, pick

# Parts of the names of picture and mathematical fonts, some of which draw symbols in place of letters.
NOT_LETTERS = (
    "symbol", "ding", "emoji", "icon", "barcode", "awesome", "math", "music", "lastresort", "display", "fallback",
    "cmex", "cmmi", "cmsy", "stixsiz", "stixnonuni", "opens___", "braille", "d050000l",
)  # fmt: skip
BASE = set("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789")
# Text is set at one of these sizes and scaled to its own by its plane, so that few fonts are opened.
SIZES = (12, 16, 21, 28, 37, 48, 64, 84, 110)
MESH = 16


class Plane:
    """The position of a sheet of text in the image.

    Args:
        width, height: size of the sheet in pixels.
        quad: `(4, 2)`, the sheet's corners in the image: top left, top right, bottom right, bottom left.
        bend: angle in radians of the arc along which the sheet is bent before it is mapped to `quad`; upwards if
            positive, flat if 0.
    """

    def __init__(self, width, height, quad, bend=0.0):
        self.width, self.height = width, height
        self.radius = width / bend if bend else 0.0
        source = np.array([(0, 0), (width, 0), (width, height), (0, height)], "float64")
        self.matrix = homography(source, np.asarray(quad, "float64"))
        self.inverse = np.linalg.inv(self.matrix)

    def to_picture(self, points):
        """Maps points `(n, 2)` of the sheet to the image."""
        points = np.asarray(points, "float64")
        if self.radius:
            angle = (points[:, 0] - self.width / 2) / self.radius
            radius = self.radius + self.height / 2 - points[:, 1]
            x = self.width / 2 + radius * np.sin(angle)
            y = self.height / 2 + self.radius - radius * np.cos(angle)
            points = np.stack([x, y], axis=1)
        return project(self.matrix, points)

    def to_sheet(self, points):
        """Maps points `(n, 2)` of the image to the sheet."""
        points = project(self.inverse, points)
        if self.radius:
            sign = math.copysign(1, self.radius)
            dx = points[:, 0] - self.width / 2
            dy = self.height / 2 + self.radius - points[:, 1]
            u = self.width / 2 + self.radius * np.arctan2(sign * dx, sign * dy)
            v = self.height / 2 + self.radius - sign * np.hypot(dx, dy)
            points = np.stack([u, v], axis=1)
        return points

    def outline(self, left, top, right, bottom):
        """Maps a rectangle of the sheet to its outline in the image: `(4, 2)`, or `(2 k, 2)` if the sheet is bent."""
        steps = max(2, 1 + math.ceil(abs((right - left) / self.radius) / 0.12)) if self.radius else 2
        x = np.linspace(left, right, steps)
        top_edge, bottom_edge = np.full(steps, top), np.full(steps, bottom)
        points = np.concatenate([np.stack([x, top_edge], 1), np.stack([x[::-1], bottom_edge], 1)])
        return self.to_picture(points)

    def lay(self, sheet, size):
        """Warps a sheet into an image of `size` `(width, height)`; returns the warped part and its top left corner."""
        outline = self.outline(0, 0, self.width, self.height)
        low = np.clip(np.floor(outline.min(axis=0)) - 1, 0, size).astype(int)
        high = np.clip(np.ceil(outline.max(axis=0)) + 1, low + 1, np.maximum(low + 1, size)).astype(int)
        (left, top), (right, bottom) = low.tolist(), high.tolist()
        if not self.radius:
            shift = np.array([(1, 0, left), (0, 1, top), (0, 0, 1)])
            matrix = self.inverse @ shift
            data = (matrix / matrix[2, 2]).ravel()[:8].tolist()
            method = Image.Transform.PERSPECTIVE
        else:
            xs = [*range(left, right, MESH), right]
            ys = [*range(top, bottom, MESH), bottom]
            grid = np.stack(np.meshgrid(xs, ys), axis=-1).reshape(-1, 2)
            corners = self.to_sheet(grid).reshape(len(ys), len(xs), 2)
            data = [
                (
                    (xs[j] - left, ys[i] - top, xs[j + 1] - left, ys[i + 1] - top),
                    (*corners[i, j], *corners[i + 1, j], *corners[i + 1, j + 1], *corners[i, j + 1]),
                )
                for i in range(len(ys) - 1)
                for j in range(len(xs) - 1)
            ]
            method = Image.Transform.MESH
        cut = sheet.transform((right - left, bottom - top), method, data, Image.Resampling.BILINEAR)
        return cut, (left, top)


def homography(source, target):
    """Returns the 3 x 3 matrix that maps four points `(4, 2)` to four others."""
    x, y = source.T
    u, v = target.T
    zero, one = np.zeros(4), np.ones(4)
    rows = np.concatenate([
        np.stack([x, y, one, zero, zero, zero, -u * x, -u * y], 1),
        np.stack([zero, zero, zero, x, y, one, -v * x, -v * y], 1),
    ])  # fmt: skip
    return np.append(np.linalg.solve(rows, np.concatenate([u, v])), 1).reshape(3, 3)


def project(matrix, points):
    points = np.asarray(points, "float64") @ matrix[:, :2].T + matrix[:, 2]
    return points[:, :2] / points[:, 2:]


def tilted_quad(width, height, yaw, pitch, roll):
    """Returns the corners `(4, 2)`, about the origin, of a rectangle rotated in space and seen in perspective.

    Angles are in radians. The distance of the viewer is three times the longer side.
    """
    corners = np.array([(-width, -height), (width, -height), (width, height), (-width, height)]) / 2
    distance = 3 * max(width, height)
    x = corners[:, 0] * math.cos(yaw)
    y = corners[:, 1] * math.cos(pitch)
    depth = distance + corners[:, 0] * math.sin(yaw) + corners[:, 1] * math.sin(pitch)
    x, y = x * distance / depth, y * distance / depth
    return np.stack([x * math.cos(roll) - y * math.sin(roll), x * math.sin(roll) + y * math.cos(roll)], 1)


@dataclass(frozen=True)
class Font:
    """A font that draws letters; `path` is None for Pillow's built-in font, `letters` are the characters it has."""

    family: str
    path: str | None
    letters: frozenset


@functools.cache
def find_fonts():
    """Returns a tuple of the `Font` of each font file of the system and of matplotlib that has the Latin letters.

    The fonts are sorted by file name, without duplicates. Pillow's built-in font is the last.
    """
    own = font_manager.findSystemFonts(os.path.join(get_data_path(), "fonts", "ttf"))
    paths = sorted(font_manager.findSystemFonts() + own)
    files = {os.path.basename(path): path for path in paths}
    fonts = [read_font(files[name]) for name in sorted(files)]
    built_in = ImageFont.load_default(SIZES[0])
    fonts.append(Font(built_in.getname()[0], None, frozenset(BASE | set(".,:-+%$&!?/#()"))))
    return tuple(font for font in fonts if font)


@functools.cache
def read_font(path):
    """Returns the `Font` of a file, or None if it does not draw letters."""
    try:
        file = ft2font.FT2Font(path)
        letters = {chr(code) for code in file.get_charmap()}
        family = ImageFont.truetype(path, SIZES[0]).getname()[0] or os.path.basename(path)
    except (OSError, RuntimeError):
        # Neither library scales bitmap fonts.
        return None
    name = (os.path.basename(path) + family).lower().replace(" ", "")
    if any(word in name for word in NOT_LETTERS) or not letters >= BASE:
        return None
    if os.path.basename(path).startswith("cm"):
        # The TeX fonts have other symbols in place of some punctuation.
        letters = BASE | set(".,:!?-")
    return Font(family, path, frozenset(letters))


@functools.cache
def open_font(path, size):
    return ImageFont.load_default(size) if path is None else ImageFont.truetype(path, size)


def has_ink(font, text):
    """Returns whether a text leaves any ink: some fonts list letters for which they have an empty glyph."""
    return bool(open_font(font.path, SIZES[0]).getmask(text).getbbox())


@functools.lru_cache(maxsize=2)
def typesetter(fonts):
    """Returns the `Typesetter` of a tuple of fonts, cached because finding the scripts of the fonts is slow."""
    return Typesetter(fonts)


class Typesetter:
    """Chooses scripts, fonts and words, and sets blocks of lines.

    Args:
        fonts: sequence of `Font`.
    """

    def __init__(self, fonts):
        scripts = [*words.LANGUAGES, *words.RANGES]
        if not features.check("raqm"):
            scripts = [script for script in scripts if script not in words.JOINED]
        self.choices = {}
        for script in scripts:
            letters = words.letters_of(script)
            # A font may lack some letters of the large ranges.
            share = 0.3 if script in words.RANGES else 1.0
            families = {}
            for font in fonts:
                found = letters & font.letters
                if len(found) >= share * len(letters) and any(has_ink(font, letter) for letter in found):
                    families.setdefault(font.family, []).append(font)
            if families:
                self.choices[script] = list(families.values())
        weights = np.array([words.COMMON.get(script, 0) for script in self.choices])
        rare = weights == 0
        weights[rare] = (1 - sum(words.COMMON.values())) / max(1, rare.sum())
        self.scripts, self.shares = list(self.choices), np.cumsum(weights) / weights.sum()

    def choose(self, rng):
        """Returns a script and a font that supports it; font families are equally likely, whatever their file count."""
        script = self.scripts[int(np.searchsorted(self.shares, rng.random()))]
        return script, pick(rng, pick(rng, self.choices[script]))

    def lines(self, rng, script, font, count, longest, plate=False):
        """Returns `count` lines of text whose every letter is in the font."""
        letters = sorted(words.letters_of(script) & font.letters)
        lines = []
        while len(lines) < count:
            line = words.make_plate(rng) if plate else words.make_line(rng, script, letters, longest)
            line = "".join(c for c in line if c == " " or c in font.letters).strip()
            if line and has_ink(font, line):
                lines.append(line)
        return lines


@dataclass
class Block:
    """Lines of text set on a sheet: images of mode L, and the bounding box of each line's ink."""

    ink: Image.Image
    edge: Image.Image | None
    boxes: list
    line_height: float


def typeset(rng, lines, font, em, joined):
    """Sets lines of text on a sheet.

    Args:
        lines: list of str.
        font: a `Font`.
        em: font size in the image, in pixels.
        joined: whether letter spacing is forbidden because the letters join.

    Returns:
        A `Block`.
    """
    size = next((size for size in SIZES if size >= em), SIZES[-1])
    face = open_font(font.path, size)
    spacing = 0.0 if joined or rng.random() < 0.6 else rng.uniform(-0.04, 0.35) * size
    leading = size * rng.uniform(1.02, 1.5)
    outlined = rng.random() < 0.12
    weight = 0 if rng.random() < 0.7 else between(rng, 1, max(1, size // 22))
    border = weight + (max(1, size // rng.integers(9, 20)) if outlined else 0)
    margin = border + size // 3
    widths = [sum(face.getlength(c) + spacing for c in line) if spacing else face.getlength(line) for line in lines]
    room = max(widths)
    align = pick(rng, (0.0, 0.5, 0.5, 1.0))
    strip_height = math.ceil(1.4 * size + 2 * margin)
    sheet_size = math.ceil(room + 2 * margin + 0.2 * size), math.ceil(leading * (len(lines) - 1)) + strip_height

    def draw(stroke):
        sheet, boxes = Image.new("L", sheet_size), []
        for row, (line, width) in enumerate(zip(lines, widths, strict=True)):
            # Each line is drawn on its own strip, whose ink gives the box.
            strip = Image.new("L", (sheet_size[0], strip_height))
            pen = ImageDraw.Draw(strip)
            x = margin + align * (room - width)
            for part in line if spacing else [line]:
                pen.text((x, margin), part, 255, face, stroke_width=stroke)
                x += face.getlength(part) + spacing
            top = round(row * leading)
            sheet.paste(255, (0, top), strip)
            boxes.append(np.array(strip.getbbox()) + (0, top, 0, top))
        return sheet, boxes

    ink, boxes = draw(weight)
    edge, boxes = draw(border) if outlined else (None, boxes)
    if rng.random() < 0.2 and size > 16:
        # Blurring and thresholding rounds the corners; the level makes the strokes thinner or heavier.
        level = rng.uniform(95, 150)
        cut = [min(255, max(0, round((v - level) * 4 + 128))) for v in range(256)]
        ink = ink.filter(ImageFilter.GaussianBlur(size * rng.uniform(0.02, 0.045))).point(cut)
    heights = [box[3] - box[1] for box in boxes]
    return Block(ink, edge, boxes, float(np.mean(heights)))
