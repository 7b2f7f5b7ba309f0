"""Files that hold a known picture, and files that are broken, hostile or no images, made in memory.

`HOSTILE` maps the name of each file to its bytes and the status that reading it must give.
"""

import gzip
import io
import os
import struct
import zlib

import numpy as np
import pillow_heif
from PIL import Image, ImageDraw, ImageFont

# A `sitecustomize.py` that makes some sizes of image dangerous to whoever decodes them: 13x13 kills the process, for
# 14x14 memory is too small, and 15x15 takes half a second.
DANGEROUS_SIZES = """
import os, time
import PIL.Image as pillow

opened = pillow.open

def open(file, *arguments, **options):
    image = opened(file, *arguments, **options)
    if image.size == (13, 13):
        os.kill(os.getpid(), 9)
    if image.size == (14, 14):
        raise MemoryError
    if image.size == (15, 15):
        time.sleep(0.5)
    return image

pillow.open = open
"""


def customised(folder, code):
    """The environment of a process that runs `code` before anything else; it is written to the folder."""
    (folder / "sitecustomize.py").write_text(code)
    return {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, [str(folder), os.environ.get("PYTHONPATH")]))}


def encode(image, kind="PNG", **options):
    if not isinstance(image, Image.Image):
        image = Image.fromarray(image)
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def chunk(name, body):
    return struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))


def png(samples, depth, colour, transparent=None, extra=b""):
    """A PNG file of samples `(height, width)` or `(height, width, n)` of 1 to 16 bits; Pillow cannot write them all."""
    height, width = samples.shape[:2]
    flat = samples.reshape(height, -1)
    if depth < 8:
        bits = (flat[..., None] >> np.arange(depth)[::-1]) & 1
        rows = np.packbits(bits.reshape(height, -1).astype("uint8"), axis=1)
    else:
        rows = flat.astype(">u2" if depth == 16 else "u1").view("u1").reshape(height, -1)
    data = zlib.compress(b"".join(b"\0" + row.tobytes() for row in rows))
    head = struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, 0)
    trns = b"" if transparent is None else chunk(b"tRNS", np.array(transparent, ">u2").tobytes())
    parts = [chunk(b"IHDR", head), extra, trns, chunk(b"IDAT", data), chunk(b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(parts)


def picture(width=600, height=400):
    """A gradient of colours with text on it."""
    y, x = np.indices((height, width)) / [[[height]], [[width]]]
    image = Image.fromarray((np.stack([60 + 120 * x, 90 + 100 * y, 200 - 90 * x * y], axis=-1)).astype("uint8"))
    font = ImageFont.load_default(height // 6)
    ImageDraw.Draw(image).multiline_text((width // 12, height // 8), "kgan reads\nthis TEXT", "white", font)
    return image


PICTURE = picture()
PIXELS = np.asarray(PICTURE)
GREY = np.asarray(PICTURE.convert("L"))
FINE = {"quality": 97, "subsampling": 0}
BROKEN_EXIF = b"Exif\0\0" + b"II*\0\xff\xff\xff\xff" + bytes(range(60))
PNG, JPEG, GIF, BMP = (
    encode(PICTURE.quantize(64) if kind == "GIF" else PICTURE, kind) for kind in ("PNG", "JPEG", "GIF", "BMP")
)
WEBP = encode(PICTURE, "WEBP")
pillow_heif.register_heif_opener()
TIFF, LZW, AVIF, HEIC, JPEG2000 = (
    encode(PICTURE, kind, **options)
    for kind, options in (
        ("TIFF", {}),
        ("TIFF", {"compression": "tiff_lzw"}),
        ("AVIF", {"quality": 90}),
        ("HEIF", {"quality": 90}),
        ("JPEG2000", {}),
    )
)


# === Hostile files ===


def png_of_size(width, height, depth=1):
    """A PNG file whose header claims a size that its few bytes of pixels do not have."""
    head = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, depth, 0, 0, 0, 0))
    return PNG[:8] + head + chunk(b"IDAT", zlib.compress(b"\0" * 100)) + chunk(b"IEND", b"")


def jpeg_of_size(width, height):
    at = JPEG.index(b"\xff\xc0") + 5
    return JPEG[:at] + struct.pack(">HH", height, width) + JPEG[at + 4 :]


def bmp_of_size(width, height):
    return BMP[:18] + struct.pack("<ii", width, height) + BMP[26:]


def webp_of_size(width, height):
    size = struct.pack("<I", width - 1)[:3] + struct.pack("<I", height - 1)[:3]
    body = b"WEBPVP8X" + struct.pack("<I", 10) + bytes(4) + size + WEBP[12:]
    return b"RIFF" + struct.pack("<I", len(body)) + body


def tiff_of(tag, value, data=None, tag_now=None, kind_now=3):
    """A TIFF file whose directory has one short value for a tag, perhaps as another tag or of another type."""
    data = data or TIFF
    at = 10
    while struct.unpack_from("<H", data, at)[0] != tag:
        at += 12
    entry = struct.pack(
        "<HHIHH" if value < 2**16 else "<HHII",
        tag_now or tag,
        kind_now if value < 2**16 else 4,
        1,
        *((value, 0) if value < 2**16 else (value,)),
    )
    return data[:at] + entry + data[at + 12 :]


def tile_of(side):
    """A TIFF file of 64 x 64 pixels in one tile that is larger, in the few bytes of deflated zeros."""
    entries = {256: 64, 257: 64, 258: 8, 259: 8, 262: 1, 277: 1, 322: side, 323: side, 324: 8, 325: 16}
    pixels = zlib.compress(bytes(64))[:16].ljust(16)
    directory = b"".join(struct.pack("<HHII", tag, 4, 1, value) for tag, value in entries.items())
    return b"II*\0" + struct.pack("<I", 24) + pixels + struct.pack("<H", len(entries)) + directory + bytes(4)


def jpeg2000_of_size(width, height):
    data = encode(PICTURE, "JPEG2000", no_jp2=True)
    at = data.index(b"\xff\x51") + 6
    return data[:at] + struct.pack(">II", width, height) + data[at + 8 :]


def endless_jpeg():
    """A large progressive JPEG file that goes over its pixels again and again: minutes of work in 1 MB."""
    data = encode(Image.new("L", (3000, 3000)), "JPEG", progressive=True)
    scan = data[data.rindex(b"\xff\xda") : -2]
    return data[:-2] + scan * (1_000_000 // len(scan) + 1) + data[-2:]


FRAME = JPEG[JPEG.index(b"\xff\xc0") :][:5]  # marker, length and bits
RESTARTS = encode(PICTURE, "JPEG", restart_marker_rows=1)

HOSTILE = {
    "plain.jpg": (JPEG, "ok"),
    # Cut off
    "empty.jpg": (b"", "empty"),
    "one byte.jpg": (JPEG[:1], "not_an_image"),
    "three bytes.jpg": (JPEG[:3], "damaged"),
    "cut in the header.jpg": (JPEG[:200], "truncated"),
    "cut in half.jpg": (JPEG[: len(JPEG) // 2], "truncated"),
    "cut at the last pixels.jpg": (JPEG[:-40], "truncated"),
    "cut in half, with an end mark.jpg": (JPEG[: len(JPEG) // 2] + JPEG[-2:], "ok"),  # libjpeg keeps it to itself
    "cut progressive.jpg": (encode(PICTURE, "JPEG", progressive=True)[:-3000], "truncated"),
    "signature.png": (PNG[:8], "damaged"),
    "cut in half.png": (PNG[: len(PNG) // 2], "truncated"),
    "no end chunk.png": (PNG[:-12], "ok"),
    "cut in half.gif": (GIF[: len(GIF) // 2], "truncated"),
    "header.gif": (GIF[:13], "damaged"),
    "cut in half.bmp": (BMP[: len(BMP) // 2], "truncated"),
    "header.bmp": (BMP[:20], "truncated"),
    "12 bits.jpg": (JPEG.replace(FRAME, FRAME[:4] + b"\x0c"), "unsupported"),
    "lossless.jpg": (JPEG.replace(FRAME, b"\xff\xc3" + FRAME[2:]), "unsupported"),
    "run lengths of jpeg.bmp": (BMP[:30] + struct.pack("<I", 4) + BMP[34:], "unsupported"),
    "no end mark.jpg": (JPEG[:-2], "ok"),
    "half an end mark.jpg": (JPEG[:-1], "ok"),
    "zeros for an end mark.jpg": (JPEG[:-2] + bytes(512), "ok"),
    "progressive, no end mark.jpg": (encode(PICTURE, "JPEG", progressive=True)[:-2], "ok"),
    "restarts, no end mark.jpg": (encode(PICTURE, "JPEG", restart_marker_rows=1)[:-2], "ok"),
    "cut at a restart.jpg": (RESTARTS[: RESTARTS.index(b"\xff\xd3")], "truncated"),
    "cut in half.webp": (WEBP[: len(WEBP) // 2], "truncated"),
    "header.webp": (WEBP[:16], "truncated"),
    # Broken inside
    "junk.jpg": (b"\xff\xd8\xff" + bytes(range(256)) * 20, "damaged"),
    "junk.png": (PNG[:8] + bytes(range(256)) * 20, "damaged"),
    "junk.gif": (b"GIF89a" + b"\xff" * 500, "damaged"),
    "junk.webp": (b"RIFF" + struct.pack("<I", 504) + b"WEBP" + b"\x01" * 500, "damaged"),
    "wrong checksum.png": (PNG[:60] + b"\0\0" + PNG[62:], "damaged"),
    "wrong stream.png": (PNG[:8] + chunk(b"IHDR", PNG[16:29]) + chunk(b"IDAT", b"junk" * 99) + PNG[-12:], "damaged"),
    "no pixels.png": (PNG[:33] + PNG[-12:], "damaged"),
    "size zero.png": (png_of_size(0, 10), "damaged"),
    "size zero.jpg": (jpeg_of_size(0, 10), "damaged"),
    "fewer pixels than said.png": (png_of_size(500, 500), "truncated"),
    "broken exif.jpg": (encode(PICTURE, "JPEG", exif=BROKEN_EXIF, **FINE), "ok"),
    **{
        f"{name}.png": (png(PIXELS, 8, 2, extra=extra), "ok")
        for name, extra in {
            "profile bomb": chunk(b"iCCP", b"x\0\0" + zlib.compress(bytes(2**21))),
            "profile of another method": chunk(b"iCCP", b"x\0\1junk"),
            "wrong checksum of a text": chunk(b"tEXt", b"x\0y")[:-4] + bytes(4),
            "wrong checksum of a private chunk": chunk(b"prVt", b"hello")[:-4] + bytes(4),
            "short resolution": chunk(b"pHYs", b"\0\0"),
            "short transparency": chunk(b"tRNS", b"\0"),
            "senseless animation": chunk(b"acTL", b"\0") + chunk(b"fcTL", bytes(range(26))),
        }.items()
    },
    "endless text behind the pixels.png": (PNG[:-12] + b"\x7f\xff\xff\xfftEXtx", "ok"),
    "junk profile.jpg": (encode(PICTURE, "JPEG", icc_profile=b"junk" * 9999), "ok"),
    # Bombs
    "bomb.png": (png_of_size(20_000, 20_000), "too_large"),
    "real bomb.png": (encode(Image.new("1", (3200, 3200))), "too_large"),
    "just allowed.png": (encode(Image.new("1", (3100, 3200), 1)), "ok"),
    "bomb.jpg": (jpeg_of_size(65_000, 65_000), "too_large"),
    "bomb.gif": (b"GIF89a" + b"\xff" * 4 + GIF[10:], "too_large"),
    "bomb.bmp": (bmp_of_size(2**30, 2**30), "too_large"),
    "bomb.webp": (webp_of_size(16_000, 16_000), "too_large"),
    "text bomb.png": (png(PIXELS, 8, 2, extra=chunk(b"zTXt", b"a\0\0" + zlib.compress(bytes(10**8)))), "ok"),
    "too many bytes.jpg": (JPEG + bytes(2**22), "too_large"),
    "endless.jpg": (endless_jpeg(), "crashed"),
    # Shapes
    "one pixel.png": (encode(Image.new("RGB", (1, 1), "white")), "ok"),
    "one pixel.jpg": (encode(Image.new("L", (1, 1), 255), "JPEG"), "ok"),
    "one row.png": (encode(Image.new("RGB", (30_000, 1), "white")), "ok"),
    "one column.jpg": (encode(Image.new("RGB", (1, 30_000), "white"), "JPEG"), "ok"),
    # Wrong and odd names
    "jpeg.png": (JPEG, "ok"),
    "png.jpg": (PNG, "ok"),
    "picture.txt": (PNG, "ok"),
    "no suffix": (WEBP, "ok"),
    'new\nline \u2028 \U0001f600 "quoted", comma.png': (PNG, "ok"),
    "[a-z]*.png": (PNG, "ok"),
    "-x.png": (PNG, "ok"),
    # Other kinds
    "tiff.jpg": (TIFF, "ok"),
    "pages.tif": (encode(PICTURE, "TIFF", save_all=True, append_images=[PICTURE.rotate(90)]), "ok"),
    "fax.tif": (encode(PICTURE.convert("1"), "TIFF", compression="group4"), "ok"),
    "old compression.tif": (tiff_of(259, 32809), "unsupported"),
    "unknown compression.tif": (tiff_of(259, 34887), "unsupported"),
    "unknown colours.tif": (tiff_of(262, 999), "unsupported"),
    "two compressions.tif": (tiff_of(258, 5, tag_now=259), "damaged"),
    "compression of an odd type.tif": (tiff_of(259, 5, kind_now=17), "damaged"),
    "bits of an odd type.tif": (tiff_of(258, 8, kind_now=2), "unsupported"),
    "12 bits.tif": (tiff_of(258, 12), "unsupported"),
    "signed.tif": (tiff_of(284, 2, tag_now=339), "unsupported"),
    "floats.tif": (encode(Image.new("F", (40, 30)), "TIFF"), "unsupported"),
    "inverted, 16 bits.tif": (tiff_of(262, 0, encode(Image.new("I;16", (40, 30)), "TIFF")), "unsupported"),
    "raw photograph.tif": (tiff_of(284, 1, tag_now=50706), "unsupported"),
    "preview.tif": (tiff_of(284, 1, tag_now=254), "unsupported"),
    "seven samples.tif": (tiff_of(277, 7), "unsupported"),
    "big.tif": (b"II+\0" + TIFF[4:], "unsupported"),
    "huge tile.tif": (tile_of(16_000), "too_large"),
    "many entries.tif": (b"II*\0\x08\0\0\0\xff\xff" + bytes(900_000), "damaged"),
    "bomb.tif": (tiff_of(256, 2**28), "too_large"),
    "directory behind its end.tif": (b"MM\0*" + bytes([9] * 50), "truncated"),
    "cut in half.tif": (TIFF[: len(TIFF) // 2], "truncated"),
    "cut in half, squeezed.tif": (LZW[: len(LZW) // 2], "truncated"),
    "junk.tif": (b"II*\0\x08\0\0\0\1\0" + b"\xff" * 500, "damaged"),
    "two pictures.jpg": (encode(PICTURE, "MPO", save_all=True, append_images=[PICTURE.rotate(90)]), "ok"),
    "photo.avif": (AVIF, "ok"),
    "cut in half.avif": (AVIF[: len(AVIF) // 2], "truncated"),
    "junk.avif": (AVIF[:300] + bytes(i % 251 for i in range(len(AVIF) - 300)), "damaged"),
    "photo.heic": (HEIC, "ok"),
    "cut in half.heic": (HEIC[: len(HEIC) // 2], "truncated"),
    "junk.heic": (b"\0\0\0\x18ftypheic" + bytes(50), "damaged"),
    "photo.jp2": (JPEG2000, "ok"),
    "cut in half.jp2": (JPEG2000[: len(JPEG2000) // 2], "truncated"),
    "junk.jp2": (JPEG2000[:12] + bytes(50) + b"\xff\xd9", "damaged"),
    "bare.j2k": (encode(PICTURE, "JPEG2000", no_jp2=True), "ok"),
    "bomb.j2k": (jpeg2000_of_size(2**30, 2**30), "too_large"),
    "icon.ico": (encode(PICTURE.resize((32, 32)), "ICO"), "unsupported"),
    "layers.psd": (b"8BPS" + bytes(50), "unsupported"),
    "film.mp4": (b"\0\0\0\x20ftypisom" + bytes(50), "unsupported"),
    # No images
    "text.jpg": (b"no picture at all", "not_an_image"),
    "zeros.png": (bytes(5000), "not_an_image"),
    "page.jpg": (b"<!doctype html><title>404</title>", "not_an_image"),
    "drawing.svg": (b"<svg xmlns='http://www.w3.org/2000/svg'/>", "not_an_image"),
    "script.png": (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\nshowpage\n", "not_an_image"),
    "document.jpg": (b"%PDF-1.7\n", "not_an_image"),
    "fits.png": (b"SIMPLE  =                    T", "not_an_image"),
    "sound.webp": (b"RIFF\x24\0\0\0WAVEfmt ", "not_an_image"),
    "archive.png": (gzip.compress(PNG), "not_an_image"),
    "pickle.jpg": (b"cos\nsystem\n(S'true'\ntR.", "not_an_image"),
}
