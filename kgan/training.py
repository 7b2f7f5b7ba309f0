"""Mixins of all models: the check of the first batch of `fit`, a default optimizer, networks that stand still."""

import contextlib
import types

import keras
import numpy as np
from keras import ops


def first_batch(x, y=None, sample_weight=None):
    """Returns the first batch of training data as NumPy arrays.

    Arrays, tensors and dicts of them are one batch as a whole. Of a `keras.utils.PyDataset`, a `tf.data.Dataset` and a
    PyTorch `DataLoader`, one batch more is made than they are trained on.

    Args:
        x, y, sample_weight: as for `keras.Model.fit`.

    Returns:
        `(x, batch)`: what to train on instead of `x`, because a generator yields a batch only once; and the batch, or
        None if there is none, or if each replica of `tf.distribute` gets another.
    """
    if isinstance(x, types.GeneratorType):
        batch = next(x, None)
        x = _continued(batch, x)
    elif isinstance(x, keras.utils.PyDataset):
        batch = x[0]
    elif hasattr(x, "element_spec"):  # tf.data
        batch = next(iter(x.take(1)), None) if hasattr(x, "take") else None
    elif hasattr(x, "batch_sampler"):  # PyTorch
        batch = next(iter(x), None)
    else:
        batch = x, y, sample_weight
    return x, keras.tree.map_structure(_as_array, batch)


def _continued(first, rest):
    if first is not None:
        yield first
    yield from rest


def _as_array(leaf):
    return None if leaf is None else ops.convert_to_numpy(leaf) if ops.is_tensor(leaf) else np.asarray(leaf)


def predict(network, inputs, batch_size=32):
    """Returns what `network.predict` returns, for any number of samples, also under a `keras.distribution`.

    There, Keras 3.15 on JAX refuses samples that do not divide among the devices and loses the weights over it, and of
    several processes none sees the others' results. So each process computes all samples that it is given, by itself.

    Args:
        network: `keras.Model`.
        inputs: what it takes, arrays `(n, ...)`.
        batch_size: samples at a time.
    """
    with undistributed():
        return network.predict(inputs, batch_size=batch_size, verbose=0)


@contextlib.contextmanager
def undistributed():
    """Leaves the `keras.distribution` that is set, if there is one, and returns to it."""
    distribution = keras.distribution.distribution()
    keras.distribution.set_distribution(None)
    try:
        yield
    finally:
        keras.distribution.set_distribution(distribution)


def is_first_process():
    """Returns whether this is the only process of the training, or the first of a `keras.distribution`."""
    distribution = keras.distribution.distribution()
    return distribution is None or distribution.data_shard_id == 0


class ChecksFirstBatch:
    """Mixin for `keras.Model`: `fit` calls `check_batch(*batch)` before it trains.

    `check_batch` raises a `ValueError` for data that the model cannot take. Validation data are checked, too.
    """

    def fit(self, x=None, y=None, *args, sample_weight=None, validation_data=None, **kwargs):
        """Check the first batch with `check_batch`, then train as `keras.Model.fit` does."""
        x = self._checked(x, y, sample_weight)
        if isinstance(validation_data, (tuple, list)):
            self._checked(*validation_data)
        elif validation_data is not None:
            validation_data = self._checked(validation_data)
        kwargs.update(sample_weight=sample_weight, validation_data=validation_data)
        history = super().fit(x, y, *args, **kwargs)
        if any(o.use_ema for o in getattr(self.optimizer, "optimizers", [self.optimizer])):
            # Keras 3.15.1 ends `fit` with weights in the memory of their averages. JAX refuses to reuse it twice, which
            # makes a second `fit` fail.
            for variable in self.trainable_variables:
                variable.assign(ops.copy(variable.value))
        return history

    def _checked(self, *data):
        x, batch = first_batch(*data)
        if batch is not None:
            self.check_batch(*self.unpack(batch))
        return x

    def unpack(self, data):
        """Return what the model uses of a batch, as `(x,)` or `(x, y)`."""
        x, y, sample_weight = keras.utils.unpack_x_y_sample_weight(data)
        self.refuse_weights(sample_weight)
        return (x,) if y is None else (x, y)

    def refuse_weights(self, sample_weight):
        """Raise a `ValueError` if there are weights of samples, which Keras also makes of `class_weight`."""
        if sample_weight is not None:
            name = type(self).__name__
            raise ValueError(f"{name} takes no sample weights; call fit without sample_weight and class_weight.")


class WithDefaultOptimizer:
    """Mixin for `keras.Model` with one optimizer: `compile()` takes that of its method `default_optimizer()`."""

    def compile(self, optimizer=None, **kwargs):
        super().compile(optimizer=optimizer or self.default_optimizer(), **kwargs)

    def compile_from_config(self, config):
        # By default, Keras does not compile a loaded model whose class overrides `compile`.
        self.compile(**keras.saving.deserialize_keras_object(config))
        self.optimizer.build(self.trainable_variables)


class TrainsSome:
    """Mixin for `keras.Model` that trains the variables of `trained()` and leaves all others as they are.

    A network that only helps, such as a teacher, keeps its `trainable`, and can be trained again by itself.
    """

    @property
    def trainable_variables(self):
        return self._trained_of(super().trainable_variables)

    @property
    def trainable_weights(self):
        return self._trained_of(super().trainable_weights)

    @property
    def non_trainable_variables(self):
        trainable = {id(v) for v in self.trainable_variables}
        return [v for v in self.variables if id(v) not in trainable]

    @property
    def non_trainable_weights(self):
        trainable = {id(v) for v in self.trainable_weights}
        return [v for v in self.weights if id(v) not in trainable]

    def _trained_of(self, variables):
        trained = {id(v) for v in self.trained()}
        return [v for v in variables if id(v) in trained]
