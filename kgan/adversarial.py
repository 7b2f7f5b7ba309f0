"""`AdversarialModel`: trains several networks in one `fit`, each with its own loss and optimizer."""

from functools import partial
from typing import NamedTuple

import keras
from keras import ops

from kgan import backend
from kgan.training import ChecksFirstBatch, TrainsSome


class Phase(NamedTuple):
    """One update within a training step.

    Args:
        run: method `run(*batch, training)` that returns a dict of scalars. A key that names a player holds the loss of
            this player. All other keys are only logged.
        players: names of the players that the phase updates.
        repeats: number of runs in one step. Each run gets its own share of the batch.
    """

    run: callable
    players: tuple
    repeats: int = 1


class AdversarialModel(TrainsSome, ChecksFirstBatch, backend.TrainStep, keras.Model):
    """Base class of all adversarial models, with players, phases and one optimizer per player.

    A subclass builds its networks in `__init__`, so that `fit` has nothing left to build, and defines three members:

    - `players`: dict `{player: names of the attributes that hold its networks}`. A variable belongs to at most one
      player. With `exclusive = False`, players may share a variable; the optimizer of each of these players then
      updates it, in the order of the phases. A network that belongs to no player is not trained. Where the names of the
      players depend on the arguments of a model, it passes them to `__init__` of this class.
    - `phases()`: returns the `Phase`s of a step, in order. A phase runs one forward pass, takes all its gradients at
      the same point and then applies them.
    - `logged`: names of the scalars that the phases return in addition to the losses.

    Phases are written in `keras.ops` as if all state were mutable. They may call batch normalisation, draw from
    `self.seed_generator` and assign non-trainable weights. Evaluation runs the phases with `training=False`: it takes
    no gradients and discards everything that a phase assigns.

    If a phase repeats `n` times, the batch from `fit` is split into `n` shares, so that each run sees fresh data.
    Phases that run once get the first share.

    Saved files (`.keras`, `.weights.h5`) also hold the optimizers and the state of all seed generators. A restored
    model takes exactly the step that the saved model would have taken.

    Example:

    ```python
    import keras, numpy as np
    from keras import ops
    from kgan.adversarial import AdversarialModel, Phase

    class Duel(AdversarialModel):
        players = {"left": ("left",), "right": ("right",)}

        def __init__(self):
            super().__init__()
            self.left = keras.Sequential([keras.Input((1,)), keras.layers.Dense(1)])
            self.right = keras.Sequential([keras.Input((1,)), keras.layers.Dense(1)])

        def phases(self):
            return [Phase(self.duel, ("left", "right"))]

        def duel(self, x, training):
            gap = ops.mean(self.left(x) - self.right(x))
            return {"left": gap, "right": -gap}

    model = Duel()
    model.compile(optimizers={"left": keras.optimizers.SGD(), "right": keras.optimizers.SGD()})
    model.fit(np.ones((8, 1), "float32"), verbose=0)
    ```
    """

    players = {}
    logged = ()
    exclusive = True

    def __init__(self, players=None, /, **kwargs):
        super().__init__(**kwargs)
        if players is not None:
            self.players = players
        self.seed_generator = backend.SeedGenerator()
        # Over an epoch, Keras averages only what `metrics` returns, so all trackers exist from the start.
        names = [*(f"{player}_loss" for player in self.players), *self.logged]
        self._trackers = {name: keras.metrics.Mean(name=name) for name in names}
        self.built = True

    def phases(self):
        raise NotImplementedError(f"{type(self).__name__} must define phases()")

    def default_optimizers(self):
        """Return the `{player: optimizer}` that `compile()` uses by default.

        Subclasses return the optimizers of their paper. The base class returns those of DCGAN.
        """
        return {player: keras.optimizers.Adam(2e-4, beta_1=0.5) for player in self.players}

    def check_batch(self, *batch):
        """Raise a `ValueError` if the model cannot take the data. The base class accepts anything."""

    # === Compilation ===

    def compile(self, optimizers=None, run_eagerly=False, steps_per_execution=1, jit_compile="auto"):
        """Assign an optimizer to each player.

        Args:
            optimizers: dict `{player: keras.optimizers.Optimizer}` with one entry per player. Default: the optimizers
                of the paper.
            run_eagerly, steps_per_execution, jit_compile: as in `keras.Model.compile`.

        Raises:
            ValueError: if a player has no optimizer, a player is unknown, two players share an optimizer or a variable,
                a player has no trainable variable, or the dtype policy is `mixed_float16`.
        """
        if keras.config.dtype_policy().name == "mixed_float16":
            raise ValueError("mixed_float16 needs loss scaling per player, which is not supported; use mixed_bfloat16.")
        if not isinstance(optimizers, dict | None):
            raise ValueError(f"optimizers={optimizers!r}: pass a dict with one optimizer for each player.")
        optimizers = self.default_optimizers() if optimizers is None else dict(optimizers)
        owned = self._player_variables()
        if optimizers.keys() != owned.keys():
            raise ValueError(
                f"compile() needs one optimizer for each of the players {sorted(owned)}, got {sorted(optimizers)}."
            )
        if len({id(optimizer) for optimizer in optimizers.values()}) < len(optimizers):
            raise ValueError("One optimizer object was given to several players; create one for each player.")

        owner = {}
        for player, variables in owned.items():
            if not variables:
                raise ValueError(
                    f"{player} has nothing to train: its networks {self.players[player]} are frozen; "
                    "set trainable=True on at least one."
                )
            optimizers[player].name = player  # so that logs contain `learning_rate_generator`
            for variable in variables:
                if (other := owner.setdefault(id(variable), player)) != player and self.exclusive:
                    raise ValueError(
                        f"{variable.path} belongs to two players: {other} and {player}; assign its network to one."
                    )
        optimizer = _PlayerOptimizers(_Owners(optimizers, owner), owned)
        super().compile(
            optimizer=optimizer,
            run_eagerly=run_eagerly,
            steps_per_execution=steps_per_execution,
            jit_compile=jit_compile,
        )

    def get_compile_config(self):
        if not self.compiled:
            return {}
        return {
            "optimizers": {o.name: keras.saving.serialize_keras_object(o) for o in self.optimizer.optimizers},
            "run_eagerly": self.run_eagerly,
            "steps_per_execution": self.steps_per_execution,
            "jit_compile": self.jit_compile,
        }

    def compile_from_config(self, config):
        optimizers = {p: keras.saving.deserialize_keras_object(o) for p, o in config["optimizers"].items()}
        self.compile(**{**config, "optimizers": optimizers})

    def _player_variables(self):
        """Return `{player: variables}`, with each variable once even if networks of the player share layers."""
        found = {}
        for player, names in self.players.items():
            variables = (variable for name in names for variable in getattr(self, name).trainable_variables)
            found[player] = list({id(variable): variable for variable in variables}.values())
        return found

    def trained(self):
        return [variable for variables in self._player_variables().values() for variable in variables]

    # === Training and evaluation ===

    def update(self, data):
        optimizers = {optimizer.name: optimizer for optimizer in self.optimizer.optimizers}
        owned = self._player_variables()
        for phase, batch, size in self._schedule(data):
            scalars, grads = backend.gradients(
                self, partial(phase.run, *batch, training=True), {player: owned[player] for player in phase.players}
            )
            for player in phase.players:
                optimizers[player].apply(grads[player], owned[player])
            self._track(scalars, size)
        self.optimizer.iterations.assign_add(1)
        return self.get_metrics_result()

    def assess(self, data):
        for phase, batch, size in self._schedule(data):
            with keras.StatelessScope(state_mapping=[(v, v.value) for v in self.variables]):
                scalars = phase.run(*batch, training=False)
            self._track(scalars, size)
        return self.get_metrics_result()

    def _schedule(self, data):
        """Yield `(phase, share of the batch, size of the whole batch)` for each run of each phase."""
        batch = keras.tree.map_structure(_as_tensor, self.unpack(data))
        size = ops.shape(keras.tree.flatten(batch)[0])[0]
        phases = self.phases()
        shares = max(phase.repeats for phase in phases)
        for phase in phases:
            for i in range(phase.repeats):
                share = partial(_share, i=i, shares=shares)
                yield phase, batch if shares == 1 else keras.tree.map_structure(share, batch), size

    def _track(self, scalars, size):
        for name, value in scalars.items():
            name = f"{name}_loss" if name in self.players else name
            self._trackers[name].update_state(value, sample_weight=size)

    @property
    def metrics(self):
        return list(self._trackers.values())

    def get_metrics_result(self):
        """Return all logs, with the sum of the players' losses as `loss`.

        The sum says nothing about quality. It is for callbacks of Keras that read `loss`, such as `TerminateOnNaN`.
        """
        logs = super().get_metrics_result()
        return {"loss": sum(logs[f"{player}_loss"] for player in self.players), **logs}

    # === Saving ===

    def save_own_variables(self, store):
        super().save_own_variables(store)
        for i, state in enumerate(self._seed_states()):
            store[f"seed_{i}"] = state.numpy()

    def load_own_variables(self, store):
        seeds = self._seed_states()
        super().load_own_variables({key: store[key] for key in store.keys() if not key.startswith("seed_")})
        for i, state in enumerate(seeds):
            state.assign(store[f"seed_{i}"])

    def _seed_states(self):
        # Keras lists the state of seed generators in `variables` but not in `weights`, and saves only `weights`.
        weights = {id(v) for v in self.weights}
        return [v for v in self.variables if id(v) not in weights]


class _PlayerOptimizers(keras.optimizers.MultiOptimizer):
    """Combines the optimizers of all players into the one optimizer that Keras expects.

    Args:
        owners: `_Owners`.
        owned: `{player: variables}`.
    """

    def __init__(self, owners, owned):
        super().__init__(owners)
        self.owned = owned
        for optimizer in self.optimizers:
            optimizer.build(owned[optimizer.name])
        self.build([variable for variables in owned.values() for variable in variables])

    def finalize_variable_values(self, var_list):
        # Keras matches averages to variables by position, but the variables of the model are in another order.
        for optimizer in self.optimizers:
            optimizer.finalize_variable_values(self.owned[optimizer.name])


class _Owners(NamedTuple):
    """The map that `MultiOptimizer` expects. It assigns each variable the optimizer of its first player."""

    optimizers: dict
    first: dict  # `{id(variable): player}`

    def values(self):
        return self.optimizers.values()

    def __call__(self, variable):
        return self.optimizers[self.first[id(variable)]]


def _as_tensor(leaf):
    """Convert to a tensor, and to float32 from the float64 that `floatx` may ask for.

    Networks end in float32, under any policy. TensorFlow does not compute with two types of float at once.
    """
    tensor = ops.convert_to_tensor(leaf)
    return ops.cast(tensor, "float32") if keras.backend.standardize_dtype(tensor.dtype) == "float64" else tensor


def _share(tensor, i, shares):
    """Return every `shares`-th row, starting at row `i`.

    If the batch does not divide evenly, the indices wrap around, so that no share is empty.
    """
    size = ops.shape(tensor)[0]
    rows = (ops.arange((size + shares - 1) // shares) * shares + i) % size
    return ops.take(tensor, rows, axis=0)
