"""Annotations of an unknown format: boxes are read as they are, then all of a set say what their numbers mean."""

import collections
import math
import re
from typing import NamedTuple

from kgan.data.text import annotations as formats
from kgan.runtime.json_files import parse_json


class Row(NamedTuple):
    """One box of an unknown format; `kind` is None if the meaning of its numbers is not stated."""

    where: str
    numbers: tuple
    kind: str | None
    text: str
    care: bool


def box_rows(data, name):
    """Reads the boxes of one annotation file (.txt, .xml or .json), without interpreting their numbers."""
    if name.lower().endswith(".txt"):
        rows = []
        for where, line in formats.numbered_lines(formats.decode(data), name):
            numbers, text = formats.leading_numbers(line)
            if len(numbers) < 4:
                raise ValueError(f"{where}: {len(numbers)} numbers, but a box has at least 4: {line[:80]!r}")
            rows.append(Row(where, numbers, None, text, text not in formats.IGNORED))
        return rows
    is_xml = name.lower().endswith(".xml")
    boxes = xml_boxes(formats.parse_xml(data, name)) if is_xml else json_boxes(parse_json(data, name))
    found = formats.attempt(name, list, boxes)
    return [Row(f"{name}, box {i}", *box, "", care) for i, (box, care) in enumerate(found, 1)]


def xml_boxes(root):
    """Yields `((numbers, kind), care)` for each element that is a box."""
    for parent in root.iter():
        around = leaves(parent)
        for element in parent:
            fields = leaves(element)
            points = [leaves(point) for point in element]
            if len(points) > 2 and all(point.keys() == {"x", "y"} for point in points):
                box = tuple(formats.number_of(point[axis]) for point in points for axis in "xy"), "polygon"
            elif "points" in fields:
                box = tuple(map(float, re.findall(formats.NUMBER, fields["points"]))), "polygon"
            else:
                box = named_box(fields)
            if box:
                yield box, formats.cares(around | fields)


def leaves(element):
    """Returns a dict of an element's attributes and the texts of its leaf children, by lower-case name."""
    texts = {child.tag.rpartition("}")[2]: child.text or "" for child in element if not len(child)}
    return {key.lower(): value.strip() for key, value in {**texts, **element.attrib}.items()}


BOX_KEYS = ("polygon", "points", "poly", "quad", "box", "bbox")


def json_boxes(node, around=None):
    """Yields `((numbers, kind), care)` for each box in nested lists and objects.

    `around` holds the plain values of the enclosing objects.
    """
    around = around or {}
    if isinstance(node, dict):
        node = {key.lower(): value for key, value in node.items()}
        around = around | {key: value for key, value in node.items() if not isinstance(value, dict | list)}
        key = next((name for name in BOX_KEYS if isinstance(node.get(name), list)), None)
        if box := listed_box(node[key]) if key else named_box(node):
            yield box, formats.cares(around)
            return
        # A list of plain values, such as an image's size, is a box only if its name says so.
        children = [value for value in node.values() if isinstance(value, dict) or is_nested(value)]
    elif isinstance(node, list):
        points = is_nested(node) and all(isinstance(v, list) and len(v) == 2 and not is_nested(v) for v in node)
        if node and (points or not is_nested(node)):
            yield listed_box(node), formats.cares(around)
            return
        children = node
    else:
        raise ValueError(f"expected a box, got {str(node)[:40]!r}")
    for child in children:
        yield from json_boxes(child, around)


def is_nested(value):
    return isinstance(value, list) and any(isinstance(item, dict | list) for item in value)


def listed_box(values):
    """Returns `(numbers, kind)` of a list of numbers, whose kind is unknown, or of points; two are opposite corners."""
    numbers = formats.numbers_of(values)
    if not isinstance(values[0] if values else None, list):
        return numbers, None
    if len(values) == 2:
        (x0, x1), (y0, y1) = sorted(numbers[::2]), sorted(numbers[1::2])
        return (x0, y0, x1, y1), "corners"
    return numbers, "polygon"


ALIASES = {"xmin": "left", "ymin": "top", "xmax": "right", "ymax": "bottom", "x": "left", "y": "top"}
ALIASES |= {"w": "width", "h": "height", "theta": "angle"}


def named_box(fields):
    """Returns `(numbers, kind)` of named numbers, or None if the names are not those of a box."""
    count = 1
    while f"x{count}" in fields and f"y{count}" in fields:
        count += 1
    if count > 3:
        return tuple(formats.number_of(fields[f"{axis}{i}"]) for i in range(1, count) for axis in "xy"), "polygon"
    if count == 3:
        fields = fields | {"left": fields["x1"], "top": fields["y1"], "right": fields["x2"], "bottom": fields["y2"]}
    fields = {ALIASES.get(key, key): value for key, value in fields.items()}
    forms = {
        "centre": ("cx", "cy", "width", "height", "angle"),
        None: ("left", "top", "width", "height", "angle"),
        "corners": ("left", "top", "right", "bottom"),
        "rectangle": ("left", "top", "width", "height"),
    }
    for kind, names in forms.items():
        if all(name in fields for name in names):
            return tuple(formats.number_of(fields[name]) for name in names), kind
    return None


def infer(rows, sizes, tolerance):
    """Infers what the numbers of a whole data set mean: the reading that places all boxes inside their images.

    Args:
        rows: list of `Row`.
        sizes: list of the `(height, width)` of each row's image.
        tolerance: pixels by which a box may reach beyond the edge of its image.

    Returns:
        `(words, notes)`: a list of `Word`, one per row, with clipped polygons; and a list of str that describe the
        reading.

    Raises:
        ValueError: no reading fits all boxes. The error names a box that does not fit the best reading.
    """
    words, notes = [None] * len(rows), []
    groups = collections.defaultdict(list)
    for index, row in enumerate(rows):
        groups[row.kind].append(index)
    for kind, members in groups.items():
        chosen = [rows[i] for i in members]
        if kind is None:
            numbers, readings = plain_readings(chosen)
        else:
            numbers, readings = [row.numbers for row in chosen], named_readings(kind, chosen)
        tried, misfits = {}, {}
        for name, to_points in readings.items():
            pairs = zip(numbers, members, strict=True)
            tried[name] = [outcome(to_points, values, sizes[index], tolerance) for values, index in pairs]
            misfits[name] = [i for i, result in enumerate(tried[name]) if isinstance(result, str)]
        # If two readings fit equally well, min takes the first.
        best = min(readings, key=lambda name: len(misfits[name]))
        if misfits[best]:
            first = misfits[best][0]
            raise ValueError(
                f"{chosen[first].where}: {tried[best][first]}; {len(chosen)} boxes were read as {best}, "
                f"of which {len(misfits[best])} do not fit"
            )
        note = f"{len(chosen)} boxes read as {best}"
        for other in readings.keys() - {best}:
            if misfits[other]:
                note += f"; {len(misfits[other])} of them do not fit as {other}"
            else:
                note += f"; AMBIGUOUS: all of them fit as {other} too, and the first is the default"
        notes.append(note)
        results = tried[best]
        for index, row, points in zip(members, chosen, results, strict=True):
            words[index] = formats.Word(row.where, points, row.care)
    return words, notes


def outcome(to_points, numbers, size, tolerance):
    """Returns the clipped polygon, or a str that says why there is none."""
    try:
        return formats.fit(to_points(*numbers), size, tolerance)
    except ValueError as error:
        return str(error)


def named_readings(kind, rows):
    if kind == "corners":
        return {"left, top, right, bottom": formats.corners}
    if kind == "rectangle":
        return {"left, top, width, height": formats.rectangle}
    if kind == "polygon":
        return {"polygons": formats.polygon}
    unit, scale = angle_unit(rows)
    return {f"centre, width, height, angle in {unit}": in_unit(formats.centred, scale)}


def plain_readings(rows):
    """Lists the possible readings of rows of plain numbers.

    Returns:
        `(numbers, readings)`: the coordinates of each row, without numbers that belong to a transcription; and a dict
        from the name of a reading to its function from numbers to a polygon, with the default first.
    """
    counts = collections.Counter(len(row.numbers) for row in rows)
    usual = counts.most_common(1)[0][0]
    # If there are transcriptions, a number after the coordinates may be a word such as "2015".
    transcribed = any(row.text for row in rows)
    others = sum(count for length, count in counts.items() if length not in (usual, usual + transcribed))
    # Text outlines have at least four points; rows of three points are more likely cut-off lines.
    if min(counts) >= 8 and others > (0.1 * len(rows) if transcribed else 0):
        numbers = [row.numbers[: len(row.numbers) // 2 * 2] if transcribed else row.numbers for row in rows]
        return numbers, {"polygons": formats.polygon}
    for row in rows:
        if len(row.numbers) != usual and not (transcribed and len(row.numbers) > usual):
            raise ValueError(f"{row.where}: {len(row.numbers)} numbers, but most boxes have {usual}")
    numbers = [row.numbers[:usual] for row in rows]
    if usual == 4:
        return numbers, {"left, top, right, bottom": formats.corners, "left, top, width, height": formats.rectangle}
    if usual == 5:
        unit, scale = angle_unit(rows)
        return numbers, {
            f"centre, width, height, angle in {unit}": in_unit(formats.centred, scale),
            f"left, top, width, height before turning, angle in {unit}": in_unit(formats.turned, scale),
        }
    if usual < 8 or usual % 2:
        raise ValueError(f"{rows[0].where}: {usual} numbers, as in most boxes: expected 4, 5, or an even number from 8")
    return numbers, {f"{usual // 2} points": formats.polygon}


def angle_unit(rows):
    """Returns the unit of the angles, the fifth numbers, and its factor to radians; whole numbers are degrees."""
    angles = [row.numbers[4] for row in rows]
    for row in rows:
        if not abs(row.numbers[4]) <= 360:
            raise ValueError(f"{row.where}: {row.numbers[4]:g} is not an angle: expected one as the fifth of 5 numbers")
    whole = all(angle.is_integer() for angle in angles) and any(angles)
    return ("degrees", math.pi / 180) if whole or max(map(abs, angles)) > 2 * math.pi else ("radians", 1.0)


def in_unit(function, scale):
    return lambda x, y, width, height, angle: function(x, y, width, height, angle * scale)
