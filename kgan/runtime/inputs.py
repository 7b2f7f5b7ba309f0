"""Which images a run looks at: files, and what is in folders and archives."""

import bz2
import contextlib
import dataclasses
import glob
import gzip
import lzma
import os
import stat
import tarfile
import zipfile
from collections.abc import Callable
from functools import partial

from kgan.runtime.files import PART, Undecodable, read_bounded

OPEN_TAR = {".tar": open, ".tar.gz": gzip.open, ".tgz": gzip.open, ".tar.bz2": bz2.open, ".tar.xz": lzma.open}


@dataclasses.dataclass(slots=True)
class Input:
    """One image to look at.

    Args:
        name: what its row calls it: a path, or `archive!member`.
        place: where a copy of it goes below another folder, with `/` between the parts.
        path: the file; None for a member of an archive.
        read: function of the most bytes allowed, which returns a member's bytes or raises `Undecodable`; it must be
            called before the next input is asked for. None for a file.
    """

    name: str
    place: str
    path: str | None = None
    read: Callable | None = None


def expand(pattern):
    """Returns the sorted paths that a pattern stands for; a name without a pattern, or that exists, stands for itself.

    Raises:
        ValueError: nothing fits the pattern.
    """
    if not glob.has_magic(pattern) or os.path.lexists(pattern):
        return [pattern]
    found = sorted(glob.glob(pattern, recursive=True))
    if not found:
        raise ValueError(f"no file fits {pattern!r}")
    return found


def find(paths, leave_out=()):
    """Finds images, in an order that is the same each time.

    A folder stands for all files below it but the hidden ones, in order of their names; links to folders in it are not
    followed. An archive (zip; tar, also packed by gzip, bzip2 or xz) stands for its members in their own order, which
    are read in memory. An archive in a folder or in an archive is a file like any other. What is named twice comes
    twice.

    Args:
        paths: iterable of paths.
        leave_out: absolute paths of files and folders to pass over in folders.

    Yields:
        `Input`.
    """
    for path in map(os.fspath, paths):
        if os.path.isdir(path):
            yield from walk(path, leave_out)
        elif path.lower().endswith((".zip", *OPEN_TAR)) and os.path.isfile(path):
            yield from members(path)
        else:
            yield Input(path, os.path.basename(path), path)


def walk(root, leave_out):
    # A stack and no recursion: a hostile tree is deeper than Python's.
    folders = [listing(root, "")]
    while folders:
        entry = next(folders[-1], None)
        if entry is None:
            folders.pop()
        elif os.path.abspath(entry.name) in leave_out:
            continue
        elif entry.read is None and os.path.isdir(entry.path) and not os.path.islink(entry.path):
            folders.append(listing(entry.path, entry.place + "/"))
        else:
            yield entry


def listing(folder, place):
    """An iterator of what is in a folder, by name."""
    try:
        names = sorted(os.listdir(folder))
    except OSError as error:
        return iter([Input(folder, place.rstrip("/"), read=refuse("unreadable", str(error)))])
    return (Input(path := os.path.join(folder, name), place + name, path) for name in names if not hidden(name))


def hidden(name):
    """Whether a file or folder is hidden by a leading dot, or is one that macOS or Windows adds by itself."""
    return name.startswith(".") or name.lower() in ("__macosx", "thumbs.db", "desktop.ini")


def members(path):
    """The members of an archive; where it breaks off, last comes the archive itself, as damaged."""
    try:
        yield from zip_members(path) if path.lower().endswith(".zip") else tar_members(path)
    except Exception as error:  # Python's readers raise almost anything on a broken archive.
        status = "unreadable" if isinstance(error, PermissionError) else "damaged"
        yield Input(path, os.path.basename(path), read=refuse(status, str(error)))


def zip_members(path):
    with zipfile.ZipFile(path) as archive:
        for info in archive.infolist():
            if not info.is_dir():
                yield from member(path, info.filename, partial(read_zipped, archive, info))


def read_zipped(archive, info, max_bytes):
    if stat.S_ISLNK(info.external_attr >> 16):
        raise Undecodable("not_a_file")
    if info.flag_bits & 1:
        raise Undecodable("unreadable", "encrypted")
    # Of the other methods zipfile unpacks a whole block at once, however large.
    if info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        raise Undecodable("unsupported", f"compression method {info.compress_type}")
    with unpacking(), archive.open(info) as file:
        return read_bounded(file, info.file_size, max_bytes)


def tar_members(path):
    suffix = next(suffix for suffix in OPEN_TAR if path.lower().endswith(suffix))
    with OPEN_TAR[suffix](path, "rb") as file, tarfile.open(fileobj=InParts(file), mode="r:") as archive:
        while (info := archive.next()) is not None:
            archive.members.clear()  # else the list grows with the archive
            if not info.isdir():
                yield from member(path, info.name, partial(read_tarred, archive, info))


def read_tarred(archive, info, max_bytes):
    if not info.isreg() or info.issparse():
        raise Undecodable("not_a_file")
    with unpacking(), archive.extractfile(info) as file:
        return read_bounded(file, info.size, max_bytes)


class InParts:
    """A file of which nobody reads much at once: the headers of a hostile tar archive may ask for any amount."""

    def __init__(self, file):
        self.file = file
        self.seek, self.tell = file.seek, file.tell

    def read(self, size):
        if size > PART:
            raise tarfile.ReadError(f"a header of {size} bytes")
        return self.file.read(size)


def member(archive, name, read):
    """Yields the member of an archive, unless it is hidden."""
    parts = name.replace("\\", "/").split("/")
    if ".." in parts or parts[0] == "" or "\0" in name or os.path.splitdrive(name)[0]:
        yield Input(f"{archive}!{name}", "", read=refuse("unsafe_name"))
        return
    parts = [part for part in name.split("/") if part not in ("", ".")]
    if not any(map(hidden, parts)):
        yield Input(f"{archive}!{name}", "/".join([os.path.basename(archive), *parts]), read=read)


def refuse(status, message=None):
    """A `read` that fails."""

    def read(max_bytes):
        raise Undecodable(status, message)

    return read


@contextlib.contextmanager
def unpacking():
    """Turns whatever Python's readers raise on a broken member into `Undecodable`."""
    try:
        yield
    except Undecodable:
        raise
    except Exception as error:
        raise Undecodable("damaged", str(error)) from None
