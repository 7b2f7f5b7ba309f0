"""What `fit` of an `AdversarialModel` keeps of Keras, beside the contract that each model passes."""

import contextlib
import functools
import warnings
from pathlib import Path

import keras
import numpy as np
import pytest
from keras import ops
from model_contract import noise, values

from kgan.adversarial import AdversarialModel, Phase
from kgan.layers import MovingCentres

BACKEND = keras.backend.backend()
TESTS = Path(__file__).resolve().parent


@keras.saving.register_keras_serializable("test_adversarial")
class Duel(AdversarialModel):
    """Points from latents, or from the data where not `noisy`, judged behind a `lens` that belongs to no player.

    Moving averages of both are kept for the weights that they are: state that changes without a gradient.
    """

    players = {"generator": ("generator",), "discriminator": ("discriminator",)}
    logged = ("gap",)

    def __init__(self, noisy=True, repeats=1, **kwargs):
        super().__init__(**kwargs)
        self.noisy, self.repeats = noisy, repeats
        self.generator, self.discriminator = self.network(2), self.network(1)
        self.lens = self.network(2)
        self.centres = MovingCentres(num_classes=1, features=2, decay=0.9)

    def network(self, units):
        return keras.Sequential(
            [keras.Input((2,)), keras.layers.Dense(8, "tanh"), keras.layers.Dense(units, dtype="float32")]
        )

    def get_config(self):
        return {**super().get_config(), "noisy": self.noisy, "repeats": self.repeats}

    def phases(self):
        return [Phase(self.judge, ("discriminator",), self.repeats), Phase(self.imitate, ("generator",))]

    def fake(self, x, training):
        latents = keras.random.normal(ops.shape(x), seed=self.seed_generator) if self.noisy else -x
        return self.generator(latents, training=training)

    def score(self, x, training):
        return self.discriminator(self.lens(x), training=training)

    def judge(self, x, training):
        real, fake = self.score(x, training), self.score(self.fake(x, training), training)
        return {"discriminator": ops.mean(ops.square(1 - real) + ops.square(fake)), "gap": ops.mean(real - fake)}

    def imitate(self, x, training):
        fake = self.fake(x, training)
        labels = ops.zeros((ops.shape(x)[0],), "int32")
        self.centres(x, labels, fake, labels)
        return {"generator": ops.mean(ops.square(1 - self.score(fake, training)))}


DATA = noise((10, 2), salt=5)


def compiled(options=None, optimizer=keras.optimizers.Adam, rate=1e-2, **compile_options):
    keras.utils.set_random_seed(11)
    model = Duel(**(options or {}))
    model.compile({player: optimizer(rate) for player in Duel.players}, **compile_options)
    return model


def fit(model, epochs=3, **options):
    return model.fit(DATA, batch_size=4, epochs=epochs, shuffle=False, verbose=0, **options).history


def assert_same(a, b, rtol=1e-6, atol=1e-7):
    for first, second in zip(*([*m.variables, *m.optimizer.variables] for m in (a, b)), strict=True):
        np.testing.assert_allclose(*values([first, second]), rtol=rtol, atol=atol, err_msg=first.path)


@pytest.fixture(scope="module")
def straight():
    model = compiled()
    return model, fit(model)


# === Interrupted and saved runs ===


class Interrupt(keras.callbacks.Callback):
    def on_train_batch_end(self, batch, logs=None):
        if self.epoch == 1 and batch == 1:
            raise KeyboardInterrupt

    def on_epoch_begin(self, epoch, logs=None):
        self.epoch = epoch


def test_backup_and_restore(straight, tmp_path):
    with pytest.raises(KeyboardInterrupt):
        fit(compiled(), callbacks=[keras.callbacks.BackupAndRestore(tmp_path), Interrupt()])
    resumed = compiled()
    keras.utils.set_random_seed(99)
    history = fit(resumed, callbacks=[keras.callbacks.BackupAndRestore(tmp_path)])
    assert len(history["gap"]) == 2
    np.testing.assert_allclose(history["gap"], straight[1]["gap"][1:], rtol=1e-5)
    assert_same(straight[0], resumed)


def test_model_checkpoint(straight, tmp_path):
    fit(compiled(), epochs=2, callbacks=[keras.callbacks.ModelCheckpoint(tmp_path / "{epoch}.keras")])
    again = keras.saving.load_model(tmp_path / "2.keras")
    fit(again, initial_epoch=2)
    assert_same(straight[0], again)


def test_a_model_that_is_not_compiled_is_saved(tmp_path):
    keras.utils.set_random_seed(11)
    model = Duel()
    model.save(tmp_path / "model.keras")
    again = keras.models.load_model(tmp_path / "model.keras", custom_objects={"Duel": Duel})
    assert not again.compiled
    for one, other in zip(values(again.variables), values(model.variables), strict=True):
        np.testing.assert_array_equal(one, other)
    again.compile()
    again.fit(DATA, verbose=0)


# === Ways to run the same step ===


@pytest.mark.skipif(BACKEND == "torch", reason="Keras has no steps_per_execution on torch")
def test_steps_per_execution(straight):
    model = compiled(steps_per_execution=2)
    history = fit(model)
    assert_same(straight[0], model)
    for name, expected in straight[1].items():
        np.testing.assert_allclose(history[name], expected, rtol=1e-5, err_msg=name)


def test_run_eagerly(straight):
    model = compiled(run_eagerly=True)
    fit(model)
    assert_same(straight[0], model, rtol=1e-4, atol=1e-5)


@pytest.mark.skipif(BACKEND == "torch", reason="torch.compile takes minutes")
def test_jit_compile():
    # Without noise: XLA draws other random numbers than TensorFlow does from the same seed.
    jitted, plain = (compiled({"noisy": False}, jit_compile=jit_compile) for jit_compile in (True, False))
    for model in (jitted, plain):
        fit(model)
    assert_same(jitted, plain, rtol=1e-4, atol=1e-5)


def test_mixed_bfloat16():
    keras.config.set_dtype_policy("mixed_bfloat16")
    try:
        model = compiled()
        assert model.generator.layers[0].compute_dtype == "bfloat16"
        before = values(model.trainable_variables)
        history = fit(model)
    finally:
        keras.config.set_dtype_policy("float32")
    assert all(np.isfinite(value).all() for value in history.values())
    assert {v.dtype for v in [*model.weights, *model.optimizer.variables]} <= {"float32", "int32", "int64"}
    assert not any(np.array_equal(a, b) for a, b in zip(before, values(model.trainable_variables), strict=True))


# === Callbacks and data ===


def test_validation_data(straight):
    model = compiled()
    history = fit(model, validation_data=(DATA[:5],))
    names = {"loss", "generator_loss", "discriminator_loss", "gap"}
    assert set(history) == names | {f"val_{name}" for name in names}
    assert_same(straight[0], model)  # looking on moves no weight and draws no number
    last = model.evaluate(DATA[:5], batch_size=4, verbose=0, return_dict=True)
    for name in names:
        np.testing.assert_allclose(history[f"val_{name}"][-1], last[name], rtol=1e-5)


def test_learning_rate_scheduler():
    model = compiled(rate=0.1)
    before = values(model.generator.variables)
    history = fit(model, epochs=2, callbacks=[keras.callbacks.LearningRateScheduler(lambda epoch: 0.5 * epoch)])
    assert history["learning_rate_generator"] == history["learning_rate_discriminator"] == [0.0, 0.5]
    still = compiled(rate=0.1)
    fit(still, epochs=1, callbacks=[keras.callbacks.LearningRateScheduler(lambda epoch: 0.0)])
    for a, b in zip(before, values(still.generator.variables), strict=True):
        np.testing.assert_array_equal(a, b)
    assert not np.array_equal(before[0], values(model.generator.variables)[0])


def test_keras_tensorboard(tmp_path):
    pytest.importorskip("tensorflow")
    fit(compiled(), epochs=1, callbacks=[keras.callbacks.TensorBoard(tmp_path)])
    assert list(tmp_path.rglob("events.out.tfevents.*"))


@pytest.mark.parametrize("labels", [None, np.zeros(10, "float32")])
def test_sample_weight_is_refused(labels):
    with pytest.raises(ValueError, match="no sample weights"):
        compiled().fit(DATA, labels, sample_weight=np.ones(10, "float32"), verbose=0)


@pytest.mark.parametrize("raise_error", [False, True])
def test_terminate_on_nan(raise_error):
    model = compiled(rate=float("nan"))
    callback = keras.callbacks.TerminateOnNaN(raise_error=raise_error)
    with pytest.raises(RuntimeError, match="NaN") if raise_error else contextlib.nullcontext():
        assert len(fit(model, epochs=4, callbacks=[callback])["loss"]) == 1


def test_callbacks_that_read_a_loss_by_default(tmp_path):
    """`EarlyStopping`, `ModelCheckpoint` and `ReduceLROnPlateau` look at `val_loss`."""
    model, best = compiled({"noisy": False}, rate=0.0), tmp_path / "best.weights.h5"
    watchers = [
        keras.callbacks.EarlyStopping(patience=2),
        keras.callbacks.ModelCheckpoint(best, save_best_only=True, save_weights_only=True),
        keras.callbacks.ReduceLROnPlateau(patience=1),
    ]
    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)  # Keras warns where the value to watch is missing
        history = fit(model, epochs=9, callbacks=watchers, validation_data=(DATA[:4],))
    assert len(history["val_loss"]) == 3 and best.exists()


def test_a_second_fit_with_averages_of_the_weights():
    """On JAX, Keras 3.15.1 ends `fit` with weights in the memory of their averages."""
    model = compiled(optimizer=functools.partial(keras.optimizers.Adam, use_ema=True))
    first = fit(model, epochs=1)["loss"] + fit(model, epochs=1)["loss"]
    assert np.isfinite(first).all()


def as_tf_data(*arrays):
    tf = pytest.importorskip("tensorflow")
    return (tf.data.Dataset.from_tensor_slices(arrays).batch(4),)


def as_loader(*arrays):
    torch = pytest.importorskip("torch")
    data = torch.utils.data.TensorDataset(*map(torch.as_tensor, arrays))
    return (torch.utils.data.DataLoader(data, batch_size=4),)


def as_generator(*arrays):
    return ((arrays[0][i : i + 4],) for i in (0, 4, 8)), None


def as_tensors(*arrays):
    return tuple(map(ops.convert_to_tensor, arrays))


@pytest.mark.parametrize("feed", [as_tf_data, as_loader, as_generator, as_tensors, lambda *arrays: arrays])
def test_the_first_batch_is_checked_in_whatever_it_comes(feed):
    """And with it in order, training sees every batch once, and ends where it ends with arrays."""
    model = compiled()
    seen = []
    model.check_batch = lambda x: seen.append(x)
    fed = feed(DATA)
    model.fit(*fed, shuffle=False, batch_size=4 if fed[0] is DATA or feed is as_tensors else None, verbose=0)
    assert len(seen) == 1
    np.testing.assert_array_equal(seen[0][:4], DATA[:4])
    same = compiled()
    fit(same, epochs=1)
    # On TensorFlow, Keras draws once more when a generator ends, so the seeds are left out.
    for a, b in zip(values(same.trainable_variables), values(model.trainable_variables), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-6, atol=1e-7)

    def refuse(x):
        raise ValueError("of another range")

    model.check_batch = refuse
    with pytest.raises(ValueError, match="of another range"):
        model.fit(*feed(DATA), verbose=0)
    model.check_batch = lambda x: None if len(x) > 3 else refuse(x)
    with pytest.raises(ValueError, match="of another range"):
        model.fit(DATA, validation_data=(DATA[:2],), verbose=0)


# === Players and phases ===


def test_network_of_no_player_is_not_trained():
    model = compiled()
    assert all(v.trainable for v in model.lens.weights)  # and can be trained by itself
    before = values(model.lens.variables)
    fit(model, epochs=1)
    assert not {v.path for v in model.lens.variables} & {v.path for v in model.trainable_variables}
    for a, b in zip(before, values(model.lens.variables), strict=True):
        np.testing.assert_array_equal(a, b)


def shares(size, repeats):
    """Rows that each run of the two phases saw of one batch of `size` rows."""
    model = compiled({"repeats": repeats}, run_eagerly=True)
    seen = {"judge": [], "imitate": []}

    def recording(phase):
        def run(x, training):
            seen[phase.run.__name__].append(ops.convert_to_numpy(x)[:, 0].astype(int).tolist())
            return phase.run(x, training)

        return phase._replace(run=run)

    phases = [recording(phase) for phase in model.phases()]
    model.phases = lambda: phases
    model.train_on_batch(np.stack([np.arange(size), np.zeros(size)], axis=1).astype("float32"))
    return seen["judge"], seen["imitate"]


def test_repeats_share_the_batch():
    discriminator, generator = shares(6, 3)
    assert sorted(sum(discriminator, [])) == list(range(6)) and [len(share) for share in discriminator] == [2, 2, 2]
    assert generator == [discriminator[0]]
    assert shares(6, 1) == ([list(range(6))], [list(range(6))])


@pytest.mark.parametrize("size", [1, 2, 5, 7])
def test_ragged_batch_wraps_around(size):
    discriminator, _ = shares(size, 3)
    assert {len(share) for share in discriminator} == {-(-size // 3)}
    assert set(sum(discriminator, [])) == set(range(size))


def test_compile_refuses():
    model, sgd, one = Duel(), keras.optimizers.SGD, keras.optimizers.SGD()
    with pytest.raises(ValueError, match=r"players \['discriminator', 'generator'\], got \['generator'\]"):
        model.compile({"generator": sgd()})
    with pytest.raises(ValueError, match="got .*'encoder'"):
        model.compile({"generator": sgd(), "discriminator": sgd(), "encoder": sgd()})
    with pytest.raises(ValueError, match="optimizers='adam': pass a dict with one optimizer"):
        model.compile("adam")
    with pytest.raises(ValueError, match="several players"):
        model.compile({"generator": one, "discriminator": one})
    model.players = {"generator": ("generator", "lens"), "discriminator": ("discriminator", "lens")}
    with pytest.raises(ValueError, match="belongs to two players: generator and discriminator"):
        model.compile({"generator": sgd(), "discriminator": sgd()})


def test_a_player_that_selects_nothing_is_refused():
    """CDAAE's code filters its variables by a misspelt name, finds none and trains on."""
    model = Duel()
    model.players = {"generator": ("generator",), "discriminator": ()}
    optimizers = {player: keras.optimizers.SGD() for player in model.players}
    with pytest.raises(ValueError, match="discriminator has nothing to train"):
        model.compile(optimizers)


def test_mixed_float16_is_refused():
    keras.config.set_dtype_policy("mixed_float16")
    try:
        with pytest.raises(ValueError, match="use mixed_bfloat16"):
            compiled()
    finally:
        keras.config.set_dtype_policy("float32")
