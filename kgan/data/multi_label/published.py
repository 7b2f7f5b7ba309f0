"""Published sets with several labels in an image, in the layout in which their authors give them out."""

import collections
import posixpath
import re
import warnings
from pathlib import PurePosixPath

import numpy as np

from kgan.data.files import SPLITS
from kgan.data.multi_label.files import check_class_names, select
from kgan.data.source import check_split, random_split
from kgan.data.store import Store
from kgan.runtime.json_files import parse_json, structure

MAX_BYTES = 2**30  # instances_train2017.json of COCO has 448 MB


def open_coco(path, split, image_size, channels, count, seed):
    """Opens COCO: images and their `instances_*.json`, in a folder or zip archive; 64 x 64 RGB by default.

    The labels are the categories that have an instance in the image, in the order of their numbers. The test split is
    that of `instances_val*.json`, since the labels of COCO's test images are not published. A single file that names no
    split is split 80 / 20.
    """
    store = Store(path)
    tables = collections.defaultdict(list)
    for name in store.names:
        if found := re.fullmatch(r"instances_?([a-z]*)\d*\.json", posixpath.basename(name).lower()):
            tables[SPLITS.get(found[1], found[1])].append(name)
    whole = list(tables) == [""]
    split = SPLITS.get(split.lower(), split)
    part = "validation" if split == "test" and split not in tables else split
    of_part = tables["" if whole else part]
    if len(of_part) != 1:
        found = ", ".join(name for names in tables.values() for name in names) or "none"
        raise ValueError(f"{path}: one instances_*.json of the {part} split is needed, found {found}")
    files, labels, class_names = read_instances(store, of_part[0])
    rows = random_split(len(files), split, seed) if whole else np.arange(len(files))
    return select(store, split, [files[i] for i in rows], labels[rows], class_names, image_size, channels, count, seed)


def read_instances(store, table):
    """Reads the names, labels and class names of a COCO file of instances.

    Raises:
        ValueError: the file is malformed, names an image or a class twice, or names an image that is not there.
    """
    place = f"{store.path}: {table}"
    # The outlines of the things take nine tenths of the memory.
    data = parse_json(store.read(table, MAX_BYTES), place, _without_outlines)
    with structure(place):
        categories = sorted((entry["id"], entry["name"]) for entry in data["categories"])
        column = {key: i for i, (key, _) in enumerate(categories)}
        row = {entry["id"]: i for i, entry in enumerate(data["images"])}
        named = [entry["file_name"] for entry in data["images"]]
        labels = np.zeros((len(named), len(categories)), "int32")
        for entry in data["annotations"]:
            labels[row[entry["image_id"]], column[entry["category_id"]]] = 1
        class_names = [name for _, name in categories]
        if not named or not class_names:
            raise ValueError(f"{place} names no image or no category")
        check_class_names(class_names, place)
        if len(row) < len(named) or len(set(named)) < len(named) or len(column) < len(categories):
            raise ValueError(f"{place} names an image or a category twice")
        split = PurePosixPath(table).stem.rpartition("_")[2]  # such as train2014, also the name of the images' folder
        files = locate(store, named, split)
    check_there(place, named, files)
    return files, labels, class_names


def _without_outlines(entry):
    entry.pop("segmentation", None)
    return entry


def locate(store, named, folder=""):
    """Finds files in a store by the ends of their paths.

    Args:
        named: relative paths, of which the store may hold the files in any folder.
        folder: a folder to prefer where several files fit.

    Returns:
        For each the name in the store, or None if there is no such file.
    """
    ends = collections.defaultdict(list)
    for name in store.names:
        ends[posixpath.basename(name)].append(name)
    found = []
    for name in named:
        fitting = [f"/{file}" for file in ends[posixpath.basename(name)] if f"/{file}".endswith(f"/{name}")]
        preferred = [file for file in fitting if folder in PurePosixPath(file).parts] or fitting
        if len(preferred) > 1:
            raise ValueError(f"{store.path}: {name} occurs more than once: {preferred[0][1:]} and {preferred[1][1:]}")
        found.append(preferred[0][1:] if preferred else None)
    return found


def check_there(place, named, files):
    """Raises ValueError, with the first three names, if `locate` did not find all files."""
    if missing := list(dict.fromkeys(name for name, file in zip(named, files, strict=True) if file is None)):
        more = f" and {len(missing) - 3} more" if len(missing) > 3 else ""
        raise ValueError(f"{place}: {', '.join(missing[:3])}{more}: not there")


def open_wider_attribute(path, split, image_size, channels, count, seed):
    """Opens WIDER Attribute: people, cut out by their boxes, with 14 attributes; 64 x 64 RGB by default.

    Training is on the 28,340 people of `wider_attribute_trainval.json`, testing on the 29,177 of
    `wider_attribute_test.json`. Where the file says 0, an attribute is unspecified: -1 here. Where it says -1, the
    person does not have it: 0 here.
    """
    check_split(split, ("train", "test"))
    store = Store(path)
    ending = "trainval" if split == "train" else "test"
    tables = [name for name in store.names if posixpath.basename(name) == f"wider_attribute_{ending}.json"]
    if len(tables) != 1:
        raise ValueError(f"{path}: one wider_attribute_{ending}.json is needed, found {', '.join(tables) or 'none'}")
    place = f"{path}: {tables[0]}"
    data = parse_json(store.read(tables[0], MAX_BYTES), place)
    with structure(place):
        class_names = [data["attribute_id_map"][str(i)] for i in range(len(data["attribute_id_map"]))]
        check_class_names(class_names, place)
        people = [(image["file_name"], person) for image in data["images"] for person in image["targets"]]
        named = [name for name, _ in people]
        boxes = [tuple(map(float, person["bbox"])) for _, person in people]
        labels = [person["attribute"] for _, person in people]
        if {len(row) for row in labels} - {len(class_names)} or {len(box) for box in boxes} - {4}:
            raise ValueError(f"{place}: a person needs a bbox of 4 numbers and {len(class_names)} attributes")
        files = locate(store, named)
    labels = np.array(labels)
    if not len(labels) or not np.isin(labels, (1, 0, -1)).all():
        raise ValueError(f"{place}: attributes must be 1, 0 (unspecified) or -1, of at least one person")
    check_there(place, named, files)
    labels = np.select([labels == 1, labels == 0], [1, -1], 0)
    return select(store, split, files, labels, class_names, image_size, channels, count, seed, boxes)


def open_nus_wide(path, split, image_size, channels, count, seed):
    """Opens NUS-WIDE: `Concepts81.txt`, image lists, and a file of labels for each concept; 64 x 64 RGB by default.

    Many of its photographs are no longer to be had, and a fifth have none of the 81 concepts. Both are left out, with a
    warning that counts them.
    """
    check_split(split, ("train", "test"))
    store = Store(path)
    part = split.capitalize()

    def lines(name):
        fitting = [file for file in store.names if posixpath.basename(file) == name]
        if len(fitting) != 1:
            raise ValueError(f"{path}: one {name} is needed, found {', '.join(fitting) or 'none'}")
        return store.read(fitting[0], MAX_BYTES).decode("utf-8", "replace").split("\n")

    class_names = [line.strip() for line in lines("Concepts81.txt") if line.strip()]
    check_class_names(class_names, f"{path}: Concepts81.txt")
    # Backslashes, and names such as actor\0001_2124494179.jpg.
    named = [line.strip().replace("\\", "/") for line in lines(f"{part}Imagelist.txt") if line.strip()]
    labels = np.zeros((len(named), len(class_names)), "int32")
    for c, concept in enumerate(class_names):
        name = f"Labels_{concept}_{part}.txt"
        column = [line.strip() for line in lines(name) if line.strip()]
        if len(column) != len(named) or set(column) - {"0", "1"}:
            raise ValueError(f"{path}: {name}: {len(named)} lines of 0 or 1 are needed, as many as images")
        labels[:, c] = np.array(column) == "1"
    files = locate(store, named)
    missing, untagged = np.array([file is None for file in files]), (labels == 0).all(axis=1)
    kept = ~missing & ~untagged
    if not kept.any():
        raise ValueError(f"{path}: none of the {len(named)} {split} images is there and has a label")
    if not kept.all():
        counts = f"{missing.sum()} are not there, {(untagged & ~missing).sum()} more have no label"
        warnings.warn(f"{path}: {kept.sum()} of {len(named)} {split} images: {counts}", stacklevel=2)
    files = [files[i] for i in np.flatnonzero(kept)]
    return select(store, split, files, labels[kept], class_names, image_size, channels, count, seed)
