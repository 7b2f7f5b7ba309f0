"""Looks at the directory of a TIFF file before Pillow and its libraries do.

The format allows nearly everything, and its decoders have a long record of vulnerabilities. What photographs and scans
use is let through, and what would be decoded to wrong pixels, in silence, is not.
"""

import struct

from kgan.runtime.files import Undecodable

# Uncompressed, fax (group 3 and 4), LZW, JPEG, deflate (two numbers), PackBits, Zstandard.
COMPRESSIONS = {1, 3, 4, 5, 7, 8, 32946, 32773, 50000}
PHOTOMETRICS = {0, 1, 2, 3, 5, 6, 8}  # grey, both ways; RGB, palette, inks, YCbCr, Lab
NUMBERS = {1: "B", 3: "H", 4: "I"}  # types of whole numbers, as `struct` calls them
TILE = 2**22  # pixels of a tile that are always allowed
ENTRIES = 4096  # in a directory, at most
KIND, WIDTH, HEIGHT, BITS, COMPRESSION, PHOTOMETRIC = 254, 256, 257, 258, 259, 262
STRIPS, SAMPLES, STRIP_BYTES, PLANAR, TILE_WIDTH, TILE_HEIGHT = 273, 277, 279, 284, 322, 323
TILES, TILE_BYTES, SAMPLE_FORMAT, DNG = 324, 325, 339, 50706


def check(data, max_pixels):
    """Raises `Undecodable` for a file that shall not be decoded.

    Args:
        data: bytes of the whole file.
        max_pixels: most pixels of an image, and of a tile.
    """
    tags = directory(data)

    def one(tag, default=None):
        values = tags.get(tag, [default])
        if len(values) != 1 or values[0] is None:
            raise Undecodable("damaged", f"TIFF tag {tag}")
        return values[0]

    width, height, bits = one(WIDTH), one(HEIGHT), set(tags.get(BITS, [1]))
    compression, samples = one(COMPRESSION, 1), one(SAMPLES, 1)
    if width * height > max_pixels:
        raise Undecodable("too_large", f"{width} x {height} pixels")
    deep = max(bits, default=0) > 8
    reasons = {
        f"compression {compression}": compression not in COMPRESSIONS,
        "a raw photograph or a preview": DNG in tags or one(KIND, 0) & 1,
        f"{sorted(bits)} bits": len(bits) != 1 or not bits <= {1, 2, 4, 8, 16},
        "signed or floating-point numbers": set(tags.get(SAMPLE_FORMAT, [1])) != {1},
        "16 bits in separate planes or inverted": deep and (one(PLANAR, 1) != 1 or one(PHOTOMETRIC, 1) == 0),
        f"{samples} samples": not 1 <= samples <= 5,
        f"colours of kind {one(PHOTOMETRIC, 1)}": one(PHOTOMETRIC, 1) not in PHOTOMETRICS,
    }
    for reason, found in reasons.items():
        if found:
            raise Undecodable("unsupported", f"TIFF with {reason}")
    if TILE_WIDTH in tags and one(TILE_WIDTH) * one(TILE_HEIGHT) > max(TILE, min(4 * width * height, max_pixels)):
        raise Undecodable("too_large", f"tiles of {one(TILE_WIDTH)} x {one(TILE_HEIGHT)} pixels")
    starts, sizes = (tags.get(a) or tags.get(b) or [] for a, b in ((STRIPS, TILES), (STRIP_BYTES, TILE_BYTES)))
    if any(start + size > len(data) for start, size in zip(starts, sizes, strict=False)):
        raise Undecodable("truncated", "its pixels lie behind its end")


def directory(data):
    """Returns the whole numbers in the first directory, `{tag: list}`; of other types, an empty list.

    A tag that occurs twice, which Pillow and libtiff may read differently, makes the file `damaged`.
    """
    order = "<" if data.startswith(b"II") else ">"

    def unpack(form, at):
        if at + struct.calcsize(form) > len(data):
            raise Undecodable("truncated", "its directory lies behind its end")
        return struct.unpack_from(order + form, data, at)

    (at,) = unpack("I", 4)
    (count,) = unpack("H", at)
    if not 0 < count <= ENTRIES:
        raise Undecodable("damaged", f"{count} entries in its directory")
    unpack(f"{12 * count}s", at + 2)
    tags = {}
    for entry in range(at + 2, at + 2 + 12 * count, 12):
        tag, kind, number = unpack("HHI", entry)
        if tag in tags:
            raise Undecodable("damaged", f"TIFF tag {tag} twice")
        tags[tag] = []
        if kind in NUMBERS and number:
            size = number * struct.calcsize(order + NUMBERS[kind])
            place = entry + 8 if size <= 4 else unpack("I", entry + 8)[0]
            if place + size > len(data):
                raise Undecodable("truncated", f"TIFF tag {tag} lies behind its end")
            tags[tag] = list(struct.unpack_from(f"{order}{number}{NUMBERS[kind]}", data, place))
    return tags
