"""MM-SSIT, section 5.2: translate between outlines and pictures, or near infrared and visible light, without labels.

    python recipes/mmssit_edges_shoes.py                                     # drawn flowers and their outlines
    python recipes/mmssit_edges_shoes.py --preset paper --data pair:edges2shoes:a --target pair:edges2shoes:b
    python recipes/mmssit_edges_shoes.py --preset paper --data nir_vis:CASIA:nir --target nir_vis:CASIA:vis

The embedded data are drawn flowers as domain b and their outlines as domain a. Training does not use which pictures
belong together (eq. 8). Test pictures come in pairs, and the table says how far a translation is from its partner: the
root mean square error of one style, and of the nearest of eight, in % of the error of another picture of the domain.
Section 5.2 of the paper has pictures alone.

Expected on two CPU cores: quick, 1 min 30 s; blurred flowers in a few colours that are not those of their partners.

Writes to --out, beside what every run writes (recipes/README.md): a2b.png and b2a.png (an input, its partner, and what
it becomes with eight styles), a2a.png, b2b.png.
"""

from functools import partial

import common
import numpy as np
import pictures
from scipy import ndimage

import kgan
from kgan import MMSSIT, callbacks

CLASSES = 10  # that the encoder may make for itself: eq. 5 asks that a translation stays in the class of its input
SHOWN = 8  # rows of the pictures
DIRECTIONS = ("a2a", "b2b", "a2b", "b2a")
QUICK = {
    "data": "synthetic/flowers",
    "count": 1000,
    "test_count": 100,
    "image_size": 32,
    "epochs": 12,
    "steps_per_epoch": 75,
    "batch_size": 50,
    "width": 0.25,
    "learning_rate": 3e-3,
}
SMALL = QUICK | {"image_size": 64, "epochs": 20, "steps_per_epoch": 200, "batch_size": 32, "learning_rate": 2e-3}
PAPER = QUICK | {
    "image_size": 128,
    "epochs": 100,
    "steps_per_epoch": 200,
    "batch_size": 32,
    "width": 1.0,
    "learning_rate": 3e-4,
}


def main():
    options = common.parse_options(
        __doc__,
        (QUICK, SMALL, PAPER),
        target={"help": "the second domain, as --data; without it --data is the second, and its outlines the first"},
        image_size={"type": int, "choices": (32, 64, 128)},
        learning_rate={"type": float, "help": "of Adam"},
    )
    common.check_run(options)
    training, test = (two_domains(split, options) for split in ("train", "test"))
    out = common.open_run(options)
    counts = [len(images) for domains in (training, test) for images in domains.values()]
    print("{} and {} training images, {} and {} to test".format(*counts))

    model = common.keep(out / "model.keras", lambda: train(training, test, out, options), options)
    results = {direction: measure(model, test, direction) for direction in DIRECTIONS}
    common.write(out / "metrics.json", {**results, "seconds": round(common.training_seconds(out), 1)})
    for direction in DIRECTIONS:
        pictures.save_rows(out / f"{direction}.png", dict(enumerate(translations(model, test, direction))))
    common.finish(out, results_table(results, options), f"{out / 'a2b.png'} and beside it")


# === Data ===


def two_domains(split, options):
    """`{"a": images, "b": images}`; test images of both in the same order."""
    count = options.count if split == "train" else options.test_count
    names = {"a": options.data, "b": options.target}
    images = {d: load(name, split, count, options) for d, name in names.items() if name}
    if not options.target:
        images = {"a": outlines(images["a"]), "b": images["a"]}
    if split == "test":
        of_a, of_b = map(len, images.values())
        if of_a != of_b:
            raise ValueError(f"Test images come in pairs, but there are {of_a} of a and {of_b} of b.")
        if of_a < SHOWN:
            raise ValueError(f"{of_a} test images: at least {SHOWN} are needed.")
        if options.data.startswith("pair:"):
            images = {d: x[:count] for d, x in images.items()}
    return images


def load(name, split, count, options):
    # Faces come in a fixed number. Of test pairs all are read, to see that both domains have as many.
    if name.startswith("nir_vis:") or (name.startswith("pair:") and split == "test"):
        count = None
    sizes = {"image_size": options.image_size, "channels": 3, "count": count}
    return common.as_arrays(kgan.data.load(name, split, seed=options.seed, **sizes))[0]


def outlines(images):
    """Black lines on white where the brightness changes: domain a where the data have no outlines of their own."""
    grey = images.mean(axis=-1)
    # One by one: SciPy would smooth a stack across neighbouring pictures, too.
    slope = np.stack([np.hypot(ndimage.sobel(picture, 0), ndimage.sobel(picture, 1)) for picture in grey])
    # Relative to the picture's own slopes: a photo has them everywhere, a drawing in few places.
    strongest = np.quantile(slope, 0.97, axis=(1, 2), keepdims=True)
    lines = 1 - 2 * np.clip(slope / np.maximum(strongest, 1e-6), 0, 1) ** 2
    return np.repeat(lines[..., None], 3, axis=-1).astype("float32")


# === Training ===


def train(training, test, out, options):
    common.set_seed(options.seed, options.devices)
    model = MMSSIT(CLASSES, options.image_size, width=options.width, weights={"domain": 10})
    per_epoch = options.steps_per_epoch
    model.compile(common.decaying_optimizers(model, options.learning_rate, options.epochs * per_epoch))
    unlabelled = [(images, np.full(len(images), -1, "int32")) for images in training.values()]
    batches = kgan.data.PairBatches(*unlabelled, options.batch_size, options.seed, steps_per_epoch=per_epoch)

    def sample(model):
        return np.concatenate([row for direction in ("a2b", "b2a") for row in translations(model, test, direction)])

    grid = partial(callbacks.ImageGrid, sample=sample, columns=10, folder=out / "samples")
    common.train(model, batches, out, options, [grid])
    return model


# === Measurement ===


def translations(model, test, direction):
    """Rows `(10, height, width, 3)` of an input, its partner, and what it becomes with eight styles."""
    source, target = direction[0], direction[2]
    inputs, partners = test[source][:SHOWN, None], test[target][:SHOWN, None]
    return np.concatenate([inputs, partners, model.translate(inputs[:, 0], source, target, samples=8, seed=0)], axis=1)


def measure(model, test, direction):
    """Errors and diversity, in % of the distance between two pictures of the target domain."""
    source, target = direction[0], direction[2]
    images = model.translate(test[source], source, target, samples=8, seed=0)
    partners = test[target]
    unit = distance(partners, np.roll(partners, 1, axis=0)).mean()
    error = np.stack([distance(images[:, i], partners) for i in range(images.shape[1])])
    pairs = [distance(images[:, i], images[:, j]) for i in range(images.shape[1]) for j in range(i)]
    return {
        "error": 100 * float(error.mean() / unit),
        "least_error": 100 * float(error.min(axis=0).mean() / unit),
        "diversity": 100 * float(np.mean(pairs) / unit),
    }


def distance(first, second):
    """Root mean square difference of each pair of images."""
    return np.sqrt(np.square(first - second).mean(axis=(1, 2, 3)))


# === Results ===


def results_table(results, options):
    names = {"error": "error, %", "least_error": "least error of 8 styles, %", "diversity": "diversity, %"}
    ours = {header: [f"{results[d][name]:.1f}" for d in DIRECTIONS] for name, header in names.items()}
    text = "All in % of the root mean square difference of two test images of the target domain."
    domains = f"`{options.data}` as a, `{options.target}` as b" if options.target else "a is outlines, b has colours"
    table = common.table({"": DIRECTIONS, **ours})
    return f"# Translation without labels\n\n{table}\n{text}\nDomains: {domains}.\n{common.provenance(options)}"


if __name__ == "__main__":
    common.run(main)
