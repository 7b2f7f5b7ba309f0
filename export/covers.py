"""Makes the packaged network that finds what is in front of a face.

    python export/covers.py runs/covers/model.keras

Writes kgan/faces/files/covers.tflite with weights of 16 bits, and prints how much its answers differ from those of
Keras on drawn faces, and its SHA-256, which belongs into the NOTICE beside it. It changes nothing and exits with
status 1 if an answer differs by more than 0.01 of a texel.
"""

import argparse
import hashlib
import os
import sys
import tempfile
from pathlib import Path

os.environ["KERAS_BACKEND"] = "tensorflow"  # the one that LiteRT converts

import keras
import numpy as np
from scipy.special import expit

from kgan.data.faces.covered import load_covered
from kgan.export.converter import convert
from kgan.export.litert import shrink
from kgan.faces.mesh import FILES
from kgan.models.makeup.networks import build_cover_network
from kgan.runtime.files import write_whole
from kgan.runtime.litert import Network

FACES = 20
MOST = 0.01


def main(arguments=None):
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", type=Path, help="model.keras of the recipe makeup_covers")
    parser.add_argument("--target", type=Path, default=FILES / "covers.tflite", help=argparse.SUPPRESS)
    options = parser.parse_args(arguments)
    try:
        model = load(options.model)
    except ValueError as error:
        print(f"covers.py: {error}", file=sys.stderr)
        return 2
    with tempfile.TemporaryDirectory() as folder:
        archive = keras.export.ExportArchive()
        archive.track(model)
        shape = keras.InputSpec(shape=(1, *model.input_shape[1:]), dtype="float32")
        archive.add_endpoint("serve", model, input_signature=[shape])
        archive.write_out(folder, verbose=False)
        made = shrink(convert(folder, "float16", ["serve"]))
        path = Path(folder, "covers.tflite")
        path.write_bytes(made)
        faces = load_covered("test", FACES)["features"].astype("float32")
        network = Network(path)
        found = np.concatenate([network(face)[0] for face in faces])
    apart = np.abs(expit(found) - expit(model.predict(faces, verbose=0))).max()
    if apart > MOST:
        what = f"answers of its LiteRT file differ from Keras by {apart:.4f}, more than {MOST}"
        print(f"covers.py: {options.model}: {what}; {options.target} is unchanged", file=sys.stderr)
        return 1
    write_whole(options.target, made)
    print(f"{len(made)} bytes; answers differ from Keras by {apart:.4f} at most")
    print(f"{hashlib.sha256(made).hexdigest()}  {options.target.name}")
    return 0


def load(path):
    """Loads a model of the recipe."""
    try:
        model = keras.models.load_model(path, compile=False)
    except Exception as error:  # Keras raises exceptions of many types for an invalid file.
        raise ValueError(f"{path} is not a model that Keras can read: {str(error).splitlines()[0]}") from None
    ours = build_cover_network()
    shapes = [
        (getattr(network, "input_shape", None), getattr(network, "output_shape", None)) for network in (model, ours)
    ]
    if shapes[0] != shapes[1]:
        raise ValueError(f"{path} holds a {type(model).__name__}: pass model.keras of recipes/makeup_covers.py")
    return model


if __name__ == "__main__":
    sys.exit(main())
