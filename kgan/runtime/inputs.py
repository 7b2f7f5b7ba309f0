"""The images of a run: files given by name, and the contents of folders and archives."""

import bz2
import contextlib
import copy
import dataclasses
import glob
import gzip
import io
import lzma
import os
import re
import stat
import tarfile
import warnings
import zipfile
from collections.abc import Callable
from functools import partial

from kgan.runtime.files import PART, Undecodable, read_bounded
from kgan.runtime.parquet import arrow, parquet_images, take

ZIP = (".zip", ".cbz")
TAR = (".tar", ".tar.gz", ".tgz", ".tar.bz2", ".tbz2", ".tbz", ".tar.xz", ".txz", ".cbt")
PARQUET = (".parquet",)
ARCHIVES = ZIP + TAR + PARQUET
BRACES = re.compile(r"\{[^{}/]*(,|\.\.)[^{}/]*\}")
BEHIND = 2048  # blocks behind the end mark of a tar archive that are looked at
GROUP_IMAGES, GROUP_BYTES = 8, 2**23  # most images and bytes per message to a worker
UNPACK = {b"\x1f\x8b": gzip.open, b"BZh": bz2.open, b"\xfd7zXZ\0": lzma.open}  # by the first bytes of the file


@dataclasses.dataclass(slots=True)
class Input:
    """One image of a run.

    Args:
        name: its path as shown in the rows; for an archive member, `archive!member`.
        place: relative path for a copy in another folder, with `/` as the separator.
        path: path of the file; None for an archive member.
        read: function of `max_bytes` that returns an archive member's bytes or raises `Undecodable`. It must be called
            before the next input is requested. None for a file.
    """

    name: str
    place: str
    path: str | None = None
    read: Callable | None = None


def expand(pattern):
    """Returns the sorted paths that match a glob pattern. A path without wildcards, or one that exists, is returned as
    it is.

    Raises:
        ValueError: no path matches the pattern, or it has braces, which shells expand.
    """
    if os.path.lexists(pattern):
        return [pattern]
    found = sorted(glob.glob(pattern, recursive=True))
    if not found and BRACES.search(pattern):
        raise ValueError(f"no file is named {pattern!r}: leave out the quotes, for the shell to expand the braces")
    if not glob.has_magic(pattern):
        return [pattern]
    if not found:
        raise ValueError(f"no file matches {pattern!r}")
    return found


def find(paths, leave_out=()):
    """Finds the images of a run, always in the same order.

    A folder yields the files in it and in its subfolders, sorted by name, without hidden files; links to folders are
    not followed. An archive (zip, or tar with or without gzip, bzip2 or xz) yields its members in archive order and is
    never unpacked to disk. A Parquet file with a column of images is an archive, too. Archives inside folders or other
    archives are not opened. A path given twice is yielded twice.

    Args:
        paths: iterable of paths.
        leave_out: paths of files and folders to skip when folders are searched, by whatever links they are reached.

    Yields:
        `Input` objects.
    """
    leave_out = {place for path in leave_out for place in (in_real_folder(path), os.path.realpath(path))}
    for path in map(os.fspath, paths):
        if os.path.isdir(path):
            yield from noting_archives(path, walk(path, leave_out), lambda found: found.name)
        elif path.lower().endswith(ARCHIVES) and os.path.isfile(path):
            yield from members(path)
        else:
            yield Input(path, os.path.basename(path), path)


def noting_archives(folder, found, name_of):
    """Yields what was found in a folder, and then warns of archives there, which are taken for images."""
    first, count = None, 0
    for each in found:
        if name_of(each).lower().endswith(ARCHIVES):
            first, count = first or name_of(each), count + 1
        yield each
    if first:
        pattern = f"{first.rpartition('/')[0]}/*{os.path.splitext(first)[1]}"
        many = "an archive" if count == 1 else f"{count} archives"
        warnings.warn(
            f"{many} in {folder} taken for images: to open them, pass a pattern such as {pattern}", stacklevel=2
        )


def in_real_folder(path):
    """Returns the absolute path of a file or folder, with the links in its parents resolved, but not its own."""
    folder, name = os.path.split(os.path.abspath(path))
    return os.path.join(os.path.realpath(folder), name)


def walk(root, leave_out):
    real = os.path.realpath(root)  # whose subfolders are real, too: links to folders are not followed
    # An explicit stack, because a hostile folder tree can exceed Python's recursion limit.
    folders = [listing(root, "")]
    while folders:
        entry = next(folders[-1], None)
        if entry is None:
            folders.pop()
        elif os.path.join(real, entry.place) in leave_out:
            continue
        elif entry.read is None and os.path.isdir(entry.path) and not os.path.islink(entry.path):
            folders.append(listing(entry.path, entry.place + "/"))
        else:
            yield entry


def listing(folder, place):
    """Returns an iterator over the entries of a folder, sorted by name."""
    try:
        names = sorted(os.listdir(folder))
    except OSError as error:
        return iter([Input(folder, place.rstrip("/"), read=refuse("unreadable", str(error)))])
    return (Input(path := os.path.join(folder, name), place + name, path) for name in names if not hidden(name))


def hidden(name):
    """Whether a file or folder is hidden by a leading dot, or is one that macOS or Windows adds by itself."""
    return name.startswith(".") or name.lower() in ("__macosx", "thumbs.db", "desktop.ini")


def members(path):
    """Yields the members of an archive. If reading it fails, the last input is the archive itself, with the reason.

    Raises:
        ValueError: it is a Parquet file, and pyarrow is not installed.
    """
    suffix = path.lower()
    if suffix.endswith(PARQUET):
        arrow()
    try:
        if suffix.endswith(PARQUET):
            yield from parquet_members(path)
        else:
            yield from zip_members(path) if suffix.endswith(ZIP) else tar_members(path)
    except Undecodable as error:
        if suffix.endswith(PARQUET):  # whose columns are the caller's to mend
            warnings.warn(f"{path}: {error}", stacklevel=2)
        yield Input(path, os.path.basename(path), read=refuse(error.status, str(error)))
    except Exception as error:  # On corrupt archives Python's readers raise exceptions of almost any type.
        status = "unreadable" if isinstance(error, PermissionError) else "damaged"
        yield Input(path, os.path.basename(path), read=refuse(status, str(error)))


def zip_members(path):
    with open_zip(path) as archive:
        for info in archive.infolist():
            if not info.is_dir():
                yield from member(path, info.filename, partial(read_zipped, archive, info))


def read_zipped(archive, info, max_bytes):
    if stat.S_ISLNK(info.external_attr >> 16):
        raise Undecodable("not_a_file")
    if info.flag_bits & 1:
        raise Undecodable("unreadable", "encrypted")
    # For the other methods zipfile may decompress a whole block at once, of any size.
    if info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        raise Undecodable("unsupported", f"compression method {info.compress_type}")
    with unpacking(), open_zipped(archive, info) as file:
        return read_bounded(file, info.file_size, max_bytes)


UTF8 = 0x800  # the flag of a zip member whose name is said to be UTF-8


def open_zip(path):
    """Opens a zip archive for reading, even if a name in it is said to be UTF-8 and is not."""
    try:
        return zipfile.ZipFile(path)
    except UnicodeDecodeError:
        return ZipWithOddNames(path)


class ZipWithOddNames(zipfile.ZipFile):
    """An archive in which a name is said to be UTF-8 and is not. Such names are read as the old code page 437."""

    def __init__(self, path):
        self.file = Directory(io.FileIO(path))
        super().__init__(self.file)
        self.file.corrects = False  # what follows are members

    def close(self):
        super().close()
        self.file.close()


class Directory(io.BufferedReader):
    """A zip file in whose directory the flag of UTF-8 stands only where it is true."""

    corrects = True

    def read(self, size=-1):
        data = super().read(size)
        if not self.corrects or not data.startswith(b"PK\1\2"):
            return data
        data, start = bytearray(data), 0
        while data[start : start + 4] == b"PK\1\2":
            flags, *lengths = (
                int.from_bytes(data[start + i : start + i + 2], "little") for i in (8, 28, 30, 32)
            )  # of name, extra field and comment
            name = data[start + 46 : start + 46 + lengths[0]]
            try:
                name.decode()
            except UnicodeDecodeError:
                data[start + 8 : start + 10] = (flags & ~UTF8).to_bytes(2, "little")
            start += 46 + sum(lengths)
        return bytes(data)


def open_zipped(archive, info):
    """Opens a member of a zip archive, even if it is called otherwise in front of its data than in the directory."""
    try:
        return archive.open(info)
    except (zipfile.BadZipFile, UnicodeDecodeError):
        with open(archive.filename, "rb") as file:
            file.seek(info.header_offset)
            header = file.read(30)
            name = file.read(int.from_bytes(header[26:28], "little"))
        info = copy.copy(info)
        info.orig_filename = name.decode("utf-8" if int.from_bytes(header[6:8], "little") & UTF8 else "cp437")
        return archive.open(info)


def tar_members(path):
    with open(path, "rb") as file:
        head = file.read(6)
    unpack = next((unpack for beginning, unpack in UNPACK.items() if head.startswith(beginning)), open)
    with unpack(path, "rb") as file:
        parts = InParts(file)
        with tarfile.open(fileobj=parts, mode="r:") as archive:
            while (info := archive.next()) is not None:
                archive.members.clear()  # tarfile would keep every member in memory
                if not info.isdir():
                    yield from member(path, info.name, partial(read_tarred, archive, info))
        # tarfile takes a header that it cannot read, and the end of the file, for the end of the archive.
        if len(parts.last) < tarfile.BLOCKSIZE:
            raise Undecodable("truncated", "its end mark is missing")
        if parts.last.strip(b"\0") or another_archive(file):
            raise Undecodable("damaged", "it goes on behind its last member")


def another_archive(file):
    """Whether an archive follows behind the end mark of one. What else follows means nothing, as for GNU tar."""
    try:
        for _ in range(BEHIND):
            block = file.read(tarfile.BLOCKSIZE)
            if block.strip(b"\0"):
                tarfile.TarInfo.frombuf(block, "utf-8", "surrogateescape")
                return True
            if not block:
                break
    except Exception:  # no header, or no longer packed: all members have been read
        pass
    return False


def read_tarred(archive, info, max_bytes):
    if not info.isreg() or info.issparse():
        raise Undecodable("not_a_file")
    with unpacking(), archive.extractfile(info) as file:
        return read_bounded(file, info.size, max_bytes)


def parquet_members(path):
    for number, image in enumerate(parquet_images(path)):
        yield from member(path, str(number), partial(take, image))


class InParts:
    """A file that refuses large reads: the headers of a hostile tar archive can request any number of bytes.

    `last` is what the last read gave.
    """

    def __init__(self, file):
        self.file, self.last = file, b""
        self.seek, self.tell = file.seek, file.tell

    def read(self, size):
        if size > PART:
            raise tarfile.ReadError(f"a header of {size} bytes")
        self.last = self.file.read(size)
        return self.last


def member(archive, name, read):
    """Yields the input for an archive member, or nothing if the member is hidden."""
    parts = name.replace("\\", "/").split("/")
    if ".." in parts or parts[0] == "" or "\0" in name or os.path.splitdrive(name)[0]:
        yield Input(f"{archive}!{name}", "", read=refuse("unsafe_name"))
        return
    parts = [part for part in name.split("/") if part not in ("", ".")]
    if not any(map(hidden, parts)):
        yield Input(f"{archive}!{name}", "/".join([os.path.basename(archive), *parts]), read=read)


def refuse(status, message=None):
    """Returns a `read` function that raises `Undecodable`."""

    def read(max_bytes):
        raise Undecodable(status, message)

    return read


@contextlib.contextmanager
def unpacking():
    """Turns any exception that Python's readers raise on a corrupt member into `Undecodable`."""
    try:
        yield
    except Undecodable:
        raise
    except Exception as error:
        raise Undecodable("damaged", str(error)) from None


def grouped(inputs, max_bytes, most=GROUP_IMAGES):
    """Groups inputs into messages of bounded size, to save both transfer time and memory.

    Args:
        inputs: iterable of `Input`.
        max_bytes: most bytes of an archive member.
        most: most inputs in a message; fewer where each takes long.

    Yields:
        Lists of `(input, (path, data))`, with the arguments of an `Examiner`.
    """
    group, size = [], 0
    for found in inputs:
        data = None
        if found.read is not None:
            try:
                data = found.read(max_bytes)
                size += len(data)
            except Undecodable as error:
                data = error.status
        group.append((found, (found.path, data)))
        if len(group) == most or size >= GROUP_BYTES:
            yield group
            group, size = [], 0
    if group:
        yield group
