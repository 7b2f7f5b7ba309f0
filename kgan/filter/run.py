"""Runs of the text filter over any number of images, which can be stopped and continued.

A continued run lists the images again, skips those that have rows in the journal, and scores the others; the rows are
the same as those of an uninterrupted run. Images may have been added after the last one with a row. Any other change to
the list of images is an error.
"""

import warnings

from kgan.filter.regions import NUM_REGIONS
from kgan.filter.text_filter import row
from kgan.runtime.files import Undecodable, put, read_file
from kgan.runtime.inputs import find
from kgan.runtime.journal import continued

COLUMNS = {"path": str, "score": float, "decision": str, "status": str}  # of every row
REGIONS = {"regions": NUM_REGIONS}  # added on request


def run(text_filter, paths, journal, *, threshold, regions, copy_to, overlay, processes, limits, ours=()):
    """Scores the images that have no row yet.

    Args:
        text_filter: a `TextFilter`.
        paths: iterable of paths, as for `inputs.find`.
        journal: a `Journal`, or None.
        threshold: lowest score of an image with text.
        regions: whether rows include the scores of the regions.
        copy_to: folder for copies of the images with text, or None.
        overlay: folder for heat maps of all images, or None.
        processes: as for `TextFilter.filter`.
        limits: `Limits` for one image.
        ours: paths of other files that the run writes, which are no images of it.

    Yields:
        `(row, old)` for every image; `old` is True if the row comes from an earlier run.

    Raises:
        ValueError: the images have changed since the earlier run.
    """
    ours = [*(journal.files if journal else ()), copy_to, overlay, *ours]
    inputs = find(paths, filter(None, ours))
    yield from ((old, True) for old in continued(inputs, journal))
    for found, data, result in text_filter.results(inputs, processes, limits, overlay is not None):
        new = row(found, result, threshold, regions)
        # Before the row, because a continued run skips images that have one.
        if copy_to and new["decision"] == "text":
            try:
                put(copy_to, found.place, read_file(found.path, limits.bytes) if data is None else data)
            except Undecodable as error:  # the file has gone since it was scored
                warnings.warn(f"{found.name}: not copied: {error}", stacklevel=2)
        if overlay and result.overlay:
            put(overlay, f"{found.place}.jpg", result.overlay)
        if journal:
            journal.append(new)
        yield new, False
