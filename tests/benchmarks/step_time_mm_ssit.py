"""Time of MM-SSIT's training step: written with the core, and by hand with the backend's own tools.

    KERAS_BACKEND=jax python tests/benchmarks/step_time_mm_ssit.py --width 0.25

Both have the same networks and optimizers (`kgan.MMSSIT`, 32x32x3, batch 50), take the losses of eq. 7 from one forward
pass, update both players and average the eight losses and accuracies over the steps. They run in turn, in one process,
so that both see the same noise of the machine. Milliseconds a step, medians over the rounds; the ratio is the median of
the ratios within the rounds, with their quartiles.
"""

import argparse

import torch  # before Keras: imported after TensorFlow it can crash the process

# isort: split
import keras
import numpy as np
from keras import ops
from step_time import compare, compiled_step

import kgan

BACKEND = keras.backend.backend()
BATCH, CLASSES = 50, 10


def core(width):
    model = kgan.MMSSIT(CLASSES, width=width)
    model.compile()
    return compiled_step(model)


# === By hand ===


def cross_entropy(labels, logits):
    return ops.sparse_categorical_crossentropy(labels, logits, from_logits=True)


def mean_where(mask, values):
    mask = ops.cast(mask, "float32")
    return ops.sum(mask * values) / ops.maximum(ops.sum(mask), 1.0)


def losses(net, batch, normal):
    """Eq. 1 to 7 with all weights 1 in one place: of the discriminators, of the rest, and what is logged."""
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
        logged.append(ops.stack([matched, domain, label, kept, own, reconstruction, right, told / 4]))
    return d_loss, ae_loss, logged[0] + logged[1]


def hand(width):
    net = kgan.MMSSIT(CLASSES, width=width)
    owned = list(net._player_variables().values())
    adams = [keras.optimizers.Adam(3e-4) for _ in owned]
    for adam, variables in zip(adams, owned, strict=True):
        adam.build(variables)
    return globals()[f"hand_{BACKEND}"](net, owned, adams)


def hand_tensorflow(net, owned, adams):
    import tensorflow as tf

    totals = tf.Variable(tf.zeros(10))

    @tf.function
    def step(batch):
        with tf.GradientTape(persistent=True) as tape:
            *both, logged = losses(net, batch, tf.random.normal)
        grads = [tape.gradient(loss, [v.value for v in group]) for loss, group in zip(both, owned, strict=True)]
        for adam, grad in zip(adams, grads, strict=True):
            adam.apply(grad)
        return totals.assign_add(tf.concat([logged, both], 0))

    return step


def hand_torch(net, owned, adams):
    totals = torch.zeros(10)

    def step(batch):
        *both, logged = losses(net, batch, torch.randn)
        grads = [
            torch.autograd.grad(loss, [v.value for v in group], retain_graph=loss is both[0])
            for loss, group in zip(both, owned, strict=True)
        ]
        with torch.no_grad():
            for adam, grad in zip(adams, grads, strict=True):
                adam.apply(grad)
            return totals.add_(torch.cat([logged, torch.stack(both)]))

    return step


def hand_jax(net, owned, adams):
    import jax
    from jax import numpy as jnp

    averages = [v for v in net.non_trainable_variables if "moving" in v.path]

    def forward(d, rest, state, key, batch):
        keys = iter(jax.random.split(key, 2))
        mapping = [
            *zip(owned[0], d, strict=True),
            *zip(owned[1], rest, strict=True),
            *zip(averages, state, strict=True),
        ]
        with keras.StatelessScope(state_mapping=mapping) as scope:
            d_loss, ae_loss, logged = losses(net, batch, lambda shape: jax.random.normal(next(keys), shape))
        return (
            d_loss,
            ae_loss,
            (jnp.concatenate([logged, jnp.stack([d_loss, ae_loss])]), [scope.get_current_value(v) for v in averages]),
        )

    def update(state, batch):
        d, rest, moments, moving, key, totals = state
        key, now = jax.random.split(key)

        def both(d, rest):
            *values, rest_of_it = forward(d, rest, moving, now, batch)
            return values, rest_of_it

        _, pull_back, (logged, moving) = jax.vjp(both, d, rest, has_aux=True)
        one, zero = jnp.ones(()), jnp.zeros(())
        d_grads, rest_grads = pull_back([one, zero])[0], pull_back([zero, one])[1]
        d, d_moments = adams[0].stateless_apply(moments[0], d_grads, d)
        rest, rest_moments = adams[1].stateless_apply(moments[1], rest_grads, rest)
        return (d, rest, [d_moments, rest_moments], moving, key, totals + logged)

    values = [[v.value.copy() for v in group] for group in (*owned, averages)]
    moments = [[v.value.copy() for v in adam.variables] for adam in adams]
    state = (values[0], values[1], moments, values[2], jax.random.key(0), jnp.zeros(10))
    compiled = jax.jit(update, donate_argnums=0)

    def step(batch):
        nonlocal state
        state = compiled(state, batch)
        return state[-1]

    return step


# === Measurement ===


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--steps", type=int, default=10, help="steps in a round")
    parser.add_argument("--width", type=float, default=0.25)
    args = parser.parse_args()
    rng = np.random.default_rng(0)
    images = rng.uniform(-1, 1, (2, BATCH, 32, 32, 3)).astype("float32")
    labels = np.where(np.arange(BATCH) % 2, -1, np.arange(BATCH) % CLASSES).astype("int32")
    batch = {"images_a": images[0], "labels_a": labels, "images_b": images[1], "labels_b": labels}
    batch = {name: ops.convert_to_tensor(value) for name, value in batch.items()}

    rivals = {"core": core(args.width), "hand": hand(args.width)}
    compare(rivals, dict.fromkeys(rivals, batch), args.rounds, args.steps, f"{BACKEND}, width {args.width}")


if __name__ == "__main__":
    main()
