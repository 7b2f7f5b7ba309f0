"""Time of a multi-label classifier's training step on real and generated images, and the share of `MixedBatches`.

    KERAS_BACKEND=jax python tests/benchmarks/step_time_spl.py --width 0.5

`fit` of `MultiLabelClassifier`, and a loop by hand with the backend's own tools, take the same batches of
`MixedBatches`, 24 real and 24 generated images at 32x32x3, with the same network, optimizer and losses. Both count the
histograms from which `fit` logs the mean average precision. They run in turn, in one process, so that both see the same
noise of the machine. With --separate, generated images go through the network in a pass of their own. Milliseconds a
step, medians over the rounds; a ratio is the median of the ratios within the rounds, with their quartiles.
"""

import argparse
import time

import torch  # before Keras: imported after TensorFlow it can crash the process

# isort: split
import keras
import numpy as np
from keras import ops
from step_time import loop

import kgan
from kgan.metrics import MeanAveragePrecision
from kgan.models.soft_pseudo_labels.networks import build_small
from kgan.soft_pseudo_labels import MultiLabelClassifier

BACKEND = keras.backend.backend()
BATCH, CLASSES, SIZE = 24, 12, 32


def new_batches(steps):
    rng = np.random.default_rng(0)
    count = steps * BATCH
    pixels = [rng.integers(0, 256, (count, SIZE, SIZE, 3)).astype("uint8") for _ in range(2)]
    real = pixels[0], rng.integers(0, 2, (count, CLASSES))
    return kgan.data.MixedBatches(real, (pixels[1], rng.uniform(size=(count, CLASSES))), BATCH)


def new_model(width, separate):
    model = MultiLabelClassifier(CLASSES, build_small(SIZE, width), SIZE, separate=separate)
    model.compile(keras.optimizers.Adam(1e-3))
    return model


# === By hand ===


def concatenated(pair):
    return ops.concatenate([pair["real"], pair["generated"]])


def logits_of(network, images, separate):
    if not separate:
        return network(concatenated(images), training=True)
    real = network(images["real"], training=True)
    averages = [ops.copy(v.value) for v in network.non_trainable_variables]
    generated = network(images["generated"], training=True)
    for variable, average in zip(network.non_trainable_variables, averages, strict=True):
        variable.assign(average)
    return ops.concatenate([real, generated])


def loss_of(logits, labels):
    targets = concatenated(labels)
    entropies = ops.maximum(logits, 0.0) - logits * targets + ops.softplus(-ops.abs(logits))
    return 2 * ops.mean(entropies)  # real and generated images weigh the same


def hand_tensorflow(network, adam, metric, separate):
    import tensorflow as tf

    variables = [v.value for v in network.trainable_variables]
    total = tf.Variable(0.0)

    @tf.function
    def step(batch):
        images, labels = batch
        with tf.GradientTape() as tape:
            logits = logits_of(network, images, separate)
            loss = loss_of(logits, labels)
        adam.apply(tape.gradient(loss, variables))
        metric.update_state(labels["real"], logits[:BATCH])
        return total.assign_add(loss)

    return step


def hand_torch(network, adam, metric, separate):
    variables = [v.value for v in network.trainable_variables]
    total = torch.zeros(())

    def step(batch):
        images, labels = keras.tree.map_structure(torch.as_tensor, batch)
        logits = logits_of(network, images, separate)
        loss = loss_of(logits, labels)
        grads = torch.autograd.grad(loss, variables)
        with torch.no_grad():
            adam.apply(grads)
            metric.update_state(labels["real"], logits[:BATCH])
            return total.add_(loss)

    return step


def hand_jax(network, adam, metric, separate):
    import jax

    def forward(weights, averages, images, labels):
        if separate:
            real, kept = network.stateless_call(weights, averages, images["real"], training=True)
            generated, _ = network.stateless_call(weights, kept, images["generated"], training=True)
            logits = ops.concatenate([real, generated])
        else:
            logits, kept = network.stateless_call(weights, averages, concatenated(images), training=True)
        return loss_of(logits, labels), (kept, logits[:BATCH])

    @jax.jit
    def update(state, images, labels):
        weights, averages, moments, counts, total = state
        (loss, (averages, logits)), grads = jax.value_and_grad(forward, has_aux=True)(weights, averages, images, labels)
        weights, moments = adam.stateless_apply(moments, grads, weights)
        counts = metric.stateless_update_state(counts, labels["real"], logits)
        return weights, averages, moments, counts, total + loss

    groups = network.trainable_variables, network.non_trainable_variables, adam.variables, metric.variables
    state = (*([v.value for v in group] for group in groups), 0.0)

    def step(batch):
        nonlocal state
        state = update(state, *batch)
        return state[-1]

    return step


def hand(width, separate):
    model = new_model(width, separate)
    adam = keras.optimizers.Adam(1e-3)
    adam.build(model.network.trainable_variables)
    return globals()[f"hand_{BACKEND}"](model.network, adam, MeanAveragePrecision(CLASSES), separate)


# === Measurement ===


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--width", type=float, default=0.5, help="of the small backbone")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument(
        "--steps", type=int, default=40, help="steps in a round; a call of fit has some costs of its own"
    )
    parser.add_argument("--separate", action="store_true", help="a pass of their own for generated images")
    args = parser.parse_args()
    networks = args.width, args.separate
    batches, model, step = new_batches(args.steps), new_model(*networks), hand(*networks)
    rivals = {
        "fit": lambda: model.fit(batches, shuffle=False, verbose=0),
        "hand": lambda: loop(step, (batches[i] for i in range(args.steps))),
        "batches": lambda: [batches[i] for i in range(args.steps)],
    }
    spent = {name: [] for name in rivals}
    for r in range(args.rounds + 1):  # the first compiles and does not count
        for name in sorted(rivals, reverse=r % 2):
            start = time.perf_counter()
            rivals[name]()
            spent[name].append((time.perf_counter() - start) / args.steps)
    spent = {name: 1e3 * np.array(values[1:]) for name, values in spent.items()}
    print(f"{BACKEND}, width {args.width}: " + ", ".join(f"{k} {np.median(v):.2f} ms" for k, v in spent.items()))
    for name in ("hand", "batches"):
        first, second = ("fit", "hand") if name == "hand" else ("batches", "fit")
        low, median, high = np.quantile(spent[first] / spent[second], (0.25, 0.5, 0.75))
        print(f"{first} / {second}: {median:.3f} ({low:.3f}, {high:.3f})")


if __name__ == "__main__":
    main()
