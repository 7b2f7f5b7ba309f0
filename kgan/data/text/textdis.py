"""Reader of TextDis, whose format is not published."""

import collections
import posixpath
import re
from pathlib import PurePosixPath

from kgan.data.source import check_split
from kgan.data.store import SUFFIXES, Store
from kgan.data.text import unknown_format
from kgan.data.text.records import LICENCES, MAX_GROUND_TRUTH_BYTES, picture_size, readable, split_of, text_image


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
        tolerance: as in `kgan.data.text.sets.read_icdar2013`.

    Returns:
        `TextImages`; its `notes` say how the boxes were read.

    Raises: as `kgan.data.text.sets.read_icdar2013`.

    Example:

    ```python
    import pathlib

    from PIL import Image

    from kgan.data.text.textdis import read_textdis

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
            size_of[image] = picture_size(store, image)
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
    size_of |= {name: picture_size(store, name) for name in others}
    images = [text_image(store, name, of_image[name], tolerance, size_of[name]) for name in sorted([*texts, *others])]
    return readable(store, images, LICENCES["textdis"], notes)


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
        if split_of(name) != split:
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
