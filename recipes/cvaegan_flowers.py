"""CVAE-GAN, sections 5.1 to 5.5: generate images of fine-grained classes, and measure them as Table 1 does.

    python recipes/cvaegan_flowers.py                                  # drawn flowers, CVAE-GAN alone
    python recipes/cvaegan_flowers.py --models cvae cgan acgan fmcgan cvaegan --seeds 3
    python recipes/cvaegan_flowers.py --preset small --data mnist:PATH --out runs/mnist
    python recipes/cvaegan_flowers.py --preset small --data zip:flowers17.zip --image-size 64 --out runs/flowers17
    python recipes/cvaegan_flowers.py --preset paper                   # Oxford Flowers 102 from TFDS, 128 px, for a GPU
    python recipes/cvaegan_flowers.py --ablate img                     # section 5.5; also D, C

Each model generates the same number of images of each class. Top-1 is the share that a classifier trained on real
images puts into the class asked for. The inception score comes from a second such classifier. Frechet distance, kernel
distance (both to real test images) and within-class diversity are measured in the features of the first. "Codes" are
images from the posteriors of training images, with the generator's batch statistics of these. The paper reports top-1
and inception score on FaceScrub, which is not available, so only the order of the models can be compared. With
--validate, a fifth of each class of the training images is held out and measured instead of the test images: options
are to be chosen by it.

Expected on two CPU cores: quick, top-1 of 94 % in 5 minutes, diversity 92 % of that of real images; small on MNIST, in
an hour, top-1 of 97 %, 96 %, 74 %, 73 % and 98 % (CVAE-GAN, FM-CGAN, AC-GAN, CGAN, CVAE) with Frechet distances of 6,
29, 120, 158 and 67.

Writes to --out, beside what every run writes (recipes/README.md): samples.png (a row for each class), models.png (the
models side by side), reconstructions.png, morphing.png, inpainting.png, super_resolution.png, mixed.png.
"""

import argparse
from functools import partial
from operator import itemgetter

import common
import judges
import numpy as np
import pictures

import kgan
from kgan import callbacks, metrics
from kgan.models.cvae_gan.model import PARTS

MODELS = {"cvae": kgan.CVAE, "cgan": kgan.CGAN, "acgan": kgan.ACGAN, "fmcgan": kgan.FMCGAN, "cvaegan": kgan.CVAEGAN}
TITLES = {
    "real": "real data",
    "cvae": "CVAE",
    "cgan": "CGAN",
    "acgan": "AC-GAN",
    "fmcgan": "FM-CGAN",
    "cvaegan": "CVAE-GAN",
}
REPORTED = {  # top-1 and inception score
    "real": (99.61, 20.85),
    "cvae": (8.09, 10.29),
    "cgan": (61.97, 15.79),
    "acgan": ("-", "-"),  # not in the paper
    "fmcgan": (79.76, 19.40),
    "cvaegan": (97.78, 19.03),
}
ABLATIONS = {  # what the generator still matches
    "img": ("discriminator", "classifier"),
    "D": ("image", "classifier"),
    "C": ("image", "discriminator"),
}
SHARED = {
    "seeds": 1,
    "width": 0.125,
    "latent_dim": 64,
    "batch_size": 32,
    # At these sizes a pairwise term lets a generator learn fast. CGAN has none, and its discriminator keeps its pace.
    "learning_rate": {"cvae": 2e-3, "cgan": 1e-3, "acgan": 1e-3, "fmcgan": 1e-3, "cvaegan": 2e-3},
    "discriminator_learning_rate": {"cgan": 1e-3, "acgan": 1e-3, "fmcgan": 2e-4, "cvaegan": 2e-4},
    "pixel_weight": 1.0,
    "mixed_norm": False,
    "augment": False,
    "separate": False,
    "generator_width": None,
    "upsample": False,
    "discriminator_width": None,
    "discriminator_norm": "batch",
    "discriminator_rate": None,
    "decay": False,
    "average": 0.0,
    "whiten": False,
}
QUICK = SHARED | {
    "data": "synthetic/flowers",
    "image_size": 32,
    "count": 6000,
    "models": ["cvaegan"],
    "epochs": 5,
    "lambdas": [0.1, 1.0, 1.0, 0.35],  # five epochs are few, so discriminator and classifier pull harder
    # A discriminator of the encoder's width has too few features to say much, and the pixel term blurs what is left.
    "discriminator_width": 0.5,
    "discriminator_learning_rate": SHARED["discriminator_learning_rate"] | {"cvaegan": 1e-4},
    "generator_width": 0.25,
    "pixel_weight": 0.1,
    "decay": True,
    "per_class": 50,
    "evaluator_steps": 300,
}
SMALL = SHARED | {
    "data": "synthetic/flowers",
    "image_size": 32,
    "count": None,
    "models": list(MODELS),
    "seeds": 3,
    "epochs": 3,
    "lambdas": None,
    "per_class": 500,
    "evaluator_steps": 1500,
}
PAPER = SHARED | {
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
    "discriminator_learning_rate": dict.fromkeys(("cgan", "acgan", "fmcgan", "cvaegan"), 2e-4),
    "lambdas": [3.0, 1.0, 1e-3, 1e-3],
    "per_class": 100,
    "evaluator_steps": 5000,
}


def main():
    on_or_off = argparse.BooleanOptionalAction
    options = common.parse_options(
        __doc__,
        (QUICK, SMALL, PAPER),
        image_size={"type": int, "help": "32, 64, 128 or 256"},
        latent_dim={"type": int, "help": "length of the latent vector"},
        models={"nargs": "+", "choices": MODELS, "help": "which to train"},
        lambdas={"type": float, "nargs": 4, "help": "weights of eq. 7; default in preset small: scaled_lambdas()"},
        pixel_weight={"type": float, "help": "weight of pixels among the pairwise terms of CVAE-GAN; 1 in the paper"},
        mixed_norm={"action": on_or_off, "help": "CVAE-GAN: one set of batch statistics for codes and prior"},
        augment={"action": on_or_off, "help": "CVAE-GAN: D and C see images shifted and mirrored"},
        separate={"action": on_or_off, "help": "CVAE-GAN: an optimizer for each kind of loss of the generator"},
        generator_width={"type": float, "help": "scales the channels of generators, not AC-GAN's"},
        upsample={"action": on_or_off, "help": "generators with up-sampling and convolution, not transposed"},
        discriminator_width={"type": float, "help": "scales those of discriminators, not AC-GAN's"},
        discriminator_norm={"choices": ("batch", "layer", "spectral"), "help": "in discriminators, not AC-GAN's"},
        discriminator_rate={"type": float, "help": "learning rate of D; by default the preset's for each model"},
        decay={"action": on_or_off, "help": "let learning rates fall to 0 along a cosine"},
        average={
            "type": float,
            "help": "momentum of the moving averages that the generator's weights end as; 0: none",
        },
        whiten={"action": on_or_off, "help": "with an encoder: at last, move the codes of images to the prior"},
        per_class={"type": common.at_least_one, "help": "images of each class that are measured"},
        validate={"action": "store_true", "help": "measure training images that are held out, to choose options"},
        inception={"action": "store_true", "help": "FID, of more than 2048 images, and KID; needs kgan[fid]"},
        ablate={"choices": ABLATIONS, "help": "CVAE-GAN without one part of its generator's loss (section 5.5)"},
    )
    common.check_run(options)
    if not 0 <= options.average < 1:
        raise ValueError(f"--average {options.average}: pass 0 or more, and less than 1.")
    if options.discriminator_rate is not None and not options.discriminator_rate > 0:
        raise ValueError(f"--discriminator-rate {options.discriminator_rate}: pass a number above 0.")
    names = kgan.data.class_names(options.data)
    if len(names) < 2:
        count = f"one class, {names[0]!r}" if names else "no classes"
        raise ValueError(f"{options.data} has {count}; the models need two or more.")
    load = partial(kgan.data.load, options.data, image_size=options.image_size, seed=options.seed)
    training = common.as_arrays(load("train", count=options.count))
    check_classes("The train split", training[1], names)
    if options.validate:
        training, test = judges.hold_out(*training, 0.2)
        check_classes("A fifth of the train split", test[1], names)
    else:
        test = common.as_arrays(load("test"))
        check_classes("The test split", test[1], names)
    judges.check_test_images(test[1])
    new_model(options.models[0], training[0], len(names), options).check_batch(*training)
    # Before the run's folder is made: this needs a package and a download.
    inception = metrics.inception_features(test[0]) if options.inception and not options.steps else None
    out = common.open_run(options)
    print(f"{len(training[0])} training and {len(test[0])} test images, {len(names)} classes")

    evaluators = [judges.evaluator(out, number, *training, len(names), options) for number in (0, 1)]
    judge = partial(judges.measure_images, *evaluators, real=test)
    measure = partial(measure_model, judge, training, options.per_class, inception)
    results, models = {"real": {"0": judge(*test)}}, {}
    for seed in common.seeds_of(options):
        for name in options.models:
            folder = out / f"{name}-seed{seed}"
            make = partial(train, name, seed, folder, *training, len(names), options)
            models[name], numbers = common.train_and_measure(folder, make, measure, options)
            common.save_preset(folder, models[name], names, numbers, options)
            results.setdefault(name, {})[str(seed)] = numbers
    common.write(out / "metrics.json", results)
    write_pictures(out, models, *test, names)
    common.finish(out, results_table(results, options), f"{out / 'samples.png'} and beside it")


def check_classes(part, labels, names):
    """Refuse, before anything is trained, data that could not be measured afterwards."""
    few = [name for name, n in zip(names, np.bincount(labels, minlength=len(names)), strict=True) if n < 2]
    if few:
        raise ValueError(f"{part} has fewer than two images of {', '.join(few)}; give more.")


# === Models ===


def scaled_lambdas(image_size, channels, num_classes):
    """The weights of eq. 7 for other sizes, where this recipe departs from the paper.

    The paper's weights 3, 1, 1e-3, 1e-3 are for colour images of 128 px and 530 classes. The pixel term is a sum over
    pixels and the class term a sum over classes, so the first and the last weight are scaled with these. The KL
    divergence counts half as much as in the paper, for the diversity of samples. Mean matching on D counts a hundred
    times as much: at 1e-3 FM-CGAN follows the classifier alone and ends in noise (top-1 of 10 % on MNIST after an
    epoch, 94 % at 0.1).
    """
    return (1.5 * image_size**2 * channels / (128**2 * 3), 1.0, 0.1, 1e-3 * 530 / num_classes)


def new_model(name, images, num_classes, options):
    lambdas = options.lambdas or scaled_lambdas(options.image_size, images.shape[-1], num_classes)
    if name == "cvae" and not options.lambdas:
        lambdas = (1.0, 1.0, 0.0, 0.0)  # its evidence lower bound: alone it needs a stronger prior than CVAE-GAN
    # AC-GAN as printed ends, at these sizes, in glyphs that its discriminator alone can read.
    extra = {"cgan": {}, "acgan": {"classify_fakes": False}}.get(name, {"lambdas": lambdas})
    if name != "acgan":
        extra |= {"generator_width": options.generator_width, "upsample": options.upsample}
    if name in ("cgan", "fmcgan", "cvaegan"):
        extra |= {key: getattr(options, key) for key in ("discriminator_width", "discriminator_norm")}
    if name == "cvaegan":
        parts = ABLATIONS.get(options.ablate, PARTS)
        extra["matching"] = {part: options.pixel_weight if part == "image" else 1.0 for part in parts}
        extra |= {key: getattr(options, key) for key in ("mixed_norm", "augment", "separate")}
    return MODELS[name](num_classes, options.image_size, images.shape[-1], options.latent_dim, options.width, **extra)


# === Training ===


def train(name, seed, folder, images, labels, num_classes, options):
    print(f"--- {TITLES[name]}, seed {seed}")
    common.set_seed(seed, options.devices)
    model = new_model(name, images, num_classes, options)
    rates = dict.fromkeys(model.players, options.learning_rate[name])
    if "discriminator" in rates:
        rates["discriminator"] = options.discriminator_rate or options.discriminator_learning_rate[name]
    batches = kgan.data.Batches(images, labels, options.batch_size, seed)
    averaging = "generator_prior" if "generator_prior" in rates else "generator"  # the last to update it
    averages = {averaging: options.average} if options.average else {}
    model.compile(common.adams(rates, options.epochs * len(batches) if options.decay else None, averages))

    shown = np.repeat(np.arange(min(num_classes, 16)), 8)

    def sample(model):
        return model.generate(shown, seed=0)

    extra = [partial(callbacks.ImageGrid, sample=sample, columns=8, folder=folder / "samples")]
    if hasattr(model, "encoder"):
        extra.append(partial(callbacks.LatentKL, images=images[:256], labels=labels[:256]))
    some = np.flatnonzero(np.isin(labels, shown))[:2000]
    real_diversity = metrics.within_class_diversity(images[some].reshape(len(some), -1), labels[some])
    watchdog = callbacks.Watchdog(sample, shown, real_diversity)
    common.train(model, batches, folder, options, extra, watchdog)
    if options.whiten and hasattr(model, "encoder"):
        model.whiten_latents(images, labels)
    return model


# === Results ===


def measure_model(judge, training, per_class, inception, model):
    """The numbers of as many images of each class, and of images from codes, where there are enough of them."""
    wanted = np.repeat(np.arange(model.num_classes), per_class)
    numbers = judge(model.generate(wanted, seed=1), wanted, inception=inception)
    if hasattr(model, "encoder") and min(len(training[0]), len(wanted)) > judges.FEATURES:
        random = np.random.default_rng(0)
        images, labels = training
        some = random.choice(len(images), min(len(images), len(wanted)), replace=False)
        mean, log_variance = model.encode(images[some], labels[some])
        latents = mean + np.exp(log_variance / 2) * random.standard_normal(mean.shape, "float32")
        of_codes = judge(model.decode(labels[some], latents), labels[some])
        numbers |= {f"codes_{name}": of_codes[name] for name in ("frechet_distance", "diversity")}
    return numbers


def results_table(results, options):
    results = {name: results[name] for name in TITLES if name in results}
    real = results["real"]["0"]
    ours = partial(common.spreads, results)
    ablated = {"cvaegan": f" without {options.ablate}"} if options.ablate else {}
    columns = {
        "model": [TITLES[name] + ablated.get(name, "") for name in results],
        "top-1 %, reported (FaceScrub)": [REPORTED[name][0] for name in results],
        "top-1 %, ours": ours("top1"),
        "inception score, reported (FaceScrub)": [REPORTED[name][1] for name in results],
        "inception score, ours": ours("inception_score"),
        "Frechet distance": ours("frechet_distance"),
        "kernel distance": ours("kernel_distance", 3),
        "diversity, % of real": ours(lambda run: 100 * run["diversity"] / real["diversity"], 1),
        "pixel diversity, % of real": ours(lambda run: 100 * run["pixel_diversity"] / real["pixel_diversity"], 1),
        **code_columns(results, real),
        **(inception_columns(results) if options.inception else {}),
        "seconds": [f"{np.mean([run.get('seconds', 0) for run in runs.values()]):.0f}" for runs in results.values()],
    }
    text = f"# Generated images, after Table 1 of CVAE-GAN\n\n{common.table(columns)}"
    if options.validate:
        text += "\nMeasured on a fifth of the training images, which was held out, not on test images.\n"
    return f"{text}\n{common.provenance(options)}"


def code_columns(results, real):
    """Images from codes of training images, with the batch statistics of codes."""

    def spread(runs, number, digits):
        encoded = [run for run in runs.values() if "codes_diversity" in run]
        return common.spread(list(map(number, encoded)), digits) if encoded else "-"

    def diversity(run):
        return 100 * run["codes_diversity"] / real["diversity"]

    return {
        "Frechet distance, codes": [spread(runs, itemgetter("codes_frechet_distance"), 2) for runs in results.values()],
        "diversity, codes": [spread(runs, diversity, 1) for runs in results.values()],
    }


def inception_columns(results):
    """FID and KID of the models; those of real images to themselves say nothing."""
    models = {name: runs for name, runs in results.items() if name != "real"}
    few = [name for name, runs in models.items() if not all("fid" in run for run in runs.values())]
    fid = ["too few images" if name in few else common.spreads({name: models[name]}, "fid")[0] for name in models]
    return {"FID": ["-", *fid], "KID": ["-", *common.spreads(models, "kid", 4)]}


def write_pictures(out, models, images, labels, names):
    """A row of samples for each class, the models side by side, and what an encoder allows: Figures 5, 6 and 7."""
    best = models.get("cvaegan") or list(models.values())[-1]
    shown = np.arange(min(len(names), 16))
    real = {c: images[labels == c][:8] for c in shown}
    pictures.save_rows(out / "samples.png", {names[c]: best.generate(np.full(8, c), seed=1) for c in shown})
    rows = {}
    for c in shown[:4]:
        rows[f"{names[c]}: real"] = real[c]
        rows.update({f"{names[c]}: {TITLES[m]}": model.generate(np.full(8, c), seed=1) for m, model in models.items()})
    pictures.save_rows(out / "models.png", rows)
    if hasattr(best, "encoder"):
        first, second = (np.stack([real[c][i] for c in shown[:8]]) for i in (0, 1))
        pictures.edits(out, best, first, second, shown[:8], names)


if __name__ == "__main__":
    common.run(main)
