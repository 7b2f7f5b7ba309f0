"""What differs between the back ends: three names, the only code that imports TensorFlow, JAX or PyTorch for maths.

`gradients(model, phase, groups)`
    Runs `phase()`, which returns a dict of scalars, once. `groups` maps the keys of that dict that are losses to the
    variables each is to be differentiated by. Returns `(scalars, {key: gradients})`. All gradients are taken at the
    same point. What the phase assigns (batch-norm averages, seeds, class centres) is kept.
`input_gradient(fn, x)`
    The gradient of `sum(fn(x))` by `x`, itself differentiable by the variables that `fn` reads. `fn` must not assign
    state: no batch norm in training mode, no dropout.
`TrainStep`
    A mixin for `keras.Model` that turns `update(data)` and `assess(data)`, written as if all state were mutable, into
    the `train_step` and `test_step` of the back end.
"""

import keras

if keras.backend.backend() == "tensorflow":
    from kgan.backend.tensorflow import TrainStep, gradients, input_gradient
elif keras.backend.backend() == "jax":
    from kgan.backend.jax import TrainStep, gradients, input_gradient
elif keras.backend.backend() == "torch":
    from kgan.backend.torch import TrainStep, gradients, input_gradient
else:
    raise ImportError(
        f"kgan trains on the Keras backends tensorflow, jax and torch, not on {keras.backend.backend()!r}. "
        "Set the environment variable KERAS_BACKEND to one of them."
    )

__all__ = ["TrainStep", "gradients", "input_gradient"]
