import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from kgan.data.source import GreyArray, balanced_subset, stratified_split

label_lists = st.lists(st.integers(0, 5), min_size=1, max_size=80).map(np.array)
seeds = st.integers(0, 2**32)


@given(labels=label_lists, seed=seeds)
def test_split_is_a_partition_that_keeps_the_classes(labels, seed):
    train, test = (stratified_split(labels, split, seed) for split in ("train", "test"))
    np.testing.assert_array_equal(np.sort(np.concatenate([train, test])), np.arange(len(labels)))
    for label in set(labels.tolist()):
        assert np.sum(labels[test] == label) == round(0.2 * np.sum(labels == label))


def test_split_depends_on_the_seed_and_on_nothing_else():
    labels = np.repeat([0, 1], 50)
    one, again, other = (stratified_split(labels, "test", seed) for seed in (1, 1, 2))
    np.testing.assert_array_equal(one, again)
    assert not np.array_equal(one, other)


@given(labels=label_lists, seed=seeds, data=st.data())
def test_subset_is_balanced(labels, seed, data):
    count = data.draw(st.integers(1, len(labels)))
    subset = balanced_subset(labels, count, seed)
    assert len(subset) == len(set(subset.tolist())) == count
    chosen, present = (np.bincount(x, minlength=6) for x in (labels[subset], labels))
    # A class falls behind another by more than one only when it is used up.
    assert all(chosen.max() - chosen[label] <= 1 or chosen[label] == present[label] for label in range(6))
    if count > 1:
        assert set(balanced_subset(labels, count - 1, seed)) < set(subset)


def test_subset_larger_than_the_data():
    with pytest.raises(ValueError, match="count=4, but the split has only 3 samples"):
        balanced_subset(np.zeros(3, int), 4, 0)


def test_grey_array_is_resized_like_pillow_and_scaled():
    pixels = np.random.default_rng(0).integers(0, 256, (2, 32, 32)).astype("uint8")
    source = GreyArray(pixels, [0, 1], ["a", "b"], image_size=16, channels=3, peak=255)
    images = source.images([1])
    assert images.shape == (1, 16, 16, 3) and images.dtype == "float32"
    byte_images = np.asarray(Image.fromarray(pixels[1]).resize((16, 16), Image.Resampling.BICUBIC), "float64")
    np.testing.assert_allclose(images[0], np.repeat(byte_images[..., None], 3, -1) / 127.5 - 1, atol=1.01 / 127.5)


def test_grey_array_of_its_own_size_is_exact():
    pixels = np.array([[[0, 51], [102, 255]]], "uint8").repeat(8, 1).repeat(8, 2)
    images = GreyArray(pixels, [0], ["a"], image_size=16, channels=1, peak=255).images([0])
    np.testing.assert_allclose(images[0, ..., 0], pixels[0] / 127.5 - 1, atol=1e-6)
