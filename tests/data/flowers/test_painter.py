import numpy as np
import pytest
from PIL import Image
from sklearn.ensemble import ExtraTreesClassifier

from kgan.data import class_names, load
from kgan.data.flowers.painter import open_flowers

pytestmark = pytest.mark.backend_free

NAME = "synthetic/flowers"


def test_a_picture_depends_on_seed_split_and_index_alone():
    images, labels = load(NAME, image_size=16, count=40, seed=1)
    few, few_labels = load(NAME, image_size=16, count=7, seed=1)
    np.testing.assert_allclose(few, images[:7], atol=1e-6)
    np.testing.assert_array_equal(few_labels, labels[:7])
    one = open_flowers("train", 16, 3, 40, 1).images([33])
    np.testing.assert_allclose(one[0], images[33], atol=1e-6)


def test_seeds_and_splits_share_no_picture():
    train, test, other = (
        load(NAME, split, image_size=16, count=36, seed=seed)[0].reshape(36, 1, -1)
        for split, seed in (("train", 0), ("test", 0), ("train", 1))
    )
    for a, b in ((train, test), (train, other), (test, other)):
        assert np.abs(a - b.swapaxes(0, 1)).mean(axis=-1).min() > 0.05


def test_classes_are_balanced_and_named():
    _, labels = load(NAME, image_size=8, count=120)
    np.testing.assert_array_equal(np.bincount(labels), 10)
    names = class_names(NAME)
    assert len(names) == len(set(names)) == 12 and names[labels[0]] == "daisy"


def test_species_can_be_told_apart():
    (images, labels), (test_images, test_labels) = (
        load(NAME, split, image_size=16, count=count) for split, count in (("train", 960), ("test", 360))
    )
    classifier = ExtraTreesClassifier(100, random_state=0).fit(images.reshape(960, -1), labels)
    assert classifier.score(test_images.reshape(360, -1), test_labels) > 0.9


def test_pictures_of_a_species_differ():
    images, labels = load(NAME, image_size=16, count=240)
    for label in range(12):
        same = images[labels == label].reshape(20, 1, -1)
        distances = np.abs(same - same.swapaxes(0, 1)).mean(axis=-1)[~np.eye(20, dtype=bool)]
        assert distances.min() > 0.02 and distances.mean() > 0.15


def test_edges_are_smooth():
    """A small picture is close to a large one of the same flower scaled down with a box filter."""
    large, _ = load(NAME, image_size=256, count=24)
    small, _ = load(NAME, image_size=64, count=24)
    averaged = large.reshape(24, 64, 4, 64, 4, 3).mean(axis=(2, 4))
    # With hard edges it would be 0.068.
    assert np.sqrt(np.square(averaged - small).mean()) < 0.055


def test_grey_is_the_luma_of_the_colours():
    colour, _ = load(NAME, image_size=16, count=12)
    grey, _ = load(NAME, image_size=16, count=12, channels=1)
    assert grey.shape == (12, 16, 16, 1)
    for a, b in zip(colour, grey, strict=True):
        luma = Image.fromarray(((a + 1) * 127.5).round().astype("uint8")).convert("L")
        # Where a colour is brighter than can be shown, it is cut before Pillow sees it.
        inside = (a < 1).all(axis=-1)
        np.testing.assert_allclose(np.asarray(luma)[inside] / 127.5 - 1, b[inside, 0], atol=2 / 127.5)


def test_odd_sizes():
    assert load(NAME, image_size=27, count=3)[0].shape == (3, 27, 27, 3)
