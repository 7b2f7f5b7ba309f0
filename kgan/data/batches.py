"""Batches whose order depends only on the seed and the epoch, so that a resumed run repeats an uninterrupted one."""

import functools

import keras
import numpy as np


@functools.lru_cache(maxsize=8)
def epoch_order(size, seed, epoch):
    """Returns the permutation of `size` samples for one epoch."""
    order = np.random.default_rng([seed, epoch]).permutation(size)
    order.flags.writeable = False
    return order


def endless(pool, stream, place):
    """Returns the item at a place of an endless sequence: one random order of the pool after another.

    Args:
        pool: array of items.
        stream: tuple of non-negative ints, the seed of the orders.
        place: int, the place.
    """
    lap, place = divmod(place, len(pool))
    return pool[_order(len(pool), (*stream, lap))[place]]


@functools.lru_cache(maxsize=64)
def _order(size, stream):
    return np.random.default_rng(stream).permutation(size)


class EpochShuffledDataset(keras.utils.PyDataset):
    """Base class of data sets that draw a new order of their samples each epoch.

    The order of epoch `e` is always `numpy.random.default_rng([seed, e]).permutation(size)`. Pass `shuffle=False` to
    `fit`: otherwise it shuffles the batches again with Python's global generator, and a resumed run cannot repeat the
    order.

    `epoch` starts at `initial_epoch` and advances after each pass of `fit`. A pass of `evaluate` or `predict` over the
    same object advances it too, because the object cannot tell them apart. Evaluate on other data or on the arrays, or
    set `epoch` in a callback's `on_epoch_begin`.

    Build the model and its losses before `fit` if `workers` is above 1 and the exact order matters. Otherwise Keras
    prefetches batches for the build, leaves them in its queue, and delivers every epoch late by that many batches.

    Args:
        size: number of samples.
        batch_size: samples per batch; the last batch holds the remainder.
        seed: non-negative int, the seed of all orders, or None to keep the samples in the given order.
        initial_epoch: epoch of the first pass, as in `fit`.
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
        """Returns the int indices of the samples in batch `batch` of the current epoch."""
        if not 0 <= batch < len(self):
            raise IndexError(f"batch {batch} is out of range: there are {len(self)} batches")
        batch = slice(batch * self.batch_size, (batch + 1) * self.batch_size)
        if self.seed is None:
            return np.arange(self.size)[batch]
        return epoch_order(self.size, self.seed, self.epoch)[batch]

    # `fit` calls `on_epoch_end` once before its first epoch: after a pass of one batch if it has to build the model,
    # else without a pass. Neither is an epoch.

    def on_epoch_begin(self):
        self._pass_begun = True

    def on_epoch_end(self):
        self.epoch += self._fit_started and self._pass_begun
        self._fit_started = True
        self._pass_begun = False


class Batches(EpochShuffledDataset):
    """Shuffled batches of arrays; the order of an epoch depends only on `seed` and the epoch's number.

    Args:
        images: array `(n, height, width, channels)`, or a dict of arrays `(n, ...)`.
        labels: array `(n, ...)`, a dict of such arrays, or None for batches of images alone.
        batch_size: samples per batch; the last batch holds the remainder.
        seed: non-negative int, the seed of the orders, or None to keep the samples in the given order.
        initial_epoch: epoch at which a resumed `fit` starts; pass the same value to `fit`.

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
        first, *others = map(len, keras.tree.flatten(images))
        if any(count != first for count in others):
            raise ValueError(f"images holds arrays of {sorted({first, *others})} samples: pass as many in each")
        for array in keras.tree.flatten(labels):
            if array is not None and len(array) != first:
                raise ValueError(f"{first} images but {len(array)} labels: pass one label per image")
        if not first or batch_size < 1:
            raise ValueError(f"{first} images and batch_size={batch_size}: pass at least 1 of each")
        super().__init__(first, batch_size, seed, initial_epoch)
        self.images = images
        self.labels = labels

    def __getitem__(self, index):
        indices = self.batch_indices(index)
        images, labels = (
            keras.tree.map_structure(lambda array: None if array is None else array[indices], each)
            for each in (self.images, self.labels)
        )
        return images if labels is None else (images, labels)


class SharedBatches(keras.utils.PyDataset):
    """The batches of another data set, for several devices that share each batch.

    The last samples of a batch that do not divide among the devices are left out; in another epoch they are others. Of
    the processes of a `keras.distribution`, each gets its own samples of each batch. Set the distribution first, with
    `auto_shard_dataset=False`, since the data are dealt here.

    Args:
        batches: `keras.utils.PyDataset` with the same batches in each process, such as `Batches` with one seed.
        devices: number of devices, those of all processes together.

    Raises:
        ValueError: `devices` does not divide the size of a batch, or the number of processes does not divide `devices`.

    Example:

    ```python
    images, labels = kgan.data.load("digits")
    batches = kgan.data.SharedBatches(kgan.data.Batches(images, labels, batch_size=64), devices=2)
    ```
    """

    def __init__(self, batches, devices):
        super().__init__(workers=batches.workers)
        self.batches, self.devices = batches, devices
        # Read here: the threads that make batches do not see the distribution.
        distribution = keras.distribution.distribution()
        self.process, self.processes = (
            (distribution.data_shard_id, distribution.num_processes) if distribution else (0, 1)
        )
        if devices < 1 or devices % self.processes:
            raise ValueError(f"devices={devices}: {self.processes} processes need as many devices each; pass their sum")
        sizes = [len(array) for array in keras.tree.flatten(batches[0])]
        if any(size % devices for size in sizes):
            raise ValueError(f"{devices} devices cannot share {min(sizes)} samples: choose a batch size they divide")
        last = min(len(array) for array in keras.tree.flatten(batches[len(batches) - 1]))
        self.count = len(batches) - (last < devices)

    def __len__(self):
        return self.count

    def __getitem__(self, index):
        return keras.tree.map_structure(self._share, self.batches[index])

    def _share(self, array):
        array = array[: len(array) // self.devices * self.devices]
        if keras.backend.backend() == "tensorflow":
            # A replica sees its part alone, so each gets some of all: `PairBatches` has the labelled samples first. On
            # JAX a model sees the whole batch, and keeps its order.
            array = np.concatenate([array[device :: self.devices] for device in range(self.devices)])
        return np.split(array, self.processes)[self.process]

    def on_epoch_begin(self):
        self.batches.on_epoch_begin()

    def on_epoch_end(self):
        self.batches.on_epoch_end()


class SourceBatches(EpochShuffledDataset):
    """Batches of `(images, labels)`, or of images without classes, made on demand for data that do not fit in memory.

    Set `workers` to decode in that many threads.

    Args:
        source: the `Source` of the images.
        batch_size: samples per batch; the last batch holds the remainder.
        seed: non-negative int, the seed of the orders, or None to keep the samples in the order of `source`.

    Attributes:
        labels: int32 `(n,)` or `(n, classes)`, in the order of the samples, not of the batches; None if there are no
            classes.
        class_names: list of str, in label order.
    """

    def __init__(self, source, batch_size, seed):
        super().__init__(len(source.labels), batch_size, seed)
        self.source = source
        self.labels = source.labels if source.class_names else None
        self.class_names = source.class_names

    def __getitem__(self, index):
        images, indices = self.source.readable(self.batch_indices(index))
        return images if self.labels is None else (images, self.labels[indices])
