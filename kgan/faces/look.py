"""A makeup to transfer, taken from a reference photograph and kept in a file."""

import io
import os
import warnings
import zipfile
import zlib
from pathlib import Path

import numpy as np

from kgan.faces.finder import find_faces
from kgan.faces.mesh import HOLES, interpolated, texels
from kgan.faces.texture import Texture, facing, read_texture
from kgan.faces.transfer import repaired
from kgan.runtime.files import write_whole

SIZE = 512  # of textures
SMALLEST = 24  # pixels of a face
CUT = 0.01  # share of a face's points outside the photo from which it is cut off
GREY = 3  # a and b of Lab that hardly a texel exceeds in a photo without colours
SHOWN = 0.6  # least share of the face that has to be turned to the camera
FORMAT = 1


class Unsuitable(ValueError):
    """A photo whose face cannot be used.

    Attributes:
        status: `"no_face"`, `"too_small"` or `"turned_away"`.
        found: number of faces in the photo.
    """

    def __init__(self, status, message):
        super().__init__(message)
        self.status, self.found = status, 0


def check(face):
    """Raises `Unsuitable` where a face is too small, or turned away too far."""
    if face.size < SMALLEST:
        raise Unsuitable("too_small", f"its face is {face.size:.0f} pixels large: {SMALLEST} are needed")
    triangle, _ = texels(128)
    shown = np.mean(interpolated(facing(face.points), 128)[(triangle >= 0) & ~HOLES[triangle]] > 0)
    if shown < SHOWN:
        raise Unsuitable("turned_away", f"{shown:.0%} of its face is turned to the camera: {SHOWN:.0%} is needed")


def outside(face, size):
    """Returns the share of a face's points that lie outside a photo of `(width, height)`."""
    points = face.points[:, :2]
    return np.mean(((points < 0) | (points > size)).any(axis=1))


def texture_of(photo, name="the reference"):
    """Reads the largest face of a reference photograph.

    Warns where the photo has several faces, cuts this one off, or has no colours.

    Args:
        photo: `PIL.Image.Image`.
        name: what warnings call it.

    Returns:
        A `Texture`.

    Raises:
        Unsuitable: it has no face, or one that is too small or turned away.
    """
    faces = find_faces(photo, small=False)
    if not faces:
        raise Unsuitable("no_face", "no face was found")
    check(faces[0])
    photo = photo.convert("RGB")
    texture = read_texture(photo, faces[0].points, SIZE)
    colours = np.abs(texture.lab[..., 1:][texture.visible > 0])
    for odd, what in (
        (len(faces) > 1, f"has {len(faces)} faces: the makeup is that of the largest"),
        (outside(faces[0], photo.size) > CUT, "cuts the face off: what is missing of it is not transferred"),
        (len(colours) and np.quantile(colours, 0.95) < GREY, "has no colours: neither will the makeup"),
    ):
        if odd:
            warnings.warn(f"{name} {what}", stacklevel=2)
    return texture


def look_of(photo, name="the reference"):
    """Takes the makeup of the largest face in a photograph.

    Args:
        photo, name: as for `texture_of`, which warns of what is odd about them.

    Returns:
        A `Texture`, its shadows and hidden parts repaired from the other side of the face.

    Raises:
        Unsuitable: it has no face, or one that is too small or turned away.

    Example:

    ```python
    look = look_of(PIL.Image.open("reference.jpg").convert("RGB"))
    ```
    """
    look = repaired(texture_of(photo, name))
    return Texture(*_read(**_written(look)))  # rounded as in a file, so that both give the same


def save_look(path, look):
    """Writes a look to an `.npz` file, about 1 MB.

    Args:
        path: of the file.
        look: a `Texture`, from `look_of`.
    """
    buffer = io.BytesIO()
    np.savez_compressed(buffer, format=FORMAT, **_written(look))
    write_whole(Path(path), buffer.getvalue())


def _written(look):
    visible = np.rint(look.visible * 255).astype("uint8")
    return {"lab": look.lab.astype("float16"), "visible": visible, "tone": look.tone}


def _read(lab, visible, tone):
    return lab.astype("float32"), visible / np.float32(255), tone


def load_look(path):
    """Reads a look from a file that `save_look` wrote.

    Returns:
        A `Texture`.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: it holds no look.
    """
    expected = {"lab": ((SIZE, SIZE, 3), "float16"), "visible": ((SIZE, SIZE), "uint8"), "tone": ((3,), "float32")}
    try:
        with zipfile.ZipFile(path) as archive:
            # Before anything is unpacked: a few bytes may claim to be gigabytes.
            if sum(member.file_size for member in archive.infolist()) > 4 * SIZE * SIZE * 3:
                raise ValueError("it is too large")
        with np.load(path, allow_pickle=False) as file:
            arrays = dict(file)
        if arrays["format"] != FORMAT:
            raise ValueError(f"it has format {arrays['format']}; this version reads format {FORMAT}")
        for name, (shape, kind) in expected.items():
            found = arrays[name]
            if (found.shape, found.dtype) != (shape, kind) or not np.isfinite(found).all():
                raise ValueError(f"its {name} is {found.dtype} {found.shape}: expected finite {kind} {shape}")
    except FileNotFoundError:
        raise FileNotFoundError(f"look {os.fspath(path)!r}: no such file") from None
    except (ValueError, KeyError, OSError, EOFError, RuntimeError, zipfile.BadZipFile, zlib.error) as error:
        raise ValueError(f"{path} is not a look that kgan saved: {error}") from None
    return Texture(*_read(*(arrays[name] for name in expected)))
