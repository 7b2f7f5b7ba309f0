"""What drawn scenes are made of: surfaces, things, and patterns that resemble text.

A surface is a picture of one material or pattern; things stand before surfaces (`scene_places.py`). All drawing is
Pillow's; random fields are cut from one bank of noise and added up over a few octaves.
"""

import colorsys
import functools
import math

import numpy as np
from PIL import Image, ImageChops, ImageDraw

from kgan.data.scene_rendering import Plane
from kgan.data.scene_words import between, pick

BANK = 640


@functools.cache
def bank():
    """Gaussian noise `(BANK, BANK, 3)` of variance 1, from which random pieces are cut."""
    return np.random.default_rng(2019).standard_normal((BANK, BANK, 3), "float32")


def grain(rng, width, height, channels=1):
    """A piece of the bank, float32 `(height, width, channels)`, mirrored at random."""
    y, x = (int(rng.random() * (BANK - n + 1)) for n in (height, width))
    piece = bank()[y : y + height, x : x + width]
    piece = piece[:: pick(rng, (1, -1)), :: pick(rng, (1, -1))]
    return piece if channels == 3 else piece[..., between(rng, 0, 2)]


def noise(rng, width, height, coarse=3, gain=0.6, octaves=5, stretch=1.0):
    """A random field as an image of mode L with mean 128.

    Args:
        width, height: its size in pixels.
        coarse: waves of the first octave along the shorter side; each octave has 2.2 times more.
        gain: how much weaker each octave is than the one before; 1 is rough, 0.3 smooth.
        octaves: their number; those finer than a pixel are left out.
        stretch: how many times longer than high its marks are.
    """
    short = min(width, height)
    scale = math.sqrt(stretch)
    field, amplitude, power = None, 1.0, 0.0
    for _ in range(octaves):
        w, h = max(2, round(coarse * width / short / scale)), max(2, round(coarse * height / short * scale))
        # Two thirds of the size are fine enough: the picture is reduced from the canvas later.
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
    """Returns a colour as (r, g, b): mostly those of stone, earth, plants, sky and paint, now and then a vivid one."""
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
    """A colour lighter or darker by up to `amount`, and a little of another hue."""
    light, r, g, b = (amount * (2 * rng.random(4) - 1)).tolist()
    return tuple(min(255, max(0, round(c + light + 0.25 * d))) for c, d in zip(colour, (r, g, b), strict=True))


def tints(rng, colour, amount):
    """Sixteen colours such as `shifted` gives, for things of which there are many."""
    light, hue = 2 * amount * (rng.random((16, 1)) - 0.5), 0.5 * amount * (rng.random((16, 3)) - 0.5)
    return list(map(tuple, np.clip(colour + light + hue, 0, 255).astype(int).tolist()))


def mixed(a, b, share):
    return tuple(round(p + share * (q - p)) for p, q in zip(a, b, strict=True))


def coloured(field, colours):
    """Maps a field of mode L to a picture: black to the first colour, white to the last."""
    stops = np.linspace(0, 255, len(colours))
    tables = [np.interp(np.arange(256), stops, [c[k] for c in colours]).round().astype(int).tolist() for k in range(3)]
    return field.convert("RGB").point(tables[0] + tables[1] + tables[2])


def gradient(rng, width, height, colours=None):
    """A smooth change between the colours of the four corners."""
    base = colours or [random_colour(rng), random_colour(rng)]
    corners = np.array([[mixed(base[0], base[-1], rng.random()) for _ in range(2)] for _ in range(2)], "uint8")
    return Image.fromarray(corners).resize((width, height), Image.Resampling.BILINEAR)


def lit(rng, image, amount=0.5):
    """Multiplies a picture by soft light and shadow."""
    field = noise(rng, *image.size, coarse=pick(rng, (1, 2, 3)), gain=0.4, octaves=2)
    low = 255 * (1 - amount * rng.random())
    return ImageChops.multiply(image, coloured(field, [(round(low),) * 3, (255, 255, 255)]))


# Surfaces. Each takes (rng, width, height, unit) and returns a picture; `unit` is 1/240 of the scene's short edge.


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
    """Wood, fur, hair, grass, curtains, water: noise that is far longer one way."""
    base = random_colour(rng)
    colours = [shifted(rng, base, pick(rng, (20, 50, 90))) for _ in range(3)]
    stretch = pick(rng, (10, 25, 60, 1 / 10, 1 / 25, 1 / 60))
    field = noise(rng, width, height, pick(rng, (4, 10, 20)), rng.uniform(0.6, 1.0), 4, stretch)
    picture = coloured(field, colours)
    if rng.random() < 0.2:
        # Fur and grass do not run straight: the rows or columns are pushed about by a smooth wave.
        plane = Plane(width, height, [(0, 0), (width, 0), (width, height), (0, height)], rng.uniform(-1.2, 1.2))
        bent, place = plane.lay(picture, (width, height))
        mask, _ = plane.lay(Image.new("L", picture.size, 255), (width, height))
        picture.paste(bent, place, mask)
    return picture


def bricks(rng, width, height, unit):
    """Bricks, tiles, slabs, ashlar."""
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
    """Blinds, planks, corrugated sheet, railings, zebra crossings, radiators, piano keys."""
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
    """Windows of a facade, a keyboard without letters, tiles, crates, solar panels, circuits' pads."""
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
    """Pebbles, fruit, leaves, scales, crowds: many like shapes over each other, each with light and shade."""
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
    """Wires, branches, cracks, spokes, nets, circuits, spots of fur: thin lines or dots over a surface."""
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
    """Coral, foam, bark, the coats of zebras and leopards, lace: waves of one length, cut into two or three tones."""
    waves = min(width, height) / (unit * math.exp(rng.uniform(math.log(5), math.log(40))))
    field = noise(rng, width, height, max(2, waves), 0.35, 2, pick(rng, (1, 1, 1, 2, 4, 0.4)))
    level, steep = rng.uniform(85, 170), pick(rng, (3, 8, 8))
    field = field.point([min(255, max(0, round((v - level) * steep + 128))) for v in range(256)])
    dark, light = random_colour(rng), random_colour(rng)
    return lit(rng, coloured(field, [dark, mixed(dark, light, rng.random()), light]), 0.6)


def scribbles(rng, width, height, unit):
    """Strokes of a pen that are no letters: loops and waves of uneven size, far apart and in no line."""
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
    """Opaque shapes of all sizes over each other, which has the statistics of edges of natural photographs."""
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
    """A few hundred closed outlines of radius 1, each `(k, 2)`: round, ragged, angular, long, stars."""
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
    """The corners of a random shape of radius `size` about (x, y), turned at random."""
    turn = rng.random() * 6.2832
    c, s = size * math.cos(turn), size * math.sin(turn)
    points = pick(rng, shapes()) @ np.array([(c, s), (-s, c)]) + (x, y)
    return list(map(tuple, points.tolist()))


PATTERNS = (bricks, stripes, bars_of_many_widths, grid, pebbles, lines_and_dots, squiggles, squiggles, scribbles)
SURFACES = (plain, plain, rough, rough, rough, streaks, streaks, *PATTERNS, dead_leaves)
CALM = (plain, plain, rough, rough, streaks, stripes, bricks)


def surface(rng, width, height, unit, kinds=SURFACES):
    """Returns a picture of a random surface; patterns are now and then turned and seen at a slant."""
    return pick(rng, kinds)(rng, width, height, unit)


def put(canvas, picture, quad):
    """Lays a picture on a quadrilateral of the canvas, in perspective."""
    plane = Plane(*picture.size, quad)
    cut, place = plane.lay(picture, canvas.size)
    # The mask is drawn, not warped: it is exact at the border, where neighbours must meet without a gap.
    mask = Image.new("L", cut.size)
    ImageDraw.Draw(mask).polygon([(x - place[0], y - place[1]) for x, y in quad], 255)
    canvas.paste(cut, place, mask)


@functools.cache
def radial():
    """Black in the middle, white at the rim."""
    return Image.radial_gradient("L")


# Things. Each takes (canvas, rng, x, y, size): the middle of its foot, and its height.


def shaded(canvas, rng, mask, colours, place=(0, 0), fine=None):
    """Fills a mask with a texture that is lighter on one side and darker at the foot."""
    width, height = mask.size
    field = noise(
        rng, width, height, fine or pick(rng, (3, 8, 25)), rng.uniform(0.4, 0.9), 4, pick(rng, (1, 1, 4, 0.25))
    )
    picture = lit(rng, coloured(field, colours), 0.8)
    if rng.random() < 0.6:
        side = Image.linear_gradient("L").rotate(pick(rng, (0, 90, 180, 180, 180, 270))).resize((width, height))
        picture = ImageChops.multiply(picture, coloured(side, [(120, 120, 125), (255, 255, 250)]))
    canvas.paste(picture, place, mask)


def draw_shadow(canvas, x, y, wide, high, strength):
    """A soft shadow on the ground."""
    box = [int(x - wide), int(y - high), int(x + wide), int(y + high)]
    if box[2] - box[0] < 2 or box[3] - box[1] < 2:
        return
    mask = (
        radial()
        .resize((box[2] - box[0], box[3] - box[1]))
        .point([round(max(0, 200 - v) * strength) for v in range(256)])
    )
    canvas.paste((0, 0, 0), (box[0], box[1]), mask)


def creature(canvas, rng, x, y, size):
    """An animal, a figure, a fruit, a shell: a lumpy body with limbs, spots or stripes."""
    side = max(8, int(size * 1.5))
    mask = Image.new("L", (side, side))
    pen = ImageDraw.Draw(mask)
    middle = side / 2
    for _ in range(between(rng, 0, 6)):
        angle, reach = rng.random() * 6.28, side * rng.uniform(0.25, 0.5)
        bend = angle + rng.uniform(-0.6, 0.6)
        points = [(middle, middle), (middle + 0.5 * reach * math.cos(angle), middle + 0.5 * reach * math.sin(angle)),
                  (middle + reach * math.cos(bend), middle + reach * math.sin(bend))]  # fmt: skip
        pen.line(points, 255, max(1, int(side * rng.uniform(0.02, 0.1))), "curve")
    for _ in range(between(rng, 1, 4)):
        pen.polygon(outline(rng, middle + side * rng.uniform(-0.15, 0.15), middle + side * rng.uniform(-0.15, 0.15),
                            side * rng.uniform(0.12, 0.33)), 255)  # fmt: skip
    base = random_colour(rng)
    colours = [shifted(rng, base, 60), base, shifted(rng, base, 60)]
    place = (int(x - middle), int(y - 0.85 * side))
    draw_shadow(canvas, x, y, size * 0.5, size * 0.12, rng.random())
    shaded(canvas, rng, mask, colours, place)
    if rng.random() < 0.4:
        marks = Image.new("L", mask.size)
        pen = ImageDraw.Draw(marks)
        for _ in range(between(rng, 3, 25)):
            pen.polygon(outline(rng, rng.random() * side, rng.random() * side, side * rng.uniform(0.01, 0.07)), 255)
        canvas.paste(random_colour(rng), place, ImageChops.multiply(marks, mask))


def person(canvas, rng, x, y, size):
    """A figure seen from afar: head, trunk, arms, legs."""
    pen = ImageDraw.Draw(canvas)
    skin = mixed((225, 180, 150), (70, 45, 35), rng.random())
    shirt, trousers = random_colour(rng), mixed(random_colour(rng), (20, 20, 30), 0.6)
    wide = size * rng.uniform(0.1, 0.15)
    step = wide * rng.uniform(0.2, 1.2)
    hips, neck = y - 0.47 * size, y - 0.84 * size
    leg = max(1, int(wide * 0.75))
    draw_shadow(canvas, x, y, size * 0.25, size * 0.05, 0.8)
    pen.line([(x, hips), (x - step, y)], trousers, leg)
    pen.line([(x, hips), (x + step, y)], trousers, leg)
    pen.polygon([(x - wide, neck), (x + wide, neck), (x + 0.8 * wide, hips), (x - 0.8 * wide, hips)], shirt)
    for sign in (-1, 1):
        swing = wide * rng.uniform(0, 1.2)
        pen.line([(x + sign * wide, neck + 0.03 * size), (x + sign * (wide + swing), hips)],
                 mixed(shirt, skin, pick(rng, (0, 1))), max(1, leg // 2))  # fmt: skip
    head = 0.075 * size
    pen.ellipse((x - head, neck - 1.9 * head, x + head, neck + 0.1 * head), skin)
    pen.chord((x - head, neck - 2 * head, x + head, neck), 180, 360, mixed(random_colour(rng), (20, 15, 10), 0.8))


def vehicle(canvas, rng, x, y, size):
    """A car from behind or in front; returns the quadrilateral where its plate is screwed on."""
    pen = ImageDraw.Draw(canvas)
    paint = random_colour(rng)
    dark, light = mixed(paint, (0, 0, 0), 0.45), mixed(paint, (255, 255, 255), 0.3)
    w = size * rng.uniform(1.1, 1.45)
    h = size
    draw_shadow(canvas, x, y, 0.75 * w, 0.16 * h, 1)
    for sign in (-1, 1):
        pen.rounded_rectangle(
            sorted_box(x + sign * 0.46 * w, y - 0.28 * h, x + sign * 0.3 * w, y), 0.05 * w, (18, 18, 20)
        )
    roof = rng.uniform(0.3, 0.42)
    pen.polygon(
        [(x - roof * w, y - h), (x + roof * w, y - h), (x + 0.47 * w, y - 0.58 * h), (x - 0.47 * w, y - 0.58 * h)], dark
    )
    glass = mixed(random_colour(rng), (25, 30, 38), 0.7)
    pen.polygon([(x - 0.88 * roof * w, y - 0.95 * h), (x + 0.88 * roof * w, y - 0.95 * h),
                 (x + 0.41 * w, y - 0.62 * h), (x - 0.41 * w, y - 0.62 * h)], glass)  # fmt: skip
    pen.line(
        [(x - 0.7 * roof * w, y - 0.9 * h), (x - 0.2 * w, y - 0.66 * h)],
        mixed(glass, (255, 255, 255), 0.4),
        max(1, int(0.04 * w)),
    )
    pen.rounded_rectangle((x - 0.5 * w, y - 0.6 * h, x + 0.5 * w, y - 0.1 * h), 0.08 * w, paint)
    pen.rectangle((x - 0.47 * w, y - 0.57 * h, x + 0.47 * w, y - 0.54 * h), light)
    bumper = pick(rng, (dark, (40, 40, 42), (170, 172, 175), paint))
    pen.rounded_rectangle((x - 0.51 * w, y - 0.27 * h, x + 0.51 * w, y - 0.09 * h), 0.05 * w, bumper)
    lamp = pick(rng, ((190, 20, 25), (230, 60, 40), (235, 235, 225), (140, 15, 20)))
    lw, lh, ly = w * rng.uniform(0.07, 0.2), h * rng.uniform(0.08, 0.22), y - 0.5 * h
    for sign in (-1, 1):
        pen.rounded_rectangle(sorted_box(x + sign * 0.48 * w, ly, x + sign * (0.48 * w - lw), ly + lh), 0.2 * lh, lamp)
        pen.ellipse(
            sorted_box(x + sign * 0.44 * w, ly + 0.2 * lh, x + sign * (0.44 * w - 0.4 * lw), ly + 0.6 * lh),
            mixed(lamp, (255,) * 3, 0.5),
        )
    if rng.random() < 0.4:
        for k in range(between(rng, 2, 5)):
            pen.line([(x - 0.2 * w, ly + 0.05 * h * k), (x + 0.2 * w, ly + 0.05 * h * k)], dark, max(1, int(0.015 * h)))
    pw = w * rng.uniform(0.11, 0.17)
    ph = pw * rng.uniform(0.22, 0.5)
    py = y - h * rng.uniform(0.2, 0.4)
    return np.array([(x - pw, py - ph), (x + pw, py - ph), (x + pw, py + ph), (x - pw, py + ph)])


def sorted_box(x0, y0, x1, y1):
    return min(x0, x1), min(y0, y1), max(x0, x1), max(y0, y1)


def tree(canvas, rng, x, y, size):
    """A trunk, branches and a crown of leaves."""
    pen = ImageDraw.Draw(canvas)
    bark = mixed(random_colour(rng), (60, 45, 35), 0.7)
    pen.line(
        [(x, y), (x + rng.normal(0, 0.05) * size, y - 0.6 * size)], bark, max(1, int(size * rng.uniform(0.03, 0.09)))
    )
    for _ in range(between(rng, 2, 6)):
        pen.line(
            [(x, y - 0.45 * size), (x + rng.normal(0, 0.25) * size, y - rng.uniform(0.6, 0.95) * size)],
            bark,
            max(1, int(size * 0.02)),
        )
    if rng.random() < 0.2:
        return
    side = max(6, int(size * 0.9))
    grainy = noise(rng, side, side, 10, 0.9, 3)
    ball = ImageChops.invert(radial().resize((side, side)))
    crown = ImageChops.add(grainy, ball, 2).point([255 if v > 128 else 0 for v in range(256)])
    leaf = mixed(random_colour(rng), (60, 110, 45), 0.75)
    shaded(canvas, rng, crown, [mixed(leaf, (0, 0, 0), 0.6), leaf, mixed(leaf, (255, 255, 200), 0.3)],
           (int(x - side / 2), int(y - size - 0.1 * side)), fine=25)  # fmt: skip


def box(canvas, rng, x, y, size):
    """A box, a book, a cupboard, a screen: three faces in perspective, each with a surface."""
    unit = min(canvas.size) / 240
    w, d = size * rng.uniform(0.4, 1.5), size * rng.uniform(0.1, 0.6) * pick(rng, (-1, 1))
    rise = size * rng.uniform(0, 0.25)
    draw_shadow(canvas, x, y, w * 0.8, size * 0.1, rng.random())
    n = max(8, int(size))
    kinds = CALM if rng.random() < 0.7 else SURFACES
    front = [(x - w / 2, y - size), (x + w / 2, y - size), (x + w / 2, y), (x - w / 2, y)]
    put(canvas, surface(rng, n, n, unit, kinds), front)
    if abs(d) > 4 * unit:
        a, b = (front[1], front[2]) if d > 0 else (front[0], front[3])
        sideways = [a, (a[0] + d, a[1] - rise), (b[0] + d, b[1] - rise), b]
        face = Image.new("RGB", (8, 8), mixed(random_colour(rng), (0, 0, 0), 0.4))
        put(canvas, face, sideways if d > 0 else [sideways[1], sideways[0], sideways[3], sideways[2]])
        if rise > 2:
            top = [front[0], front[1], (front[1][0] + d, front[1][1] - rise), (front[0][0] + d, front[0][1] - rise)]
            put(canvas, Image.new("RGB", (8, 8), random_colour(rng)), [top[3], top[2], top[1], top[0]])


def round_thing(canvas, rng, x, y, size):
    """A wheel, a clock without figures, a ball, a plate, a flower: rings and spokes, or petals."""
    pen = ImageDraw.Draw(canvas)
    r, cy = size / 2, y - size / 2
    flat = rng.uniform(0.5, 1) if rng.random() < 0.4 else 1
    draw_shadow(canvas, x, y, size * 0.5, size * 0.1, rng.random())
    if rng.random() < 0.35:
        n, colour = between(rng, 5, 22), random_colour(rng)
        for k in range(n):
            a = 2 * math.pi * k / n
            tip, side = (x + r * math.cos(a), cy + r * flat * math.sin(a)), r * math.pi / n * rng.uniform(0.7, 1.3)
            wide = (side * math.sin(a), -side * math.cos(a) * flat)
            half = (x + 0.6 * (tip[0] - x), cy + 0.6 * (tip[1] - cy))
            pen.polygon([(x, cy), (half[0] + wide[0], half[1] + wide[1]), tip, (half[0] - wide[0], half[1] - wide[1])],
                        shifted(rng, colour, 40))  # fmt: skip
        r *= rng.uniform(0.15, 0.45)
    for _ in range(between(rng, 1, 5)):
        pen.ellipse(
            (x - r, cy - r * flat, x + r, cy + r * flat), random_colour(rng), random_colour(rng), max(1, int(r * 0.06))
        )
        r *= rng.uniform(0.55, 0.95)
    if rng.random() < 0.5:
        n, ink, line = between(rng, 3, 24), random_colour(rng), max(1, int(r * 0.07))
        inner = r * pick(rng, (0, 0.1, 0.8))
        for k in range(n):
            a = 2 * math.pi * k / n
            c, s = math.cos(a), flat * math.sin(a)
            pen.line((x + inner * c, cy + inner * s, x + r * c, cy + r * s), ink, line)


def frame(canvas, rng, x, y, size):
    """A chair, a lamp, a ladder, a bicycle, a candlestick: bars, arcs and rings, mirrored about the middle."""
    pen = ImageDraw.Draw(canvas)
    ink = random_colour(rng)
    line = max(1, int(size * rng.uniform(0.012, 0.06)))
    mirror = rng.random() < 0.75
    for _ in range(between(rng, 4, 13)):
        a, b = rng.uniform(-0.5, 0.5, 2) * size, rng.uniform(-1, 0, 2) * size
        colour = shifted(rng, ink, 40)
        kind = rng.random()
        for sign in (1, -1) if mirror else (1,):
            x0, x1, y0, y1 = x + sign * a[0], x + sign * a[1], y + b[0], y + b[1]
            if kind < 0.5:
                pen.line((x0, y0, x1, y1 if kind < 0.25 else y0), colour, line)
            elif kind < 0.65:
                pen.line((x0, y0, x0, y1), colour, line)
            elif kind < 0.85:
                pen.arc(
                    sorted_box(x0, y0, x1 + 2, y1 + 2),
                    180 * pick(rng, (0, 1)),
                    180 * pick(rng, (1, 2)) + 90,
                    colour,
                    line,
                )
            else:
                pen.polygon(outline(rng, x0, y0, 0.13 * size), colour)


def herd(canvas, rng, x, y, size):
    """Animals on the plain, people, boats, houses, posts: a row of like things, small and unevenly spaced."""
    pen = ImageDraw.Draw(canvas)
    colour = random_colour(rng)
    small = size * rng.uniform(0.04, 0.2)
    kind, spread = pick(rng, (0, 1, 2)), pick(rng, (10, 40, 90))
    place = x - size * rng.uniform(0.3, 1.2)
    for _ in range(between(rng, 3, 16)):
        place += small * rng.uniform(0.5, 2.2)
        foot, high = y + small * rng.normal(0, 0.25), small * rng.uniform(0.6, 1.2)
        tone = shifted(rng, colour, spread)
        if kind == 0:
            pen.polygon(outline(rng, place, foot - high / 2, high / 2), tone)
            for leg in (-0.25, 0.2):
                pen.line(
                    (place + leg * high, foot - 0.4 * high, place + leg * high, foot), tone, max(1, int(high * 0.12))
                )
        elif kind == 1:
            person(canvas, rng, place, foot, high * 1.4)
        else:
            wide = high * rng.uniform(0.3, 1)
            pen.rectangle((place - wide / 2, foot - high, place + wide / 2, foot), tone)
            pen.polygon([(place - wide / 2, foot - high), (place + wide / 2, foot - high), (place, foot - 1.4 * high)],
                        shifted(rng, colour, 90))  # fmt: skip


THINGS = (creature, creature, creature, person, vehicle, tree, box, box, round_thing, frame, herd)
