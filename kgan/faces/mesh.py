"""The face mesh: 468 points, 898 triangles, and where each point lies in a texture, all mirror-symmetric.

Points are numbered as in MediaPipe's canonical face. A texture is a square with u to the right and v down, both from 0
to 1; the left half shows the side of the face that is left in a photograph.
"""

import functools
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw
from scipy import ndimage, sparse

from kgan.faces.raster import rasterise

FILES = Path(__file__).with_name("files")


def _fields(message):
    """Yields `(number, value)` of the fields of a protocol buffer message: bytes, or the value of an integer."""
    at = 0

    def integer():
        nonlocal at
        value = shift = 0
        while True:
            byte = message[at]
            at += 1
            value |= (byte & 127) << shift
            shift += 7
            if byte < 128:
                return value

    while at < len(message):
        number, kind = divmod(integer(), 8)
        if kind == 0:
            yield number, integer()
            continue
        length = 4 if kind == 5 else integer()
        yield number, message[at : at + length]
        at += length


def _read(path):
    """Reads `Mesh3d` of a `GeometryPipelineMetadata`: points `(468, 5)`, x, y, z, u, v, and triangles `(898, 3)`."""
    (mesh,) = (value for number, value in _fields(path.read_bytes()) if number == 1)
    fields = list(_fields(mesh))
    floats = b"".join(value for number, value in fields if number == 3)
    indices = [value for number, value in fields if number == 4]
    return np.frombuffer(floats, "<f4").astype("float64").reshape(-1, 5), np.array(indices).reshape(-1, 3)


_points, TRIANGLES = _read(FILES / "geometry_pipeline_metadata_landmarks.binarypb")
# The points of the canonical face in centimetres: x to the right in a photograph, y up, z towards the camera.
POINTS = _points[:, :3]
# The number of each point's mirror image. The points mirror exactly.
MIRROR = np.argmin(np.abs(POINTS[:, None] * (-1, 1, 1) - POINTS).sum(axis=-1), axis=1)
# Where each point lies in a texture, `(468, 2)`. The file's coordinates mirror to a thousandth, these exactly.
PLACES = np.stack([(_points[:, 3] + 1 - _points[MIRROR, 3]) / 2, (_points[:, 4] + _points[MIRROR, 4]) / 2], axis=1)

# Rings of points, in order around what they enclose. Of pairs, the left one in a photograph comes first.
LIPS = (61, 146, 91, 181, 84, 17, 314, 405, 321, 375, 291, 409, 270, 269, 267, 0, 37, 39, 40, 185)
MOUTH = (78, 95, 88, 178, 87, 14, 317, 402, 318, 324, 308, 415, 310, 311, 312, 13, 82, 81, 80, 191)
EYES = (
    (33, 7, 163, 144, 145, 153, 154, 155, 133, 173, 157, 158, 159, 160, 161, 246),
    (263, 249, 390, 373, 374, 380, 381, 382, 362, 398, 384, 385, 386, 387, 388, 466),
)
BROWS = ((70, 63, 105, 66, 107, 55, 65, 52, 53, 46), (300, 293, 334, 296, 336, 285, 295, 282, 283, 276))

# The triangles of the inner mouth and of the eyes. They are holes: what they show is never painted.
HOLES = np.any([np.isin(TRIANGLES, ring).all(axis=1) for ring in (MOUTH, *EYES)], axis=0)


@functools.cache
def texels(size):
    """Returns the triangle of each texel of a texture, `(size, size)`, -1 outside the face, and its weights there.

    Returns:
        As `rasterise`.
    """
    return rasterise(PLACES * size, TRIANGLES, (size, size))


def interpolated(values, size):
    """Returns values of the points, `(468, ...)`, at each texel; beside the face those of its border go on."""
    found = _weights(size) @ values.reshape(len(values), -1)
    return found.reshape(size, size, *values.shape[1:])


@functools.cache
def _weights(size):
    """Returns the weight of each point at each texel, or at the texel of the face nearest to it, as a matrix."""
    triangle, weights = texels(size)
    row, column = ndimage.distance_transform_edt(triangle < 0, return_distances=False, return_indices=True)
    points, shares = TRIANGLES[triangle[row, column]], weights[row, column]
    texel = np.arange(size * size).repeat(3)
    return sparse.csr_array((shares.ravel(), (texel, points.ravel())), shape=(size * size, len(POINTS)))


@functools.cache
def region(name, size):
    """Returns how much of each texel a part of the face covers, float32 `(size, size)` in [0, 1].

    Args:
        name: `"lips"`, `"mouth"` (between the lips), `"eyes"` (between the lids), `"brows"` or `"face"` (everything
            but mouth and eyes).
        size: of the texture.
    """
    if name == "face":
        inside = texels(size)[0] >= 0
        return np.clip(inside - region("mouth", size) - region("eyes", size), 0, 1).astype("float32")
    rings = {"lips": [LIPS], "mouth": [MOUTH], "eyes": EYES, "brows": BROWS}[name]
    fine = 8
    image = Image.new("L", (size * fine, size * fine))
    for ring in rings:
        ImageDraw.Draw(image).polygon([tuple(place) for place in PLACES[list(ring)] * size * fine], 255)
    mask = np.asarray(image.resize((size, size), Image.Resampling.BOX), "float32") / 255
    mask = (mask + mask[:, ::-1]) / 2  # which pixels a polygon fills is not symmetric
    return np.clip(mask - region("mouth", size), 0, 1) if name == "lips" else mask
