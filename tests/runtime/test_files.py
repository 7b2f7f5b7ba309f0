"""Files that nobody vouches for: each gives a row with the right status; and files written without loss."""

import contextlib
import os
import socket
import tempfile
from pathlib import Path

import pytest
from image_files import HOSTILE, PNG

from kgan.runtime import files
from kgan.runtime.files import Limits, Undecodable, put, read_file
from kgan.runtime.inputs import find

pytestmark = pytest.mark.backend_free


# === Reading ===


def special_files(folder):
    """Makes what is no regular file, or cannot be read; returns `{name: status}`."""
    os.mkfifo(folder / "pipe.jpg")
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(folder / "socket.png"))
    (folder / "loop.png").symlink_to("loop.png")
    (folder / "dangling.png").symlink_to("nowhere.png")
    (folder / "link.png").symlink_to("png.jpg")
    (folder / "folder link.png").symlink_to("..")
    (folder / "zeros.jpg").symlink_to("/dev/zero")
    (folder / "broken disk.png").symlink_to("/proc/self/mem")  # a regular file; reading it fails
    (folder / "folder.png").mkdir()
    (folder / "folder.png" / "inside.png").write_bytes(PNG)
    (folder / os.fsdecode(b"not utf-8 \xff.png")).write_bytes(PNG)
    (folder / ".hidden.png").write_bytes(PNG)
    return {
        "pipe.jpg": "not_a_file",
        "socket.png": "not_a_file",
        "loop.png": "unreadable",
        "dangling.png": "missing",
        "link.png": "ok",
        "folder link.png": "not_a_file",
        "zeros.jpg": "not_a_file",
        "broken disk.png": "unreadable",
        "folder.png/inside.png": "ok",
        os.fsdecode(b"not utf-8 \xff.png"): "ok",
    }


@pytest.fixture(scope="module")
def hostile(tmp_path_factory, text_filter):
    """`({name: status} of what was made, [(name, row)] of what came out)`."""
    # A short path, for that of a socket must be.
    folder = tmp_path_factory.mktemp("h")
    for name, (data, _) in HOSTILE.items():
        (folder / name).write_bytes(data)
    expected = {name: status for name, (_, status) in HOSTILE.items()} | special_files(folder)
    limits = Limits(pixels=10_000_000, bytes=2**22, seconds=0.5)
    rows = list(text_filter.filter([folder], threshold=0.01, processes=1, limits=limits))
    return expected, [(row["path"][len(str(folder)) + 1 :], row) for row in rows]


def test_hostile_files_give_one_row_each_in_order(hostile):
    expected, rows = hostile
    assert len(expected) >= 60
    # The order of a walk: parts of a path compare one by one.
    assert [name for name, _ in rows] == sorted(expected, key=lambda name: name.split("/"))


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_file(hostile, name):
    expected, rows = hostile
    found = dict(rows)[name]
    assert found["status"] == expected[name]
    assert set(found) == {"path", "score", "decision", "status"}
    if expected[name] == "ok":
        assert 0 < found["score"] <= 1 and found["decision"] == "text"
    else:
        assert found["score"] is None and found["decision"] is None


def test_special_files(hostile):
    expected, rows = hostile
    special = {name: row["status"] for name, row in rows if name not in HOSTILE}
    assert special == {name: status for name, status in expected.items() if name not in HOSTILE}


def test_every_status_is_in_the_table(hostile):
    for status in {*hostile[0].values(), "unsafe_name"}:
        assert f"| `{status}` |" in files.__doc__


def test_paths_that_cannot_be(tmp_path, text_filter):
    (tmp_path / "file.png").write_bytes(PNG)
    paths = ["none.png", "file.png/below.png", "a" * 300 + ".png", "nul\0.png"]
    rows = text_filter.filter([tmp_path / path for path in paths], processes=1)
    assert [row["status"] for row in rows] == ["missing", "missing", "unreadable", "missing"]


@contextlib.contextmanager
def without_privileges():
    """Root may read everything; so may, for once, nobody."""
    before = os.geteuid()
    if before == 0:
        os.seteuid(65534)
    try:
        yield
    finally:
        os.seteuid(before)


def test_files_without_permission(tmp_path):
    (tmp_path / "file.png").write_bytes(PNG)
    (tmp_path / "folder").mkdir()
    (tmp_path / "file.png").chmod(0)
    (tmp_path / "folder").chmod(0)
    top = Path(tempfile.gettempdir()).resolve()
    for folder in (tmp_path, *tmp_path.parents):
        if top in folder.parents:
            folder.chmod(0o755)
    with without_privileges():
        file, folder = find([tmp_path])
        for read in (lambda: read_file(file.path, 2**20), lambda: folder.read(2**20)):
            with pytest.raises(Undecodable) as caught:
                read()
            assert caught.value.status == "unreadable"


# === Writing ===


def test_places_that_clash_or_are_no_names(tmp_path):
    for place, data in (("a", b"1"), ("a/b.png", b"2"), ("c/d.png", b"3"), ("c", b"4"), ("x" * 300 + ".png", b"5")):
        for _ in range(2):
            put(tmp_path, place, data)
    found = {path.relative_to(tmp_path).as_posix(): path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    assert sorted(found.values()) == [b"1", b"2", b"3", b"4", b"5"]
    assert found["a"] == b"1" and found["c/d.png"] == b"3" and found["c-2"] == b"4"
