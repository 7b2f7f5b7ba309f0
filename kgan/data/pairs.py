"""Training data for two domains: hidden labels, and batches that hold both domains."""

import numpy as np

from kgan.data.batches import EpochShuffledDataset, endless


def hide_labels(labels, per_class, seed=0):
    """Keeps `per_class` labels of each class and sets the others to -1.

    Args:
        labels: int `(n,)`.
        per_class: number of labels to keep in each class; 0 hides all labels.
        seed: non-negative int, the seed of the choice. With the same seed, a larger choice contains every smaller one.

    Returns:
        int32 `(n,)`.

    Raises:
        ValueError: a class has fewer than `per_class` samples, or `per_class` is negative.

    Example:

    >>> hide_labels([0, 1, 0, 1, 1], per_class=2).tolist().count(-1)
    1
    """
    labels = np.asarray(labels, "int32")
    counts = np.bincount(labels)
    if per_class < 0 or (counts < per_class).any():
        raise ValueError(
            f"per_class={per_class}, but class {counts.argmin()} has {counts.min()} samples: pass a number from 0 to "
            f"{counts.min()}"
        )
    order = np.random.default_rng(seed).permutation(len(labels))
    kept = np.concatenate([order[labels[order] == label][:per_class] for label in range(len(counts))])
    hidden = np.full_like(labels, -1)
    hidden[kept] = labels[kept]
    return hidden


class PairBatches(EpochShuffledDataset):
    """Batches of two domains for `MMSSIT`: dicts of `images_a`, `labels_a`, `images_b` and `labels_b`.

    For each domain, half of a batch is labelled, with the classes in turn, and half is unlabelled. If a domain has only
    labelled or only unlabelled samples, they fill the batch. Each epoch goes through the samples in a new order, which
    depends only on `seed` and the epoch. Samples repeat, in another order, once they are used up. The rows of the two
    domains are unrelated.

    Args:
        a, b: `(images, labels)` of each domain, arrays `(n, height, width, 3)` and int `(n,)`; -1 is unlabelled.
        batch_size: samples per batch and domain; an even number.
        seed: non-negative int.
        initial_epoch: as in `Batches`.
        steps_per_epoch: number of batches per epoch; None for one pass over the larger domain.
        shift: largest random shift of each image in pixels, vertically and horizontally; 0 for none. The image's edge
            is repeated in the uncovered area. A shift is drawn each time, which augments a small labelled set.

    Raises:
        ValueError: a domain has no samples, its images and labels differ in number, it has labels of some classes only,
            `batch_size` is not a positive even number, or `shift` is negative.

    Example:

    ```python
    images, labels = kgan.data.load("digits", channels=3, count=200)
    batches = PairBatches((images, hide_labels(labels, 5)), (-images, hide_labels(labels, 5)), batch_size=20)
    batches[0]["images_b"].shape  # (20, 32, 32, 3)
    ```
    """

    def __init__(self, a, b, batch_size=100, seed=0, initial_epoch=0, steps_per_epoch=None, shift=0):
        if batch_size < 2 or batch_size % 2:
            raise ValueError(f"batch_size={batch_size}: it must be even and at least 2, since half a batch is labelled")
        if shift < 0:
            raise ValueError(f"shift={shift}: pass the largest shift in pixels, or 0 for none")
        self.domains, self.pools, self.shift = {}, {}, shift
        for name, (images, labels) in (("a", a), ("b", b)):
            labels = np.asarray(labels, "int32")
            if not len(images) or labels.shape != (len(images),):
                raise ValueError(f"domain {name}: {len(images)} images and labels {labels.shape}: pass one per image")
            self.domains[name] = images, labels
            classes = [np.flatnonzero(labels == label) for label in np.unique(labels[labels >= 0])]
            self.pools[name] = classes, np.flatnonzero(labels < 0)
        num_classes = 1 + max(int(labels.max()) for _, labels in self.domains.values())
        for name, (_, labels) in self.domains.items():
            missing = set(range(num_classes)) - set(labels.tolist())
            if missing and (labels >= 0).any():
                raise ValueError(f"domain {name}: class {min(missing)} has no labelled sample: label at least one")
        passes = []
        for name, (classes, rest) in self.pools.items():
            size = batch_size if not classes or not len(rest) else batch_size // 2
            passes.append(-(-(len(rest) or len(self.domains[name][1])) // size))
        super().__init__((steps_per_epoch or max(passes)) * batch_size, batch_size, seed, initial_epoch)

    def __getitem__(self, index):
        if not 0 <= index < len(self):
            raise IndexError(f"batch {index} is out of range: there are {len(self)} batches")
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
            rows.append(endless(classes[i], (*stream, i + 1), turn))
        others = self.batch_size - labelled
        rows += [endless(rest, (*stream, 0), place) for place in range(index * others, (index + 1) * others)]
        return np.array(rows)


def _shifted(images, most, rng):
    if not most:
        return images
    height, width = images.shape[1:3]
    padded = np.pad(images, ((0, 0), (most, most), (most, most), (0, 0)), mode="edge")
    corners = rng.integers(0, 2 * most + 1, (len(images), 2))
    return np.stack([image[y : y + height, x : x + width] for image, (y, x) in zip(padded, corners, strict=True)])
