"""The filter's scores, rows and heat maps, on a model whose scores are known in closed form."""

import io
import json
import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from image_files import GREY, PIXELS, PNG, picture
from PIL import Image
from tiny_filter import brightness

from kgan.filter.decoding import BUCKETS, to_bucket
from kgan.filter.text_filter import heat_map

pytestmark = pytest.mark.backend_free


# === Images in memory ===


def test_scores_and_regions_are_those_of_the_model(text_filter):
    images = [picture(*size) for size in ((600, 400), (400, 600), (300, 300), (900, 420), (420, 900))]
    regions = np.array([brightness(image) for image in images])
    assert {to_bucket(image).shape[:2] for image in images} == set(BUCKETS)
    for given_images in (images, [np.asarray(image) for image in images]):
        found = text_filter.regions(given_images)
        assert found.dtype == "float32" and found.shape == (5, 34)
        np.testing.assert_allclose(found, regions, atol=1e-5)
        scores = text_filter.score(given_images)
        assert scores.dtype == "float32"
        np.testing.assert_allclose(scores, regions.max(axis=1), atol=1e-5)
    batch = np.stack([PIXELS, PIXELS // 2])
    np.testing.assert_allclose(
        text_filter.score(batch), [brightness(Image.fromarray(b)).max() for b in batch], atol=1e-5
    )
    assert text_filter.score([]).shape == (0,) and text_filter.regions([]).shape == (0, 34)


def test_text_that_differs_from_its_ground_by_alpha_alone_is_seen(text_filter):
    """Black on transparent black is lost over black, white on transparent white over white."""
    for value in (0, 255):
        image = Image.fromarray(np.dstack([np.full((240, 240, 3), value, "uint8"), GREY[:240, :240] // 2]))
        over = [Image.new("RGBA", image.size, ground) for ground in ("white", "black")]
        flat = [np.asarray(Image.alpha_composite(ground, image).convert("RGB")) for ground in over]
        both = [brightness(Image.fromarray(f)) for f in flat]
        np.testing.assert_allclose(text_filter.regions([image])[0], np.maximum(*both), atol=0.005)
        np.testing.assert_allclose(text_filter.score([image]), np.max(both), atol=0.005)


@pytest.mark.parametrize(
    ("images", "message"),
    [
        (PIXELS, r"an image is uint8 \(600, 3\): pass uint8 arrays \(height, width, 3\) or PIL images"),
        ([PIXELS / 255], "an image is float64"),
        ([GREY], r"an image is uint8 \(400, 600\)"),
        (["photo.jpg"], "an image is str"),
        (Image.fromarray(PIXELS), "images is Image: pass a list of images"),
        ("photo.jpg", "images is str: pass a list of images"),
    ],
)
def test_other_images_are_refused(text_filter, images, message):
    with pytest.raises(ValueError, match=message):
        text_filter.score(images)


def test_threads_get_the_scores_of_their_own_images(text_filter):
    images = [picture(300 + 20 * i, 200) for i in range(8)]
    images = [image.point(lambda value, i=i: value * i // 8) for i, image in enumerate(images, 1)]
    alone = text_filter.regions(images)
    with ThreadPoolExecutor(6) as pool:
        for i, found in enumerate(pool.map(lambda i: text_filter.regions([images[i]])[0], [*range(8)] * 40)):
            np.testing.assert_array_equal(found, alone[i % 8])


DAEMON = """
import json, multiprocessing, sys
from kgan.filter.text_filter import TextFilter


def work(model, path, queue):
    queue.put(list(TextFilter.load(model).filter([path, path + ".none"])))


if __name__ == "__main__":
    context = multiprocessing.get_context("spawn")
    queue = context.Queue()
    process = context.Process(target=work, args=(*sys.argv[1:], queue), daemon=True)
    process.start()
    print(json.dumps(queue.get(timeout=60)))
    process.join()
"""


def test_a_daemonic_process_scores_by_itself(tmp_path, text_filter, model_path):
    """As one of Celery or of `multiprocessing.Pool`, which may have no children."""
    (tmp_path / "script.py").write_text(DAEMON)
    (tmp_path / "a.png").write_bytes(PNG)
    arguments = [sys.executable, tmp_path / "script.py", model_path, tmp_path / "a.png"]
    done = subprocess.run(arguments, capture_output=True, text=True, check=True, timeout=120)
    rows = json.loads(done.stdout)
    assert [row["status"] for row in rows] == ["ok", "missing"]
    assert rows == list(text_filter.filter([tmp_path / "a.png", tmp_path / "a.png.none"], processes=1))


def test_a_model_is_loaded_without_standard_error(model_path):
    code = "import sys; from kgan.filter.text_filter import TextFilter; TextFilter.load(sys.argv[1]); print('loaded')"
    arguments = [sys.executable, "-c", code, model_path]
    done = subprocess.run(arguments, stdout=subprocess.PIPE, text=True, preexec_fn=lambda: os.close(2))
    assert done.returncode == 0 and done.stdout == "loaded\n"


def test_heat_map():
    regions = np.zeros(34, "float32")
    regions[[0, 33]] = 1  # the first cell of the 5x5 grid and the last of the 3x3 grid
    data = heat_map(np.full((240, 360, 3), 100, "uint8"), (300, 600), regions)
    image = Image.open(io.BytesIO(data))
    assert image.format == "JPEG" and image.size == (480, 240)
    shown = np.asarray(image).astype(int)
    for rows, columns, colour in (
        (slice(0, 44), slice(0, 90), (193, 40, 40)),  # 100 + 0.6 (255 - 100), 100 - 0.6 * 100
        (slice(166, 240), slice(328, 480), (193, 40, 40)),
        (slice(60, 150), slice(0, 480), (100, 100, 100)),
    ):
        np.testing.assert_allclose(shown[rows, columns], np.broadcast_to(colour, shown[rows, columns].shape), atol=6)


# === Files ===


def test_rows_in_order_over_processes(tmp_path, text_filter):
    levels = np.random.default_rng(0).permutation(60)
    for number, level in enumerate(levels):
        Image.new("RGB", (240, 240), (int(level),) * 3).save(tmp_path / f"{number:02}.png")
    rows = list(text_filter.filter([tmp_path], threshold=29.5 / 255, processes=2))
    assert [row["path"] for row in rows] == [str(tmp_path / f"{number:02}.png") for number in range(60)]
    np.testing.assert_allclose([row["score"] for row in rows], levels / 255, atol=1e-5)
    # The row has the number that the threshold was compared with.
    assert [row["decision"] for row in rows] == ["text" if row["score"] >= 29.5 / 255 else "no_text" for row in rows]
    assert [row["decision"] == "text" for row in rows] == (levels >= 30).tolist()


def test_thresholds_patterns_and_regions(tmp_path, text_filter):
    for level in (70, 80, 110, 140):  # 0.27, 0.31, 0.43, 0.55
        Image.new("RGB", (240, 240), (level,) * 3).save(tmp_path / f"{level:03}.png")
    for options, number in (
        ({}, 1),
        ({"recall": 0.94}, 2),
        ({"recall": 0.97}, 3),
        ({"share": 0.1}, 0),
        ({"recall": 0.97, "threshold": 0}, 4),
    ):
        rows = text_filter.filter([f"{tmp_path}/*.png"], processes=1, **options)
        assert [row["decision"] for row in rows] == ["no_text"] * (4 - number) + ["text"] * number
    (row,) = text_filter.filter([tmp_path / "070.png"], regions=True, processes=1)
    assert row["regions"] == [round(70 / 255, 4)] * 34
    json.dumps(row)
    (row,) = text_filter.filter([tmp_path / "none.png"], regions=True, processes=1)
    assert row == {
        "path": str(tmp_path / "none.png"),
        "score": None,
        "decision": None,
        "status": "missing",
        "regions": None,
    }


def test_wrong_arguments_are_found_before_the_first_row(tmp_path, text_filter):
    with pytest.raises(ValueError, match=r"no file matches '.*/\*.jpg'"):
        text_filter.filter([f"{tmp_path}/*.jpg"])
    with pytest.raises(ValueError, match="no threshold is stored for recall 0.5"):
        text_filter.filter([tmp_path], recall=0.5)
    with pytest.raises(ValueError, match="paths='photos': pass a list of paths"):
        text_filter.filter("photos")


SCRIPT = """
import sys
from pathlib import Path
import numpy as np
from kgan.filter.text_filter import TextFilter, to_bucket

if __name__ == "__main__":
    text_filter = TextFilter.load(sys.argv[1])
    print(text_filter.score(np.zeros((1, 9, 9, 3), "uint8")))
    print([row["status"] for row in text_filter.filter([sys.argv[2]])])
    print(sorted({"tensorflow", "keras", "jax", "torch"} & set(sys.modules)))
"""


def test_neither_keras_nor_a_backend_is_imported(tmp_path, model_path):
    """Not here, and not in the processes: packages of these names that fail come first on the path."""
    for name in ("tensorflow", "keras", "jax", "torch"):
        (tmp_path / f"{name}.py").write_text("raise SystemExit(f'{__name__} was imported')")
    (tmp_path / "a.png").write_bytes(PNG)
    (tmp_path / "script.py").write_text(SCRIPT)
    command = [sys.executable, tmp_path / "script.py", model_path, tmp_path / "a.png"]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(tmp_path), os.environ.get("PYTHONPATH", "")])}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0 and done.stderr == ""
    assert done.stdout == "[0.]\n['ok']\n[]\n"
