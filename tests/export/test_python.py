"""The example of export/python against `TextFilter`."""

import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import tiny_filter
from PIL import Image

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
