"""Reader of photographs with an index: whether each holds text, from where it is, and under which terms."""

import collections
import csv
import hashlib
import io
import re

from kgan.data.source import check_split
from kgan.data.store import Store
from kgan.data.text import annotations as formats
from kgan.data.text.records import (
    LICENCES,
    MAX_GROUND_TRUTH_BYTES,
    MAX_JSON_BYTES,
    beside,
    only_file,
    picture_size,
    readable,
    text_image,
)
from kgan.runtime.json_files import parse_json, structure

COLUMNS = ("file", "source", "licence", "doubt", "has_text")
# Licences under which weights that were learned from a photograph may be passed on, as the words of their names begin.
FREE = (("cc0",), ("public", "domain"), ("cc", "by"), ("mit",), ("unsplash",), ("licence", "ouverte"), ("etalab",))
BOUND = {"sa", "nc", "nd", "sharealike", "noncommercial", "noderivatives"}
SPLITS = ("train", "validation", "test")
HELD = 5  # of so many groups, one is for validation


def read_photos(path, split, tolerance=1.0, free=False):
    """Reads photographs with an `index.csv`.

    `index.csv` has these columns, and others that are not read:

    - `file`: path of the photograph relative to the `index.csv`;
    - `source`: where it is from, such as the name of a collection;
    - `has_text`: `yes` or `no`;
    - `licence`, and `doubt`: what is not certain of it, or empty;
    - `group`, optional: a name that photographs of one place, thing or sender share;
    - `split`, optional: `train`, `validation` or `test`, for all photographs, in place of the splits described below.

    `boxes.json` is an object from a `file` to one with `quads`, a list of quadrilaterals around text, each a list of
    four points x, y. A photograph with text but without boxes has one polygon, the whole image, with `care` False: the
    text is somewhere in it. Photographs are taken as they are stored, whatever orientation their EXIF data say.

    Train and test share no source. In the order of how many of their photographs hold text, the sources go to the one
    and the other in turn. A fifth of the groups of the train sources, by a hash, are the validation split. So a source
    that is added may move others to another split; a column `split` keeps them where they are.

    Args:
        path: folder or zip archive with the `index.csv`, the `boxes.json` and the photographs.
        split: `"train"`, `"validation"` or `"test"`.
        tolerance: as in `kgan.data.text.sets.read_icdar2013`.
        free: whether to keep only photographs whose licence is one of `FREE` and not in doubt, so that weights learned
            from them can be passed on.

    Returns:
        `TextImages` in the order of the index.

    Raises:
        ValueError: the index or the boxes are malformed, or the split is empty; the error names the file.
        FileNotFoundError: a photograph, the index, or the boxes are missing.

    Example:

    ```python
    import json
    import pathlib

    from PIL import Image

    from kgan.data.text.photos import read_photos

    pathlib.Path("indexed").mkdir()
    Image.new("RGB", (320, 240)).save("indexed/1.png")
    pathlib.Path("indexed/index.csv").write_text("file,source,licence,doubt,has_text\\n1.png,me,CC0 1.0,,yes\\n")
    boxes = {"1.png": {"quads": [[[10, 20], [70, 20], [70, 35], [10, 35]]]}}
    pathlib.Path("indexed/boxes.json").write_text(json.dumps(boxes))
    read_photos("indexed", "train")[0].polygons[0]  # array([[10., 20.], [70., 20.], [70., 35.], [10., 35.]])
    ```
    """
    check_split(split, SPLITS)
    store = Store(path)
    index = only_file(store, r"index\.csv", "index.csv")
    resolve = beside(store, index)
    rows = _rows(store, index)
    parts = _splits(rows)
    source = only_file(store, r"boxes\.json", "boxes.json")
    boxes = parse_json(store.read(source, MAX_JSON_BYTES), source)
    with structure(source):
        if unknown := set(boxes.keys()) - {row["file"] for row in rows}:
            raise ValueError(f"{source} has boxes of {min(unknown)}, which {index} does not name")
    images = []
    for row in rows:
        if parts[row["file"]] != split or (free and (row["doubt"] or not is_free(row["licence"]))):
            continue
        name = resolve(row["file"])
        size = picture_size(store, name)
        words = []
        if size and row["has_text"] == "yes":
            with structure(source):
                quads = boxes.get(row["file"], {}).get("quads", [])
            for i, quad in enumerate(quads, 1):
                where = f"{source}, {row['file']}, box {i}"
                points = formats.attempt(where, formats.listed, formats.polygon, quad)
                words.append(formats.Word(where, points, True))
            words = words or [formats.Word(name, formats.corners(0, 0, size[1], size[0]), False)]
        images.append(text_image(store, name, words, tolerance, size, source=row["source"]))
    if not images:
        alone = "split" not in rows[0] and len({row["source"] for row in rows}) < 2
        few = "; sources go whole to train and test in turn, so that it needs two" if alone else ""
        raise ValueError(f"{index} has no {split} photographs{few}")
    return readable(store, images, LICENCES["photos"])


def is_free(licence):
    """Whether a licence is one of `FREE`, and not share-alike, non-commercial or without derivatives."""
    words = re.findall(r"[a-z0-9]+", licence.lower())
    return not BOUND & set(words) and any(tuple(words[: len(begin)]) == begin for begin in FREE)


def _splits(rows):
    """Returns the split of each photograph, `{file: split}`, given the rows of an index."""
    if "split" in rows[0]:
        return {row["file"]: row["split"] for row in rows}
    sources = split_sources(rows)
    parts = {row["file"]: sources[row["source"]] for row in rows}
    for row in rows:
        group = row.get("group") or row["file"]
        if parts[row["file"]] == "train" and hashlib.sha256(group.encode()).digest()[0] % HELD == 0:
            parts[row["file"]] = "validation"
    return parts


def split_sources(rows):
    """Returns the split of each source, `{source: "train" or "test"}`, given the rows of an index."""
    with_text = collections.Counter({row["source"]: 0 for row in rows})
    with_text.update(row["source"] for row in rows if row["has_text"] == "yes")
    order = sorted(with_text, key=lambda source: (-with_text[source], source))
    return {source: ("train", "test")[i % 2] for i, source in enumerate(order)}


def _rows(store, index):
    """Returns the rows of the index as dicts."""
    try:
        text = store.read(index, MAX_GROUND_TRUTH_BYTES).decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise ValueError(f"{index} is not UTF-8: {error}") from None
    try:
        return _checked(csv.DictReader(io.StringIO(text, newline="")), index)
    except csv.Error as error:
        raise ValueError(f"{index} is no CSV file: {error}") from None


def _checked(reader, index):
    missing = [name for name in COLUMNS if name not in (reader.fieldnames or ())]
    if missing:
        raise ValueError(f"{index} lacks the columns {', '.join(missing)}")
    rows = {}
    for row in reader:
        if None in row.values() or row["has_text"] not in ("yes", "no") or not row["file"] or not row["source"]:
            raise ValueError(f"{index}, line {reader.line_num}: expected a file, a source, and yes or no for has_text")
        if row.get("split", "train") not in SPLITS:
            raise ValueError(f"{index}, line {reader.line_num}: split is {row['split']!r}, not {', '.join(SPLITS)}")
        if rows.setdefault(row["file"], row) is not row:
            raise ValueError(f"{index}, line {reader.line_num}: {row['file']} is there already")
    if not rows:
        raise ValueError(f"{index} names no photographs")
    return list(rows.values())
