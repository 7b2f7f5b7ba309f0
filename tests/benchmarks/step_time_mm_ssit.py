"""Time of MM-SSIT's training step: `fit`, and a loop by hand with the backend's own tools.

    KERAS_BACKEND=jax python tests/benchmarks/step_time_mm_ssit.py --width 0.25

Both have the same networks and optimizers (`kgan.MMSSIT`, 32x32x3, batch 50), take the losses of eq. 7 from one forward
pass, update both players and average the eight losses and accuracies over the steps. They run in turn, in one process,
so that both see the same noise of the machine. Milliseconds a step, medians over the rounds; the ratio is the median of
the ratios within the rounds, with their quartiles.
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

BATCH, CLASSES = 50, 10


def model(width):
    made = kgan.MMSSIT(CLASSES, width=width)
    made.compile()
    return made


# === By hand ===


def cross_entropy(labels, logits):
    return ops.sparse_categorical_crossentropy(labels, logits, from_logits=True)


def mean_where(mask, values):
    mask = ops.cast(mask, "float32")
    return ops.sum(mask * values) / ops.maximum(ops.sum(mask), 1.0)


def losses(net, batch, normal, _):
    """Eq. 1 to 7 with all weights 1 in one place: those of the discriminators and of the rest, and what is logged."""
    images, labels = [batch["images_a"], batch["images_b"]], [batch["labels_a"], batch["labels_b"]]
    content_encoders, decoders = (net.content_encoder_a, net.content_encoder_b), (net.decoder_a, net.decoder_b)
    style_encoders = net.style_encoder_a, net.style_encoder_b
    judges = net.style_discriminator_a, net.style_discriminator_b
    codes = [encoder(x, training=True) for encoder, x in zip(content_encoders, images, strict=True)]
    priors = [normal((BATCH, net.style_dim)) for _ in range(2)]
    d_loss = ae_loss = 0.0
    logged = []
    for i in range(2):
        content, style = codes[i]["content"], style_encoders[i](codes[i]["stem"], training=True)
        real, fake = judges[i](priors[i], training=True), judges[i](style, training=True)
        matched = ops.mean(ops.softplus(-fake))
        found = net.domain_classifier(content, training=True)
        domain = ops.mean(cross_entropy(ops.full((BATCH,), i, dtype="int32"), found))
        d_loss += ops.mean(ops.softplus(-real)) + ops.mean(ops.softplus(fake)) + domain

        logits = net.category_classifier(content, training=True)
        known = labels[i] >= 0
        label = mean_where(known, cross_entropy(ops.maximum(labels[i], 0), logits))
        translated = decoders[1 - i]([content, priors[1 - i]], training=True)
        again = net.category_classifier(content_encoders[1 - i](translated, training=True)["content"], training=True)
        kept = mean_where(known, cross_entropy(ops.maximum(labels[i], 0), again))
        own = mean_where(labels[i] < 0, cross_entropy(ops.argmax(ops.stop_gradient(logits), axis=1), again))
        error = ops.reshape(decoders[i]([content, style], training=True) - images[i], (BATCH, -1))
        reconstruction = ops.mean(ops.sqrt(ops.sum(ops.square(error), axis=1) + 1e-12))
        ae_loss += matched - domain + label + kept + own + reconstruction

        right = ops.mean(ops.cast(ops.argmax(found, axis=1) == i, "float32")) / 2
        told = ops.mean(ops.cast(real > 0, "float32")) + ops.mean(ops.cast(fake < 0, "float32"))
        logged.append([matched, domain, label, kept, own, reconstruction, right, told / 4])
    return [d_loss, ae_loss], [sum(pair) for pair in zip(*logged, strict=True)]


def hand(width):
    return one_pass(losses, model(width), [keras.optimizers.Adam(3e-4) for _ in range(2)], 10)


# === Measurement ===


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--steps", type=int, default=60, help="steps in a round; a call of fit has costs of its own")
    parser.add_argument("--width", type=float, default=0.25)
    args = parser.parse_args()
    images = np.random.default_rng(0).uniform(-1, 1, (2, BATCH, 32, 32, 3)).astype("float32")
    labels = np.where(np.arange(BATCH) % 2, -1, np.arange(BATCH) // 2 % CLASSES).astype("int32")
    batch = {"images_a": images[0], "labels_a": labels, "images_b": images[1], "labels_b": labels}
    compare(model(args.width), hand(args.width), batch, args.rounds, args.steps, f"MMSSIT, width {args.width}")


if __name__ == "__main__":
    main()
