"""A rehearsal: what a recipe's training would cost, from its option `--steps`."""

import sys
import time

import keras
import numpy as np


def rehearse(model, batches, steps, epochs, out):
    """Take some steps, print what the whole training costs on this machine, and end the run."""
    import resource  # which Windows does not have

    if len(batches) < 2:
        raise ValueError("--steps needs two batches: the first step compiles. Give more data.")
    ends = []

    def note(batch, logs):
        float(logs["loss"])  # waits for the device
        ends.append(time.perf_counter())

    clock = keras.callbacks.LambdaCallback(on_train_batch_end=note)
    model.steps_per_execution = 1  # for each to be timed
    steps = min(steps, len(batches))
    model.fit(batches, epochs=1, steps_per_epoch=steps, shuffle=False, verbose=0, callbacks=[clock])
    networks = [layer for layer in model.layers if layer.count_params()]
    sizes = ", ".join(f"{network.name} {network.count_params():,}" for network in networks)
    seconds = float(np.median(np.diff(ends)))
    hours = seconds * len(batches) * epochs / 3600
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)
    print(f"{type(model).__name__}: {model.count_params():,} parameters ({sizes})")
    print(f"{steps} steps: {seconds:.3g} s a step after the first, peak memory of the process {peak / 1e9:.1f} GB")
    print(f"This training, {epochs} epochs of {len(batches)} steps, takes about {hours:.3g} hours here.")
    raise Rehearsed(out)


class Rehearsed(Exception):
    """Ends a run after `--steps`; takes its temporary folder."""
