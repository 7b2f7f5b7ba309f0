"""Exports a trained student of the text filter, and reports whether its files decide as it does.

TensorFlow converts, whatever backend trained the student: in a process of its own, `kgan.export.conversion`.
"""

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
from PIL import Image

from kgan.export.parity import SIGNATURES, DecisionsChanged
from kgan.filter.decoding import BUCKETS, nearest_bucket, to_bucket

QUANTISATIONS = ("float32", "float16", "int8")
FEWEST = 200  # images on which a file is compared with Keras


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
    """Runs `kgan.export.conversion` on TensorFlow's backend and on the CPU, so that no graphics memory is taken."""
    source = str(Path(__file__).resolve().parents[2])
    environment = {
        **os.environ,
        "KERAS_BACKEND": "tensorflow",
        "CUDA_VISIBLE_DEVICES": "-1",
        "PYTHONPATH": os.pathsep.join([source, os.environ.get("PYTHONPATH", "")]),
    }
    command = [sys.executable, "-m", "kgan.export.conversion", str(folder)]
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
        from kgan.data.scenes.photos import load_photos

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


def as_image(image):
    if isinstance(image, Image.Image):
        return image
    if not isinstance(image, np.ndarray) or image.dtype != "uint8" or image.ndim != 3 or image.shape[2] != 3:
        found = f"{image.dtype} {image.shape}" if isinstance(image, np.ndarray) else type(image).__name__
        raise ValueError(f"an image is {found}: pass uint8 arrays (height, width, 3) or PIL images")
    return Image.fromarray(image)
