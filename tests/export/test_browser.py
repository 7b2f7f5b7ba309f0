"""The page of export/browser in headless Chromium, on a real photograph and on drawn pictures."""

import functools
import http.server
import io
import json
import shutil
import subprocess
import threading
from pathlib import Path

import numpy as np
import pytest
import tiny_filter
from PIL import Image, ImageDraw

from kgan.filter import text_filter as runtime

skimage_data = pytest.importorskip("skimage.data")

PAGE = Path(__file__).resolve().parents[2] / "export" / "browser"
HARNESS = Path(__file__).with_name("harness.html")
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
# Of scores. The photographs differ by what two JPEG decoders make of one file, the others not at all.
TOLERANCE = {"photo.jpg": 0.01}

pytestmark = [
    pytest.mark.backend_free,
    pytest.mark.skipif(CHROMIUM is None, reason="there is no chromium: apt-get install chromium"),
    pytest.mark.skipif(
        not (PAGE / "node_modules").is_dir(), reason="there is no runtime: run `npm install` in export/browser"
    ),
]


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


class Handler(http.server.SimpleHTTPRequestHandler):
    """Serves the page, the pictures and a model, and takes what the harness found."""

    def do_GET(self):
        name = self.path.lstrip("/")
        if name in self.server.answers:
            body = self.server.answers[name]
            self.send_response(200)
            self.send_header("Content-Type", "text/html" if name.endswith(".html") else "application/octet-stream")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)
        else:
            super().do_GET()

    def do_POST(self):
        self.server.found = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.send_response(204)
        self.end_headers()
        self.server.done.set()

    def log_message(self, *args):
        pass


def in_chromium(model, pictures, folder):
    """What the harness finds."""
    noise = np.random.default_rng(0).integers(0, 256, (50, 70, 3), "uint8")
    sizes = [(240, 240), (24, 36), (50, 11), (7, 140)]
    question = {"pixels": noise.ravel().tolist(), "width": 70, "height": 50, "sizes": sizes}
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Handler, directory=PAGE))
    server.done, server.found = threading.Event(), None
    server.answers = {
        "harness.html": HARNESS.read_bytes(),
        "student.tflite": model,
        "pictures": json.dumps(list(pictures)).encode(),
        "resize": json.dumps(question).encode(),
        **{f"pictures/{name}": data for name, data in pictures.items()},
    }
    threading.Thread(target=server.serve_forever, daemon=True).start()
    url = f"http://127.0.0.1:{server.server_port}/harness.html"
    # Without a network: every name but this machine's is unknown.
    options = [
        "--headless",
        "--no-sandbox",
        "--disable-gpu",
        "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",
    ]
    process = subprocess.Popen(
        [CHROMIUM, *options, f"--user-data-dir={folder}", url], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    try:
        assert server.done.wait(90), "Chromium did not answer"
    finally:
        process.terminate()
        process.wait(10)
        server.shutdown()
        server.server_close()
    assert "error" not in server.found, server.found["error"]
    for (height, width), pixels in zip(sizes, server.found["resized"], strict=True):
        expected = np.asarray(Image.fromarray(noise).resize((width, height), Image.Resampling.BILINEAR), int)
        difference = np.abs(np.reshape(pixels, (height, width, 3)) - expected)
        assert difference.max() <= (height == 7)  # where Pillow may begin with the columns
    return server.found


@pytest.mark.parametrize("shipped", [False, True])
def test_page_scores_as_python_does(shipped, pictures, tmp_path):
    if shipped and not runtime.SHIPPED.exists():
        pytest.skip("no student is shipped yet")
    model = runtime.SHIPPED.read_bytes() if shipped else tiny_filter.model_file()
    (tmp_path / "model.tflite").write_bytes(model)
    text_filter = runtime.TextFilter.load(tmp_path / "model.tflite")
    answer = in_chromium(model, pictures, tmp_path / "profile")
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
