"""Export a trained text filter student and compare the decisions of the files with those of the Keras model.

TensorFlow converts a student trained on any backend. It runs in a separate process, `kgan.export.conversion`.
"""

import json
import os
from pathlib import Path

import numpy as np
from PIL import Image

from kgan.export.parity import SIGNATURES, DecisionsChanged
from kgan.export.process import read_keys, replacing, run
from kgan.filter import measured
from kgan.filter.decoding import BUCKETS, nearest_bucket, to_bucket

QUANTISATIONS = ("float32", "float16", "int8")
FEWEST = 200  # minimum number of validation images


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
    """Convert a trained student to SavedModel and LiteRT, and compare the files with the Keras model.

    Writes the folder `NAME-saved_model`, one LiteRT file per quantisation (`NAME-float32.tflite`, ...), `report.json`
    and `report.md`. NAME is the name of the Keras model, by default `student`.

    A LiteRT file has one signature per bucket. The signature `240x360`, for example, has the input `images`, uint8 RGB
    `(1, 240, 360, 3)`, and the outputs `score` `(1, 1)` and `regions` `(1, 34)`, float32 in [0, 1]. A zip archive with
    `kgan.json` is appended to the file; `TextFilter` reads it. The SavedModel has the same signatures, and in addition
    `serving_default` for batches of any size.

    The int8 file computes in integers, except for the last layer, which reduces 128 features to a logit.

    Default values of `thresholds`, `licence` and `data_card` come from a JSON file next to the model, `NAME.json` for
    `NAME.keras`, if there is one. Beside thresholds it may hold `measured`, what these did on photographs
    (`kgan.metrics.count_passed`), for `TextFilter.measured`. If neither gives thresholds, they are computed from the
    Keras scores of the validation images. All files have the same thresholds.

    Args:
        model_path: `.keras` file of a `TextStudent`, saved on any backend.
        out: output folder. Files of an earlier export are replaced after everything else has succeeded.
        quantisation: any of `"float32"`, `"float16"` and `"int8"`.
        images: photographs that resemble those to filter. The activation ranges of int8 are measured on them. A list of
            uint8 arrays `(height, width, 3)` or `PIL.Image.Image`, or a folder or zip archive. Default: drawn scenes.
        calibration: number of these photographs to use, or of scenes to draw. int8 clips activations outside the range
            measured on them.
        validation: `(images, labels)`, a list as above of at least 200 images, and labels 1 for text, 0 for no text.
            Default: drawn scenes.
        thresholds: dict with the threshold `best_f` and the dict `recall` of a threshold per recall, `{"0.97": 0.3}`;
            optional is the dict `share` of a threshold per share of images.
        licence: str, terms of use of the files.
        data_card: str, description of the training data.
        max_changed: share of images on which a file may disagree with Keras, in [0, 1]. A file is refused if the
            interval of its share at one of the thresholds, measured on the validation images, lies above.

    Returns:
        The report, a dict with `images`, `text`, `thresholds` and `files`. `files` has a dict for each of
        `saved_model`, `float32`, ... with `changed` (the share of changed decisions per threshold), `interval` (of this
        share; those of all thresholds hold together with 95 %), `max_difference` and `mean_difference` of the scores.
        For LiteRT files the dict also has `bytes`, `operators` and `milliseconds` (the median on one thread per
        signature).

    Raises:
        FileNotFoundError: if the model, folder or archive does not exist.
        ValueError: if an argument is out of range, or the model is not a student.
        DecisionsChanged: if a file disagrees with Keras too often. Nothing is written.
        RuntimeError: if an operator is not built into LiteRT, or the conversion fails. Nothing is written.

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
    if thresholds is not None or "thresholds" not in card:
        card.pop("measured", None)  # of other thresholds
    given = {"thresholds": thresholds, "licence": licence, "data_card": data_card}
    card |= {key: value for key, value in given.items() if value is not None}
    request = {
        "model": str(model_path.resolve()),
        "quantisation": quantisation,
        "card": {"thresholds": None, "licence": "not stated", "data_card": "not stated"} | card,
        "calibration": calibration,
        "max_changed": max_changed,
    }
    with replacing(out) as folder:
        np.savez(folder / "images.npz", **arrays)
        (folder / "request.json").write_text(json.dumps(request))
        convert_in_process(folder)
    return json.loads((out / "report.json").read_text())


def read_card(path):
    """Return the thresholds, licence, data card and counts stored next to a model, or {} if there is no such file."""
    card = read_keys(path, {"thresholds", "licence", "data_card", "measured"})
    try:
        measured.check(card.get("measured"))
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"{path}: its counts, `measured`, are damaged ({type(error).__name__}: {error})") from None
    return card


def convert_in_process(folder):
    run("kgan.export.conversion", folder, DecisionsChanged)


# === Images ===


def calibration_images(images, count):
    """Return `{"calibration-240x360": uint8 (n, 240, 360, 3), ...}` with at least one image for each signature."""
    if isinstance(images, str | os.PathLike):
        from kgan.data.scenes.photos import load_photos

        images = load_photos(images)
    if not len(images):
        raise ValueError("images is empty: pass at least one image")
    # Spread evenly over the list, because it may be sorted.
    chosen = np.unique(np.linspace(0, len(images) - 1, min(count, len(images))).astype(int))
    images = [as_image(images[i]) for i in chosen]
    members = by_bucket(images)
    # The ranges of all signatures are merged, so a signature without images of its own can take a stretched image.
    return {
        f"calibration-{name}": np.stack([to_bucket(images[i], [bucket]) for i in members.get(name, [0])])
        for name, bucket in zip(SIGNATURES, BUCKETS, strict=True)
    }


def validation_images(images, labels):
    """Return the arrays `validation-240x360` and `validation-labels-240x360`, int `(n,)`, per signature with images."""
    images, labels = list(map(as_image, images)), np.asarray(labels)
    if labels.shape != (len(images),) or not np.isin(labels, (0, 1)).all():
        raise ValueError(f"{len(images)} validation images with labels {labels.shape}: pass 0 or 1 for each image")
    if len(images) < FEWEST or len(set(labels.tolist())) < 2:
        raise ValueError(f"{len(images)} validation images: pass at least {FEWEST}, with text and without")
    members = by_bucket(images)
    arrays = {f"validation-{name}": np.stack([to_bucket(images[i]) for i in found]) for name, found in members.items()}
    return arrays | {f"validation-labels-{name}": labels[found].astype(int) for name, found in members.items()}


def by_bucket(images):
    """Return `{signature: indices of its images}` for the signatures that have images."""
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
