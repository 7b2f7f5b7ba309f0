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
import functools
import posixpath
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import PurePosixPath

from kgan.data.files import open_image, read_image
from kgan.data.json_files import parse_json, structure
from kgan.data.source import check_split
from kgan.data.store import SUFFIXES, Store, none_readable
from kgan.data.text import annotations as formats
from kgan.data.text import unknown_format
from kgan.runtime.pixels import UPRIGHT, orientation

MAX_GROUND_TRUTH_BYTES = 2**20
# TextOCR's training annotation alone has 272 MB.
MAX_JSON_BYTES = 2**30

LICENCES = {
    "icdar2013": "not stated",
    "icdar2015": "CC BY 4.0",
    "coco_text": "CC BY 4.0 (annotations); the photos under the terms of COCO and Flickr",
    "textocr": "CC BY 4.0",
    "total_text": "BSD-3-Clause",
    "svt": "not stated",
    "td500": "not stated, research use",
    "textdis": "not stated",
}


@dataclass(frozen=True, eq=False)
class TextImage:
    """An image and the text in it.

    Args:
        name: path of the image in the folder or archive.
        open: function without arguments that decodes the image to a `PIL.Image`. It raises `UnreadableImage` if the
            file cannot be decoded, and ValueError if its size differs from the annotated one.
        size: `(height, width)` of that image in pixels.
        polygons: list of float64 `(k, 2)`, x and y in pixels of that image; empty if there is no text.
        care: list of bool, one per polygon; False if the annotation says to ignore it (illegible, `###`).
    """

    name: str
    open: Callable
    size: tuple
    polygons: list
    care: list


class UnreadableImage(ValueError):
    """An image file is broken, too large, or in an unsupported format."""


class TextImages(list):
    """A list of `TextImage` with its licence.

    Args:
        images: iterable of `TextImage`.
        licence: str, the licence of the data set, or `"not stated"`.
        notes: list of str, what a reader inferred about a data set whose format is not published.
    """

    def __init__(self, images, licence, notes=()):
        super().__init__(images)
        self.licence = licence
        self.notes = list(notes)


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
    return _read_pairs(path, split, "gt_{}.txt", formats.icdar2013, LICENCES["icdar2013"], tolerance)


def read_icdar2015(path, split, tolerance=1.0):
    """Reads ICDAR 2015: quadrilaterals. Words marked `###` get `care` False.

    Args:
        path: folder or zip archive with the images, such as `ch4_training_images/img_1.jpg`, and their ground truth,
            such as `ch4_training_localization_transcription_gt/gt_img_1.txt`.
        split, tolerance: as in `read_icdar2013`.

    Returns, Raises, Example: as `read_icdar2013`.
    """
    return _read_pairs(path, split, "gt_{}.txt", formats.icdar2015, LICENCES["icdar2015"], tolerance)


def read_total_text(path, split, tolerance=1.0):
    """Reads Total-Text: polygons along curved words. Words marked `#` get `care` False.

    Args:
        path: folder or zip archive with the images, `Images/Train/img1.jpg`, and the ground truth in its text format,
            `Train/poly_gt_img1.txt`.
        split, tolerance: as in `read_icdar2013`.

    Returns, Raises, Example: as `read_icdar2013`.
    """
    return _read_pairs(path, split, "poly_gt_{}.txt", formats.total_text, LICENCES["total_text"], tolerance)


def read_td500(path, split, tolerance=1.0):
    """Reads MSRA-TD500: rotated boxes around lines of text. Lines marked difficult get `care` False.

    Args:
        path: folder or zip archive with `train/IMG_0059.JPG`, `train/IMG_0059.gt` and so on.
        split, tolerance: as in `read_icdar2013`.

    Returns, Raises, Example: as `read_icdar2013`.
    """
    return _read_pairs(path, split, "{}.gt", formats.td500, LICENCES["td500"], tolerance)


def read_svt(path, split, tolerance=1.0):
    """Reads Street View Text: upright boxes around some of the words; most words have no box.

    Args:
        path: folder or zip archive with `train.xml`, `test.xml` and the images that they name, such as `img/00_00.jpg`.
        split, tolerance: as in `read_icdar2013`.

    Returns, Raises, Example: as `read_icdar2013`.
    """
    check_split(split, ("train", "test"))
    store = Store(path)
    xml = _only(store, rf"{split}\.xml", f"{split}.xml")
    beside = _beside(store, xml)
    images = []
    for listed, words in formats.svt(store.read(xml, MAX_GROUND_TRUTH_BYTES), xml):
        name = beside(listed)
        images.append(_image(store, name, words, tolerance, _size(store, name)))
    return _readable(store, images, LICENCES["svt"])


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


def read_textdis(path, split, tolerance=1.0):
    """Reads TextDis: images with text and boxes around it, and images without text.

    The format of the boxes is not published, so it is inferred. An annotation is a `.txt` file with one box per line,
    an `.xml` file or a `.json` file. Numbers are separated by commas, spaces or tabs; a transcription may follow. A box
    has one of these forms:

    - left, top, right, bottom;
    - left, top, width, height;
    - four points, or a polygon;
    - the five numbers of a rotated box, with the angle in radians or degrees.

    One form is chosen for the whole data set, train and test: the one in which all boxes lie inside their images. If
    the first two forms both fit, the first is chosen. If the first two of five numbers may be the centre or a corner,
    the centre is chosen. `notes` reports the choice.

    Args:
        path: folder or zip archive. A folder with "train" or "test" in its name holds one folder of images with text
            (`text`, `TextImages`, `positive`, ...) and one of images without (`non-text`, `nontext`, `no_text`,
            `negative`, ...); case is ignored. The split may also lie inside the class (`text/train`) or be part of its
            name (`train_text`). Each image with text has one annotation file anywhere in the same split, such as in
            `train/gt`. It has the name of the image, with an optional prefix `gt_` or suffix `_gt`. Without class
            folders, the images that have an annotation are those with text.
        split: `"train"` or `"test"`.
        tolerance: as in `read_icdar2013`.

    Returns:
        `TextImages`; its `notes` say how the boxes were read.

    Raises: as `read_icdar2013`.

    Example:

    ```python
    import pathlib

    from PIL import Image

    from kgan.data.text.sets import read_textdis

    for name in ("train/text/1.png", "train/non-text/2.png"):
        pathlib.Path("TextDis", name).parent.mkdir(parents=True)
        Image.new("RGB", (320, 240)).save(f"TextDis/{name}")
    pathlib.Path("TextDis/train/text/1.txt").write_text("10,20,310,70,some text")
    images = read_textdis("TextDis", "train")
    images.notes  # ["1 boxes read as left, top, right, bottom; 1 of them do not fit as left, top, width, height"]
    ```
    """
    check_split(split, ("train", "test"))
    store = Store(path)
    rows, sizes, owners, found, size_of = [], [], [], {}, {}
    for part in ("train", "test"):
        found[part] = _textdis_split(store, part)
        # Both splits are read, so that both get the same reading of the numbers.
        for image, truth in found[part][0].items():
            new = unknown_format.box_rows(store.read(truth, MAX_GROUND_TRUTH_BYTES), truth)
            if not new:
                raise ValueError(f"{truth}: no box found, but {image} is an image with text")
            size_of[image] = _size(store, image)
            if size_of[image]:
                rows += new
                sizes += [size_of[image]] * len(new)
                owners += [image] * len(new)
    if not found[split][0] and not found[split][1]:
        raise FileNotFoundError(
            f"{path} has no {split} images: expected them below a folder with {split!r} in its name, in a folder such "
            "as text or TextImages, and in one such as non-text, nontext or no_text"
        )
    words, notes = unknown_format.infer(rows, sizes, tolerance)
    of_image = collections.defaultdict(list)
    for word, owner in zip(words, owners, strict=True):
        of_image[owner].append(word)
    texts, others = found[split]
    size_of |= {name: _size(store, name) for name in others}
    images = [_image(store, name, of_image[name], tolerance, size_of[name]) for name in sorted([*texts, *others])]
    return _readable(store, images, LICENCES["textdis"], notes)


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
    source = _only(store, r"annotations\.json", "annotations.json")
    beside = _beside(store, source)
    entries = parse_json(store.read(source, MAX_JSON_BYTES), source)
    if not isinstance(entries, list):
        raise ValueError(f"{source}: expected a list of objects, one per image")
    images = []
    for number, entry in enumerate(entries, 1):
        where = f"{source}, image {number}"
        with structure(where):
            name = beside(entry["file"])
            boxes = entry["words"] if "words" in entry else [entry]
            size = (entry["height"], entry["width"]) if "width" in entry else _size(store, name)
            words = [_json_word(f"{where}, word {i}", box) for i, box in enumerate(boxes, 1)]
        images.append(_image(store, name, words, tolerance, size))
    return _readable(store, images, licence)


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
    return _readable(store, [_image(store, name, [], 0, _size(store, name)) for name in store.pictures()], licence)


def read_crops(path, licence="not stated"):
    """Reads images filled with text, such as words cropped from photos; the polygon is the whole image.

    Args, Returns: as `read_negatives`, but with one polygon per image.

    Raises: as `read_icdar2013`.
    """
    store = Store(path)
    images = []
    for name in store.pictures():
        size = _size(store, name)
        words = [formats.Word(name, formats.corners(0, 0, size[1], size[0]), True)] if size else []
        images.append(_image(store, name, words, 0, size))
    return _readable(store, images, licence)


def _read_pairs(path, split, truth_name, parse, licence, tolerance):
    """Reads a data set with one ground-truth file per image, named `truth_name.format(stem of the image)`."""
    check_split(split, ("train", "test"))
    store = Store(path)
    inside = [name for name in store.names if _split_of(name) == split]
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
        images.append(_image(store, name, words, tolerance, _size(store, name)))
    for truth in truths.values():
        raise FileNotFoundError(f"{path}: the image of {truth} is missing")
    return _readable(store, images, licence)


def _read_coco(path, split, pattern, expected, to_word, licence, tolerance):
    """Reads a data set with one JSON file of `imgs`, `anns` and `imgToAnns`."""
    check_split(split, ("train", "val"))
    store = Store(path)
    source = _only(store, pattern, expected)
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
            images.append(_image(store, found[0], words, tolerance, size, info.get("Rotation") or 0))
    if not any(image.polygons for image in images):
        raise ValueError(f"{source} has no text in any image of {split!r}: use the file that annotates this split")
    return TextImages(images, LICENCES[licence])


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


def _split_of(name):
    """Returns the split that the names of a file's folders give, the innermost first, or None."""
    for folder in reversed(PurePosixPath(name).parent.parts):
        found = [split for split in ("train", "test") if split in folder.lower()]
        if len(found) == 1:
            return found[0]
    return None


CLASSES = {
    **dict.fromkeys(("text", "texts", "withtext", "positive", "positives", "pos"), "text"),
    **dict.fromkeys(("nontext", "nontexts", "notext", "withouttext", "negative", "negatives", "neg"), "non-text"),
}


def _class_of(name):
    """Returns `"text"` or `"non-text"` by the names of a file's folders, the innermost first, or None."""
    for folder in reversed(PurePosixPath(name).parent.parts):
        word = re.sub(r"[^a-z]", "", folder.lower())
        word = re.sub("train(ing)?|test(ing)?|images?|imgs?|pictures?|photos?|jpe?g", "", word)
        if word in CLASSES:
            return CLASSES[word]
    return None


def _textdis_split(store, split):
    """Sorts the files of a split into images with and without text.

    Returns:
        `(texts, others)`: dict from the name of each image with text to that of its annotation, and list of the names
        of images without text.
    """
    pictures = {"text": [], "non-text": [], None: []}
    truths = {}
    for name in store.names:
        if _split_of(name) != split:
            continue
        suffix = PurePosixPath(name).suffix.lower()
        if suffix in SUFFIXES:
            pictures[_class_of(name)].append(name)
        elif suffix in (".txt", ".xml", ".json") and not posixpath.basename(name).lower().startswith("readme"):
            stem = _image_stem(name)
            if stem in truths:
                raise ValueError(f"{store.path}: {name} and {truths[stem]} are for the same image: keep one")
            truths[stem] = name
    if not pictures["text"] and not pictures["non-text"]:
        for name in pictures.pop(None):
            pictures["text" if PurePosixPath(name).stem in truths else "non-text"].append(name)
    elif pictures[None]:
        raise ValueError(f"{store.path}: {pictures[None][0]} lies neither in a text folder nor in a non-text folder")
    texts = {}
    for name in pictures["text"]:
        truth = truths.pop(PurePosixPath(name).stem, None)
        if not truth:
            raise FileNotFoundError(f"{store.path}: {name} has no annotation file (.txt, .xml or .json)")
        texts[name] = truth
    for truth in truths.values():
        raise FileNotFoundError(f"{store.path}: the image of {truth} is missing from the images with text")
    return texts, pictures["non-text"]


def _image_stem(truth):
    """Returns the stem of an annotation's image: `gt_1.txt`, `1_gt.xml` and `1.jpg.txt` all belong to `1.jpg`."""
    stem = PurePosixPath(PurePosixPath(truth).stem)
    stem = stem.stem if stem.suffix.lower() in SUFFIXES else stem.name
    return re.sub("^gt_|_gt$", "", stem, flags=re.IGNORECASE)


def _only(store, pattern, expected):
    """Returns the only file whose base name matches `pattern`."""
    found = [name for name in store.names if re.fullmatch(pattern, posixpath.basename(name), re.IGNORECASE)]
    if not found:
        raise FileNotFoundError(f"{store.path} has no {expected}")
    if len(found) > 1:
        raise ValueError(f"{store.path}: expected one {expected}, found {', '.join(found)}")
    return found[0]


def _beside(store, source):
    """Returns a function that resolves a path relative to the file `source`."""
    known = frozenset(store.names)

    def beside(name):
        found = posixpath.normpath(posixpath.join(posixpath.dirname(source), name))
        if found not in known:
            raise FileNotFoundError(f"{store.path}: the file {name!r} that {source} names is missing")
        return found

    return beside


def _size(store, name):
    """Returns `(height, width)` from the header of an image; warns and returns None if it cannot be read."""
    return store.attempt(name, lambda file: open_image(file).size[::-1])


def _image(store, name, words, tolerance, size, rotation=0):
    """Returns a `TextImage`, or None if `size`, from the annotation or the file, is None."""
    if size is None:
        return None
    if not all(isinstance(length, int) and length > 0 for length in size):
        raise ValueError(f"{name}: its annotation gives the size {size[0]!r} x {size[1]!r}: expected positive integers")
    polygons = [formats.attempt(word.where, formats.fit, word.points, size, tolerance) for word in words]
    opened = functools.partial(open_picture, store, name, size, rotation)
    return TextImage(name, opened, size, polygons, [word.care for word in words])


def _readable(store, images, licence, notes=()):
    """Returns the `TextImages` of a data set without its unreadable images, which are None."""
    kept = [image for image in images if image]
    if images and not kept:
        raise none_readable(store.path, len(images))
    return TextImages(kept, licence, notes)


ORIENTATION = ("exif", "xmp", "XML:com.adobe.xmp", "Raw profile type exif")


def open_picture(store, name, size, rotation):
    """Decodes an image in the orientation of its annotation.

    Annotations refer to the pixels as stored, so the EXIF orientation is dropped. It is applied if only the rotated
    image has the annotated size.

    Args:
        store: a `Store`.
        name: name of the image in the store.
        size: the annotated `(height, width)`.
        rotation: degrees anticlockwise by which the image is rotated if only this gives the annotated size.

    Returns:
        `PIL.Image` without an orientation tag.

    Raises:
        UnreadableImage: the file cannot be decoded.
        ValueError: its size differs from the annotated one.
    """
    try:
        with store.open(name) as file:
            image = read_image(file)
            image.load()
        # A copy is a plain image, without the data that a file format keeps besides pixels, such as TIFF's tags.
        stored = image.copy()
        for key in ORIENTATION:
            stored.info.pop(key, None)
        if stored.size == size[::-1]:
            return stored
        turn = UPRIGHT.get(orientation(image))
        turned = stored if turn is None else stored.transpose(turn)
    except Exception as error:  # Pillow's decoders raise many exception types on a broken file.
        raise UnreadableImage(f"{name}: {error}") from None
    for image in (turned, stored.rotate(rotation, expand=True)):
        if image.size == size[::-1]:
            return image
    raise ValueError(
        f"{name}: {stored.width} x {stored.height} pixels, but its annotation is for {size[1]} x {size[0]} pixels"
    )


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
}
