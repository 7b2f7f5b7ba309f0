"""How many times faster the student is than the teacher and MSP-Net: one process, one thread, one run time.

    python tests/benchmarks/filter_speed.py [--model student-int8.tflite student-float32.tflite ...] [--out speed.json]

Teacher and MSP-Net have random weights, which take as long as others, and go through LiteRT in float32 like the
student's files, so that networks are compared and not run times. They take turns, image by image; medians. The student
and the teacher see 240x240 pixels, MSP-Net, as its authors have it, 500x500. Needs TensorFlow, which converts, and 4 GB
of memory.
"""

import argparse
import json
import os
import statistics
import time

os.environ["KERAS_BACKEND"] = "tensorflow"

import numpy as np
import tensorflow as tf
from ai_edge_litert.interpreter import Interpreter

from kgan import text_filter
from kgan.models.text_filter.runtime.filter import SHIPPED

REPORTED = {"TextTeacher": 41, "MSPNet": 176}  # times the student's, Zhao et al. (2019)


def network(name, side):
    """A function that runs a network on an image of zeros, by LiteRT in float32."""
    model = getattr(text_filter, name)(image_size=(side, side))
    call = tf.function(lambda image: model(image, training=False)["logits"])
    shape = tf.TensorSpec((1, side, side, 3), "float32")
    converter = tf.lite.TFLiteConverter.from_concrete_functions([call.get_concrete_function(shape)], model)
    return runner(Interpreter(model_content=converter.convert(), num_threads=1))


def runner(interpreter):
    if "240x240" in interpreter.get_signature_list():
        run = interpreter.get_signature_runner("240x240")
        image = np.zeros((1, 240, 240, 3), "uint8")
        return lambda: run(images=image)
    interpreter.allocate_tensors()
    return interpreter.invoke


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", nargs="+", default=[str(SHIPPED)], help="files of the student")
    parser.add_argument("--turns", type=int, default=15)
    parser.add_argument("--out", help="write the figures to this JSON file")
    options = parser.parse_args()
    runs = {os.path.basename(path): runner(Interpreter(path, num_threads=1)) for path in options.model}
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
        for student in students:
            figures[f"times {student}"] = figures["milliseconds"] / found[student]["milliseconds"]
        ratios = ", ".join(f"{figures[f'times {student}']:.0f} times {student}" for student in students)
        reported = f" (reported: {REPORTED[name]})" if name in REPORTED else ""
        print(f"{name}: {figures['milliseconds']:.2f} ms, {ratios}{reported}")
    if options.out:
        with open(options.out, "w") as file:
            json.dump(found, file, indent=2)


if __name__ == "__main__":
    main()
