"""MM-SSIT, section 5.2: translate between outlines and pictures, or near infrared and visible light, without any label.

    python recipes/mmssit_edges_shoes.py                                     # drawn flowers and their outlines
    python recipes/mmssit_edges_shoes.py --preset paper --data pair:edges2shoes:a --target pair:edges2shoes:b
    python recipes/mmssit_edges_shoes.py --preset paper --data nir_vis:CASIA:nir --target nir_vis:CASIA:vis

The embedded data are drawn flowers as domain b and their outlines as domain a. Domains are trained on without using
which pictures belong together (eq. 8); where the test pictures come in pairs, the table says how far a translation is
from its partner: the root mean square error of one, and of the nearest of eight styles, in % of that of another picture
of the domain. Section 5.2 of the paper has pictures alone.

Expected on two CPU cores: quick, 1 min 30 s; blurred flowers in a few colours that are not those of their partners.

Writes under --out: options.json, metrics.json, results.md; a2b.png, b2a.png (an input, its partner, and what it becomes
with eight styles), a2a.png, b2b.png; model.keras, train.csv, samples of each epoch, logs for TensorBoard, checkpoints.
"""

import numpy as np
from common import (
    as_arrays,
    at_least_one,
    check_run,
    open_run,
    parse_options,
    provenance,
    run,
    save_model,
    set_seed,
    table,
    train,
    write_json,
    write_text,
)
from mmssit_mnist_svhn import decaying_optimizers
from scipy import ndimage

import kgan
from kgan import callbacks, plots

CLASSES = 10  # that the encoder may make for itself: eq. 5 asks that a translation stays in the class of its input
SHOWN = 8  # rows of the pictures
DIRECTIONS = ("a2a", "b2b", "a2b", "b2a")
SHARED = {"data": "synthetic/flowers", "count": 1000, "test_count": 100}
PRESETS = {
    "quick": {
        **SHARED,
        "image_size": 32,
        "epochs": 12,
        "steps_per_epoch": 75,
        "batch_size": 50,
        "width": 0.25,
        "learning_rate": 3e-3,
    },
    "small": {
        **SHARED,
        "image_size": 64,
        "epochs": 20,
        "steps_per_epoch": 200,
        "batch_size": 32,
        "width": 0.25,
        "learning_rate": 2e-3,
    },
    "paper": {
        **SHARED,
        "image_size": 128,
        "epochs": 100,
        "steps_per_epoch": 200,
        "batch_size": 32,
        "width": 1.0,
        "learning_rate": 3e-4,
    },
}


def main():
    options = parse_options(
        __doc__,
        PRESETS,
        "runs/mmssit_edges_shoes",
        target={"help": "the second domain, as --data; without it --data is the second, and its outlines the first"},
        image_size={"type": int, "choices": (32, 64, 128)},
        count={"type": at_least_one, "help": "number of training images of each domain"},
        test_count={"type": at_least_one, "help": "number of test images of each domain"},
        width={"type": float, "help": "scales the channels of all networks"},
        learning_rate={"type": float, "help": "of Adam"},
        steps_per_epoch={"type": at_least_one, "help": "batches of an epoch"},
    )
    check_run(options)
    training, test = (two_domains(split, options) for split in ("train", "test"))
    out = open_run(options)
    print(
        f"{len(training['a'])} and {len(training['b'])} training images, {len(test['a'])} and {len(test['b'])} to test"
    )

    set_seed(options.seed)
    model = kgan.MMSSIT(CLASSES, options.image_size, width=options.width, weights={"domain": 10})
    model.compile(decaying_optimizers(model, options.learning_rate, options))
    unlabelled = [(images, np.full(len(images), -1, "int32")) for images in training.values()]
    batches = kgan.data.PairBatches(
        *unlabelled, options.batch_size, options.seed, steps_per_epoch=options.steps_per_epoch
    )

    def sample(model):
        return np.concatenate([row for direction in ("a2b", "b2a") for row in translations(model, test, direction)])

    writers = [lambda writer: callbacks.ImageGrid(writer, sample, columns=10, folder=out / "samples")]
    seconds = train(model, batches, None, out, options, options.seed, writers)
    save_model(model, out / "model.keras")

    results = {direction: measure(model, test, direction) for direction in DIRECTIONS}
    write_json(out / "metrics.json", {**results, "seconds": round(seconds, 1)})
    write_text(out / "results.md", results_table(results, options))
    for direction in DIRECTIONS:
        rows = dict(enumerate(translations(model, test, direction)))
        plots.save_image(out / f"{direction}.png", plots.labelled_rows(rows))
    print((out / "results.md").read_text())
    print(f"pictures: {out / 'a2b.png'} and beside it; TensorBoard: tensorboard --logdir {out}")


# === Data ===


def two_domains(split, options):
    """`{"a": images, "b": images}`; test images of both in the same order."""
    count = options.count if split == "train" else options.test_count
    images = {}
    for d, name in (("a", options.data), ("b", options.target)):
        if name:
            images[d], _ = load(name, split, count, options)
    if not options.target:
        images = {"a": outlines(images["a"]), "b": images["a"]}
    if split == "test":
        several = {d: len(x) for d, x in images.items()}
        if len(set(several.values())) > 1:
            raise ValueError(f"Test images come in pairs, but there are {several['a']} of a and {several['b']} of b.")
        if several["a"] < SHOWN:
            raise ValueError(f"{several['a']} test images: at least {SHOWN} are needed.")
    return images


def load(name, split, count, options):
    # What has classes gives as many images of each, or sets the number itself.
    count = None if name.startswith("nir_vis:") else count
    return as_arrays(
        kgan.data.load(name, split, image_size=options.image_size, channels=3, count=count, seed=options.seed)
    )


def outlines(images):
    """Black lines on white where the brightness changes, as the domain a of pictures that have none."""
    grey = images.mean(axis=-1)
    # One by one: of a stack, SciPy would smooth over neighbours, too.
    slope = np.stack([np.hypot(ndimage.sobel(picture, 0), ndimage.sobel(picture, 1)) for picture in grey])
    # Each picture by its own measure: a photo has slopes everywhere, a drawing in few places.
    strongest = np.quantile(slope, 0.97, axis=(1, 2), keepdims=True)
    lines = 1 - 2 * np.clip(slope / np.maximum(strongest, 1e-6), 0, 1) ** 2
    return np.repeat(lines[..., None], 3, axis=-1).astype("float32")


# === Measuring ===


def translations(model, test, direction):
    """Rows `(10, height, width, 3)` of an input, its partner, and what it becomes with eight styles."""
    source, target = direction[0], direction[2]
    inputs, partners = test[source][:SHOWN, None], test[target][:SHOWN, None]
    return np.concatenate([inputs, partners, model.translate(inputs[:, 0], source, target, samples=8, seed=0)], axis=1)


def measure(model, test, direction):
    """Errors in % of the distance of two pictures of the domain, and diversity likewise."""
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


def results_table(results, options):
    header = ["", "error, %", "least error of 8 styles, %", "diversity, %"]
    rows = [
        [direction, *(f"{results[direction][name]:.1f}" for name in ("error", "least_error", "diversity"))]
        for direction in DIRECTIONS
    ]
    text = "All in % of the root mean square difference of two test images of the target domain."
    domains = f"`{options.data}` as a, `{options.target}` as b" if options.target else "a is outlines, b has colours"
    made_with = provenance(options, [options.seed])
    return f"# Translation without labels\n\n{table(header, rows)}\n{text}\nDomains: {domains}.\n{made_with}"


if __name__ == "__main__":
    run(main)
