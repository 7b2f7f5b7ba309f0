"""Tells whether images contain text, with LiteRT, NumPy and Pillow only.

    pip install ai-edge-litert numpy pillow
    python classify.py student-int8.tflite photo.jpg ...

Prints the score, decision and path of each image, then the scores of the cells of a 5x5 and a 3x3 grid.
"""

import json
import math
import sys
import zipfile

import numpy as np
from ai_edge_litert.interpreter import Interpreter
from PIL import Image

UPRIGHT = {  # EXIF orientation
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}


def prepare(image, buckets):
    """Stretches an image to the bucket of the nearest shape; returns uint8 RGB `(1, height, width, 3)`."""
    try:
        turn = UPRIGHT.get(image.getexif().get(0x0112))
    except Exception:  # Broken EXIF raises exceptions of almost any type; the pixels may still be sound.
        turn = None
    image = image.convert("RGB") if turn is None else image.convert("RGB").transpose(turn)
    shape = math.log(image.width / image.height)
    height, width = min(buckets, key=lambda bucket: abs(math.log(bucket[1] / bucket[0]) - shape))
    # Pillow's resize antialiases, as in training.
    return np.asarray(image.resize((width, height), Image.Resampling.BILINEAR))[None]


def main(model, *pictures):
    with zipfile.ZipFile(model) as archive:  # LiteRT ignores the archive that follows the model
        metadata = json.loads(archive.read("kgan.json"))
    interpreter = Interpreter(model, num_threads=1)
    for path in pictures:
        with Image.open(path) as image:
            images = prepare(image, metadata["buckets"])
        run = interpreter.get_signature_runner(f"{images.shape[1]}x{images.shape[2]}")
        found = run(images=images)
        score, regions = found["score"].item(), found["regions"][0]
        decision = metadata["labels"][score >= metadata["thresholds"]["best_f"]]
        print(f"{score:.4f} {decision} {path}")
        for grid in (regions[:25].reshape(5, 5), regions[25:].reshape(3, 3)):
            print(np.array2string(grid, precision=2, suppress_small=True))


if __name__ == "__main__":
    main(*sys.argv[1:])
