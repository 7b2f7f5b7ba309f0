"""A real model file of the text filter whose scores are known in closed form.

The score of a region is its mean brightness, 0 to 1, over pixels and colours.
"""

import functools
import hashlib
import io
import json
import os
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

import pytest

from kgan.filter.decoding import BUCKETS, to_bucket
from kgan.filter.regions import region_means
from kgan.filter.text_filter import TextFilter

CONVERT = """
import json, sys
import tensorflow as tf

buckets, target = json.loads(sys.argv[1]), sys.argv[2]


def signature(height, width):
    @tf.function(input_signature=[tf.TensorSpec((1, height, width, 3), tf.uint8, name="images")])
    def call(images):
        light = tf.reduce_mean(tf.cast(images, tf.float32), axis=-1, keepdims=True) / 255
        grids = [tf.nn.avg_pool2d(light, (height // n, width // n), (height // n, width // n), "VALID") for n in (5, 3)]
        regions = tf.concat([tf.reshape(grid, (1, -1)) for grid in grids], axis=1)
        return {"score": tf.reduce_max(regions, axis=1, keepdims=True), "regions": regions}

    return call


module = tf.Module()
module.calls = {f"{h}x{w}": signature(h, w) for h, w in buckets}
tf.saved_model.save(module, target + ".saved", signatures=module.calls)
converter = tf.lite.TFLiteConverter.from_saved_model(target + ".saved", signature_keys=list(module.calls))
open(target, "wb").write(converter.convert())
"""


@functools.cache
def model_bytes():
    """The model before its archive; converted once for all tests."""
    with tempfile.TemporaryDirectory() as folder:
        target = Path(folder) / "tiny.tflite"
        command = [sys.executable, "-c", CONVERT, json.dumps(BUCKETS), str(target)]
        done = subprocess.run(
            command, capture_output=True, text=True, check=False, env={**os.environ, "CUDA_VISIBLE_DEVICES": ""}
        )
        assert done.returncode == 0, done.stderr
        return target.read_bytes()


MEASURED = {
    "on": "9 pictures",
    "kinds": {
        "all": {"text": 4, "no_text": 5, "passed": {"best_f": [2, 0], "recall 0.97": [4, 1], "share 0.1": [1, 0]}},
        "bright": {"text": 0, "no_text": 1, "passed": {"best_f": [0, 0], "recall 0.97": [0, 0], "share 0.1": [0, 0]}},
    },
}


def metadata(model, **changes):
    return {
        "format": 1,
        "labels": ["no_text", "text"],
        "buckets": [list(bucket) for bucket in BUCKETS],
        "thresholds": {"best_f": 0.5, "recall": {"0.94": 0.41, "0.97": 0.3}, "share": {"0.1": 0.9}},
        "measured": MEASURED,
        "precision_dtype": "float32",
        "resize": "bilinear, antialiased",
        "normalisation": "inside",
        "licence": "none",
        "data_card": "mean brightness, not trained",
        "digest": hashlib.sha256(model).hexdigest(),
    } | changes


def model_file(model=None, card=None, members=None):
    """The bytes of a model file: `model`, then the archive with `kgan.json`."""
    model = model_bytes() if model is None else model
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w") as writer:
        for name, text in ({"kgan.json": json.dumps(card or metadata(model))} if members is None else members).items():
            writer.writestr(name, text)
    return model + archive.getvalue()


def brightness(image):
    """What the model gives for the regions of an image, from its definition, float64 `(34,)`."""
    return region_means(to_bucket(image).mean(axis=-1, dtype="float64")) / 255


@pytest.fixture(scope="session")
def model_path(tmp_path_factory):
    path = tmp_path_factory.mktemp("model") / "tiny.tflite"
    path.write_bytes(model_file())
    return path


@pytest.fixture(scope="session")
def text_filter(model_path):
    return TextFilter.load(model_path)
