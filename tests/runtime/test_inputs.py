"""Folders and archives: which images they hold, in which order, and what is refused."""

import bz2
import gzip
import inspect
import io
import os
import struct
import sys
import tarfile
import zipfile

import numpy as np
import pytest
from image_files import JPEG, PICTURE, PNG
from tiny_filter import brightness

from kgan.data.store import Store
from kgan.runtime.files import Limits, Undecodable
from kgan.runtime.inputs import find

pytestmark = pytest.mark.backend_free


# === Folders ===


def names(*paths, leave_out=()):
    return [found.name for found in find([os.fspath(path) for path in paths], leave_out)]


def test_folders_are_walked_in_order_and_links_not_followed(tmp_path):
    for name in (
        "b/2.png",
        "b/10.png",
        "b/c/deep.png",
        "a.png",
        "z.zip",
        ".git/x.png",
        "b/.DS_Store",
        "out/rows.jsonl",
    ):
        path = tmp_path / "root" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    (tmp_path / "root" / "up").symlink_to("..")
    root = f"{tmp_path}/root"
    expected = [f"{root}/{name}" for name in ("a.png", "b/10.png", "b/2.png", "b/c/deep.png", "up", "z.zip")]
    assert names(root, leave_out={f"{root}/out"}) == expected
    assert names(f"{root}/", leave_out={f"{root}/out"}) == expected
    assert [found.place for found in find([root], {f"{root}/out"})][1] == "b/10.png"
    (tmp_path / "link").symlink_to("root")
    link = f"{tmp_path}/link"
    assert names(root, leave_out=[f"{link}/out"]) == expected, "by another way"
    assert names(link, leave_out=[f"{root}/out"]) == [name.replace(root, link) for name in expected]
    assert names(f"{root}/a.png", f"{root}/a.png", f"{root}/none") == [f"{root}/a.png"] * 2 + [f"{root}/none"]


def test_folders_may_be_deeper_than_calls(tmp_path):
    folder = tmp_path.joinpath(*"d" * 150)
    folder.mkdir(parents=True)
    (folder / "a.png").touch()
    before = sys.getrecursionlimit()
    sys.setrecursionlimit(len(inspect.stack()) + 100)
    try:
        assert names(tmp_path) == [str(folder / "a.png")]
    finally:
        sys.setrecursionlimit(before)


# === Archives ===


def zip_file(path, members, method=zipfile.ZIP_DEFLATED):
    with zipfile.ZipFile(path, "w", method) as archive:
        for name, data in members.items():
            archive.writestr(name, data)
    return path


def tar_file(path, members):
    packing = path.suffix[1:] if path.suffix in (".gz", ".bz2", ".xz") else ""
    with tarfile.open(path, f"w:{packing}") as archive:
        for name, data in members.items():
            info = tarfile.TarInfo(name)
            if data is None:
                info.type, info.linkname = tarfile.SYMTYPE, "/etc/passwd"
            else:
                info.size = len(data)
            archive.addfile(info, None if data is None else io.BytesIO(data))
    return path


MEMBERS = {
    "z/first.png": PNG,
    "./a.jpg": JPEG,
    "z/.hidden.png": PNG,
    "__MACOSX/z/first.png": PNG,
    "z/empty.png": b"",
    "notes.txt": b"none",
    "z/cut.jpg": JPEG[:5000],
    "z/large.png": PNG + bytes(2**22),
    "../up.png": PNG,
    "z/../../up.png": PNG,
    "/etc/passwd.png": PNG,
    "..\\up.png": PNG,
    "inner.zip": b"PK\3\4",
}
FOUND = ["ok", "ok", "empty", "not_an_image", "truncated", "too_large", *["unsafe_name"] * 4, "not_an_image"]


@pytest.mark.parametrize(
    "suffix", [".zip", ".cbz", ".tar", ".tar.gz", ".tar.bz2", ".tbz2", ".tbz", ".tar.xz", ".txz", ".TAR", ".cbt"]
)
def test_archives(tmp_path, text_filter, suffix):
    path = (zip_file if suffix in (".zip", ".cbz") else tar_file)(tmp_path / f"photos{suffix}", MEMBERS)
    rows = list(text_filter.filter([path], processes=1, limits=Limits(bytes=2**22)))
    visible = [name for name in MEMBERS if "hidden" not in name and "MACOSX" not in name]
    assert [row["path"] for row in rows] == [f"{path}!{name}" for name in visible]
    assert [row["status"] for row in rows] == FOUND
    assert rows[0]["score"] == pytest.approx(brightness(PICTURE).max(), abs=1e-5)
    places = [found.place for found in find([path])]
    assert places[:2] == [f"photos{suffix}/z/first.png", f"photos{suffix}/a.jpg"]


def read_all(path, max_bytes=2**22):
    """`{name without the archive's: status}` of an archive, without decoding."""
    statuses = {}
    for found in find([path]):
        try:
            found.read(max_bytes)
            statuses[found.name.partition("!")[2]] = "ok"
        except Undecodable as error:
            statuses[found.name.partition("!")[2]] = error.status
    return statuses


def test_members_that_are_no_files(tmp_path):
    assert read_all(tar_file(tmp_path / "a.tar", {"link.png": None, "b.png": PNG})) == {
        "link.png": "not_a_file",
        "b.png": "ok",
    }
    path = zip_file(tmp_path / "a.zip", {})
    with zipfile.ZipFile(path, "w") as archive:
        info = zipfile.ZipInfo("link.png")
        info.external_attr = 0o120777 << 16
        archive.writestr(info, "/etc/passwd")
    assert read_all(path) == {"link.png": "not_a_file"}


def test_zip_members_that_cannot_be_unpacked(tmp_path):
    path = zip_file(tmp_path / "lzma.zip", {"a.png": PNG}, zipfile.ZIP_LZMA)
    assert read_all(path) == {"a.png": "unsupported"}
    stored = zip_file(tmp_path / "stored.zip", {"a.png": PNG, "b.png": PNG}, zipfile.ZIP_STORED)
    data = bytearray(stored.read_bytes())
    data[data.index(b"IDAT") + 50] ^= 1
    stored.write_bytes(data)
    assert read_all(stored) == {"a.png": "damaged", "b.png": "ok"}
    flagged = data.replace(b"PK\1\2\x14\3\x14\0\0\0", b"PK\1\2\x14\3\x14\0\1\0")
    assert flagged != data
    stored.write_bytes(flagged)
    assert set(read_all(stored).values()) == {"unreadable"}


def test_a_size_that_is_a_lie(tmp_path):
    """The headers say 100 bytes, the stream unpacks to far more."""
    path = zip_file(tmp_path / "a.zip", {"a.png": PNG + bytes(2**23)})
    size = struct.pack("<I", len(PNG) + 2**23)
    path.write_bytes(path.read_bytes().replace(size, struct.pack("<I", 100)))
    assert read_all(path) == {"a.png": "damaged"}


@pytest.mark.parametrize("suffix", [".tar", ".tar.gz", ".tar.xz"])
def test_an_archive_that_breaks_off(tmp_path, suffix):
    path = tmp_path / f"a{suffix}"
    noise = np.random.default_rng(0).integers(0, 256, 50_000).astype("uint8").tobytes()
    tar_file(path, {"a.png": PNG, "b.png": PNG + noise, "c.png": PNG})
    data = path.read_bytes()
    path.write_bytes(data[: len(data) * 2 // 3])
    found = read_all(path)
    assert found.pop("") in ("damaged", "truncated")  # the archive itself
    assert list(found.values()) == ["ok", "damaged"][: len(found)] and (found or suffix != ".tar")


def header_flipped(data, at):
    return data[: at + 150] + bytes([data[at + 150] ^ 1]) + data[at + 151 :]  # within its checksum


@pytest.mark.parametrize(
    ("damage", "status"),
    [
        (header_flipped, "damaged"),
        (lambda data, at: data[: at + 124] + b"99999999999" + data[at + 135 :], "damaged"),  # its size
        (lambda data, at: data[: at + 200], "truncated"),
        (lambda data, at: data[:at], "truncated"),
        (lambda data, at: data[: at + 10], "truncated"),
    ],
)
@pytest.mark.parametrize("pack", [bytes, gzip.compress])
def test_a_tar_archive_with_a_damaged_member_says_so(tmp_path, damage, status, pack):
    """What comes before it is read, and the archive itself gets a row: its other members are lost."""
    whole = tar_file(tmp_path / "whole.tar", {f"{i}.png": PNG for i in range(4)}).read_bytes()
    at = whole.index(b"2.png")
    path = tmp_path / "a.tar"
    path.write_bytes(pack(damage(whole, at)))
    assert read_all(path) == {"0.png": "ok", "1.png": "ok", "": status}


@pytest.mark.parametrize("zeros", [1024, 9216, 10752, 2**17])
@pytest.mark.parametrize("pack", [bytes, gzip.compress])
def test_tar_archives_behind_each_other(tmp_path, zeros, pack):
    one, other = (tar_file(tmp_path / f"{name}.tar", {f"{name}.png": PNG}).read_bytes() for name in "ab")
    end = len(one.rstrip(b"\0")) // 512 * 512 + 512
    path = tmp_path / "both.tar"
    path.write_bytes(pack(one[:end] + bytes(zeros) + other))
    assert read_all(path) == {"a.png": "ok", "": "damaged"}


@pytest.mark.parametrize("behind", [b"", bytes(2**20), bytes(512) + b"\xe5" * 8704, b"\xe5" * 512])
def test_what_follows_the_end_of_a_tar_archive_means_nothing(tmp_path, behind):
    one = tar_file(tmp_path / "a.tar", {"a.png": PNG, "b.png": PNG}).read_bytes()
    end = len(one.rstrip(b"\0")) // 512 * 512 + 512
    for data in (one[:end] + bytes(512) + behind, gzip.compress(one) + (behind or b"garbage")):
        (tmp_path / "b.tar").write_bytes(data)
        assert read_all(tmp_path / "b.tar") == {"a.png": "ok", "b.png": "ok"}


@pytest.mark.parametrize("name", ["junk.zip", "junk.tar", "junk.tar.gz", "junk.tgz", "junk.tar.xz", "junk.tar.bz2"])
@pytest.mark.parametrize("data", [b"", b"junk" * 1000, PNG])
def test_files_that_are_no_archives(tmp_path, name, data):
    path = tmp_path / name
    path.write_bytes(data)
    assert read_all(path) == {"": "damaged"}


def test_a_header_of_an_archive_as_large_as_memory(tmp_path):
    """An extended header of 1 GB of zeros, in 1 MB."""
    info = tarfile.TarInfo("a.png")
    info.type, info.size = tarfile.XHDTYPE, 2**30
    path = tmp_path / "a.tar.gz"
    with gzip.open(path, "wb", compresslevel=1) as file:
        file.write(info.tobuf())
        file.write(bytes(2**21))
    assert read_all(path) == {"": "damaged"}


def test_a_tar_archive_is_unpacked_by_its_content(tmp_path):
    plain = tar_file(tmp_path / "photos.tar", {"a.png": PNG})
    for name, pack in (("packed.tar", gzip.compress), ("packed.tgz", bz2.compress), ("plain.tar.gz", bytes)):
        (tmp_path / name).write_bytes(pack(plain.read_bytes()))
        assert read_all(tmp_path / name) == {"a.png": "ok"}


def odd_names(path):
    """An archive with a name spelled otherwise before its data, and two that the directory calls UTF-8 and are not.

    Python cannot be made to read the first of these, for it is called UTF-8 in front of its data, too.
    """
    zip_file(path, {"d/1.png": PNG, "d/2.png": PNG, "d/\xe91.png": PNG, "d/\xe92.png": PNG})
    data = bytearray(path.read_bytes())
    data[data.index(b"d/1.png") + 1] = ord("\\")  # in front of the data, where archives of Windows have it
    for name in ("d/\xe91.png".encode(), "d/\xe92.png".encode()):
        first, second = data.index(name), data.rindex(name)
        data[second + 2] = 0xFF
        if name.endswith(b"1.png"):
            data[first + 2] = 0xFF
    path.write_bytes(data)
    return path


def test_a_zip_archive_with_odd_names(tmp_path):
    """The members count under the names of the directory; a name that is no UTF-8 is one of the old code page."""
    path = odd_names(tmp_path / "odd.zip")
    names = ["d/1.png", "d/2.png", *(b"d/\xff\xa9%d.png".replace(b"%d", b"%d" % i).decode("cp437") for i in (1, 2))]
    assert read_all(path) == dict(zip(names, ["ok", "ok", "damaged", "ok"], strict=True))
    store = Store(path)
    assert store.pictures() == sorted(names)
    assert all(store.read(name, 2**22) == PNG for name in names if name != names[2])
