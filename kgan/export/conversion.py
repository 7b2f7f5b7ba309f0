"""Convert a Keras student to SavedModel and LiteRT files. This module runs in a separate TensorFlow process."""

import json
import sys

import keras
import numpy as np
import tensorflow as tf
from ai_edge_litert.tools.flatbuffer_utils import convert_object_to_bytearray, read_model_from_bytearray
from tensorflow.lite.python.convert import mlir_quantize

from kgan.data.scenes.painter import draw_scenes
from kgan.export.converter import answer, convert, convert_with, converter_of, load
from kgan.export.litert import operator, operators, shrink
from kgan.export.parity import (
    SIGNATURES,
    by_image,
    by_litert,
    by_saved_model,
    compare,
    latency,
    refuse_changes,
    sigmoid,
    table,
)
from kgan.filter import model_file
from kgan.filter.decoding import BUCKETS
from kgan.filter.text_filter import TextFilter
from kgan.metrics import find_thresholds
from kgan.models.text_filter.model import TextStudent

SCENES = 1000  # number of drawn scenes on which a file is compared with Keras


def export(folder, request):
    network = load_student(request["model"])
    with np.load(folder / "images.npz") as file:
        arrays = dict(file)
    if "int8" in request["quantisation"] and not any(name.startswith("calibration") for name in arrays):
        arrays |= drawn("calibration", request["calibration"], "train")
    if not any(name.startswith("validation") for name in arrays):
        arrays |= drawn("validation", SCENES, "test")
    validation = {name: arrays[f"validation-{name}"] for name in SIGNATURES if f"validation-{name}" in arrays}
    labels = np.concatenate([arrays[f"validation-labels-{name}"] for name in validation])

    result = folder / "result"
    saved = result / f"{network.name}-saved_model"
    save(network, saved)
    truth = by_image(network.predict(batch, batch_size=16, verbose=0) for batch in validation.values())
    truth = {"score": sigmoid(truth["image_logits"]), "regions": sigmoid(truth["logits"])}
    thresholds = request["card"]["thresholds"] or find_thresholds(labels, truth["score"][:, 0])
    card = {**request["card"], "thresholds": thresholds}
    files = {"saved_model": {"name": saved.name} | compare(by_saved_model(saved, validation), truth, thresholds)}
    for kind in request["quantisation"]:
        if kind == "int8":
            calibration = {name: arrays[f"calibration-{name}"] for name in SIGNATURES}
            model = shrink(quantise(network, calibration, folder / "normalised"))
        else:
            model = shrink(convert(saved, kind, SIGNATURES))
        path = result / f"{network.name}-{kind}.tflite"
        model_file.write(path, model, {**card, "precision_dtype": kind})
        files[kind] = {
            "name": path.name,
            **compare(by_litert(model, validation), truth, thresholds),
            "bytes": path.stat().st_size,
            "operators": operators(model)[SIGNATURES[0]],
            "milliseconds": latency(TextFilter.load(path)),
        }

    report = {"images": len(labels), "text": int(labels.sum()), "thresholds": thresholds, "files": files}
    refuse_changes(report, request["max_changed"])
    (result / "report.json").write_text(json.dumps(report, indent=2) + "\n")
    (result / "report.md").write_text(table(report))


def drawn(use, count, split):
    """Return `count` drawn scenes in the arrays that `export_text_filter` makes; every call gives the same scenes."""
    arrays = {}
    for part, name, bucket in zip(np.array_split(np.arange(count), len(BUCKETS)), SIGNATURES, BUCKETS, strict=True):
        arrays[f"{use}-{name}"], polygons = draw_scenes(part, size=bucket, split=split)
        arrays[f"{use}-labels-{name}"] = np.array([len(lines) > 0 for lines in polygons], int)
    return arrays


def load_student(path):
    """Load the student of a `.keras` file as a float32 model for images of any size."""
    student = load(path)
    if not isinstance(student, TextStudent):
        raise ValueError(
            f"{path} holds a {type(student).__name__}: pass a TextStudent, such as a distiller's `student`"
        )
    network = TextStudent(**{**student.options, "image_size": (None, None)}, name=student.name)
    network.set_weights(student.get_weights())
    return network


def save(network, folder, dtype="uint8"):
    def call(images):
        found = network(images, training=False)
        return {"score": tf.sigmoid(found["image_logits"]), "regions": tf.sigmoid(found["logits"])}

    archive = keras.export.ExportArchive()
    archive.track(network)
    shapes = {"serving_default": (None, None, None)} | dict(
        zip(SIGNATURES, [(1, *bucket) for bucket in BUCKETS], strict=True)
    )
    for name, shape in shapes.items():
        # With a known height and width, region pooling becomes plain average pooling.
        archive.add_endpoint(name, call, [tf.TensorSpec((*shape, 3), dtype, name="images")])
    archive.write_out(folder, verbose=False)


def quantise(network, calibration, saved):
    """Return the bytes of a student's int8 LiteRT model. `saved` is the folder for the intermediate SavedModel.

    Normalisation needs no operator: it becomes the scale of the input. Its zero point, 127.5, moves to an integer grey
    level. The activation ranges are merged over the signatures, so that the signatures share biases and scales as well
    as weights. The last layer stays in float32, because 256 levels of a score are too few to choose a threshold from.
    """
    normalise = network.get_layer("normalise")
    save(keras.Model(normalise.output, network.output), saved, "float32")

    def representative():
        for name, images in calibration.items():
            for image in images:
                yield name, {"images": normalise(image[None]).numpy()}

    converter = converter_of(saved, SIGNATURES)
    converter.optimizations = [tf.lite.Optimize.DEFAULT]
    converter.representative_dataset = representative
    converter._experimental_calibrate_only = True  # as `tf.lite.experimental.QuantizationDebugger` does
    model = read_model_from_bytearray(convert_with(converter))
    for tensors in zip(*(graph.tensors for graph in model.subgraphs), strict=True):
        ranges = [t.quantization for t in tensors if t.quantization is not None and t.quantization.min is not None]
        for found in ranges:
            found.min, found.max = [min(r.min[0] for r in ranges)], [max(r.max[0] for r in ranges)]
    in_float = []
    for graph in model.subgraphs:
        levels = graph.tensors[graph.inputs[0]].quantization
        levels.min, levels.max = normalise(np.array([[0.0], [255.0]])).numpy()
        last = max(i for i, step in enumerate(graph.operators) if operator(model, step) == "FULLY_CONNECTED")
        in_float += [graph.tensors[step.outputs[0]].name.decode() for step in graph.operators[last:]]
    return mlir_quantize(bytes(convert_object_to_bytearray(model)), input_data_type=tf.uint8, denylisted_nodes=in_float)


if __name__ == "__main__":
    sys.exit(answer(sys.argv[1], export))
