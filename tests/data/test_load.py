import sys
from pathlib import Path

import keras
import numpy as np
import pytest
from sklearn.datasets import load_digits
from sklearn.neighbors import KNeighborsClassifier

from kgan.data import class_names, load


@pytest.mark.parametrize(
    ("name", "shape", "count"), [("digits", (32, 32, 1), (1438, 359)), ("synthetic/flowers", (8, 8, 3), (6000, 1200))]
)
def test_embedded_sets(name, shape, count):
    options = {} if name == "digits" else {"image_size": 8}
    for split, n in zip(("train", "test"), count, strict=True):
        images, labels = load(name, split, **options)
        assert images.shape == (n, *shape) and images.dtype == "float32"
        assert labels.shape == (n,) and labels.dtype == "int32"
        assert -1 <= images.min() < -0.8 and 0.8 < images.max() <= 1
        assert set(labels.tolist()) == set(range(len(class_names(name))))


def test_digits_are_the_digits():
    train, test = (load("digits", split, image_size=10, seed=3) for split in ("train", "test"))
    images, labels = (np.concatenate(parts) for parts in zip(train, test, strict=True))
    original = load_digits()
    # Each of the originals occurs once, in the middle of its image, on a ground of -1.
    inside = (images[:, 1:-1, 1:-1, 0] + 1) * 8
    key = np.lexsort(inside.reshape(len(inside), -1).T)
    expected = np.lexsort(original.images.reshape(len(inside), -1).T)
    np.testing.assert_allclose(inside[key], original.images[expected], atol=1e-5)
    np.testing.assert_array_equal(labels[key], original.target[expected])
    assert (images[:, [0, -1]] == -1).all() and (images[:, :, [0, -1]] == -1).all()


def test_digits_stay_legible_when_resized():
    train, test = (load("digits", split) for split in ("train", "test"))
    classifier = KNeighborsClassifier(1).fit(train[0].reshape(len(train[0]), -1), train[1])
    assert classifier.score(test[0].reshape(len(test[0]), -1), test[1]) > 0.95


def test_grey_becomes_colour_by_repetition():
    grey, colour = (load("digits", count=10, channels=channels)[0] for channels in (1, 3))
    np.testing.assert_array_equal(colour, np.repeat(grey, 3, axis=-1))


def test_count_takes_equal_classes():
    _, labels = load("digits", count=50)
    np.testing.assert_array_equal(np.bincount(labels), 5)
    with pytest.raises(ValueError, match="count=5000, but the split has only"):
        load("digits", count=5000)


@pytest.mark.parametrize("name", ["digits", "synthetic/flowers"])
def test_data_above_the_memory_limit_come_in_batches(name):
    options = {"image_size": 16, "count": 40, "seed": 7}
    images, labels = load(name, **options)
    batches = load(name, **options, batch_size=16, memory_limit=images.nbytes - 1)
    assert isinstance(batches, keras.utils.PyDataset) and len(batches) == 3
    np.testing.assert_array_equal(batches.labels, labels)
    assert batches.class_names == class_names(name)
    order = np.random.default_rng([7, 0]).permutation(40)
    np.testing.assert_allclose(np.concatenate([batch[0] for batch in batches]), images[order], atol=1e-6)
    np.testing.assert_array_equal(np.concatenate([batch[1] for batch in batches]), labels[order])

    in_order = load(name, "test", **options, memory_limit=0)
    np.testing.assert_array_equal(np.concatenate([batch[1] for batch in in_order]), in_order.labels)


def test_limit_is_inclusive():
    images, _ = load("digits", count=10)
    assert isinstance(load("digits", count=10, memory_limit=images.nbytes), tuple)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"split": "val"}, "split='val' is not one of 'train', 'test'"),
        ({"image_size": 7}, "image_size=7: pass a whole number from 8 to 4096"),
        ({"image_size": 5000}, "image_size=5000"),
        ({"image_size": 32.0}, "image_size=32.0"),
        ({"channels": 4}, "channels=4: pass 1 for grey or 3 for RGB"),
        ({"count": 0}, "count=0: pass a whole number of at least 1"),
        ({"batch_size": -1}, "batch_size=-1"),
        ({"seed": -1}, "seed=-1"),
        ({"seed": None}, "seed=None"),
    ],
)
@pytest.mark.parametrize("name", ["digits", "synthetic/flowers"])
def test_bad_options(name, options, message):
    with pytest.raises(ValueError) as caught:
        load(name, **options)
    assert message in str(caught.value) and "\n" not in str(caught.value)


def test_a_name_that_is_no_str():
    with pytest.raises(ValueError, match="pass a str, such as 'folder:PATH'"):
        load(Path("photos"))


def test_unknown_name_says_what_there_is():
    with pytest.raises(ValueError) as caught:
        load("flowers")
    message = str(caught.value)
    assert "unknown data set 'flowers'" in message and "\n" not in message
    assert "did you mean 'synthetic/flowers'" in message and "zip:PATH" in message
    with pytest.raises(ValueError, match="did you mean 'digits'"):
        class_names("digit")
    with pytest.raises(ValueError, match="did you mean 'folder:PATH'"):
        load("folder:")


@pytest.mark.parametrize("name", ["folder:no/such", "zip:no/such.zip", "mnist:no/such"])
def test_nothing_at_the_path(name):
    with pytest.raises(FileNotFoundError, match="no/such") as caught:
        load(name)
    assert "\n" not in str(caught.value)


def test_without_tensorflow_datasets(monkeypatch):
    monkeypatch.setitem(sys.modules, "tensorflow_datasets", None)
    with pytest.raises(ImportError, match="pip install tensorflow tensorflow-datasets"):
        load("oxford_flowers102")
    with pytest.raises(ValueError, match="did you mean 'svhn_cropped'"):
        load("svhn_croped")
    assert len(load("digits", count=10)[0]) == 10
