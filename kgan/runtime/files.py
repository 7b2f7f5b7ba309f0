"""Files that nobody vouches for: reading them within limits, and writing others whole.

Whatever a file holds, reading and decoding it gives pixels or a `status`:

| status | what it says of the file |
|---|---|
| `ok` | it was decoded |
| `empty` | it has no bytes |
| `not_an_image` | it does not begin like an image |
| `unsupported` | an image of a kind that is not read (see `FORMATS`), or a member of an archive packed in such a way |
| `truncated` | it ends before its last pixel |
| `damaged` | it begins like an image, and then makes no sense; or an archive that does |
| `too_large` | more bytes, pixels or memory than the limits allow |
| `missing` | there is no such file |
| `unreadable` | it may not be read (rights, an encrypted archive), or reading it failed |
| `not_a_file` | a pipe, a socket, a device; in an archive also a link |
| `unsafe_name` | a member of an archive with a name that leads out of the archive |
| `crashed` | decoding it took the process down, or more than the seconds allowed |
"""

import dataclasses
import errno
import hashlib
import itertools
import os
import stat
from pathlib import Path

# Five formats that hold nearly all photos, and how a file of each begins. TIFF stays out: its decoder is a zoo of
# old compressions with a long record of flaws, and what strangers send is hardly ever TIFF.
FORMATS = {"JPEG": b"\xff\xd8\xff", "PNG": b"\x89PNG\r\n\x1a\n", "WEBP": b"RIFF", "GIF": b"GIF8", "BMP": b"BM"}
# Beginnings of other images, so that these are told from files that are none.
OTHER_IMAGES = (
    *(b"II*\0", b"MM\0*", b"II+\0", b"MM\0+"),  # TIFF
    *(b"\0\0\0\x0cjP  ", b"\0\0\0\x0cJXL ", b"\xff\x0a"),  # JPEG 2000, JPEG XL
    *(b"8BPS", b"\0\0\1\0"),  # Photoshop, icons
)
HEAD = 16  # bytes that tell what a file is
PART = 2**20  # bytes read at once


class Undecodable(ValueError):
    """A file gives no pixels; `status` says why."""

    def __init__(self, status, message=None):
        super().__init__(message or status)
        self.status = status


@dataclasses.dataclass(frozen=True)
class Limits:
    """What one image may cost; beyond it a file is `too_large`, or, for the seconds, `crashed`.

    Args:
        pixels: width times height, as the header has it.
        bytes: of the file, or of the unpacked member of an archive.
        seconds: of processor time to decode and score it; not on Windows.
    """

    pixels: int = 100_000_000
    bytes: int = 64_000_000
    seconds: float = 60.0


def sniff(head):
    """The format of a file, one of `FORMATS`, by its first `HEAD` bytes."""
    if not head:
        raise Undecodable("empty")
    for kind, beginning in FORMATS.items():
        if head.startswith(beginning) and (kind != "WEBP" or head[8:12] == b"WEBP"):
            return kind
    # HEIC, AVIF and their kin; MP4 begins like them.
    if head.startswith(OTHER_IMAGES) or head[4:8] == b"ftyp":
        raise Undecodable("unsupported")
    raise Undecodable("not_an_image")


def read_file(path, max_bytes):
    """Reads a regular file that begins like an image, and no other."""
    try:
        # What opening a device does nobody knows, hence the look before; and without O_NONBLOCK a pipe that has no
        # writer would hold up the run.
        if not stat.S_ISREG(os.stat(path).st_mode):
            raise Undecodable("not_a_file")
        flags = os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)
        with open(os.open(path, flags), "rb", buffering=0) as file:
            found = os.fstat(file.fileno())
            if not stat.S_ISREG(found.st_mode):
                raise Undecodable("not_a_file")
            return read_bounded(file, found.st_size, max_bytes)
    except Undecodable:
        raise
    except OSError as error:
        gone = error.errno in (errno.ENOENT, errno.ENOTDIR)
        raise Undecodable("missing" if gone else "unreadable", str(error)) from None
    except ValueError as error:  # a name with a NUL in it
        raise Undecodable("missing", str(error)) from None


def read_bounded(file, size, max_bytes):
    """Reads an open file, said to have `size` bytes, as long as it begins like an image and keeps to the limit."""
    parts = [file.read(HEAD)]
    sniff(parts[0])
    # The size may be a lie, so the end is where nothing more comes, or one byte beyond the limit.
    left = max_bytes + 1 - len(parts[0]) if size <= max_bytes else 0
    while left > 0:
        parts.append(file.read(min(PART, left)))
        left -= len(parts[-1])
        if not parts[-1]:
            return b"".join(parts)
    raise Undecodable("too_large", f"more than {max_bytes} bytes")


# === Writing ===


def put(folder, place, data):
    """Writes a file at `place` in a folder; another file there stays, and this one is called `name-2` or so."""
    try:
        put_at(Path(folder, place), data)
    except OSError as error:
        # A file where this one wants a folder, or a name too long for this disk: both come out of archives.
        if error.errno not in (errno.ENOTDIR, errno.EEXIST, errno.ENAMETOOLONG, errno.EILSEQ, errno.EINVAL):
            raise
        name = hashlib.sha256(os.fsencode(place)).hexdigest()[:32]
        put_at(Path(folder, name + os.path.splitext(place)[1][:8]), data)


def put_at(path, data):
    stem, suffix = path.stem, path.suffix
    for number in itertools.count(2):
        try:
            if path.read_bytes() == data:
                return
        except FileNotFoundError:
            break
        except IsADirectoryError:
            pass
        path = path.with_name(f"{stem}-{number}{suffix}")
    path.parent.mkdir(parents=True, exist_ok=True)
    write_whole(path, data)


def write_whole(path, data):
    """Writes a file that is there whole or not at all."""
    # The same name each time: what a killed run has left of it, the one that continues it puts right.
    partial = path.with_name(f".{hashlib.sha256(os.fsencode(path.name)).hexdigest()[:16]}.part")
    partial.write_bytes(data)
    os.replace(partial, path)
