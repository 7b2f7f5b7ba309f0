"""Batches of real and generated images: the real ones as without generated ones, and exactly repeatable."""

import keras
import numpy as np
import pytest

import kgan
from kgan.data import MixedBatches
from kgan.models.soft_pseudo_labels.networks import build_small
from kgan.soft_pseudo_labels import MultiLabelClassifier

pytestmark = pytest.mark.backend_free


def numbered(n, size=8, classes=3):
    """Images that tell their number, and labels too."""
    images = np.broadcast_to(np.linspace(-1, 1, n).astype("float32")[:, None, None, None], (n, size, size, 3)).copy()
    return images, np.arange(n)[:, None] % (2 + np.arange(classes)) == 0


def numbers(images, n):
    return np.round((images[:, 0, 0, 0] + 1) / 2 * (n - 1)).astype(int).tolist()


@pytest.mark.parametrize("share, count", [(1.0, 4), (0.5, 2), (2.0, 8), (0.1, 1), (0.6, 2)])
def test_real_images_come_as_without_generated_ones(share, count):
    real, generated = numbered(10), numbered(7)
    alone, mixed = MixedBatches(real, batch_size=4, seed=5), MixedBatches(real, generated, 4, share, seed=5)
    for batches in (alone, mixed):
        batches.epoch = 2
    for index in range(3):
        images, labels = alone[index]
        both, both_labels = mixed[index]
        np.testing.assert_array_equal(both["real"], images)
        np.testing.assert_array_equal(both_labels["real"], labels)
        assert len(both["generated"]) == max(1, round(share * len(images)))
        found = numbers(both["generated"], 7)
        np.testing.assert_array_equal(both_labels["generated"], generated[1][found])
    assert len(mixed[0][0]["generated"]) == count
    assert len(alone) == len(mixed) == 3


@pytest.mark.parametrize("batch_size", [4, 5])  # with and without a smaller last batch
def test_generated_images_come_in_turn_over_the_epochs(batch_size):
    mixed, seen = MixedBatches(numbered(8), numbered(6), batch_size=batch_size, seed=1), []
    for epoch in range(3):
        mixed.epoch = epoch
        seen += [n for index in range(2) for n in numbers(mixed[index][0]["generated"], 6)]
    assert np.bincount(seen).tolist() == [4] * 6 and sorted(seen[:6]) == list(range(6)) and seen[:6] != seen[6:12]


def test_flips_and_crops_are_drawn_from_seed_epoch_and_batch():
    rng = np.random.default_rng(0)
    images, labels = rng.integers(0, 256, (12, 16, 16, 3)).astype("uint8"), np.ones((12, 2))
    batches = MixedBatches((images, labels), batch_size=12, image_size=12, seed=3)
    made, _ = batches[0]
    assert made.shape == (12, 12, 12, 3) and made.dtype == "float32"
    order, corners, mirrored = batches.batch_indices(0), set(), 0
    for row, image in zip(order, made, strict=True):
        whole, found = images[row] / np.float32(127.5) - 1, False
        for y in range(5):
            for x in range(5):
                cut = whole[y : y + 12, x : x + 12]
                for mirror in (False, True):
                    if np.array_equal(cut[:, ::-1] if mirror else cut, image):
                        found, mirrored = True, mirrored + mirror
                        corners.add((y, x))
        assert found
    assert len(corners) > 5 and 1 <= mirrored <= 11
    again = MixedBatches((images, labels), batch_size=12, image_size=12, seed=3)
    np.testing.assert_array_equal(again[0][0], made)
    again.epoch = 1
    assert not np.array_equal(again[0][0], made)
    plain = MixedBatches((images, labels), batch_size=12, flip=False, seed=3)[0][0]
    np.testing.assert_array_equal(plain, images[order] / np.float32(127.5) - 1)


def test_generated_images_are_enlarged():
    grey = np.full((4, 8, 8, 3), 200, "uint8")
    for generated in (grey, grey / np.float32(127.5) - 1):
        images, _ = MixedBatches(numbered(4, size=16), (generated, np.zeros((4, 3))), batch_size=4)[0]
        assert images["generated"].shape == (4, 16, 16, 3)
        np.testing.assert_allclose(images["generated"], 200 / 127.5 - 1, atol=1e-6)


def test_labels_can_be_replaced_each_epoch():
    batches = MixedBatches(numbered(4), numbered(4), batch_size=4)
    batches.labels["generated"] = np.full((4, 3), 0.25)
    np.testing.assert_array_equal(batches[0][1]["generated"], np.full((4, 3), 0.25, "float32"))


def test_data_that_do_not_fit_in_memory():
    lazy = kgan.data.load("synthetic/shapes", count=9, image_size=32, memory_limit=1)
    images, labels = kgan.data.load("synthetic/shapes", count=9, image_size=32)
    for index in range(3):
        one, other = (MixedBatches(real, batch_size=4, image_size=28)[index] for real in (lazy, (images, labels)))
        for a, b in zip(one, other, strict=True):
            np.testing.assert_array_equal(a, b)


def test_a_run_that_goes_on_repeats_one_that_did_not_stop():
    def model():
        keras.utils.set_random_seed(0)
        made = MultiLabelClassifier(3, build_small(32, 0.25), 32)
        made.compile(keras.optimizers.SGD(0.1))
        return made

    real, generated = numbered(6, size=32), numbered(5, size=32)
    straight = model()
    straight.fit(MixedBatches(real, generated, batch_size=3), epochs=2, shuffle=False, verbose=0)
    stopped = model()
    stopped.fit(MixedBatches(real, generated, batch_size=3), epochs=1, shuffle=False, verbose=0)
    batches = MixedBatches(real, generated, batch_size=3, initial_epoch=1)
    stopped.fit(batches, initial_epoch=1, epochs=2, shuffle=False, verbose=0)
    for a, b in zip(straight.get_weights(), stopped.get_weights(), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-6, atol=1e-7)


@pytest.mark.parametrize(
    "options, words",
    [
        ({"real": (np.zeros((0, 8, 8, 3)), np.zeros((0, 3)))}, "at least one"),
        ({"real": (np.zeros((4, 8, 8, 3)), np.zeros((3, 3)))}, "4 images and 3 labels"),
        ({"real": (np.zeros((4, 8, 8, 3)), np.zeros(4))}, "pass \\(images, classes\\)"),
        ({"real": (np.zeros((4, 8, 9, 3)), np.zeros((4, 3)))}, "pass squares"),
        ({"real": (np.zeros((4, 8, 8, 1)), np.zeros((4, 3)))}, "pass squares"),
        ({"generated": (np.zeros((4, 8, 8, 3)), np.zeros((4, 2)))}, "of generated images"),
        ({"real": (np.zeros((4, 8, 8, 3)), np.full((4, 3), 2))}, "of real images must be 1, 0 or -1"),
        ({"generated": (np.zeros((4, 8, 8, 3)), np.full((4, 3), 1.5))}, r"of generated images must be in \[0, 1\]"),
        ({"generated": (np.zeros((4, 8, 8, 3)), np.full((4, 3), np.nan))}, r"of generated images must be in \[0, 1\]"),
        ({"share": 0}, "share=0"),
        ({"share": np.nan}, "share=nan"),
        ({"batch_size": 0}, "batch_size=0"),
        ({"image_size": 9}, "image_size=9: the images are only 8 pixels"),
    ],
)
def test_what_does_not_fit_is_refused(options, words):
    with pytest.raises(ValueError, match=words):
        MixedBatches(**{"real": numbered(4), "generated": numbered(4), **options})


def test_one_wrong_label_among_many_is_refused():
    """The first batch, which `fit` looks at, may be right."""
    images, labels = numbered(48)
    wrong = labels.astype("float32")
    wrong[47, 2] = np.nan
    with pytest.raises(ValueError, match="generated images must be in"):
        MixedBatches((images, labels), (images, wrong))
    batches = MixedBatches((images, labels), (images, labels))
    batches.labels["generated"] = wrong
    with pytest.raises(ValueError, match="generated images must be in"):
        [batches[i] for i in range(len(batches))]


def test_lists_of_images():
    images, labels = numbered(4)
    (made, _), (expected, _) = (MixedBatches((kind, labels.tolist()))[0] for kind in (list(images), images))
    np.testing.assert_array_equal(made, expected)


class Recorder(MixedBatches):
    """Notes the epoch and the labels of generated images of each batch that it makes."""

    seen = ()

    def __getitem__(self, index):
        images, labels = super().__getitem__(index)
        self.seen = (*self.seen, (self.epoch, float(labels["generated"].mean())))
        return images, labels


@pytest.mark.parametrize("workers", [1, 2])
def test_labels_can_be_replaced_before_each_epoch(workers):
    images, labels = numbered(12, size=32)
    batches = Recorder((images, labels), (images, np.zeros((12, 3))), batch_size=4)
    batches.workers = workers

    def relabel(epoch, logs):
        batches.labels["generated"] = np.full((12, 3), epoch / 4)

    model = MultiLabelClassifier(3, build_small(32, 0.125), 32)
    model.compile()
    relabelled = keras.callbacks.LambdaCallback(on_epoch_begin=relabel)
    model.fit(batches, epochs=3, shuffle=False, verbose=0, callbacks=[relabelled])
    assert {mean for epoch, mean in batches.seen if epoch == 1} == {0.25}
    assert {mean for epoch, mean in batches.seen if epoch == 2} == {0.5}
