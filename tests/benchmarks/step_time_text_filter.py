"""Time of a step of adversarial distillation: `fit`, and a loop by hand with the backend's own tools.

    KERAS_BACKEND=jax python tests/benchmarks/step_time_text_filter.py

Both have the same networks and optimizers (`kgan.text_filter.AdversarialDistiller`, a teacher of width 1/8, the whole
student, 4 images of 60x80), run the teacher and the student once, update the student and the discriminator of features
(eq. 2 to 6 of Zhao et al., 2019) and average their losses and seven other scalars over the steps. They run in turn, in
one process, so that both see the same noise of the machine. Milliseconds a step, medians over the rounds; the ratio is
the median of the ratios within the rounds, with their quartiles.
"""

import argparse

import torch  # noqa: F401  before Keras: imported after TensorFlow it can crash the process

# isort: split
import keras
import numpy as np
from by_hand import one_pass
from keras import ops
from step_time import compare

from kgan import text_filter


def model():
    made = text_filter.AdversarialDistiller(text_filter.TextTeacher(width=0.125), text_filter.TextStudent())
    made.compile()
    return made


# === By hand ===


def entropy(targets, logits):
    return ops.mean(ops.softplus(logits) - targets * logits)


def root_mean_square(values):
    return ops.sqrt(ops.mean(ops.square(values)))


def losses(net, batch, *_):
    """Those of the student and the discriminator, and what is logged."""
    (images,) = batch
    teacher = {name: ops.stop_gradient(value) for name, value in net.teacher(images, training=False).items()}
    student = net.student(images, training=True)
    features = teacher["features"], student["features"]
    real, fake = (ops.mean(ops.abs(net.discriminator(x) - x)) for x in features)
    balance = 0.75 * real - fake
    k = net.k + 0.0
    net.k.assign(ops.clip(k + 1e-3 * ops.stop_gradient(balance), 0.0, 1.0))
    targets = ops.sigmoid(teacher["logits"])
    soft_label = entropy(targets, student["logits"])
    norms = [root_mean_square(x) for x in features]
    agreement = ops.mean(ops.cast((features[0] > 0) == (features[1] > 0), "float32"))
    others = [soft_label, soft_label - entropy(targets, teacher["logits"]), fake, k, real + ops.abs(balance)]
    return [soft_label + 0.2 * fake, real - k * fake], [*others, norms[1] / norms[0], agreement]


def hand():
    return one_pass(losses, model(), [keras.optimizers.SGD(1e-4), keras.optimizers.SGD(2e-4)], 9)


# === Measurement ===


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--steps", type=int, default=60, help="steps in a round; a call of fit has costs of its own")
    args = parser.parse_args()
    images = np.random.default_rng(0).uniform(0, 255, (4, 60, 80, 3)).astype("float32")
    compare(model(), hand(), (images,), args.rounds, args.steps, "AdversarialDistiller")


if __name__ == "__main__":
    main()
