"""The text filter at run time: LiteRT and Pillow; neither Keras nor any of its backends is imported."""

import contextlib
import dataclasses
import io
import os
import signal
from pathlib import Path

import numpy as np
from PIL import Image

from kgan.filter import model_file
from kgan.filter.decoding import BUCKETS, decode, nearest_bucket, to_bucket, views
from kgan.filter.regions import NUM_REGIONS, grids
from kgan.runtime.files import Limits, Undecodable, read_file
from kgan.runtime.inputs import expand, find
from kgan.runtime.processes import processors, spread

__all__ = ["BUCKETS", "Limits", "TextFilter", "to_bucket"]

SHIPPED = Path(__file__).with_name("student-int8.tflite")
GROUP_IMAGES, GROUP_BYTES = 8, 2**23  # sent to a process at once


@dataclasses.dataclass(slots=True)
class Result:
    """What was found of one image: `score` and `regions` `(34,)` are None unless `status` is `ok`."""

    status: str
    score: float | None = None
    regions: np.ndarray | None = None
    overlay: bytes | None = None


class TextFilter:
    """Tells images with text from images without.

    Open one with `TextFilter.load`. An image has a score, and so has each of its 34 regions, the cells of a 5x5 and a
    3x3 grid; the image's is the largest of theirs, unless the student has `context` (`TextStudent`). An image with
    transparent parts is looked at over white and over black, and the larger scores count.

    Args:
        model: bytes of a LiteRT model with one signature per bucket, called `240x360` for height 240 and width 360.
        metadata: the dict that `kgan.json` in a model file holds.
        num_threads: threads that one image may use.

    Attributes:
        metadata: as above: labels, buckets, thresholds, licence, data card.
        thresholds: dict: `best_f`, the threshold of the best F-measure, and `recall`, a dict of the threshold for each
            recall.

    Example:

    ```python
    text_filter = kgan.text_filter.TextFilter.load()
    scores = text_filter.score([PIL.Image.open("photo.jpg")])
    for row in text_filter.filter(["photos/"], recall=0.97):
        print(row["path"], row["decision"], row["status"])
    ```
    """

    def __init__(self, model, metadata, num_threads=1):
        # Here, so that training code may use `to_bucket` without a second runtime beside its own.
        from ai_edge_litert.interpreter import Interpreter

        self.model = model
        self.metadata = metadata
        self.thresholds = metadata["thresholds"]
        self.buckets = [tuple(bucket) for bucket in metadata["buckets"]]
        with quiet():
            interpreter = Interpreter(model_content=model, num_threads=num_threads)
            found = interpreter.get_signature_list()
            self._run = {}
            for height, width in self.buckets:
                if (name := f"{height}x{width}") not in found:
                    raise ValueError(f"the model has no signature {name}")
                self._run[height, width] = interpreter.get_signature_runner(name)
            # Shows now rather than at the first image that the model is what it should be.
            self.look([np.zeros((*self.buckets[0], 3), "uint8")])

    @classmethod
    def load(cls, path=None, num_threads=1):
        """Opens a model file: a LiteRT model with an archive behind it that holds `kgan.json`.

        Args:
            path: the `.tflite` file that `kgan export` wrote; None for the one that comes with the package.
            num_threads: threads that one image may use.

        Returns:
            A `TextFilter`.

        Raises:
            FileNotFoundError: there is no such file.
            ValueError: the file is damaged, or of a format that this version does not read.

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
                    "the student that comes with kgan is missing: install kgan again, or pass a .tflite file"
                ) from None
            raise FileNotFoundError(f"no model file {os.fspath(path)!r}") from None
        except (ValueError, RuntimeError, KeyError) as error:
            raise ValueError(f"{path} is not a model file of the text filter: {error}") from None

    def threshold(self, recall=None):
        """The stored threshold for a recall, or None for that of the best F-measure.

        Raises:
            ValueError: none is stored for this recall.
        """
        if recall is None:
            return self.thresholds["best_f"]
        stored = {float(key): value for key, value in self.thresholds["recall"].items()}
        if recall not in stored:
            known = ", ".join(map(str, sorted(stored))) or "none"
            raise ValueError(f"no threshold is stored for recall {recall}; stored: {known}")
        return stored[recall]

    def score(self, images):
        """Scores images in this process.

        Args:
            images: list of uint8 RGB arrays `(height, width, 3)` and `PIL.Image.Image`, of any sizes; or one array
                `(n, height, width, 3)`.

        Returns:
            float32 `(n,)` in [0, 1], high for text.

        Raises:
            ValueError: an image of another kind.

        Example:

        ```python
        TextFilter.load().score(np.zeros((2, 480, 640, 3), "uint8"))
        ```
        """
        return np.array([score for score, _ in map(self._look_at, images)], "float32")

    def regions(self, images):
        """Scores the regions of images in this process.

        Args, Raises: as `score`.

        Returns:
            float32 `(n, 34)` in [0, 1]: the cells of the 5x5 grid row by row, then those of the 3x3 grid.
        """
        return np.array([regions for _, regions in map(self._look_at, images)], "float32").reshape(-1, NUM_REGIONS)

    def _look_at(self, image):
        if not isinstance(image, Image.Image):
            if not isinstance(image, np.ndarray) or image.dtype != "uint8" or image.ndim != 3 or image.shape[2] != 3:
                found = f"{image.dtype} {image.shape}" if isinstance(image, np.ndarray) else type(image).__name__
                raise ValueError(f"an image is {found}: pass uint8 arrays (height, width, 3) or PIL images")
            image = Image.fromarray(image)
        return self.look(views(image, nearest_bucket(image, self.buckets)))

    def look(self, views):
        """Score and regions `(34,)` of what `decoding.views` gives of one image."""
        found = [self._run[view.shape[:2]](images=view[None]) for view in views]
        return max(f["score"].item() for f in found), np.max([f["regions"].reshape(NUM_REGIONS) for f in found], axis=0)

    def filter(self, paths, recall=None, *, threshold=None, regions=False, processes=None, limits=None):
        """Looks at files in several processes; whatever a file holds, it gives one row.

        In a script, call it below `if __name__ == "__main__":`, for the processes import the script.

        Args:
            paths: list of files, folders, patterns such as `"photos/**/*.jpg"`, and zip or tar archives.
            recall: one of the stored recalls, whose threshold is taken; None for the best F-measure.
            threshold: takes the place of a stored one.
            regions: adds the scores of the 34 regions to the rows.
            processes: number of processes; None for one per processor.
            limits: what an image may cost; None for `Limits()`.

        Returns:
            Iterator of dicts, in the order of the images: `path`, `score`, `decision` (`"text"` where the score is at
            least the threshold, else `"no_text"`) and `status`, see `kgan.runtime.files`. Score
            and decision are None unless the status is `ok`.

        Raises:
            ValueError: a pattern that fits nothing, or no threshold for this recall.
            ChildProcessError: the processes do not start.

        Example:

        ```python
        found = [row["path"] for row in TextFilter.load().filter(["photos/"]) if row["decision"] == "text"]
        ```
        """
        if isinstance(paths, str | os.PathLike):
            raise ValueError(f"paths={paths!r}: pass a list of paths")
        threshold = self.threshold(recall) if threshold is None else threshold
        paths = [path for pattern in paths for path in expand(os.fspath(pattern))]
        results = self.results(find(paths), processes, limits)
        return (row(found, result, threshold, regions) for found, _, result in results)

    def results(self, inputs, processes=None, limits=None, overlay=False):
        """Looks at each of an iterator of `inputs.Input`.

        Yields:
            `(input, data, result)` in order: the bytes of a member of an archive, else None, and a `Result`.
        """
        limits = limits or Limits()
        groups = grouped(inputs, limits.bytes)
        start = (self.model, self.metadata, limits, overlay)
        for (found, (_, data)), result in spread(
            examine, groups, processes or processors(), prepare, start, Result("crashed")
        ):
            yield found, data, result


def row(found, result, threshold, regions):
    """The dict that the result for an input becomes; numbers as the model gave them, those of regions to 4 digits."""
    made = {"path": found.name, "score": result.score, "decision": None, "status": result.status}
    if result.status == "ok":
        made["decision"] = "text" if result.score >= threshold else "no_text"
    if regions:
        made["regions"] = None if result.regions is None else [round(float(r), 4) for r in result.regions]
    return made


@contextlib.contextmanager
def quiet():
    """Keeps LiteRT from writing which delegate it made to the terminal; it has no setting for that."""
    kept = os.dup(2)
    try:
        with open(os.devnull, "wb") as nowhere:
            os.dup2(nowhere.fileno(), 2)
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)


def grouped(inputs, max_bytes):
    """Groups inputs, so that little time goes into sending them and little memory into what waits.

    Yields:
        Lists of `(input, (path, data))`, the latter as for `examine`.
    """
    group, size = [], 0
    for found in inputs:
        data = None
        if found.read is not None:
            try:
                data = found.read(max_bytes)
                size += len(data)
            except Undecodable as error:
                data = error.status
        group.append((found, (found.path, data)))
        if len(group) == GROUP_IMAGES or size >= GROUP_BYTES:
            yield group
            group, size = [], 0
    if group:
        yield group


# === In the processes that decode and score ===


def prepare(model, metadata, limits, overlay):
    """Makes this process ready for `examine`."""
    global _text_filter, _limits, _overlay
    _text_filter, _limits, _overlay = TextFilter(model, metadata), limits, overlay
    Image.MAX_IMAGE_PIXELS = limits.pixels


def examine(path, data):
    """Looks at a file, or at the bytes of one; `data` may also be the status that reading it ended with."""
    if isinstance(data, str):
        return Result(data)
    if hasattr(signal, "setitimer"):
        # A decoder that does not end gives Python no chance to stop it: the signal ends the process.
        signal.setitimer(signal.ITIMER_PROF, _limits.seconds)
    try:
        if path is not None:
            data = read_file(path, _limits.bytes)
        seen, size = decode(data, _text_filter.buckets)
        score, regions = _text_filter.look(seen)
        return Result("ok", score, regions, heat_map(seen[0], size, regions) if _overlay else None)
    except Undecodable as error:
        return Result(error.status)
    except MemoryError:
        return Result("too_large")
    finally:
        if hasattr(signal, "setitimer"):
            signal.setitimer(signal.ITIMER_PROF, 0)


def heat_map(view, size, regions):
    """A JPEG file of an image with its regions the redder the higher their score, the longer side 480 pixels."""
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
