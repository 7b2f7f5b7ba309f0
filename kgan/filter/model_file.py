"""Model files of the text filter: a LiteRT model followed by a zip archive with the metadata, `kgan.json`."""

import hashlib
import io
import json
import zipfile

from kgan.filter import measured
from kgan.filter.decoding import BUCKETS

MEMBER, FORMAT = "kgan.json", 1
# The preprocessing that `decoding` does. The metadata must ask for exactly this.
PREPARATION = {"resize": "bilinear, antialiased", "normalisation": "inside"}


def read(data):
    """Splits the bytes of a model file into model and metadata, and checks both.

    Raises:
        ValueError: the metadata is missing, damaged or of another format, or the model does not match its digest.
    """
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            info = archive.getinfo(MEMBER)
            if info.file_size > 2**20:
                raise ValueError(f"its {MEMBER} is larger than 1 MB")
            metadata = json.loads(archive.read(info))
            model = data[: min(member.header_offset for member in archive.infolist())]
    except (zipfile.BadZipFile, KeyError):
        raise ValueError(f"it contains no {MEMBER}; write the file with `kgan export`") from None
    except (json.JSONDecodeError, UnicodeDecodeError, RecursionError) as error:
        raise ValueError(f"its {MEMBER} is damaged ({error})") from None
    check(metadata)
    if hashlib.sha256(model).hexdigest() != metadata["digest"]:
        raise ValueError(f"the model does not match the digest in {MEMBER}")
    return model, metadata


def check(metadata):
    """Raises a ValueError that says what is wrong with the metadata."""
    found = metadata.get("format") if isinstance(metadata, dict) else None
    if found != FORMAT:
        raise ValueError(f"its {MEMBER} has format {found!r}; this version of kgan reads format {FORMAT}")
    for key, value in PREPARATION.items():
        if metadata.get(key) != value:
            raise ValueError(f"its {MEMBER} asks for {key} {metadata.get(key)!r}; kgan supports only {value!r}")
    try:
        thresholds = metadata["thresholds"]
        keys = [*thresholds["recall"], *thresholds.get("share", {})]
        shares = [*measured.named(thresholds).values(), *map(float, keys)]
        sides = [side for height, width in metadata["buckets"] for side in (height, width)]
        sound = all(0 <= share <= 1 for share in shares) and sides and all(type(side) is int for side in sides)
        if not sound or not isinstance(metadata["digest"], str):
            raise ValueError("values out of range")
        measured.check(metadata.get("measured"))
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise ValueError(f"its {MEMBER} is damaged ({type(error).__name__}: {error})") from None


def write(path, model, card):
    """Writes the model file of a text filter.

    Args:
        path: the `.tflite` file.
        model: bytes of the LiteRT model.
        card: dict of the metadata that depends on the model: thresholds, licence, data card, and what was measured.
    """
    append(path, model, {"labels": ["no_text", "text"], "buckets": [list(b) for b in BUCKETS], **PREPARATION, **card})


def append(path, model, metadata):
    """Writes a LiteRT model, followed by a zip archive with the metadata, which LiteRT ignores.

    Args:
        path: the `.tflite` file.
        model: bytes of the LiteRT model.
        metadata: dict for JSON; the format and the digest of the model are added.
    """
    path.write_bytes(model)
    with zipfile.ZipFile(path, "a") as archive:
        # Uncompressed, so that a few lines in any language can read it; without a date, so that the same model always
        # gives the same file.
        metadata = {"format": FORMAT, **metadata, "digest": hashlib.sha256(model).hexdigest()}
        archive.writestr(zipfile.ZipInfo(MEMBER), json.dumps(metadata))
