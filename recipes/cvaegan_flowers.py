"""CVAE-GAN, section 5: generate images of fine-grained classes, and measure them as Table 1 does.

    python recipes/cvaegan_flowers.py                                  # drawn flowers, CVAE-GAN alone, under 3 minutes
    python recipes/cvaegan_flowers.py --models cvae cgan fmcgan cvaegan --seeds 3
    python recipes/cvaegan_flowers.py --preset small --data mnist:PATH --out runs/mnist
    python recipes/cvaegan_flowers.py --preset small --data zip:flowers17.zip --image-size 64 --out runs/flowers17
    python recipes/cvaegan_flowers.py --preset paper                   # Oxford Flowers 102 from TFDS, 128 px, for a GPU
    python recipes/cvaegan_flowers.py --ablate img                     # section 5.5; also D, C

Each model generates the same number of images of each class. Top-1 is the share that a classifier trained on real
data puts into the class asked for; the inception score is by a second such classifier; Frechet and kernel distance to
real test images, and within-class diversity, are on the features of the first. The paper reports top-1 and inception
score on FaceScrub, which cannot be had: the order of the models is what can be compared.

Expected on two CPU cores: quick, top-1 of 96 % in 2 min 40 s, diversity 57 % of that of real images; small on MNIST, in
an hour, top-1 of 98 %, 96 %, 73 % and 98 % (CVAE-GAN, FM-CGAN, CGAN, CVAE) with Frechet distances of 6, 29, 158 and 67.

Writes under --out: options.json, metrics.json, results.md, samples.png (a row per class), models.png (the models side
by side), reconstructions.png, morphing.png, inpainting.png, super_resolution.png, mixed.png; and per model and seed a
folder with model.keras, train.csv, samples of each epoch, logs for TensorBoard and checkpoints.
"""

import json
import math
from functools import partial

import keras
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
    spread,
    table,
    train,
    write_json,
    write_text,
)
from keras import layers

import kgan
from kgan import callbacks, metrics, plots

MODELS = {"cvae": kgan.CVAE, "cgan": kgan.CGAN, "fmcgan": kgan.FMCGAN, "cvaegan": kgan.CVAEGAN}
TITLES = {"real": "real data", "cvae": "CVAE", "cgan": "CGAN", "fmcgan": "FM-CGAN", "cvaegan": "CVAE-GAN"}
REPORTED = {
    "real": (99.61, 20.85),
    "cvae": (8.09, 10.29),
    "cgan": (61.97, 15.79),
    "fmcgan": (79.76, 19.40),
    "cvaegan": (97.78, 19.03),
}
ABLATIONS = {
    "img": ("discriminator", "classifier"),
    "D": ("image", "classifier"),
    "C": ("image", "discriminator"),
}
# At these sizes a pairwise term lets a generator learn fast, and CGAN's discriminator has to keep pace with its own.
SMALL_RATES = {
    "learning_rate": {"cvae": 2e-3, "cgan": 1e-3, "fmcgan": 1e-3, "cvaegan": 2e-3},
    "discriminator_learning_rate": {"cgan": 1e-3, "fmcgan": 2e-4, "cvaegan": 2e-4},
}
FEATURES = 64  # of the evaluators, in which distances are measured
PRESETS = {
    "quick": {
        "data": "synthetic/flowers",
        "image_size": 32,
        "count": 6000,
        "models": ["cvaegan"],
        "seeds": 1,
        "epochs": 6,
        "width": 0.125,
        "latent_dim": 64,
        "batch_size": 32,
        **SMALL_RATES,
        "lambdas": [0.1, 1.0, 0.1, 0.35],  # six epochs are few: the classifier pulls the harder
        "per_class": 50,
        "evaluator_steps": 300,
    },
    "small": {
        "data": "synthetic/flowers",
        "image_size": 32,
        "count": None,
        "models": list(MODELS),
        "seeds": 3,
        "epochs": 3,
        "width": 0.125,
        "latent_dim": 64,
        "batch_size": 32,
        **SMALL_RATES,
        "lambdas": None,
        "per_class": 500,
        "evaluator_steps": 1500,
    },
    "paper": {
        "data": "oxford_flowers102",
        "image_size": 128,
        "count": None,
        "models": list(MODELS),
        "seeds": 3,
        "epochs": 500,
        "width": 1.0,
        "latent_dim": 256,
        "batch_size": 64,
        "learning_rate": dict.fromkeys(MODELS, 2e-4),
        "discriminator_learning_rate": dict.fromkeys(("cgan", "fmcgan", "cvaegan"), 2e-4),
        "lambdas": [3.0, 1.0, 1e-3, 1e-3],
        "per_class": 100,
        "evaluator_steps": 5000,
    },
}


def main():
    options = parse_options(
        __doc__,
        PRESETS,
        "runs/cvaegan_flowers",
        image_size={"type": int, "help": "32, 64, 128 or 256"},
        count={"type": int, "help": "number of training images"},
        models={"nargs": "+", "choices": MODELS, "help": "which to train"},
        seeds={"type": at_least_one, "help": "train each model this many times"},
        width={"type": float, "help": "scales the channels of all networks"},
        lambdas={"type": float, "nargs": 4, "help": "of eq. 7; default in preset small: scaled_lambdas()"},
        evaluator_steps={"type": at_least_one, "help": "training steps of the classifiers that measure"},
        ablate={"choices": ABLATIONS, "help": "CVAE-GAN without one part of its generator's loss (section 5.5)"},
    )
    check_run(options)
    load = partial(kgan.data.load, options.data, image_size=options.image_size, seed=options.seed)
    images, labels = as_arrays(load("train", count=options.count))
    test = as_arrays(load("test"))
    names = kgan.data.class_names(options.data)
    check_data(labels, test[1], names)
    new_model(options.models[0], images, len(names), options).check_batch(images, labels)
    out = open_run(options)
    print(f"{len(images)} training and {len(test[0])} test images, {len(names)} classes")

    evaluators = [evaluator(out, i, images, labels, len(names), options) for i in (0, 1)]
    measure = partial(measure_images, *evaluators, real=test)
    results = {"real": {"0": measure(*test)}}
    seeds = list(range(options.seed, options.seed + options.seeds))
    models = {}
    for seed in seeds:
        for name in options.models:
            models[name], result = train_and_measure(name, seed, out, images, labels, len(names), measure, options)
            results.setdefault(name, {})[str(seed)] = result
    write_json(out / "metrics.json", results)
    write_text(out / "results.md", results_table(results, options, seeds))
    write_pictures(out, models, *test, names)
    print((out / "results.md").read_text())
    print(f"pictures: {out / 'samples.png'} and beside it; TensorBoard: tensorboard --logdir {out}")


def check_data(train_labels, test_labels, names):
    """Refuse, before anything is trained, data that could not be measured afterwards."""
    for split, labels in (("train", train_labels), ("test", test_labels)):
        few = [name for name, n in zip(names, np.bincount(labels, minlength=len(names)), strict=True) if n < 2]
        if few:
            raise ValueError(f"The {split} split has fewer than two images of {', '.join(few)}; give more.")
    if len(test_labels) <= FEATURES:
        raise ValueError(f"{len(test_labels)} test images: the Frechet distance needs more than {FEATURES}.")


# === Measuring ===


def evaluator(out, number, images, labels, num_classes, options):
    """A classifier trained on the real images; two of them differ in their seeds. Kept in the run's folder."""
    path = out / f"evaluator-{number}.keras"
    if options.resume and path.exists():
        return keras.saving.load_model(path)
    set_seed(1000 + number)
    inputs = keras.Input(images.shape[1:])
    x = layers.RandomTranslation(0.1, 0.1, fill_mode="nearest")(inputs)  # real sets can be small
    widths = (16, 32, 64, 128, 128)[: max(3, images.shape[1].bit_length() - 3)]
    for width in widths:
        x = layers.Conv2D(width, 3, padding="same", use_bias=False)(x)
        x = layers.MaxPooling2D(2)(layers.ReLU()(layers.BatchNormalization(momentum=0.9)(x)))
    features = layers.Dense(FEATURES, activation="relu", name="features")(layers.Flatten()(x))
    outputs = layers.Dense(num_classes, activation="softmax", name="probabilities")(layers.Dropout(0.3)(features))
    network = keras.Model(inputs, outputs, name=f"evaluator_{number}")
    network.compile("adam", "sparse_categorical_crossentropy", metrics=["accuracy"])
    epochs = math.ceil(options.evaluator_steps * 64 / len(images))
    network.fit(images, labels, batch_size=64, epochs=epochs, verbose=2)
    save_model(network, path)
    return network


def measure_images(first, second, images, labels, real):
    """The numbers of Table 1 and more for one set of images."""
    judge = keras.Model(first.input, [first.get_layer("features").output, first.output])
    features, probabilities = judge.predict(images, batch_size=256, verbose=0)
    real_features, _ = judge.predict(real[0], batch_size=256, verbose=0)
    score, _ = metrics.inception_score(second.predict(images, batch_size=256, verbose=0))
    return {
        "images": len(images),
        "top1": 100 * float(np.mean(probabilities.argmax(axis=1) == labels)),
        "inception_score": score,
        "frechet_distance": metrics.frechet_distance(real_features, features),
        "kernel_distance": metrics.kernel_distance(
            real_features, features, subset_size=min(1000, len(real_features), len(features))
        ),
        "diversity": metrics.within_class_diversity(features, labels),
        "pixel_diversity": metrics.within_class_diversity(images.reshape(len(images), -1), labels),
    }


def scaled_lambdas(image_size, channels, num_classes):
    """Where this departs from the paper: its weights 3, 1, 1e-3, 1e-3 are for 128 px colour images of 530 classes.

    The pixel term is a sum over pixels and the class term a sum over classes, so that elsewhere the same numbers weigh
    differently. The first and last keep pace with these sums; the KL divergence counts half as much as there, for the
    diversity of samples, and mean matching on D a hundred times: at 1e-3 FM-CGAN follows the classifier alone and ends
    in noise (top-1 10 % on MNIST after an epoch, 94 % at 0.1).
    """
    return (1.5 * image_size**2 * channels / (128**2 * 3), 1.0, 0.1, 1e-3 * 530 / num_classes)


def new_model(name, images, num_classes, options):
    lambdas = options.lambdas or scaled_lambdas(options.image_size, images.shape[-1], num_classes)
    if name == "cvae" and not options.lambdas:
        lambdas = (1.0, 1.0, 0.0, 0.0)  # its evidence lower bound: alone it needs a stronger prior than CVAE-GAN
    extra = {} if name == "cgan" else {"lambdas": lambdas}
    if options.ablate and name == "cvaegan":
        extra["matching"] = ABLATIONS[options.ablate]
    return MODELS[name](num_classes, options.image_size, images.shape[-1], options.latent_dim, options.width, **extra)


def train_and_measure(name, seed, out, images, labels, num_classes, measure, options):
    """Train one model with one seed; returns it and its numbers. A run that has ended before is read back."""
    folder = out / f"{name}-seed{seed}"
    result = folder / "result.json"
    if options.resume and result.exists():
        return keras.saving.load_model(folder / "model.keras"), json.loads(result.read_text())
    print(f"--- {TITLES[name]}, seed {seed}")
    set_seed(seed)
    model = new_model(name, images, num_classes, options)
    rates = dict.fromkeys(model.players, options.learning_rate[name])
    if "discriminator" in rates:
        rates["discriminator"] = options.discriminator_learning_rate[name]
    optimizers = {player: keras.optimizers.Adam(rate, beta_1=0.5) for player, rate in rates.items()}
    model.compile(optimizers)

    shown = np.repeat(np.arange(min(num_classes, 16)), 8)
    sample = lambda model: model.generate(shown, seed=0)  # noqa: E731
    writers = [lambda writer: callbacks.ImageGrid(writer, sample, columns=8, folder=folder / "samples")]
    if hasattr(model, "encoder"):
        writers.append(lambda writer: callbacks.LatentKL(writer, images[:256], labels[:256]))
    some = np.isin(labels, shown)
    some_images, some_labels = images[some][:2000], labels[some][:2000]
    real_diversity = metrics.within_class_diversity(some_images.reshape(len(some_images), -1), some_labels)
    watchdog = callbacks.Watchdog(sample, shown, real_diversity)
    seconds = train(model, images, labels, folder, options, seed, writers, watchdog)

    wanted = np.repeat(np.arange(num_classes), options.per_class)
    numbers = {**measure(model.generate(wanted, seed=1), wanted), "seconds": round(seconds, 1)}
    save_model(model, folder / "model.keras")
    write_json(result, numbers)
    return model, numbers


def results_table(results, options, seeds):
    columns = ("top1", "inception_score", "frechet_distance", "kernel_distance", "diversity", "pixel_diversity")
    real = results["real"]["0"]
    rows = []
    for name, title in TITLES.items():
        if name not in results:
            continue
        by_seed = results[name]
        each = {column: [r[column] for r in by_seed.values()] for column in columns}
        for column in ("diversity", "pixel_diversity"):
            each[column] = [100 * value / real[column] for value in each[column]]
        top1, score = REPORTED[name]
        seconds = np.mean([r.get("seconds", 0) for r in by_seed.values()])
        rows.append(
            [
                title + (f" without {options.ablate}" if options.ablate and name == "cvaegan" else ""),
                top1,
                spread(each["top1"]),
                score,
                spread(each["inception_score"]),
                spread(each["frechet_distance"]),
                spread(each["kernel_distance"], 3),
                spread(each["diversity"], 1),
                spread(each["pixel_diversity"], 1),
                f"{seconds:.0f}",
            ]
        )
    header = [
        "model",
        "top-1 %, reported (FaceScrub)",
        "top-1 %, ours",
        "inception score, reported (FaceScrub)",
        "inception score, ours",
        "Frechet distance",
        "kernel distance",
        "diversity, % of real",
        "pixel diversity, % of real",
        "seconds",
    ]
    return f"# Generated images, after Table 1 of CVAE-GAN\n\n{table(header, rows)}\n{provenance(options, seeds)}"


# === Pictures ===


def write_pictures(out, models, images, labels, names):
    """Class grid, models side by side, and what an encoder allows: the paper's figures 5, 6 and 7, mixed."""
    best = models.get("cvaegan") or list(models.values())[-1]
    shown = np.arange(min(len(names), 16))
    by_class = {c: images[labels == c][:8] for c in shown}
    rows = {names[c]: best.generate(np.full(8, c), seed=1) for c in shown}
    plots.save_image(out / "samples.png", plots.labelled_rows(rows))

    rows = {}
    for c in shown[:4]:
        rows[f"{names[c]}: real"] = by_class[c]
        rows.update({f"{names[c]}: {TITLES[m]}": model.generate(np.full(8, c), seed=1) for m, model in models.items()})
    plots.save_image(out / "models.png", plots.labelled_rows(rows))

    if not hasattr(best, "encoder"):
        return
    first = np.stack([by_class[c][0] for c in shown[:8]])
    second = np.stack([by_class[c][1] for c in shown[:8]])
    classes = shown[:8]
    rows = {"real": first, "reconstructed": best.reconstruct(first, classes)}
    plots.save_image(out / "reconstructions.png", plots.labelled_rows(rows))

    morphed = best.morph(first, second, classes, steps=9)
    rows = {names[c]: [first[i], *morphed[i], second[i]] for i, c in enumerate(classes)}
    plots.save_image(out / "morphing.png", plots.labelled_rows({k: np.stack(v) for k, v in rows.items()}))

    size = first.shape[1]
    mask = np.zeros((size, size, 1), "float32")
    patch = round(size * 50 / 128)  # the paper corrupts 50 x 50 of 128 x 128 pixels
    top, left = np.random.default_rng(0).integers(0, size - patch, 2)
    mask[top : top + patch, left : left + patch] = 1
    corrupted = first * (1 - mask)
    rows = {"real": first, "corrupted": corrupted}
    rows.update({f"iteration {n}": best.inpaint(corrupted, classes, mask, iterations=n) for n in (1, 2, 5, 10)})
    plots.save_image(out / "inpainting.png", plots.labelled_rows(rows))

    small = first.reshape(len(first), size // 4, 4, size // 4, 4, -1).mean(axis=(2, 4))
    rows = {"real": first, "1/4 size": small.repeat(4, axis=1).repeat(4, axis=2)}
    rows.update({f"iteration {n}": best.super_resolve(small, classes, iterations=n) for n in (1, 10)})
    plots.save_image(out / "super_resolution.png", plots.labelled_rows(rows))

    rng = np.random.default_rng(0)
    mixes = [rng.choice(len(names), 3 if len(names) > 2 else 2, replace=False) for _ in range(4)]
    rows = {" + ".join(names[c] for c in mix): best.mix_identities(np.tile(mix, (8, 1)), seed=1) for mix in mixes}
    plots.save_image(out / "mixed.png", plots.labelled_rows(rows))


if __name__ == "__main__":
    run(main)
