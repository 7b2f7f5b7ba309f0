"""Batches whose order depends on the seed and the epoch alone, so that a resumed run sees what it would have seen."""

import functools

import keras
import numpy as np


@functools.lru_cache(maxsize=8)
def epoch_order(size, seed, epoch):
    """Returns the permutation of `size` samples that epoch number `epoch` of seed `seed` takes."""
    order = np.random.default_rng([seed, epoch]).permutation(size)
    order.flags.writeable = False
    return order


class EpochShuffledDataset(keras.utils.PyDataset):
    """Base of the data sets that draw a new order of their samples each epoch.

    The order of epoch `e` is `numpy.random.default_rng([seed, e]).permutation(size)`, whatever happened before it.
    `fit` shuffles the batches of a `PyDataset` once more, from Python's global generator: pass `shuffle=False`, or the
    batches come in an order that a resumed run does not repeat.

    `epoch` starts at `initial_epoch` and moves on with each pass of `fit`. A pass of `evaluate` or `predict` over the
    same object looks the same from here and moves it on too: evaluate on other data or on the arrays, or set `epoch`
    from a callback's `on_epoch_begin`.

    Where `fit` has to build the model or its losses from a first batch and `workers` is above 1, Keras leaves further
    batches of that look ahead in its queue and every epoch comes late by as many: for the exact order, build first.

    Args:
        size: number of samples.
        batch_size: samples in a batch; the last batch holds the rest.
        seed: non-negative int, the seed of all orders, or None to keep the samples in the order given.
        initial_epoch: the epoch that the first pass is for, as in `fit`.
    """

    def __init__(self, size, batch_size, seed, initial_epoch=0):
        super().__init__()
        self.size = size
        self.batch_size = batch_size
        self.seed = seed
        self.epoch = initial_epoch
        self._fit_started = False
        self._pass_begun = False

    def __len__(self):
        return -(-self.size // self.batch_size)

    def batch_indices(self, batch):
        """Returns the int indices of the samples in batch number `batch` of the current epoch."""
        if not 0 <= batch < len(self):
            raise IndexError(f"batch {batch} of {len(self)}")
        batch = slice(batch * self.batch_size, (batch + 1) * self.batch_size)
        if self.seed is None:
            return np.arange(self.size)[batch]
        return epoch_order(self.size, self.seed, self.epoch)[batch]

    # `fit` calls `on_epoch_end` once before its first epoch, after a pass of one batch when it has to build the model
    # and without any pass when it has not. Neither is an epoch.

    def on_epoch_begin(self):
        self._pass_begun = True

    def on_epoch_end(self):
        self.epoch += self._fit_started and self._pass_begun
        self._fit_started = True
        self._pass_begun = False


class Batches(EpochShuffledDataset):
    """Shuffled batches of arrays; the order of an epoch depends on `seed` and the epoch's number alone.

    Args:
        images: array `(n, height, width, channels)`.
        labels: array `(n, ...)`, or a dict of such arrays, or None: then a batch is images alone.
        batch_size: samples in a batch; the last batch holds the rest, nothing is dropped.
        seed: non-negative int, the seed of the orders, or None to keep the samples in the order given.
        initial_epoch: the epoch that a resumed `fit` begins with; pass `fit` the same.

    Raises:
        ValueError: `images` and `labels` differ in length, `images` is empty, or `batch_size` is not positive.

    Example:

    ```python
    images, labels = kgan.data.load("digits")
    batches = kgan.data.Batches(images, labels, batch_size=128, seed=1, initial_epoch=5)
    model.fit(batches, initial_epoch=5, epochs=20, shuffle=False)
    ```
    """

    def __init__(self, images, labels=None, batch_size=64, seed=0, initial_epoch=0):
        for array in keras.tree.flatten(labels):
            if array is not None and len(array) != len(images):
                raise ValueError(f"{len(images)} images but {len(array)} labels: pass one label per image")
        if not len(images) or batch_size < 1:
            raise ValueError(f"{len(images)} images in batches of {batch_size}: both must be positive")
        super().__init__(len(images), batch_size, seed, initial_epoch)
        self.images = images
        self.labels = labels

    def __getitem__(self, index):
        indices = self.batch_indices(index)
        if self.labels is None:
            return self.images[indices]
        return self.images[indices], keras.tree.map_structure(lambda array: array[indices], self.labels)


class SourceBatches(EpochShuffledDataset):
    """Batches of `(images, labels)` made when they are asked for, for data that does not fit in memory.

    Set `workers` to decode in that many threads.

    Args:
        source: the `Source` of the images.
        batch_size: samples in a batch; the last batch holds the rest.
        seed: non-negative int, the seed of the orders, or None to keep the samples in their own order.

    Attributes:
        labels: int32 `(n,)`, in the order of the samples, not of the batches.
        class_names: list of str, in label order.
    """

    def __init__(self, source, batch_size, seed):
        super().__init__(len(source.labels), batch_size, seed)
        self.source = source
        self.labels = source.labels
        self.class_names = source.class_names

    def __getitem__(self, index):
        indices = self.batch_indices(index)
        return self.source.images(indices), self.labels[indices]
