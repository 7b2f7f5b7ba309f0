"""The 34 regions of an image, a 5x5 and a 3x3 grid, and which of them hold text."""

import numpy as np

GRIDS = (5, 3)
NUM_REGIONS = sum(n * n for n in GRIDS)


def region_labels(boxes, size, threshold=0.01, rule="area"):
    """Labels each region of an image 1 where it holds text, else 0 (section III.D).

    In cell (i, j) of an n x n grid lie the pixels whose centres are in it; a pixel is text when its centre lies inside
    one of the boxes, so that boxes which overlap count once.

    Args:
        boxes: list of text boxes in pixels, each `(4,)` as left, top, right, bottom, or a polygon `(k, 2)` of x, y
            with k of at least 3, convex or not. What lies outside the image is left out.
        size: `(height, width)` of the image.
        threshold: the share of a region's pixels from which on it holds text: 0.01 in the paper. With rule
            `"msp_net"` it has no effect.
        rule: `"area"`, the paper's; or `"msp_net"`: more than 0.05 of the region is text, and a line of text in it is
            higher than half the region.

    Returns:
        float32 `(34,)`: the cells of the 5x5 grid row by row, then those of the 3x3 grid.

    Raises:
        ValueError: an image of less than 5 x 5 pixels, a box of another shape or with numbers that are not finite, an
            unknown rule, or a threshold outside (0, 1].

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
    """Means of `(height, width)` values over the 34 regions, `(34,)` float64."""
    means = []
    for n in GRIDS:
        rows, columns = (_cells(length, n) for length in values.shape)
        sums = rows.T @ values @ columns
        means.append(sums / np.outer(rows.sum(axis=0), columns.sum(axis=0)))
    return np.concatenate(means, axis=None)


def grids(values):
    """Splits values of the regions, `(..., 34)`, into one array `(..., n, n)` for each grid."""
    parts = np.split(values, np.cumsum([n * n for n in GRIDS])[:-1], axis=-1)
    return [part.reshape(*part.shape[:-1], n, n) for part, n in zip(parts, GRIDS, strict=True)]


def _cells(length, n):
    """`(length, n)`: 1 where a pixel's centre lies in a cell."""
    cell = (2 * np.arange(length) + 1) * n // (2 * length)
    return (cell[:, None] == np.arange(n)).astype("float64")


def polygon_mask(box, size):
    """Which pixel centres of an image `(height, width)` lie inside a box, by the even-odd rule."""
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
    """Height of a line of text in pixels: of the rectangles around the box, the shorter side of the narrowest."""
    from scipy.spatial import ConvexHull  # needed for labels alone, and not by who only filters

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
