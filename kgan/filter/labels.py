"""Labels that people give to their own images, beside the rows of a run."""

import collections
import csv
import itertools
import os
import unicodedata
from typing import NamedTuple

import numpy as np

from kgan.runtime.inputs import ARCHIVES

NAMES = ("file", "path", "image", "name", "filename", "file_name")  # of the column of images; the other is one of these
LABELS = ("label", "text", "has_text", "decision")
YES, NO = (
    {"text", "yes", "true", "1"},
    {"no_text", "no text", "notext", "non-text", "non_text", "non text", "no", "false", "0"},
)


class Labelled(NamedTuple):
    """What a run found of labelled images.

    Args:
        text: bool `(n,)`, the labels of the images that were scored.
        scores: float64 `(n,)`.
        unscored: list of `(name, status)` of labelled images that could not be read.
        missing: list of names in the label file that no row has.
        shared: list of paths whose label fits other rows, too; nobody knows which of them is meant.
        unlabelled: list of paths of rows without a label.
    """

    text: np.ndarray
    scores: np.ndarray
    unscored: list
    missing: list
    shared: list
    unlabelled: list


def read_labels(path):
    """Reads a table with a column of images, one of `NAMES`, and one of labels, one of `LABELS`.

    Its cells are separated by commas, semicolons or tabs. A label is one of `YES` or `NO`.

    Returns:
        Dict from the name of an image to whether it has text.

    Raises:
        ValueError: the file is no such table, gives an image two labels, or all images the same one; the error names
            the line.
        OSError: the file cannot be read.
    """
    with open(path, newline="", encoding="utf-8-sig") as file:
        try:
            head = file.readline()  # not to be read again: the file may be a pipe
            # Excel writes semicolons where a comma is the decimal point.
            reader = csv.DictReader(itertools.chain([head], file), delimiter=max(",;\t", key=head.count))
            columns = {(name or "").strip().lower(): name for name in reader.fieldnames or ()}
            image, label = (next((columns[n] for n in names if n in columns), None) for names in (NAMES, LABELS))
            if image is None or label is None:
                expected = f"one of {', '.join(NAMES)}, and one of {', '.join(LABELS)}"
                raise ValueError(f"{path} has the columns {', '.join(columns) or 'none'}: expected {expected}")
            found = {}
            for row in reader:
                name, value = (row[image] or "").strip(), (row[label] or "").strip().lower()
                if not value and (not name or label == columns.get("decision")):
                    continue  # an empty row of a spreadsheet, or one of the filter's own without a decision
                if not name:
                    raise ValueError(f"{path}, line {reader.line_num}: the name of the image is missing")
                name = _plain(os.path.normpath(_plain(name)))
                if value not in YES | NO:
                    raise ValueError(f"{path}, line {reader.line_num}: expected text or no_text, got {row[label]!r}")
                if found.setdefault(name, value in YES) != (value in YES):
                    raise ValueError(f"{path}, line {reader.line_num}: {name} has two labels")
        except (UnicodeDecodeError, csv.Error) as error:
            raise ValueError(f"{path} is no CSV file in UTF-8: {error}") from None
    if len(set(found.values())) < 2:
        only = f"only labels of images {'with' if all(found.values()) else 'without'} text" if found else "no labels"
        raise ValueError(f"{path} has {only}: both kinds are needed")
    return found


def match(labels, rows, folders):
    """Finds the labels of rows.

    Args:
        labels: as from `read_labels`.
        rows: list of rows with `path`, `score` and `status`.
        folders: folders that names may be relative to, besides the working folder; the first that fits counts. Members
            of archives are named as in the rows, `photos.zip!a.jpg`, or by what is behind the exclamation mark.

    Returns:
        `Labelled`.
    """
    names = [_name(row["path"], labels, folders) for row in rows]
    paths = collections.defaultdict(set)
    for name, row in zip(names, rows, strict=True):
        paths[name].add(row["path"])
    text, scores, unscored, shared, unlabelled = [], [], [], [], []
    for name, row in zip(names, rows, strict=True):
        if name is None:
            unlabelled.append(row["path"])
        elif len(paths[name]) > 1:
            shared.append(row["path"])
        elif row["score"] is None:
            unscored.append((row["path"], row["status"]))
        else:
            text.append(labels[name])
            scores.append(row["score"])
    missing = [name for name in labels if name not in paths]
    return Labelled(np.array(text, bool), np.array(scores, "float64"), unscored, missing, shared, unlabelled)


def _name(path, labels, folders):
    """Returns the name in `labels` that is that of a path, or None."""
    full = os.path.abspath(path)
    archive, _, member = path.rpartition("!")
    names = [os.path.normpath(path), full, *(_relative(full, folder) for folder in folders)]
    names += [os.path.normpath(member)] * archive.lower().endswith(ARCHIVES)
    return next((name for name in map(_plain, filter(None, names)) if name in labels), None)


def _plain(name):
    """Returns a name with the accents and the slashes that all systems would give it."""
    return unicodedata.normalize("NFC", name).replace("\\", "/")


def _relative(path, folder):
    try:
        return os.path.relpath(path, folder)
    except ValueError:  # on another drive of Windows
        return None
