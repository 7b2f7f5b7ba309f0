"""Model files of the text filter: a LiteRT model with an archive behind it that holds `kgan.json`."""

import hashlib
import io
import json
import zipfile

from kgan.filter.decoding import BUCKETS

MEMBER, FORMAT = "kgan.json", 1
# What `decoding` does to an image, as a model's metadata must ask for it.
PREPARATION = {"resize": "bilinear, antialiased", "normalisation": "inside"}


def read(data):
    """Splits the bytes of a model file into the model and its metadata, and checks both."""
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            info = archive.getinfo(MEMBER)
            if info.file_size > 2**20:
                raise ValueError(f"its {MEMBER} is larger than 1 MB")
            metadata = json.loads(archive.read(info))
            model = data[: min(member.header_offset for member in archive.infolist())]
    except (zipfile.BadZipFile, KeyError):
        raise ValueError(f"there is no {MEMBER} behind the model; `kgan export` puts it there") from None
    except (json.JSONDecodeError, UnicodeDecodeError, RecursionError) as error:
        raise ValueError(f"its {MEMBER} is damaged ({error})") from None
    check(metadata)
    if hashlib.sha256(model).hexdigest() != metadata["digest"]:
        raise ValueError(f"the model is not the one that {MEMBER} has the digest of")
    return model, metadata


def check(metadata):
    """Raises a ValueError that names what is wrong with metadata."""
    found = metadata.get("format") if isinstance(metadata, dict) else None
    if found != FORMAT:
        raise ValueError(f"its {MEMBER} has format {found!r}, and this version of kgan reads {FORMAT}")
    for key, value in PREPARATION.items():
        if metadata.get(key) != value:
            raise ValueError(f"its {MEMBER} asks for {key} {metadata.get(key)!r}, and kgan knows {value!r}")
    try:
        thresholds = metadata["thresholds"]
        shares = [thresholds["best_f"], *thresholds["recall"].values(), *map(float, thresholds["recall"])]
        sides = [side for height, width in metadata["buckets"] for side in (height, width)]
        sound = all(0 <= share <= 1 for share in shares) and sides and all(type(side) is int for side in sides)
        if not sound or not isinstance(metadata["digest"], str):
            raise ValueError("values out of range")
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise ValueError(f"its {MEMBER} is damaged ({type(error).__name__}: {error})") from None


def write(path, model, card):
    """Writes a LiteRT model and, in an archive behind it that LiteRT does not see, what `TextFilter` needs to know."""
    metadata = {
        "format": FORMAT,
        "labels": ["no_text", "text"],
        "buckets": [list(bucket) for bucket in BUCKETS],
        **PREPARATION,
        **card,
        "digest": hashlib.sha256(model).hexdigest(),
    }
    path.write_bytes(model)
    with zipfile.ZipFile(path, "a") as archive:
        # Not compressed, so that any language reads it in a few lines; without a date, so that the same model gives
        # the same file.
        archive.writestr(zipfile.ZipInfo(MEMBER), json.dumps(metadata))
