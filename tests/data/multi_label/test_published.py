"""COCO, WIDER Attribute and NUS-WIDE in their authors' layouts, in small, right and wrong."""

import json
import shutil
import warnings

import numpy as np
import pytest
from PIL import Image

import kgan

pytestmark = pytest.mark.backend_free


def picture(path, grey):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (40, 20), (grey,) * 3).save(path, quality=95)


def load(name, *args, **options):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        return kgan.data.load(name, *args, image_size=16, **options)


def greys(images):
    return ((images[:, 8, 8, 0] + 1) * 127.5).round().astype(int).tolist()


def refused(name, message, split="train"):
    with pytest.raises(ValueError, match=message) as caught:
        load(name, split)
    assert "\n" not in str(caught.value)


# === COCO ===


def instances(*things, images=4):
    """Category 3 is the first class, 7 the second; things are pairs of image and category."""
    return {
        "images": [{"id": 10 + i, "file_name": f"{i}.jpg"} for i in range(images)],
        "categories": [{"id": 7, "name": "dog"}, {"id": 3, "name": "cat"}],
        "annotations": [
            {"image_id": 10 + image, "category_id": category, "iscrowd": 0, "segmentation": [[0, 0, 1, 1, 2, 2]]}
            for image, category in things
        ],
    }


def write_coco(folder, train=None, val=None):
    tables = {
        "train": train or instances((0, 3), (0, 7), (0, 7), (1, 7), (3, 3)),
        "val": val or instances((1, 3), images=2),
    }
    for split, table in tables.items():
        (folder / "annotations").mkdir(exist_ok=True)
        (folder / "annotations" / f"instances_{split}2014.json").write_text(json.dumps(table))
        for i in range(4):
            picture(folder / "images" / f"{split}2014" / f"{i}.jpg", 40 * i + (10 if split == "val" else 0))
    return f"coco:{folder}"


@pytest.mark.parametrize("packed", [False, True])
def test_coco(packed, tmp_path):
    (tmp_path / "coco").mkdir()
    name = write_coco(tmp_path / "coco")
    if packed:
        name = "coco:" + shutil.make_archive(tmp_path / "packed", "zip", tmp_path / "coco")
    images, labels = load(name)
    assert greys(images) == [0, 40, 80, 120]
    np.testing.assert_array_equal(labels, [[1, 1], [0, 1], [0, 0], [1, 0]])
    images, labels = load(name, "test")  # of the same names, in the folder of the other split
    assert greys(images) == [10, 50]
    np.testing.assert_array_equal(labels, [[0, 0], [1, 0]])
    for other in ("validation", "val"):
        np.testing.assert_array_equal(load(name, other)[1], labels)
    assert kgan.data.class_names(name) == ["cat", "dog"]


def test_a_single_file_of_coco_is_split(tmp_path):
    (tmp_path / "instances.json").write_text(json.dumps(instances((0, 3), (1, 7), images=10)))
    for i in range(10):
        picture(tmp_path / f"{i}.jpg", 20 * i)
    parts = [greys(load(f"coco:{tmp_path}", split)[0]) for split in ("train", "test")]
    assert [len(part) for part in parts] == [8, 2]
    assert sorted(sum(parts, [])) == [20 * i for i in range(10)]


def test_two_files_of_coco_that_name_no_split_are_refused(tmp_path):
    for name in ("instances.json", "instances2.json"):
        (tmp_path / name).write_text(json.dumps(instances()))
    refused(
        f"coco:{tmp_path}", "one instances_.*json of the train split is needed, found instances.json, instances2.json"
    )


def test_coco_has_the_labels_of_the_table_beside_it(shared_data):
    archive = shared_data / "coco128x2" / "coco128x2.zip"
    coco, table = (load(f"{kind}:{archive}") for kind in ("coco", "multilabel"))
    np.testing.assert_array_equal(coco[0], table[0])
    np.testing.assert_array_equal(coco[1], table[1])


@pytest.mark.parametrize(
    "train, message",
    [
        (instances((0, 4)), "instances_train2014.json has an unexpected structure .KeyError: 4"),
        (instances((9, 3)), "has an unexpected structure .KeyError: 19"),
        (instances((0, 3), images=6), "instances_train2014.json: 4.jpg, 5.jpg: not there"),
        (instances((0, 3)) | {"images": []}, "KeyError: 10"),
        (instances() | {"images": []}, "names no image or no category"),
        (instances() | {"images": 2 * [{"id": 10, "file_name": "0.jpg"}]}, "an image or a category twice"),
        (instances() | {"images": [{"id": i, "file_name": "0.jpg"} for i in (1, 2)]}, "an image or a category twice"),
        (instances() | {"categories": [{"id": 3, "name": name} for name in "ab"]}, "an image or a category twice"),
        (instances() | {"categories": [{"id": i, "name": "cat"} for i in (3, 7)]}, "the class 'cat' occurs twice"),
        (instances() | {"categories": [{"id": 3, "name": ""}]}, "'' is no name of a class"),
        (instances() | {"categories": [{"id": 3, "name": 7}]}, "7 is no name of a class"),
        (instances() | {"images": [{"id": 10, "file_name": 5}]}, "unexpected structure .TypeError"),
        ([], "TypeError"),
    ],
)
def test_a_malformed_coco_is_refused(train, message, tmp_path):
    refused(write_coco(tmp_path, train=train or [1]), message)


def test_coco_needs_one_file_for_a_split(tmp_path):
    name = write_coco(tmp_path)
    shutil.copy(tmp_path / "annotations/instances_train2014.json", tmp_path / "annotations/instances_train2017.json")
    refused(name, "one instances_.*json of the train split is needed, found .*train2014.json, .*train2017.json")
    refused(f"coco:{tmp_path / 'images'}", "found none")
    (tmp_path / "annotations/instances_val2014.json").write_text("{")
    refused(name, "instances_val2014.json cannot be read as JSON", "test")


def test_a_file_in_two_folders_is_refused(tmp_path):
    name = write_coco(tmp_path)
    shutil.move(tmp_path / "images/train2014", tmp_path / "images/a")
    refused(name, "0.jpg occurs more than once: images/a/0.jpg and images/val2014/0.jpg")


# === WIDER Attribute ===

BOXES = [[0, 0, 20, 40], [20, 0, 20, 40], [15.4, -5, 10.2, 60]]


def write_wider(folder, targets=None, file="train/0--Parade/a.png", split="trainval"):
    """One image with a dark left and a bright right half, and three people."""
    targets = targets or [
        {"attribute": attribute, "bbox": box}
        for attribute, box in zip([[1, 0, -1], [-1, 1, 0], [1, 1, 1]], BOXES, strict=True)
    ]
    image = np.zeros((40, 40, 3), "uint8")
    image[:, 20:] = 200
    path = folder / "Image/train/0--Parade/a.png"
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(image).save(path)
    names = {"0": "Male", "1": "longHair", "2": "hat"}
    table = {"attribute_id_map": names, "images": [{"targets": targets, "file_name": file, "scene_id": 0}]}
    (folder / f"wider_attribute_{split}.json").write_text(json.dumps(table))
    return f"wider_attribute:{folder}"


def test_people_are_cut_out_and_unspecified_is_minus_one(tmp_path):
    name = write_wider(tmp_path)
    images, labels = load(name)
    np.testing.assert_array_equal(labels, [[1, -1, 0], [0, 1, -1], [1, 1, 1]])
    assert greys(images[:2]) == [0, 200]
    np.testing.assert_allclose(images[0], -1)
    np.testing.assert_allclose(images[1], 200 / 127.5 - 1, atol=1e-6)
    # From 15.4 to 25.6, rounded to 15 and 26: 5 of 11 columns are dark.
    assert (images[2][8, :, 0] < 0).sum() == pytest.approx(16 * 5 / 11, abs=1)
    assert kgan.data.class_names(name) == ["Male", "longHair", "hat"]


def test_a_subset_keeps_boxes_and_labels_together(tmp_path):
    name = write_wider(tmp_path)
    whole = load(name)
    images, labels = load(name, count=2, seed=3)
    for image, row in zip(images, labels, strict=True):
        (same,) = np.flatnonzero((whole[1] == row).all(axis=1))
        np.testing.assert_array_equal(image, whole[0][same])


def test_a_box_outside_its_image_is_left_out(tmp_path):
    targets = [{"attribute": [1, 0, 0], "bbox": [41, 0, 5, 5]}, {"attribute": [0, 1, 0], "bbox": BOXES[1]}]
    with pytest.warns(UserWarning, match="outside 40 x 40 pixels"):
        images, labels = kgan.data.load(write_wider(tmp_path, targets), image_size=16)
    np.testing.assert_array_equal(labels, [[-1, 1, -1]])
    assert greys(images) == [200]
    batches = load(f"wider_attribute:{tmp_path}", memory_limit=0)
    images, rows = batches.source.readable(np.arange(2))
    assert greys(images) == [200] and rows.tolist() == [1]


@pytest.mark.parametrize(
    "options, message",
    [
        ({"targets": [{"attribute": [1, 0], "bbox": BOXES[0]}]}, "a bbox of 4 numbers and 3 attributes"),
        ({"targets": [{"attribute": [1, 0, 1], "bbox": BOXES[0][:3]}]}, "a bbox of 4 numbers and 3 attributes"),
        ({"targets": [{"attribute": [1, 0, 2], "bbox": BOXES[0]}]}, "attributes must be 1, 0"),
        ({"targets": [{"bbox": BOXES[0]}]}, "unexpected structure .KeyError: 'attribute'"),
        ({"file": "train/b.png"}, "wider_attribute_trainval.json: train/b.png: not there"),
        ({"split": "test"}, "one wider_attribute_trainval.json is needed, found none"),
    ],
)
def test_a_malformed_wider_attribute_is_refused(options, message, tmp_path):
    refused(write_wider(tmp_path, **options), message)


# === NUS-WIDE ===


def write_nus(folder, train=(r"actor\1_a.jpg", r"actor\2_b.jpg", r"sky\3_c.jpg", r"sky\4_d.jpg"), **columns):
    (folder / "Concepts81.txt").write_text("airport\r\nsky\r\n")
    columns = {"airport_Train": "1 0 0 1", "sky_Train": "1 0 1 0", "airport_Test": "1", "sky_Test": "1"} | columns
    for name, column in columns.items():
        (folder / f"Labels_{name}.txt").write_text("\n".join([*column.split(), ""]))
    (folder / "TrainImagelist.txt").write_text("\r\n".join([*train, ""]))
    (folder / "TestImagelist.txt").write_text("actor\\5_e.jpg\r\n")
    for i, name in enumerate(("actor/1_a", "actor/2_b", "sky/3_c", "actor/5_e")):
        picture(folder / "Flickr" / f"{name}.jpg", 40 * i)
    return f"nus_wide:{folder}"


def test_nus_wide_counts_what_it_leaves_out(tmp_path):
    name = write_nus(tmp_path)
    with pytest.warns(UserWarning, match="2 of 4 train images: 1 are not there, 1 more have no label"):
        images, labels = kgan.data.load(name, image_size=16)
    assert greys(images) == [0, 80]
    np.testing.assert_array_equal(labels, [[1, 1], [0, 1]])
    images, labels = load(name, "test")
    assert greys(images) == [120] and labels.tolist() == [[1, 1]]
    assert kgan.data.class_names(name) == ["airport", "sky"]


@pytest.mark.parametrize(
    "options, message",
    [
        ({"sky_Train": "1 0 1"}, "Labels_sky_Train.txt: 4 lines of 0 or 1 are needed"),
        ({"sky_Train": "1 0 1 2"}, "Labels_sky_Train.txt: 4 lines of 0 or 1 are needed"),
        ({"train": ["no\\1.jpg"] * 4}, "none of the 4 train images is there and has a label"),
    ],
)
def test_a_malformed_nus_wide_is_refused(options, message, tmp_path):
    refused(write_nus(tmp_path, **options), message)
    (tmp_path / "Labels_sky_Train.txt").unlink()
    refused(f"nus_wide:{tmp_path}", "one Labels_sky_Train.txt is needed, found none")
