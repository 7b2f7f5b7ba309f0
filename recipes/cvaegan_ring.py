"""CVAE-GAN, section 4: GAN, WGAN and mean feature matching learn a ring far from where they begin (Figure 4).

    python recipes/cvaegan_ring.py                     # one seed; 3 minutes on two CPU cores
    python recipes/cvaegan_ring.py --seeds 5 --out runs/cvaegan_ring5
    python recipes/cvaegan_ring.py --preset small      # 3 seeds; an hour on two cores
    python recipes/cvaegan_ring.py --preset paper      # the paper's learning rate and 2 million iterations; days

The three methods share data, networks, optimizers and batch size, and a seed gives all three the same first weights.
The paper shows pictures and no numbers. Here 2,500 generated points are measured after each epoch: the share of them on
the ring (within 3 standard deviations), and the share of its 36 sectors of 10 degrees that they reach.

Expected, from ten seeds of `--epochs 40`: mean feature matching is first to have 90 % on the ring and all sectors in
seven seeds (median 27,500 iterations, nine within the run), GAN in two (median 38,500, six within the run), WGAN (five
seeds) never. The lower the learning rate, the clearer the order. It also depends on what the paper leaves open: on a
ring of radius 50 GAN is first, and the smaller the ring, the longer all three take.

Writes to --out, beside what every run writes (recipes/README.md): ring.png (Figure 4), on_ring.png and
angular_coverage.png (curves; mean and range over the seeds).
"""

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
MEASURES = ("on_ring", "angular_coverage")
QUICK = {
    "data": "ring",
    "models": list(MODELS),
    "seeds": 1,
    "epochs": 32,
    "iterations": 1000,
    "batch_size": 64,
    "learning_rate": 5e-4,
}
SMALL = QUICK | {"seeds": 3, "epochs": 75, "iterations": 2000, "learning_rate": 2e-4}
PAPER = QUICK | {"seeds": 3, "epochs": 400, "iterations": 5000, "learning_rate": 5e-5}


def main():
    options = common.parse_options(
        __doc__,
        (QUICK, SMALL, PAPER),
        models={"nargs": "+", "choices": MODELS, "help": "which to train"},
        iterations={"type": common.at_least_one, "help": "updates of the generator in an epoch"},
    )
    if options.data != "ring":
        raise ValueError(f"--data {options.data}: this recipe makes its own data; leave the option out.")
    out = common.open_run(options)
    results = {name: {} for name in options.models}
    for seed in common.seeds_of(options):
        for name in options.models:
            folder = out / f"{name}-seed{seed}"
            common.keep(folder / "model.keras", partial(train, name, seed, folder, options), options)
            results[name][str(seed)] = measured(folder, options)
    common.write(out / "metrics.json", results)
    write_pictures(out, results, options)
    common.finish(out, results_table(results, options), f"{out / 'ring.png'} and beside it")


# === Data ===


def ring(n, seed):
    """Draw `n` real points `(n, 2)`: angles uniform, distances from the centre normal about the radius."""
    rng = np.random.default_rng(seed)
    angles, distances = rng.uniform(0, 2 * np.pi, n), rng.normal(RADIUS, STD, n)
    directions = np.stack([np.cos(angles), np.sin(angles)], axis=1)
    return (np.array(CENTRE) + distances[:, None] * directions).astype("float32")


# === Models ===


def mlp(inputs, outputs):
    """Returns the input, the last hidden layer and the output of an MLP with the paper's 32, 64 and 64 units."""
    x = first = keras.Input((inputs,))
    for units in (32, 64, 64):
        x = layers.LeakyReLU(0.2)(layers.Dense(units)(x))
    return first, x, layers.Dense(outputs)(x)


def networks():
    """Generator and discriminator; the features are the input of the last layer (section 3.1)."""
    latents, _, points = mlp(LATENT_DIM, 2)
    inputs, features, logits = mlp(2, 1)
    return keras.Model(latents, points), keras.Model(inputs, {"logits": logits, "features": features})


# === Training and measurement ===


def train(name, seed, folder, options):
    print(f"--- {TITLES[name]}, seed {seed}")
    common.set_seed(seed, options.devices)
    model = MODELS[name](*networks(), LATENT_DIM)
    # In networks this small a return to Python costs as much as a step; only TensorFlow can stay away from it.
    steps = options.iterations if keras.backend.backend() == "tensorflow" else 1
    optimizers = {player: keras.optimizers.RMSprop(options.learning_rate) for player in model.players}
    model.compile(optimizers, steps_per_execution=steps)
    # Each update of WGAN's critic has a batch of its own, and an epoch of any method sees each of its points once.
    batch_size = options.batch_size * max(phase.repeats for phase in model.phases())
    batches = kgan.data.Batches(ring(options.iterations * batch_size, seed), None, batch_size, seed)
    common.train(model, batches, folder, options, [lambda _: Coverage(folder / "samples", options)])
    return model


class Coverage(keras.callbacks.Callback):
    """Measures 2,500 generated points after each epoch, and keeps those of some epochs for Figure 4."""

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
    """The epochs in Figure 4: six of them, evenly spread."""
    return sorted({int(epoch) for epoch in np.linspace(options.epochs / 6, options.epochs, 6).round().clip(1)})


def measured(folder, options):
    """What `Coverage` measured in each epoch."""
    with (folder / "train.csv").open() as file:
        return [
            {"iteration": (int(row["epoch"]) + 1) * options.iterations, **{key: float(row[key]) for key in MEASURES}}
            for row in csv.DictReader(file)
        ]


# === Results ===


def results_table(results, options):
    def learnt(epochs):
        iterations = (m["iteration"] for m in epochs if m["on_ring"] >= 0.9 and m["angular_coverage"] == 1)
        return next((f"{iteration:,}" for iteration in iterations), "never")

    runs = [by_seed.values() for by_seed in results.values()]
    at_the_end = {key: [common.spread([100 * run[-1][key] for run in of], 1) for of in runs] for key in MEASURES}
    columns = {
        "method": [TITLES[name] for name in results],
        "learns the ring, reported": [REPORTED[name] for name in results],
        "first iteration with 90 % on the ring and all sectors, each seed": [", ".join(map(learnt, of)) for of in runs],
        "on the ring at the end, %": at_the_end["on_ring"],
        "sectors reached at the end, %": at_the_end["angular_coverage"],
    }
    settings = f"{options.epochs * options.iterations:,} iterations, learning rate {options.learning_rate:g}."
    table = common.table(columns)
    return f"# A ring, after figure 4 of CVAE-GAN\n\n{table}\n{settings} {common.provenance(options)}"


def write_pictures(out, results, options):
    snapshots = {}
    for name in results:
        samples = out / f"{name}-seed{options.seed}" / "samples"
        snapshots[TITLES[name]] = {
            epoch * options.iterations: np.load(samples / f"epoch-{epoch:04d}.npy") for epoch in shown_epochs(options)
        }
    plots.ring_figure(out / "ring.png", snapshots, ring(500, options.seed))
    for key, label in zip(MEASURES, ("share of samples on the ring", "share of sectors reached"), strict=True):
        series = {}
        for name, by_seed in results.items():
            values = np.array([[m[key] for m in epochs] for epochs in by_seed.values()])
            iterations = [m["iteration"] for m in next(iter(by_seed.values()))]
            series[TITLES[name]] = (iterations, values.mean(axis=0), values.min(axis=0), values.max(axis=0))
        plots.curves(out / f"{key}.png", series, "iteration", label)


if __name__ == "__main__":
    common.run(main)
