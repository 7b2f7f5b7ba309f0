"""Labelled images in folders and zip archives, one folder per class."""

import contextlib
import io
import warnings
from pathlib import Path, PurePosixPath

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from kgan.data.source import Source, balanced_subset, check_split, stratified_split
from kgan.data.store import Store, none_readable
from kgan.runtime.files import HEAD, Undecodable, sniff
from kgan.runtime.pixels import check_readable, pixel_chunks, sound, upright

# Image decoders only: some of Pillow's other formats start an interpreter.
FORMATS = ("JPEG", "PNG", "WEBP", "BMP", "GIF", "TIFF", "PPM", "AVIF", "JPEG2000")
# Names of folders, in small letters, and the splits they hold.
SPLITS = {"train": "train", "training": "train", "test": "test", "testing": "test"}
SPLITS.update(dict.fromkeys(("validation", "valid", "val", "dev", "eval"), "validation"))
MAX_PIXELS = 2**26


def open_folder(path, *options):
    """Opens `path/<class>/*`, or `path/train/<class>/*` and `path/test/<class>/*`; 64 x 64 RGB by default.

    Images in no class folder, `path/*`, are a data set without labels.
    """
    if not Path(path).expanduser().is_dir():
        raise FileNotFoundError(f"no folder {path!r}: pass 'folder:PATH' with one folder of images per class in PATH")
    return open_classes(Store(path), *options)


def open_zip(path, *options):
    """Opens a zip archive with the same layout, at its root or inside one common folder."""
    if not Path(path).expanduser().is_file():
        raise FileNotFoundError(f"no file {path!r}: pass 'zip:PATH', a zip archive with one folder of images per class")
    return open_classes(Store(path), *options)


def open_classes(store, split, image_size, channels, count, seed):
    """Finds the classes and splits in a store and selects the requested samples."""
    path = store.path
    splits = find_splits(store.pictures(), path, store.folders)
    class_names = sorted({name for samples in splits.values() for name, _ in samples} - {NO_CLASS})
    if "" in splits:
        samples = splits[""]
    else:
        split = SPLITS.get(split, split)
        # If the only folders are train and validation, validation is the test split.
        if split == "test" and "test" not in splits:
            split = next((name for name in splits if name != "train"), split)
        check_split(split, tuple(splits))
        samples = splits[split]
    files = [file for _, file in samples]
    labels = np.searchsorted(class_names, [name for name, _ in samples])
    kept = stratified_split(labels, split, seed) if "" in splits else np.arange(len(labels))
    if not len(kept):
        raise ValueError(f"{path} has too few images in each class to split off a test set: add a test folder")
    kept = kept[balanced_subset(labels[kept], count, seed)]
    return Files(store, [files[i] for i in kept], labels[kept], class_names, image_size or 64, channels or 3)


NO_CLASS = ""  # of images in no class folder


def find_splits(pictures, path, folders=()):
    """Sorts the relative paths of images into splits.

    Args:
        pictures: relative paths of the images.
        path: the folder or archive, for messages.
        folders: relative paths of all folders, to name those without images.

    Returns:
        Dict of sorted lists of `(class name, relative path)`. Its keys are splits, in the order of `SPLITS`, or only
        `""` if there are no folders for them. If there are no class folders, all class names are `NO_CLASS`.

    Raises:
        ValueError: two folders hold the same split.
    """
    parts = {file: PurePosixPath(file).parts for file in sorted(pictures)}
    folders = {PurePosixPath(folder).parts for folder in folders}
    while len(top := {part[0] for part in parts.values()}) == 1 and min(map(len, parts.values())) > 2:
        if top <= {name for name in top if name.lower() in SPLITS}:
            break
        parts = {file: part[1:] for file, part in parts.items()}
        folders = {folder[1:] for folder in folders if folder[:1] == tuple(top)}

    named = {part[0] for part in parts.values() if part[0].lower() in SPLITS}
    inner = {part[0] for part in parts.values() if len(part) > 2} & named
    if not inner and named == top and len(named) > 1:
        inner = named  # train/*.jpg and test/*.jpg, without classes
    of_split = {}
    for name in sorted(inner):
        if (other := of_split.setdefault(SPLITS[name.lower()], name)) != name:
            raise ValueError(f"{path} has two folders for one split, {other!r} and {name!r}: join or rename them")

    depth = bool(inner)
    inside = {file: part[depth:] for file, part in parts.items() if not inner or part[0] in inner}
    without = all(len(part) == 1 for part in inside.values())
    splits = {name: [] for name in dict.fromkeys(SPLITS.values()) if name in of_split} or {"": []}
    for file, part in inside.items():
        if without or len(part) > 1:
            split = SPLITS[parts[file][0].lower()] if inner else ""
            splits[split].append((NO_CLASS if without else part[0], file))

    taken = {file for samples in splits.values() for _, file in samples}
    warn(path, "in no class folder, left out", [file for file in parts if file not in taken])
    deeper = {part[0]: file for file, part in inside.items() if len(part) > 2}
    warn(path, "more than one folder deep, of the class of the first", [*deeper.values()])
    classes = {folder[: depth + 1] for folder in folders if len(folder) > depth and (not inner or folder[0] in inner)}
    empty = classes - {part[: depth + 1] for part in parts.values()}
    if not without:
        warn(path, "a folder without images, so no class", sorted("/".join(folder) for folder in empty))
    return splits


def warn(path, what, names):
    """Warns of files or folders whose place is not as expected."""
    if names:
        more = f" and {len(names) - 3} more" if len(names) > 3 else ""
        warnings.warn(f"{path}: {', '.join(names[:3])}{more}: {what}", stacklevel=4)


def read_image(file):
    """Reads an open image file, without decoding the pixels."""
    data = file.read()
    open_image(io.BytesIO(data))  # refuses too many pixels before `sound` decodes any
    return open_image(io.BytesIO(sound(data)))


def open_image(file):
    """Reads the header of an open image file; `read_image` reads some more."""
    formats = FORMATS
    with contextlib.suppress(Undecodable):
        formats = (*FORMATS, "HEIF") if sniff(file.read(HEAD)) == "HEIF" else FORMATS
    file.seek(0)
    if formats != FORMATS:
        check_readable("HEIF")
    try:
        try:
            image = Image.open(file, formats=formats)
        except Exception:  # On a corrupt PNG chunk Pillow raises exceptions of almost any type.
            file.seek(0)
            image = Image.open(io.BytesIO(pixel_chunks(file.read())), formats=formats)
    except UnidentifiedImageError:
        raise ValueError(f"not an image in a supported format ({', '.join(FORMATS)})") from None
    if image.width * image.height > MAX_PIXELS:
        raise ValueError(f"{image.width} x {image.height} pixels, more than the limit of {MAX_PIXELS}")
    return image


def decode(file, image_size, channels, half=None, stretch=False, box=None):
    """Decodes an image file to a square, with its EXIF orientation applied.

    Args:
        file: image file, open for reading bytes.
        image_size: height and width in pixels; the image is resized to cover this square and cropped to its centre.
        channels: 1 for grey or 3 for RGB, converted as in `to_eight_bits`.
        half: 0 or 1 for the left or right half of a file that holds two squares.
        stretch: whether to stretch the whole image to the square instead.
        box: left, top, width and height in pixels of the part of the image to take instead of the whole.

    Returns:
        uint8 array `(image_size, image_size, channels)`.

    Raises:
        Exception: the file is broken, too large, or not an image; the type depends on Pillow's decoder.
    """
    image = read_image(file)
    if box is None:
        # JPEG can be decoded at 1/2, 1/4 or 1/8 of its size. Twice the required size loses nothing visible.
        image.draft(None, (2 * image_size, 2 * image_size))
    image = to_eight_bits(upright(image), channels)
    if box is not None:
        image = cut_out(image, *box)
    if half is not None:
        if image.width != 2 * image.height:
            raise ValueError(f"{image.width} x {image.height} pixels are not two squares side by side")
        image = image.crop((half * image.height, 0, (half + 1) * image.height, image.height))
    size = (image_size, image_size)
    lanczos = Image.Resampling.LANCZOS
    image = image.resize(size, lanczos) if stretch else ImageOps.fit(image, size, lanczos)
    return np.asarray(image).reshape(image_size, image_size, channels)


def cut_out(image, left, top, width, height):
    """Returns the part of an image that lies in a box, rounded to whole pixels."""
    edges = round(left), round(top), round(left + width), round(top + height)
    edges = max(edges[0], 0), max(edges[1], 0), min(edges[2], image.width), min(edges[3], image.height)
    if edges[0] >= edges[2] or edges[1] >= edges[3]:
        raise ValueError(f"box {left, top, width, height} lies outside {image.width} x {image.height} pixels")
    return image.crop(edges)


def to_eight_bits(image, channels):
    """Converts an image to 8-bit grey or RGB, with transparency over white and 16-bit grey scaled to 8 bits."""
    if image.mode == "F":
        raise ValueError("floating-point pixels have an unknown range: convert the image to 8 or 16 bits")
    if image.mode.startswith("I"):
        image = Image.fromarray((np.clip(np.asarray(image), 0, 65535) / 257).round().astype("uint8"))
    if image.has_transparency_data:
        image = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image)
    return image.convert("L" if channels == 1 else "RGB")


class Files(Source):
    """Image files in a store, read and decoded on demand.

    Args:
        store: a `Store`.
        files: list of str, the file's name in the store for each label.
        half: as in `decode`.
    """

    def __init__(self, store, files, labels, class_names, image_size, channels, half=None):
        super().__init__(labels, class_names, image_size, channels)
        self.store = store
        self.files = files
        self.half = half

    def _decoded(self, index):
        return self.store.attempt(self.files[index], decode, self.image_size, self.channels, self.half)

    def keep(self, readable):
        """Drops the files whose flag in `readable` is False and warns how many there are."""
        skipped = len(readable) - sum(readable)
        if skipped == len(readable):
            raise none_readable(self.store.path, skipped)
        if skipped:
            warnings.warn(f"{self.store.path}: {skipped} of {len(readable)} files skipped", stacklevel=2)
            self.files = [file for file, ok in zip(self.files, readable, strict=True) if ok]
            self.labels = self.labels[readable]

    def images(self, indices):
        images = np.empty((len(indices), self.image_size, self.image_size, self.channels), "float32")
        for image, index in zip(images, indices, strict=True):
            pixels = self._decoded(index)
            image[:] = self.substitute(index) if pixels is None else pixels
        images /= 127.5
        images -= 1
        return images

    def substitute(self, index):
        """Returns the next readable image of a broken file's class, so that a batch keeps its size and labels."""
        same_class = np.flatnonzero(self.labels == self.labels[index])
        for other in np.roll(same_class, -np.searchsorted(same_class, index))[1:]:
            pixels = self._decoded(other)
            if pixels is not None:
                return pixels
        of = f" of class {self.class_names[self.labels[index]]!r}" if self.class_names else ""
        raise ValueError(f"{self.store.path}: no file{of} can be read")

    def arrays(self):
        images = np.empty((len(self.files), self.image_size, self.image_size, self.channels), "float32")
        readable = np.zeros(len(self.files), bool)
        for index in range(len(self.files)):
            pixels = self._decoded(index)
            if pixels is not None:
                images[index] = pixels
                readable[index] = True
        self.keep(readable)
        if not readable.all():
            images = images[readable]
        images /= 127.5
        images -= 1
        return images, self.labels if self.class_names else None

    def batches(self, batch_size, seed):
        """As `Source.batches`, but without the files whose header cannot be read."""
        self.keep(np.array([self.store.attempt(file, open_image) is not None for file in self.files]))
        return super().batches(batch_size, seed)
