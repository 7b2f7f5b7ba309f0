"""Image files with several labels each, and the table that gives them: `multilabel:PATH`."""

import collections
import csv
import io
import unicodedata
import warnings
from pathlib import PurePosixPath

import numpy as np

from kgan.data.files import SPLITS, Files, decode
from kgan.data.source import check_split, random_split, random_subset
from kgan.data.store import Store, none_readable

MAX_TABLE_BYTES = 2**28


class MultiLabelFiles(Files):
    """Image files with labels `(n, classes)`, stretched to squares: a cut could lose what a label names.

    A broken file is left out with its labels.

    Args:
        split: what warnings call these files.
        boxes: for each label, the part of the file that it describes, as in `decode`; None for whole files.
    """

    def __init__(self, *args, split, boxes=None):
        super().__init__(*args)
        self.split = split
        self.boxes = boxes

    def arrays(self):
        self._say_what_is_odd()
        return super().arrays()

    def batches(self, batch_size, seed):
        self._say_what_is_odd()
        return super().batches(batch_size, seed)

    def _say_what_is_odd(self):
        path, split = self.store.path, self.split
        if without := int((self.labels < 1).all(axis=1).sum()):
            warnings.warn(f"{path}: {without} of {len(self.labels)} {split} images have no label", stacklevel=4)
        some = (self.labels == 1).any(axis=0)
        if absent := [name for name, found in zip(self.class_names, some, strict=True) if not found]:
            named = ", ".join(absent[:3]) + (f" and {len(absent) - 3} more" if len(absent) > 3 else "")
            warnings.warn(f"{path}: no {split} image has a label of {named}", stacklevel=4)

    def _decoded(self, index):
        box = None if self.boxes is None else self.boxes[index]
        return self.store.attempt(self.files[index], decode, self.image_size, self.channels, None, True, box)

    def keep(self, readable):
        super().keep(readable)
        if self.boxes is not None:
            self.boxes = [box for box, ok in zip(self.boxes, readable, strict=True) if ok]

    def readable(self, indices):
        decoded = {index: self._decoded(index) for index in indices}
        kept = np.array([index for index in indices if decoded[index] is not None], int)
        if not len(kept):
            raise none_readable(self.store.path, len(indices))
        return np.stack([decoded[index] for index in kept]) / np.float32(127.5) - 1, kept

    def images(self, indices):
        images, kept = self.readable(indices)
        if len(kept) < len(indices):
            raise ValueError(f"{self.store.path}: {len(indices) - len(kept)} of these files cannot be read")
        return images


def select(store, split, files, labels, class_names, image_size, channels, count, seed, boxes=None):
    """Returns the `MultiLabelFiles` of one split, or of a random `count` of them."""
    labels = np.asarray(labels, "int32").reshape(len(files), len(class_names))
    kept = random_subset(len(files), count, seed)
    files, labels = [files[i] for i in kept], labels[kept]
    boxes = boxes and [boxes[i] for i in kept]
    options = image_size or 64, channels or 3
    return MultiLabelFiles(store, files, labels, class_names, *options, split=split, boxes=boxes)


def open_multilabel(path, split, image_size, channels, count, seed):
    """Opens a folder or zip archive of images with one CSV file; 64 x 64 RGB by default.

    The first column of the CSV is `file`: paths relative to the CSV, or to the folder `images` beside it. Then either a
    column for each class, with 1, 0 and -1 or nothing for unspecified, or the column `labels`, with names separated by
    semicolons. A column `split` says train, validation or test; without it, a fifth is the test split. Where no row
    says test, validation is the test split.
    """
    store = Store(path)
    names, labels, splits, class_names = read_table(store)
    if splits is None:
        rows = random_split(len(names), split, seed)
    else:
        split = SPLITS.get(split.lower(), split)
        if split == "test" and "test" not in splits and "validation" in splits:
            split = "validation"
        check_split(split, tuple(dict.fromkeys(splits)))
        rows = np.flatnonzero(np.array(splits) == split)
    if not len(rows):
        raise ValueError(f"{path}: the {split} split has no images")
    return select(store, split, [names[i] for i in rows], labels[rows], class_names, image_size, channels, count, seed)


def read_table(store):
    """Reads the CSV of a store and compares it with its images.

    Returns:
        `(names, labels, splits, class_names)`: names of the files in the store; int32 `(n, classes)` of 1, 0 and -1; a
        list of the split of each file, or None; and list of str.

    Raises:
        ValueError: there is no CSV or more than one, it is malformed, or it does not name the images of the store.
    """
    tables = [name for name in store.names if name.lower().endswith(".csv")]
    if len(tables) != 1:
        found = ", ".join(tables[:3]) or "none"
        raise ValueError(f"{store.path}: one CSV file with a column 'file' is needed, found {found}")
    try:
        text = store.read(tables[0], MAX_TABLE_BYTES).decode("utf-8-sig")
    except UnicodeDecodeError:
        raise ValueError(f"{store.path}: {tables[0]} is not in UTF-8") from None
    place = f"{store.path}: {tables[0]}"
    reader = csv.reader(io.StringIO(text, newline=""))
    try:
        header, *rows = [(reader.line_num, row) for row in reader] or [(1, [])]
    except csv.Error as error:  # such as a cell of more than 131,072 characters, because a quote has no end
        raise ValueError(f"{place}, line {reader.line_num}: {error}") from None
    header, rows = [cell.strip() for cell in header[1]], [(line, row) for line, row in rows if any(row)]
    if not header or header[0].lower() != "file":
        raise ValueError(f"{place}: the first column must be called 'file', not {header[:1] and header[0]!r}")
    if not rows:
        raise ValueError(f"{place} names no file")
    for line, row in rows:
        if len(row) != len(header):
            raise ValueError(f"{place}, line {line}: {len(row)} cells, but {len(header)} columns")

    columns = {name: [row[i].strip() for _, row in rows] for i, name in enumerate(header)}
    if len(columns) < len(header) or "" in columns:
        twice = sorted({name for name in header if header.count(name) > 1})
        raise ValueError(f"{place}: column names are empty or repeated: {', '.join(map(repr, twice)) or repr('')}")
    files = columns.pop(header[0])
    splits = columns.pop("split", None)
    if splits is not None:
        splits = [SPLITS.get(name.lower()) for name in splits]
        if None in splits:
            line, row = rows[splits.index(None)]
            raise ValueError(f"{place}, line {line}: split {row[header.index('split')]!r}: pass train or test")
    lines = [line for line, _ in rows]
    if list(columns) == ["labels"]:
        labels, class_names = _from_names(columns["labels"])
    else:
        labels, class_names = _from_columns(columns, lines, place)
    if not class_names:
        raise ValueError(f"{place} names no class")
    check_class_names(class_names, place)
    return _match(store, tables[0], files, lines, place), labels, splits, class_names


def check_class_names(class_names, place):
    """Raises ValueError unless all are different texts, without semicolons, which separate them in files of labels."""
    if wrong := [name for name in class_names if not isinstance(name, str) or not name.strip() or ";" in name]:
        raise ValueError(f"{place}: {wrong[0]!r} is no name of a class: pass a text without semicolons")
    name, count = collections.Counter(class_names).most_common(1)[0]
    if count > 1:
        raise ValueError(f"{place}: the class {name!r} occurs twice")


def _from_names(cells):
    found = [{name.strip() for name in cell.split(";")} - {""} for cell in cells]
    class_names = sorted(set().union(*found))
    return np.array([[name in names for name in class_names] for names in found], "int32"), class_names


def _from_columns(columns, lines, place):
    values = {"": -1}
    labels = np.empty((len(lines), len(columns)), "int32")
    for c, (name, cells) in enumerate(columns.items()):
        for i, cell in enumerate(cells):
            if cell not in values:
                try:
                    values[cell] = {1.0: 1, 0.0: 0, -1.0: -1}[float(cell)]  # pandas writes 1.0 beside empty cells
                except (ValueError, KeyError):
                    message = f"{place}, line {lines[i]}, column {name!r}: {cell!r} is not 1, 0, -1 or empty"
                    raise ValueError(message) from None
            labels[i, c] = values[cell]
    return labels, list(columns)


def _match(store, table, files, lines, place):
    """Returns the names in the store of the files that a table names; raises ValueError unless they are all it has."""
    root = PurePosixPath(table).parent
    if any(PurePosixPath(name).is_relative_to(root / "images") for name in store.names):
        root /= "images"
    # macOS writes an accent as a character of its own.
    composed = {unicodedata.normalize("NFC", name): name for name in store.names}
    present = set(store.names)
    names = [(root / file.replace("\\", "/")).as_posix() for file in files]
    names = [name if name in present else composed.get(unicodedata.normalize("NFC", name), name) for name in names]
    first = {}
    for line, name in zip(lines, names, strict=True):
        if name in first:
            raise ValueError(f"{place}: {name} twice, in lines {first[name]} and {line}")
        first[name] = line
    missing = [name for name in names if name not in present]
    inside = [name for name in store.names if PurePosixPath(name).is_relative_to(root) and name not in first]
    unnamed = [name for name in inside if name != table and store.is_picture(name)]
    for what, some in (("not there", missing), ("not in the CSV", unnamed)):
        if some:
            more = f" and {len(some) - 3} more" if len(some) > 3 else ""
            raise ValueError(f"{place}: {', '.join(some[:3])}{more}: {what}")
    return names
