"""The text filter leaves Python: SavedModel and LiteRT files of a trained student, and a report of how they agree.

TensorFlow converts, whatever backend trained the student: in a process of its own, which starts at `main`.
"""

import hashlib
import json
import os
import re
import statistics
import subprocess
import sys
import tempfile
import time
import zipfile
from collections import Counter
from pathlib import Path

import numpy as np
from PIL import Image

from kgan.models.text_filter.runtime.decoding import BUCKETS, nearest_bucket, to_bucket
from kgan.models.text_filter.runtime.filter import FORMAT, MEMBER, PREPARATION, TextFilter

QUANTISATIONS = ("float32", "float16", "int8")
RECALLS = (0.9, 0.94, 0.97, 0.99)
FEWEST = 200  # images on which a file is compared with Keras
SCENES = 400
SIGNATURES = [f"{height}x{width}" for height, width in BUCKETS]
RUNS = 50  # over which the latency is the median


class DecisionsChanged(RuntimeError):
    """An exported file decides otherwise than the Keras model on more images than allowed."""


def export_text_filter(
    model_path,
    out,
    quantisation=QUANTISATIONS,
    images=None,
    calibration=400,
    validation=None,
    thresholds=None,
    licence=None,
    data_card=None,
    max_changed=0.005,
):
    """Converts a trained student, and compares the files with it.

    Writes the folder `NAME-saved_model`, one file `NAME-float32.tflite` for each quantisation, `report.json` and
    `report.md`, where NAME is the name of the Keras model, `student`. A file has one signature for each bucket, such as
    `240x360`, with the input `images`, uint8 RGB `(1, 240, 360, 3)`, and the outputs `score` `(1, 1)` and `regions`
    `(1, 34)`, float32 in [0, 1]. Behind the model is a zip archive with `kgan.json`, which `TextFilter` reads. The
    SavedModel has the same signatures, and `serving_default` for batches of any size.

    In the int8 file all but the last layer, which reads a logit from 128 features, is computed in integers.

    Thresholds, licence and data card that are not given are read from a JSON file beside the model, `NAME.json` for
    `NAME.keras`, when there is one. Without thresholds there, they come from Keras' scores of the validation images,
    the same for each file.

    Args:
        model_path: `.keras` file of a `TextStudent`, saved on any backend.
        out: folder; files of an earlier export are replaced when all is done.
        quantisation: which of `"float32"`, `"float16"` and `"int8"`.
        images: photographs like those to be filtered, from which the ranges of int8 are measured: a list of uint8
            arrays `(height, width, 3)` or `PIL.Image.Image`, or a folder or zip archive. Drawn scenes by default.
        calibration: how many of them to use, or how many scenes to draw. int8 cuts off what goes beyond all of them.
        validation: `(images, labels)`: a list as above, of at least 200, and 1 for text, 0 for none. Drawn scenes by
            default.
        thresholds: dict with `best_f` and `recall`, a dict of the threshold for each recall: `{"0.97": 0.3}`.
        licence: str, on what terms the file may be used.
        data_card: str, what the student was trained on.
        max_changed: the share of the validation images on which a file may decide otherwise than Keras.

    Returns:
        The report, a dict: `images`, `text`, `thresholds`, and for each of `saved_model`, `float32`, ... in `files` a
        dict with `changed` (the share of decisions, for each threshold), `max_difference` and `mean_difference` of
        scores; for LiteRT also `bytes`, `operators` and `milliseconds`, the median on one thread for each signature.

    Raises:
        FileNotFoundError: there is no such model, folder or archive.
        ValueError: an argument is out of range, or the model is no student.
        DecisionsChanged: a file decides otherwise than Keras too often; nothing is written then.
        RuntimeError: an operator is not built into LiteRT, or the conversion failed; nothing is written then.

    Example:

    ```python
    kgan.text_filter.TextStudent().save("student.keras")
    rng = np.random.default_rng(0)
    photos = [rng.integers(0, brightest, (60, 90, 3), "uint8") for brightest in range(1, 201)]
    validation = photos, np.arange(200) // 100
    report = export_text_filter("student.keras", "exported", ["float32"], validation=validation)
    report["files"]["float32"]["changed"]  # {"best_f": 0.0, "0.9": 0.0, ...}
    ```
    """
    model_path, out = Path(model_path), Path(out)
    if not model_path.is_file():
        raise FileNotFoundError(f"no model file {str(model_path)!r}")
    quantisation = list(dict.fromkeys(quantisation))
    if not quantisation or set(quantisation) - set(QUANTISATIONS):
        raise ValueError(f"quantisation={quantisation}: pass some of {', '.join(QUANTISATIONS)}")
    if not 0 <= max_changed <= 1:
        raise ValueError(f"max_changed={max_changed}: pass a share in [0, 1]")
    if not isinstance(calibration, int) or calibration < len(BUCKETS):
        raise ValueError(f"calibration={calibration!r}: pass a whole number of at least {len(BUCKETS)} images")
    arrays = {} if images is None else calibration_images(images, calibration)
    arrays |= {} if validation is None else validation_images(*validation)
    card = read_card(model_path.with_suffix(".json"))
    given = {"thresholds": thresholds, "licence": licence, "data_card": data_card}
    card |= {key: value for key, value in given.items() if value is not None}
    request = {
        "model": str(model_path.resolve()),
        "quantisation": quantisation,
        "card": {"thresholds": None, "licence": "not stated", "data_card": "not stated"} | card,
        "calibration": calibration,
        "max_changed": max_changed,
    }
    out.mkdir(parents=True, exist_ok=True)
    # Inside the target, so that files can be renamed into place.
    with tempfile.TemporaryDirectory(prefix=".export-", dir=out) as folder:
        folder = Path(folder)
        np.savez(folder / "images.npz", **arrays)
        (folder / "request.json").write_text(json.dumps(request))
        convert_in_process(folder)
        result = folder / "result"
        for path in sorted(result.iterdir()):
            if path.is_dir() and (out / path.name).exists():
                os.replace(out / path.name, folder / path.name)
            os.replace(path, out / path.name)
        return json.loads((out / "report.json").read_text())


def read_card(path):
    """What is known of a model beside its weights; {} where there is no such file."""
    if not path.is_file():
        return {}
    try:
        card = json.loads(path.read_text())
    except ValueError as error:
        raise ValueError(f"{path} is not JSON ({error})") from None
    allowed = {"thresholds", "licence", "data_card"}
    if not isinstance(card, dict) or set(card) - allowed:
        raise ValueError(
            f"{path} is beside the model and must be a JSON object of some of {', '.join(sorted(allowed))}"
        )
    return card


def convert_in_process(folder):
    """Runs `main` on TensorFlow's backend, on the CPU: it converts, and no graphics memory is taken."""
    source = str(Path(__file__).resolve().parents[1])
    environment = {
        **os.environ,
        "KERAS_BACKEND": "tensorflow",
        "CUDA_VISIBLE_DEVICES": "-1",
        "PYTHONPATH": os.pathsep.join([source, os.environ.get("PYTHONPATH", "")]),
    }
    command = [sys.executable, "-m", "kgan.export", str(folder)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        failure = folder / "failure.json"
        if not failure.exists():
            raise RuntimeError(f"the process that converts failed: {done.stderr.strip()[-2000:] or done.returncode}")
        kind, message = json.loads(failure.read_text())
        raise {"ValueError": ValueError, "DecisionsChanged": DecisionsChanged}.get(kind, RuntimeError)(message)


# === Images ===


def calibration_images(images, count):
    """Dict of `calibration-240x360`, uint8 `(n, 240, 360, 3)`, for each signature; none of them is empty."""
    if isinstance(images, str | os.PathLike):
        from kgan.data.scene_photos import load_photos

        images = load_photos(images)
    if not len(images):
        raise ValueError("images has no images: pass at least one")
    # Evenly from a list that may be sorted.
    chosen = np.unique(np.linspace(0, len(images) - 1, min(count, len(images))).astype(int))
    images = [as_image(images[i]) for i in chosen]
    members = by_bucket(images)
    # The ranges of all signatures are merged: one that has no images of its own is measured on one that is stretched.
    return {
        f"calibration-{name}": np.stack([to_bucket(images[i], [bucket]) for i in members.get(name, [0])])
        for name, bucket in zip(SIGNATURES, BUCKETS, strict=True)
    }


def validation_images(images, labels):
    """Dict of `validation-240x360` and `validation-labels-240x360`, int `(n,)`, for the signatures that have images."""
    images, labels = list(map(as_image, images)), np.asarray(labels)
    if labels.shape != (len(images),) or not np.isin(labels, (0, 1)).all():
        raise ValueError(f"{len(images)} validation images with labels {labels.shape}: pass 0 or 1 for each image")
    if len(images) < FEWEST or len(set(labels.tolist())) < 2:
        raise ValueError(f"{len(images)} validation images: pass at least {FEWEST}, with text and without")
    members = by_bucket(images)
    arrays = {f"validation-{name}": np.stack([to_bucket(images[i]) for i in found]) for name, found in members.items()}
    return arrays | {f"validation-labels-{name}": labels[found].astype(int) for name, found in members.items()}


def by_bucket(images):
    """Dict of the indices of images for each signature that has any."""
    members = {}
    for i, image in enumerate(images):
        members.setdefault(SIGNATURES[BUCKETS.index(nearest_bucket(image, BUCKETS))], []).append(i)
    return members


def drawn(use, count, split):
    """As the two above: scenes, `count` of them together, always the same."""
    from kgan.data.scene_text import draw_scenes

    arrays = {}
    for part, name, bucket in zip(np.array_split(np.arange(count), len(BUCKETS)), SIGNATURES, BUCKETS, strict=True):
        arrays[f"{use}-{name}"], polygons = draw_scenes(part, size=bucket, split=split)
        arrays[f"{use}-labels-{name}"] = np.array([len(lines) > 0 for lines in polygons], int)
    return arrays


def as_image(image):
    if isinstance(image, Image.Image):
        return image
    if not isinstance(image, np.ndarray) or image.dtype != "uint8" or image.ndim != 3 or image.shape[2] != 3:
        found = f"{image.dtype} {image.shape}" if isinstance(image, np.ndarray) else type(image).__name__
        raise ValueError(f"an image is {found}: pass uint8 arrays (height, width, 3) or PIL images")
    return Image.fromarray(image)


# === In the converter's process ===


def main(folder):
    """Does what `request.json` in a folder asks for; leaves `result` or `failure.json` in it."""
    folder = Path(folder)
    try:
        export(folder, json.loads((folder / "request.json").read_text()))
    except (ValueError, RuntimeError) as error:
        (folder / "failure.json").write_text(json.dumps([type(error).__name__, str(error)]))
        return 1
    return 0


def export(folder, request):
    network = load_student(request["model"])
    with np.load(folder / "images.npz") as file:
        arrays = dict(file)
    for use, count, split in (("calibration", request["calibration"], "train"), ("validation", SCENES, "test")):
        if not any(name.startswith(use) for name in arrays):
            arrays |= drawn(use, count, split)
    calibration = {name: arrays[f"calibration-{name}"] for name in SIGNATURES}
    validation = {name: arrays[f"validation-{name}"] for name in SIGNATURES if f"validation-{name}" in arrays}
    labels = np.concatenate([arrays[f"validation-labels-{name}"] for name in validation])

    result = folder / "result"
    saved = result / f"{network.name}-saved_model"
    save(network, saved)
    truth = by_image(network.predict(batch, batch_size=16, verbose=0) for batch in validation.values())
    truth = {"score": sigmoid(truth["image_logits"]), "regions": sigmoid(truth["logits"])}
    thresholds = request["card"]["thresholds"] or find_thresholds(truth["score"][:, 0], labels)
    card = {**request["card"], "thresholds": thresholds}
    files = {"saved_model": {"name": saved.name} | compare(by_saved_model(saved, validation), truth, thresholds)}
    for kind in request["quantisation"]:
        if kind == "int8":
            model = shrink(quantise(network, calibration, folder / "normalised"))
        else:
            model = shrink(convert(saved, kind))
        path = result / f"{network.name}-{kind}.tflite"
        write_model(path, model, {**card, "precision_dtype": kind})
        files[kind] = {
            "name": path.name,
            **compare(by_litert(model, validation), truth, thresholds),
            "bytes": path.stat().st_size,
            "operators": operators(model),
            "milliseconds": latency(TextFilter.load(path)),
        }

    report = {"images": len(labels), "text": int(labels.sum()), "thresholds": thresholds, "files": files}
    refuse_changes(report, request["max_changed"])
    (result / "report.json").write_text(json.dumps(report, indent=2) + "\n")
    (result / "report.md").write_text(table(report))


def load_student(path):
    """The student of a `.keras` file, in float32 whatever its policy was, for images of any size."""
    import keras

    from kgan.models.text_filter.model import TextStudent

    try:
        student = keras.models.load_model(path, compile=False)
    except Exception as error:  # Keras raises almost anything on a file that is none.
        raise ValueError(f"{path} is not a model that Keras can read: {str(error).splitlines()[0]}") from None
    if not isinstance(student, TextStudent):
        raise ValueError(
            f"{path} holds a {type(student).__name__}: pass a TextStudent, such as a distiller's `student`"
        )
    network = TextStudent(**{**student.options, "image_size": (None, None)}, name=student.name)
    network.set_weights(student.get_weights())
    return network


def save(network, folder, dtype="uint8"):
    import keras
    import tensorflow as tf

    def call(images):
        found = network(images, training=False)
        return {"score": tf.sigmoid(found["image_logits"]), "regions": tf.sigmoid(found["logits"])}

    archive = keras.export.ExportArchive()
    archive.track(network)
    shapes = {"serving_default": (None, None, None)} | dict(
        zip(SIGNATURES, [(1, *bucket) for bucket in BUCKETS], strict=True)
    )
    for name, shape in shapes.items():
        # Known sides make the pooling of regions plain average pooling.
        archive.add_endpoint(name, call, [tf.TensorSpec((*shape, 3), dtype, name="images")])
    archive.write_out(folder, verbose=False)


def convert(saved, kind):
    """Bytes of the float32 or float16 LiteRT model of a SavedModel."""
    converter = converter_of(saved)
    if kind == "float16":
        import tensorflow as tf

        converter.optimizations = [tf.lite.Optimize.DEFAULT]
        converter.target_spec.supported_types = [tf.float16]
    return convert_with(converter)


def quantise(network, calibration, saved):
    """Bytes of a student's int8 LiteRT model; `saved` is a folder to be made.

    Normalisation takes no step: it is the scale of the input, whose zero, 127.5, moves to a whole grey level. The
    ranges of activations are merged over the signatures, so that these can share biases and scales as well as weights.
    The last layer stays in float32: 256 steps of a score are too few to choose a threshold from.
    """
    import keras
    import tensorflow as tf
    from tensorflow.lite.python.convert import mlir_quantize

    normalise = network.get_layer("normalise")
    save(keras.Model(normalise.output, network.output), saved, "float32")

    def representative():
        for name, images in calibration.items():
            for image in images:
                yield name, {"images": normalise(image[None]).numpy()}

    converter = converter_of(saved)
    converter.optimizations = [tf.lite.Optimize.DEFAULT]
    converter.representative_dataset = representative
    converter._experimental_calibrate_only = True  # as `tf.lite.experimental.QuantizationDebugger` does
    model = unpack(convert_with(converter))
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
    return mlir_quantize(pack(model), input_data_type=tf.uint8, denylisted_nodes=in_float)


def converter_of(saved):
    import tensorflow as tf

    converter = tf.lite.TFLiteConverter.from_saved_model(str(saved), signature_keys=SIGNATURES)
    converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS]
    return converter


def convert_with(converter):
    from tensorflow.lite.python.convert import ConverterError

    try:
        return converter.convert()
    except ConverterError as error:
        missing = ", ".join(sorted(set(re.findall(r"'tf\.(\w+)' op", str(error)))))
        raise RuntimeError(f"not built into LiteRT: {missing or error}") from None


# === LiteRT files ===


class Shared:
    """A part of a model that is written once and referred to where it comes again."""

    def __init__(self, part, written):
        self.part, self.written = part, written

    def Pack(self, builder):
        values = vars(self.part).items()
        key = repr([(name, value.tolist() if isinstance(value, np.ndarray) else value) for name, value in values])
        if key not in self.written:
            self.written[key] = self.part.Pack(builder)
        return self.written[key]


class Aligned:
    """A buffer at a multiple of 16 bytes, as the format has it; the packer written for Python does not see to it."""

    def __init__(self, buffer):
        self.buffer = buffer

    def Pack(self, builder):
        if self.buffer.data is not None:
            builder.Prep(16, len(self.buffer.data))
        return self.buffer.Pack(builder)


def shrink(model):
    """The same model with what its signatures have in common stored once, and without names of inner tensors."""
    model = unpack(model)
    buffers, places = [model.buffers[0]], {b"": 0}

    def place(index):
        data = model.buffers[index].data
        data = b"" if data is None else bytes(data)
        if data not in places:
            places[data] = len(buffers)
            buffers.append(Aligned(model.buffers[index]))
        return places[data]

    written = {}
    for graph in model.subgraphs:
        for tensor in graph.tensors:
            tensor.name, tensor.buffer = None, place(tensor.buffer)
            if tensor.quantization is not None:
                tensor.quantization = Shared(tensor.quantization, written)
    for signature in model.signatureDefs:
        for end in (*signature.inputs, *signature.outputs):
            model.subgraphs[signature.subgraphIndex].tensors[end.tensorIndex].name = end.name
    for entry in model.metadata or []:
        entry.buffer = place(entry.buffer)
    model.buffers = buffers
    return pack(model)


def unpack(model):
    from ai_edge_litert import schema_py_generated as schema

    return schema.ModelT.InitFromObj(schema.Model.GetRootAs(model, 0))


def pack(model):
    import flatbuffers

    builder = flatbuffers.Builder(0)
    builder.Finish(model.Pack(builder), b"TFL3")
    return bytes(builder.Output())


def operator(model, step):
    """The name of an operator, such as `CONV_2D`."""
    from ai_edge_litert import schema_py_generated as schema

    names = {value: name for name, value in vars(schema.BuiltinOperator).items() if isinstance(value, int)}
    return names[model.operatorCodes[step.opcodeIndex].builtinCode]


def operators(model):
    """How often each operator is in the first signature of a model."""
    model = unpack(model)
    return dict(sorted(Counter(operator(model, step) for step in model.subgraphs[0].operators).items()))


def write_model(path, model, card):
    """Writes a model and, in an archive behind it that LiteRT does not see, what `TextFilter` needs to know."""
    metadata = {
        "format": FORMAT,
        "labels": ["no_text", "text"],
        "buckets": [list(bucket) for bucket in BUCKETS],
        **PREPARATION,
        **card,
        "digest": hashlib.sha256(model).hexdigest(),
    }
    path.write_bytes(model)
    with zipfile.ZipFile(path, "a") as archive:
        # Not compressed, so that any language reads it in a few lines; without a date, so that the same model gives
        # the same file.
        archive.writestr(zipfile.ZipInfo(MEMBER), json.dumps(metadata))


def latency(text_filter):
    """Median milliseconds of one image on one thread, for each signature."""
    found = {}
    for name, bucket in zip(SIGNATURES, BUCKETS, strict=True):
        image = np.random.default_rng(0).integers(0, 256, (*bucket, 3), "uint8")
        text_filter.look([image])
        seconds = []
        for _ in range(RUNS):
            start = time.perf_counter()
            text_filter.look([image])
            seconds.append(time.perf_counter() - start)
        found[name] = round(1000 * statistics.median(seconds), 3)
    return found


# === Do they agree? ===


def by_image(batches):
    """The named outputs of batches, of all images together, in float64."""
    batches = list(batches)
    return {name: np.concatenate([np.asarray(batch[name], "float64") for batch in batches]) for name in batches[0]}


def sigmoid(logits):
    return 1 / (1 + np.exp(-logits))


def by_saved_model(folder, validation):
    import tensorflow as tf

    call = tf.saved_model.load(str(folder)).signatures["serving_default"]
    parts = (part for images in validation.values() for part in np.array_split(images, -(-len(images) // 16)))
    return by_image(call(images=tf.constant(part)) for part in parts)


def by_litert(model, validation):
    from ai_edge_litert.interpreter import Interpreter

    interpreter = Interpreter(model_content=model, num_threads=1)
    runs = {name: interpreter.get_signature_runner(name) for name in validation}
    return by_image(runs[name](images=image[None]) for name in validation for image in validation[name])


def find_thresholds(scores, labels, recalls=RECALLS):
    """The thresholds of the best F-measure, and the largest that reach each recall.

    They lie halfway between two scores, so that a last digit that differs on another machine changes no decision.

    Args:
        scores: float `(n,)`.
        labels: `(n,)`, 1 for text, 0 for none.
        recalls: sequence of shares in (0, 1].

    Returns:
        Dict `{"best_f": threshold, "recall": {"0.97": threshold}}`.

    Example:

    >>> find_thresholds([0.1, 0.4, 0.6, 0.9], [0, 0, 1, 1], recalls=[1.0])
    {'best_f': 0.5, 'recall': {'1.0': 0.5}}
    """
    scores, labels = np.asarray(scores, "float64"), np.asarray(labels)
    levels = np.unique(scores)
    candidates = np.concatenate([levels[:1], (levels[1:] + levels[:-1]) / 2])
    found = scores >= candidates[:, None]
    hits = (found & (labels == 1)).sum(axis=1)
    recall = hits / (labels == 1).sum()
    f_measure = 2 * hits / (found.sum(axis=1) + (labels == 1).sum())
    return {
        "best_f": float(candidates[f_measure.argmax()]),
        "recall": {str(share): float(candidates[recall >= share].max()) for share in recalls},
    }


def compare(found, truth, thresholds):
    """How scores `(n, 1)` and regions `(n, 34)` differ from Keras', and the share of decisions that do."""
    scores, true_scores = found["score"], truth["score"]
    limits = {"best_f": thresholds["best_f"], **thresholds["recall"]}
    return {
        "changed": {key: float(np.mean((scores >= t) != (true_scores >= t))) for key, t in limits.items()},
        "max_difference": float(np.abs(scores - true_scores).max()),
        "mean_difference": float(np.abs(scores - true_scores).mean()),
        "max_region_difference": float(np.abs(found["regions"] - truth["regions"]).max()),
    }


def refuse_changes(report, max_changed):
    worst = [
        f"{found['name']} decides {share:.2%} of the images otherwise than Keras at {threshold_name(key)}"
        for found in report["files"].values()
        for key, share in found["changed"].items()
        if share > max_changed
    ]
    if worst:
        raise DecisionsChanged(f"{'; '.join(worst)} ({max_changed:.2%} allowed): nothing was written")


def threshold_name(key):
    return "the best F" if key == "best_f" else f"recall {key}"


def table(report):
    """The report as Markdown."""
    files = report["files"]
    lines = [
        f"Compared with Keras on {report['images']} images, {report['text']} of them with text. The median of {RUNS} "
        "runs on one thread, in milliseconds; decisions changed at each threshold, in per cent.",
        "",
        "| file | bytes | "
        + " | ".join(SIGNATURES)
        + " | greatest difference | mean | "
        + " | ".join(map(threshold_name, report["files"]["saved_model"]["changed"]))
        + " |",
        "|---" * (len(SIGNATURES) + 4 + len(report["files"]["saved_model"]["changed"])) + "|",
    ]
    for found in files.values():
        times = [f"{t:.2f}" for t in found.get("milliseconds", {}).values()] or [""] * len(SIGNATURES)
        lines.append(
            f"| {found['name']} | {found.get('bytes', '')} | {' | '.join(times)} | {found['max_difference']:.2g} "
            f"| {found['mean_difference']:.2g} | {' | '.join(f'{100 * c:.2f}' for c in found['changed'].values())} |"
        )
    for kind, found in files.items():
        if "operators" in found:
            used = ", ".join(f"{name} x {count}" for name, count in found["operators"].items())
            lines += ["", f"Operators of {kind}, all built in, in each signature: {used}."]
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
