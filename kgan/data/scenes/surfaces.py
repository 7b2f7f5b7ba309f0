"""The surfaces of drawn scenes, including patterns that resemble text.

A surface is an image of one material or pattern; the objects of `things.py` stand in front. Everything is drawn with
Pillow. Random fields are cut from one bank of noise and summed over a few octaves.
"""

import colorsys
import functools
import math

import numpy as np
from PIL import Image, ImageChops, ImageDraw

from kgan.data.scenes.typesetting import Plane
from kgan.data.scenes.words import between, pick

BANK = 640


@functools.cache
def bank():
    """Returns Gaussian noise `(BANK, BANK, 3)` of variance 1, from which random pieces are cut."""
    return np.random.default_rng(2019).standard_normal((BANK, BANK, 3), "float32")


def grain(rng, width, height, channels=1):
    """Returns a randomly mirrored piece of the bank, float32 `(height, width)`, or `(height, width, 3)` for colour."""
    y, x = (int(rng.random() * (BANK - n + 1)) for n in (height, width))
    piece = bank()[y : y + height, x : x + width]
    piece = piece[:: pick(rng, (1, -1)), :: pick(rng, (1, -1))]
    return piece if channels == 3 else piece[..., between(rng, 0, 2)]


def noise(rng, width, height, coarse=3, gain=0.6, octaves=5, stretch=1.0):
    """Returns a random field as an image of mode L with mean 128.

    Args:
        width, height: size in pixels.
        coarse: number of waves of the first octave along the shorter side; each octave has 2.2 times more.
        gain: amplitude of each octave relative to the previous one; 1 is rough, 0.3 smooth.
        octaves: number of octaves; those finer than a pixel are left out.
        stretch: ratio of width to height of the marks.
    """
    short = min(width, height)
    scale = math.sqrt(stretch)
    field, amplitude, power = None, 1.0, 0.0
    for _ in range(octaves):
        w, h = max(2, round(coarse * width / short / scale)), max(2, round(coarse * height / short * scale))
        # Two thirds of the size is fine enough, because the canvas is reduced later.
        w, h = min(w, 2 * width // 3 + 1, BANK), min(h, 2 * height // 3 + 1, BANK)
        if field is not None and field.size == (w, h):
            break
        octave = amplitude * grain(rng, w, h)
        if field is not None:
            octave = octave + np.asarray(field.resize((w, h), Image.Resampling.BILINEAR))
        field = Image.fromarray(octave)
        power += amplitude**2
        amplitude *= gain
        coarse *= 2.2
    field = np.asarray(field) * (52 / math.sqrt(power)) + 128
    field = Image.fromarray(np.clip(field, 0, 255).astype("uint8"))
    return field.resize((width, height), Image.Resampling.BICUBIC) if field.size != (width, height) else field


def random_colour(rng):
    """Returns a colour (r, g, b): mostly one of stone, earth, plants, sky and paint, sometimes a vivid one."""
    kind = rng.random()
    if kind < 0.34:
        hue, saturation, value = rng.random(), 0.12 * rng.random(), rng.random()
    elif kind < 0.6:
        hue, saturation, value = rng.uniform(0.02, 0.14), rng.uniform(0.1, 0.65), rng.uniform(0.12, 0.95)
    elif kind < 0.72:
        hue, saturation, value = rng.uniform(0.18, 0.4), rng.uniform(0.2, 0.7), rng.uniform(0.1, 0.75)
    elif kind < 0.84:
        hue, saturation, value = rng.uniform(0.5, 0.68), rng.uniform(0.1, 0.65), rng.uniform(0.2, 0.95)
    else:
        hue, saturation, value = rng.random(), rng.uniform(0.45, 1), rng.uniform(0.35, 1)
    return tuple(round(255 * c) for c in colorsys.hsv_to_rgb(hue, saturation, value))


def shifted(rng, colour, amount):
    """Returns a colour lighter or darker by up to `amount`, with a slightly different hue."""
    light, r, g, b = (amount * (2 * rng.random(4) - 1)).tolist()
    return tuple(min(255, max(0, round(c + light + 0.25 * d))) for c, d in zip(colour, (r, g, b), strict=True))


def tints(rng, colour, amount):
    """Returns sixteen colours like those of `shifted`, for things drawn in large numbers."""
    light, hue = 2 * amount * (rng.random((16, 1)) - 0.5), 0.5 * amount * (rng.random((16, 3)) - 0.5)
    return list(map(tuple, np.clip(colour + light + hue, 0, 255).astype(int).tolist()))


def mixed(a, b, share):
    return tuple(round(p + share * (q - p)) for p, q in zip(a, b, strict=True))


def coloured(field, colours):
    """Maps a field of mode L to colours, from black (the first) to white (the last)."""
    stops = np.linspace(0, 255, len(colours))
    tables = [np.interp(np.arange(256), stops, [c[k] for c in colours]).round().astype(int).tolist() for k in range(3)]
    return field.convert("RGB").point(tables[0] + tables[1] + tables[2])


def gradient(rng, width, height, colours=None):
    """Returns a smooth gradient between the colours of the four corners."""
    base = colours or [random_colour(rng), random_colour(rng)]
    corners = np.array([[mixed(base[0], base[-1], rng.random()) for _ in range(2)] for _ in range(2)], "uint8")
    return Image.fromarray(corners).resize((width, height), Image.Resampling.BILINEAR)


def lit(rng, image, amount=0.5):
    """Multiplies an image by soft light and shadow."""
    field = noise(rng, *image.size, coarse=pick(rng, (1, 2, 3)), gain=0.4, octaves=2)
    low = 255 * (1 - amount * rng.random())
    return ImageChops.multiply(image, coloured(field, [(round(low),) * 3, (255, 255, 255)]))


# Surfaces. Each takes (rng, width, height, unit) and returns an image; `unit` is 1/240 of the scene's shorter side.


def plain(rng, width, height, unit):
    base = random_colour(rng)
    return gradient(rng, width, height, [base, shifted(rng, base, 50)])


def rough(rng, width, height, unit):
    """Stone, plaster, soil, cloth, cloud: fractal noise between two to four colours."""
    base = random_colour(rng)
    spread = pick(rng, (12, 25, 45, 80))
    colours = [shifted(rng, base, spread) for _ in range(between(rng, 2, 4))]
    stretch = pick(rng, (1, 1, 1, 1, 2, 0.5, 6, 0.15))
    field = noise(rng, width, height, pick(rng, (2, 4, 8, 20, 40)), rng.uniform(0.35, 1.0), 5, stretch)
    return coloured(field, colours)


def streaks(rng, width, height, unit):
    """Wood, fur, hair, grass, curtains, water: noise stretched strongly in one direction."""
    base = random_colour(rng)
    colours = [shifted(rng, base, pick(rng, (20, 50, 90))) for _ in range(3)]
    stretch = pick(rng, (10, 25, 60, 1 / 10, 1 / 25, 1 / 60))
    field = noise(rng, width, height, pick(rng, (4, 10, 20)), rng.uniform(0.6, 1.0), 4, stretch)
    picture = coloured(field, colours)
    if rng.random() < 0.2:
        # Fur and grass do not run straight: the image is bent along an arc.
        plane = Plane(width, height, [(0, 0), (width, 0), (width, height), (0, height)], rng.uniform(-1.2, 1.2))
        bent, place = plane.lay(picture, (width, height))
        mask, _ = plane.lay(Image.new("L", picture.size, 255), (width, height))
        picture.paste(bent, place, mask)
    return picture


def bricks(rng, width, height, unit):
    """Bricks, tiles, slabs, ashlar: rows of rectangles, often with an offset."""
    mortar, base = random_colour(rng), random_colour(rng)
    high = max(3.0, unit * rng.uniform(5, 40))
    wide = high * rng.uniform(0.8, 3.2)
    gap = max(0.6, high * rng.uniform(0.02, 0.16))
    offset = pick(rng, (0, 0.5, 0.5, 0.33))
    spread = pick(rng, (0, 10, 25, 60))
    clays = tints(rng, base, spread)
    picture = Image.new("RGB", (width, height), mortar)
    pen = ImageDraw.Draw(picture)
    for row in range(-1, math.ceil(height / high)):
        shift = (row * offset % 1) * wide
        for column in range(-1, math.ceil(width / wide) + 1):
            x, y = column * wide + shift, row * high
            pen.rectangle((x, y, x + wide - gap, y + high - gap), pick(rng, clays))
    return (
        ImageChops.overlay(picture, noise(rng, width, height, 30, 0.9, 3).convert("RGB"))
        if rng.random() < 0.5
        else picture
    )


def stripes(rng, width, height, unit):
    """Blinds, planks, corrugated sheet, railings, zebra crossings, radiators, piano keys: evenly spaced bars."""
    base = random_colour(rng)
    others = [random_colour(rng) if rng.random() < 0.5 else shifted(rng, base, 90) for _ in range(between(rng, 1, 2))]
    pitch = unit * math.exp(rng.uniform(math.log(2.5), math.log(40)))
    duty, jitter = rng.uniform(0.15, 0.85), pick(rng, (0, 0, 0.1))
    length = width if (vertical := rng.random() < 0.5) else height
    picture = gradient(rng, width, height, [base, shifted(rng, base, 40)])
    pen = ImageDraw.Draw(picture)
    for i in range(math.ceil(length / pitch)):
        a = pitch * (i + jitter * rng.random())
        b = a + max(1, pitch * duty)
        pen.rectangle((a, 0, b, height) if vertical else (0, a, width, b), others[i % len(others)])
    return picture


def bars_of_many_widths(rng, width, height, unit):
    """Book spines, barcodes, city skylines seen from afar, goods on a rack: bars of uneven width and colour."""
    picture = gradient(rng, width, height)
    pen = ImageDraw.Draw(picture)
    palette = [random_colour(rng) for _ in range(pick(rng, (2, 3, 8)))]
    rows = between(rng, 1, 5)
    mean = unit * math.exp(rng.uniform(math.log(2), math.log(18)))
    for row in range(rows):
        top, bottom = row * height / rows, (row + rng.uniform(0.7, 1.0)) * height / rows
        x = 0.0
        while x < width:
            w = mean * rng.uniform(0.3, 1.8)
            rise = rng.random() * 0.3 * (bottom - top)
            pen.rectangle((x, top + rise, x + w, bottom), pick(rng, palette))
            x += w * rng.uniform(1, 1.4)
    return picture


def grid(rng, width, height, unit):
    """Windows of a facade, a keyboard without letters, tiles, crates, solar panels, solder pads: a grid of cells."""
    wall = random_colour(rng)
    panes = [tint for _ in range(between(rng, 1, 3)) for tint in tints(rng, random_colour(rng), 25)]
    wide, high = (unit * math.exp(rng.uniform(math.log(5), math.log(45))) for _ in range(2))
    fill_x, fill_y = rng.uniform(0.35, 0.9), rng.uniform(0.35, 0.9)
    frame = rng.random() < 0.4
    drop = pick(rng, (0, 0, 0.1, 0.4))
    picture = gradient(rng, width, height, [wall, shifted(rng, wall, 40)])
    pen = ImageDraw.Draw(picture)
    outline = shifted(rng, wall, 90)
    y = -rng.random() * high
    while y < height:
        x = 0.0
        while x < width:
            if rng.random() >= drop:
                box = (x, y, x + max(1, wide * fill_x), y + max(1, high * fill_y))
                pen.rectangle(box, pick(rng, panes), outline if frame else None)
                if frame and wide * fill_x > 8:
                    middle = (box[0] + box[2]) / 2
                    pen.line((middle, box[1], middle, box[3]), outline)
            x += wide
        y += high
    return picture


def pebbles(rng, width, height, unit):
    """Pebbles, fruit, leaves, scales, crowds: many similar, overlapping shapes, each with light and shade."""
    base = [random_colour(rng) for _ in range(between(rng, 1, 3))]
    spread = pick(rng, (15, 40, 80))
    lights = [tint for colour in base for tint in tints(rng, colour, spread)]
    pairs = [(light, mixed(light, (0, 0, 0), 0.3)) for light in lights]
    picture = Image.new("RGB", (width, height), mixed(base[0], (0, 0, 0), 0.6))
    pen = ImageDraw.Draw(picture)
    radius = unit * math.exp(rng.uniform(math.log(2.5), math.log(22)))
    count = min(420, int(1.6 * width * height / (radius * radius * 3)))
    x, y = rng.random(count) * width, rng.random(count) * height
    size = radius * rng.uniform(0.5, 1.3, count)
    if leaf := rng.random() < 0.5:
        angle, slim = rng.random(count) * 2 * math.pi, rng.uniform(0.2, 0.5)
    for i in range(count):
        colour, dark = pick(rng, pairs)
        if leaf:
            dx, dy = size[i] * math.cos(angle[i]), size[i] * math.sin(angle[i])
            points = [(x[i] - dx, y[i] - dy), (x[i] - slim * dy, y[i] + slim * dx), (x[i] + dx, y[i] + dy)]
            pen.polygon(points, dark)
            pen.polygon([points[0], points[2], (x[i] + slim * dy, y[i] - slim * dx)], colour)
        else:
            r = size[i]
            pen.ellipse((x[i] - r, y[i] - 0.8 * r, x[i] + r, y[i] + 0.8 * r), dark)
            r *= 0.75
            pen.ellipse((x[i] - r, y[i] - r, x[i] + 0.8 * r, y[i] + 0.5 * r), colour)
    return picture


def lines_and_dots(rng, width, height, unit):
    """Wires, branches, cracks, spokes, nets, circuits, spotted fur: thin lines or dots on a surface."""
    picture = rough(rng, width, height, unit)
    pen = ImageDraw.Draw(picture)
    ink = random_colour(rng)
    kind = rng.random()
    line = max(1, round(unit * rng.uniform(0.6, 3)))
    if kind < 0.3:
        for _ in range(between(rng, 4, 40)):
            x, y, angle = rng.random() * width, rng.random() * height, rng.random() * 2 * math.pi
            points = [(x, y)]
            for _ in range(between(rng, 3, 12)):
                angle += rng.normal(0, 0.5)
                x, y = x + 12 * unit * math.cos(angle), y + 12 * unit * math.sin(angle)
                points.append((x, y))
            pen.line(points, ink, line, "curve")
    elif kind < 0.5:
        for _ in range(between(rng, 6, 40)):
            x, y = rng.random() * width, rng.random() * height
            dx, dy = pick(rng, ((1, 0), (0, 1))), pick(rng, ((1, 1), (1, -1), (0, 1), (1, 0)))
            a, b = rng.uniform(5, 60) * unit, rng.uniform(3, 40) * unit
            corner = (x + a * dx[0], y + a * dx[1])
            pen.line([(x, y), corner, (corner[0] + b * dy[0], corner[1] + b * dy[1])], ink, line)
            pen.ellipse((x - line, y - line, x + line, y + line), ink)
    elif kind < 0.75:
        pitch = unit * rng.uniform(4, 30)
        slope = rng.uniform(-1.5, 1.5)
        for i in range(-math.ceil(height * 1.5 / pitch), math.ceil((width + 1.5 * height) / pitch)):
            pen.line((i * pitch, 0, i * pitch + slope * height, height), ink, line)
            if kind < 0.65:
                pen.line((i * pitch, 0, i * pitch - slope * height, height), ink, line)
    else:
        pitch = unit * rng.uniform(5, 30)
        jitter = pick(rng, (0.0, 0.2, 0.8)) * pitch
        radius = pitch * rng.uniform(0.1, 0.42)
        for i in range(math.ceil(height / pitch)):
            for j in range(math.ceil(width / pitch)):
                x, y = (j + 0.5 * (i % 2)) * pitch + jitter * rng.random(), i * pitch + jitter * rng.random()
                pen.ellipse((x, y, x + 2 * radius, y + 2 * radius), ink)
    return picture


def squiggles(rng, width, height, unit):
    """Coral, foam, bark, zebra and leopard coats, lace: noise of one wavelength in two or three tones."""
    waves = min(width, height) / (unit * math.exp(rng.uniform(math.log(5), math.log(40))))
    field = noise(rng, width, height, max(2, waves), 0.35, 2, pick(rng, (1, 1, 1, 2, 4, 0.4)))
    level, steep = rng.uniform(85, 170), pick(rng, (3, 8, 8))
    field = field.point([min(255, max(0, round((v - level) * steep + 128))) for v in range(256)])
    dark, light = random_colour(rng), random_colour(rng)
    return lit(rng, coloured(field, [dark, mixed(dark, light, rng.random()), light]), 0.6)


def scribbles(rng, width, height, unit):
    """Pen strokes that are not letters: loops and waves of uneven size, far apart and not in lines."""
    picture = gradient(rng, width, height)
    pen = ImageDraw.Draw(picture)
    ink = random_colour(rng)
    for _ in range(between(rng, 2, 9)):
        scale = unit * rng.uniform(8, 60)
        x, y = rng.random() * width, rng.random() * height
        t = np.linspace(0, rng.uniform(2, 14), 40)
        px = x + scale * (np.sin(t * rng.uniform(0.3, 1) + rng.random() * 6) + rng.uniform(-0.2, 0.2) * t)
        py = y + scale * (np.cos(t * rng.uniform(0.3, 1)) + rng.uniform(-0.2, 0.2) * t)
        pen.line(list(zip(px, py, strict=True)), ink, max(1, round(unit * rng.uniform(0.8, 4))), "curve")
    return picture


def dead_leaves(rng, width, height, unit):
    """Overlapping opaque shapes of all sizes, whose edges have the statistics of natural photographs."""
    picture = rough(rng, width, height, unit)
    textures = [rough(rng, width, height, unit) for _ in range(2)]
    palette = [random_colour(rng) for _ in range(between(rng, 2, 7))]
    short = min(width, height)
    count = between(rng, 15, 60)
    sizes = np.sort(short * 0.5 * (1 - rng.random(count) * 0.97) ** 1.6)[::-1]
    pen = ImageDraw.Draw(picture)
    for i, size in enumerate(sizes):
        shape = outline(rng, rng.random() * width, rng.random() * height, size)
        if i < 6:
            mask = Image.new("L", picture.size)
            ImageDraw.Draw(mask).polygon(shape, 255)
            picture.paste(pick(rng, textures), (0, 0), mask)
        else:
            pen.polygon(shape, shifted(rng, pick(rng, palette), 30))
    return picture


@functools.cache
def shapes():
    """Returns a few hundred closed outlines `(k, 2)` of radius 1: round, ragged, angular, long, and stars."""
    rng = np.random.default_rng(2020)
    bank = []
    for i in range(400):
        kind = i / 400
        if kind < 0.4:
            angle = np.linspace(0, 2 * math.pi, 28, endpoint=False)
            waves = rng.uniform(-0.3, 0.3, 6) / np.arange(1, 7) ** 0.5
            radius = 1 + sum(w * np.cos((k + 1) * angle + 6.28 * rng.random()) for k, w in enumerate(waves))
        elif kind < 0.6:
            angle = np.sort(rng.random(between(rng, 3, 7))) * 2 * math.pi
            radius = np.ones(len(angle))
        elif kind < 0.85:
            angle, radius = np.arange(0.25, 2, 0.5) * math.pi, np.ones(4)
        else:
            n = between(rng, 5, 12)
            angle = np.arange(2 * n) * math.pi / n
            radius = np.where(np.arange(2 * n) % 2, rng.uniform(0.3, 0.8), 1)
        bank.append(np.stack([radius * np.cos(angle), rng.uniform(0.2, 1) * radius * np.sin(angle)], 1))
    return bank


def outline(rng, x, y, size):
    """Returns the corners of a random shape of radius `size` about (x, y), randomly rotated."""
    turn = rng.random() * 6.2832
    c, s = size * math.cos(turn), size * math.sin(turn)
    points = pick(rng, shapes()) @ np.array([(c, s), (-s, c)]) + (x, y)
    return list(map(tuple, points.tolist()))


PATTERNS = (bricks, stripes, bars_of_many_widths, grid, pebbles, lines_and_dots, squiggles, squiggles, scribbles)
SURFACES = (plain, plain, rough, rough, rough, streaks, streaks, *PATTERNS, dead_leaves)
CALM = (plain, plain, rough, rough, streaks, stripes, bricks)


def surface(rng, width, height, unit, kinds=SURFACES):
    """Returns an image of a random surface."""
    return pick(rng, kinds)(rng, width, height, unit)


def put(canvas, picture, quad):
    """Draws an image on a quadrilateral of the canvas, in perspective."""
    plane = Plane(*picture.size, quad)
    cut, place = plane.lay(picture, canvas.size)
    # The mask is drawn, not warped, so that it is exact at the border, where neighbours must meet without a gap.
    mask = Image.new("L", cut.size)
    ImageDraw.Draw(mask).polygon([(x - place[0], y - place[1]) for x, y in quad], 255)
    canvas.paste(cut, place, mask)
