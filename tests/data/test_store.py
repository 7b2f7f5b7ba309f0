"""What every reader of pictures does with odd folders and archives, and the store that they share."""

import io
import json
import multiprocessing
import os
import re
import stat
import struct
import warnings
import zipfile
from collections.abc import Callable
from multiprocessing.reduction import ForkingPickler
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
from PIL import Image

from kgan.data import load
from kgan.data.scenes.photos import load_photos
from kgan.data.store import MAX_FILE_BYTES, Store
from kgan.data.text.images import load_text
from kgan.data.text.records import UnreadableImage
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
    times: int = 1  # that `read` reads the path


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
    entries = {
        str(i): {"file_name": name, "set": "train", "width": 40, "height": 40} for i, name in enumerate(pictures)
    }
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
    "mnist_m": Entry([f"photos/{i}.png" for i in range(8)], mnist_m, times=2),
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
    assert {found.place.removeprefix("archive.zip/") for found in find([path])} == set(case.files)


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
    assert messages == messages[:1] * case.entry.times
    (message,) = set(messages)
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
    assert messages == messages[:1] * case.entry.times
    (message,) = set(messages)
    assert message.startswith(f"{path}: ") and message.endswith(f"archive: 4, the first is ../{folder}/z.png")


CORRUPT = {"empty": b"", "no picture": b"not a picture", "truncated": plain(0)[:60]}


@kinds
@pytest.mark.parametrize("data", CORRUPT.values(), ids=CORRUPT)
def test_a_corrupt_picture_is_skipped_and_named(tmp_path, case, lay, data):
    path = lay(tmp_path, case.files | {case.victim: data})
    if case.entry is ENTRIES["negatives"] and data == CORRUPT["truncated"]:
        # The pixels are decoded by whoever opens the image.
        with pytest.raises(UnreadableImage, match=case.victim):
            case.entry.read(path)
        return
    found, messages = case.read(path)
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
    with pytest.raises(ValueError, match=re.escape(f"{path} is not a complete zip archive")) as caught:
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


def test_an_annotation_that_cannot_be_unpacked_is_an_error(tmp_path):
    entry = ENTRIES["icdar2015"]
    path = as_zip(tmp_path, {name: plain(9) for name in entry.pictures} | truths(entry.pictures))
    tamper(path, "train/gt_2.txt", offset=6, value=1)
    with pytest.raises(ValueError, match="train/gt_2.txt: .*encrypted") as caught:
        entry.read(path)
    assert "\n" not in str(caught.value)


# === The store ===


FILES = {"b/2.PNG": plain(2), "b/notes.txt": b"some notes", "a/1.png": plain(1), "a/deep/down/3.jpeg": b"3"}


@kinds
def test_names_and_pictures(tmp_path, lay):
    path = lay(tmp_path, FILES)
    store = Store(path)
    assert store.path == str(path)
    assert store.names == sorted(FILES)
    assert store.pictures() == ["a/1.png", "a/deep/down/3.jpeg", "b/2.PNG"]
    assert store.pictures(["b/2.PNG", "b/notes.txt"]) == ["b/2.PNG"]
    with pytest.raises(ValueError, match=f"{re.escape(str(path))} has no images in there .*[.]jpeg"):
        store.pictures(["b/notes.txt"], " in there")
    with store.open("a/1.png") as file:
        assert file.read() == FILES["a/1.png"]
    assert store.read("b/notes.txt", most=10) == b"some notes"


@kinds
def test_files_that_are_larger_than_asked_for(tmp_path, lay):
    store = Store(lay(tmp_path, FILES))
    with pytest.raises(ValueError, match=f"^{re.escape(store.path)}: b/notes.txt: 10 bytes, more than the limit of 9"):
        store.read("b/notes.txt", most=9)


def test_file_larger_than_is_read(tmp_path):
    with (tmp_path / "large.png").open("wb") as file:
        file.truncate(MAX_FILE_BYTES + 1)
    with pytest.raises(ValueError, match="more than the limit of 268435456"):
        Store(tmp_path).open("large.png")


@kinds
@pytest.mark.parametrize("name", ["a/4.png", "../secret.png", "a/../../secret.png", "{root}/secret.png", "b", ""])
def test_nothing_else_can_be_opened(tmp_path, lay, name):
    (tmp_path / "secret.png").write_bytes(plain(0))
    store = Store(lay(tmp_path, FILES))
    with pytest.raises(ValueError, match="cannot|not (a regular file )?in this|No such file"):
        store.read(name.format(root=tmp_path), most=2**20)


@pytest.mark.filterwarnings("ignore:.*links that lead outside")
def test_a_folder_whose_only_images_are_behind_a_link_outside_says_so(tmp_path):
    as_folder(tmp_path / "elsewhere", FILES)
    (tmp_path / "classes").mkdir()
    (tmp_path / "classes" / "all").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(ValueError, match="has no images .*; the link all leads out of the folder and was not"):
        Store(tmp_path / "classes").pictures()


def test_a_link_that_is_turned_outside_after_the_look_is_not_read(tmp_path):
    path = as_folder(tmp_path, FILES)
    store = Store(path)
    assert "a/1.png" in store.names
    (tmp_path / "secret.png").write_bytes(plain(0))
    (path / "a" / "1.png").unlink()
    (path / "a" / "1.png").symlink_to(tmp_path / "secret.png")
    with pytest.raises(ValueError, match="not a regular file in this folder"):
        store.open("a/1.png")


def test_what_is_no_file_is_skipped(tmp_path):
    """Opening a pipe would wait for ever; a link to nothing or to itself has nothing to read."""
    path = as_folder(tmp_path, FILES)
    os.mkfifo(path / "pipe.png")
    (path / "nothing.png").symlink_to("gone.png")
    (path / "loop.png").symlink_to("loop.png")
    store = Store(path)
    for name in ("pipe.png", "nothing.png", "loop.png"):
        assert name in store.pictures()
        with pytest.warns(UserWarning, match=f"skipped {re.escape(str(path))}: {name}: "):
            assert store.attempt(name, lambda file: file.read()) is None


def test_a_folder_that_cannot_be_listed_is_skipped_and_named(tmp_path, monkeypatch):
    scandir = os.scandir

    def refuse(path):
        if path.endswith("a/"):
            raise PermissionError(13, "Permission denied", path)
        return scandir(path)

    store = Store(as_folder(tmp_path, FILES))
    monkeypatch.setattr(os, "scandir", refuse)
    with pytest.warns(UserWarning, match="skipped .*: a/: .*Permission denied"):
        assert store.names == ["b/2.PNG", "b/notes.txt"]


def test_two_folders_that_link_to_each_other(tmp_path):
    path = as_folder(tmp_path, {"a/1.png": plain(1), "b/2.png": plain(2)})
    (path / "a" / "to_b").symlink_to("../b")
    (path / "b" / "to_a").symlink_to("../a")
    assert Store(path).names == ["a/1.png", "a/to_b/2.png", "b/2.png", "b/to_a/1.png"]


def test_a_folder_that_is_itself_a_link_or_hidden(tmp_path, monkeypatch):
    as_folder(tmp_path, FILES).rename(tmp_path / ".cache")
    (tmp_path / "link").symlink_to(".cache")
    monkeypatch.setenv("HOME", str(tmp_path))
    for path in (tmp_path / "link", "~/link", "~/.cache"):
        assert Store(path).names == sorted(FILES)
        assert Store(path).read("b/notes.txt", 99) == b"some notes"


@kinds
def test_a_pickled_store(tmp_path, lay):
    store = Store(lay(tmp_path, FILES))
    assert store.names
    data = ForkingPickler.dumps(store)
    assert b"notes" not in bytes(data)  # the names would be sent with every image
    again = ForkingPickler.loads(data)
    assert again.names == store.names and again.read("b/notes.txt", 99) == b"some notes"


def test_a_replaced_archive_is_read_anew(tmp_path):
    path = as_zip(tmp_path, FILES)
    store = Store(path)
    assert store.read("b/notes.txt", 99) == b"some notes"
    (tmp_path / "new").mkdir()
    os.replace(as_zip(tmp_path / "new", {"b/notes.txt": b"other notes"} | FILES | {"b/notes.txt": b"1234567890"}), path)
    assert store.read("b/notes.txt", 99) == b"1234567890"
    as_zip(tmp_path, {"b/notes.txt": b"written over"})
    assert Store(path).names == ["b/notes.txt"] and store.read("b/notes.txt", 99) == b"written over"


def read_often(store, name, queue):
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        read = [store.attempt(name, lambda file: file.read()) for _ in range(200)]
    queue.put((len(set(read)), read[0][:8], len(caught)))


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork")
def test_forked_processes_do_not_share_a_place_in_the_archive(tmp_path):
    names = [f"{i}.png" for i in range(4)]
    store = Store(as_zip(tmp_path, {name: b"%08d" % i + os.urandom(2**16) for i, name in enumerate(names)}))
    store.read("0.png", 2**20)  # the archive is open
    context = multiprocessing.get_context("fork")
    queue = context.Queue()
    workers = [context.Process(target=read_often, args=(store, name, queue)) for name in names]
    for worker in workers:
        worker.start()
    found = [queue.get(timeout=60) for _ in workers]
    for worker in workers:
        worker.join()
    assert sorted(found) == [(1, b"%08d" % i, 0) for i in range(4)]


@pytest.mark.parametrize("name", ["nothing", "nothing.zip"])
def test_nothing_at_the_path(tmp_path, name):
    with pytest.raises(FileNotFoundError, match=f"no folder or zip archive '.*{name}'"):
        Store(tmp_path / name)
