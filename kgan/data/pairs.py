"""Two domains side by side: part of the labels withheld, and batches of both at once."""

import functools

import numpy as np

from kgan.data.batches import EpochShuffledDataset


def hide_labels(labels, per_class, seed=0):
    """Keeps some labels of each class and puts -1 for the others.

    Args:
        labels: int `(n,)`.
        per_class: how many labels of each class to keep; 0 hides all.
        seed: non-negative int, of the choice. A smaller choice of the same seed lies inside a larger one.

    Returns:
        int32 `(n,)`.

    Raises:
        ValueError: a class has fewer samples.

    Example:

    >>> hide_labels([0, 1, 0, 1, 1], per_class=2).tolist().count(-1)
    1
    """
    labels = np.asarray(labels, "int32")
    counts = np.bincount(labels)
    if per_class < 0 or (counts < per_class).any():
        raise ValueError(
            f"{per_class} labels a class: there are {counts.min()} samples of class {counts.argmin()}; keep from 0 to "
            "as many"
        )
    order = np.random.default_rng(seed).permutation(len(labels))
    kept = np.concatenate([order[labels[order] == label][:per_class] for label in range(len(counts))])
    hidden = np.full_like(labels, -1)
    hidden[kept] = labels[kept]
    return hidden


class PairBatches(EpochShuffledDataset):
    """Batches of two domains for `MMSSIT`: dicts of `images_a`, `labels_a`, `images_b`, `labels_b`.

    Half of a batch are samples with labels, the classes in turn, the other half samples without; where a domain has
    only one kind, all of a batch is of it. Each epoch takes every pool in a new order, and again where it is at its
    end. Rows of the two domains have nothing to do with each other. The order depends on `seed` and the epoch alone.

    Args:
        a, b: `(images, labels)`, arrays `(n, height, width, 3)` and int `(n,)`, -1 for a sample without a label.
        batch_size: rows of a batch; an even number.
        seed: non-negative int.
        initial_epoch: as in `Batches`.
        steps_per_epoch: how many batches an epoch has; None for one pass over the larger domain.
        shift: pixels; each image is moved by up to as many, down or up and to either side, each time anew, and what it
            leaves free repeats its edge. It makes more of few labels.

    Raises:
        ValueError: a domain has no samples or as many labels as it has not images, or labels of some classes only; the
            batch size is odd, or the shift negative.

    Example:

    ```python
    images, labels = kgan.data.load("digits", channels=3, count=200)
    batches = PairBatches((images, hide_labels(labels, 5)), (-images, hide_labels(labels, 5)), batch_size=20)
    batches[0]["images_b"].shape  # (20, 32, 32, 3)
    ```
    """

    def __init__(self, a, b, batch_size=100, seed=0, initial_epoch=0, steps_per_epoch=None, shift=0):
        if batch_size < 2 or batch_size % 2:
            raise ValueError(f"batch_size={batch_size}: half of a batch has labels, so it must be even")
        if shift < 0:
            raise ValueError(f"shift={shift}: pass 0 for none, or how many pixels at most")
        self.domains, self.pools, self.shift = {}, {}, shift
        for name, (images, labels) in (("a", a), ("b", b)):
            labels = np.asarray(labels, "int32")
            if not len(images) or labels.shape != (len(images),):
                raise ValueError(f"domain {name}: {len(images)} images and labels {labels.shape}: pass one for each")
            self.domains[name] = images, labels
            classes = [np.flatnonzero(labels == label) for label in np.unique(labels[labels >= 0])]
            self.pools[name] = classes, np.flatnonzero(labels < 0)
        num_classes = 1 + max(int(labels.max()) for _, labels in self.domains.values())
        for name, (_, labels) in self.domains.items():
            missing = set(range(num_classes)) - set(labels.tolist())
            if missing and (labels >= 0).any():
                raise ValueError(f"domain {name}: class {min(missing)} has no sample with a label")
        passes = []
        for name, (classes, rest) in self.pools.items():
            size = batch_size if not classes or not len(rest) else batch_size // 2
            passes.append(-(-(len(rest) or len(self.domains[name][1])) // size))
        super().__init__((steps_per_epoch or max(passes)) * batch_size, batch_size, seed, initial_epoch)

    def __getitem__(self, index):
        if not 0 <= index < len(self):
            raise IndexError(f"batch {index} of {len(self)}")
        batch = {}
        for name, (images, labels) in self.domains.items():
            chosen = self._rows(name, index)
            rng = np.random.default_rng((self.seed, self.epoch, "ab".index(name), index))
            batch[f"images_{name}"], batch[f"labels_{name}"] = _shifted(images[chosen], self.shift, rng), labels[chosen]
        return batch

    def _rows(self, name, index):
        classes, rest = self.pools[name]
        labelled = self.batch_size // 2 if classes and len(rest) else self.batch_size * bool(classes)
        stream = (self.seed, self.epoch, "ab".index(name))
        rows = []
        for place in range(index * labelled, (index + 1) * labelled):
            turn, i = divmod(place, len(classes))
            rows.append(_endless(classes[i], (*stream, i + 1), turn))
        others = self.batch_size - labelled
        rows += [_endless(rest, (*stream, 0), place) for place in range(index * others, (index + 1) * others)]
        return np.array(rows)


def _shifted(images, most, rng):
    if not most:
        return images
    height, width = images.shape[1:3]
    padded = np.pad(images, ((0, 0), (most, most), (most, most), (0, 0)), mode="edge")
    corners = rng.integers(0, 2 * most + 1, (len(images), 2))
    return np.stack([image[y : y + height, x : x + width] for image, (y, x) in zip(padded, corners, strict=True)])


def _endless(pool, stream, place):
    """What stands at a place of the endless sequence of a pool, one random order after the other."""
    lap, place = divmod(place, len(pool))
    return pool[_order(len(pool), (*stream, lap))[place]]


@functools.lru_cache(maxsize=64)
def _order(size, stream):
    return np.random.default_rng(stream).permutation(size)
