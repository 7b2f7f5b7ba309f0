"""How many times faster the student is than the teacher and MSP-Net, in one process on one core.

    OMP_NUM_THREADS=1 taskset -c 1 python tests/benchmarks/filter_speed.py [--model FILE ...] [--out speed.json]

The student's files run by LiteRT, as they are used. Teacher and MSP-Net have random weights, which take as long as
others, and run by Keras on TensorFlow, which takes a third of the time that LiteRT takes for them. They take turns;
medians. The student and the teacher see 240x240 pixels, MSP-Net, as its authors have it, 500x500.
"""

import argparse
import json
import os
import statistics
import time

os.environ["KERAS_BACKEND"] = "tensorflow"

import numpy as np
from ai_edge_litert.interpreter import Interpreter

from kgan import text_filter
from kgan.filter.text_filter import SHIPPED

REPORTED = {"TextTeacher": 41, "MSPNet": 176}  # times the student's, Zhao et al. (2019)


def network(name, side):
    """A function that runs a network on an image of zeros."""
    model = getattr(text_filter, name)(image_size=(side, side))
    image = np.zeros((1, side, side, 3), "uint8")
    return lambda: model.predict_on_batch(image)


def student(path):
    run = Interpreter(path, num_threads=1).get_signature_runner("240x240")
    image = np.zeros((1, 240, 240, 3), "uint8")
    return lambda: run(images=image)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", nargs="+", default=[str(SHIPPED)], help="files of the student")
    parser.add_argument("--turns", type=int, default=15)
    parser.add_argument("--out", help="write the figures to this JSON file")
    options = parser.parse_args()
    runs = {os.path.basename(path): student(path) for path in options.model}
    runs |= {"TextTeacher": network("TextTeacher", 240), "MSPNet": network("MSPNet", 500)}
    times = {name: [] for name in runs}
    for turn in range(options.turns + 1):
        for name, run in runs.items():
            for _ in range(1 if name in REPORTED else 9):
                start = time.perf_counter()
                run()
                if turn:  # the first turn allocates
                    times[name].append(1000 * (time.perf_counter() - start))
    found = {name: {"milliseconds": statistics.median(values)} for name, values in times.items()}
    students = [name for name in found if name not in REPORTED]
    for name, figures in found.items():
        for file in students:
            figures[f"times {file}"] = figures["milliseconds"] / found[file]["milliseconds"]
        ratios = ", ".join(f"{figures[f'times {file}']:.3g} times {file}" for file in students)
        reported = f" (reported: {REPORTED[name]})" if name in REPORTED else ""
        print(f"{name}: {figures['milliseconds']:.2f} ms, {ratios}{reported}")
    if options.out:
        with open(options.out, "w") as file:
            json.dump(found, file, indent=2)


if __name__ == "__main__":
    main()
