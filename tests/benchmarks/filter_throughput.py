"""How many images a second `kgan filter` looks at, what the time goes into, and whether memory stays flat.

    python tests/benchmarks/filter_throughput.py [--model FILE] [--processes N] [--out figures.json]
    python tests/benchmarks/filter_throughput.py --memory

The images are 2,000 JPEG files of 640x480, drawn here: a gradient, shapes, text and grain, so that a file has the 80 kB
or so of a photo. Two measures:

- `run`: the files through `TextFilter.filter`, which is what the command calls, starting the processes included. The
  clock on the wall says what a user waits; processor time, of the parent and of the others, is the better witness
  where something else runs beside it. `images/s per core` is images by processor time.
- `parts`: the same steps one after the other in this process, medians of processor time: `read` the file, `open`
  (header, EXIF), `decode` (JPEG to pixels), `resize` (to the bucket), `model`, and `rest`, what the run takes beyond
  them: sending, making rows, starting the processes.

`--memory` sends 20,000 names of the files through `filter` and watches the resident memory of the parent and of each
process. Runs on Linux.
"""

import argparse
import io
import json
import os
import resource
import tempfile
import time
from importlib.metadata import version
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFilter, ImageFont

from kgan.filter.decoding import nearest_bucket, views
from kgan.filter.text_filter import TextFilter
from kgan.runtime.files import read_file
from kgan.runtime.inputs import Input

SIZE = (640, 480)


def photo(seed):
    """A picture that compresses like a photo."""
    draw = np.random.default_rng(seed)
    y, x = np.indices(SIZE[::-1]) / 640
    waves = [np.sin(x * a + y * b + c) for a, b, c in draw.uniform(0, 9, (3, 3))]
    image = Image.fromarray((128 + 60 * np.stack(waves, axis=-1)).astype("uint8"))
    pen = ImageDraw.Draw(image)
    for left, top, width, height, *colour in draw.integers(0, 256, (25, 7)):
        shape = pen.ellipse if width % 2 else pen.rectangle
        shape([2 * left, 1.5 * top, 2 * left + width, 1.5 * top + height], tuple(colour))
    if seed % 2:
        pen.text(tuple(draw.integers(0, 200, 2)), "text in the scene", "white", ImageFont.load_default(40))
    image = np.asarray(image.filter(ImageFilter.GaussianBlur(1)))
    return Image.fromarray(np.clip(image + draw.normal(0, 9, image.shape), 0, 255).astype("uint8"))


def make_files(folder, count):
    """Writes `count` files, 200 of them different in what they show."""
    different = min(count, 200)
    for i in range(different):
        photo(i).save(folder / f"{i:05}.jpg", quality=88)
    for i in range(different, count):
        # Copies and no links: each is read from its own place.
        (folder / f"{i:05}.jpg").write_bytes((folder / f"{i % different:05}.jpg").read_bytes())
    return sorted(folder.iterdir())


def processor_time():
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return np.array([u.ru_utime + u.ru_stime for u in used])


def measure_run(text_filter, folder, processes):
    wall, before = time.perf_counter(), processor_time()
    rows = list(text_filter.filter([folder], processes=processes))
    wall, (parent, others) = time.perf_counter() - wall, processor_time() - before
    assert all(row["status"] == "ok" for row in rows)
    return {
        "images": len(rows),
        "processes": processes,
        "wall s": wall,
        "images/s": len(rows) / wall,
        "images/s per core": len(rows) / (parent + others),
        "parent's share of processor time": parent / (parent + others),
    }


def measure_parts(text_filter, files, whole):
    """Milliseconds of the parts of an image, and their shares of the `whole` that an image takes in the run."""
    clock = time.process_time
    times = np.empty((len(files), 6))
    for row, path in zip(times, files, strict=True):
        row[0] = clock()
        data = read_file(path, 10**8)
        row[1] = clock()
        image = Image.open(io.BytesIO(data), formats=["JPEG"])
        bucket = nearest_bucket(image, text_filter.buckets)
        image.draft(None, bucket[::-1])
        row[2] = clock()
        image.load()
        row[3] = clock()
        seen = views(image, bucket)
        row[4] = clock()
        text_filter.look(seen)
        row[5] = clock()
    parts = 1e3 * np.median(np.diff(times, axis=1), axis=0)
    parts = dict(zip(("read", "open", "decode", "resize", "model"), parts.tolist(), strict=True))
    parts["rest"] = whole - sum(parts.values())
    shares = {name: {"ms": ms, "share": ms / whole} for name, ms in parts.items()}
    return {
        **shares,
        "share of all but model and rest": 1 - (parts["model"] + parts["rest"]) / whole,
        "ms an image": whole,
    }


def resident(pid):
    """MB that a process holds."""
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 1e6


def measure_memory(text_filter, files, processes, count):
    """Largest resident memory in each tenth of the run, of the parent and of the largest other process."""
    names = (files[i % len(files)] for i in range(count))
    inputs = (Input(str(path), path.name, str(path)) for path in names)
    tenths = np.zeros((10, 2))
    children = Path(f"/proc/{os.getpid()}/task/{os.getpid()}/children")
    for number, (_, _, result) in enumerate(text_filter.results(inputs, processes)):
        assert result.status == "ok"
        if number % 50 == 0:
            found = resident(os.getpid()), max(map(resident, children.read_text().split()))
            tenths[10 * number // count] = np.maximum(tenths[10 * number // count], found)
    return {
        "images": count,
        "parent MB": tenths[:, 0].tolist(),
        "process MB": tenths[:, 1].tolist(),
        "growth from the second tenth to the last": (tenths[-1] / tenths[1] - 1).tolist(),
    }


def main():
    parser = argparse.ArgumentParser(description="Throughput and memory of kgan filter.")
    parser.add_argument("--model", help="a .tflite file of kgan export; without it the one in the package")
    parser.add_argument("--count", type=int, default=2000, help="number of files (%(default)s)")
    parser.add_argument("--processes", type=int, default=1, help="number of processes (%(default)s)")
    parser.add_argument("--memory", action="store_true", help="watch memory over 20,000 images instead")
    parser.add_argument("--out", help="write the figures to this JSON file")
    options = parser.parse_args()
    text_filter = TextFilter.load(options.model)
    with tempfile.TemporaryDirectory() as folder:
        files = make_files(Path(folder), options.count)
        figures = {
            "model": text_filter.metadata["precision_dtype"],
            "versions": {name: version(name) for name in ("pillow", "ai-edge-litert", "numpy")},
            "kB a file": float(np.mean([path.stat().st_size for path in files])) / 1e3,
        }
        if options.memory:
            figures["memory"] = measure_memory(text_filter, files, options.processes, 10 * options.count)
        else:
            figures["run"] = measure_run(text_filter, folder, options.processes)
            figures["parts"] = measure_parts(text_filter, files, 1e3 / figures["run"]["images/s per core"])
    text = json.dumps(figures, indent=1)
    print(text)
    if options.out:
        Path(options.out).write_text(text)


if __name__ == "__main__":
    main()
