"""What every `AdversarialModel` must pass, on every backend.

A model's own test calls `check_model` and `check_golden`, checks its losses against NumPy with `record`, and stays
short.
"""

import contextlib
import functools
import json
from pathlib import Path

import keras
import numpy as np
import pytest

GOLDEN = Path(__file__).parent / "golden"


def check_model(make_model, data, batch_size, folder, *, inputs, output_shape, bad):
    """Run the whole contract.

    Args:
        make_model: function without arguments that returns a new model, not compiled.
        data: what `fit` takes as a tuple `(x,)` or `(x, y)` of arrays (or dicts of arrays), not a multiple of
            `batch_size` long.
        batch_size: of `fit`.
        folder: an empty folder for saved files.
        inputs: what `predict` takes, three rows or more.
        output_shape: shape of what `predict` returns for them, or dict of shapes.
        bad: `(data, message)`: a batch that `fit` must refuse before anything changes, and a pattern of what it says.
    """
    new = functools.partial(_new, make_model)
    length = len(keras.tree.flatten(data)[0])
    assert length % batch_size and length > batch_size, "the data must end in a ragged batch"
    phases = len(check_config(make_model, inputs, output_shape).phases())
    if keras.backend.backend() == "torch":  # on the others, the golden step has the weights after all phases
        for i in range(phases):
            check_phase(new(), i, cut(data, batch_size))
    model = new()
    check_refusal(model, *bad)
    whole = length - length % batch_size
    # JAX would trace the step twice for a batch of another size; `test_adversarial` has one there.
    check_logs(model, cut(data, whole) if keras.backend.backend() == "jax" else data, batch_size)
    batch = cut(data, batch_size)
    check_evaluate(model, batch)
    check_save(model, batch, folder)


def contract_on(models, everywhere):
    """The parameters of `test_contract`: `everywhere` runs on every backend, the other models of its base on PyTorch.

    Their golden steps run on every backend.
    """
    return [pytest.param(name, marks=[] if name in everywhere else pytest.mark.only_on("torch")) for name in models]


def cut(data, size):
    return keras.tree.map_structure(lambda a: a[:size], data)


def values(variables):
    return [keras.ops.convert_to_numpy(v.value).copy() for v in variables]


def changed(before, variables):
    return [not np.array_equal(a, b) for a, b in zip(before, values(variables), strict=True)]


def _new(make_model):
    keras.utils.set_random_seed(7)
    model = make_model()
    model.compile()
    return model


def check_config(make_model, inputs, output_shape):
    """The configuration survives a round trip, and is a model of the same weights; it is returned, and can be used."""
    model = make_model()
    again = type(model).from_config(model.get_config())
    assert again.get_config() == model.get_config()
    assert [v.shape for v in again.weights] == [v.shape for v in model.weights]
    assert all(layer.built for layer in model._flatten_layers()), "a sub-network is left for fit to build"
    check_inference(again, inputs, output_shape)
    return again


def check_inference(model, inputs, output_shape):
    """`predict` gives outputs of the shape promised, finite, the same for a row whatever stands beside it."""
    outputs = model.predict(inputs, verbose=0)
    assert keras.tree.map_structure(lambda a: a.shape, outputs) == output_shape
    assert all(np.isfinite(a).all() for a in keras.tree.flatten(outputs))
    one_by_one = model.predict(inputs, batch_size=1, verbose=0)
    for a, b in zip(*map(keras.tree.flatten, (outputs, one_by_one)), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5)


def check_refusal(model, data, message):
    before = values(model.variables)
    with pytest.raises(ValueError, match=message):
        model.fit(*data, verbose=0)
    assert not any(changed(before, model.variables))


def check_phase(model, i, data):
    """A phase alone moves the variables of its players and no others, and no player stands still."""
    phase = model.phases()[i]
    model.phases = lambda: [phase]
    before = {player: values(variables) for player, variables in model._player_variables().items()}
    owned = _ids(model._player_variables())
    help_only = [getattr(model, name, None) for name in ("teacher", "classifier")]  # stand still on purpose
    forgotten = [layer for layer in model.layers if not any(layer is network for network in help_only)]
    forgotten = [layer.name for layer in forgotten if not {id(v) for v in layer.trainable_variables} <= owned]
    assert not forgotten, f"networks of no player: {forgotten}"
    model.fit(*data, batch_size=len(keras.tree.flatten(data)[0]), verbose=0)
    owned = model._player_variables()
    mine = _ids({player: owned[player] for player in phase.players})
    for player, variables in owned.items():
        moved = changed(before[player], variables)
        if player in phase.players:
            # Not all need to: the last bias of a Wasserstein critic has no gradient.
            assert sum(moved) >= 0.8 * len(variables), f"{player} stands still in {phase.run.__name__}"
        else:
            others = [m for m, v in zip(moved, variables, strict=True) if id(v) not in mine]
            assert not any(others), f"{phase.run.__name__} moved {player}"


def _ids(groups):
    return {id(v) for group in groups.values() for v in group}


def state(model):
    return [*model.variables, *model.optimizer.variables]


def check_logs(model, data, batch_size):
    """Logs and `metrics` have the same keys; all is finite; an epoch's value is the mean over its samples, not its
    batches; `fit` ends where the same batches, one at a time, end.
    """
    before = values(state(model))
    history = model.fit(*data, batch_size=batch_size, shuffle=False, verbose=0).history
    after = values(state(model))
    names = {metric.name for metric in model.metrics}
    assert names == {f"{p}_loss" for p in model.players} | set(model.logged)
    assert set(history) == names | {"loss"}
    np.testing.assert_allclose(history["loss"][0], sum(history[f"{p}_loss"][0] for p in model.players), rtol=1e-5)
    assert all(np.isfinite(v).all() for v in history.values()), history

    if keras.backend.backend() == "tensorflow":
        # It would trace the step again for each call below, which takes three times as long as the step uncompiled.
        model.run_eagerly = True
        model.make_train_function(force=True)
    # The same unequal batches from the same state, with the trackers set back between them.
    for variable, value in zip(state(model), before, strict=True):
        variable.assign(value)
    length = len(keras.tree.flatten(data)[0])
    total = dict.fromkeys(names, 0.0)
    for start in range(0, length, batch_size):
        part = keras.tree.map_structure(lambda a: a[start : start + batch_size], data)  # noqa: B023
        model.reset_metrics()
        logs = model.train_on_batch(*part, return_dict=True)
        for name in names:
            total[name] += float(logs[name]) * len(keras.tree.flatten(part)[0])
    for name in names:
        np.testing.assert_allclose(history[name][0], total[name] / length, rtol=1e-4, atol=1e-5, err_msg=name)
    if not model.run_eagerly:  # compiled and not, a step differs by rounding, which Adam divides by itself
        assert_same(state(model), after)


def check_evaluate(model, data):
    """`evaluate` reports the same names and changes no state at all, seeds included."""
    before = values(model.variables)
    first = model.evaluate(*data, verbose=0, return_dict=True)
    assert not any(changed(before, model.variables))
    assert set(first) == {metric.name for metric in model.metrics} | {"loss"}
    assert all(np.isfinite(v) for v in first.values()), first
    assert first == model.evaluate(*data, verbose=0, return_dict=True)


def check_save(model, batch, folder):
    """A model that was saved and loaded takes the step that it would have taken without.

    So weights, all optimizers and all seeds are restored. The weights file, which `BackupAndRestore` uses, holds the
    same. On JAX, which would trace the step of the loaded model anew, the first one takes it again from that file.
    """
    model.save(folder / "model.keras")
    model.train_on_batch(*batch)
    further = values(state(model))
    again = keras.saving.load_model(folder / "model.keras")
    assert type(again) is type(model)
    again.run_eagerly = model.run_eagerly
    again.save_weights(folder / "model.weights.h5")
    keras.utils.set_random_seed(99)
    model.load_weights(folder / "model.weights.h5")  # takes all back that the step changed
    assert_same(state(model), values(state(again)))
    last = model if keras.backend.backend() == "jax" else again
    last.train_on_batch(*batch)
    assert_same(state(last), further)


def assert_same(variables, expected):
    for variable, found, value in zip(variables, values(variables), expected, strict=True):
        np.testing.assert_allclose(found, value, rtol=1e-6, atol=1e-7, err_msg=variable.path)


# === One step, the same on every backend ===


def noise(shape, salt):
    """Numbers in (-1, 1) that look random and are the same everywhere: a multiplicative hash of the position."""
    position = np.arange(int(np.prod(shape)), dtype="uint64")
    hashed = (position * np.uint64(2654435761) + np.uint64(salt * 40503 + 12345)) * np.uint64(2246822519)
    return ((hashed >> np.uint64(7)) % np.uint64(2**24) / 2**23 - 1).reshape(shape).astype("float32")


def fill(variables):
    """Set weights by formula, so that no backend's random numbers are involved."""
    for salt, variable in enumerate(variables):
        shape = tuple(variable.shape)
        if variable.path.endswith("gamma"):
            variable.assign(1 + 0.1 * noise(shape, salt))
        else:
            variable.assign(noise(shape, salt) * np.sqrt(3 / max(1, np.prod(shape[:-1]))))


def check_golden(name, model, batch, rtol=1e-4):
    """A step from given weights, batch and noise gives the losses and weights in `golden/<name>.json`.

    The noise is a formula too: while this runs, `keras.random` returns it in place of random numbers. The golden files
    are written by hand alone, with `python tests/golden/write.py NAME`.

    Args:
        name: of the model's class; the file is called so in small letters.
        model: compiled with `keras.optimizers.SGD` for each player. Adam would divide rounding errors by themselves.
            Take a rate at which the greatest weight moves by less than a thousandth: then float32 agrees over the
            backends.
        batch: what `train_on_batch` takes, as a tuple.
    """
    path = GOLDEN / f"{name.lower()}.json"
    assert path.exists(), f"{path.name} is missing; write it by `python tests/golden/write.py {name}`"
    result = golden_step(model, batch)
    expected = json.loads(path.read_text())
    assert result.keys() == expected.keys()
    for key, wanted in expected.items():
        # The projections of a weight are relative to its norm, which comes first.
        scale = abs(wanted[0]) if isinstance(wanted, list) else 0.01
        np.testing.assert_allclose(result[key], wanted, rtol=rtol, atol=rtol * scale, err_msg=key)


def golden_step(model, batch):
    """Losses, and for each weight its norm and its projections on three fixed directions of length 1, after a step."""
    # Compiling a step for one batch takes TensorFlow twice as long, JAX half as long; the contract compiles on both.
    model.run_eagerly = keras.backend.backend() != "jax"
    fill(model.trainable_variables)
    with formula_noise():
        logs = model.train_on_batch(*batch, return_dict=True)
    result = {key: float(value) for key, value in sorted(logs.items()) if key != "loss"}  # the sum of others
    for player, variables in model._player_variables().items():
        for i, value in enumerate(values(variables)):
            probes = [noise(value.shape, salt=1000 + k).astype("float64") for k in range(3)]
            numbers = [float((value * probe).sum() / np.linalg.norm(probe)) for probe in probes]
            result[f"{player} {i}"] = [float(np.linalg.norm(value.astype("float64"))), *numbers]
    return result


class formula_noise:
    """Replace the draws of `keras.random` by fixed numbers of the same shape and range."""

    def __enter__(self):
        self.saved = {name: getattr(keras.random, name) for name in ("normal", "uniform", "randint")}

        def draw(shape):
            return noise(tuple(int(n) for n in shape), salt=77)

        keras.random.normal = lambda shape, *args, **kwargs: keras.ops.convert_to_tensor(draw(shape) * 3**0.5)
        keras.random.uniform = lambda shape, *args, **kwargs: keras.ops.convert_to_tensor((draw(shape) + 1) / 2)
        keras.random.randint = lambda shape, minval, maxval, *args, **kwargs: keras.ops.convert_to_tensor(
            (minval + (draw(shape) + 1) / 2 * (maxval - minval)).astype("int32")
        )

    def __exit__(self, *exc):
        for name, function in self.saved.items():
            setattr(keras.random, name, function)


# === Losses of a step against NumPy ===


@contextlib.contextmanager
def record(network):
    """Gives a list of what each call of a network returns in here, in float64, to compute the step's losses from."""
    seen, call = [], network.call

    def recorded(*args, **kwargs):
        outputs = call(*args, **kwargs)
        seen.append(keras.tree.map_structure(lambda t: keras.ops.convert_to_numpy(t).astype("float64"), outputs))
        return outputs

    network.call = recorded
    try:
        yield seen
    finally:
        network.call = call
