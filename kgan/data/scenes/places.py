"""Places without text that look like photographs: halls, streets, shelves, landscapes, close-ups.

A place combines surfaces in perspective and puts objects in front of them. It also returns the positions of number
plates, shop signs and posters, so that text can be placed where it belongs.
"""

import math
from typing import NamedTuple

import numpy as np
from PIL import Image, ImageChops, ImageDraw, ImageEnhance, ImageFilter

from kgan.data.scenes.surfaces import (
    CALM,
    PATTERNS,
    bricks,
    coloured,
    dead_leaves,
    gradient,
    grid,
    lit,
    mixed,
    noise,
    outline,
    pebbles,
    plain,
    put,
    random_colour,
    rough,
    shifted,
    streaks,
    stripes,
    surface,
)
from kgan.data.scenes.things import (
    THINGS,
    box,
    creature,
    decked,
    frame,
    herd,
    person,
    round_thing,
    tree,
    vehicle,
)
from kgan.data.scenes.typesetting import Plane
from kgan.data.scenes.words import between, pick

# Each place takes (rng, width, height, unit) and returns a canvas and a list of `Spot`.


class Spot(NamedTuple):
    """A position for text; `kind` is `"plate"` (number plate), `"board"` (shop or other sign) or `"poster"`."""

    kind: str
    quad: np.ndarray  # (4, 2): top left, top right, bottom right, bottom left


def close_up(rng, width, height, unit):
    """Draws one surface that fills the image, at any angle."""
    canvas = surface(rng, width, height, unit)
    if rng.random() < 0.4:
        far = rng.uniform(0.05, 0.6) * pick(rng, (-1, 1))
        big = surface(rng, width, height, unit)
        x0, x1 = -0.5 * width, 1.5 * width
        a, b = max(0, far), max(0, -far)
        put(
            canvas,
            big,
            [(x0, height * (a - 0.6)), (x1, height * (b - 0.6)), (x1, height * (1.6 - b)), (x0, height * (1.6 - a))],
        )
    return canvas, []


def landscape(rng, width, height, unit):
    """Draws sky, overlapping hills, ground, and objects on it."""
    sky = mixed(random_colour(rng), pick(rng, ((135, 175, 225), (225, 230, 235), (240, 180, 130), (20, 25, 50))), 0.8)
    canvas = coloured(
        noise(rng, width, height, 2, 0.55, 5, pick(rng, (1, 3, 6))),
        [sky, sky, mixed(sky, (255, 255, 255), rng.random())],
    )
    horizon = height * rng.uniform(0.15, 0.8)
    for k in range(between(rng, 1, 4)):
        base = horizon + k * height * rng.uniform(0.03, 0.15)
        ridge = np.asarray(noise(rng, width, 8, 1, rng.uniform(0.3, 0.8), 7))[0] / 128 - 1
        ridge = base + ridge * height * rng.uniform(0.02, 0.2) / (k + 1)
        mask = Image.new("L", (width, height))
        ImageDraw.Draw(mask).polygon([(0, height), *enumerate(ridge), (width, height)], 255)
        fill = pick(rng, (rough, rough, rough, streaks, pebbles))(rng, width, height, unit)
        if rng.random() < 0.6:
            fill = Image.blend(fill, Image.new("RGB", fill.size, mixed(random_colour(rng), (70, 100, 50), 0.7)), 0.5)
        canvas.paste(fill, (0, 0), mask)
    if rng.random() < 0.2:
        below = int(horizon)
        mirror = (
            canvas.crop((0, 0, width, below)).transpose(Image.Transpose.FLIP_TOP_BOTTOM).resize((width, height - below))
        )
        canvas.paste(Image.blend(mirror, streaks(rng, *mirror.size, unit), 0.3), (0, below))
    things = (tree, tree, creature, person, round_thing, box, vehicle, herd, herd, decked, decked)
    return canvas, populate(canvas, rng, horizon, unit, things)


def populate(canvas, rng, horizon, unit, things):
    """Draws objects on the ground, smaller with distance; returns the number plates of vehicles."""
    width, height = canvas.size
    spots = []
    feet = np.sort(rng.uniform(horizon, height * 1.05, pick(rng, (0, 1, 2, 3, 5, 8))))
    for y in feet:
        near = 0.15 + (y - horizon) / height
        thing = pick(rng, things)
        size = max(6 * unit, height * min(near, 0.9) * rng.uniform(0.5, 1.1))
        plate = thing(canvas, rng, rng.uniform(-0.05, 1.05) * width, y, size)
        if plate is not None:
            spots.append(Spot("plate", plate))
    return spots


def room(rng, width, height, unit):
    """Draws a corridor, a hall or a shop: floor, ceiling and walls about a vanishing point, lamps, goods, people."""
    canvas = Image.new("RGB", (width, height), random_colour(rng))
    left, right = width * rng.uniform(-0.1, 0.45), width * rng.uniform(0.55, 1.1)
    top, bottom = height * rng.uniform(0.0, 0.4), height * rng.uniform(0.55, 0.85)
    far = [(left, top), (right, top), (right, bottom), (left, bottom)]
    out = [
        (-0.3 * width, -0.35 * height),
        (1.3 * width, -0.35 * height),
        (1.3 * width, 1.4 * height),
        (-0.3 * width, 1.4 * height),
    ]
    n = max(16, int(min(width, height) * 0.7))
    wall = surface(rng, n, n, unit, CALM)
    put(canvas, surface(rng, n, n, unit, CALM), [out[0], out[1], far[1], far[0]])
    put(canvas, surface(rng, n, n, unit, CALM), [far[3], far[2], out[2], out[3]])
    put(canvas, wall, [out[0], far[0], far[3], out[3]])
    put(canvas, wall, [far[1], out[1], out[2], far[2]])
    put(canvas, surface(rng, n, n, unit), far)
    for k in range(2):
        # Shop windows and doors along the walls: bright and full of goods, or dark.
        ends = ((out[0], far[0], far[3], out[3]), (far[1], out[1], out[2], far[2]))[k]
        plane = Plane(1, 1, ends)
        for _ in range(between(rng, 0, 3)):
            u, v = rng.uniform(0.1, 0.7), rng.uniform(0.1, 0.5)
            opening = plane.outline(u, v, u + rng.uniform(0.1, 0.3), v + rng.uniform(0.2, 0.5))
            goods = surface(rng, n, n, unit, (*PATTERNS, dead_leaves, plain, plain))
            put(canvas, bright(goods, rng.uniform(0.4, 1.5)), opening.tolist())
    if rng.random() < 0.6:
        pen = ImageDraw.Draw(canvas)
        rows, vanish = between(rng, 1, 3), ((left + right) / 2, (top + bottom) / 2)
        for row in range(rows):
            start = (width * (row + 0.5 + rng.normal(0, 0.1)) / rows, -0.1 * height)
            for step in range(between(rng, 2, 7)):
                t = 1 - 0.68**step
                x, y = start[0] + t * (vanish[0] - start[0]), start[1] + t * (0.8 * top - start[1])
                r = 9 * unit * (1 - t) * rng.uniform(0.8, 1.2)
                pen.ellipse((x - 2 * r, y - r, x + 2 * r, y + r), (255, 250, 235))
    if rng.random() < 0.5:
        reflect(canvas, rng, bottom, unit)
    for _ in range(between(rng, 0, 2)):
        x, w = rng.random() * width, unit * rng.uniform(8, 50)
        pillar = surface(rng, max(4, int(w)), height, unit, CALM)
        canvas.paste(pillar, (int(x), 0))
    return canvas, populate(canvas, rng, bottom, unit, (person, person, box, box, round_thing, frame, vehicle))


def mall(rng, width, height, unit):
    """Draws a shopping mall: lit windows with signs above them, lamps, hanging signs, pillars and people."""
    canvas = Image.new("RGB", (width, height), random_colour(rng))
    light = np.array(pick(rng, ((255, 250, 240), (255, 235, 205), (235, 245, 255), (255, 225, 175))))
    x, y = width * rng.uniform(0.15, 0.85), height * rng.uniform(0.3, 0.6)
    # Half the width and height of the far end; a wide one shows a shop front across the passage.
    far_x, far_y = width * math.exp(rng.uniform(math.log(0.05), math.log(0.5))), height * rng.uniform(0.08, 0.3)
    far = [(x - far_x, y - far_y), (x + far_x, y - far_y), (x + far_x, y + far_y), (x - far_x, y + far_y)]
    near = 1 + max(x, width - x, 0.55 * width) / far_x
    reach_x, reach_y = far_x * near, far_y * max(near, 1.3 * height / far_y / 2)
    out = [
        (x - reach_x, y - reach_y),
        (x + reach_x, y - reach_y),
        (x + reach_x, y + reach_y),
        (x - reach_x, y + reach_y),
    ]
    n = max(16, int(min(width, height) * 0.7))
    bare = (plain, plain, plain, rough, stripes, grid, bricks)
    put(canvas, bright(surface(rng, n, n, unit, bare), rng.uniform(0.4, 1.6)), [out[0], out[1], far[1], far[0]])
    put(canvas, bright(surface(rng, n, n, unit, bare), rng.uniform(0.4, 1.3)), [far[3], far[2], out[2], out[3]])
    spots = []
    fronts = [(far, 1 + int(3 * far_x / width))]
    fronts += [
        ((out[0], far[0], far[3], out[3]), between(rng, 2, 5)),
        ((far[1], out[1], out[2], far[2]), between(rng, 2, 5)),
    ]
    for wall, count in fronts:
        spots += shop_fronts(canvas, rng, Plane(1, 1, wall), count, light, unit)
    ceiling_lamps(canvas, rng, (x, y - far_y), light, unit)
    if rng.random() < 0.7:
        reflect(canvas, rng, y + far_y, unit)
    for _ in range(pick(rng, (0, 0, 1, 2))):
        at, w = rng.random() * width, unit * rng.uniform(8, 60)
        canvas.paste(surface(rng, max(4, int(w)), height, unit, (plain, plain, rough)), (int(at), 0))
        if rng.random() < 0.5:
            high = w * rng.uniform(0.6, 2)
            top = rng.uniform(0.1, 0.6) * height
            spots.append(Spot("poster", upright(at + 0.1 * w, top, 0.8 * w, high)))
    for _ in range(pick(rng, (0, 0, 1, 2, 3))):
        w = unit * math.exp(rng.uniform(math.log(12), math.log(90)))
        spots.append(
            Spot("board", upright(rng.random() * width, rng.uniform(0, 0.4) * height, w, w * rng.uniform(0.15, 0.6)))
        )
    # Walls, floors and ceilings of shops are mostly white, grey and brown.
    canvas = ImageEnhance.Color(canvas).enhance(rng.uniform(0.2, 1))
    return canvas, spots + populate(canvas, rng, y + far_y, unit, (*[person] * 8, box, round_thing))


def shop_fronts(canvas, rng, wall, count, light, unit):
    """Draws shops side by side on a wall, a plane of 1 x 1; returns their signs and posters."""
    spots = []
    n = max(16, int(min(canvas.size) * 0.6))
    put(canvas, bright(surface(rng, n, n, unit, CALM), rng.uniform(0.2, 1)), wall.outline(0, 0, 1, 1).tolist())
    lintel, sill = rng.uniform(0.3, 0.5), rng.uniform(0.6, 0.75)
    edges = np.sort(np.append(rng.random(count - 1), (0, 1)))
    for left, right in zip(edges[:-1], edges[1:], strict=True):
        if right - left < 0.04 or rng.random() < 0.12:
            continue
        margin = 0.05 * (right - left)
        window = wall.outline(left + margin, lintel, right - margin, sill)
        glass = (
            shelf(rng, n, n, unit)[0]
            if rng.random() < 0.4
            else surface(rng, n, n, unit, (*PATTERNS, dead_leaves, plain))
        )
        lamp = 255 * (light / 255) ** rng.uniform(0, 2)
        glow = Image.blend(glass, Image.new("RGB", glass.size, tuple(lamp.astype(int).tolist())), rng.uniform(0, 0.6))
        put(canvas, bright(glow, rng.uniform(0.3, 2.2)), window.tolist())
        if rng.random() < 0.85:
            high = rng.uniform(0.05, 0.14)
            inset = rng.uniform(0, 0.3) * (right - left)
            quad = wall.outline(
                left + inset, lintel - high * 1.1, right - rng.uniform(0, 1) * inset, lintel - 0.1 * high
            )
            spots.append(Spot("board", quad))
        for _ in range(pick(rng, (0, 0, 1, 2, 3))):
            u, v = rng.uniform(left, right - 0.3 * (right - left)), lintel + rng.uniform(0, 0.6) * (sill - lintel)
            quad = wall.outline(u, v, u + (right - left) * rng.uniform(0.08, 0.3), v + rng.uniform(0.03, 0.15))
            spots.append(Spot("poster", quad))
    return spots


def upright(x, y, wide, high):
    return np.array([(x, y), (x + wide, y), (x + wide, y + high), (x, y + high)])


def bright(picture, factor):
    return picture.point([min(255, int(factor * v)) for v in range(256)] * 3)


def ceiling_lamps(canvas, rng, vanish, light, unit):
    """Draws rows of round lamps or tubes that run towards the vanishing point."""
    pen = ImageDraw.Draw(canvas)
    width, height = canvas.size
    colour, tubes = tuple(light.tolist()), rng.random() < 0.4
    for start in width * rng.uniform(-0.3, 1.3, between(rng, 1, 6)):
        step = rng.uniform(0.5, 0.85)
        for k in range(between(rng, 3, 10)):
            t = 1 - step**k
            x, y = start + t * (vanish[0] - start), -0.15 * height + t * (vanish[1] + 0.15 * height)
            r = unit * rng.uniform(3, 9) * (1 - t)
            if tubes:
                t += 0.5 * (1 - t) * (1 - step)
                end = start + t * (vanish[0] - start), -0.15 * height + t * (vanish[1] + 0.15 * height)
                pen.line((x, y, *end), colour, max(1, int(r)))
            else:
                pen.ellipse((x - 1.6 * r, y - r, x + 1.6 * r, y + r), colour)


def reflect(canvas, rng, edge, unit):
    """Draws a polished floor that mirrors the image above its far edge."""
    width, height = canvas.size
    edge = int(min(max(edge, 1), height - 2))
    mirror = canvas.crop((0, max(0, 2 * edge - height), width, edge)).transpose(Image.Transpose.FLIP_TOP_BOTTOM)
    mirror = mirror.resize((width, height - edge)).filter(ImageFilter.BoxBlur(4 * unit))
    ground = canvas.crop((0, edge, width, height))
    canvas.paste(Image.blend(ground, mirror, rng.uniform(0.1, 0.5)), (0, edge))


def street(rng, width, height, unit):
    """Draws a road between facades, or a facade seen from the front, with cars, people, trees and poles."""
    canvas, _ = landscape(rng, width, height, unit)
    horizon = height * rng.uniform(0.35, 0.65)
    n = max(16, int(min(width, height) * 0.8))
    ground = mixed(random_colour(rng), (115, 115, 118), 0.8)
    road = coloured(noise(rng, n, n, 20, 0.9, 3), [shifted(rng, ground, 30), shifted(rng, ground, 30)])
    pen = ImageDraw.Draw(road)
    for _ in range(between(rng, 0, 3)):
        x = rng.random() * n
        for k in range(pick(rng, (1, 5, 9))):
            pen.rectangle(
                (x, k * n / 5, x + 2 + 4 * unit * rng.random(), k * n / 5 + n * pick(rng, (0.1, 1))),
                pick(rng, ((235, 235, 230), (230, 190, 60))),
            )
    put(
        canvas,
        road,
        [(-0.5 * width, horizon), (1.5 * width, horizon), (3 * width, 1.1 * height), (-2 * width, 1.1 * height)],
    )
    facade = (grid, grid, grid, bricks, stripes, plain, rough)
    if rng.random() < 0.5:
        put(
            canvas,
            surface(rng, n, n, unit, facade),
            [
                (-0.05 * width, -0.1 * height),
                (1.05 * width, -0.1 * height),
                (1.05 * width, horizon),
                (-0.05 * width, horizon),
            ],
        )
    spots = []
    for sign in (-1, 1):
        if rng.random() < 0.6:
            edge, far = width * (0.5 + 0.55 * sign), width * (0.5 + sign * rng.uniform(0.05, 0.3))
            near_top, far_top = height * rng.uniform(-0.6, 0.1), horizon * rng.uniform(0.2, 0.8)
            quad = [(edge, near_top), (far, far_top), (far, horizon), (edge, horizon + height * rng.uniform(0.1, 0.4))]
            quad = quad if sign < 0 else [quad[1], quad[0], quad[3], quad[2]]
            put(canvas, surface(rng, n, n, unit, facade), quad)
            if rng.random() < 0.6:
                # Shops on the ground floor.
                spots += shop_fronts(
                    canvas,
                    rng,
                    Plane(1, 1, ground_floor(quad, rng.uniform(0.15, 0.5))),
                    between(rng, 1, 4),
                    DAYLIGHT,
                    unit,
                )
    pen = ImageDraw.Draw(canvas)
    for _ in range(between(rng, 0, 3)):
        x = rng.random() * width
        pen.line(
            (x, height * rng.uniform(0, 0.4), x, horizon + rng.random() * (height - horizon)),
            random_colour(rng),
            max(1, int(unit * rng.uniform(1, 6))),
        )
    things = (vehicle, vehicle, vehicle, person, person, tree, box, frame)
    return canvas, spots + populate(canvas, rng, horizon + 0.05 * height, unit, things)


def ground_floor(quad, share):
    """Returns the lower part of a wall, with its corners in the order of the wall's."""
    quad = np.array(quad)
    return np.array([*(quad[3:1:-1] + share * (quad[:2] - quad[3:1:-1])), quad[2], quad[3]])


def parked(rng, width, height, unit):
    """Draws a nearby vehicle on a road, in a yard or in a room."""
    canvas, _ = pick(rng, (street, landscape, room, close_up))(rng, width, height, unit)
    if rng.random() < 0.5:
        y = height * rng.uniform(0.3, 0.8)
        canvas.paste(
            surface(rng, width, height, unit, (rough, plain, rough, bricks)).crop((0, int(y), width, height)),
            (0, int(y)),
        )
    size = height * rng.uniform(0.3, 1.1)
    plate = vehicle(canvas, rng, width * rng.uniform(0.25, 0.75), height * rng.uniform(0.75, 1.1), size)
    return canvas, [Spot("plate", plate)]


def studio(rng, width, height, unit):
    """Draws one or more objects in front of a white, black or coloured backdrop, as in a catalogue."""
    kind = rng.random()
    back = (255, 255, 255) if kind < 0.4 else (0, 0, 0) if kind < 0.48 else random_colour(rng)
    canvas = (
        Image.new("RGB", (width, height), back)
        if kind < 0.5
        else gradient(rng, width, height, [back, shifted(rng, back, 60)])
    )
    for _ in range(pick(rng, (1, 1, 1, 2, 4))):
        size = min(width, height) * rng.uniform(0.35, 1.0)
        x, y = width * rng.uniform(0.35, 0.65), height / 2 + size * rng.uniform(0.4, 0.6)
        pick(rng, (creature, creature, box, round_thing, frame, frame, tree, vehicle))(canvas, rng, x, y, size)
    return canvas, []


def drawing(rng, width, height, unit):
    """Draws a sketch, a diagram without lettering or a cartoon: outlines on plain paper, some hatched or filled."""
    paper = pick(rng, ((255, 255, 255), (255, 255, 255), (245, 240, 225), (225, 225, 225), random_colour(rng)))
    canvas = Image.new("RGB", (width, height), paper)
    pen = ImageDraw.Draw(canvas)
    ink = pick(rng, ((0, 0, 0), (30, 30, 40), random_colour(rng)))
    line = max(1, round(unit * rng.uniform(0.8, 4)))
    for _ in range(between(rng, 3, 18)):
        x, y, size = rng.random() * width, rng.random() * height, min(width, height) * rng.uniform(0.08, 0.5)
        shape = outline(rng, x, y, size)
        if rng.random() < 0.4:
            pen.polygon(shape, random_colour(rng) if rng.random() < 0.6 else paper)
        pen.line([*shape, shape[0]], ink, line, "curve")
        if rng.random() < 0.25:
            pitch = unit * rng.uniform(3, 9)
            for k in range(between(rng, 4, 15)):
                pen.line(
                    (x - 0.4 * size, y + k * pitch - 0.3 * size, x + 0.3 * size, y + k * pitch - 0.45 * size),
                    ink,
                    max(1, line // 2),
                )
    return canvas, []


def shelf(rng, width, height, unit):
    """Draws shelves with rows of goods, books or boxes."""
    canvas = surface(rng, width, height, unit, CALM)
    pen = ImageDraw.Draw(canvas)
    rows, spots = between(rng, 1, 5), []
    palette = [random_colour(rng) for _ in range(between(rng, 2, 9))]
    labels, tags = rng.random() < 0.5, rng.random() < 0.4
    for row in range(rows):
        floor = (row + 0.95) * height / rows
        x, tall = -5.0, height / rows * rng.uniform(0.5, 0.85)
        wide = unit * rng.uniform(6, 50)
        while x < width:
            w, h = wide * rng.uniform(0.7, 1.2), tall * rng.uniform(0.8, 1.05)
            colour = shifted(rng, pick(rng, palette), 25)
            if rng.random() < 0.3:
                pen.rounded_rectangle((x, floor - h, x + w, floor), w * 0.3, colour)
                pen.rectangle((x + 0.3 * w, floor - 1.15 * h, x + 0.7 * w, floor - h), shifted(rng, colour, 60))
            else:
                pen.rectangle((x, floor - h, x + w, floor), colour)
            if rng.random() < 0.5:
                top, foot = floor - 0.7 * h, floor - h * rng.uniform(0.2, 0.5)
                pen.rectangle((x + 0.1 * w, top, x + 0.9 * w, foot), pick(rng, palette))
                if labels:
                    spots.append(Spot("poster", upright(x + 0.1 * w, top, 0.8 * w, foot - top)))
            if tags and rng.random() < 0.4:
                spots.append(Spot("board", upright(x, floor, 0.7 * w, 0.1 * height / rows)))
            x += w * pick(rng, (1.02, 1.02, 1.1, 1.5))
        pen.rectangle((0, floor, width, floor + max(1, 0.04 * height / rows)), shifted(rng, palette[0], 60))
    return lit(rng, canvas), spots


def leaves(rng, width, height, unit):
    return dead_leaves(rng, width, height, unit), []


DAYLIGHT = np.array((235, 240, 245))
# Weights of the places for scenes without and with text: built-up places have more text.
PLACES = {
    close_up: (2.5, 1.5), landscape: (4, 0.7), leaves: (1.3, 0.5), studio: (3, 1.2), drawing: (1, 0.7),
    shelf: (0.5, 2), room: (0.8, 1), mall: (0.2, 6), street: (1, 4), parked: (0.6, 2.5),
}  # fmt: skip
SHARES = np.array(list(PLACES.values())).cumsum(axis=0) / np.sum(list(PLACES.values()), axis=0)


def draw_background(rng, width, height, has_text):
    """Draws a random place without text.

    Args:
        rng: NumPy Generator.
        width, height: size in pixels.
        has_text: whether text will be added; built-up places are then more likely.

    Returns:
        RGB image, and a list of `Spot`, the positions for text.
    """
    unit = min(width, height) / 240
    place = list(PLACES)[np.searchsorted(SHARES[:, int(has_text)], rng.random())]
    canvas, spots = place(rng, width, height, unit)
    if place in (room, mall, street, parked) and rng.random() < 0.35:
        # Dim halls and streets at night, in which the lamps and the signs added later look bright.
        gamma = rng.uniform(1.4, 3)
        warm = 1 + rng.uniform(0, 0.25) * np.array([0, -0.4, -1])
        curve = 255 * (np.arange(256) / 255) ** gamma
        canvas = canvas.point((warm[:, None] * curve).astype(int).ravel().tolist())
    if rng.random() < 0.15:
        size = min(width, height) * rng.uniform(0.3, 0.9)
        pick(rng, THINGS)(canvas, rng, rng.random() * width, height * rng.uniform(0.7, 1.2), size)
    if rng.random() < 0.7:
        # Real surfaces are never even: a fractal field makes everything slightly lighter or darker.
        veil = noise(rng, width, height, pick(rng, (2, 6, 20)), rng.uniform(0.6, 1.0), 6, pick(rng, (1, 1, 1, 3, 0.3)))
        strength = pick(rng, (0.2, 0.35, 0.6))
        veil = veil.point([round(128 + strength * (v - 128)) for v in range(256)])
        canvas = ImageChops.overlay(canvas, Image.merge("RGB", [veil] * 3))
    return canvas, spots
