"""JAX: `keras.StatelessScope`s hold the state, one around the step and one inside each differentiated phase."""

import jax
import keras
from keras.random import SeedGenerator

__all__ = ["SeedGenerator", "TrainStep", "gradients", "input_gradient"]


def _current(variable, scope):
    value = scope.get_current_value(variable)
    return variable.value if value is None else value


def gradients(model, phase, groups):
    # A nested scope sees only its own mapping. It therefore starts with all current values, and values that changed are
    # assigned back to the outer scope.
    state = [*model.variables, *model.optimizer.variables, *model.metrics_variables]
    before = {id(v): v.value for v in state}
    wanted = list({id(v): v for group in groups.values() for v in group}.values())  # groups may share variables
    wanted_ids = {id(v) for v in wanted}

    def pure(values):
        now = before | {id(v): value for v, value in zip(wanted, values, strict=True)}
        with keras.StatelessScope(state_mapping=[(v, now[id(v)]) for v in state]) as scope:
            scalars = phase()
            after = {id(v): _current(v, scope) for v in state if id(v) not in wanted_ids}
        return {key: scalars[key] for key in groups}, (scalars, after)

    losses, pull_back, (scalars, after) = jax.vjp(pure, [v.value for v in wanted], has_aux=True)
    for v in state:
        if id(v) in after and after[id(v)] is not before[id(v)]:
            v.assign(after[id(v)])

    grads = {}
    for key, group in groups.items():
        # One pull-back per loss. XLA removes the code that zero cotangents and unused outputs make dead.
        cotangents = {k: jax.numpy.ones_like(v) if k == key else jax.numpy.zeros_like(v) for k, v in losses.items()}
        by_id = {id(v): grad for v, grad in zip(wanted, pull_back(cotangents)[0], strict=True)}
        grads[key] = [by_id[id(v)] for v in group]
    return scalars, grads


def input_gradient(fn, x):
    return jax.grad(lambda x: fn(x).sum())(x)


class TrainStep:
    def make_train_function(self, force=False):
        # Keras trains only variables that were made under the distribution; a network may have been loaded before.
        if distribution := keras.distribution.distribution():
            for v in [*self.variables, *self.optimizer.variables, *self.metrics_variables]:
                v.assign(keras.distribution.distribute_tensor(v.value, distribution.get_variable_layout(v)))
        super().make_train_function(force)

    def train_step(self, state, data):
        groups = [
            self.trainable_variables,
            self.non_trainable_variables,
            self.optimizer.variables,
            self.metrics_variables,
        ]
        return self._run_stateless(self.update, groups, state, data)

    def test_step(self, state, data):
        groups = [self.trainable_variables, self.non_trainable_variables, self.metrics_variables]
        return self._run_stateless(self.assess, groups, state, data)

    def _run_stateless(self, body, groups, state, data):
        mapping = [
            (v, x) for group, values in zip(groups, state, strict=True) for v, x in zip(group, values, strict=True)
        ]
        with keras.StatelessScope(state_mapping=mapping) as scope:
            logs = body(data)
            state = tuple([_current(v, scope) for v in group] for group in groups)
        return logs, state
