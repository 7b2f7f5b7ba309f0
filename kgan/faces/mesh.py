"""Meshes of a face, and how they lay it out in a texture: MediaPipe's with 468 points and 898 triangles.

A texture is a square with u to the right and v down, both from 0 to 1; the left half shows the side of the face that is
left in a photograph. Layouts are mirror-symmetric.
"""

import dataclasses
import functools
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw
from scipy import ndimage, sparse

from kgan.faces.raster import rasterise

FILES = Path(__file__).with_name("files")


@dataclasses.dataclass(frozen=True)
class Layout:
    """Where the parts of a face lie in a texture: rings of places `(u, v)` in [0, 1], in order around each part.

    Of eyes and brows, the ring that is left in a photograph comes first.

    Args:
        name: of the layout.
        face: ring around the face; each of its places can be seen from the middle.
        lips: ring around the lips.
        mouth: ring around what is between them.
        eyes, brows: two rings each.
    """

    name: str
    face: tuple
    lips: tuple
    mouth: tuple
    eyes: tuple
    brows: tuple

    @classmethod
    def of(cls, name, **rings):
        """Returns the layout of rings that are arrays or lists, such as those that JSON made of a layout."""
        return cls(name, **{part: _as_tuples(ring) for part, ring in rings.items()})


def _as_tuples(ring):
    return tuple(map(_as_tuples, ring)) if np.ndim(ring[0]) else tuple(map(float, ring))


@dataclasses.dataclass(frozen=True, eq=False)
class Mesh:
    """A mesh of a face: its triangles, and where its points lie in a texture.

    Args:
        layout: `Layout`.
        places: `(n, 2)`, u and v of each point.
        triangles: int `(m, 3)`, the points of each.
        holes: bool `(m,)`, the triangles of the inner mouth and of the eyes. What they show is never painted.
    """

    layout: Layout
    places: np.ndarray
    triangles: np.ndarray
    holes: np.ndarray


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

# Rings of points, in order as in `Layout`.
OVAL = (
    *(10, 338, 297, 332, 284, 251, 389, 356, 454, 323, 361, 288, 397, 365, 379, 378, 400, 377),
    *(152, 148, 176, 149, 150, 136, 172, 58, 132, 93, 234, 127, 162, 21, 54, 103, 67, 109),
)
LIPS = (61, 146, 91, 181, 84, 17, 314, 405, 321, 375, 291, 409, 270, 269, 267, 0, 37, 39, 40, 185)
MOUTH = (78, 95, 88, 178, 87, 14, 317, 402, 318, 324, 308, 415, 310, 311, 312, 13, 82, 81, 80, 191)
EYES = (
    (33, 7, 163, 144, 145, 153, 154, 155, 133, 173, 157, 158, 159, 160, 161, 246),
    (263, 249, 390, 373, 374, 380, 381, 382, 362, 398, 384, 385, 386, 387, 388, 466),
)
BROWS = ((70, 63, 105, 66, 107, 55, 65, 52, 53, 46), (300, 293, 334, 296, 336, 285, 295, 282, 283, 276))

# The triangles of the inner mouth and of the eyes.
HOLES = np.any([np.isin(TRIANGLES, ring).all(axis=1) for ring in (MOUTH, *EYES)], axis=0)
MEDIAPIPE = Mesh(
    Layout.of(
        "mediapipe",
        face=PLACES[list(OVAL)],
        lips=PLACES[list(LIPS)],
        mouth=PLACES[list(MOUTH)],
        eyes=[PLACES[list(ring)] for ring in EYES],
        brows=[PLACES[list(ring)] for ring in BROWS],
    ),
    PLACES,
    TRIANGLES,
    HOLES,
)


@functools.cache
def texels(size, mesh=MEDIAPIPE):
    """Returns the triangle of each texel of a texture, `(size, size)`, -1 outside the face, and its weights there.

    Returns:
        As `rasterise`.
    """
    return rasterise(mesh.places * size, mesh.triangles, (size, size))


def interpolated(values, size, mesh=MEDIAPIPE):
    """Returns values of the points, `(n, ...)`, at each texel; beside the face those of its border go on."""
    found = _weights(size, mesh) @ values.reshape(len(values), -1)
    return found.reshape(size, size, *values.shape[1:])


@functools.cache
def _weights(size, mesh):
    """Returns the weight of each point at each texel, or at the texel of the face nearest to it, as a matrix."""
    triangle, weights = texels(size, mesh)
    row, column = ndimage.distance_transform_edt(triangle < 0, return_distances=False, return_indices=True)
    points, shares = mesh.triangles[triangle[row, column]], weights[row, column]
    texel = np.arange(size * size).repeat(3)
    return sparse.csr_array((shares.ravel(), (texel, points.ravel())), shape=(size * size, len(mesh.places)))


@functools.cache
def inside(size, layout=MEDIAPIPE.layout):
    """Returns which texels have their centre in the face, bool `(size, size)`."""
    ring = np.array(layout.face)
    places = np.concatenate([ring, ring.mean(axis=0, keepdims=True)])
    fan = [(i, (i + 1) % len(ring), len(ring)) for i in range(len(ring))]
    return rasterise(places * size, np.array(fan), (size, size))[0] >= 0


@functools.cache
def region(name, size, layout=MEDIAPIPE.layout):
    """Returns how much of each texel a part of the face covers, float32 `(size, size)` in [0, 1].

    Args:
        name: `"lips"`, `"mouth"` (between the lips), `"eyes"` (between the lids), `"brows"` or `"face"` (everything
            but mouth and eyes).
        size: of the texture.
        layout: `Layout`.
    """
    if name == "face":
        holes = region("mouth", size, layout) + region("eyes", size, layout)
        return np.clip(inside(size, layout) - holes, 0, 1).astype("float32")
    rings = getattr(layout, name)
    fine = 8
    image = Image.new("L", (size * fine, size * fine))
    for ring in rings if name in ("eyes", "brows") else [rings]:
        ImageDraw.Draw(image).polygon([tuple(place) for place in np.array(ring) * size * fine], 255)
    mask = np.asarray(image.resize((size, size), Image.Resampling.BOX), "float32") / 255
    mask = (mask + mask[:, ::-1]) / 2  # which pixels a polygon fills is not symmetric
    return np.clip(mask - region("mouth", size, layout), 0, 1) if name == "lips" else mask
