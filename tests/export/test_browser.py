"""The page of export/browser in headless Chromium, on a real photograph and on drawn pictures."""

import io
import json

import numpy as np
import pytest
import tiny_filter
from PIL import Image, ImageDraw

from kgan.filter import text_filter as runtime

skimage_data = pytest.importorskip("skimage.data")

# Of scores. The photographs differ by what two JPEG decoders make of one file, the others not at all.
TOLERANCE = {"photo.jpg": 0.01}

pytestmark = pytest.mark.backend_free


def encoded(image, kind, **options):
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


@pytest.fixture(scope="module")
def pictures():
    photo = Image.fromarray(skimage_data.coffee())
    words = photo.copy()
    ImageDraw.Draw(words).text((60, 120), "FRESH COFFEE", fill="white", font_size=48)
    seen_through = words.convert("RGBA")
    seen_through.putalpha(Image.linear_gradient("L").resize(words.size))
    turned = Image.Exif()
    turned[0x0112] = 6
    return {
        "photo.png": encoded(photo, "PNG"),
        "photo.jpg": encoded(photo, "JPEG", quality=90),
        "words.png": encoded(words, "PNG"),
        "wide.png": encoded(words.resize((700, 240)), "PNG"),
        "small.png": encoded(words.resize((90, 130)), "PNG"),
        "turned.png": encoded(words, "PNG", exif=turned),
        "seen_through.png": encoded(seen_through, "PNG"),
        "broken.png": encoded(photo, "PNG")[:1000],
    }


def in_chromium(browse, model, pictures):
    """What the harness finds."""
    noise = np.random.default_rng(0).integers(0, 256, (50, 70, 3), "uint8")
    sizes = [(240, 240), (24, 36), (50, 11), (7, 140)]
    question = {"pixels": noise.ravel().tolist(), "width": 70, "height": 50, "sizes": sizes}
    found = browse(
        "harness.html",
        {
            "student.tflite": model,
            "pictures": json.dumps(list(pictures)).encode(),
            "resize": json.dumps(question).encode(),
            **{f"pictures/{name}": data for name, data in pictures.items()},
        },
    )
    for (height, width), pixels in zip(sizes, found["resized"], strict=True):
        expected = np.asarray(Image.fromarray(noise).resize((width, height), Image.Resampling.BILINEAR), int)
        difference = np.abs(np.reshape(pixels, (height, width, 3)) - expected)
        assert difference.max() <= (height == 7)  # where Pillow may begin with the columns
    return found


@pytest.mark.parametrize("shipped", [False, True])
def test_page_scores_as_python_does(shipped, pictures, browse, tmp_path):
    if shipped and not runtime.SHIPPED.exists():
        pytest.skip("no student is shipped yet")
    model = runtime.SHIPPED.read_bytes() if shipped else tiny_filter.model_file()
    (tmp_path / "model.tflite").write_bytes(model)
    text_filter = runtime.TextFilter.load(tmp_path / "model.tflite")
    answer = in_chromium(browse, model, pictures)
    assert answer["recalls"] == ["best F", *text_filter.thresholds["recall"]]
    found = {entry["name"]: entry for entry in answer["found"]}
    assert list(found) == list(pictures)
    assert "cannot be read" in found.pop("broken.png")["text"]
    scores = []
    for name, entry in found.items():
        image = Image.open(io.BytesIO(pictures[name]))
        # The integer kernels of another instruction set round some activations to the next of 256 steps.
        tolerance = TOLERANCE.get(name, 1e-2 if shipped else 1e-3)
        score, regions = text_filter.score([image])[0], text_filter.regions([image])[0]
        scores.append(score)
        assert float(entry["score"]) == pytest.approx(score, abs=tolerance)
        np.testing.assert_allclose(json.loads(entry["regions"]), regions, atol=2 * tolerance)
        decision = "Text" if score >= text_filter.thresholds["best_f"] else "No text"
        assert entry["text"] == f"{decision}, score {float(entry['score']):.4f}"
        size = image.size[::-1] if name == "turned.png" else image.size
        assert entry["heat"] == list(size)
    assert np.ptp(scores) > 0.02  # else one score would do for all
