"""Finds faces in a photograph, and the 468 points of each."""

import functools
import math
from typing import NamedTuple

import numpy as np
from PIL import Image
from scipy.special import expit

from kgan.faces.mesh import EYES, FILES
from kgan.runtime.litert import Network

DETECTED, CERTAIN = 0.5, 0.9  # least scores of the detector, which takes a cat for a face, and of the mesh
OVERLAP = 0.3  # of two boxes, as intersection over union, above which they show one face
ASTRAY = 0.35  # most distance between the eyes of the mesh and those of the detector, as a share of that of the eyes
MARGIN = 1.5  # side of the square that the mesh is found in, as a multiple of the face
SEARCHED = 1024  # longer side in pixels at which a photo is searched
TURNS = np.radians((0, 180, 90, -90))


class Face(NamedTuple):
    """A face in a photograph.

    Args:
        points: float64 `(468, 3)`: x and y in pixels, where the first pixel spans 0 to 1, and a depth on the same scale
            that grows away from the camera.
        score: how certain it is that this is a face, 0 to 1.
    """

    points: np.ndarray
    score: float

    @property
    def size(self):
        """The longer side of the upright box around the points, in pixels."""
        return float(np.ptp(self.points[:, :2], axis=0).max())


class Square(NamedTuple):
    """A square in a photograph: its centre and side in pixels, and the angle of its upper edge in radians."""

    x: float
    y: float
    side: float
    angle: float = 0.0

    def to_photo(self, places):
        """Returns where places in the square, from 0 to 1, lie in the photograph."""
        return (places[..., :2] - 0.5) * self.side @ rotation(self.angle) + (self.x, self.y)

    def cut(self, photo, size):
        """Returns the square, black where it reaches beyond the photograph, as uint8 `(size, size, 3)`."""
        corners = self.to_photo(np.array([(0.0, 0), (1, 0), (1, 1), (0, 1)]))
        low = np.clip(np.floor(corners.min(axis=0)).astype(int) - 1, 0, np.array(photo.size) - 1)
        high = np.clip(np.ceil(corners.max(axis=0)).astype(int) + 1, low + 1, photo.size)
        # Pillow reads single pixels for an affine transform, so what will be much smaller is averaged before.
        factor = max(1, int(self.side / size))
        part = photo.reduce(factor, (*low.tolist(), *high.tolist()))
        origin, right, down = (corners[[0, 1, 3]] - low) / factor
        (a, d), (b, e) = (right - origin) / size, (down - origin) / size
        transform = (a, b, origin[0], d, e, origin[1])
        cut = part.transform((size, size), Image.Transform.AFFINE, transform, Image.Resampling.BILINEAR)
        return np.asarray(cut)


def rotation(angle):
    return np.array([(np.cos(angle), np.sin(angle)), (-np.sin(angle), np.cos(angle))])


@functools.cache
def _networks():
    return Network(FILES / "face_detection_short_range.tflite"), Network(FILES / "face_landmark.tflite")


def _anchors():
    """Returns the centres of the detector's 896 anchors, as shares of the side of its input."""
    grids = [(16, 2), (8, 6)]  # cells a side, anchors a cell
    return np.concatenate([np.indices((n, n))[::-1].reshape(2, -1).T.repeat(k, axis=0) / n + 0.5 / n for n, k in grids])


ANCHORS = _anchors()


def find_faces(photo, small=True):
    """Finds the faces of a photograph.

    The photo is searched as a whole, then, for faces smaller than a tenth of it, in halves and quarters. If none is
    found, the search is repeated with the photo upside down and turned to either side.

    Args:
        photo: `PIL.Image.Image`.
        small: whether to go on searching for small faces where large ones have been found.

    Returns:
        List of `Face`, the largest first; empty if there is none.

    Example:

    >>> find_faces(Image.new("RGB", (300, 200)))
    []
    """
    photo = photo if photo.mode == "RGB" else photo.convert("RGB")
    factor = max(1, round(max(photo.size) / SEARCHED))
    reduced = photo.reduce(factor) if factor > 1 else photo
    for turn in TURNS:
        faces = []
        for squares in _tiles(reduced.size, turn):
            for found in (found for square in squares for found in _detect(reduced, square)):
                face = _mesh(photo, _upright(reduced, found), factor)
                if face and not any(_same(face, other) for other in faces):
                    faces.append(face)
            if faces and not small:
                break
        if faces:
            return sorted(faces, key=lambda face: -face.size)
    return []


def _tiles(size, turn):
    """Yields the squares of each search: the whole image, then overlapping squares of half and a quarter its side."""
    width, height = size
    for parts in (1, 2, 4):
        side = max(size) / parts
        if parts > 1 and side < 128:
            return
        xs, ys = (
            np.linspace(side / 2, length - side / 2, max(1, int(np.ceil(2 * length / side)) - 1))
            if length > side
            else [length / 2]
            for length in (width, height)
        )
        yield [Square(x, y, side, turn) for y in ys for x in xs]


class Detection(NamedTuple):
    """A face as the detector sees it: score, the square around it, and the eyes, `(2, 2)`, the left one first."""

    score: float
    square: Square
    eyes: np.ndarray


def _detect(photo, square):
    """Yields a `Detection` of each face in a square."""
    network, _ = _networks()
    places, logits = network(square.cut(photo, network.size) / np.float32(127.5) - 1)
    scores = expit(logits[0, :, 0].astype("float64"))
    best = np.argsort(-scores)[: np.count_nonzero(scores > DETECTED)]
    # Centre, width and height, then six places: the eyes, the tip of the nose, the mouth, the ears.
    found = places[0, best].reshape(-1, 8, 2) / network.size
    found[:, [0, *range(2, 8)]] += ANCHORS[best, None]
    low, high = found[:, 0] - found[:, 1] / 2, found[:, 0] + found[:, 1] / 2
    left = np.arange(len(best))
    while len(left):
        # One face is found many times: the mean of the boxes that overlap with the best, by score.
        first = left[0]
        shared = np.clip(np.minimum(high[first], high[left]) - np.maximum(low[first], low[left]), 0, None).prod(axis=1)
        union = found[first, 1].prod() + found[left, 1].prod(axis=1) - shared
        same = shared > OVERLAP * union
        mean = np.average(found[left[same]], axis=0, weights=scores[best[left[same]]])
        left = left[~same]
        eyes = square.to_photo(mean[2:4])
        around = Square(*square.to_photo(mean[0]), mean[1].max() * square.side, _slope(*eyes))
        yield Detection(float(scores[best[first]]), around, eyes)


def _upright(photo, found):
    """Looks at a detection again, its eyes level, and turned by quarters: an upright face has the highest score.

    The eyes of a face that is upside down are seen where its mouth is, and the score of its mesh, which is wrong, is
    high.
    """
    at = found.square
    looks = [
        look
        for turn in TURNS
        for look in _detect(photo, at._replace(side=2 * at.side, angle=at.angle + turn))
        if math.hypot(look.square.x - at.x, look.square.y - at.y) < at.side / 2
    ]
    return max(looks, key=lambda look: look.score, default=found)


def _slope(left, right):
    return float(np.arctan2(*(right - left)[::-1]))


def _mesh(photo, found, factor):
    """Returns the face of a detection in a photo `factor` times as small, or None if it is none."""
    x, y, side, angle = found.square
    face = mesh_in(photo, Square(x * factor, y * factor, side * factor * MARGIN, angle))
    if face is None:
        return None
    eyes = np.stack([face.points[list(ring), :2].mean(axis=0) for ring in EYES]) / factor
    if np.abs(eyes - found.eyes).max() > ASTRAY * np.linalg.norm(found.eyes[1] - found.eyes[0]):
        return None
    return mesh_in(photo, around(face))


def tilt(face):
    """Returns the angle of the line through the eyes of a `Face`, in radians; 0 if it is upright."""
    return _slope(*(face.points[list(ring), :2].mean(axis=0) for ring in EYES))


def around(face):
    """Returns the square in which the mesh is found again from a face: its eyes level, and with a margin."""
    angle = tilt(face)
    level = face.points[:, :2] @ rotation(-angle)
    low, high = level.min(axis=0), level.max(axis=0)
    return Square(*((low + high) / 2 @ rotation(angle)), (high - low).max() * MARGIN, angle)


def mesh_in(photo, square):
    """Returns the `Face` in a `Square` of a photo, or None if its score is low."""
    _, network = _networks()
    points, score = network(square.cut(photo, network.size) / np.float32(255))
    score = float(expit(score.astype("float64")).item())
    if score < CERTAIN:
        return None
    points = points.reshape(-1, 3).astype("float64") / network.size
    return Face(np.column_stack([square.to_photo(points), points[:, 2] * square.side]), score)


def _same(face, other):
    """Whether two faces are one: the middle of each lies within half of the smaller one's size of the other's."""
    apart = np.linalg.norm(face.points[:, :2].mean(axis=0) - other.points[:, :2].mean(axis=0))
    return apart < 0.5 * min(face.size, other.size)
