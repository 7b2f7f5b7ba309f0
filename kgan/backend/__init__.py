"""The code that differs between the backends: four names, each implemented for TensorFlow, JAX and PyTorch.

No other code imports one of these libraries for maths.

`gradients(model, phase, groups)`
    Calls `phase()` once, which returns a dict of scalars. `groups` maps each key that is a loss to the variables to
    differentiate it with respect to. Returns `(scalars, {key: gradients})`. All gradients are taken at the same point.
    What the phase assigns (batch normalisation averages, seeds, class centres) is kept.
`input_gradient(fn, x)`
    Returns the gradient of `sum(fn(x))` with respect to `x`. The gradient is itself differentiable with respect to the
    variables that `fn` reads. `fn` must not assign state: no batch normalisation in training mode, no dropout.
`SeedGenerator`
    A `keras.random.SeedGenerator` from which each replica of `tf.distribute` draws numbers of its own.
`TrainStep`
    Mixin for `keras.Model` that implements the `train_step` and `test_step` of the backend. They call `update(data)`
    and `assess(data)`, which are written as if all state were mutable.
"""

import keras

if keras.backend.backend() == "tensorflow":
    from kgan.backend.tensorflow import SeedGenerator, TrainStep, gradients, input_gradient
elif keras.backend.backend() == "jax":
    from kgan.backend.jax import SeedGenerator, TrainStep, gradients, input_gradient
elif keras.backend.backend() == "torch":
    from kgan.backend.torch import SeedGenerator, TrainStep, gradients, input_gradient
else:
    raise ImportError(
        f"kgan trains on the Keras backends tensorflow, jax and torch, not on {keras.backend.backend()!r}. "
        "Set the environment variable KERAS_BACKEND to one of them."
    )

__all__ = ["SeedGenerator", "TrainStep", "gradients", "input_gradient"]
