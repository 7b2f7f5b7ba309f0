"""Pictures that recipes and callbacks write: image grids with Pillow, charts with Matplotlib.

Charts use `Figure` objects instead of pyplot, so that they do not change the caller's global state (backend, open
figures).
"""

import contextlib
import os
from pathlib import Path

import matplotlib
import numpy as np
from matplotlib.figure import Figure
from PIL import Image, ImageDraw, ImageFont

# --- Image grids ------------------------------------------------------------------------------------------------------


def image_grid(images, columns, padding=2):
    """Arrange images row by row on a white background.

    Args:
        images: floats `(n, height, width, 1 or 3)`; values outside [-1, 1] are clipped.
        columns: number of images per row. Unused places in the last row stay white.
        padding: width of the white border around and between the images, in pixels.

    Returns:
        uint8 `(rows * (height + padding) + padding, columns * (width + padding) + padding, 3)`.

    Raises:
        ValueError: if the images have a wrong shape or dtype or hold NaN or infinity, or `columns` is less than 1.

    Example:

    >>> image_grid(np.zeros((5, 28, 28, 1)), columns=3).shape
    (62, 92, 3)
    """
    _check_columns(columns)
    return _grid(to_pixels(images), columns, padding)


def labelled_rows(rows, columns=None):
    """Arrange one row of images per key, with the key as a label on the left.

    Use it for classes, models, reconstructions, morphing and iterations of inpainting. Images under 48 pixels are
    enlarged by an integer factor, without smoothing.

    Args:
        rows: dict that maps a label to floats `(n, height, width, 1 or 3)` in [-1, 1]. Rows may differ in `n` and in
            channels, but not in height and width.
        columns: number of images to show per row, from the first. Default: all. Shorter rows are filled with white.

    Returns:
        uint8 `(height, width, 3)`.

    Raises:
        ValueError: if there are no rows, the image sizes differ, or `image_grid` rejects the images or `columns`.

    Example:

    >>> rows = {"real": np.zeros((4, 16, 16, 3)), "CVAE-GAN": np.ones((4, 16, 16, 3))}
    >>> labelled_rows(rows).dtype
    dtype('uint8')
    """
    if not rows:
        raise ValueError("rows is empty; pass at least one label with its images.")
    pixels = [to_pixels(images) for images in rows.values()]
    sizes = sorted({row.shape[1:3] for row in pixels})
    if len(sizes) > 1:
        raise ValueError(f"rows hold images of {len(sizes)} sizes, {sizes}; resize them to one (height, width).")
    if columns is None:
        columns = max(len(row) for row in pixels)
    _check_columns(columns)

    factor = -(-48 // min(sizes[0]))
    if factor > 1:
        pixels = [row.repeat(factor, axis=1).repeat(factor, axis=2) for row in pixels]
    height, width = pixels[0].shape[1:3]
    cells = np.full((len(rows), columns, height, width, 3), 255, "uint8")
    for cell_row, row in zip(cells, pixels, strict=True):
        cell_row[: len(row)] = row[:columns]
    padding = 4
    grid = _grid(cells.reshape(-1, height, width, 3), columns, padding)

    font_file = Path(matplotlib.get_data_path()) / "fonts" / "ttf" / "DejaVuSans.ttf"
    font = ImageFont.truetype(str(font_file), size=max(14, height // 12))
    labels = [str(label) for label in rows]
    margin = int(max(font.getlength(label) for label in labels)) + 3 * padding
    picture = Image.fromarray(np.pad(grid, ((0, 0), (margin, 0), (0, 0)), constant_values=255))
    draw = ImageDraw.Draw(picture)
    for row, label in enumerate(labels):
        middle = padding + row * (height + padding) + height / 2
        draw.text((margin - padding, middle), label, fill="black", font=font, anchor="rm")
    return np.asarray(picture)


def save_image(path, image):
    """Write an image as PNG. Missing folders are created, and `path` is never left half written.

    Args:
        path: file name that ends in `.png`.
        image: uint8 `(height, width, 3)`, as `image_grid` and `labelled_rows` return it.

    Raises:
        ValueError: if `path` does not end in `.png` or the image has a wrong shape or dtype.

    Example:

    >>> save_image("runs/grid.png", image_grid(np.zeros((4, 8, 8, 3)), columns=2))  # doctest: +SKIP
    """
    image = np.asarray(image)
    if image.dtype != np.uint8 or image.ndim != 3 or image.shape[-1] != 3:
        raise ValueError(f"image must be uint8 (height, width, 3), as image_grid returns it; got {_describe(image)}.")
    with _new_png(path) as temporary:
        Image.fromarray(image).save(temporary, format="png")


def _check_columns(columns):
    if columns < 1:
        raise ValueError(f"columns={columns}: pass 1 or more.")


def to_pixels(images):
    """Convert images `(n, height, width, 1 or 3)` in [-1, 1] to uint8 `(n, height, width, 3)`.

    Raises:
        ValueError: if the images have a wrong shape or dtype or hold NaN or infinity.
    """
    images = np.asarray(images)
    if images.ndim != 4 or images.shape[-1] not in (1, 3) or 0 in images.shape or images.dtype.kind != "f":
        raise ValueError(
            f"images must be floats (n, height, width, 1 or 3) in [-1, 1] with n >= 1; got {_describe(images)}."
        )
    if not np.isfinite(images).all():
        raise ValueError("images hold NaN or infinity; check the model that made them.")
    pixels = np.rint((np.clip(images, -1.0, 1.0) + 1.0) * 127.5).astype("uint8")
    return np.broadcast_to(pixels, (*pixels.shape[:3], 3))


def _grid(pixels, columns, padding):
    n, height, width, _ = pixels.shape
    rows = -(-n // columns)
    cells = np.full((rows * columns, height + padding, width + padding, 3), 255, "uint8")
    cells[:n, padding:, padding:] = pixels
    cells = cells.reshape(rows, columns, height + padding, width + padding, 3).swapaxes(1, 2)
    grid = cells.reshape(rows * (height + padding), columns * (width + padding), 3)
    return np.pad(grid, ((0, padding), (0, padding), (0, 0)), constant_values=255)


# --- Charts -----------------------------------------------------------------------------------------------------------


def ring_figure(path, snapshots, real):
    """Plot real points in blue and generated points in red, as in figure 4 of CVAE-GAN.

    The figure has one row per method and one column per iteration. All panels show the same area around the real
    points. If generated points lie outside it (first iterations, divergence), the panel states their share.

    Args:
        path: file name that ends in `.png`.
        snapshots: dict `{method: {iteration: points}}` with generated points `(n, 2)`. A panel stays empty if the
            method has no snapshot of the iteration.
        real: real points `(n, 2)`.

    Raises:
        ValueError: if there are no snapshots, points have a wrong shape, or `path` does not end in `.png`.

    Example:

    >>> real = 100 + np.random.default_rng(0).normal(size=(500, 2))
    >>> ring_figure("runs/ring.png", {"GAN": {0: real - 1, 1000: real}}, real)  # doctest: +SKIP
    """
    real = _points("real", real)
    iterations = sorted({iteration for points in snapshots.values() for iteration in points})
    if not iterations:
        raise ValueError("snapshots are empty; pass at least one method with one iteration.")
    low, high = real.min(axis=0), real.max(axis=0)
    margin = 0.4 * (high - low).max()
    low, high = low - margin, high + margin

    figure = Figure(figsize=(2.0 * len(iterations) + 0.6, 2.0 * len(snapshots) + 0.6), layout="constrained")
    panels = figure.subplots(len(snapshots), len(iterations), sharex=True, sharey=True, squeeze=False)
    panels[0, 0].set(xlim=(low[0], high[0]), ylim=(low[1], high[1]))
    for panel_row, (method, by_iteration) in zip(panels, snapshots.items(), strict=True):
        panel_row[0].set_ylabel(method)
        for panel, iteration in zip(panel_row, iterations, strict=True):
            panel.set_aspect("equal")
            if iteration not in by_iteration:
                continue
            generated = _points(f"{method} at iteration {iteration}", by_iteration[iteration])
            panel.scatter(*real.T, s=3, linewidths=0, color="tab:blue", label="real")
            panel.scatter(*generated.T, s=3, linewidths=0, color="tab:red", label="generated")
            outside = 1.0 - ((generated >= low) & (generated <= high)).all(axis=1).mean()
            if outside > 0:
                label = panel.text(0.5, 0.03, f"{outside:.1%} outside", transform=panel.transAxes, ha="center")
                label.set(fontsize="small", bbox={"facecolor": "white", "edgecolor": "none", "pad": 1})
    for panel, iteration in zip(panels[0], iterations, strict=True):
        panel.set_title(f"{iteration:,}", fontsize="medium")
    figure.suptitle("iteration", fontsize="medium")
    handles = next(panel for panel in panels.flat if panel.collections).collections
    figure.legend(handles=handles, loc="outside lower center", ncols=2, markerscale=4, frameon=False)
    _save_figure(path, figure)


def curves(path, series, xlabel, ylabel, log_x=False):
    """Plot one line with a shaded spread for each entry of `series`.

    Args:
        path: file name that ends in `.png`.
        series: dict that maps a label to `(x, mean, low, high)`, four sequences of equal length. `low` and `high` are
            None for a line without spread. NaN leaves a gap.
        xlabel: name of the x axis, with its unit.
        ylabel: name of the y axis, with its unit.
        log_x: whether the x axis is logarithmic. Every x must then be more than 0.

    Raises:
        ValueError: if `series` is empty or ragged, a logarithmic axis gets an x of 0 or less, or `path` does not end in
            `.png`.

    Example:

    >>> x = np.array([1, 10, 100])
    >>> curves("runs/curve.png", {"GAN": (x, x, 0.9 * x, 1.1 * x)}, "epoch", "loss", log_x=True)  # doctest: +SKIP
    """
    if not series:
        raise ValueError("series is empty; pass at least one label with (x, mean, low, high).")
    figure = Figure(figsize=(6.4, 4.0), layout="constrained")
    axes = figure.subplots()
    for label, (x, mean, low, high) in series.items():
        lengths = [len(values) for values in (x, mean, low, high) if values is not None]
        if len(set(lengths)) > 1 or (low is None) != (high is None):
            raise ValueError(
                f"{label}: x, mean, low and high must have one length, and low and high must be given both or neither; "
                f"got lengths {lengths}."
            )
        if log_x and np.min(x) <= 0:
            raise ValueError(f"{label}: x starts at {np.min(x)}; a logarithmic axis needs every x above 0.")
        (line,) = axes.plot(x, mean, label=label)
        if low is not None:
            axes.fill_between(x, low, high, color=line.get_color(), alpha=0.2, linewidth=0)
    axes.set(xlabel=xlabel, ylabel=ylabel, xscale="log" if log_x else "linear")
    axes.grid(alpha=0.3)
    axes.legend(frameon=False)
    _save_figure(path, figure)


def scatter(path, points, colourings):
    """Plot the same points in one panel per colouring, for example codes by class and by domain.

    Args:
        path: file name that ends in `.png`.
        points: `(n, 2)`.
        colourings: dict that maps the title of a panel to the group of each point, `(n,)` names or numbers. A panel has
            at most ten groups.

    Raises:
        ValueError: if there are no points or colourings, a colouring has a wrong length or more than ten groups, or
            `path` does not end in `.png`.

    Example:

    >>> points = np.random.default_rng(0).normal(size=(4, 2))
    >>> scatter("runs/codes.png", points, {"class": [0, 0, 1, 1], "domain": ["s", "t", "s", "t"]})  # doctest: +SKIP
    """
    points = _points("points", points)
    if not colourings:
        raise ValueError("colourings are empty; pass at least one title with the group of each point.")
    figure = Figure(figsize=(4.4 * len(colourings), 4.2), layout="constrained")
    panels = figure.subplots(1, len(colourings), squeeze=False)[0]
    for panel, (title, groups) in zip(panels, colourings.items(), strict=True):
        groups = np.asarray(groups)
        names = np.unique(groups)
        if groups.shape != (len(points),) or len(names) > 10:
            raise ValueError(
                f"{title}: {len(names)} groups for {groups.shape} points; pass {len(points)} in at most ten groups."
            )
        # Drawn in random order, so that the last group does not hide the others.
        order = np.random.default_rng(0).permutation(len(points))
        colours = np.searchsorted(names, groups)[order]
        panel.scatter(*points[order].T, c=colours, cmap="tab10", vmin=-0.5, vmax=9.5, s=5, linewidths=0)
        for number, name in enumerate(names):
            panel.scatter([], [], color=f"C{number}", s=20, label=str(name))
        panel.set(title=title, xticks=[], yticks=[])
        panel.legend(frameon=False, fontsize="small", loc="center left", bbox_to_anchor=(1, 0.5))
    _save_figure(path, figure)


def captioned(path, images, captions, columns=8):
    """Draw images with a caption below each, such as what a classifier sees in it.

    Args:
        path: file name that ends in `.png`.
        images: floats `(n, height, width, 1 or 3)` in [-1, 1], or uint8.
        captions: `n` texts, each of one line or a few short ones.
        columns: images in a row.

    Raises:
        ValueError: if there are no images, not as many captions, or `path` does not end in `.png`.

    Example:

    >>> captioned("runs/tags.png", np.zeros((2, 8, 8, 3)), ["disc 0.91", "star 0.78\\nring 0.40"])  # doctest: +SKIP
    """
    images = np.asarray(images)
    if not len(images) or len(images) != len(captions):
        raise ValueError(f"{len(images)} images and {len(captions)} captions; pass as many of both, at least one.")
    pixels = images if images.dtype == np.uint8 else to_pixels(images)
    columns = min(columns, len(pixels))
    lines = 1 + max(caption.count("\n") for caption in captions)
    rows = -(-len(pixels) // columns)
    figure = Figure(figsize=(1.5 * columns, (1.5 + 0.16 * lines) * rows), layout="constrained")
    panels = figure.subplots(rows, columns, squeeze=False).ravel()
    for panel in panels:
        panel.axis("off")
    for panel, picture, caption in zip(panels, pixels, captions, strict=False):
        panel.imshow(picture, cmap="gray")
        panel.text(0.5, -0.04, caption, ha="center", va="top", fontsize=7, transform=panel.transAxes)
    _save_figure(path, figure)


def bars(path, series, names, xlabel):
    """Draw a group of horizontal bars for each name, with a bar for each entry of `series`.

    Args:
        path: file name that ends in `.png`.
        series: dict that maps a label to one value for each name. NaN leaves a gap.
        names: names of the groups, from top to bottom.
        xlabel: what the values are, with their unit.

    Raises:
        ValueError: if `series` is empty, an entry has another length, or `path` does not end in `.png`.

    Example:

    >>> bars("runs/classes.png", {"baseline": [71, 60], "SPL": [73, 58]}, ["cat", "dog"], "AP, %")  # doctest: +SKIP
    """
    if not series or any(len(values) != len(names) for values in series.values()):
        raise ValueError(f"series {list(series)}: pass at least one, each with {len(names)} values.")
    figure = Figure(figsize=(6.4, 1.2 + 0.12 * len(names) * (len(series) + 1)), layout="constrained")
    axes = figure.subplots()
    height = 0.8 / len(series)
    for number, (label, values) in enumerate(series.items()):
        axes.barh(np.arange(len(names)) + (number - (len(series) - 1) / 2) * height, values, height, label=label)
    axes.set(xlabel=xlabel, yticks=np.arange(len(names)), yticklabels=names)
    axes.invert_yaxis()
    axes.grid(axis="x", alpha=0.3)
    figure.legend(loc="outside lower center", ncols=2, frameon=False)
    _save_figure(path, figure)


def _points(name, points):
    points = np.asarray(points)
    if points.ndim != 2 or points.shape[1] != 2 or not len(points):
        raise ValueError(f"{name}: points must be a non-empty (n, 2) array; got {_describe(points)}.")
    return points


def _save_figure(path, figure):
    with _new_png(path) as temporary:
        figure.savefig(temporary, format="png", dpi=150)


# --- Files ------------------------------------------------------------------------------------------------------------


@contextlib.contextmanager
def _new_png(path):
    """Yield a temporary file name next to `path`. The file replaces `path` on success and is deleted on failure."""
    path = Path(path)
    if path.suffix.lower() != ".png":
        raise ValueError(f"{path} does not end in .png, the only supported format; rename it.")
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        yield temporary
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def _describe(array):
    return f"{array.dtype} {array.shape}"
