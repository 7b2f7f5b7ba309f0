"""Time of MakeupGAN's training step: `fit`, and a loop by hand with the backend's own tools.

    KERAS_BACKEND=torch python tests/benchmarks/step_time_makeup.py

Both have the same networks and optimizers (`kgan.MakeupGAN` at 32 texels, batch 8, masks of asymmetry), update the
discriminators and then the generator (eq. 6 to 15), and average the losses over the steps. They run in turn, in one
process, so that both see the same noise of the machine. Milliseconds a step, medians over the rounds; the ratio is the
median of the ratios within the rounds, with their quartiles.
"""

import argparse

import torch  # before Keras: imported after TensorFlow it can crash the process

# isort: split
import keras
import numpy as np
from keras import ops
from step_time import compare

import kgan
from kgan.faces.mesh import region
from kgan.faces.skin import part_map
from kgan.makeup import IlluminationClassifier

BACKEND = keras.backend.backend()
BATCH, SIZE = 8, 32
TEXELS = [np.flatnonzero(part_map(SIZE) == number).astype("int32") for number in (1, 2, 3)]
PAINTED = region("face", SIZE)[..., None]
INSIDE = np.clip(region("face", SIZE) + region("eyes", SIZE) + region("mouth", SIZE), 0, 1)[..., None]


def model():
    keras.utils.set_random_seed(0)
    made = kgan.MakeupGAN(IlluminationClassifier(size=SIZE, width=0.25), SIZE, SIZE, 0.125, "asymmetry")
    made.compile()
    return made


# === By hand ===


def masks(x):
    x = ops.clip(x, -1, 1)
    light = ops.log(ops.sum((x + 1) / 2 * ops.convert_to_tensor([0.3, 0.6, 0.1]), axis=-1, keepdims=True) + 0.05)
    full = ops.stop_gradient(ops.sigmoid(6 * (ops.flip(light, axis=2) - light)))
    pooled = [ops.average_pool(full, n, strides=n, data_format="channels_last") for n in (2, 4)]
    return [full, *pooled]


def encode(net, x):
    features = net.encoder(x, training=True)
    small = [ops.image.resize(mask, (SIZE // 4, SIZE // 4), data_format="channels_last") for mask in masks(x)]
    mixed = [(1 - mask) * features + mask * ops.flip(features, axis=2) for mask in small]
    return net.fusion(ops.concatenate(mixed, axis=-1), training=True)


def paint(net, x, code, makeup):
    return x + ops.convert_to_tensor(PAINTED) * 2 * ops.tanh(net.decoder([code, makeup], training=True))


def image_of(net, batch, textures):
    change = ops.reshape(textures - batch["source_texture"], (BATCH, -1, 3))
    taken = ops.take_along_axis(change, ops.reshape(batch["source_index"], (BATCH, -1, 1)), axis=1)
    taken = ops.reshape(taken, (BATCH, -1, 4, 3)) * batch["source_weight"][..., None]
    return batch["source_image"] + batch["source_alpha"] * ops.reshape(ops.sum(taken, axis=2), (BATCH, SIZE, SIZE, 3))


def judged(net, batch, textures, role):
    seen = textures * ops.convert_to_tensor(INSIDE) * batch[f"{role}_visibility"]
    return net.texture_discriminator(seen, training=True)


def d_loss(net, batch):
    source, reference = batch["source_texture"], batch["reference_texture"]
    makeup = net.makeup_encoder(encode(net, reference), training=True)
    fake = ops.stop_gradient(paint(net, source, encode(net, source), makeup))
    loss = 0.0
    for real, wrong in (
        (
            net.image_discriminator(batch["reference_image"], training=True),
            net.image_discriminator(image_of(net, batch, fake), training=True),
        ),
        (judged(net, batch, reference, "reference"), judged(net, batch, fake, "source")),
    ):
        loss += ops.mean(ops.square(real - 1)) + ops.mean(ops.square(wrong))
    return loss, ops.stack([loss])


def g_loss(net, batch):
    source, reference = batch["source_texture"], batch["reference_texture"]
    own, theirs = encode(net, source), encode(net, reference)
    makeup, none = (net.makeup_encoder(x, training=True) for x in (theirs, own))
    made_up, bare = paint(net, source, own, makeup), paint(net, reference, theirs, none)
    image = ops.mean(ops.square(net.image_discriminator(image_of(net, batch, made_up), training=True) - 1))
    back = paint(net, made_up, encode(net, made_up), none), paint(net, bare, encode(net, bare), makeup)
    cycle = ops.mean(ops.abs(back[0] - source)) + ops.mean(ops.abs(back[1] - reference))
    texture = ops.mean(ops.square(judged(net, batch, made_up, "source") - 1))
    before, after = (net.classifier.network(x, training=False)["block_3"] for x in (source, made_up))
    before = ops.stop_gradient(before)
    perceptual = ops.mean(ops.square(before - after)) / (ops.mean(ops.square(before)) + 1e-6)
    seen = [ops.reshape(batch[f"{role}_visibility"], (BATCH, -1)) > 0.5 for role in ("source", "reference")]
    flat = [ops.reshape(x, (BATCH, -1, 3)) for x in (source, reference, made_up)]

    def light(x, seen):
        seen = ops.cast(ops.take(seen, TEXELS[2], axis=1), "float32")[..., None]
        total = ops.sum((ops.take(x, TEXELS[2], axis=1) + 1) * seen, axis=1, keepdims=True)
        return ops.maximum(total / ops.maximum(ops.sum(seen, axis=1, keepdims=True), 1), 0.05)

    ratio = (light(flat[0], seen[0]) / light(flat[1], seen[1])) ** net.adaptation
    parts = []
    for at in TEXELS:
        like = (ops.take(flat[1], at, axis=1) + 1) * ratio - 1
        masked = (ops.take(s, at, axis=1) for s in seen)
        parts.append(kgan.losses.histogram_loss(ops.take(flat[2], at, axis=1), like, *masked))
    terms = dict(zip(("lips", "eyes", "skin"), parts, strict=True))
    terms |= {"texture_adversarial": texture, "image_adversarial": image, "cycle": cycle, "perceptual": perceptual}
    total = sum(net._weight[name] * value for name, value in terms.items())
    return total, ops.stack([total, *terms.values()])


def hand():
    net = model()
    owned = net._player_variables()
    adams = {player: keras.optimizers.Adam(1e-4, 0.5) for player in owned}
    for player, adam in adams.items():
        adam.build(owned[player])
    return globals()[f"hand_{BACKEND}"](net, [(d_loss, "discriminator"), (g_loss, "generator")], owned, adams)


def hand_torch(net, phases, owned, adams):
    totals = torch.zeros(9)

    def step(batch):
        logged = []
        for loss_of, player in phases:
            loss, terms = loss_of(net, batch)
            grads = torch.autograd.grad(loss, [v.value for v in owned[player]])
            with torch.no_grad():
                adams[player].apply(list(grads))
            logged.append(terms.detach())
        return totals.add_(torch.cat(logged))

    return step


def hand_tensorflow(net, phases, owned, adams):
    import tensorflow as tf

    totals = tf.Variable(tf.zeros(9))

    @tf.function
    def step(batch):
        logged = []
        for loss_of, player in phases:
            with tf.GradientTape() as tape:
                loss, terms = loss_of(net, batch)
            adams[player].apply(tape.gradient(loss, [v.value for v in owned[player]]))
            logged.append(terms)
        return totals.assign_add(tf.concat(logged, 0))

    return step


def hand_jax(net, phases, owned, adams):
    import jax
    from jax import numpy as jnp

    others = [v for v in net.variables if all(v is not w for group in owned.values() for w in group)]
    others = [v for v in others if keras.backend.is_float_dtype(v.dtype)]

    def forward(own, player, loss_of, values, rest, batch):
        now = {**values, player: own}
        pairs = [pair for name in owned for pair in zip(owned[name], now[name], strict=True)]
        with keras.StatelessScope(state_mapping=[*pairs, *zip(others, rest, strict=True)]) as scope:
            loss, terms = loss_of(net, batch)
        return loss, (terms, [scope.get_current_value(v) for v in others])

    def update(state, batch):
        values, moments, rest, totals = state
        logged = []
        for loss_of, player in phases:
            found = jax.grad(forward, has_aux=True)(values[player], player, loss_of, values, rest, batch)
            grads, (terms, rest) = found
            own, moved = adams[player].stateless_apply(moments[player], grads, values[player])
            values, moments = {**values, player: own}, {**moments, player: moved}
            logged.append(terms)
        return values, moments, rest, totals + jnp.concatenate(logged)

    state = (
        {player: [v.value.copy() for v in group] for player, group in owned.items()},
        {player: [v.value.copy() for v in adam.variables] for player, adam in adams.items()},
        [v.value.copy() for v in others],
        jnp.zeros(9),
    )
    compiled = jax.jit(update, donate_argnums=0)

    def step(batch):
        nonlocal state
        state = compiled(state, batch)
        return state[-1]

    return step


# === Measurement ===


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--steps", type=int, default=60, help="steps in a round; a call of fit has costs of its own")
    args = parser.parse_args()
    pairs = kgan.data.load_makeup("synthetic/faces", uv_size=SIZE, image_size=SIZE, count=BATCH)
    core = model()
    batch = {name: np.asarray(pairs[name]) for name in core.needed()}
    compare(core, hand(), batch, args.rounds, args.steps, "MakeupGAN")


if __name__ == "__main__":
    main()
