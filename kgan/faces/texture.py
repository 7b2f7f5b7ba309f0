"""The texture of a face: its colours in UV space, how well each texel can be seen, and back into the photograph."""

from typing import NamedTuple

import numpy as np
from scipy import ndimage

from kgan.faces.colour import rgb_to_lab
from kgan.faces.covers import uncovered
from kgan.faces.mesh import HOLES, MEDIAPIPE, PLACES, TRIANGLES, interpolated, texels
from kgan.faces.raster import four_around, rasterise, sample
from kgan.faces.skin import skin_tone

FACING = (0.15, 0.35)  # the cosine of the angle to the camera at which a texel begins to count, and counts wholly
DEPTH = 0.03  # how far behind the nearest surface a texel is hidden, as a share of the face


class Texture(NamedTuple):
    """A face in UV space.

    Args:
        lab: float32 `(size, size, 3)`, Lab colours; what is outside the face has no meaning.
        visible: float32 `(size, size)` in [0, 1]: 0 where the face turns away, something is in front of it, or the
            photo ends.
        tone: float32 `(3,)`, the Lab colour of the skin.
    """

    lab: np.ndarray
    visible: np.ndarray
    tone: np.ndarray


def read_texture(photo, points, size):
    """Reads the texture of a face from a photograph.

    Args:
        photo: `PIL.Image.Image` of mode RGB.
        points: `(468, 3)`, x, y and depth in pixels of the photo.
        size: of the texture, a multiple of 128.

    Returns:
        A `Texture`.
    """
    low, high = np.floor(points[:, :2].min(axis=0)).astype(int) - 2, np.ceil(points[:, :2].max(axis=0)).astype(int) + 2
    # Between texels farther apart than pixels, pixels would be passed over: such a face is reduced first.
    factor = max(1, int((high - low).max() / size))
    low, high = np.maximum(low, 0), np.minimum(high, photo.size)
    part = photo.reduce(factor, (*low.tolist(), *high.tolist()))
    near = (points - (*low, 0)) / factor
    lab = rgb_to_lab(unwrap(np.asarray(part, "float32"), near, size))
    visible = visibility(points, photo.size[::-1], size)
    visible *= uncovered(lab, visible)
    return Texture(lab, visible, skin_tone(lab, visible))


def unwrap(pixels, points, size, mesh=MEDIAPIPE):
    """Returns the texture of an image.

    Args:
        pixels: `(height, width, channels)`.
        points: `(n, 2)` or `(n, 3)`, x and y in pixels.
        size: of the texture.
        mesh: `kgan.faces.mesh.Mesh` of the points.

    Returns:
        float32 `(size, size, channels)`; beside the face the colours of its border go on.
    """
    return sample(pixels, interpolated(points[:, :2], size, mesh))


def render(texture, points, shape):
    """Draws a texture on a face.

    Args:
        texture: `(size, size, channels)`.
        points: `(468, 3)`, x, y and depth in pixels.
        shape: `(height, width)` of the image.

    Returns:
        image: float32 `(height, width, channels)`; 0 beside the face and in its holes.
        covered: bool `(height, width)`, where the face is.
    """
    size = len(texture)
    triangle, weights = rasterise(points, TRIANGLES, shape)
    covered = (triangle >= 0) & ~HOLES[triangle]
    image = np.zeros((*shape, texture.shape[2]), "float32")
    places = np.einsum("ij,ijk->ik", weights[covered], PLACES[TRIANGLES[triangle[covered]]])
    image[covered] = sample(texture, places * size)
    return image, covered


def render_table(points, shape, size, holes=False, mesh=MEDIAPIPE):
    """Returns what it takes to render textures of a face again and again, with gradients.

    Pixel `i` of the image, row by row, is the sum over its four texels of weight times `texture.reshape(-1, 3)[index]`.

    Args:
        points: `(n, 3)`, x, y and depth in pixels.
        shape: `(height, width)` of the image.
        size: of the texture.
        holes: whether eyes and inner mouth are rendered, too.
        mesh: `kgan.faces.mesh.Mesh` of the points.

    Returns:
        index: int32 `(height * width, 4)`.
        weight: float32 `(height * width, 4)`; 0 where nothing is rendered.
        alpha: float32 `(height, width)`, how much of the pixel is face: less where it turns away, and soft at its edge.
    """
    triangle, weights = rasterise(points, mesh.triangles, shape)
    covered = ((triangle >= 0) & (holes | ~mesh.holes[triangle])).ravel()
    corners = mesh.triangles[triangle].reshape(-1, 3)
    weights = weights.reshape(-1, 3) * covered[:, None]
    index, weight = four_around(np.einsum("ij,ijk->ik", weights, mesh.places[corners]) * size, (size, size))
    begin, end = FACING
    turned = np.einsum("ij,ij->i", weights, facing(points, mesh)[corners])
    alpha = np.clip((turned - begin) / (end - begin), 0, 1) * covered
    alpha = np.minimum(alpha, ndimage.gaussian_filter(alpha.reshape(shape), 1).ravel() * 2 - 0.5).clip(0, 1)
    return index, weight * covered[:, None].astype("float32"), alpha.reshape(shape).astype("float32")


def nearest_texels(index, weight, shape):
    """Returns the texel nearest to each pixel by a `render_table`, int32 of that shape; -1 where there is no face."""
    nearest = np.take_along_axis(index, weight.argmax(axis=1)[:, None], axis=1)[:, 0]
    return np.where(weight.any(axis=1), nearest, -1).reshape(shape)


def unwrap_table(points, shape, size, mesh=MEDIAPIPE):
    """Returns what it takes to read textures of a face from images again and again, with gradients.

    Texel `i` of the texture, row by row, is the sum over four pixels of weight times `image.reshape(-1, 3)[index]`.

    Args:
        points: `(n, 2)` or `(n, 3)`, x and y in pixels.
        shape: `(height, width)` of the image.
        size: of the texture.
        mesh: `kgan.faces.mesh.Mesh` of the points.

    Returns:
        index: int32 `(size * size, 4)`.
        weight: float32 `(size * size, 4)`.
    """
    return four_around(interpolated(points[:, :2], size, mesh).reshape(-1, 2), shape)


def visibility(points, shape, size, mesh=MEDIAPIPE):
    """Returns how well a photo shows each texel by its shape alone, float32 `(size, size)` in [0, 1].

    Args:
        points: `(n, 3)`, x, y and depth in pixels of the photo.
        shape: `(height, width)` of the photo.
        size: of the texture.
        mesh: `kgan.faces.mesh.Mesh` of the points.
    """
    low, high = FACING
    seen = np.clip((interpolated(facing(points, mesh), size, mesh) - low) / (high - low), 0, 1)
    places = interpolated(points, size, mesh)
    x, y = places[..., 0], places[..., 1]
    seen *= (x >= 0) & (y >= 0) & (x < shape[1]) & (y < shape[0])
    # Behind the nose or a cheek: something of the face is nearer at the same pixel.
    span = np.ptp(points[:, :2], axis=0).max()
    scale = min(1.0, 256 / span)
    origin = points[:, :2].min(axis=0)
    moved = np.column_stack([(points[:, :2] - origin) * scale, points[:, 2]])
    box = tuple(int(n) + 1 for n in moved[:, 1::-1].max(axis=0))
    triangle, weights = rasterise(moved, mesh.triangles, box)
    depth = np.einsum("ijk,ijk->ij", weights, points[mesh.triangles[triangle], 2])
    nearest = np.where(triangle >= 0, depth, np.inf)
    column = np.clip(((x - origin[0]) * scale).astype(int), 0, box[1] - 1)
    row = np.clip(((y - origin[1]) * scale).astype(int), 0, box[0] - 1)
    hidden = places[..., 2] > nearest[row, column] + DEPTH * span
    seen *= 1 - ndimage.gaussian_filter(hidden.astype("float32"), size / 256)
    return (seen * (texels(size, mesh)[0] >= 0)).astype("float32")


def facing(points, mesh=MEDIAPIPE):
    """Returns the cosine of the angle between each point's normal and the camera, `(n,)`; below 0: turned away."""
    return -normals(points, mesh)[:, 2]


def normals(points, mesh=MEDIAPIPE):
    """Returns the unit normals of the points, `(n, 3)`, outwards."""
    a, b, c = np.moveaxis(points[mesh.triangles], 1, 0)
    found = np.zeros_like(points)
    np.add.at(found, mesh.triangles, np.cross(b - a, c - a)[:, None])
    return found / np.maximum(np.linalg.norm(found, axis=1, keepdims=True), 1e-12)
