"""`AdversarialModel`: several networks with losses and optimizers of their own, trained by one `fit`."""

from functools import partial
from typing import NamedTuple

import keras
import numpy as np
from keras import ops

from kgan import backend


class Phase(NamedTuple):
    """One update of a training step.

    Args:
        run: method `run(*batch, training)` that returns a dict of scalars. A player's name is that player's loss, any
            other name is only logged.
        players: names of the players that the phase updates.
        repeats: how often it runs in a step, each time on a share of the batch of its own.
    """

    run: callable
    players: tuple
    repeats: int = 1


class AdversarialModel(backend.TrainStep, keras.Model):
    """Base of all adversarial models: players, phases and one optimizer a player.

    A subclass builds its networks in `__init__`, so that `fit` has nothing left to build, and says three things:

    - `players`: `{player: names of the attributes that hold its networks}`. A variable belongs to at most one player,
      unless `exclusive` is False: then it is moved by the optimizer of each of its players, in the order of the phases.
      A network that belongs to none is frozen.
    - `phases()`: the `Phase`s of a step, in order. All gradients of a phase are taken at the same point, from one
      forward pass, and only then applied.
    - `logged`: names of the scalars that the phases return beside the losses.

    Phases are written in `keras.ops` as if all state were mutable: they may call batch norm, draw from
    `self.seed_generator` and assign non-trainable weights. With `training=False` the model is evaluated: no gradients
    are taken, and nothing that a phase assigns is kept.

    Where a phase repeats (`n_critic`), the batch that `fit` delivers is dealt out in that many shares, so that each
    repetition sees fresh data; phases that run once get the first share.

    Saved files (`.keras`, `.weights.h5`) hold the optimizers and the state of all seed generators too, so that a
    restored model takes exactly the step that the saved one would have taken.

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

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.seed_generator = keras.random.SeedGenerator()
        # Keras averages over an epoch only what `metrics` returns, so all trackers exist from the start.
        names = [*(f"{player}_loss" for player in self.players), *self.logged]
        self._trackers = {name: keras.metrics.Mean(name=name) for name in names}
        self.built = True

    def phases(self):
        raise NotImplementedError(f"{type(self).__name__} must define phases()")

    def default_optimizers(self):
        """`{player: optimizer}` that `compile()` uses; a subclass gives its paper's. Here: those of DCGAN."""
        return {player: keras.optimizers.Adam(2e-4, beta_1=0.5) for player in self.players}

    def check_batch(self, *batch):
        """Raise a `ValueError` where the data is not what the model takes. The base class takes anything."""

    # === Compilation ===

    def compile(self, optimizers=None, run_eagerly=False, steps_per_execution=1, jit_compile="auto"):
        """Give each player its optimizer.

        Args:
            optimizers: dict `{player: keras.optimizers.Optimizer}`, one for each player; default: those of the paper.
            run_eagerly, steps_per_execution, jit_compile: as in `keras.Model.compile`.

        Raises:
            ValueError: a player without an optimizer, an unknown player, one optimizer for two players, a variable of
            two players, a player without a variable.
        """
        if keras.config.dtype_policy().name == "mixed_float16":
            raise ValueError("mixed_float16 needs loss scaling per player, which is not supported; use mixed_bfloat16.")
        optimizers = self.default_optimizers() if optimizers is None else dict(optimizers)
        owned = self._player_variables()
        if optimizers.keys() != owned.keys():
            raise ValueError(
                f"compile() needs one optimizer for each of the players {sorted(owned)}, got {sorted(optimizers)}."
            )
        if len({id(optimizer) for optimizer in optimizers.values()}) < len(optimizers):
            raise ValueError("Each player needs an optimizer object of its own; one was given to several players.")

        played = {id(getattr(self, name)) for names in self.players.values() for name in names}
        for layer in self.layers:
            if id(layer) not in played:
                layer.trainable = False
        owner = {}
        for player, variables in owned.items():
            if not variables:
                raise ValueError(f"{player} has nothing to train: its networks {self.players[player]} are frozen.")
            optimizers[player].name = player  # so that logs say `learning_rate_generator`
            for variable in variables:
                if (other := owner.setdefault(id(variable), player)) != player and self.exclusive:
                    raise ValueError(f"{variable.path} belongs to two players: {other} and {player}.")
        optimizer = _PlayerOptimizers(_Owners(optimizers, owner), owned)
        super().compile(
            optimizer=optimizer,
            run_eagerly=run_eagerly,
            steps_per_execution=steps_per_execution,
            jit_compile=jit_compile,
        )

    def get_compile_config(self):
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
        """Each variable once, though networks of a player may share layers."""
        found = {}
        for player, names in self.players.items():
            variables = (variable for name in names for variable in getattr(self, name).trainable_variables)
            found[player] = list({id(variable): variable for variable in variables}.values())
        return found

    # === Training and evaluation ===

    def fit(self, x=None, y=None, *args, sample_weight=None, **kwargs):
        """`keras.Model.fit`. Arrays are checked first (`check_batch`), of a `keras.utils.PyDataset` its first batch."""
        batch = _unpack(x[0] if isinstance(x, keras.utils.PyDataset) else (x, y, sample_weight))
        if isinstance(x, (np.ndarray, dict, keras.utils.PyDataset)):
            self.check_batch(*batch)
        return super().fit(x, y, *args, **kwargs)

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
        """Yield each run of each phase with its share of the batch and the size of the whole."""
        batch = keras.tree.map_structure(ops.convert_to_tensor, _unpack(data))
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
        # Keras counts the state of seed generators among the variables, but not among the weights, which are all it
        # saves.
        weights = {id(v) for v in self.weights}
        return [v for v in self.variables if id(v) not in weights]


class _PlayerOptimizers(keras.optimizers.MultiOptimizer):
    """The optimizers of all players, in one as Keras wants it.

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
        # Keras pairs averages with variables by their places, and those of the model are in another order.
        for optimizer in self.optimizers:
            optimizer.finalize_variable_values(self.owned[optimizer.name])


class _Owners(NamedTuple):
    """What `MultiOptimizer` asks: all optimizers, and that of a variable: its first player's."""

    optimizers: dict
    first: dict  # of the identity of a variable

    def values(self):
        return self.optimizers.values()

    def __call__(self, variable):
        return self.optimizers[self.first[id(variable)]]


def _unpack(data):
    """The batch as a tuple of what is there: `(x,)` or `(x, y)`."""
    x, y, sample_weight = keras.utils.unpack_x_y_sample_weight(data)
    if sample_weight is not None:
        raise ValueError("Adversarial models take no sample weights.")
    return (x,) if y is None else (x, y)


def _share(tensor, i, shares):
    """Every `shares`-th row from row `i` on. A batch that does not divide wraps around, so that no share is empty."""
    size = ops.shape(tensor)[0]
    rows = (ops.arange((size + shares - 1) // shares) * shares + i) % size
    return ops.take(tensor, rows, axis=0)
