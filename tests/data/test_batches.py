import keras
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kgan.data import Batches
from kgan.data.batches import SourceBatches
from kgan.data.source import Source

SIZE, BATCH = 11, 4
STEPS = 3


class Tape(keras.layers.Layer):
    """Writes down which samples each training step saw: the pixel of sample i is i."""

    def __init__(self, steps):
        super().__init__()
        self.tape = self.add_weight(shape=(steps, SIZE), initializer="zeros", trainable=False)
        self.step = self.add_weight(shape=(), dtype="int32", initializer="zeros", trainable=False)
        self.scale = self.add_weight(shape=(), initializer="ones")

    def call(self, images, training=False):
        pixels = images[:, 0, 0, 0]
        if training:
            seen = keras.ops.sum(keras.ops.one_hot(keras.ops.cast(pixels, "int32"), SIZE), axis=0)
            now = keras.ops.one_hot(self.step, self.tape.shape[0])
            self.tape.assign_add(now[:, None] * seen)
            self.step.assign(self.step + 1)
        return pixels[:, None] * self.scale


def recorder(epochs, loss="mse"):
    model = keras.Sequential([keras.Input((1, 1, 1)), Tape(epochs * STEPS)])
    model.compile(keras.optimizers.SGD(1e-6), loss)
    return model


def seen(model):
    """List of sets of samples, one per training step."""
    return [set(np.flatnonzero(row)) for row in keras.ops.convert_to_numpy(model.layers[-1].tape)]


def expected(seed, epochs):
    orders = [np.random.default_rng([seed, epoch]).permutation(SIZE) for epoch in epochs]
    return [set(order[start : start + BATCH]) for order in orders for start in range(0, SIZE, BATCH)]


@pytest.fixture
def images():
    return np.arange(SIZE, dtype="float32").reshape(SIZE, 1, 1, 1)


@pytest.fixture
def labels():
    return np.arange(SIZE, dtype="float32")


def test_fit_sees_the_order_of_each_epoch(images, labels):
    model = recorder(3)
    model.fit(Batches(images, labels, BATCH, seed=5), epochs=3, shuffle=False, verbose=0)
    assert seen(model) == expected(5, [0, 1, 2])
    assert expected(5, [0]) != expected(5, [1]) != expected(5, [2])


def test_resumed_fit_sees_what_an_uninterrupted_one_sees(images, labels):
    model = recorder(2)
    batches = Batches(images, labels, BATCH, seed=5, initial_epoch=2)
    model.fit(batches, initial_epoch=2, epochs=4, shuffle=False, verbose=0)
    assert seen(model) == expected(5, [2, 3])


def test_validation_does_not_disturb_the_order(images, labels):
    model = recorder(3)
    validation = Batches(images, labels, BATCH, seed=None)
    evaluate = keras.callbacks.LambdaCallback(
        on_epoch_end=lambda epoch, logs: model.evaluate(images, labels, verbose=0)
    )
    model.fit(
        Batches(images, labels, BATCH, seed=5),
        epochs=3,
        validation_data=validation,
        callbacks=[evaluate],
        shuffle=False,
        verbose=0,
    )
    assert seen(model) == expected(5, [0, 1, 2])


def test_second_fit_goes_on_where_the_first_ended(images, labels):
    model = recorder(3)
    batches = Batches(images, labels, BATCH, seed=5)
    model.fit(batches, epochs=1, shuffle=False, verbose=0)
    model.fit(batches, initial_epoch=1, epochs=3, shuffle=False, verbose=0)
    assert seen(model) == expected(5, [0, 1, 2])


def test_a_callback_can_set_the_epoch(images, labels):
    model = recorder(3)
    batches = Batches(images, labels, BATCH, seed=5)
    set_epoch = keras.callbacks.LambdaCallback(on_epoch_begin=lambda epoch, logs: setattr(batches, "epoch", epoch))
    model.fit(batches, epochs=1, callbacks=[set_epoch], shuffle=False, verbose=0)
    model.evaluate(batches, verbose=0)
    model.fit(batches, initial_epoch=1, epochs=3, callbacks=[set_epoch], shuffle=False, verbose=0)
    assert seen(model) == expected(5, [0, 1, 2])


def test_workers_keep_the_order(images, labels):
    model = recorder(3)
    model.fit(Batches(images, labels, BATCH, seed=5), epochs=1, shuffle=False, verbose=0)
    batches = Batches(images, labels, BATCH, seed=5, initial_epoch=1)
    batches.workers = 3
    model.fit(batches, initial_epoch=1, epochs=3, shuffle=False, verbose=0)
    assert seen(model) == expected(5, [0, 1, 2])


def test_images_alone_are_what_fit_takes(images):
    class Reconstructor(keras.Sequential):
        def compute_loss(self, x=None, y=None, y_pred=None, sample_weight=None, training=True):
            return keras.ops.mean(keras.ops.square(y_pred - x[:, 0, 0]))

    model = Reconstructor([keras.Input((1, 1, 1)), Tape(STEPS)])
    model.compile(keras.optimizers.SGD(1e-6), loss=None)
    model.fit(Batches(images, batch_size=BATCH, seed=5), epochs=1, shuffle=False, verbose=0)
    assert seen(model) == expected(5, [0])


@given(size=st.integers(1, 50), batch_size=st.integers(1, 60), seed=st.integers(0, 2**40), epoch=st.integers(0, 10**6))
def test_an_epoch_is_a_permutation_with_nothing_dropped(size, batch_size, seed, epoch):
    samples = np.arange(size)
    batches = Batches(samples, -samples, batch_size, seed, initial_epoch=epoch)
    pairs = [batches[i] for i in range(len(batches))]
    assert [len(x) for x, _ in pairs[:-1]] == [batch_size] * (len(pairs) - 1)
    assert 1 <= len(pairs[-1][0]) <= batch_size
    order = np.concatenate([x for x, _ in pairs])
    np.testing.assert_array_equal(order, np.random.default_rng([seed, epoch]).permutation(size))
    np.testing.assert_array_equal(np.concatenate([y for _, y in pairs]), -order)


def test_no_seed_keeps_the_order_given(images, labels):
    np.testing.assert_array_equal(np.concatenate([x for x, _ in Batches(images, labels, BATCH, seed=None)]), images)


def test_plain_iteration_ends(images):
    batches = Batches(images, batch_size=BATCH)
    assert [len(batch) for batch in batches] == [4, 4, 3]
    with pytest.raises(IndexError):
        batches[3]


def test_source_batches_follow_the_same_order(labels):
    class Counted(Source):
        def images(self, indices):
            return np.asarray(indices, "float32").reshape(-1, 1, 1, 1)

    source = Counted(labels, [str(i) for i in range(SIZE)], 1, 1)
    batches = SourceBatches(source, BATCH, seed=5)
    model = recorder(2)
    model.fit(batches, epochs=2, shuffle=False, verbose=0)
    assert seen(model) == expected(5, [0, 1])
    images, batch_labels = batches[0]
    np.testing.assert_array_equal(images[:, 0, 0, 0], batch_labels)
    assert batches.class_names[3] == "3" and len(batches.labels) == SIZE


@pytest.mark.parametrize("arguments", [(np.zeros((3, 1)), np.zeros(2)), (np.zeros((0, 1)),), (np.zeros(3), None, 0)])
def test_bad_arguments(arguments):
    with pytest.raises(ValueError):
        Batches(*arguments)
