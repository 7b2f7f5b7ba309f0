"""PRNet's mesh: how it lays a face out in a texture, and where its points lie in a photograph (Feng et al., 2018).

The makeup paper takes textures in this layout. The mesh has a point for each of some 43,800 texels, and a network,
`kgan.makeup.PositionMapNet`, finds where they lie. The files that say which texels these are come with PRNet's code.
"""

import hashlib
from pathlib import Path

import numpy as np

from kgan.faces.finder import ASTRAY, Square, rotation, tilt
from kgan.faces.look import Unsuitable
from kgan.faces.mesh import BROWS, Layout, Mesh, region
from kgan.faces.mesh import EYES as MEDIAPIPE_EYES

SIDE = 256  # texels of PRNet's textures
MARGIN = 1.6  # side of the square around a face, as a multiple of the face from brows to chin
# Numbers of the 68 landmarks, in order as in `Layout`.
LIPS, MOUTH, EYES = range(48, 60), range(60, 68), (range(36, 42), range(42, 48))
UPPER_BROWS, BROW = (range(17, 22), range(22, 27)), 6  # their upper edges are landmarks; their height in texels


class PRNet:
    """PRNet's mesh and network, for `kgan.data.load_makeup(..., geometry=)`.

    `kgan.MakeupGAN(..., uv_layout=prnet.mesh.layout)` trains on the pairs.

    Args:
        folder: `Data/uv-data` of PRNet's code, with `face_ind.txt` and `uv_kpt_ind.txt`.
        network: `kgan.makeup.PositionMapNet` of size 256 with weights.

    Attributes:
        mesh: `kgan.faces.mesh.Mesh`. Where PRNet's files are not symmetric, by a texel at most, it is.

    Raises:
        FileNotFoundError: a file is missing.
        ValueError: a file is not PRNet's, or the network has another size.

    Example:

    ```python
    from kgan.makeup import PositionMapNet, PRNet

    network = PositionMapNet()  # then network.load_checkpoint("PRNet/Data/net-data/256_256_resfcn256_weight")
    prnet = PRNet("PRNet/Data/uv-data", network)
    prnet.mesh.layout.name  # "prnet"
    ```
    """

    def __init__(self, folder, network):
        if network.size != SIDE:
            raise ValueError(f"The network has size {network.size}: PRNet's files are for {SIDE}.")
        self.network = network
        self.mesh = read_mesh(folder)

    @property
    def digest(self):
        """Bytes that differ where the weights or the mesh do: what has been found with others is not theirs."""
        digest = hashlib.sha256(repr(self.mesh.layout).encode())
        for values in (self.mesh.places, self.mesh.triangles, self.mesh.holes, *self.network.get_weights()):
            digest.update(np.ascontiguousarray(values).tobytes())
        return digest.digest()

    def points(self, photo, face):
        """Returns the points of a face in a photograph, float64 `(n, 3)`, as those of `Face`.

        Args:
            photo: `PIL.Image.Image`.
            face: `kgan.faces.finder.Face` in it.

        Raises:
            Unsuitable: the eyes are elsewhere than in `face`, as those of a network without weights.
        """
        square = around(face)
        (found,) = self.network.positions(square.cut(photo.convert("RGB"), SIDE)[None] / np.float32(255))
        column, row = (self.mesh.places * SIDE).astype(int).T
        points = found[row, column].astype("float64")
        places = square.to_photo((points + 0.5) / SIDE)  # PRNet counts from the centre of the first pixel
        points = np.column_stack([places, -points[:, 2] * square.side / SIDE])
        expected = np.stack([face.points[list(ring), :2].mean(axis=0) for ring in MEDIAPIPE_EYES])
        eyes = [np.linalg.norm(self.mesh.places - np.mean(ring, axis=0), axis=1) for ring in self.mesh.layout.eyes]
        apart = np.linalg.norm(points[[distance.argmin() for distance in eyes], :2] - expected, axis=1).max()
        if not apart <= ASTRAY * np.linalg.norm(expected[1] - expected[0]):  # not finite ones either
            raise Unsuitable("astray", "PRNet's eyes are not where the face has them: has its checkpoint been loaded?")
        return points


def around(face):
    """Returns the `Square` around a `Face` that PRNet's network takes, its eyes level: from the brows to the chin."""
    angle = tilt(face)
    points = face.points[:, :2] @ rotation(-angle)
    low = np.array((points[:, 0].min(), points[sorted({*BROWS[0], *BROWS[1]}), 1].min()))
    high = points.max(axis=0)
    return Square(*((low + high) / 2 @ rotation(angle)).tolist(), MARGIN * float((high - low).mean()), angle)


def read_mesh(folder):
    """Reads the mesh from PRNet's `face_ind.txt` and `uv_kpt_ind.txt`: a point for each texel of the face."""
    numbers = _read(Path(folder) / "face_ind.txt", 1)
    marks = _read(Path(folder) / "uv_kpt_ind.txt", 2)
    if marks.shape != (2, 68) or numbers.max() >= SIDE**2 or marks.max() >= SIDE:
        raise ValueError(f"{folder}: face_ind.txt and uv_kpt_ind.txt are not PRNet's, for {SIDE} x {SIDE} texels.")
    face = np.zeros(SIDE**2, bool)
    face[numbers] = True
    face = face.reshape(SIDE, SIDE)
    face &= face[:, ::-1]

    marks = (marks.T + 0.5) / SIDE
    other = (1, 0) - marks * (1, -1)
    mirror = np.argmin(np.abs(other[:, None] - marks).sum(axis=-1), axis=1)
    marks = (marks + (1, 0) - marks[mirror] * (1, -1)) / 2
    brows = [marks[list(ring)] for ring in UPPER_BROWS]
    layout = Layout.of(
        "prnet",
        face=_outline(face),
        lips=marks[list(LIPS)],
        mouth=marks[list(MOUTH)],
        eyes=[marks[list(ring)] for ring in EYES],
        brows=[np.concatenate([upper, upper[::-1] + (0, BROW / SIDE)]) for upper in brows],
    )

    row, column = np.nonzero(face)
    number = np.full(face.shape, -1)
    number[row, column] = np.arange(len(row))
    # Two triangles for each four neighbours.
    corners = np.stack([number[:-1, :-1], number[:-1, 1:], number[1:, :-1], number[1:, 1:]], axis=-1)
    triangles = corners[(corners >= 0).all(axis=-1)][:, [[0, 2, 1], [1, 2, 3]]].reshape(-1, 3)
    hole = (region("mouth", SIDE, layout) + region("eyes", SIDE, layout))[row, column] > 0.5
    places = np.column_stack([column, row]) + 0.5
    return Mesh(layout, places / SIDE, triangles, hole[triangles].any(axis=1))


def _outline(face):
    """Returns the ring around a mask, down its right side and up its left side."""
    rows = np.flatnonzero(face.any(axis=1))
    first = face[rows].argmax(axis=1)
    left, down = first / SIDE, (rows + 0.5) / SIDE
    down[0], down[-1] = rows[0] / SIDE, (rows[-1] + 1) / SIDE
    return np.concatenate([np.column_stack([1 - left, down]), np.column_stack([left, down])[::-1]])


def _read(path, ndmin):
    if not path.exists():
        raise FileNotFoundError(f"{path} is missing: pass the folder Data/uv-data of PRNet's code.")
    try:
        values = np.loadtxt(path, ndmin=ndmin)
    except ValueError as error:
        raise ValueError(f"{path} is no file of numbers: {error}") from None
    if not values.size or values.min() < 0:
        raise ValueError(f"{path} is not PRNet's: it has numbers below 0, or none.")
    return values.astype(int)
