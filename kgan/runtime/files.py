"""Reading untrusted files within limits, and writing files whole.

Reading and decoding a file gives pixels or a status:

| status | meaning |
|---|---|
| `ok` | the file was decoded |
| `empty` | the file has no bytes |
| `not_an_image` | the file does not start like any known image format |
| `unsupported` | an image of another format or of a kind that Pillow does not read, or an archive member with an \
unsupported compression method |
| `needs_pillow_heif` | a HEIC photo, which the package `pillow-heif` reads |
| `truncated` | the file ends before its last pixel |
| `damaged` | the image or the archive is corrupt |
| `too_large` | it exceeds the limit on bytes or pixels, or decoding runs out of memory |
| `missing` | the file does not exist |
| `unreadable` | access is denied, the archive member is encrypted, or reading failed |
| `not_a_file` | a pipe, socket or device; in an archive also a link |
| `unsafe_name` | an archive member whose name leads outside the archive |
| `crashed` | decoding killed its process or exceeded the time limit |
"""

import dataclasses
import errno
import hashlib
import itertools
import os
import stat
from pathlib import Path

# The formats of nearly all photos, as Pillow calls them, and the first bytes of each.
FORMATS = {
    "JPEG": b"\xff\xd8\xff",
    "PNG": b"\x89PNG\r\n\x1a\n",
    "WEBP": b"RIFF",
    "GIF": b"GIF8",
    "BMP": b"BM",
    "TIFF": (b"II*\0", b"MM\0*"),
    "JPEG2000": (b"\0\0\0\x0cjP  \r\n\x87\n", b"\xff\x4f\xff\x51\0"),
}
# Of files that begin with brands, the first of them that make photos. Others are films, or unusual photos. Photos of
# the general brands are AVIF if one of its brands follows, and else HEIC.
BRANDS = {"AVIF": {b"avif", b"avis"}, "HEIF": {b"heic", b"heix", b"heim", b"heis", b"mif1", b"msf1"}}
GENERAL = {b"mif1", b"msf1"}
# First bytes of other image formats, JPEG XL, big TIFF, Photoshop, icons: they are `unsupported`, not `not_an_image`.
OTHER_IMAGES = b"\0\0\0\x0cJXL ", b"\xff\x0a", b"II+\0", b"MM\0+", b"8BPS", b"\0\0\1\0"
HEAD = 64  # bytes needed to recognise a format
PART = 2**20  # most bytes per read


class Undecodable(ValueError):
    """A file that gives no pixels; `status` is the reason."""

    def __init__(self, status, message=None):
        super().__init__(message or status)
        self.status = status


@dataclasses.dataclass(frozen=True)
class Limits:
    """Limits for one image. Above `pixels` or `bytes` its status is `too_large`, above `seconds` it is `crashed`.

    Args:
        pixels: width times height according to the header.
        bytes: size of the file, or of the unpacked archive member.
        seconds: processor time for decoding and scoring; not enforced on Windows.
    """

    pixels: int = 100_000_000
    bytes: int = 64_000_000
    seconds: float = 60.0


def sniff(head):
    """Returns the format of a file, of `FORMATS` or `BRANDS`, given its first `HEAD` bytes.

    Raises:
        Undecodable: `empty`, `unsupported` or `not_an_image`.
    """
    if not head:
        raise Undecodable("empty")
    for kind, beginning in FORMATS.items():
        if head.startswith(beginning) and (kind != "WEBP" or head[8:12] == b"WEBP"):
            return kind
    if head[4:8] == b"ftyp":
        end = min(int.from_bytes(head[:4], "big"), len(head))
        first, others = head[8:12], {head[at : at + 4] for at in range(16, end - 3, 4)}
        if first in BRANDS["AVIF"] or (first in GENERAL and others & BRANDS["AVIF"]):
            return "AVIF"
        if first in BRANDS["HEIF"]:
            return "HEIF"
        raise Undecodable("unsupported", "a film, or a photo of an unusual brand")
    if head.startswith(OTHER_IMAGES):
        raise Undecodable("unsupported")
    raise Undecodable("not_an_image")


def read_file(path, max_bytes):
    """Returns the bytes of a regular file that starts like an image.

    Raises:
        Undecodable: the file is anything else, larger than `max_bytes`, missing or unreadable.
    """
    try:
        # Opening a device can have side effects, so the type is checked first. If a pipe takes the file's place after
        # the check, O_NONBLOCK keeps the open from waiting for a writer.
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
    """Returns the bytes of an open file whose stated size is `size`.

    Raises:
        Undecodable: the file does not start like an image, or is larger than `max_bytes`.
    """
    parts = [file.read(HEAD)]
    sniff(parts[0])
    # The stated size may be wrong, so read until the data end or exceed the limit by one byte.
    left = max_bytes + 1 - len(parts[0]) if size <= max_bytes else 0
    while left > 0:
        parts.append(file.read(min(PART, left)))
        left -= len(parts[-1])
        if not parts[-1]:
            return b"".join(parts)
    raise Undecodable("too_large", f"more than {max_bytes} bytes")


# === Writing ===


def put(folder, place, data):
    """Writes a file at `place` in a folder.

    A file with other contents at that place is kept: the new file becomes `name-2`, `name-3` and so on.

    Returns:
        `Path` of the file.
    """
    try:
        return put_at(Path(folder, place), data)
    except OSError as error:
        # A parent folder's name is taken by a file, or this file system refuses the name: a hash replaces it.
        if error.errno not in (errno.ENOTDIR, errno.EEXIST, errno.ENAMETOOLONG, errno.EILSEQ, errno.EINVAL):
            raise
        name = hashlib.sha256(os.fsencode(place)).hexdigest()[:32]
        return put_at(Path(folder, name + os.path.splitext(place)[1][:8]), data)


def put_at(path, data):
    stem, suffix = path.stem, path.suffix
    for number in itertools.count(2):
        try:
            if path.read_bytes() == data:
                return path
        except FileNotFoundError:
            break
        except IsADirectoryError:
            pass
        path = path.with_name(f"{stem}-{number}{suffix}")
    path.parent.mkdir(parents=True, exist_ok=True)
    write_whole(path, data)
    return path


def write_whole(path, data):
    """Writes a file under a temporary name and renames it, so that no partial file appears at `path`."""
    # The temporary name is always the same: the next run overwrites what a killed run left behind.
    partial = path.with_name(f".{hashlib.sha256(os.fsencode(path.name)).hexdigest()[:16]}.part")
    partial.write_bytes(data)
    os.replace(partial, path)
