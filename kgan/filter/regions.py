"""The 34 regions of an image, the cells of a 5x5 and a 3x3 grid, and their text labels."""

import numpy as np

GRIDS = (5, 3)
NUM_REGIONS = sum(n * n for n in GRIDS)


def region_labels(boxes, size, threshold=0.01, rule="area"):
    """Labels the regions of an image: 1 for text, 0 for none (section III.D of the paper).

    A pixel belongs to the grid cell that contains its centre. It counts as text if its centre lies inside a box;
    overlapping boxes count once.

    Args:
        boxes: list of text boxes in pixels. Each is `(4,)`, as left, top, right, bottom, or a polygon `(k, 2)` of at
            least three points x, y, convex or not. Parts outside the image are ignored.
        size: `(height, width)` of the image.
        threshold: smallest share of text pixels in a region that is labelled 1; 0.01 in the paper. The rule
            `"msp_net"` does not use it.
        rule: `"area"`, the rule of the paper, or `"msp_net"`: more than 0.05 of the region's pixels are text, and the
            region contains part of a text line higher than half the region.

    Returns:
        float32 `(34,)`: the cells of the 5x5 grid row by row, then those of the 3x3 grid.

    Raises:
        ValueError: the image is smaller than 5 x 5 pixels, a box has another shape or coordinates that are not finite,
            the rule is unknown, or the threshold is outside (0, 1].

    Example:

    ```python
    from kgan.filter.regions import region_labels

    labels = region_labels([(10, 10, 60, 30)], size=(240, 240))
    labels[:2]  # array([1., 1.], dtype=float32)
    ```
    """
    if rule not in ("area", "msp_net"):
        raise ValueError(f'rule={rule!r}: pass "area" or "msp_net"')
    if not 0 < threshold <= 1:
        raise ValueError(f"threshold={threshold!r}: pass a share in (0, 1]")
    if min(size) < max(GRIDS):
        raise ValueError(f"size={tuple(size)}: regions need at least {max(GRIDS)} pixels on each side")
    masks = [polygon_mask(box, size) for box in boxes]
    if not masks:
        return np.zeros(NUM_REGIONS, "float32")
    shares = region_means(np.any(masks, axis=0))
    if rule == "area":
        return (shares >= threshold).astype("float32")

    cell_heights = np.concatenate([np.full(n * n, size[0] / n) for n in GRIDS])
    tall = np.zeros(NUM_REGIONS, bool)
    for box, mask in zip(boxes, masks, strict=True):
        tall |= (region_means(mask) > 0) & (line_height(box) > cell_heights / 2)
    return ((shares > 0.05) & tall).astype("float32")


def region_means(values):
    """Averages values `(height, width)` over each of the 34 regions; returns float64 `(34,)`."""
    means = []
    for n in GRIDS:
        rows, columns = (_cells(length, n) for length in values.shape)
        sums = rows.T @ values @ columns
        means.append(sums / np.outer(rows.sum(axis=0), columns.sum(axis=0)))
    return np.concatenate(means, axis=None)


def grids(values):
    """Splits region values `(..., 34)` into one array `(..., n, n)` per grid."""
    parts = np.split(values, np.cumsum([n * n for n in GRIDS])[:-1], axis=-1)
    return [part.reshape(*part.shape[:-1], n, n) for part, n in zip(parts, GRIDS, strict=True)]


def _cells(length, n):
    """Returns float64 `(length, n)`: 1 where the pixel's centre lies in the cell, else 0."""
    cell = (2 * np.arange(length) + 1) * n // (2 * length)
    return (cell[:, None] == np.arange(n)).astype("float64")


def polygon_mask(box, size):
    """Returns a boolean mask `(height, width)` of the pixels whose centres lie inside a box, by the even-odd rule."""
    points = _points(box)
    mask = np.zeros(size, bool)
    low = np.clip(np.floor(points.min(axis=0)), 0, size[::-1]).astype(int)
    high = np.clip(np.ceil(points.max(axis=0)), 0, size[::-1]).astype(int)
    x = np.arange(low[0], high[0]) + 0.5
    y = np.arange(low[1], high[1])[:, None] + 0.5
    inside = np.zeros((len(y), len(x)), bool)
    for (x0, y0), (x1, y1) in zip(points, np.roll(points, -1, axis=0), strict=True):
        if y0 != y1:
            crosses = (y0 <= y) != (y1 <= y)
            inside ^= crosses & (x < x0 + (y - y0) * (x1 - x0) / (y1 - y0))
    mask[low[1] : high[1], low[0] : high[0]] = inside
    return mask


def line_height(box):
    """Returns the height of a text line in pixels: the shorter side of the narrowest rectangle around its box."""
    from scipy.spatial import ConvexHull  # only labelling needs SciPy; filtering does without

    points = _points(box)
    if np.linalg.matrix_rank(points - points[0]) < 2:
        return 0.0
    corners = points[ConvexHull(points).vertices]
    edges = np.roll(corners, -1, axis=0) - corners
    normals = np.stack([-edges[:, 1], edges[:, 0]], axis=1) / np.linalg.norm(edges, axis=1, keepdims=True)
    return float(np.ptp(corners @ normals.T, axis=0).min())


def _points(box):
    points = np.asarray(box, "float64")
    if points.shape == (4,):
        left, top, right, bottom = points
        points = np.array([(left, top), (right, top), (right, bottom), (left, bottom)])
    if points.ndim != 2 or points.shape[1] != 2 or len(points) < 3:
        raise ValueError(f"a text box has shape {points.shape}: pass (4,) or a polygon (k, 2) of at least 3 points")
    if not np.isfinite(points).all():
        raise ValueError("a text box has coordinates that are not finite")
    return points
