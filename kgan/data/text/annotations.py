"""Parsers of scene-text annotations: a file becomes polygons in pixels, or an error that names the line."""

import collections
import math
import re
import xml.etree.ElementTree as ElementTree
from typing import NamedTuple

import numpy as np

from kgan.data.json_files import parse_json

NUMBER = r"[-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?"
FIELD = re.compile(rf"({NUMBER})(?:\s*,\s*|\s+|$)")
# Transcriptions that mark a word to be ignored.
IGNORED = ("###", "#")


class Word(NamedTuple):
    """One annotated word: its place in the file, its polygon `(k, 2)`, and whether it counts (False: ignore it)."""

    where: str
    points: np.ndarray
    care: bool


class Row(NamedTuple):
    """One box of an unknown format; `kind` is None if the meaning of its numbers is not stated."""

    where: str
    numbers: tuple
    kind: str | None
    text: str
    care: bool


# Geometry.


def corners(left, top, right, bottom):
    """Returns the polygon of the rectangle between two opposite corners."""
    if right < left or bottom < top:
        raise ValueError("the right or bottom edge lies before the left or top edge")
    return np.array([(left, top), (right, top), (right, bottom), (left, bottom)], "float64")


def rectangle(left, top, width, height):
    """Returns the polygon of a rectangle given by its top left corner, width and height."""
    if width < 0 or height < 0:
        raise ValueError("width or height is negative")
    return corners(left, top, left + width, top + height)


def centred(x, y, width, height, angle):
    """Returns the polygon of a rectangle about its centre, rotated by `angle` radians, clockwise as seen."""
    if not all(map(math.isfinite, (x, y, width, height, angle))):
        raise ValueError("a coordinate is not a finite number")
    turn = np.array([[math.cos(angle), math.sin(angle)], [-math.sin(angle), math.cos(angle)]])
    return rectangle(-width / 2, -height / 2, width, height) @ turn + [x, y]


def turned(left, top, width, height, angle):
    """As `centred`, but given by the top left corner that the rectangle had before its rotation about the centre."""
    return centred(left + width / 2, top + height / 2, width, height, angle)


def polygon(*numbers):
    """Returns the polygon of the coordinates x, y, x, y, ..."""
    if len(numbers) < 6 or len(numbers) % 2:
        raise ValueError(f"{len(numbers)} coordinates: a polygon has an even number of them, at least 6")
    return np.array(numbers, "float64").reshape(-1, 2)


def fit(points, size, tolerance):
    """Clips a polygon to an image of `size` `(height, width)`; raises if it reaches out by more than `tolerance`."""
    if not np.isfinite(points).all():
        raise ValueError("a coordinate is not a finite number")
    height, width = size
    clipped = np.clip(points, 0, (width, height))
    excess = np.abs(points - clipped).max()
    if excess > tolerance:
        raise ValueError(f"the box reaches {excess:g} pixels outside the image of {width} x {height} pixels")
    return clipped


# Text files.


def decode(data):
    """Decodes a file in UTF-8, with or without a byte order mark."""
    # Coordinates are plain ASCII, so a transcription in another encoding does no harm.
    return data.decode("utf-8-sig", errors="replace")


def numbered_lines(text, name):
    """Yields `(where, line)` for each line that is not blank; `where` names the line in error messages."""
    # str.splitlines would also break at characters that a transcription may contain.
    for number, line in enumerate(text.replace("\r\n", "\n").replace("\r", "\n").split("\n"), 1):
        if line.strip():
            yield f"{name}, line {number}", line.strip()


def leading_numbers(line, most=math.inf):
    """Splits a line into its leading numbers, at most `most`, and the text that follows them."""
    numbers, start = [], 0
    while len(numbers) < most and (field := FIELD.match(line, start)):
        numbers.append(float(field[1]))
        start = field.end()
    return tuple(numbers), line[start:].strip().strip('"')


def coordinate_lines(data, name, count, to_points):
    """Reads the words of a file that has `count` numbers and a transcription on each line."""
    words = []
    for where, line in numbered_lines(decode(data), name):
        numbers, text = leading_numbers(line, count)
        if len(numbers) < count:
            raise ValueError(f"{where}: {len(numbers)} numbers, expected {count}: {line[:80]!r}")
        words.append(Word(where, attempt(where, to_points, *numbers), text not in IGNORED))
    return words


def attempt(where, function, *args):
    """Returns `function(*args)`; prefixes the message of an error with `where`."""
    try:
        return function(*args)
    except RecursionError:
        raise ValueError(f"{where}: nested too deeply") from None
    except ValueError as error:
        raise ValueError(f"{where}: {error}") from None


def icdar2013(data, name):
    """Reads words in the form `x1 y1 x2 y2 "text"` (train) or `x1, y1, x2, y2, "text"` (test)."""
    return coordinate_lines(data, name, 4, corners)


def icdar2015(data, name):
    """Reads words in the form `x1,y1,x2,y2,x3,y3,x4,y4,text`."""
    return coordinate_lines(data, name, 8, polygon)


def td500(data, name):
    """Reads lines of text in the form `index difficulty x y w h angle`; difficult ones are to be ignored."""
    words = []
    for where, line in numbered_lines(decode(data), name):
        numbers, rest = leading_numbers(line)
        if len(numbers) != 7 or rest:
            raise ValueError(f"{where}: expected the 7 numbers index difficulty x y w h angle: {line[:80]!r}")
        words.append(Word(where, attempt(where, turned, *numbers[2:]), numbers[1] == 0))
    return words


TOTAL_TEXT = re.compile(
    r"x:\s*\[\[([^][]*)\]\]\s*,\s*y:\s*\[\[([^][]*)\]\]\s*,\s*ornt:\s*\[(.*?)\]\s*,\s*transcriptions:\s*\[(.*)\]\s*",
    re.DOTALL,
)


def total_text(data, name):
    """Reads words in the form `x: [[1 2 3]], y: [[4 5 6]], ornt: [u'c'], transcriptions: [u'text']`.

    A record may span several lines.
    """
    text = decode(data)
    starts = [match.start() for match in re.finditer(r"^[ \t]*x:", text, re.MULTILINE)]
    if text[: starts[0] if starts else None].strip():
        raise ValueError(f"{name}, line 1: expected x: [[...]], y: [[...]], ornt: [...], transcriptions: [...]")
    words = []
    for start, end in zip(starts, [*starts[1:], None], strict=True):
        where = f"{name}, line {text.count(chr(10), 0, start) + 1}"
        record = TOTAL_TEXT.fullmatch(text[start:end].strip())
        if not record:
            raise ValueError(f"{where}: expected x: [[...]], y: [[...]], ornt: [...], transcriptions: [...]")
        (xs, rest_x), (ys, rest_y) = leading_numbers(record[1].strip()), leading_numbers(record[2].strip())
        if rest_x or rest_y or len(xs) != len(ys):
            raise ValueError(f"{where}: {len(xs)} x and {len(ys)} y: expected numbers only, and as many x as y")
        points = attempt(where, polygon, *(value for point in zip(xs, ys, strict=True) for value in point))
        transcription = record[4].strip().removeprefix("u").strip("'\"")
        words.append(Word(where, points, transcription not in ("", *IGNORED)))
    return words


# XML and JSON.


class NoDoctype(ElementTree.TreeBuilder):
    """Refuses a DOCTYPE, because the entities it declares can grow without bounds or refer to other files."""

    def doctype(self, name, pubid, system):
        raise ValueError("a DOCTYPE is not allowed: remove that line")


def parse_xml(data, name):
    """Parses XML and returns its root element."""
    try:
        return ElementTree.fromstring(data, ElementTree.XMLParser(target=NoDoctype()))
    except (ElementTree.ParseError, LookupError) as error:
        raise ValueError(f"{name} cannot be read as XML ({error})") from None
    except ValueError as error:
        raise ValueError(f"{name}: {error}") from None


def svt(data, name):
    """Yields the name and the words of each image in an SVT file."""
    for number, image in enumerate(parse_xml(data, name).iter("image"), 1):
        image_name = (image.findtext("imageName") or "").strip()
        if not image_name:
            raise ValueError(f"{name}: image {number} has no imageName")
        words = []
        for index, box in enumerate(image.iter("taggedRectangle"), 1):
            where = f"{name}: {image_name}, taggedRectangle {index}"
            values = [attempt(where, number_of, box.get(key, "")) for key in ("x", "y", "width", "height")]
            words.append(Word(where, attempt(where, rectangle, *values), True))
        yield image_name, words


def number_of(value):
    """Converts a number or numeric string from JSON or XML to float; a number that is too large becomes infinity."""
    if isinstance(value, str) and re.fullmatch(NUMBER, value.strip()):
        return float(value)
    if isinstance(value, int | float) and not isinstance(value, bool):
        try:
            return float(value)
        except OverflowError:
            return math.inf
    raise ValueError(f"expected a number, got {str(value)[:40]!r}")


def numbers_of(values):
    """Converts a flat list of numbers, or a list of points, to a flat tuple of floats."""
    if not isinstance(values, list):
        raise ValueError(f"expected a list of numbers, got {str(values)[:40]!r}")
    return tuple(number_of(v) for value in values for v in (value if isinstance(value, list) else [value]))


def listed(to_points, values):
    """Returns the polygon of a list of numbers; every form except `polygon` takes four."""
    numbers = numbers_of(values)
    if to_points is not polygon and len(numbers) != 4:
        raise ValueError(f"{len(numbers)} coordinates, expected 4")
    return to_points(*numbers)


# Data sets of unknown format: read the boxes as they are, then infer what the numbers of the whole data set mean.


def box_rows(data, name):
    """Reads the boxes of one annotation file (.txt, .xml or .json), without interpreting their numbers."""
    if name.lower().endswith(".txt"):
        rows = []
        for where, line in numbered_lines(decode(data), name):
            numbers, text = leading_numbers(line)
            if len(numbers) < 4:
                raise ValueError(f"{where}: {len(numbers)} numbers, but a box has at least 4: {line[:80]!r}")
            rows.append(Row(where, numbers, None, text, text not in IGNORED))
        return rows
    found = xml_boxes(parse_xml(data, name)) if name.lower().endswith(".xml") else json_boxes(parse_json(data, name))
    return [Row(f"{name}, box {i}", *box, "", care) for i, (box, care) in enumerate(attempt(name, list, found), 1)]


def xml_boxes(root):
    """Yields `((numbers, kind), care)` for each element that is a box."""
    for parent in root.iter():
        around = leaves(parent)
        for element in parent:
            fields = leaves(element)
            points = [leaves(point) for point in element]
            if len(points) > 2 and all(point.keys() == {"x", "y"} for point in points):
                box = tuple(number_of(point[axis]) for point in points for axis in "xy"), "polygon"
            elif "points" in fields:
                box = tuple(map(float, re.findall(NUMBER, fields["points"]))), "polygon"
            else:
                box = named_box(fields)
            if box:
                yield box, cares(around | fields)


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
        listed = next((key for key in BOX_KEYS if isinstance(node.get(key), list)), None)
        if box := listed_box(node[listed]) if listed else named_box(node):
            yield box, cares(around)
            return
        # A list of plain values, such as an image's size, is a box only if its name says so.
        children = [value for value in node.values() if isinstance(value, dict) or is_nested(value)]
    elif isinstance(node, list):
        points = is_nested(node) and all(isinstance(v, list) and len(v) == 2 and not is_nested(v) for v in node)
        if node and (points or not is_nested(node)):
            yield listed_box(node), cares(around)
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
    numbers = numbers_of(values)
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
        return tuple(number_of(fields[f"{axis}{i}"]) for i in range(1, count) for axis in "xy"), "polygon"
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
            return tuple(number_of(fields[name]) for name in names), kind
    return None


def cares(fields):
    """Returns False if one of the usual marks says that a word is to be ignored."""
    marks = {key: str(value).strip().lower() for key, value in fields.items()}
    if any(marks.get(key) in ("1", "true", "yes") for key in ("ignore", "difficult", "illegible", "illegibility")):
        return False
    if marks.get("care") in ("0", "false", "no") or marks.get("legibility") == "illegible":
        return False
    return not any(marks.get(key) in IGNORED for key in ("text", "transcription", "tag", "label", "name"))


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
            words[index] = Word(row.where, points, row.care)
    return words, notes


def outcome(to_points, numbers, size, tolerance):
    """Returns the clipped polygon, or a str that says why there is none."""
    try:
        return fit(to_points(*numbers), size, tolerance)
    except ValueError as error:
        return str(error)


def named_readings(kind, rows):
    if kind == "corners":
        return {"left, top, right, bottom": corners}
    if kind == "rectangle":
        return {"left, top, width, height": rectangle}
    if kind == "polygon":
        return {"polygons": polygon}
    unit, scale = angle_unit(rows)
    return {f"centre, width, height, angle in {unit}": in_unit(centred, scale)}


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
        return numbers, {"polygons": polygon}
    for row in rows:
        if len(row.numbers) != usual and not (transcribed and len(row.numbers) > usual):
            raise ValueError(f"{row.where}: {len(row.numbers)} numbers, but most boxes have {usual}")
    numbers = [row.numbers[:usual] for row in rows]
    if usual == 4:
        return numbers, {"left, top, right, bottom": corners, "left, top, width, height": rectangle}
    if usual == 5:
        unit, scale = angle_unit(rows)
        return numbers, {
            f"centre, width, height, angle in {unit}": in_unit(centred, scale),
            f"left, top, width, height before turning, angle in {unit}": in_unit(turned, scale),
        }
    if usual < 8 or usual % 2:
        raise ValueError(f"{rows[0].where}: {usual} numbers, as in most boxes: expected 4, 5, or an even number from 8")
    return numbers, {f"{usual // 2} points": polygon}


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
