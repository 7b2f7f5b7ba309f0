"""Readers of scene-text data sets: images and the polygons around their text.

| set | reader | where to get it |
|---|---|---|
| ICDAR 2013, focused scene text | `read_icdar2013` | https://rrc.cvc.uab.es/?ch=2 |
| ICDAR 2015, incidental scene text | `read_icdar2015` | https://rrc.cvc.uab.es/?ch=4 |
| COCO-Text v2 | `read_coco_text` | https://bgshih.github.io/cocotext, images of COCO train2014 |
| TextOCR | `read_textocr` | https://textvqa.org/textocr/dataset |
| Total-Text | `read_total_text` | https://github.com/cs-chan/Total-Text-Dataset |
| SVT, Street View Text | `read_svt` | http://vision.ucsd.edu/~kai/svt |
| MSRA-TD500 | `read_td500` | http://www.iapr-tc11.org, MSRA Text Detection 500 Database |
| TextDis | `read_textdis` | from its authors |
| photographs with an `index.csv` of sources and licences | `read_photos` | |
| your own boxes in an `annotations.json` | `read_boxes_json` | |
| images without text | `read_negatives` | |
| images filled with text | `read_crops` | |

`path` is a folder with the unpacked data set, or one zip archive of it. `kgan.data.store.Store` lists the files that
are ignored. An image that cannot be read is skipped with a warning. An unreadable annotation or a missing image is an
error.

A box may reach `tolerance` pixels beyond the edge of its image, where it is clipped. The default of one pixel allows
for rounding. A box further outside is an error that names the file and line: raise `tolerance` for a data set that is
known to draw beyond the edge.
"""

import collections
import posixpath
import re
from pathlib import PurePosixPath

from kgan.data.source import check_split
from kgan.data.store import Store
from kgan.data.text import annotations as formats
from kgan.data.text.photos import read_photos
from kgan.data.text.records import (
    LICENCES,
    MAX_GROUND_TRUTH_BYTES,
    MAX_JSON_BYTES,
    TextImages,
    beside,
    only_file,
    picture_size,
    readable,
    split_of,
    text_image,
)
from kgan.data.text.textdis import read_textdis
from kgan.runtime.json_files import parse_json, structure


def read_icdar2013(path, split, tolerance=1.0):
    """Reads ICDAR 2013: upright boxes, `x1 y1 x2 y2 "text"`, with commas in the test split.

    Args:
        path: folder or zip archive with the images, such as `Challenge2_Training_Task12_Images/100.jpg`, and their
            ground truth of Task 1, such as `Challenge2_Training_Task1_GT/gt_100.txt`.
        split: `"train"` or `"test"`; selects the files below a folder with this word in its name.
        tolerance: pixels by which a box may reach beyond the edge of its image.

    Returns:
        `TextImages`, a list of `TextImage` sorted by name.

    Raises:
        ValueError: an annotation is malformed, or no image can be read; the error names the file.
        FileNotFoundError: an image, an annotation, or the whole data set is missing.

    Example:

    ```python
    import pathlib

    from PIL import Image

    from kgan.data.text.sets import read_icdar2013

    folder = pathlib.Path("icdar2013/train")
    folder.mkdir(parents=True)
    Image.new("RGB", (320, 240)).save(folder / "100.jpg")
    (folder / "gt_100.txt").write_text('158 128 311 181 "Footpath"')
    (image,) = read_icdar2013("icdar2013", "train")
    image.polygons[0]  # array([[158., 128.], [311., 128.], [311., 181.], [158., 181.]])
    image.open().size  # (320, 240)
    ```
    """
    return _read_pairs(path, split, "gt_{}.txt", formats.icdar2013, "icdar2013", tolerance)


def read_icdar2015(path, split, tolerance=1.0):
    """Reads ICDAR 2015: quadrilaterals. Words marked `###` get `care` False.

    Args:
        path: folder or zip archive with the images, such as `ch4_training_images/img_1.jpg`, and their ground truth,
            such as `ch4_training_localization_transcription_gt/gt_img_1.txt`.
        split, tolerance: as in `read_icdar2013`.

    Returns, Raises, Example: as `read_icdar2013`.
    """
    return _read_pairs(path, split, "gt_{}.txt", formats.icdar2015, "icdar2015", tolerance)


def read_total_text(path, split, tolerance=1.0):
    """Reads Total-Text: polygons along curved words. Words marked `#` get `care` False.

    Args:
        path: folder or zip archive with the images, `Images/Train/img1.jpg`, and the ground truth in its text format,
            `Train/poly_gt_img1.txt`.
        split, tolerance: as in `read_icdar2013`.

    Returns, Raises, Example: as `read_icdar2013`.
    """
    return _read_pairs(path, split, "poly_gt_{}.txt", formats.total_text, "total_text", tolerance)


def read_td500(path, split, tolerance=1.0):
    """Reads MSRA-TD500: rotated boxes around lines of text. Lines marked difficult get `care` False.

    Args:
        path: folder or zip archive with `train/IMG_0059.JPG`, `train/IMG_0059.gt` and so on.
        split, tolerance: as in `read_icdar2013`.

    Returns, Raises, Example: as `read_icdar2013`.
    """
    return _read_pairs(path, split, "{}.gt", formats.td500, "td500", tolerance)


def read_svt(path, split, tolerance=1.0):
    """Reads Street View Text: upright boxes around some of the words; most words have no box.

    Args:
        path: folder or zip archive with `train.xml`, `test.xml` and the images that they name, such as `img/00_00.jpg`.
        split, tolerance: as in `read_icdar2013`.

    Returns, Raises, Example: as `read_icdar2013`.
    """
    check_split(split, ("train", "test"))
    store = Store(path)
    xml = only_file(store, rf"{split}\.xml", f"{split}.xml")
    resolve = beside(store, xml)
    images = []
    for listed, words in formats.svt(store.read(xml, MAX_GROUND_TRUTH_BYTES), xml):
        name = resolve(listed)
        images.append(text_image(store, name, words, tolerance, picture_size(store, name)))
    return readable(store, images, LICENCES["svt"])


def read_coco_text(path, split, tolerance=1.0):
    """Reads COCO-Text: polygons, or boxes where there are no polygons. Illegible text gets `care` False.

    Annotated images without text are included, without polygons. The test split is refused: its annotation is not
    published, so its images would seem to have no text.

    Args:
        path: folder or zip archive with `cocotext.v2.json` and the images that it names, in any subfolder.
        split: `"train"` or `"val"`.
        tolerance: as in `read_icdar2013`.

    Returns, Raises, Example: as `read_icdar2013`.
    """
    return _read_coco(path, split, r"coco_?text.*\.json", "cocotext.v2.json", _coco_text_word, "coco_text", tolerance)


def read_textocr(path, split, tolerance=1.0):
    """Reads TextOCR: polygons. Text marked `.`, which is illegible or not in English, gets `care` False.

    Some photos of Open Images are stored rotated. If the stored size differs from the annotated one, a photo is rotated
    by its EXIF orientation, or by an entry `Rotation` (Open Images' degrees anticlockwise) that you add to its object
    in `imgs`, whichever gives the annotated size.

    Args:
        path: folder or zip archive with `TextOCR_0.1_train.json`, `TextOCR_0.1_val.json` and the images that they
            name, in any subfolder.
        split: `"train"` or `"val"`.
        tolerance: as in `read_icdar2013`.

    Returns, Raises, Example: as `read_icdar2013`.
    """
    expected = f"TextOCR_0.1_{split}.json"
    return _read_coco(path, split, rf"textocr.*_{split}\.json", expected, _textocr_word, "textocr", tolerance)


def read_boxes_json(path, tolerance=1.0, licence="not stated"):
    """Reads images with an `annotations.json`, a list with one object per image.

    An object has these entries:

    - `file`: path of the image relative to the `annotations.json`;
    - `width` and `height`: size in pixels, optional;
    - a box, or `words`: a list of objects with one box each and an optional `care`, false for a word to be ignored.

    A box is one entry: `quad` or `polygon` (x, y, x, y, ... or a list of points), `box_xywh`, or `box_xyxy`.

    Args:
        path: folder or zip archive with the `annotations.json`.
        tolerance: as in `read_icdar2013`.
        licence: str, the licence of the images.

    Returns:
        `TextImages` in the order of the list. An image whose `words` are empty has no text.

    Raises: as `read_icdar2013`.

    Example:

    ```python
    import json
    import pathlib

    from PIL import Image

    from kgan.data.text.sets import read_boxes_json

    pathlib.Path("plates").mkdir()
    Image.new("RGB", (320, 240)).save("plates/1.png")
    pathlib.Path("plates/annotations.json").write_text(json.dumps([{"file": "1.png", "box_xywh": [10, 20, 60, 15]}]))
    read_boxes_json("plates")[0].polygons[0]  # array([[10., 20.], [70., 20.], [70., 35.], [10., 35.]])
    ```
    """
    store = Store(path)
    source = only_file(store, r"annotations\.json", "annotations.json")
    resolve = beside(store, source)
    entries = parse_json(store.read(source, MAX_JSON_BYTES), source)
    if not isinstance(entries, list):
        raise ValueError(f"{source}: expected a list of objects, one per image")
    images = []
    for number, entry in enumerate(entries, 1):
        where = f"{source}, image {number}"
        with structure(where):
            name = resolve(entry["file"])
            boxes = entry["words"] if "words" in entry else [entry]
            size = (entry["height"], entry["width"]) if "width" in entry else picture_size(store, name)
            words = [_json_word(f"{where}, word {i}", box) for i, box in enumerate(boxes, 1)]
        images.append(text_image(store, name, words, tolerance, size))
    return readable(store, images, licence)


def read_negatives(path, licence="not stated"):
    """Reads images without text.

    Args:
        path: folder or zip archive; all images in it are read, at any depth.
        licence: str, the licence of the images.

    Returns:
        `TextImages` without polygons, sorted by name.

    Raises: as `read_icdar2013`.

    Example:

    ```python
    import pathlib

    from PIL import Image

    from kgan.data.text.sets import read_negatives

    pathlib.Path("negatives").mkdir()
    Image.new("RGB", (320, 240)).save("negatives/1.png")
    read_negatives("negatives", licence="CC0")[0].polygons  # []
    ```
    """
    store = Store(path)
    return readable(
        store, [text_image(store, name, [], 0, picture_size(store, name)) for name in store.pictures()], licence
    )


def read_crops(path, licence="not stated"):
    """Reads images filled with text, such as words cropped from photos; the polygon is the whole image.

    Args, Returns: as `read_negatives`, but with one polygon per image.

    Raises: as `read_icdar2013`.
    """
    store = Store(path)
    images = []
    for name in store.pictures():
        size = picture_size(store, name)
        words = [formats.Word(name, formats.corners(0, 0, size[1], size[0]), True)] if size else []
        images.append(text_image(store, name, words, 0, size))
    return readable(store, images, licence)


def _read_pairs(path, split, truth_name, parse, kind, tolerance):
    """Reads a data set with one ground-truth file per image, named `truth_name.format(stem of the image)`."""
    check_split(split, ("train", "test"))
    store = Store(path)
    inside = [name for name in store.names if split_of(name) == split]
    truths = {}
    for name in inside:
        if re.fullmatch(re.escape(truth_name).replace(r"\{\}", ".+"), posixpath.basename(name)):
            if truths.setdefault(posixpath.basename(name), name) != name:
                raise ValueError(f"{path}: {name} and {truths[posixpath.basename(name)]} have the same name: keep one")
    images = []
    for name in store.pictures(inside, f" below a folder with {split!r} in its name"):
        truth = truths.pop(truth_name.format(PurePosixPath(name).stem), None)
        if not truth:
            raise FileNotFoundError(f"{path}: {name} has no ground truth {truth_name.format(PurePosixPath(name).stem)}")
        words = parse(store.read(truth, MAX_GROUND_TRUTH_BYTES), truth)
        images.append(text_image(store, name, words, tolerance, picture_size(store, name)))
    for truth in truths.values():
        raise FileNotFoundError(f"{path}: the image of {truth} is missing")
    return readable(store, images, LICENCES[kind])


def _read_coco(path, split, pattern, expected, to_word, kind, tolerance):
    """Reads a data set with one JSON file of `imgs`, `anns` and `imgToAnns`."""
    check_split(split, ("train", "val"))
    store = Store(path)
    source = only_file(store, pattern, expected)
    places = collections.defaultdict(list)
    for name in store.pictures():
        places[posixpath.basename(name)].append(name)
    data = parse_json(store.read(source, MAX_JSON_BYTES), source)
    images = []
    with structure(source):
        for key, info in data["imgs"].items():
            if info["set"] != split:
                continue
            found = places[posixpath.basename(info["file_name"])]
            if len(found) != 1:
                lack = "is missing" if not found else f"occurs more than once: {', '.join(found)}"
                raise FileNotFoundError(f"{path}: the image {info['file_name']} {lack}")
            words = [to_word(f"{source}, annotation {i}", data["anns"][str(i)]) for i in data["imgToAnns"].get(key, [])]
            size = (info["height"], info["width"])
            images.append(text_image(store, found[0], words, tolerance, size, info.get("Rotation") or 0))
    if not any(image.polygons for image in images):
        raise ValueError(f"{source} has no text in any image of {split!r}: use the file that annotates this split")
    return TextImages(images, LICENCES[kind])


def _coco_text_word(where, annotation):
    mask = annotation.get("mask") or []
    to_points, values = (formats.polygon, mask) if len(mask) >= 6 else (formats.rectangle, annotation["bbox"])
    points = formats.attempt(where, formats.listed, to_points, values)
    return formats.Word(where, points, annotation["legibility"] != "illegible")


def _textocr_word(where, annotation):
    points = formats.attempt(where, formats.listed, formats.polygon, annotation["points"])
    return formats.Word(where, points, annotation["utf8_string"] != ".")


BOXES = {
    "quad": formats.polygon,
    "polygon": formats.polygon,
    "box_xywh": formats.rectangle,
    "box_xyxy": formats.corners,
}


def _json_word(where, box):
    for key, to_points in BOXES.items():
        if key in box:
            return formats.Word(where, formats.attempt(where, formats.listed, to_points, box[key]), formats.cares(box))
    raise ValueError(f"{where}: expected one of {', '.join(BOXES)}")


# Readers of the published data sets, each called with a path and a split, under the names in `LICENCES`.
READERS = {
    "icdar2013": read_icdar2013,
    "icdar2015": read_icdar2015,
    "coco_text": read_coco_text,
    "textocr": read_textocr,
    "total_text": read_total_text,
    "svt": read_svt,
    "td500": read_td500,
    "textdis": read_textdis,
    "photos": read_photos,
}
