"""The example of export/python against `TextFilter`."""

import re
import struct
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import tiny_filter
from PIL import Image, ImageOps

from kgan.filter.text_filter import TextFilter

pytestmark = pytest.mark.backend_free

SCRIPT = Path(__file__).resolve().parents[2] / "export" / "python" / "classify.py"
# Packages that it must do without are made to fail.
RUN = """
import runpy, sys
for name in ("tensorflow", "keras", "kgan", "jax", "torch"):
    sys.modules[name] = None
sys.argv = sys.argv[1:]
runpy.run_path(sys.argv[0], run_name="__main__")
"""


def test_exif_that_can_only_be_read(tmp_path):
    """A resolution of -1/0 and an orientation of 6, which Pillow's `exif_transpose` cannot write again."""
    ifd = struct.pack("<HHLHH", 0x0112, 3, 1, 6, 0) + struct.pack("<HHLL", 0x011A, 10, 1, 38)
    exif = b"II*\0\x08\0\0\0" + struct.pack("<H", 2) + ifd + bytes(4) + struct.pack("<ll", -1, 0)
    image = Image.fromarray(np.repeat(np.arange(256, dtype="uint8"), 3).reshape(16, 16, 3)).resize((300, 200))
    image.save(tmp_path / "photo.jpg", exif=b"Exif\0\0" + exif)
    with pytest.raises(Exception), Image.open(tmp_path / "photo.jpg") as photo:  # noqa: B017
        ImageOps.exif_transpose(photo)
    (tmp_path / "model.tflite").write_bytes(tiny_filter.model_file())
    command = [sys.executable, SCRIPT, tmp_path / "model.tflite", tmp_path / "photo.jpg"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    score = TextFilter.load(tmp_path / "model.tflite").score([Image.open(tmp_path / "photo.jpg")])[0]
    assert float(done.stdout.split()[0]) == pytest.approx(score, abs=6e-5)


def test_example_scores_as_text_filter(tmp_path):
    model = tmp_path / "model.tflite"
    model.write_bytes(tiny_filter.model_file())
    text_filter = TextFilter.load(model)
    rng = np.random.default_rng(0)
    images = [Image.fromarray(rng.integers(0, 256 - 60 * k, (90, 60 + 70 * k, 3), "uint8")) for k in range(4)]
    paths = [tmp_path / f"{k}.png" for k in range(4)]
    turned = Image.Exif()
    turned[0x0112] = 8
    for image, path in zip(images, paths, strict=True):
        image.save(path, exif=turned if path.stem == "1" else None)

    done = subprocess.run(
        [sys.executable, "-c", RUN, SCRIPT, model, *paths], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    rows = re.findall(r"^(\d\.\d+) (text|no_text) (.*)$", done.stdout, re.MULTILINE)
    assert [path for _, _, path in rows] == list(map(str, paths))
    scores = text_filter.score([Image.open(path) for path in paths])
    assert [float(score) for score, _, _ in rows] == pytest.approx(scores, abs=6e-5)
    assert [decision == "text" for _, decision, _ in rows] == list(scores >= text_filter.thresholds["best_f"])
    assert {decision for _, decision, _ in rows} == {"text", "no_text"}
    cells = re.findall(r"\d\.\d*", re.sub(r"^\d\.\d+ .*$", "", done.stdout, flags=re.MULTILINE))
    np.testing.assert_allclose(
        np.float64(cells).reshape(4, 34), text_filter.regions([Image.open(p) for p in paths]), atol=6e-3
    )
