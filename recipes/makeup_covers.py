"""The network that finds hair, glasses and hands in front of a face, so that they are not made up.

    python recipes/makeup_covers.py                                # a few drawn faces, to see that it runs
    python recipes/makeup_covers.py --preset small --out runs/covers                   # the one in the package
    python export/covers.py runs/covers/model.keras                                    # its file

The paper says nothing about what hides a face. Colours alone find hair and most things, but neither hands nor the
frames of glasses (results/makeup.md). The network learns from drawn faces, where what hides them is known
(kgan/data/faces/covered.py), and sees colours, what colours alone say, and how well the pose shows each texel.

A face takes 0.2 MB of memory: --preset small needs 3 GB, --preset paper 11 GB.

Writes to --out, beside what every run writes (recipes/README.md): model.keras, and covers.png: test faces, what hides
them, and what the network finds.
"""

import multiprocessing
import os
from functools import partial

import common
import keras
import numpy as np
from keras import ops
from scipy.special import expit

from kgan import plots
from kgan.data.batches import Batches
from kgan.data.faces.covered import KINDS, load_covered
from kgan.models.makeup.networks import build_cover_network

QUICK = {"data": "synthetic/faces", "count": 600, "test_count": 120, "epochs": 2, "batch_size": 32, "width": 1.0}
SMALL = QUICK | {"count": 12000, "test_count": 600, "epochs": 6}
PAPER = SMALL | {"count": 50000, "epochs": 20}
LEARNING_RATE = 3e-3
CHUNK = 100  # faces drawn at once
SHOWN = 12  # faces in the picture


def main():
    options = common.parse_options(__doc__, (QUICK, SMALL, PAPER))
    if options.data != QUICK["data"]:
        raise ValueError(f"--data {options.data}: this recipe learns from {QUICK['data']} alone; leave it out.")
    common.check_run(options)
    test = drawn("test", options.test_count, options.seed, ("features", "cover", "visible", "texture", "kind"))
    out = common.open_run(options)
    model = common.keep(out / "model.keras", partial(train, out, options), options)
    found = expit(model.predict(test["features"], verbose=0))
    results = overlaps(found, test)
    common.write(out / "metrics.json", results)
    shown = test["texture"][:SHOWN] / 127.5 - 1
    masks = [np.repeat(2 * mask[:SHOWN] - 1, 3, axis=-1) for mask in (test["cover"] / 255, found)]
    picture = plots.image_grid(np.concatenate([shown, *masks]), len(shown))
    plots.save_image(out / "covers.png", picture)
    columns = {"in front": list(results), "IoU": [f"{value:.3f}" for value in results.values()]}
    report = f"# What is in front of drawn faces\n\n{common.table(columns)}\n{common.provenance(options)}"
    common.finish(out, report, out / "covers.png")


def drawn(split, count, seed, names):
    """Draws faces on all processors: some arrays of `kgan.data.faces.covered.load_covered`."""
    tasks = [(split, min(CHUNK, count - first), seed, first) for first in range(0, count, CHUNK)]
    arrays = {}
    # Spawned, because a fork would copy the state of this process's threads in mid-step.
    with multiprocessing.get_context("spawn").Pool(os.cpu_count()) as pool:
        for (_, number, _, first), part in zip(tasks, pool.imap(_drawn, tasks), strict=True):
            for name in names:
                whole = arrays.setdefault(name, np.empty((count, *part[name].shape[1:]), part[name].dtype))
                whole[first : first + number] = part[name]
    return arrays


def _drawn(task):
    return load_covered(*task)


def train(out, options):
    common.set_seed(options.seed, options.devices)
    faces = drawn("train", options.count, options.seed, ("features", "cover", "visible"))
    truth = np.concatenate([faces["cover"], faces["visible"]], axis=-1)
    model = build_cover_network(options.width)
    batches = Batches(faces["features"], truth, options.batch_size, options.seed)
    optimizer = common.decaying_adam(LEARNING_RATE, options.epochs * len(batches))
    # On CPUs, TensorFlow's own convolutions are faster than those that XLA compiles.
    jit_compile = False if keras.backend.backend() == "tensorflow" else "auto"
    model.compile(optimizer, cover_loss, jit_compile=jit_compile)
    # Builds the loss. `fit` would take batches for that, and a resumed run would see others than one that went on.
    model.evaluate(faces["features"][: options.devices], truth[: options.devices], verbose=0)
    common.train(model, batches, out, options)
    return model


@keras.saving.register_keras_serializable("kgan")
def cover_loss(truth, logits):
    """Cross entropy and half of the Dice loss, of the texels that the pose shows.

    Args:
        truth: `(batch, height, width, 2)`, how much of each texel is hidden, and how well the pose shows it, 0 to 255.
        logits: `(batch, height, width, 1)`.
    """
    hidden, visible = ops.split(ops.cast(truth, "float32") / 255, 2, axis=-1)
    entropy = ops.binary_crossentropy(hidden, logits, from_logits=True)
    entropy = ops.sum(entropy * visible) / (ops.sum(visible) + 1)
    dice = keras.losses.dice(hidden * visible, ops.sigmoid(logits) * visible, axis=(1, 2, 3))
    return entropy + 0.5 * ops.mean(dice)


def overlaps(found, test):
    """Mean intersection over union, `{what is in front: IoU}`; of "nothing", the share of the face not called hidden.

    Faces whose cover hides nothing that the pose shows do not count.

    Args:
        found: float32 `(n, height, width, 1)` in [0, 1].
        test: what `load_covered` returned.
    """
    seen = test["visible"] > 127
    hidden, truth = (found > 0.5) & seen, (test["cover"] > 127) & seen
    both, either, face = (mask.sum(axis=(1, 2, 3)) for mask in (hidden & truth, hidden | truth, seen))
    nothing = test["kind"] == list(KINDS).index("nothing")
    values = np.where(nothing, 1 - either / face, both / np.maximum(either, 1))
    counts = nothing | truth.any(axis=(1, 2, 3))
    of_kinds = {kind: values[counts & (test["kind"] == number)] for number, kind in enumerate(KINDS)}
    return {kind: float(some.mean()) for kind, some in of_kinds.items() if len(some)}


if __name__ == "__main__":
    common.run(main)
