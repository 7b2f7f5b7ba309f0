"""Labelled images in folders and zip archives, one folder per class."""

import functools
import os
import warnings
import zipfile
from pathlib import Path, PurePosixPath

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from kgan.data.source import Source, balanced_subset, check_split, stratified_split

SUFFIXES = {".jpg", ".jpeg", ".png", ".webp", ".bmp", ".gif", ".tif", ".tiff", ".ppm", ".pgm"}
# Decoders of pictures only: Pillow also opens formats that start an interpreter.
FORMATS = ("JPEG", "PNG", "WEBP", "BMP", "GIF", "TIFF", "PPM")
SPLITS = ("train", "test", "val", "validation")
MAX_PIXELS = 2**26
MAX_FILE_BYTES = 2**28


def open_folder(path, split, image_size, channels, count, seed):
    """Opens `path/<class>/*`, or `path/train/<class>/*` and `path/test/<class>/*`; 64 x 64 RGB by default."""
    root = Path(path).expanduser()
    if not root.is_dir():
        raise FileNotFoundError(f"no folder {path!r}: pass 'folder:PATH' with one folder of images per class in PATH")
    # Two fixed depths instead of a walk, so that a link to a parent folder cannot run in circles.
    found = [file.relative_to(root).as_posix() for pattern in ("*/*", "*/*/*") for file in root.glob(pattern)]
    return open_files(open_file, path, found, split, image_size, channels, count, seed)


def open_zip(path, split, image_size, channels, count, seed):
    """Opens a zip archive with the same layout, below one common folder or not; members are read when asked for."""
    if not Path(path).expanduser().is_file():
        raise FileNotFoundError(f"no file {path!r}: pass 'zip:PATH', a zip archive with one folder of images per class")
    return open_files(open_member, path, members(path), split, image_size, channels, count, seed)


def members(path):
    """Names of what is in a zip archive, as it is now."""
    archive.cache_clear()
    try:
        return archive(path, os.getpid()).namelist()
    except zipfile.BadZipFile as error:
        raise ValueError(f"{path} is not a whole zip archive ({error})") from None


def open_files(open_one, path, found, split, image_size, channels, count, seed):
    """Finds the classes and splits among relative paths `found`, and chooses the samples asked for."""
    splits = find_splits(found, path)
    class_names = sorted({name for samples in splits.values() for name, _ in samples})
    if len(class_names) < 2:
        raise ValueError(f"{path} has one class, {class_names[0]!r}: a data set needs at least two classes")
    if "" in splits:
        samples = splits[""]
    else:
        # A set with train and val folders only is tested on val.
        if split == "test" and "test" not in splits:
            split = next((name for name in splits if name != "train"), split)
        check_split(split, tuple(splits))
        samples = splits[split]
    files = [file for _, file in samples]
    labels = np.searchsorted(class_names, [name for name, _ in samples])
    kept = stratified_split(labels, split, seed) if "" in splits else np.arange(len(labels))
    if not len(kept):
        raise ValueError(f"{path} has too few images in each class to set some apart for testing: add a test folder")
    kept = kept[balanced_subset(labels[kept], count, seed)]
    return Files(open_one, path, [files[i] for i in kept], labels[kept], class_names, image_size or 64, channels or 3)


def find_splits(found, path):
    """Sorts relative paths of files into splits.

    Returns:
        Dict of sorted lists of `(class name, relative path)`; its keys are the names of split folders, or `""` alone
        when there are none.
    """
    parts = {file: PurePosixPath(file).parts for file in sorted(found)}
    parts = {
        file: part
        for file, part in parts.items()
        if PurePosixPath(file).suffix.lower() in SUFFIXES and not any(p.startswith((".", "__MACOSX")) for p in part)
    }
    if not parts:
        raise ValueError(f"{path} has no images ({', '.join(sorted(SUFFIXES))}): expected <class>/<image> in it")
    top = {part[0] for part in parts.values()}
    if len(top) == 1 and not top & set(SPLITS) and min(map(len, parts.values())) > 2:
        parts = {file: part[1:] for file, part in parts.items()}
    split_folders = {part[0] for part in parts.values() if len(part) > 2} & set(SPLITS)
    splits = {name: [] for name in SPLITS if name in split_folders} or {"": []}
    for file, part in parts.items():
        if "" in splits and len(part) > 1:
            splits[""].append((part[0], file))
        elif part[0] in splits and len(part) > 2:
            splits[part[0]].append((part[1], file))
    if {name for samples in splits.values() for name, _ in samples} <= set(SPLITS):
        raise ValueError(f"{path} has images but no class folders: expected <class>/<image> in it")
    return splits


def open_file(path, file):
    """Opens a file in a folder for reading."""
    file = Path(path).expanduser() / file
    check_bytes(file.stat().st_size)
    return file.open("rb")


def open_member(path, file):
    """Opens a member of a zip archive for reading."""
    zipped = archive(path, os.getpid())
    check_bytes(zipped.getinfo(file).file_size)
    return zipped.open(file)


@functools.lru_cache(maxsize=4)
def archive(path, process):
    """Opens an archive once per `process`: a forked worker must not share the parent's place in the file."""
    return zipfile.ZipFile(Path(path).expanduser())


def check_bytes(size):
    if size > MAX_FILE_BYTES:
        raise ValueError(f"{size} bytes, more than the {MAX_FILE_BYTES} that are read")


def open_image(file):
    """Reads the header of an open image file; nothing is decoded yet."""
    try:
        image = Image.open(file, formats=FORMATS)
    except UnidentifiedImageError:
        raise ValueError(f"not an image of a kind that is read ({', '.join(FORMATS)})") from None
    if image.width * image.height > MAX_PIXELS:
        raise ValueError(f"{image.width} x {image.height} pixels, more than the {MAX_PIXELS} that are decoded")
    return image


def decode(file, image_size, channels, half=None):
    """Decodes an image file to a square.

    Orientation from EXIF is applied, transparency is laid over white, 16-bit grey is scaled to 8 bits.

    Args:
        file: the image file, open for reading bytes.
        image_size: height and width of the square, which the image is resized to cover and then cut to.
        channels: 1 for grey or 3 for RGB.
        half: 0 or 1 for the left or right half of a file that holds two squares.

    Returns:
        uint8 array `(image_size, image_size, channels)`.

    Raises:
        Exception: the file is broken, too large or of another kind; which one depends on Pillow's decoder.
    """
    image = open_image(file)
    # JPEG can be decoded at a half, a quarter or an eighth of its size; twice the size needed loses nothing visible.
    image.draft(None, (2 * image_size, 2 * image_size))
    image = ImageOps.exif_transpose(image)
    if half is not None:
        if image.width != 2 * image.height:
            raise ValueError(f"{image.width} x {image.height} pixels are not two squares side by side")
        image = image.crop((half * image.height, 0, (half + 1) * image.height, image.height))
    if image.mode == "F":
        raise ValueError("pixels are floating-point numbers of unknown range")
    if image.mode.startswith("I"):
        image = Image.fromarray((np.clip(np.asarray(image), 0, 65535) / 257).round().astype("uint8"))
    if image.has_transparency_data:
        image = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image)
    image = image.convert("L" if channels == 1 else "RGB")
    image = ImageOps.fit(image, (image_size, image_size), Image.Resampling.LANCZOS)
    return np.asarray(image).reshape(image_size, image_size, channels)


class Files(Source):
    """Image files that are read and decoded when they are asked for.

    Args:
        open_one: function of `path` and a name in `files` that opens the file for reading bytes.
        path: the folder or archive.
        files: list of str, one name per label.
        half: as of `decode`.
    """

    def __init__(self, open_one, path, files, labels, class_names, image_size, channels, half=None):
        super().__init__(labels, class_names, image_size, channels)
        self.open_one = open_one
        self.path = path
        self.files = files
        self.half = half

    def attempt(self, index, task, *args):
        """Returns `task(file number index, *args)`, or None with a warning when the file cannot be read."""
        try:
            with self.open_one(self.path, self.files[index]) as file:
                return task(file, *args)
        except Exception as error:  # Pillow's decoders raise almost anything on a broken file.
            warnings.warn(f"skipped {self.path}: {self.files[index]}: {error}", stacklevel=2)
            return None

    def _decoded(self, index):
        return self.attempt(index, decode, self.image_size, self.channels, self.half)

    def keep(self, readable):
        """Drops the files whose flag in `readable` is False, and says how many."""
        skipped = len(readable) - sum(readable)
        if skipped == len(readable):
            raise ValueError(f"{self.path}: none of the {skipped} files can be read as an image")
        if skipped:
            warnings.warn(f"{self.path}: {skipped} of {len(readable)} files skipped", stacklevel=2)
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
        """Returns the next good picture of the class of a broken file, so that a batch keeps its size and labels."""
        same_class = np.flatnonzero(self.labels == self.labels[index])
        for other in np.roll(same_class, -np.searchsorted(same_class, index))[1:]:
            pixels = self._decoded(other)
            if pixels is not None:
                return pixels
        raise ValueError(f"{self.path}: no file of class {self.class_names[self.labels[index]]!r} can be read")

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
        return images, self.labels

    def batches(self, batch_size, seed):
        """As `Source.batches`, after a look at the header of each file."""
        self.keep(np.array([self.attempt(index, open_image) is not None for index in range(len(self.files))]))
        return super().batches(batch_size, seed)
