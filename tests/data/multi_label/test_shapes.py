"""Drawn shapes: what a label says is in the picture, and a picture depends on nothing but its number."""

import hashlib

import numpy as np
import pytest

import kgan
from kgan.data.multi_label import shapes
from kgan.data.multi_label.shapes import CLASS_NAMES, OUTLINES, Thing, _mask, things_of

pytestmark = pytest.mark.backend_free


def test_what_load_returns():
    images, labels = kgan.data.load("synthetic/shapes", count=12)
    assert images.shape == (12, 64, 64, 3) and images.dtype == "float32" and np.abs(images).max() <= 1
    assert labels.shape == (12, 12) and labels.dtype == "int32" and set(np.unique(labels)) == {0, 1}
    assert kgan.data.class_names("synthetic/shapes") == list(CLASS_NAMES) == list(OUTLINES)
    grey, same = kgan.data.load("synthetic/shapes", count=5, channels=1, image_size=32)
    assert grey.shape == (5, 32, 32, 1)
    np.testing.assert_array_equal(same, labels[:5])


def test_an_image_depends_on_seed_split_and_index_alone():
    some, all_ = (kgan.data.load("synthetic/shapes", count=n, image_size=32)[0] for n in (3, 6))
    np.testing.assert_array_equal(some, all_[:3])
    lazy = kgan.data.load("synthetic/shapes", "test", count=4, image_size=32, memory_limit=1, batch_size=4)
    arrays = kgan.data.load("synthetic/shapes", "test", count=4, image_size=32)
    for one, other in zip(lazy[0], arrays, strict=True):
        np.testing.assert_array_equal(one, other)
    others = [
        kgan.data.load("synthetic/shapes", s, count=3, image_size=32, seed=n)[0] for s, n in (("test", 0), ("train", 1))
    ]
    assert len({hashlib.sha256(images.tobytes()).digest() for images in (some, *others)}) == 3


def test_shares_of_kinds_and_numbers():
    labels = kgan.data.load("synthetic/shapes", count=1500, image_size=8, memory_limit=1).labels
    counts = np.bincount(labels.sum(axis=1), minlength=7)
    assert counts[0] == 0 and (counts[1:] > 60).all()
    shares = labels.mean(axis=0)
    assert shares.argmax() == 0 and shares[0] > 3 * shares[-1] and shares.min() > 0.08
    # Company: a triangle comes with a cross (4 kinds on) more often than with a star (3 kinds on), though that is
    # more common.
    assert labels[labels[:, 1] == 1][:, 5].mean() > 1.2 * labels[labels[:, 1] == 1][:, 4].mean()


def test_a_third_of_each_thing_is_to_be_seen():
    least = 1.0
    for index in range(150):
        things = things_of(np.random.default_rng([7, index]))
        seen = 1.0
        for thing in reversed(things):
            mask = _mask(thing, 64)
            least = min(least, (mask * seen).sum() / mask.sum())
            seen = seen * (1 - mask)
    assert least > 1 / 3


@pytest.mark.parametrize("name", CLASS_NAMES)
def test_outlines(name):
    """A thing lies within its radius, fills some of it, and looks like no other kind."""
    masks = {k: _mask(Thing(CLASS_NAMES.index(k), 0.5, 0.5, 0.4, 0.0), 64) for k in (name, *set(CLASS_NAMES) - {name})}
    y, x = np.indices((64, 64))
    # A square's corner and a cross's are farther out.
    assert masks[name][np.hypot(x - 31.5, y - 31.5) > 0.4 * 64 * 1.1].sum() == 0
    assert 0.15 < masks[name].sum() / (np.pi * (0.4 * 64) ** 2) < 0.95
    for other, mask in masks.items():
        overlap = np.minimum(masks[name], mask).sum() / np.maximum(masks[name], mask).sum()
        assert (overlap > 0.99) if other == name else overlap < 0.85


def test_looks_go_with_kinds():
    """The mean colour of the middle of a lone disc is mostly red, of a lone triangle mostly orange."""
    rng = np.random.default_rng(0)
    reds = [shapes.draw([Thing(0, 0.5, 0.5, 0.3, 0.0)], 32, rng)[12:20, 12:20].mean(axis=(0, 1)) for _ in range(60)]
    assert 0.6 < np.mean([red[0] > 1.3 * max(red[1:]) for red in reds]) < 0.95
