"""Time of a DCGAN's training step: written with the core, by hand with the backend's own tools, and in plain PyTorch.

    KERAS_BACKEND=jax python tests/benchmarks/step_time.py
    python tests/benchmarks/step_time.py --all --out step_time.json

The rivals train the same networks (32x32x1, widths 128-64-32, batch 64) in the same way: the discriminator on real and
new images, then, with fresh noise, the generator, with Adam, and they average two losses and two accuracies over the
steps. They run in turn, in one process, so that all see the same noise of the machine:

- `core`: `kgan.GAN`;
- `hand`: the same Keras networks and optimizers in a step written for this backend and this model alone;
- `plain`: the same architecture in `torch.nn`, channels-last, with `torch.optim.Adam`.

Two measures: `step`, the compiled step on a batch that is ready, and `fit`, an epoch over NumPy images, which for the
rivals is a loop that shuffles and slices. Two clocks: the wall's, which counts, and the processor time of all threads,
the better witness where other processes share the CPU, and none on a GPU. Times are milliseconds a step, medians over
the rounds; a ratio is the median of the ratios within the rounds, with their quartiles. Runs on Linux.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from functools import partial
from importlib.metadata import version
from pathlib import Path

import torch  # before Keras: imported after TensorFlow it can crash the process

# isort: split
import keras
import numpy as np
from torch import nn
from torch.nn.functional import softplus

import kgan
from kgan.models.gan import dcgan_discriminator, dcgan_generator

BACKEND = keras.backend.backend()
BATCH, LATENT, BASE = 64, 64, 32


def players():
    networks = dcgan_generator(32, 1, LATENT, width=BASE / 64), dcgan_discriminator(32, 1, width=BASE / 64)
    optimizers = keras.optimizers.Adam(2e-4, beta_1=0.5), keras.optimizers.Adam(2e-4, beta_1=0.5)
    for network, optimizer in zip(networks, optimizers, strict=True):
        optimizer.build(network.trainable_variables)
    return *networks, *optimizers


# === The rivals: each a function of a batch of images that returns what the caller waits for ===


def core():
    model = kgan.GAN(*players()[:2], latent_dim=LATENT)
    model.compile()
    return model, compiled_step(model)


def compiled_step(model):
    """The model's `train_step`, compiled as `fit` does, on a state of its own."""
    if BACKEND == "torch":
        return model.train_step
    if BACKEND == "tensorflow":
        import tensorflow as tf

        return tf.function(model.train_step, jit_compile=model.jit_compile)
    import jax

    groups = (
        model.trainable_variables,
        model.non_trainable_variables,
        model.optimizer.variables,
        model.metrics_variables,
    )
    state = tuple([v.value.copy() for v in group] for group in groups)
    compiled = jax.jit(model.train_step, donate_argnums=0)

    def step(batch):
        nonlocal state
        logs, state = compiled(state, batch)
        return logs

    return step


def hand_tensorflow():
    import tensorflow as tf

    generator, discriminator, g_adam, d_adam = players()
    totals = tf.Variable(tf.zeros(4))

    @tf.function(jit_compile=bool(tf.config.list_physical_devices("GPU")))  # on a CPU XLA is the slower, in `core` too
    def step(real):
        fake = generator(tf.random.normal((len(real), LATENT)), training=True)
        with tf.GradientTape() as tape:
            real_logits = discriminator(real, training=True)["logits"]
            fake_logits = discriminator(fake, training=True)["logits"]
            d_loss = tf.reduce_mean(tf.nn.softplus(-real_logits)) + tf.reduce_mean(tf.nn.softplus(fake_logits))
        d_adam.apply(tape.gradient(d_loss, [v.value for v in discriminator.trainable_variables]))

        with tf.GradientTape() as tape:
            fake = generator(tf.random.normal((len(real), LATENT)), training=True)
            g_loss = tf.reduce_mean(tf.nn.softplus(-discriminator(fake, training=True)["logits"]))
        g_adam.apply(tape.gradient(g_loss, [v.value for v in generator.trainable_variables]))

        right = [tf.reduce_mean(tf.cast(hits, "float32")) for hits in (real_logits > 0, fake_logits < 0)]
        return totals.assign_add(tf.stack([d_loss, g_loss, *right]))

    return step


def hand_jax():
    import jax
    from jax import numpy as jnp

    generator, discriminator, g_adam, d_adam = players()

    def generate(weights, averages, key, n):
        return generator.stateless_call(weights, averages, jax.random.normal(key, (n, LATENT)), training=True)

    def logits_of(weights, averages, images):
        outputs, averages = discriminator.stateless_call(weights, averages, images, training=True)
        return outputs["logits"], averages

    def d_loss(d, d_averages, real, fake):
        real_logits, d_averages = logits_of(d, d_averages, real)
        fake_logits, d_averages = logits_of(d, d_averages, fake)
        loss = jax.nn.softplus(-real_logits).mean() + jax.nn.softplus(fake_logits).mean()
        return loss, (d_averages, (real_logits > 0).mean(), (fake_logits < 0).mean())

    def g_loss(g, g_averages, d, d_averages, key, n):
        fake, g_averages = generate(g, g_averages, key, n)
        logits, d_averages = logits_of(d, d_averages, fake)
        return jax.nn.softplus(-logits).mean(), (g_averages, d_averages)

    @partial(jax.jit, donate_argnums=0)
    def update(state, totals, real):
        g, g_averages, g_moments, d, d_averages, d_moments, key = state
        key, d_key, g_key = jax.random.split(key, 3)
        fake, g_averages = generate(g, g_averages, d_key, len(real))
        (d_value, (d_averages, *right)), grads = jax.value_and_grad(d_loss, has_aux=True)(d, d_averages, real, fake)
        d, d_moments = d_adam.stateless_apply(d_moments, grads, d)
        (g_value, (g_averages, d_averages)), grads = jax.value_and_grad(g_loss, has_aux=True)(
            g, g_averages, d, d_averages, g_key, len(real)
        )
        g, g_moments = g_adam.stateless_apply(g_moments, grads, g)
        return (g, g_averages, g_moments, d, d_averages, d_moments, key), totals + jnp.stack([d_value, g_value, *right])

    state = [
        [v.value for v in group]
        for network, optimizer in ((generator, g_adam), (discriminator, d_adam))
        for group in (network.trainable_variables, network.non_trainable_variables, optimizer.variables)
    ]
    state, totals = (*state, jax.random.key(0)), jnp.zeros(4)

    def step(real):
        nonlocal state, totals
        state, totals = update(state, totals, real)
        return totals

    return step


def torch_step(generate, discriminate, update_discriminator, update_generator):
    totals = torch.zeros(4)

    def step(real):
        real = torch.as_tensor(real)
        with torch.no_grad():
            fake = generate(torch.randn(len(real), LATENT))
        real_logits, fake_logits = discriminate(real), discriminate(fake)
        d_loss = softplus(-real_logits).mean() + softplus(fake_logits).mean()
        update_discriminator(d_loss)

        g_loss = softplus(-discriminate(generate(torch.randn(len(real), LATENT)))).mean()
        update_generator(g_loss)

        right = [hits.float().mean() for hits in (real_logits > 0, fake_logits < 0)]
        return totals.add_(torch.stack([d_loss.detach(), g_loss.detach(), *right]))

    return step


def hand_torch():
    generator, discriminator, g_adam, d_adam = players()

    def update(network, optimizer, loss):
        grads = torch.autograd.grad(loss, [v.value for v in network.trainable_variables])
        with torch.no_grad():
            optimizer.apply(grads)

    return torch_step(
        partial(generator, training=True),
        lambda images: discriminator(images, training=True)["logits"],
        partial(update, discriminator, d_adam),
        partial(update, generator, g_adam),
    )


def plain_torch():
    wide, middle, narrow = 4 * BASE, 2 * BASE, BASE
    generator = nn.Sequential(
        *(nn.Linear(LATENT, 16 * wide, bias=False), nn.Unflatten(1, (wide, 4, 4)), nn.BatchNorm2d(wide), nn.ReLU()),
        *(nn.ConvTranspose2d(wide, middle, 4, 2, 1, bias=False), nn.BatchNorm2d(middle), nn.ReLU()),
        *(nn.ConvTranspose2d(middle, narrow, 4, 2, 1, bias=False), nn.BatchNorm2d(narrow), nn.ReLU()),
        *(nn.ConvTranspose2d(narrow, 1, 4, 2, 1), nn.Tanh()),
    ).to(memory_format=torch.channels_last)
    discriminator = nn.Sequential(
        *(nn.Conv2d(1, narrow, 4, 2, 1), nn.LeakyReLU(0.2)),
        *(nn.Conv2d(narrow, middle, 4, 2, 1, bias=False), nn.BatchNorm2d(middle), nn.LeakyReLU(0.2)),
        *(nn.Conv2d(middle, wide, 4, 2, 1, bias=False), nn.BatchNorm2d(wide), nn.LeakyReLU(0.2)),
        *(nn.Flatten(), nn.Linear(16 * wide, 1)),
    ).to(memory_format=torch.channels_last)

    def update(network, optimizer, loss):
        optimizer.zero_grad()
        loss.backward(inputs=list(network.parameters()))
        optimizer.step()

    d_adam, g_adam = (torch.optim.Adam(net.parameters(), 2e-4, (0.5, 0.999)) for net in (discriminator, generator))
    step = torch_step(
        generator, discriminator, partial(update, discriminator, d_adam), partial(update, generator, g_adam)
    )
    return lambda real: step(torch.as_tensor(real).permute(0, 3, 1, 2))  # a view, channels-last in memory


# === Measurement ===


def loop(step, batches):
    for batch in batches:
        waited_for = step(batch)
    return [keras.ops.convert_to_numpy(value) for value in keras.tree.flatten(waited_for)]


def compare(model, step, batch, rounds, steps, name):
    """Print the milliseconds of a step of `fit` and of a loop by hand over the same arrays, and the ratio.

    Args:
        model: compiled.
        step: function of a batch of tensors.
        batch: arrays, as a dict or as the tuple of what `fit` takes.
        name: what the line begins with.
    """
    size = len(keras.tree.flatten(batch)[0])
    data = keras.tree.map_structure(lambda array: np.concatenate([array] * steps), batch)

    def tensors(i):
        return keras.tree.map_structure(lambda array: keras.ops.convert_to_tensor(array[i : i + size]), data)

    given = data if isinstance(data, tuple) else (data,)
    rivals = {
        "fit": lambda: model.fit(*given, batch_size=size, shuffle=False, verbose=0),
        "hand": lambda: loop(step, map(tensors, range(0, steps * size, size))),
    }
    spent = {rival: [] for rival in rivals}
    for r in range(rounds + 1):  # the first compiles and does not count
        for rival in sorted(rivals, reverse=r % 2):
            start = time.perf_counter()
            rivals[rival]()
            spent[rival].append(1e3 * (time.perf_counter() - start) / steps)
    spent = {rival: np.array(values[1:]) for rival, values in spent.items()}
    low, ratio, high = np.quantile(spent["fit"] / spent["hand"], (0.25, 0.5, 0.75))
    times = ", ".join(f"{rival} {np.median(values):.1f} ms" for rival, values in spent.items())
    print(f"{name}, {BACKEND}: {times}; fit / hand {ratio:.3f} ({low:.3f}, {high:.3f})")


def measure(rounds, steps):
    model, core_step = core()
    rivals = {"core": core_step, "hand": globals()[f"hand_{BACKEND}"](), "plain": plain_torch()}
    images = np.random.default_rng(0).uniform(-1, 1, (steps * BATCH, 32, 32, 1)).astype("float32")
    ready = dict.fromkeys(rivals, keras.ops.convert_to_tensor(images[:BATCH])) | {"plain": torch.tensor(images[:BATCH])}

    def run(what, name):
        if what == "step":
            loop(rivals[name], [ready[name]] * steps)
        elif name == "core":
            model.fit(images, batch_size=BATCH, verbose=0)
        else:
            loop(rivals[name], (images[rows] for rows in np.split(np.random.permutation(len(images)), steps)))

    rows = []
    for what in ("step", "fit"):
        spent = {name: [] for name in rivals}
        for r in range(rounds + 1):  # the first compiles and does not count
            for name in sorted(rivals, reverse=r % 2):
                loop(rivals[name], [ready[name]] * 3)  # its threads wake up, the others' fall asleep
                start = np.array([time.perf_counter(), time.process_time()])
                run(what, name)
                spent[name].append(np.array([time.perf_counter(), time.process_time()]) - start)
        spent = {name: 1e3 * np.array(values[1:]) / steps for name, values in spent.items()}
        for i, clock in enumerate(("wall", "cpu")):
            row = {"backend": f"{BACKEND} {version(BACKEND)}", "what": what, "clock": clock}
            row |= {name: round(float(np.median(values[:, i])), 2) for name, values in spent.items()}
            for rival in ("hand", "plain"):
                quartiles = np.quantile(spent["core"][:, i] / spent[rival][:, i], (0.25, 0.5, 0.75))
                row[f"core/{rival}"] = dict(zip(("low", "median", "high"), quartiles.round(3).tolist(), strict=True))
            rows.append(row)
    return rows


def measure_all(rounds, steps):
    rows = []
    for backend in ("tensorflow", "jax", "torch"):
        with tempfile.TemporaryDirectory() as folder:
            out = Path(folder) / "report.json"
            command = [sys.executable, __file__, f"--rounds={rounds}", f"--steps={steps}", f"--out={out}"]
            subprocess.run(command, env={**os.environ, "KERAS_BACKEND": backend}, check=True, stdout=subprocess.DEVNULL)
            rows += json.loads(out.read_text())["rows"]
    return rows


def table(report):
    lines = [
        report["machine"],
        "backend            what clock    core    hand   plain   core / hand           core / plain",
    ]
    for row in report["rows"]:
        times = " ".join(f"{row[name]:7.2f}" for name in ("core", "hand", "plain"))
        ratios = ["{median:.3f} ({low:.3f}, {high:.3f})".format(**row[f"core/{rival}"]) for rival in ("hand", "plain")]
        lines.append(f"{row['backend']:<18} {row['what']:<4} {row['clock']:<5} {times}   {'  '.join(ratios)}")
    return "\n".join(lines)


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--all", action="store_true", help="all three backends, each in a process of its own")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument(
        "--steps", type=int, default=40, help="steps in a round; a call of fit has some costs of its own"
    )
    parser.add_argument("--out", type=Path, help="JSON file to write")
    args = parser.parse_args()
    names = [line.split(": ")[1] for line in Path("/proc/cpuinfo").read_text().splitlines() if "model name" in line]
    # The cores that this process may use, which can be fewer than the machine has.
    machine = (
        f"{names[0]}, {len(os.sched_getaffinity(0))} cores; Keras {keras.__version__}, PyTorch {torch.__version__}"
    )
    rows = (measure_all if args.all else measure)(args.rounds, args.steps)
    report = {"machine": machine, "rounds": args.rounds, "steps": args.steps, "rows": rows}
    print(table(report))
    if args.out:
        args.out.write_text(json.dumps(report, indent=1))


if __name__ == "__main__":
    main()
