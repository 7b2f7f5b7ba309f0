"""The text filter at run time. Imports LiteRT and Pillow, but neither Keras nor a backend."""

import dataclasses
import io
import os
import threading
from pathlib import Path

import numpy as np
from PIL import Image

from kgan.filter import model_file
from kgan.filter.decoding import BUCKETS, decode, nearest_bucket, to_bucket, views
from kgan.filter.measured import measured_table
from kgan.filter.regions import NUM_REGIONS, grids
from kgan.runtime.examiner import Examiner
from kgan.runtime.files import Limits
from kgan.runtime.inputs import expand, find, grouped
from kgan.runtime.litert import quiet
from kgan.runtime.processes import processors, spread

__all__ = ["BUCKETS", "Limits", "TextFilter", "to_bucket"]

SHIPPED = Path(__file__).with_name("student-int8.tflite")


@dataclasses.dataclass(slots=True)
class Result:
    """Result for one image; `score` and `regions` `(34,)` are None unless `status` is `ok`."""

    status: str
    score: float | None = None
    regions: np.ndarray | None = None
    overlay: bytes | None = None


class TextFilter:
    """Separates images with text from images without.

    Create one with `TextFilter.load`. The model scores the 34 regions of an image, the cells of a 5x5 and a 3x3 grid.
    The image's score is the largest region score, unless the student has `context` or is calibrated (see
    `TextStudent`). An image with transparent parts is scored on white and on black; the larger scores count.

    Several threads may use one filter. The model scores one image at a time.

    Args:
        model: bytes of a LiteRT model with one signature per bucket, named `240x360` for height 240 and width 360.
        metadata: dict with the contents of `kgan.json`.
        num_threads: number of threads per image.

    Attributes:
        metadata: dict with labels, buckets, thresholds, licence and data card.
        thresholds: dict with `best_f`, the threshold of the best F-measure, `recall`, a dict of recalls to thresholds,
            and `share`, the same for shares of images, where a file has them.

    Raises:
        ValueError: the model has no signature for a bucket.

    Example:

    ```python
    text_filter = kgan.text_filter.TextFilter.load()
    scores = text_filter.score([PIL.Image.open("photo.jpg")])
    for row in text_filter.filter(["photos/"], recall=0.97):
        print(row["path"], row["decision"], row["status"])
    ```
    """

    def __init__(self, model, metadata, num_threads=1):
        # Imported here, so that training code can use `to_bucket` without loading LiteRT.
        from ai_edge_litert.interpreter import Interpreter

        self.model = model
        self.metadata = metadata
        self.thresholds = metadata["thresholds"]
        self.buckets = [tuple(bucket) for bucket in metadata["buckets"]]
        self._one_at_a_time = threading.Lock()  # an interpreter mixes up the images of several threads
        with quiet():
            interpreter = Interpreter(model_content=model, num_threads=num_threads)
            found = interpreter.get_signature_list()
            self._run = {}
            for height, width in self.buckets:
                if (name := f"{height}x{width}") not in found:
                    raise ValueError(f"the model has no signature {name}")
                self._run[height, width] = interpreter.get_signature_runner(name)
            # An unsuitable model fails here, and not at the first image.
            self.look([np.zeros((*self.buckets[0], 3), "uint8")])

    @classmethod
    def load(cls, path=None, num_threads=1):
        """Loads a model file.

        Args:
            path: a `.tflite` file written by `kgan export`; None for the model included in the package.
            num_threads: number of threads per image.

        Returns:
            A `TextFilter`.

        Raises:
            FileNotFoundError: the file does not exist.
            ValueError: the file is damaged, or its format is not supported by this version.

        Example:

        ```python
        TextFilter.load().thresholds["best_f"]
        ```
        """
        path = SHIPPED if path is None else Path(path)
        try:
            model, metadata = model_file.read(path.read_bytes())
            return cls(model, metadata, num_threads)
        except FileNotFoundError:
            if path is SHIPPED:
                raise FileNotFoundError(
                    "the model included in kgan is missing; reinstall kgan, or pass a .tflite file"
                ) from None
            raise FileNotFoundError(f"no model file {os.fspath(path)!r}") from None
        except (ValueError, RuntimeError, KeyError) as error:
            raise ValueError(f"{path} is not a model file of the text filter: {error}") from None

    def threshold(self, recall=None, share=None):
        """Returns a stored threshold: for a recall, for a share of images, or that of the best F-measure.

        Args:
            recall: one of the stored recalls, or None.
            share: one of the stored shares of images that pass where one image in ten has text, or None.

        Raises:
            ValueError: no such threshold is stored, or both arguments are given.
        """
        return self._stored(recall, share)[1]

    def measured(self, recall=None, share=None):
        """Returns what a stored threshold did on photographs with known labels, by kind of photograph.

        They were counted with the Keras model that the file was made from.

        Args:
            recall, share: as for `threshold`.

        Returns:
            A str, a table of shares in %; empty if the file does not say.

        Raises:
            ValueError: as `threshold`.

        Example:

        ```python
        print(TextFilter.load().measured(recall=0.97))
        ```
        """
        name, _ = self._stored(recall, share)
        counts = self.metadata.get("measured")
        return measured_table(counts, name) if counts else ""

    def _stored(self, recall, share):
        """Returns the name of a stored threshold, as `measured.named` gives it, and the threshold."""
        asked = {kind: number for kind, number in (("recall", recall), ("share", share)) if number is not None}
        if len(asked) > 1:
            raise ValueError("pass a recall or a share, not both")
        for kind, number in asked.items():
            stored = self.thresholds.get(kind, {})
            for key, threshold in stored.items():
                if float(key) == number:
                    return f"{kind} {key}", threshold
            known = ", ".join(map(str, sorted(map(float, stored)))) or "none"
            raise ValueError(f"no threshold is stored for {kind} {number}; stored: {known}")
        return "best_f", self.thresholds["best_f"]

    def score(self, images):
        """Scores images in this process.

        Args:
            images: list of uint8 RGB arrays `(height, width, 3)` and `PIL.Image.Image` objects, of any sizes; or one
                uint8 array `(n, height, width, 3)`.

        Returns:
            float32 `(n,)` in [0, 1]; higher means text is more likely.

        Raises:
            ValueError: an image has another type, dtype or shape.

        Example:

        ```python
        TextFilter.load().score(np.zeros((2, 480, 640, 3), "uint8"))
        ```
        """
        return np.array([score for score, _ in self._look_at_all(images)], "float32")

    def regions(self, images):
        """Scores the regions of images in this process.

        Args:
            images: as for `score`.

        Returns:
            float32 `(n, 34)` in [0, 1]: the cells of the 5x5 grid row by row, then those of the 3x3 grid.

        Raises:
            ValueError: an image has another type, dtype or shape.
        """
        return np.array([regions for _, regions in self._look_at_all(images)], "float32").reshape(-1, NUM_REGIONS)

    def _look_at_all(self, images):
        if isinstance(images, (Image.Image, str, os.PathLike)):
            raise ValueError(f"images is {type(images).__name__}: pass a list of images")
        return map(self._look_at, images)

    def _look_at(self, image):
        if not isinstance(image, Image.Image):
            if not isinstance(image, np.ndarray) or image.dtype != "uint8" or image.ndim != 3 or image.shape[2] != 3:
                found = f"{image.dtype} {image.shape}" if isinstance(image, np.ndarray) else type(image).__name__
                raise ValueError(f"an image is {found}: pass uint8 arrays (height, width, 3) or PIL images")
            image = Image.fromarray(image)
        return self.look(views(image, nearest_bucket(image, self.buckets)))

    def look(self, views):
        """Returns score and regions `(34,)` for the views of one image, as `decoding.views` returns them."""
        with self._one_at_a_time:
            found = [self._run[view.shape[:2]](images=view[None]) for view in views]
        return max(f["score"].item() for f in found), np.max([f["regions"].reshape(NUM_REGIONS) for f in found], axis=0)

    def filter(self, paths, recall=None, *, share=None, threshold=None, regions=False, processes=None, limits=None):
        """Scores files in worker processes. Every file gives exactly one row, whatever its contents.

        In a script, call it below `if __name__ == "__main__":`, because the workers import the script. A daemonic
        process, such as a worker of Celery, may have no workers of its own: it scores the files itself, without a limit
        on time, and a file that crashes the decoder ends it.

        Args:
            paths: list of files, folders, patterns such as `"photos/**/*.jpg"`, and zip or tar archives.
            recall, share: use a stored threshold, as `threshold` returns it.
            threshold: lowest score of an image with text; overrides the stored thresholds.
            regions: whether to add the scores of the 34 regions to the rows.
            processes: number of workers; None for one per processor.
            limits: limits for one image; None for `Limits()`.

        Returns:
            Iterator of dicts, in the order of the images, with `path`, `score`, `decision` and `status`. The decision
            is `"text"` if the score is at least the threshold, else `"no_text"`. The statuses are listed in
            `kgan.runtime.files`; unless the status is `ok`, score and decision are None.

        Raises:
            ValueError: a pattern matches no path, or no threshold is stored for the recall or share.
            ChildProcessError: the workers do not start.

        Example:

        ```python
        found = [row["path"] for row in TextFilter.load().filter(["photos/"]) if row["decision"] == "text"]
        ```
        """
        if isinstance(paths, str | os.PathLike):
            raise ValueError(f"paths={paths!r}: pass a list of paths")
        threshold = self.threshold(recall, share) if threshold is None else threshold
        paths = [path for pattern in paths for path in expand(os.fspath(pattern))]
        results = self.results(find(paths), processes, limits)
        return (row(found, result, threshold, regions) for found, _, result in results)

    def results(self, inputs, processes=None, limits=None, overlay=False):
        """Scores an iterable of `inputs.Input` in worker processes.

        Yields:
            `(input, data, result)` in order. `data` holds the bytes of an archive member, or the status with which
            reading it failed; it is None for a file. `result` is a `Result`.
        """
        limits = limits or Limits()
        groups = grouped(inputs, limits.bytes)
        options = (self.model, self.metadata, limits, overlay)
        for (found, (_, data)), result in spread(Scorer, options, groups, processes or processors(), Result("crashed")):
            yield found, data, result


def row(found, result, threshold, regions):
    """Returns the row for an input. The score is not rounded; region scores are rounded to 4 digits."""
    made = {"path": found.name, "score": result.score, "decision": None, "status": result.status}
    if result.status == "ok":
        made["decision"] = "text" if result.score >= threshold else "no_text"
    if regions:
        made["regions"] = None if result.regions is None else [round(float(r), 4) for r in result.regions]
    return made


# === In the worker processes ===


class Scorer(Examiner):
    """Decodes and scores one image after another.

    Args:
        model, metadata: as in `TextFilter`.
        limits: `Limits` for one image.
        overlay: whether results include a heat map.
    """

    def __init__(self, model, metadata, limits, overlay):
        super().__init__(limits)
        self.text_filter = TextFilter(model, metadata)
        self.overlay = overlay

    def examine(self, data):
        seen, size = decode(data, self.text_filter.buckets, self.limits.pixels)
        score, regions = self.text_filter.look(seen)
        return Result("ok", score, regions, heat_map(seen[0], size, regions) if self.overlay else None)

    def failed(self, status):
        return Result(status)


def heat_map(view, size, regions):
    """Returns a JPEG file of an image with its regions tinted red by score; its longer side has 480 pixels."""
    height, width = view.shape[:2]
    heat = np.zeros((height, width), "float32")
    for cells in grids(regions):
        i, j = (((np.arange(length) + 0.5) * len(cells) / length).astype(int) for length in (height, width))
        heat = np.maximum(heat, cells[i[:, None], j])
    shown = view + (0.6 * heat[..., None]) * (np.array([255, 0, 0]) - view)
    scale = 480 / max(size)
    image = Image.fromarray(shown.round().astype("uint8"))
    image = image.resize([max(1, round(side * scale)) for side in size[::-1]], Image.Resampling.BILINEAR)
    file = io.BytesIO()
    image.save(file, "JPEG", quality=85)
    return file.getvalue()
