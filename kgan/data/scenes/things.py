"""Objects without letters for a scene: animals, people, cars, trees, boxes, instruments, ships.

Each function takes (canvas, rng, x, y, size): (x, y) is the middle of the object's base, and `size` its height.
"""

import functools
import math

import numpy as np
from PIL import Image, ImageChops, ImageDraw

from kgan.data.scenes.surfaces import (
    CALM,
    SURFACES,
    coloured,
    lit,
    mixed,
    noise,
    outline,
    put,
    random_colour,
    shifted,
    surface,
)
from kgan.data.scenes.words import between, pick


@functools.cache
def radial():
    """Returns a radial gradient, black in the middle and white at the rim."""
    return Image.radial_gradient("L")


def shaded(canvas, rng, mask, colours, place=(0, 0), fine=None):
    """Fills a mask with a texture that is lighter on one side and darker at the base."""
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
    """Draws a soft shadow on the ground."""
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
    """Draws an animal, a figure, a fruit or a shell: a lumpy body with limbs, spots or stripes."""
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
    """Draws a person seen from afar: head, trunk, arms and legs."""
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
    """Draws a car from the front or behind; returns the quadrilateral of its number plate."""
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
    """Draws a tree: a trunk, branches and a crown of leaves."""
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
    """Draws a box, a book, a cupboard or a screen: up to three faces in perspective."""
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
    """Draws a wheel, a clock without numerals, a ball, a plate or a flower: rings and spokes, or petals."""
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
    """Draws a chair, a lamp, a ladder, a bicycle or a candlestick: bars and arcs, mostly mirrored about the middle."""
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
    """Draws a herd, people, boats, houses or posts: a row of small, similar objects, unevenly spaced."""
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


def fretted(canvas, rng, x, y, size):
    """Draws a guitar, a ladder, a rake or a rail: a long bar with rungs across, strings along it, pegs and a body."""
    angle = rng.uniform(0, 2 * math.pi)
    along = size * rng.uniform(0.6, 1.4) * np.array([math.cos(angle), math.sin(angle)])
    across = size * rng.uniform(0.015, 0.08) * np.array([-math.sin(angle), math.cos(angle)])
    taper, middle = rng.uniform(0.6, 1.2), np.array([x, y - size / 2])
    at = lambda u, v: tuple(middle + (u - 0.5) * along + v * (taper + (1 - taper) * u) * across)  # noqa: E731
    pen = ImageDraw.Draw(canvas)
    wood, metal = random_colour(rng), random_colour(rng)
    thin = max(1, int(size * rng.uniform(0.004, 0.02)))
    if rng.random() < 0.6:
        # The body, in two parts, with a hole.
        r = size * rng.uniform(0.12, 0.25)
        for u, part in ((1.0, r), (1.0 + 0.9 * r / size, 1.25 * r)):
            cx, cy = at(u, 0)
            pen.ellipse((cx - part, cy - part, cx + part, cy + part), shifted(rng, wood, 40), metal, thin)
        cx, cy = at(1.0, 0)
        pen.ellipse((cx - 0.4 * r, cy - 0.4 * r, cx + 0.4 * r, cy + 0.4 * r), mixed(wood, (0, 0, 0), 0.7))
    if rng.random() < 0.7:
        pen.polygon([at(0, -1), at(1, -1), at(1, 1), at(0, 1)], shifted(rng, wood, 60))
    count, even = between(rng, 5, 26), rng.random() < 0.5
    for k in range(count):
        u = k / count if even else 1 - 0.94**k
        pen.line([at(u, -1), at(u, 1)], metal, thin)
    for v in np.linspace(-0.8, 0.8, pick(rng, (0, 2, 4, 6))):
        pen.line([at(0, v), at(1.1, v)], shifted(rng, metal, 50), 1)
    for k in range(pick(rng, (0, 0, 4, 6))):
        cx, cy = at(-0.03 * (1 + k // 2), 1.6 if k % 2 else -1.6)
        r = max(1.0, size * 0.01)
        pen.ellipse((cx - r, cy - r, cx + r, cy + r), metal)


def decked(canvas, rng, x, y, size):
    """Draws a ship, a train or a hotel: stacked decks, each a wall with a row of windows."""
    pen = ImageDraw.Draw(canvas)
    paint = mixed(random_colour(rng), (245, 245, 245), pick(rng, (0, 0.5, 0.9)))
    long = size * rng.uniform(1, 3)
    if rng.random() < 0.6:
        hull = 0.25 * size
        bow, stern = long * rng.uniform(0.5, 0.65, 2)
        corners = [(x - bow, y - hull), (x + stern, y - hull), (x + long / 2, y), (x - long / 2, y)]
        pen.polygon(corners, random_colour(rng))
        y -= hull
    left, right = x - long / 2, x + long / 2
    for _ in range(between(rng, 1, 4)):
        high = size * rng.uniform(0.12, 0.3)
        pen.rectangle(sorted_box(left, y - high, right, y), shifted(rng, paint, 15))
        glass, step = mixed(random_colour(rng), (25, 30, 40), 0.7), high * rng.uniform(0.4, 1.5)
        wide, top, tall = step * rng.uniform(0.3, 0.85), high * rng.uniform(0.15, 0.4), high * rng.uniform(0.25, 0.5)
        rounded = rng.random() < 0.3
        for w in np.arange(left + 0.3 * step, right - wide, step):
            if rng.random() < 0.92:
                (pen.ellipse if rounded else pen.rectangle)((w, y - high + top, w + wide, y - high + top + tall), glass)
        if rng.random() < 0.5:
            # A railing above.
            rail = y - high * 1.2
            pen.line((left, rail, right, rail), glass, 1)
            for w in np.arange(left, right, step / 2):
                pen.line((w, rail, w, y - high), glass, 1)
        y -= high
        left, right = left + long * rng.uniform(0, 0.15), right - long * rng.uniform(0, 0.15)
    for _ in range(between(rng, 0, 3)):
        at, high = rng.uniform(left, right), size * rng.uniform(0.1, 0.5)
        pen.line((at, y, at, y - high), shifted(rng, paint, 60), max(1, int(size * rng.uniform(0.01, 0.08))))


def ornamented(canvas, rng, x, y, size):
    """Draws a vase, a rug, a mask, a butterfly or a carving: a shape full of ornaments, mirrored about its middle."""
    side = max(12, int(size))
    ground, ink = random_colour(rng), random_colour(rng)
    half = Image.new("RGB", (side // 2, side), ground)
    pen = ImageDraw.Draw(half)
    line = max(1, int(side * rng.uniform(0.006, 0.03)))
    rows = between(rng, 3, 12)
    for row in range(rows):
        # One ornament, repeated along a band.
        centre, r = side * (row + 0.5) / rows, side / rows * rng.uniform(0.3, 0.6)
        kind, step = rng.random(), side / rows * rng.uniform(0.7, 2.5)
        figure = np.array(outline(rng, 0, 0, r))
        for cx in np.arange(0, side / 2 + r, step):
            if kind < 0.35:
                pen.polygon(list(map(tuple, figure + (cx, centre))), ink if row % 2 else None, ink)
            elif kind < 0.6:
                pen.arc((cx - r, centre - r, cx + r, centre + r), *sorted(rng.uniform(0, 360, 2)), ink, line)
            elif kind < 0.8:
                pen.line([(cx - r, centre + r), (cx, centre - r), (cx + r, centre + r)], ink, line)
        if rng.random() < 0.5:
            pen.line((0, centre + r, side, centre + r), shifted(rng, ink, 40), line)
    picture = Image.new("RGB", (side // 2 * 2, side))
    picture.paste(half, (side // 2, 0))
    picture.paste(half.transpose(Image.Transpose.FLIP_LEFT_RIGHT), (0, 0))
    mask = Image.new("L", picture.size)
    pen = ImageDraw.Draw(mask)
    if rng.random() < 0.2:
        pen.polygon(outline(rng, side / 2, side / 2, side * 0.55), 255)
    else:
        # A silhouette as if turned on a potter's wheel.
        profile = np.interp(np.arange(side), np.linspace(0, side, 6), rng.uniform(0.15, 0.5, 6)) * side
        rim = [(side / 2 - p, row) for row, p in enumerate(profile)]
        pen.polygon([*rim, *((side - px, row) for px, row in reversed(rim))], 255)
    canvas.paste(lit(rng, picture, 0.7), (int(x - side / 2), int(y - side)), mask)


THINGS = (
    *(creature, creature, creature, person, vehicle, tree, box, box, round_thing, frame, herd),
    *(fretted, fretted, decked, ornamented, ornamented),
)
