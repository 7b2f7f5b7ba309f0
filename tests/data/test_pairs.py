import numpy as np
import pytest

from kgan.data import PairBatches, hide_labels

pytestmark = pytest.mark.backend_free


def domain(labels, value=0):
    """Images that say which sample they are."""
    images = np.zeros((len(labels), 4, 4, 3), "float32")
    images[:, 0, 0, 0] = np.arange(len(labels)) + value
    return images, np.asarray(labels)


def sample(images):
    return images[:, 0, 0, 0].astype(int)


def test_labels_are_kept_evenly():
    labels = np.random.default_rng(0).integers(0, 5, 400)
    hidden = hide_labels(labels, 7, seed=1)
    kept = hidden >= 0
    np.testing.assert_array_equal(hidden[kept], labels[kept])
    assert np.bincount(hidden[kept]).tolist() == [7] * 5
    assert (hide_labels(labels, 0) == -1).all()
    more = hide_labels(labels, 20, seed=1)
    assert (more[kept] >= 0).all()
    assert not np.array_equal(hidden, hide_labels(labels, 7, seed=2))
    with pytest.raises(ValueError, match="per_class=200, but class"):
        hide_labels(labels, 200)


def test_half_of_a_batch_is_labelled_and_balanced():
    a = domain(hide_labels(np.arange(90) % 3, 4))
    b = domain(hide_labels(np.arange(60) % 3, 5), value=1000)
    batches = PairBatches(a, b, batch_size=12, seed=3)
    assert len(batches) == 13  # 78 without labels in the larger domain, 6 a batch
    seen = {"a": [], "b": []}
    for i in range(len(batches)):
        batch = batches[i]
        for name, (images, labels) in (("a", a), ("b", b)):
            rows = sample(batch[f"images_{name}"]) - (name == "b") * 1000
            np.testing.assert_array_equal(batch[f"labels_{name}"], labels[rows])
            np.testing.assert_array_equal(batch[f"images_{name}"], images[rows])
            found = batch[f"labels_{name}"]
            assert np.bincount(found[found >= 0]).tolist() == [2, 2, 2] and (found < 0).sum() == 6
            seen[name] += rows[found < 0].tolist()
    # Each sample without a label once in the larger domain, and as evenly as can be in the smaller.
    assert sorted(seen["a"]) == np.flatnonzero(a[1] < 0).tolist()
    counts = np.bincount(seen["b"], minlength=60)[b[1] < 0]
    assert counts.min() >= 1 and counts.max() - counts.min() <= 1


def test_an_epoch_of_any_length_takes_the_pools_again():
    labels = hide_labels(np.arange(30) % 3, 4)
    batches = PairBatches(domain(labels), domain(labels), batch_size=6, steps_per_epoch=12)
    assert len(batches) == 12 and len(PairBatches(domain(labels), domain(labels), 6, steps_per_epoch=2)) == 2
    rows = np.concatenate([sample(batches[i]["images_a"]) for i in range(12)])
    assert np.bincount(rows[labels[rows] < 0], minlength=30)[labels < 0].tolist() == [2] * 18
    assert np.bincount(rows[labels[rows] >= 0], minlength=30)[labels >= 0].tolist() == [3] * 12


def test_shift():
    """One bright pixel in the middle is seen at every place up to two pixels away, and at no other."""
    images = np.zeros((40, 9, 9, 3), "float32")
    images[:, 4, 4] = 1
    labels = np.arange(40) % 2
    batches = PairBatches((images, labels), (images, labels), 20, shift=2, steps_per_epoch=10)
    again = PairBatches((images, labels), (images, labels), 20, shift=2, steps_per_epoch=10)
    seen = {"a": [], "b": []}
    for i in range(10):
        for d, places in seen.items():
            found = batches[i][f"images_{d}"]
            assert found.shape == (20, 9, 9, 3) and (found.sum(axis=(1, 2)) == 1).all()
            np.testing.assert_array_equal(found, again[i][f"images_{d}"])
            places += [tuple(place) for place in np.argwhere(found[..., 0])[:, 1:]]
    assert set(seen["a"]) == {(y, x) for y in range(2, 7) for x in range(2, 7)} and seen["a"] != seen["b"]
    np.testing.assert_array_equal(images[:, 4, 4], 1)
    with pytest.raises(ValueError, match="shift=-1"):
        PairBatches((images, labels), (images, labels), 20, shift=-1)
    # What is left free repeats the edge.
    edge = np.broadcast_to(np.arange(9, dtype="float32")[None, :, None, None], (40, 9, 9, 3))
    batch = PairBatches((edge, labels), (edge, labels), 20, shift=2)[0]["images_a"]
    for image in batch[:, :, 0, 0]:
        assert any(np.array_equal(image, np.clip(np.arange(9) + step, 0, 8)) for step in range(-2, 3))


@pytest.mark.parametrize("per_class", [0, 10])
def test_one_kind_fills_the_batch(per_class):
    labels = np.arange(30) % 3
    hidden = domain(hide_labels(labels, per_class))
    batch = PairBatches(hidden, hidden, batch_size=6)[0]
    assert (batch["labels_a"] >= 0).all() == bool(per_class)
    assert len(set(sample(batch["images_a"]).tolist())) == 6


def test_order_depends_on_seed_and_epoch_alone():
    a, b = domain(hide_labels(np.arange(40) % 2, 5)), domain(hide_labels(np.arange(30) % 2, 5))
    first, second = PairBatches(a, b, 8, seed=1), PairBatches(a, b, 8, seed=1, initial_epoch=2)
    first.epoch = 2
    for i in (3, 0):
        np.testing.assert_array_equal(sample(first[i]["images_b"]), sample(second[i]["images_b"]))
    other = PairBatches(a, b, 8, seed=2, initial_epoch=2)
    assert not np.array_equal(sample(first[0]["images_a"]), sample(other[0]["images_a"]))
    first.epoch = 3
    assert not np.array_equal(sample(first[0]["images_a"]), sample(second[0]["images_a"]))
    # The domains go their own ways.
    same = PairBatches(a, a, 8, seed=1)[0]
    assert not np.array_equal(sample(same["images_a"]), sample(same["images_b"]))


@pytest.mark.parametrize(
    "a, b, size, words",
    [
        (domain([0, 1, -1]), domain([0, -1]), 4, "domain b: class 1 has no labelled sample"),
        (domain([0, 2, -1]), domain([0, 2]), 4, "domain a: class 1 has no labelled sample"),
        (domain([]), domain([0]), 4, "domain a: 0 images"),
        ((domain([0, 1])[0], np.array([0])), domain([0, 1]), 4, "domain a: 2 images and labels"),
        (domain([0]), domain([0]), 3, "must be even"),
    ],
)
def test_bad_domains(a, b, size, words):
    with pytest.raises(ValueError, match=words):
        PairBatches(a, b, size)
