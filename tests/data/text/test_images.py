import io
import json

import numpy as np
import pytest
from matplotlib.path import Path
from PIL import Image

from kgan.data import flip_and_rotate, load, load_text
from kgan.data.text.sets import READERS

pytestmark = pytest.mark.backend_free
QUAD = np.array([(20.0, 15), (70, 22), (66, 45), (18, 38)])


def painted(polygon, size):
    """White where the centre of a pixel lies in a polygon, by matplotlib."""
    height, width = size
    x, y = np.meshgrid(np.arange(width) + 0.5, np.arange(height) + 0.5)
    inside = Path(polygon).contains_points(np.stack([x.ravel(), y.ravel()], 1)).reshape(size)
    return np.repeat((255 * inside)[..., None], 3, axis=2).astype("uint8")


def test_outlines_turn_with_the_image():
    size = (60, 100)
    images = np.stack([painted(QUAD, size)] * 12)
    turned, polygons = flip_and_rotate(images, [[QUAD, QUAD + 5]] * 12, degrees=30, seed=1)
    assert turned.dtype == np.uint8 and turned.shape == images.shape
    angles = []
    for image, (outline, other) in zip(turned, polygons, strict=True):
        expected, found = painted(outline, size)[..., 0] > 0, image[..., 0] > 127
        assert (expected & found).sum() / (expected | found).sum() > 0.95
        # Lengths stay, and the order of the corners changes its sense.
        np.testing.assert_allclose(np.linalg.norm(np.diff(outline, axis=0), axis=1),
                                   np.linalg.norm(np.diff(QUAD, axis=0), axis=1))  # fmt: skip
        np.testing.assert_allclose(np.linalg.norm(other - outline, axis=1), np.sqrt(50))
        x, y = outline[1] - outline[0]
        angles.append(np.degrees(np.arctan2(y, x) - np.arctan2(7, -50)))
    angles = (np.array(angles) + 180) % 360 - 180
    assert np.abs(angles).max() <= 30 and angles.min() < -10 and angles.max() > 10


def test_corners_are_filled_from_the_edge():
    images = np.full((8, 40, 60, 3), 200, "uint8")
    turned, polygons = flip_and_rotate(images, [[]] * 8, degrees=45)
    assert (turned == 200).all() and polygons == [[]] * 8


def test_without_an_angle_it_mirrors():
    images = np.random.default_rng(0).integers(0, 256, (3, 20, 31, 3), "uint8")
    turned, polygons = flip_and_rotate(images, [[np.array([(0.0, 0), (10, 0), (10, 5)])]] * 3, degrees=0)
    np.testing.assert_array_equal(turned, images[:, :, ::-1])
    np.testing.assert_allclose(polygons[0][0], [(31, 0), (21, 0), (21, 5)])


def test_a_seed_gives_the_same_angles_and_leaves_the_images_alone():
    images = np.random.default_rng(0).integers(0, 256, (4, 20, 20, 3), "uint8")
    before = images.copy()
    one, two, other = (flip_and_rotate(images, [[]] * 4, seed=seed)[0] for seed in (1, 1, 2))
    np.testing.assert_array_equal(one, two)
    np.testing.assert_array_equal(images, before)
    assert not np.array_equal(one, other)


@pytest.mark.parametrize("degrees, count", [(-1, 2), (91, 2), (5, 3)])
def test_bad_arguments(degrees, count):
    with pytest.raises(ValueError, match="degrees" if count == 2 else "outlines"):
        flip_and_rotate(np.zeros((2, 9, 9, 3), "uint8"), [[]] * count, degrees=degrees)


# === Loading ===


def coco_text(root, files):
    """A set whose image `i` has one box with its left edge at `i + 1`, in images of 20 x 40 pixels."""
    images = {str(i): {"file_name": name, "set": "train", "width": 40, "height": 20} for i, name in enumerate(files)}
    boxes = {i: {"bbox": [int(i) + 1, 2, 8, 10], "legibility": "legible"} for i in images}
    content = {"imgs": images, "anns": boxes, "imgToAnns": {i: [i] for i in images}}
    (root / "cocotext.v2.json").write_text(json.dumps(content))
    for name, data in files.items():
        (root / name).write_bytes(data)
    return f"coco_text:{root}"


def picture(value, size=(40, 20)):
    buffer = io.BytesIO()
    Image.new("RGB", size, (value,) * 3).save(buffer, "PNG")
    return buffer.getvalue()


def test_outlines_stay_with_their_images_when_one_cannot_be_decoded(tmp_path):
    name = coco_text(tmp_path, {"0.png": picture(50), "1.png": picture(60)[:60], "2.png": picture(70)})
    with pytest.warns(UserWarning, match=f"skipped {tmp_path}: 1.png: ") as caught:
        images, polygons = load_text(name, image_size=(40, 40))
    assert len(caught) == 1 and images.shape == (2, 40, 40, 3)
    assert images.mean(axis=(1, 2, 3)).tolist() == [50, 70]
    assert [outlines[0][0].tolist() for outlines in polygons] == [[1, 4], [3, 4]]
    with pytest.warns(UserWarning):
        images, labels = load(name, image_size=40)
    assert len(images) == len(labels) == 2


def test_an_image_of_another_size_than_annotated_is_an_error(tmp_path):
    name = coco_text(tmp_path, {"0.png": picture(50), "1.png": picture(60, (41, 20))})
    with pytest.raises(ValueError, match="1.png: 41 x 20 pixels, but its annotation is for 40 x 20 pixels"):
        load_text(name)


def test_more_than_the_memory_limit_is_refused_before_anything_is_decoded(tmp_path):
    name = coco_text(tmp_path, {"0.png": b"not a picture", "1.png": b"nor this"})
    with pytest.raises(ValueError, match="2 images of 30 x 40 take 7200 bytes, more than memory_limit=7199"):
        load_text(name, image_size=(30, 40), memory_limit=7199)
    (tmp_path / "1.png").write_bytes(picture(60))
    with pytest.warns(UserWarning, match="0.png"):
        assert len(load_text(name, image_size=(30, 40), memory_limit=7200)[0]) == 1


def test_more_drawn_scenes_than_the_memory_limit_are_refused_before_they_are_drawn(monkeypatch):
    monkeypatch.setattr("kgan.data.text.images.draw_scenes", None)
    with pytest.raises(ValueError) as caught:
        load("synthetic/scene_text", "test", image_size=1000)
    assert str(caught.value) == (
        "synthetic/scene_text: 500 images of 1000 x 1000 take 1500000000 bytes, more than memory_limit=1073741824: "
        "pass a smaller count or image_size, or a larger memory_limit"
    )
    with pytest.raises(ValueError, match="7 images of 240 x 240 take 1209600 bytes"):
        load("synthetic/scene_text", count=7, memory_limit=1209599)


def test_scene_text_within_the_memory_limit():
    images, labels = load("synthetic/scene_text", image_size=32, channels=3, count=2, memory_limit=2 * 32 * 32 * 3)
    assert images.shape == (2, 32, 32, 3) and images.dtype == "uint8" and labels.shape == (2, 34)


@pytest.mark.parametrize("name", ["synthetic/scene_text", *(f"{kind}:nowhere" for kind in READERS)])
def test_scene_text_in_grey_is_refused(name):
    with pytest.raises(
        ValueError, match=f"^{name}: channels=1, but scene text is RGB: pass channels=3 or leave it out$"
    ):
        load(name, channels=1)


def test_a_split_that_drawn_scenes_have_not():
    with pytest.raises(ValueError, match="split='val' is not one of 'train', 'test'"):
        load_text("synthetic/scene_text", "val")
