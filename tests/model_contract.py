"""What every `AdversarialModel` must pass, on every backend.

A model's own test calls `check_model(make_model, batch)` and the golden check, and stays short.
"""

import json
from pathlib import Path

import keras
import numpy as np

GOLDEN = Path(__file__).parent / "golden"


def check_model(make_model, data, batch_size, folder):
    """Run the whole contract.

    Args:
        make_model: function without arguments that returns a new model, not compiled.
        data: what `fit` takes as a tuple `(x,)` or `(x, y)` of arrays (or dicts of arrays), not a multiple of `batch_size` long.
        batch_size: of `fit`.
        folder: an empty folder for saved files.
    """
    length = len(keras.tree.flatten(data)[0])
    assert length % batch_size and length > batch_size, "the data must end in a ragged batch"
    check_config(make_model)
    check_phases(make_model, data)
    check_logs(make_model, data, batch_size)
    check_evaluate(make_model, data, batch_size)
    check_save(make_model, data, batch_size, folder)
    check_resume(make_model, data, batch_size, folder)


def values(variables):
    return [keras.ops.convert_to_numpy(v.value).copy() for v in variables]


def changed(before, variables):
    return [not np.array_equal(a, b) for a, b in zip(before, values(variables), strict=True)]


def new(make_model):
    keras.utils.set_random_seed(7)
    model = make_model()
    model.compile()
    return model


def check_config(make_model):
    """The configuration survives a round trip, and is a model of the same weights."""
    model = make_model()
    again = type(model).from_config(model.get_config())
    assert again.get_config() == model.get_config()
    assert [v.shape for v in again.weights] == [v.shape for v in model.weights]
    assert all(layer.built for layer in model._flatten_layers()), "a sub-network is left for fit to build"


def check_phases(make_model, data):
    """Each phase alone moves the variables of its players and no others, and no player stands still."""
    for i in range(len(make_model().phases())):
        model = new(make_model)
        phase = model.phases()[i]
        model.phases = lambda phase=phase: [phase]
        before = {player: values(variables) for player, variables in model._player_variables().items()}
        frozen = [v for v in model.trainable_variables if id(v) not in _ids(model._player_variables())]
        assert not frozen, f"trainable, but of no player: {[v.path for v in frozen]}"
        model.fit(*data, batch_size=len(keras.tree.flatten(data)[0]), verbose=0)
        for player, variables in model._player_variables().items():
            moved = changed(before[player], variables)
            if player in phase.players:
                still = [v.path for v, m in zip(variables, moved, strict=True) if not m]
                assert len(still) < 0.1 * len(variables), f"{player} did not move in {phase.run.__name__}: {still}"
            else:
                assert not any(moved), f"{phase.run.__name__} moved {player}"


def _ids(groups):
    return {id(v) for group in groups.values() for v in group}


def check_logs(make_model, data, batch_size):
    """Logs and `metrics` have the same keys; all is finite; an epoch's value is the mean over its samples, not its batches."""
    model = new(make_model)
    batches = []
    record = keras.callbacks.LambdaCallback(
        on_train_batch_end=lambda batch, logs: batches.append({k: float(v) for k, v in logs.items()})
    )
    history = model.fit(*data, batch_size=batch_size, shuffle=False, verbose=0, callbacks=[record]).history
    names = {metric.name for metric in model.metrics}
    assert set(history) == names == {f"{p}_loss" for p in model.players} | set(model.logged)
    assert all(np.isfinite(v).all() for v in history.values()), history

    # The same two unequal batches, one at a time, with the trackers set back between them.
    model = new(make_model)
    length = len(keras.tree.flatten(data)[0])
    total = {name: 0.0 for name in names}
    for start in range(0, length, batch_size):
        part = keras.tree.map_structure(lambda a: a[start : start + batch_size], data)  # noqa: B023
        model.reset_metrics()
        logs = model.train_on_batch(*part, return_dict=True)
        for name in names:
            total[name] += float(logs[name]) * len(keras.tree.flatten(part)[0])
    for name in names:
        np.testing.assert_allclose(history[name][0], total[name] / length, rtol=2e-3, atol=1e-4, err_msg=name)


def check_evaluate(make_model, data, batch_size):
    """`evaluate` reports the same names and changes no state at all, seeds included."""
    model = new(make_model)
    model.fit(*data, batch_size=batch_size, verbose=0)
    before = values(model.variables)
    first = model.evaluate(*data, batch_size=batch_size, verbose=0, return_dict=True)
    assert not any(changed(before, model.variables))
    assert set(first) == {metric.name for metric in model.metrics}
    assert all(np.isfinite(v) for v in first.values()), first
    second = model.evaluate(*data, batch_size=batch_size, verbose=0, return_dict=True)
    assert first == second


def check_save(make_model, data, batch_size, folder):
    """A reloaded model has the same weights and takes the same next step: optimizers and seeds are restored."""
    model = new(make_model)
    model.fit(*data, batch_size=batch_size, verbose=0)
    model.save(folder / "model.keras")
    again = keras.saving.load_model(folder / "model.keras")
    assert type(again) is type(model)
    _assert_same(model, again)
    for each in (model, again):
        each.fit(*data, batch_size=batch_size, shuffle=False, verbose=0)
    _assert_same(model, again)


def check_resume(make_model, data, batch_size, folder):
    """Two epochs, a restart from `BackupAndRestore` between them, equal two epochs without it."""
    fit = {"batch_size": batch_size, "shuffle": False, "verbose": 0}
    straight = new(make_model)
    straight.fit(*data, epochs=2, **fit)

    backup = keras.callbacks.BackupAndRestore(folder / "backup", delete_checkpoint=False)
    new(make_model).fit(*data, epochs=1, callbacks=[backup], **fit)
    keras.utils.set_random_seed(99)
    resumed = make_model()
    resumed.compile()
    resumed.fit(*data, epochs=2, callbacks=[keras.callbacks.BackupAndRestore(folder / "backup")], **fit)
    _assert_same(straight, resumed)


def _assert_same(model, again):
    for a, b in zip(model.variables + model.optimizer.variables, again.variables + again.optimizer.variables, strict=True):
        np.testing.assert_allclose(*values([a, b]), rtol=1e-6, atol=1e-7, err_msg=a.path)


# === One step, the same on every backend ===


def fill(variables):
    """Set weights by formula, so that no backend's random numbers are involved."""
    for k, variable in enumerate(variables):
        shape = tuple(variable.shape)
        size = int(np.prod(shape))
        wave = np.sin(np.arange(size) * 0.7 + k).reshape(shape)
        if variable.path.endswith(("gamma", "moving_variance")):
            variable.assign(1 + 0.1 * wave)
        else:
            variable.assign(wave * np.sqrt(1.0 / max(1, np.prod(shape[:-1]))))


def check_golden(name, model, batch, steps=2, rtol=1e-4):
    """A few steps from given weights, batch and noise give the losses and weights in `golden/<name>.json`.

    Noise is a formula too: while this runs, `keras.random` returns it in place of random numbers.
    The golden file is written only by `python tests/golden/write.py`.
    """
    result = golden_steps(model, batch, steps)
    expected = json.loads((GOLDEN / f"{name}.json").read_text())
    assert result.keys() == expected.keys()
    for key in expected:
        np.testing.assert_allclose(result[key], expected[key], rtol=rtol, atol=rtol * 0.1, err_msg=key)


def golden_steps(model, batch, steps):
    fill(model.trainable_variables)
    result = {}
    with formula_noise():
        for step in range(steps):
            model.reset_metrics()
            logs = model.train_on_batch(*batch, return_dict=True)
            result.update({f"step {step} {key}": float(value) for key, value in sorted(logs.items())})
    for player, variables in model._player_variables().items():
        result[f"{player} sums of weights"] = [float(v.sum(dtype="float64")) for v in values(variables)]
        result[f"{player} norms of weights"] = [float(np.linalg.norm(v.astype("float64"))) for v in values(variables)]
    return result


class formula_noise:
    """Replace the draws of `keras.random` by fixed numbers of the same shape and about the same distribution."""

    def __enter__(self):
        self.saved = {name: getattr(keras.random, name) for name in ("normal", "uniform", "randint")}

        def wave(shape):
            shape = tuple(int(n) for n in shape)
            return np.arange(int(np.prod(shape))).reshape(shape)

        def normal(shape, *args, **kwargs):
            return keras.ops.convert_to_tensor(np.sqrt(2) * np.sin(wave(shape) * 1.3 + 0.5), "float32")

        def uniform(shape, *args, **kwargs):
            return keras.ops.convert_to_tensor((wave(shape) * 0.618) % 1, "float32")

        def randint(shape, minval, maxval, *args, **kwargs):
            return keras.ops.convert_to_tensor(minval + wave(shape) * 7 % (maxval - minval), "int32")

        keras.random.normal, keras.random.uniform, keras.random.randint = normal, uniform, randint

    def __exit__(self, *exc):
        for name, function in self.saved.items():
            setattr(keras.random, name, function)
