"""The devices of a recipe's run, from its option `--devices`."""

import contextlib

import keras

_scope = contextlib.ExitStack()


def check(options):
    """Refuse more devices than there are, and batches that they cannot share."""
    count, backend = options.devices, keras.backend.backend()
    if count == 1:
        return
    if backend == "torch":
        raise ValueError(f"--devices {count}: Keras trains on one device with PyTorch; use JAX or TensorFlow.")
    there = keras.distribution.list_devices()
    if count > len(there):
        more = "; XLA_FLAGS=--xla_force_host_platform_device_count=N makes N of a CPU" if backend == "jax" else ""
        raise ValueError(f"--devices {count}: {backend} finds {len(there)}, {', '.join(there)}{more}.")
    for name, value in vars(options).items():
        if name.endswith("batch_size") and value % count:
            raise ValueError(f"--devices {count}: they cannot share {name}={value}; choose a number that divides it.")


def use(count):
    """Train the model that is built next on so many devices, which share each batch, until `close()`."""
    close()
    if count == 1:
        return
    devices = keras.distribution.list_devices()[:count]
    if keras.backend.backend() == "jax":
        scope = keras.distribution.DataParallel(devices=devices).scope()
    else:
        import tensorflow as tf

        scope = tf.distribute.MirroredStrategy(devices).scope()
    _scope.enter_context(scope)


def close():
    """Leave the devices of `use`: what is built next is on one."""
    _scope.close()
