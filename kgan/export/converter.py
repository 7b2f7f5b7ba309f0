"""What every conversion needs: TensorFlow's converter, and the answer to a request. Runs in a process of its own."""

import json
import re
from pathlib import Path

import keras
import tensorflow as tf
from tensorflow.lite.python.convert import ConverterError


def answer(folder, export):
    """Carry out the export that `request.json` in a folder describes; write `result` or `failure.json` there.

    Args:
        folder: the folder.
        export: function of the folder and the request.

    Returns:
        Exit status.
    """
    folder = Path(folder)
    try:
        export(folder, json.loads((folder / "request.json").read_text()))
    except (ValueError, RuntimeError) as error:
        (folder / "failure.json").write_text(json.dumps([type(error).__name__, str(error)]))
        return 1
    return 0


def load(path):
    """Load the model of a `.keras` file, without its optimizers."""
    try:
        return keras.models.load_model(path, compile=False)
    except Exception as error:  # Keras raises exceptions of many types for an invalid file.
        raise ValueError(f"{path} is not a model that Keras can read: {str(error).splitlines()[0]}") from None


def convert(saved, kind, signatures):
    """Return the bytes of the float32 or float16 LiteRT model of a SavedModel."""
    converter = converter_of(saved, signatures)
    if kind == "float16":
        converter.optimizations = [tf.lite.Optimize.DEFAULT]
        converter.target_spec.supported_types = [tf.float16]
    return convert_with(converter)


def converter_of(saved, signatures):
    converter = tf.lite.TFLiteConverter.from_saved_model(str(saved), signature_keys=signatures)
    converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS]
    return converter


def convert_with(converter):
    try:
        return converter.convert()
    except ConverterError as error:
        missing = ", ".join(sorted(set(re.findall(r"'tf\.(\w+)' op", str(error)))))
        raise RuntimeError(f"not built into LiteRT: {missing or error}") from None
