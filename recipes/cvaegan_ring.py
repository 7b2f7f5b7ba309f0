"""CVAE-GAN, section 4: GAN, WGAN and mean feature matching learn a ring far from where they begin (figure 4).

    python recipes/cvaegan_ring.py                     # one seed; 3 minutes on two CPU cores
    python recipes/cvaegan_ring.py --seeds 5 --out runs/cvaegan_ring5
    python recipes/cvaegan_ring.py --preset small      # 3 seeds; an hour on two cores
    python recipes/cvaegan_ring.py --preset paper      # the paper's learning rate and 2 million iterations; days

The three methods share data, networks, optimizers and batch size, and a seed gives all three the same first weights.
The paper shows pictures and no numbers. Here 2,500 generated points are measured after each epoch: the share of them on
the ring (within 3 standard deviations), and the share of its 36 sectors of 10 degrees that these reach.

Expected, from ten seeds of `--epochs 40`: mean feature matching has 90 % on the ring and all sectors first in seven
(median 27,500 iterations, nine within the run), GAN in two (median 38,500, six within the run), and WGAN (five seeds)
never. The lower the learning rate, the clearer the order. It also hangs on what the paper leaves open: on a ring of
radius 50 GAN is first, and the smaller the ring, the longer all three take.

Writes under --out: options.json, metrics.json, results.md, ring.png (figure 4), on_ring.png and angular_coverage.png
(curves; mean and range over the seeds); and per method and seed a folder with model.keras, train.csv, samples, logs for
TensorBoard and checkpoints.
"""

import argparse
import csv
from functools import partial

import common
import keras
import numpy as np
from keras import layers

import kgan
from kgan import metrics, plots

# What the paper leaves open: radius and noise of the ring, latent size, activation, batch size, decay of the averages.
CENTRE, RADIUS, STD = (100.0, 100.0), 30.0, 3.0
LATENT_DIM = 2
DECAY = 0.99
MODELS = {"gan": kgan.GAN, "wgan": kgan.WGAN, "fm": partial(kgan.FeatureMatchingGAN, decay=DECAY)}
TITLES = {"gan": "GAN", "wgan": "WGAN", "fm": "mean feature matching"}
REPORTED = {"gan": "mode collapse throughout", "wgan": "not at early iterations", "fm": "correct, and the fastest"}

COMMON = {"data": "ring", "models": list(MODELS), "batch_size": 64}
PRESETS = {
    "quick": {**COMMON, "seeds": 1, "epochs": 32, "iterations": 1000, "learning_rate": 5e-4},
    "small": {**COMMON, "seeds": 3, "epochs": 75, "iterations": 2000, "learning_rate": 2e-4},
    "paper": {**COMMON, "seeds": 3, "epochs": 400, "iterations": 5000, "learning_rate": 5e-5},
}


def main():
    options = common.parse_options(
        __doc__,
        PRESETS,
        "runs/cvaegan_ring",
        models={"nargs": "+", "choices": MODELS, "help": "which to train"},
        seeds={"type": common.at_least_one, "help": "train each model this many times"},
        iterations={"type": common.at_least_one, "help": "updates of the generator in an epoch"},
    )
    if options.data != "ring":
        raise ValueError(f"--data {options.data}: this experiment has data of its own; leave the option out.")
    out = common.open_run(options)
    seeds = list(range(options.seed, options.seed + options.seeds))
    results = {name: {} for name in options.models}
    for seed in seeds:
        for name in options.models:
            results[name][str(seed)] = train_and_measure(name, seed, out / f"{name}-seed{seed}", options)
    common.write_json(out / "metrics.json", results)
    common.write_text(out / "results.md", results_table(results, options, seeds))
    write_pictures(out, results, options)
    print((out / "results.md").read_text())
    print(f"pictures: {out / 'ring.png'} and beside it; TensorBoard: tensorboard --logdir {out}")


def ring(n, seed):
    """Draw `n` real points `(n, 2)`: angles uniform, distances from the centre normal about the radius."""
    rng = np.random.default_rng(seed)
    angles, distances = rng.uniform(0, 2 * np.pi, n), rng.normal(RADIUS, STD, n)
    return (np.array(CENTRE) + distances[:, None] * np.stack([np.cos(angles), np.sin(angles)], axis=1)).astype(
        "float32"
    )


def mlp(inputs, outputs):
    """Returns the input, the last hidden layer and the output of an MLP with the paper's 32, 64 and 64 units."""
    x = first = keras.Input((inputs,))
    for units in (32, 64, 64):
        x = layers.LeakyReLU(0.2)(layers.Dense(units)(x))
    return first, x, layers.Dense(outputs)(x)


def networks():
    """Generator and discriminator; features are the input of the last layer (section 3.1)."""
    latents, _, points = mlp(LATENT_DIM, 2)
    inputs, features, logits = mlp(2, 1)
    return keras.Model(latents, points), keras.Model(inputs, {"logits": logits, "features": features})


class Coverage(keras.callbacks.Callback):
    """Measures 2,500 generated points after each epoch, and keeps those of some epochs for figure 4."""

    def __init__(self, folder, options):
        super().__init__()
        self.folder, self.shown = folder, shown_epochs(options)

    def on_epoch_end(self, epoch, logs=None):
        points = self.model.generate(2500, seed=0)
        logs.update(metrics.ring_coverage(points, CENTRE, RADIUS, STD))
        if epoch + 1 in self.shown:
            self.folder.mkdir(parents=True, exist_ok=True)
            np.save(self.folder / f"epoch-{epoch + 1:04d}.npy", points[:500])


def shown_epochs(options):
    """Epochs that figure 4 shows: six of them, evenly spread."""
    return sorted({int(epoch) for epoch in np.linspace(options.epochs / 6, options.epochs, 6).round().clip(1)})


def train_and_measure(name, seed, folder, options):
    """Train one model with one seed; returns what each epoch measured. A run that has ended before is read back."""
    if not (options.resume and (folder / "model.keras").exists()):
        print(f"--- {TITLES[name]}, seed {seed}")
        common.set_seed(seed)
        model = MODELS[name](*networks(), LATENT_DIM)
        # In networks this small a return to Python costs as much as a step; TensorFlow alone can stay away from it.
        steps = options.iterations if keras.backend.backend() == "tensorflow" else 1
        optimizers = {player: keras.optimizers.RMSprop(options.learning_rate) for player in model.players}
        model.compile(optimizers, steps_per_execution=steps)
        # Each update of WGAN's critic has a batch of its own, and an epoch of any method sees each of its points once.
        batch_size = options.batch_size * max(phase.repeats for phase in model.phases())
        points = ring(options.iterations * batch_size, seed)
        fitting = argparse.Namespace(**{**vars(options), "batch_size": batch_size})
        common.train(model, points, None, folder, fitting, seed, [lambda _: Coverage(folder / "samples", options)])
        common.save_model(model, folder / "model.keras")
    with (folder / "train.csv").open() as file:
        return [
            {
                "iteration": (int(row["epoch"]) + 1) * options.iterations,
                "on_ring": float(row["on_ring"]),
                "angular_coverage": float(row["angular_coverage"]),
            }
            for row in csv.DictReader(file)
        ]


def results_table(results, options, seeds):
    rows = []
    for name, by_seed in results.items():
        learnt = [
            next((m["iteration"] for m in epochs if m["on_ring"] >= 0.9 and m["angular_coverage"] == 1), None)
            for epochs in by_seed.values()
        ]
        rows.append(
            [
                TITLES[name],
                REPORTED[name],
                ", ".join("never" if iteration is None else f"{iteration:,}" for iteration in learnt),
                *(
                    common.spread([100 * epochs[-1][key] for epochs in by_seed.values()], 1)
                    for key in ("on_ring", "angular_coverage")
                ),
            ]
        )
    header = [
        "method",
        "learns the ring, reported",
        "first iteration with 90 % on the ring and all sectors, each seed",
        "on the ring at the end, %",
        "sectors reached at the end, %",
    ]
    settings = f"{options.epochs * options.iterations:,} iterations, learning rate {options.learning_rate:g}."
    table = common.table(header, rows)
    return f"# A ring, after figure 4 of CVAE-GAN\n\n{table}\n{settings} {common.provenance(options, seeds)}"


def write_pictures(out, results, options):
    snapshots = {
        TITLES[name]: {
            epoch * options.iterations: np.load(
                out / f"{name}-seed{options.seed}" / "samples" / f"epoch-{epoch:04d}.npy"
            )
            for epoch in shown_epochs(options)
        }
        for name in results
    }
    plots.ring_figure(out / "ring.png", snapshots, ring(500, options.seed))
    for key, label in (("on_ring", "share of samples on the ring"), ("angular_coverage", "share of sectors reached")):
        series = {}
        for name, by_seed in results.items():
            values = np.array([[m[key] for m in epochs] for epochs in by_seed.values()])
            iterations = [m["iteration"] for m in next(iter(by_seed.values()))]
            series[TITLES[name]] = (iterations, values.mean(axis=0), values.min(axis=0), values.max(axis=0))
        plots.curves(out / f"{key}.png", series, "iteration", label)


if __name__ == "__main__":
    common.run(main)
