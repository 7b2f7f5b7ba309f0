"""A run of the text filter over any number of images, which a later one continues where it was stopped.

A run that finds rows in its journal goes through the images as before, skips those that have rows, and adds the others;
so the rows are those of a run that was never stopped. It is refused when the images with rows are no longer the first
ones; images added behind them are welcome.
"""

import os
from pathlib import Path

from kgan.filter.regions import NUM_REGIONS
from kgan.filter.text_filter import row
from kgan.runtime.files import put
from kgan.runtime.inputs import find
from kgan.runtime.journal import AGAIN

COLUMNS = {"path": str, "score": float, "decision": str, "status": str}  # of a row; with regions also:
REGIONS = {"regions": NUM_REGIONS}


def run(text_filter, paths, journal, *, threshold, regions, copy_to, overlay, processes, limits):
    """Looks at the images that have no row yet.

    Args:
        text_filter: a `TextFilter`.
        paths: iterable of paths, as for `inputs.find`.
        journal: a `Journal`, or None.
        threshold: score from which on there is text.
        regions: whether rows have the scores of regions.
        copy_to: folder for copies of the images with text, or None.
        overlay: folder for heat maps of all images, or None.
        processes, limits: as for `TextFilter.filter`.

    Yields:
        `(row, whether an earlier run made it)`.
    """
    ours = [*(journal.files if journal else ()), copy_to, overlay]
    inputs = find(paths, {os.path.abspath(path) for path in ours if path})
    for number, old in enumerate(journal.rows() if journal else (), start=1):
        found = next(inputs, None)
        if found is None or found.name != old["path"]:
            now = "is gone" if found is None else f"has given way to {found.name!r}"
            raise ValueError(
                f"{journal.out}: the images have changed since it was begun; number {number}, {old['path']!r}, {now}: "
                + AGAIN
            )
        yield old, True
    for found, data, result in text_filter.results(inputs, processes, limits, overlay is not None):
        new = row(found, result, threshold, regions)
        # Before the row: an image that has one is not looked at again.
        if copy_to and new["decision"] == "text":
            put(copy_to, found.place, Path(found.path).read_bytes() if data is None else data)
        if overlay and result.overlay:
            put(overlay, f"{found.place}.jpg", result.overlay)
        if journal:
            journal.append(new)
        yield new, False
