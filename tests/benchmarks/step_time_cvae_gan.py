"""Time of CVAE-GAN's training step: `fit`, and a loop by hand with the backend's own tools.

    KERAS_BACKEND=jax python tests/benchmarks/step_time_cvae_gan.py --width 0.25

Both have the same networks and optimizers (`kgan.CVAEGAN`, 32x32x3, batch 32, 12 classes), take the losses of eq. 1 to
7 from one forward pass, update the four players and average their losses and nine other scalars over the steps. They
run in turn, in one process, so that both see the same noise of the machine. Milliseconds a step, medians over the
rounds; the ratio is the median of the ratios within the rounds, with their quartiles.
"""

import argparse

import torch  # noqa: F401  before Keras: imported after TensorFlow it can crash the process

# isort: split
import keras
import numpy as np
from by_hand import one_pass
from keras import ops
from step_time import compare

import kgan

BATCH, CLASSES, LATENT = 32, 12, 64


def model(width):
    made = kgan.CVAEGAN(CLASSES, 32, 3, LATENT, width)
    made.compile()
    return made


# === By hand ===


def distance(first, second):
    return 0.5 * ops.mean(ops.sum(ops.square(ops.reshape(first - second, (BATCH, -1))), axis=1))


def cross_entropy(labels, logits):
    return ops.mean(ops.sparse_categorical_crossentropy(labels, logits, from_logits=True))


def losses(net, batch, normal, labels):
    """Those of C, D, G and E, and what is logged."""
    images, real_labels = batch
    one_hot = ops.one_hot(real_labels, CLASSES)
    code = net.encoder([images, one_hot], training=True)
    mean, log_variance = code["mean"], code["log_variance"]
    latents = mean + normal((BATCH, LATENT)) * ops.exp(0.5 * log_variance)
    kl = 0.5 * ops.mean(ops.sum(ops.square(mean) + ops.exp(log_variance) - log_variance - 1, axis=1))
    prior_labels = labels((BATCH,), CLASSES)
    codes = net.decoder([latents, one_hot], training=True)
    prior = net.generator([normal((BATCH, LATENT)), ops.one_hot(prior_labels, CLASSES)], training=True)
    d_real, d_codes, d_prior = (net.discriminator(x, training=True) for x in (images, codes, prior))
    c_real, c_codes, c_prior = (net.classifier(x, training=True) for x in (images, codes, prior))

    pixel = distance(images, codes)
    pair_d, pair_c = (distance(a["features"], b["features"]) for a, b in ((d_real, d_codes), (c_real, c_codes)))
    d_means = (ops.mean(x["features"], axis=0) for x in (d_real, d_prior))
    c_means = net.centres(c_real["features"], real_labels, c_prior["features"], prior_labels)
    mean_d, mean_c = (0.5 * ops.sum(ops.square(real - fake)) for real, fake in (d_means, c_means))
    pairwise = pixel + pair_d + pair_c

    true, *wrong = (x["logits"] for x in (d_real, d_codes, d_prior))
    d_loss = ops.mean(ops.softplus(-true)) + sum(ops.mean(ops.softplus(logits)) for logits in wrong)
    g_loss, e_loss = pairwise + 1e-3 * mean_d + 1e-3 * mean_c, 3 * kl + pairwise
    hits = true > 0, ops.concatenate(wrong) < 0, ops.argmax(c_real["logits"], axis=1) == real_labels
    accuracies = [ops.mean(ops.cast(hit, "float32")) for hit in hits]
    each = [cross_entropy(real_labels, c_real["logits"]), d_loss, g_loss, e_loss]
    return each, [kl, pixel, pair_d, pair_c, mean_d, mean_c, *accuracies]


def hand(width):
    return one_pass(losses, model(width), [keras.optimizers.Adam(2e-4, beta_1=0.5) for _ in range(4)], 13)


# === Measurement ===


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--steps", type=int, default=60, help="steps in a round; a call of fit has costs of its own")
    parser.add_argument("--width", type=float, default=0.125)
    args = parser.parse_args()
    images = np.random.default_rng(0).uniform(-1, 1, (BATCH, 32, 32, 3)).astype("float32")
    batch = images, np.arange(BATCH, dtype="int32") % CLASSES
    rivals = model(args.width), hand(args.width)
    compare(*rivals, batch, args.rounds, args.steps, f"CVAEGAN, width {args.width}")


if __name__ == "__main__":
    main()
