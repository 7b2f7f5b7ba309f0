"""A training step by hand, with the backend's own tools, for models whose players learn from one forward pass."""

import torch  # before Keras: imported after TensorFlow it can crash the process

# isort: split
import keras


def one_pass(losses, net, optimizers, logged):
    """Return a step, a function of a batch that updates the players and returns the totals of all that is logged.

    Args:
        losses: function of the model, a batch and two functions that draw, `normal(shape)` and `labels(shape, below)`.
            It returns two lists of scalars: the players' losses, in their order, and what is logged beside them.
        net: the model, for its networks and variables.
        optimizers: a new one for each player.
        logged: number of scalars in both lists.
    """
    owned = list(net._player_variables().values())
    for optimizer, variables in zip(optimizers, owned, strict=True):
        optimizer.build(variables)
    return globals()[f"_{keras.backend.backend()}"](losses, net, owned, optimizers, logged)


def _tensorflow(losses, net, owned, optimizers, logged):
    import tensorflow as tf

    totals = tf.Variable(tf.zeros(logged))

    def labels(shape, below):
        return tf.random.uniform(shape, 0, below, "int32")

    @tf.function
    def step(batch):
        with tf.GradientTape(persistent=True) as tape:
            each, others = losses(net, batch, tf.random.normal, labels)
        grads = [tape.gradient(loss, [v.value for v in group]) for loss, group in zip(each, owned, strict=True)]
        for optimizer, grad in zip(optimizers, grads, strict=True):
            optimizer.apply(grad)
        return totals.assign_add(tf.stack([*each, *others]))

    return step


def _torch(losses, net, owned, optimizers, logged):
    totals = torch.zeros(logged)

    def labels(shape, below):
        return torch.randint(0, below, shape)

    def step(batch):
        each, others = losses(net, batch, torch.randn, labels)
        grads = [
            torch.autograd.grad(loss, [v.value for v in group], retain_graph=loss is not each[-1])
            for loss, group in zip(each, owned, strict=True)
        ]
        with torch.no_grad():
            for optimizer, grad in zip(optimizers, grads, strict=True):
                optimizer.apply(grad)
            return totals.add_(torch.stack([*each, *others]))

    return step


def _jax(losses, net, owned, optimizers, logged):
    import jax
    from jax import numpy as jnp

    state_of_net = [v for v in net.non_trainable_variables if keras.backend.is_float_dtype(v.dtype)]

    def update(state, batch):
        weights, moments, rest, key, totals = state
        key, *keys = jax.random.split(key, 5)
        keys = iter(keys)

        def normal(shape):
            return jax.random.normal(next(keys), shape)

        def labels(shape, below):
            return jax.random.randint(next(keys), shape, 0, below)

        def forward(weights):
            pairs = [pair for group, now in zip(owned, weights, strict=True) for pair in zip(group, now, strict=True)]
            pairs += zip(state_of_net, rest, strict=True)
            with keras.StatelessScope(state_mapping=pairs) as scope:
                each, others = losses(net, batch, normal, labels)
            return each, (jnp.stack([*each, *others]), [scope.get_current_value(v) for v in state_of_net])

        _, pull_back, (scalars, rest) = jax.vjp(forward, weights, has_aux=True)
        for i, optimizer in enumerate(optimizers):
            grads = pull_back([jnp.float32(i == j) for j in range(len(optimizers))])[0][i]
            weights[i], moments[i] = optimizer.stateless_apply(moments[i], grads, weights[i])
        return weights, moments, rest, key, totals + scalars

    weights = [[v.value.copy() for v in group] for group in owned]
    moments = [[v.value.copy() for v in optimizer.variables] for optimizer in optimizers]
    rest = [v.value.copy() for v in state_of_net]
    state = weights, moments, rest, jax.random.key(0), jnp.zeros(logged)
    compiled = jax.jit(update, donate_argnums=0)

    def step(batch):
        nonlocal state
        state = compiled(state, batch)
        return state[-1]

    return step
