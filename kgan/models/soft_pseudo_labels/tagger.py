"""Tags any number of image files with a saved `MultiLabelClassifier`, in runs that can be stopped and continued."""

import hashlib
import os
from pathlib import Path

import keras
import numpy as np
from scipy.special import expit

from kgan.filter.decoding import Shrinker
from kgan.models.soft_pseudo_labels.model import MultiLabelClassifier, check_thresholds
from kgan.runtime.inputs import find, grouped
from kgan.runtime.journal import continued
from kgan.runtime.processes import processors, spread

BATCH = 32


class Tagger:
    """A saved classifier, and what makes a class a tag.

    Args:
        path: `.keras` file of a `MultiLabelClassifier`.
        threshold: probability above which a class is a tag; None for the thresholds of the model.
        top_k: most tags of an image; without `threshold` exactly as many. None for no limit.

    Attributes:
        digest: SHA-256 of the file.
        columns: of the rows, for `Journal`.

    Raises:
        FileNotFoundError: the file does not exist.
        ValueError: the file holds no `MultiLabelClassifier`, or one with weights that are not finite or semicolons in
            the names of its classes; or `top_k` exceeds its classes.
    """

    def __init__(self, path, threshold=None, top_k=None):
        if not Path(path).is_file():
            raise FileNotFoundError(f"no model file {os.fspath(path)!r}")
        try:
            self.model = keras.saving.load_model(path)
        except Exception as error:  # of almost any type, on a damaged file
            raise ValueError(f"{path} is not a model file: {str(error).splitlines()[0]}") from None
        if not isinstance(self.model, MultiLabelClassifier):
            raise ValueError(f"{path} holds a {type(self.model).__name__}, not a MultiLabelClassifier")
        if not all(np.isfinite(weights).all() for weights in self.model.get_weights()):
            raise ValueError(f"{path} has weights that are no numbers: its training failed")
        if joined := [name for name in self.model.class_names if ";" in name]:
            raise ValueError(f"{path} has the class {joined[0]!r}, but semicolons separate labels: change class_names")
        self.digest = hashlib.sha256(Path(path).read_bytes()).hexdigest()
        classes = self.model.num_classes
        if top_k is not None and not 1 <= top_k <= classes:
            raise ValueError(f"top_k {top_k}: pass 1 to {classes}, the number of classes of {path}")
        if threshold is None and top_k is not None:
            threshold = -1.0
        self.thresholds = check_thresholds(self.model.thresholds if threshold is None else threshold, classes)
        self.top_k = top_k
        self.columns = {"path": str, "labels": str, **{f"score_{name}": float for name in self.model.class_names}}
        self.columns["status"] = str

    def row(self, name, status, scores):
        """The row of an image: its labels, the most probable first and separated by semicolons, and all scores."""
        labels, values = None, [None] * self.model.num_classes
        if scores is not None:
            best = np.argsort(-scores, kind="stable")[: self.top_k]
            labels = ";".join(self.model.class_names[c] for c in best if (scores > self.thresholds)[c])
            values = [round(float(score), 6) for score in scores]
        return dict(zip(self.columns, [name, labels, *values, status], strict=True))

    def rows(self, paths, journal=None, processes=None, limits=None):
        """Tags the images that have no row yet.

        Args:
            paths: iterable of paths, as for `kgan.runtime.inputs.find`.
            journal: a `Journal`, or None.
            processes: number of workers that decode; None for one for each processor.
            limits: `Limits` for one image.

        Yields:
            `(row, old)` for every image; `old` is True if the row comes from an earlier run.

        Raises:
            ValueError: the images have changed since the earlier run.
        """
        inputs = find(paths, journal.files if journal else ())
        yield from ((row, True) for row in continued(inputs, journal))
        options = self.model.image_size, limits
        calls = spread(Shrinker, options, grouped(inputs, limits.bytes), processes or processors(), ("crashed", None))
        waiting = []
        for (found, _), (status, pixels) in calls:
            waiting.append((found.name, status, pixels))
            if len(waiting) == BATCH:
                yield from self._written(waiting, journal)
                waiting = []
        yield from self._written(waiting, journal)

    def _written(self, waiting, journal):
        pixels = [pixels for _, _, pixels in waiting if pixels is not None]
        scores = iter(())
        if pixels:
            # Filled up, for the model would be compiled anew for each number of images.
            batch = np.zeros((BATCH, *pixels[0].shape), "float32")
            batch[: len(pixels)] = np.stack(pixels) / np.float32(127.5) - 1
            # `score` calls `predict`, which takes as long to begin as a small network takes for these images.
            scores = iter(expit(self.model.predict_on_batch(batch)))
        for name, status, pixels in waiting:
            row = self.row(name, status, None if pixels is None else next(scores))
            if journal:
                journal.append(row)
            yield row, False
