"""How many images a second `kgan tag` looks at, and what share of the time goes into decoding them.

    KERAS_BACKEND=jax python tests/benchmarks/tag_throughput.py [--image-size 224 --backbone resnet50_v2]

The images are those of `filter_throughput.py`: 2,000 JPEG files of 640x480 with the 80 kB or so of a photo. The model
has random weights, which take as long as others. `images/s` is of the files through `Tagger.rows`, which is what the
command calls, starting the processes included. `decode` and `model` are the same steps in this process, medians of
processor time; `rest` is what the run takes beyond them: reading, sending, making rows, starting the processes. The
first batch, which compiles the model, is not timed.
"""

import argparse
import json
import tempfile
import time
from pathlib import Path

import numpy as np
from filter_throughput import make_files, processor_time

from kgan.filter.decoding import Shrinker
from kgan.runtime.files import Limits


def milliseconds(step, inputs):
    """The median processor time of a step, and what it returned for each input."""
    found = []
    for one in inputs:
        start = time.process_time()
        made = step(one)
        found.append((1e3 * (time.process_time() - start), made))
    times, made = zip(*found, strict=True)
    return float(np.median(times)), made


def main():
    parser = argparse.ArgumentParser(description="Throughput of kgan tag.")
    parser.add_argument("--backbone", default="small", help="of the classifier (%(default)s)")
    parser.add_argument("--image-size", type=int, default=64, help="of the classifier (%(default)s)")
    parser.add_argument("--count", type=int, default=2000, help="number of files (%(default)s)")
    parser.add_argument("--processes", type=int, default=1, help="number of processes that decode (%(default)s)")
    options = parser.parse_args()
    # Here, for the processes that decode import this file again, and the command's do without Keras.
    import torch  # noqa: F401 (imported after TensorFlow it can crash the process)

    # isort: split
    import keras

    from kgan.models.soft_pseudo_labels.tagger import BATCH, Tagger
    from kgan.soft_pseudo_labels import MultiLabelClassifier

    with tempfile.TemporaryDirectory() as folder:
        files = make_files(Path(folder), options.count)
        path = Path(folder) / "model.keras"
        MultiLabelClassifier(12, options.backbone, options.image_size).save(path)
        tagger = Tagger(path)
        tagger.model.predict_on_batch(np.zeros((BATCH, *tagger.model.network.input_shape[1:]), "float32"))

        wall, before = time.perf_counter(), processor_time()
        rows = [row for row, _ in tagger.rows(files, processes=options.processes, limits=Limits())]
        wall, used = time.perf_counter() - wall, sum(processor_time() - before)
        assert len(rows) == len(files) and all(row["status"] == "ok" for row in rows)

        shrinker = Shrinker(options.image_size, Limits())
        decode, decoded = milliseconds(shrinker.examine, [file.read_bytes() for file in files[:500]])
        pixels = np.stack([pixels for _, pixels in decoded])
        batches = [pixels[i : i + BATCH] / np.float32(127.5) - 1 for i in range(0, len(pixels) - BATCH + 1, BATCH)]
        model = milliseconds(tagger.model.predict_on_batch, batches)[0] / BATCH
    whole = 1e3 * used / len(files)
    parts = {"decode": decode, "model": model, "rest": whole - decode - model}
    figures = {
        "backend": keras.backend.backend(),
        "classifier": f"{options.backbone}, {options.image_size} px",
        "processes": options.processes,
        "images/s": len(files) / wall,
        "images/s per core": 1e3 / whole,
        "ms of processor time an image": whole,
        "parts": {name: {"ms": ms, "share": ms / whole} for name, ms in parts.items()},
    }
    print(json.dumps(figures, indent=1))


if __name__ == "__main__":
    main()
