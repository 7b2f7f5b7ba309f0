"""Parsers of scene-text annotations: a file becomes polygons in pixels, or an error that names the line."""

import math
import re
import xml.etree.ElementTree as ElementTree
from typing import NamedTuple

import numpy as np

NUMBER = r"[-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?"
FIELD = re.compile(rf"({NUMBER})(?:\s*,\s*|\s+|$)")
# Transcriptions that mark a word to be ignored.
IGNORED = ("###", "#")


class Word(NamedTuple):
    """One annotated word: its place in the file, its polygon `(k, 2)`, and whether it counts (False: ignore it)."""

    where: str
    points: np.ndarray
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


def cares(fields):
    """Returns False if one of the usual marks says that a word is to be ignored."""
    marks = {key: str(value).strip().lower() for key, value in fields.items()}
    if any(marks.get(key) in ("1", "true", "yes") for key in ("ignore", "difficult", "illegible", "illegibility")):
        return False
    if marks.get("care") in ("0", "false", "no") or marks.get("legibility") == "illegible":
        return False
    return not any(marks.get(key) in IGNORED for key in ("text", "transcription", "tag", "label", "name"))
