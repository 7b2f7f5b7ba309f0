"""What every reader of pictures does with odd folders and archives, and the store that they share."""

import copy
import io
import json
import os
import pickle
import re
import stat
import struct
import warnings
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
from PIL import Image

from kgan.data import load
from kgan.data.scenes.photos import load_photos
from kgan.data.text.images import load_text
from kgan.data.text.sets import read_negatives
from kgan.export.student import calibration_images
from kgan.runtime.inputs import find

pytestmark = pytest.mark.backend_free


def plain(value, format="PNG"):
    buffer = io.BytesIO()
    Image.new("RGB", (40, 40), (value,) * 3).save(buffer, format)
    return buffer.getvalue()


# === Every entry point reads pictures of one grey, so that the grey tells which pictures it has read ===


class Entry(NamedTuple):
    """`read(path)` gives the greys of the pictures; `others(pictures)` are the files that belong to them."""

    pictures: list
    read: Callable
    others: Callable = lambda pictures: {}


def greys(images):
    return sorted({round(float(np.mean(image))) for image in images})


def floats(name):
    return greys((load(name, image_size=8)[0] + 1) * 127.5)


def mnist_m(path):
    """The border of each digit shows the photograph behind it; both splits together show all."""
    digits = Path(path).parent / "digits"
    digits.mkdir(exist_ok=True)
    for prefix in ("train", "t10k"):
        for name, array in (("images-idx3", np.zeros((300, 28, 28), "uint8")), ("labels-idx1", np.arange(300) % 10)):
            head = struct.pack(f">I{array.ndim}I", 0x800 + array.ndim, *array.shape)
            (digits / f"{prefix}-{name}-ubyte").write_bytes(head + array.astype("uint8").tobytes())
    splits = [load(f"mnist_m:{digits}:{path}", split)[0] for split in ("train", "test")]
    return greys((np.concatenate(splits) + 1) * 127.5)


def coco_text(pictures):
    entries = {str(i): {"file_name": name, "set": "train", "width": 40, "height": 40} for i, name in enumerate(pictures)}
    boxes = {i: {"bbox": [1, 2, 3, 4], "legibility": "legible"} for i in entries}
    content = {"imgs": entries, "anns": boxes, "imgToAnns": {i: [i] for i in entries}}
    return {"cocotext.v2.json": json.dumps(content).encode()}


def truths(pictures):
    return {f"train/gt_{Path(name).stem}.txt": b"1,2,9,2,9,9,1,9,word" for name in pictures}


def four(folder):
    return [f"{folder}/{i}.png" for i in range(4)]


ENTRIES = {
    "classes": Entry(
        [f"train/{name}/{i}.png" for name in "ab" for i in range(3)],
        lambda path: floats(f"{'folder' if os.path.isdir(path) else 'zip'}:{path}"),
    ),
    "pair": Entry(four("trainA"), lambda path: floats(f"pair:{path}:a")),
    "nir_vis": Entry(
        [f"{domain}/p{person}/{i}.png" for domain in ("NIR", "VIS") for person in range(2) for i in range(5)],
        lambda path: floats(f"nir_vis:{path}:nir"),
    ),
    "load_photos": Entry(four("photos"), lambda path: greys(load_photos(path))),
    "mnist_m": Entry([f"photos/{i}.png" for i in range(8)], mnist_m),
    "calibration": Entry(four("photos"), lambda path: greys(calibration_images(path, 400)["calibration-240x240"])),
    "icdar2015": Entry(
        four("train"), lambda path: greys(load_text(f"icdar2015:{path}", image_size=(40, 40))[0]), truths
    ),
    "coco_text": Entry(
        four("photos"), lambda path: greys(load_text(f"coco_text:{path}", image_size=(40, 40))[0]), coco_text
    ),
    "negatives": Entry(four("photos"), lambda path: greys(np.asarray(image.open()) for image in read_negatives(path))),
}


def as_folder(root, files):
    for name, data in files.items():
        path = root / "folder" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    return root / "folder"


def as_zip(root, files):
    with zipfile.ZipFile(root / "archive.zip", "w") as archive:
        for name, data in files.items():
            archive.writestr(name, data)
    return root / "archive.zip"


KINDS = {"folder": as_folder, "zip": as_zip}


class Case(NamedTuple):
    entry: Entry
    files: dict
    expected: list
    victim: str

    def read(self, path):
        """The greys that are read, and the warnings."""
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            found = self.entry.read(path)
        return found, [str(warning.message) for warning in caught]

    def without_victim(self):
        return [grey for grey in self.expected if grey != grey_of(self.entry.pictures.index(self.victim))]


def grey_of(number):
    return 10 * number + 10


@pytest.fixture(params=ENTRIES)
def case(request, tmp_path):
    entry = ENTRIES[request.param]
    files = {name: plain(grey_of(i)) for i, name in enumerate(entry.pictures)} | entry.others(entry.pictures)
    (tmp_path / "clean").mkdir()
    expected = entry.read(as_zip(tmp_path / "clean", files))
    victim = next(name for i, name in enumerate(entry.pictures) if grey_of(i) in expected)
    assert len(expected) >= 4
    return Case(entry, files, expected, victim)


kinds = pytest.mark.parametrize("lay", KINDS.values(), ids=KINDS)


@kinds
def test_hidden_files_are_passed_over(tmp_path, case, lay):
    """What macOS and Windows leave behind, and what a leading dot hides; some of it could be read as a picture."""
    folder, _, name = case.victim.rpartition("/")
    double = b"\0\5\x16\7\0\2\0\0Mac OS X        " + b"\0" * 60
    odd = {
        f"__MACOSX/{folder}/._{name}": double,
        f"{folder}/._{name}": double,
        f"{folder}/.DS_Store": b"\0\0\0\1Bud1",
        f"{folder}/.{name}": plain(255),
        f".trash/{folder}/{name}": plain(255),
        f"{folder}/Thumbs.db": b"\xd0\xcf\x11\xe0",
        f"{folder}/THUMBS.DB/1.png": plain(255),
        "Desktop.ini": b"[.ShellClassInfo]",
    }
    path = lay(tmp_path, case.files | odd)
    assert case.read(path) == (case.expected, [])
    assert {found.place.partition("zip/")[2] or found.place for found in find([path])} == set(case.files)


def test_links_out_of_a_folder_are_passed_over_in_one_warning(tmp_path, case):
    folder = case.victim.rpartition("/")[0]
    path = as_folder(tmp_path, case.files)
    (tmp_path / "other" / folder).mkdir(parents=True)
    for name in ("1.png", f"{folder}/2.png"):
        (tmp_path / "other" / name).write_bytes(plain(255))
    (path / folder / "z.png").symlink_to(tmp_path / "other" / "1.png")
    (path / "z").symlink_to(tmp_path / "other")
    found, messages = case.read(path)
    assert found == case.expected
    (message,) = messages
    assert message.startswith(f"{path}: ") and message.endswith(f"outside the folder: 2, the first is {folder}/z.png")


def test_links_within_a_folder_are_followed_without_circles(tmp_path, case):
    folder, _, name = case.victim.rpartition("/")
    path = as_folder(tmp_path, case.files)
    (path / folder).rename(path / ".kept")
    (path / folder).symlink_to(path / ".kept")
    (path / ".kept" / name).rename(path / ".one")
    (path / ".kept" / name).symlink_to("../.one")
    (path / ".kept" / "self").symlink_to(".")
    (path / ".kept" / "up").symlink_to("..")
    assert case.read(path) == (case.expected, [])


def test_links_and_names_that_lead_out_of_an_archive_are_passed_over_in_one_warning(tmp_path, case):
    folder = case.victim.rpartition("/")[0]
    outside = {f"../{folder}/z.png": plain(255), f"/{folder}/z.png": plain(255), f"C:\\{folder}\\z.png": plain(255)}
    path = as_zip(tmp_path, case.files | outside)
    link = zipfile.ZipInfo(f"{folder}/link.png")
    link.external_attr = (stat.S_IFLNK | 0o777) << 16
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr(link, "/etc/secret.png")
    found, messages = case.read(path)
    assert found == case.expected
    (message,) = messages
    assert message.startswith(f"{path}: ") and message.endswith(f"archive: 4, the first is ../{folder}/z.png")


CORRUPT = {"empty": b"", "no picture": b"not a picture", "truncated": plain(0)[:60]}


@kinds
@pytest.mark.parametrize("data", CORRUPT.values(), ids=CORRUPT)
def test_a_corrupt_picture_is_skipped_and_named(tmp_path, case, lay, data):
    if case.entry is ENTRIES["negatives"] and data == CORRUPT["truncated"]:
        pytest.skip("pixels are decoded by whoever opens the image")
    found, messages = case.read(lay(tmp_path, case.files | {case.victim: data}))
    assert found == case.without_victim()
    assert any(case.victim in message for message in messages)


@kinds
def test_pictures_that_are_all_corrupt_are_an_error(tmp_path, case, lay):
    path = lay(tmp_path, case.files | dict.fromkeys(case.entry.pictures, b"not a picture"))
    with pytest.raises(ValueError, match=re.escape(str(path))) as caught, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        case.entry.read(path)
    assert "\n" not in str(caught.value) and "none of the" in str(caught.value)


@kinds
def test_suffixes_in_capitals(tmp_path, case, lay):
    pictures = [name.replace(".png", ".PNG") for name in case.entry.pictures]
    files = {name: plain(grey_of(i)) for i, name in enumerate(pictures)} | case.entry.others(pictures)
    assert case.read(lay(tmp_path, files)) == (case.expected, [])


def test_names_with_backslashes(tmp_path, case):
    """As some archivers on Windows write them."""
    path = as_zip(tmp_path, {name.replace("/", "\\"): data for name, data in case.files.items()})
    assert case.read(path) == (case.expected, [])


@pytest.mark.parametrize("cut", [slice(0), slice(40), slice(None, -30)])
def test_half_an_archive(tmp_path, case, cut):
    path = as_zip(tmp_path, case.files)
    path.write_bytes(path.read_bytes()[cut])
    with pytest.raises(ValueError, match=re.escape(f"{path} is not a whole zip archive")) as caught:
        case.entry.read(path)
    assert "\n" not in str(caught.value)


def tamper(path, name, *, offset, value):
    """Sets two bytes at `offset` of a member's header, in both places where it stands."""
    with zipfile.ZipFile(path) as archive:
        local = archive.getinfo(name).header_offset
        central = archive.start_dir
    data = bytearray(path.read_bytes())
    while data[central + 46 :][: len(name)] != name.encode():
        central += 46 + sum(struct.unpack_from("<3H", data, central + 28))
    for place in (local + offset, central + offset + 2):
        struct.pack_into("<H", data, place, value)
    path.write_bytes(data)


@pytest.mark.parametrize(
    ("offset", "value", "words"),
    [(6, 1, "encrypted"), (8, 99, "compression")],
    ids=["encrypted", "compression"],
)
def test_a_member_that_cannot_be_unpacked(tmp_path, case, offset, value, words):
    path = as_zip(tmp_path, case.files)
    tamper(path, case.victim, offset=offset, value=value)
    found, messages = case.read(path)
    assert found == case.without_victim()
    assert all("\n" not in message for message in messages)
    assert any(case.victim in message and words in message for message in messages)
