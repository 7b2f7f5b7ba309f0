"""Triangles to pixels, and values at places between pixels. Places are x and y; the first pixel spans 0 to 1."""

import numpy as np
from PIL import Image


def rasterise(points, triangles, shape):
    """Finds the nearest triangle at the centre of each pixel.

    Args:
        points: `(n, 2)` x and y in pixels, or `(n, 3)` with a depth that grows away from the viewer.
        triangles: int `(m, 3)`, the points of each.
        shape: `(height, width)`.

    Returns:
        triangle: int32 `(height, width)`, -1 where there is none.
        weights: float32 `(height, width, 3)`, of the triangle's points at the centre of the pixel; 0 where there is
            none.

    Example:

    >>> triangle, _ = rasterise(np.array([(0, 0), (4, 0), (0, 4)]), np.array([(0, 1, 2)]), (4, 4))
    >>> int((triangle == 0).sum())
    10
    """
    height, width = shape
    triangle = np.full(height * width, -1, "int32")
    weights = np.zeros((height * width, 3), "float32")
    corners = points[triangles].astype("float64")
    a, b, c = (corners[:, i, :2] - 0.5 for i in range(3))  # the centre of pixel (i, j) is now at (i, j)
    area = (b[:, 1] - c[:, 1]) * (a[:, 0] - c[:, 0]) + (c[:, 0] - b[:, 0]) * (a[:, 1] - c[:, 1])
    low = np.maximum(np.ceil(np.minimum(np.minimum(a, b), c)), 0).astype(int)
    high = np.minimum(np.floor(np.maximum(np.maximum(a, b), c)), (width - 1, height - 1)).astype(int)
    wide, tall = np.maximum(high - low + 1, 0).T
    count = np.where(np.abs(area) < 1e-12, 0, wide * tall)
    # All pixels of the boxes around all triangles, numbered within their box.
    of = np.repeat(np.arange(len(triangles)), count)
    number = np.arange(count.sum()) - np.repeat(np.cumsum(count) - count, count)
    x, y = low[of, 0] + number % wide[of], low[of, 1] + number // wide[of]
    dx, dy = x - c[of, 0], y - c[of, 1]
    first = ((b - c)[of, 1] * dx - (b - c)[of, 0] * dy) / area[of]
    second = ((c - a)[of, 1] * dx - (c - a)[of, 0] * dy) / area[of]
    found = np.stack([first, second, 1 - first - second], axis=1)
    inside = (found >= -1e-9).all(axis=1)
    of, pixel, found = of[inside], (y * width + x)[inside], found[inside]
    if points.shape[1] == 3:
        order = np.argsort(-(corners[of, :, 2] * found).sum(axis=1), kind="stable")
        of, pixel, found = of[order], pixel[order], found[order]
    # Of several triangles at a pixel the last one stays: the nearest.
    triangle[pixel], weights[pixel] = of, found
    return triangle.reshape(shape), weights.reshape(*shape, 3)


def sample(values, places):
    """Interpolates between pixels, bilinearly; places outside take the nearest pixel.

    Args:
        values: `(height, width, ...)`.
        places: `(..., 2)`, x and y in pixels.

    Returns:
        float32, of the shape of `places` without its last axis, followed by that of a pixel.
    """
    height, width = values.shape[:2]
    x, y = (np.clip(places[..., i] - 0.5, 0, side - 1) for i, side in enumerate((width, height)))
    left, top = np.minimum(x.astype(int), max(width - 2, 0)), np.minimum(y.astype(int), max(height - 2, 0))
    right, below = np.minimum(left + 1, width - 1), np.minimum(top + 1, height - 1)
    more = (1,) * (values.ndim - 2)  # axes of a pixel
    across, down = (part.astype("float32").reshape(*x.shape, *more) for part in (x - left, y - top))
    upper = values[top, left] * (1 - across) + values[top, right] * across
    lower = values[below, left] * (1 - across) + values[below, right] * across
    return (upper * (1 - down) + lower * down).astype("float32")


def four_around(places, shape):
    """Returns the four pixels around each place and their weights in a bilinear interpolation, as `sample` does it.

    Args:
        places: `(n, 2)`, x and y in pixels.
        shape: `(height, width)`, two pixels or more each.

    Returns:
        index: int32 `(n, 4)`, of the pixels row by row.
        weight: float32 `(n, 4)`.
    """
    height, width = shape
    places = np.clip(places - 0.5, 0, (width - 1, height - 1))
    low = np.minimum(places.astype(int), (width - 2, height - 2))
    right, down = (places - low).T
    index = low[:, 1, None] * width + low[:, :1] + np.array((0, 1, width, width + 1))
    weight = np.stack([(1 - right) * (1 - down), right * (1 - down), (1 - right) * down, right * down], axis=1)
    return index.astype("int32"), weight.astype("float32")


def resized(values, size):
    """Resizes a map: means over pixels to a smaller size, linear interpolation to a larger one.

    Args:
        values: `(height, width)` or `(height, width, channels)`.
        size: `(width, height)` of the result, or one int for both.

    Returns:
        float32, of the new height and width.
    """
    size = (size, size) if isinstance(size, int) else size
    if values.shape[1::-1] == size:
        return values.astype("float32")
    if values.ndim == 3:
        return np.stack([resized(values[..., i], size) for i in range(values.shape[2])], axis=-1)
    how = Image.Resampling.BOX if size[0] < values.shape[1] else Image.Resampling.BILINEAR
    return np.asarray(Image.fromarray(np.ascontiguousarray(values, "float32")).resize(size, how))
