"""SPL, section 3: generated images with soft pseudo labels beside the training images of a multi-label classifier.

    python recipes/spl_multilabel.py                                  # drawn shapes, one GAN, five rows, one seed
    python recipes/spl_multilabel.py --preset small --seeds 5         # both GANs, the rows of Tables 1 to 3, and more
    python recipes/spl_multilabel.py --preset small --data mosaic:cifar10.zip --image-size 64 --count 2000
    python recipes/spl_multilabel.py --data coco:coco128x2.zip --image-size 64 --folds 5 --validation 40
    python recipes/spl_multilabel.py --preset paper --data multilabel:PATH      # 224 px, ResNet-101, for a GPU

A GAN learns the training images, and keeps the weights that had the least Frechet distance to a validation part of the
training split. A classifier trained on the real images alone, the baseline, looks at as many generated ones as there
are real ones, and each row gives them labels in another way. All rows of a seed start from the same weights, see the
same real images in the same order, and take as many steps. The thresholds of the columns "tuned" are chosen on the
validation part, too. The paper names no optimizer, rate, length of training or initial weights for the classifier; here
it is Adam with a rate that falls to 0, from random weights unless --weights.

With --folds, for sets of a few hundred images, each part of the whole set is the test set once, and the scores of all
are measured together, over the classes with ten positives or more.

Rows beyond the paper say what its gain comes from: noise or unlabelled real images in place of generated ones, the
softmax of logits, the confidences themselves, other losses, a pass of their own for generated images.

Writes to --out, beside what every run writes (recipes/README.md): classes.png (average precision of each class); for
each seed and GAN generated.png (images with what the baseline sees in them), frechet.png (the distance over training)
and generated/ (uint8 shards); for each row model.keras, result.json and scores.npz (of the test images).
"""

import io
from functools import partial
from typing import NamedTuple

import common
import keras
import numpy as np
from scipy import stats

import kgan
from kgan import callbacks, metrics, plots
from kgan import soft_pseudo_labels as spl
from kgan.data.mixed import resized, to_pixels, to_unit
from kgan.data.samples import generate_samples
from kgan.models.gan import dcgan_discriminator, dcgan_generator
from kgan.models.soft_pseudo_labels.networks import BACKBONES, build_small
from kgan.runtime.files import write_whole


class Row(NamedTuple):
    """How a classifier is trained beside its real images."""

    title: str
    label: callable = None  # of the baseline's logits (n, classes) and the seed; None without further images
    images: str = "generated"  # or "noise" or "unlabelled"
    anew: bool = False  # whether the classifier itself labels its images anew before each epoch but the first
    options: dict = {}  # of MultiLabelClassifier
    share: float = 1.0


def random(logits, seed):
    return spl.random_labels(*logits.shape, positives=min(3, logits.shape[1]), seed=seed)


def pseudo(logits, seed):
    return spl.pseudo_labels(logits, top_k=min(3, logits.shape[1]))


def smooth(logits, seed):
    return spl.smooth_labels(*logits.shape)


def soft(logits, seed):
    return spl.soft_pseudo_labels(logits)


def soft_of_logits(logits, seed):
    return spl.soft_pseudo_labels(logits, of="logits")


def confidence(logits, seed):
    return spl.confidence_labels(logits)


SOFTMAX, APART = {"generated_loss": "softmax"}, {"separate": True}
ROWS = {
    "baseline": Row("Baseline"),
    "random": Row("Random labelling", random),
    "pseudo": Row("Pseudo labelling", pseudo),
    "smooth": Row("Smooth labelling", smooth),
    "spl": Row("SPL", soft),
    # What the paper does not have.
    "spl_tenth": Row("SPL, weight 0.1", soft, options={"generated_weight": 0.1}),
    "spl_apart": Row("SPL, own pass", soft, options=APART),
    "spl_positive": Row("SPL, eq. 3 for generated images", soft, options={"generated_loss": "positive"}),
    "spl_logits": Row("SPL of logits", soft_of_logits),
    "spl_logits_softmax": Row("SPL of logits, softmax loss", soft_of_logits, options=SOFTMAX),
    "spl_logits_apart": Row("SPL of logits, softmax loss, own pass", soft_of_logits, options=SOFTMAX | APART),
    "confidence": Row("Confidences", confidence),
    "confidence_apart": Row("Confidences, own pass", confidence, options=APART),
    "confidence_tenth": Row("Confidences, weight 0.1", confidence, options={"generated_weight": 0.1}),
    "confidence_half": Row("Confidences, half as many", confidence, share=0.5),
    "confidence_double": Row("Confidences, twice as many", confidence, share=2.0),
    "confidence_anew": Row("Confidences, anew each epoch", confidence, anew=True),
    "noise": Row("Noise, smooth labelling", smooth, "noise"),
    "unlabelled": Row("Real images without labels, confidences", confidence, "unlabelled"),
    "asl": Row("Baseline, asymmetric loss", options={"loss": "asl"}),
}
# mAP, F1-C, F1-O of "All" on COCO (Table 3).
REPORTED = {
    "baseline": (71.9, 65.8, 71.8),
    "random/dcgan": (70.8, 65.2, 71.1),
    "random/wgan_gp": (70.6, 65.0, 71.0),
    "pseudo/dcgan": (70.4, 64.7, 71.0),
    "pseudo/wgan_gp": (70.2, 64.5, 70.9),
    "smooth/dcgan": (73.2, 67.3, 72.6),
    "smooth/wgan_gp": (72.8, 67.0, 72.4),
    "spl/dcgan": (73.4, 67.6, 72.8),
    "spl/wgan_gp": (73.5, 67.8, 72.9),
}
GANS = {"dcgan": "DCGAN", "wgan_gp": "WGAN-GP"}
QUICK = {
    "data": "synthetic/shapes",
    "image_size": 32,
    "count": 300,
    "validation": 100,
    "test_count": 500,
    "backbone": "small",
    "width": 0.5,
    "weights": None,
    "rows": ["baseline", "random", "pseudo", "smooth", "spl"],
    "gans": ["dcgan"],
    "seeds": 1,
    "folds": None,
    "epochs": 8,
    "batch_size": 24,
    "learning_rate": 5e-3,
    "crop": None,
    "gan_size": 32,
    "gan_width": 0.25,
    "gan_epochs": 40,
    "gan_batch_size": 32,
    "gan_learning_rate": 1e-3,
    "latent_dim": 64,
}
SMALL = QUICK | {
    "validation": 300,
    "test_count": 2000,
    "rows": list(ROWS),
    "gans": list(GANS),
    "seeds": 3,
    "epochs": 20,
    "gan_epochs": 150,
}
PAPER = QUICK | {
    "data": "coco/2014",
    "image_size": 256,
    "count": None,
    "validation": 9600,
    "test_count": None,
    "backbone": "resnet101_v2",
    "width": 1.0,
    "weights": "imagenet",
    "gans": list(GANS),
    "epochs": 20,
    "learning_rate": 1e-4,
    "crop": 224,
    "gan_size": 64,
    "gan_width": 1.0,
    "gan_epochs": 1000,
    "gan_batch_size": 64,
    "gan_learning_rate": 2e-4,
    "latent_dim": 100,
}


def main():
    options = common.parse_options(
        __doc__,
        (QUICK, SMALL, PAPER),
        image_size={"type": int, "help": "height and width of the images"},
        validation={"type": common.at_least_one, "help": "training images kept for the choice of thresholds"},
        backbone={"choices": BACKBONES, "help": "of the classifier"},
        weights={"help": "initial weights of the backbone, such as imagenet"},
        rows={"nargs": "+", "choices": ROWS, "help": "which to train"},
        gans={"nargs": "+", "choices": GANS, "help": "which to generate images with"},
        folds={"type": int, "help": "cross-validation in place of --seeds and of the set's own split"},
        gan_size={"type": int, "help": "height and width of generated images, which are enlarged to those of the others"},
        gan_width={"type": float, "help": "scales the channels of the GANs"},
        gan_epochs={"type": common.at_least_one, "help": "passes of a discriminator over the images"},
        learning_rate={"type": float, "help": "of the classifier"},
    )
    common.check_run(options)
    if "baseline" not in options.rows:
        raise ValueError("--rows needs baseline: its confidences label the images of the other rows.")
    if options.folds is not None and options.folds < 2:
        raise ValueError(f"--folds {options.folds}: pass 2 or more.")
    names = kgan.data.class_names(options.data)
    if options.folds:
        splits = folds(options)
    else:
        training, test = load_training(options), load(options, "test", options.test_count)
        splits = dict.fromkeys(common.seeds_of(options), (training, test))
    out = common.open_run(options)
    results = {}
    for seed, (training, test) in splits.items():
        for key, numbers in run_of_seed(seed, out / f"seed{seed}", training, test, names, options):
            results.setdefault(key, {})[str(seed)] = numbers
    results = dict(sorted(results.items(), key=lambda item: list(ROWS).index(item[0].split("/")[0])))
    if options.folds:
        frequent = np.sum([(test[1] == 1).sum(axis=0) for _, test in splits.values()], axis=0) >= 10
        names = [name for name, enough in zip(names, frequent, strict=True) if enough]
        results = {key: pooled(by_seed, key, out, splits, frequent) for key, by_seed in results.items()}
    common.write(out / "metrics.json", results)
    few = dict(list(results.items())[:8])
    series = {title(key): np.mean([run["ap"] for run in few[key].values()], axis=0) for key in few}
    plots.bars(out / "classes.png", series, names, "average precision, %")
    pictures = ", ".join(str(out / f"seed{next(iter(splits))}" / gan / "generated.png") for gan in options.gans)
    common.finish(out, results_table(results, options), f"{pictures}, {out / 'classes.png'}")


# === Data ===


def load(options, split, count):
    images, labels = common.as_arrays(
        kgan.data.load(options.data, split, image_size=options.image_size, channels=3, count=count, seed=options.seed)
    )
    if labels is None or labels.ndim != 2:
        raise ValueError(f"{options.data} has no labels (images, classes): pass multilabel:PATH or another such set.")
    return to_pixels(images), labels  # uint8 takes a quarter of the memory


def load_training(options):
    """The training split, or as much of it as the parts of `three_parts` need."""
    unlabelled = any(ROWS[key].images == "unlabelled" for key in options.rows)
    needed = options.count and options.count * (1 + unlabelled) + options.validation
    images, labels = load(options, "train", needed)
    if len(images) <= options.validation:
        raise ValueError(f"{len(images)} training images, of which --validation {options.validation}: leave some.")
    return images, labels


def folds(options):
    """For each fold the images and labels to train with, and those to test on."""
    both = [load(options, split, None) for split in ("train", "test")]
    images, labels = (np.concatenate(parts) for parts in zip(*both, strict=True))
    order = np.random.default_rng(options.seed).permutation(len(images))
    fold = np.arange(len(images)) % options.folds
    parts = {k: (order[fold != k], order[fold == k]) for k in range(options.folds)}
    return {k: tuple((images[rows], labels[rows]) for rows in both) for k, both in parts.items()}


def three_parts(images, labels, options, seed):
    """Images and labels to train on and to choose thresholds on, and images whose labels are not looked at."""
    order = np.random.default_rng([seed, 1]).permutation(len(images))
    held, rest = order[: options.validation], order[options.validation :]
    train = rest[: options.count]
    return (images[train], labels[train]), (images[held], labels[held]), images[rest[len(train) :]]


def in_parts(function, images, size, part=512):
    """What a function returns for images in [-1, 1] of this size, without all of them in memory as floats."""
    parts = (images[start : start + part] for start in range(0, len(images), part))
    return np.concatenate([function(to_unit(resized(some, size))) for some in parts])


# === A seed: the baseline, then each GAN and each row ===


def run_of_seed(seed, folder, training, test, names, options):
    """Yields each row's key, such as `baseline` and `spl/dcgan`, and its numbers."""
    train, validation, unlabelled = three_parts(*training, options, seed)
    noise = np.random.default_rng([seed, 2]).integers(0, 256, train[0].shape).astype("uint8")
    classify = partial(classifier, seed, train, validation, test, names, options)
    baseline, numbers = classify("baseline", folder)
    yield "baseline", numbers
    others = {"noise": noise, "unlabelled": unlabelled, "generated": None}
    for key in options.rows:
        images = others[ROWS[key].images]
        if key != "baseline" and (images is not None or not ROWS[key].label):
            yield key, classify(key, folder, labelled(baseline, key, images, seed))[1]
    for gan in options.gans:
        generated, likeness = generate(gan, seed, folder / gan, train[0], validation[0], options)
        plots.captioned(folder / gan / "generated.png", generated[:16], captions(baseline, generated[:16]))
        for key in options.rows:
            if ROWS[key].label and ROWS[key].images == "generated":
                count = int(np.ceil(max(1, ROWS[key].share) * len(train[0])))
                extra = labelled(baseline, key, generated[:count], seed)
                yield f"{key}/{gan}", {**classify(key, folder / gan, extra)[1], **likeness}


def labelled(model, key, images, seed):
    """Images with the labels that a row makes of a model's logits, or None for a row without."""
    if images is None:
        return None
    predict = partial(model.network.predict, batch_size=256, verbose=0)
    return images, ROWS[key].label(in_parts(predict, images, model.image_size), seed)


def captions(baseline, images):
    """The three classes that the baseline finds most probable in each image."""
    scores = in_parts(baseline.score, images, baseline.image_size)
    best = np.argsort(-scores, axis=1)[:, :3]
    names = baseline.class_names
    return ["\n".join(f"{names[c]} {row[c]:.2f}" for c in three) for row, three in zip(scores, best, strict=True)]


# === Generated images ===


def new_gan(name, options):
    shape = options.gan_size, 3
    norm = "layer" if name == "wgan_gp" else "batch"
    make = {"dcgan": kgan.GAN, "wgan_gp": kgan.WGANGP}[name]
    return make(
        dcgan_generator(*shape, options.latent_dim, options.gan_width),
        dcgan_discriminator(*shape, options.gan_width, norm),
        options.latent_dim,
        augment=True,
    )


def generate(name, seed, folder, images, held_out, options):
    """As many images as the rows need, kept in the run's folder, and how they compare with images held out."""
    images, held_out = resized(images, options.gan_size), resized(held_out, options.gan_size)

    def distance(model):
        generated = to_pixels(model.generate(len(images), seed=1))
        return metrics.frechet_distance(*components(held_out, generated))

    def train():
        print(f"--- {GANS[name]}, seed {seed}")
        common.set_seed(seed)
        model = new_gan(name, options)
        rate = options.gan_learning_rate
        model.compile({player: keras.optimizers.Adam(rate, beta_1=0.5) for player in model.players})
        updates = getattr(model, "n_critic", 1)  # of a critic, which share a batch
        batches = kgan.data.Batches(to_unit(images), None, options.gan_batch_size * updates, seed)
        every = max(1, options.gan_epochs // 20)
        best = callbacks.KeepBest(distance, folder / "best.weights.h5", "frechet_distance", every)
        sample = lambda model: model.generate(64, seed=0)  # noqa: E731
        grid = partial(callbacks.ImageGrid, sample=sample, columns=8, folder=folder / "samples")
        common.train(model, batches, folder, options, [lambda writer: best, grid], epochs=options.gan_epochs)
        curve = np.atleast_1d(np.genfromtxt(folder / "train.csv", delimiter=",", names=True))
        line = curve["epoch"] + 1, curve["frechet_distance"], None, None
        plots.curves(folder / "frechet.png", {GANS[name]: line}, "epoch", "Frechet distance")
        return model

    model = common.keep(folder / "model.keras", train, options)
    count = int(np.ceil(max(1, *(ROWS[key].share for key in options.rows)) * len(images)))
    made_by = {"gan": name, "seed": seed, "epochs": options.gan_epochs, "size": options.gan_size}
    generated = generate_samples(folder / "generated", model.generate, count, made_by)
    features = components(held_out, generated[: len(images)])
    numbers = {"frechet_distance": metrics.frechet_distance(*features), "coverage": 100 * metrics.coverage(*features)}
    return generated, numbers


def components(real, generated):
    """Both in the 48 principal components of the real images: small sets allow no network's features."""
    flat = [to_unit(images).reshape(len(images), -1) for images in (real, generated)]
    mean = flat[0].mean(axis=0)
    directions = np.linalg.svd(flat[0] - mean, full_matrices=False)[2][: min(48, len(real) // 2)]
    return [(values - mean) @ directions.T for values in flat]


# === Classifiers ===


def classifier(seed, train, validation, test, names, options, key, folder, extra=None):
    """A trained classifier of a row and its numbers.

    Args:
        extra: further images and their labels.
    """
    row, folder = ROWS[key], folder / key

    def fit():
        print(f"--- {row.title}, {folder}")
        common.set_seed(seed)
        size = options.crop or options.image_size
        small = options.backbone == "small"
        model = spl.MultiLabelClassifier(
            len(names),
            build_small(size, options.width) if small else options.backbone,
            size,
            None if small else options.weights,
            class_names=names,
            **row.options,
        )
        batches = kgan.data.MixedBatches(train, extra, options.batch_size, row.share, options.crop, seed=seed)
        model.compile(common.decaying_adam(options.learning_rate, options.epochs * len(batches)))

        def relabel(epoch, logs):
            if epoch:
                batches.labels["generated"] = labelled(model, key, extra[0], seed)[1]

        anew = keras.callbacks.LambdaCallback(on_epoch_begin=relabel)
        common.train(model, batches, folder, options, [lambda writer: anew] if row.anew else [])
        found = in_parts(model.score, validation[0], size)
        model.thresholds = metrics.best_thresholds(validation[1], found).tolist()
        return model

    def measure(model):
        scores, thresholds = in_parts(model.score, test[0], model.image_size), np.array(model.thresholds)
        file = io.BytesIO()
        np.savez(file, scores=scores, thresholds=thresholds)
        write_whole(folder / "scores.npz", file.getvalue())
        kept = metrics.multilabel_metrics(validation[1], in_parts(model.score, validation[0], model.image_size))
        return measured(test[1], scores, thresholds) | {"validation_mAP": 100 * kept["mAP"]}

    return common.train_and_measure(folder, fit, measure, options)


def measured(labels, scores, thresholds):
    """In per cent: the columns of Tables 1 to 3, with the tuned thresholds beside .5, and the calibration error.

    Args:
        labels, scores: `(n, classes)`.
        thresholds: as the scores, or one for each class.
    """
    everything = metrics.multilabel_metrics(labels, scores)
    tuned = metrics.multilabel_metrics(labels, scores - thresholds, thresholds=0.0)
    three = metrics.multilabel_metrics(labels, scores, top_k=min(3, labels.shape[1]), thresholds=None)
    numbers = {name: everything[name] for name in ("mAP", "f1_c_mean", "f1_o")}
    numbers |= {f"tuned_{name}": tuned[name] for name in ("f1_c_mean", "f1_o")}
    numbers |= {f"top3_{name}": three[name] for name in ("f1_c_mean", "f1_o")}
    numbers["calibration_error"] = metrics.calibration_error(labels, scores)
    return {name: 100 * value for name, value in numbers.items()} | {"ap": (100 * everything["ap"]).tolist()}


def pooled(by_seed, key, out, splits, classes):
    """Results of a row's folds as if they were of one run: their scores, measured together over some classes."""
    row, _, gan = key.partition("/")
    labels, scores, thresholds = [], [], []
    for fold, (_, test) in splits.items():
        with np.load(out / f"seed{fold}" / gan / row / "scores.npz") as saved:
            labels.append(test[1])
            scores.append(saved["scores"])
            thresholds.append(np.broadcast_to(saved["thresholds"], saved["scores"].shape))
    numbers = measured(*(np.concatenate(parts)[:, classes] for parts in (labels, scores, thresholds)))
    means = ("validation_mAP", "frechet_distance", "coverage") if gan else ("validation_mAP",)
    return {"pooled": numbers | {name: np.mean([run[name] for run in by_seed.values()]) for name in means}}


# === Results ===


def title(key):
    row, _, gan = key.partition("/")
    return ROWS[row].title + (f" ({GANS[gan]})" if gan else "")


def results_table(results, options):
    ours = partial(common.spreads, results, digits=1)
    reported = [REPORTED.get(key, ("-", "-", "-")) for key in results]
    columns = {
        "row": [title(key) for key in results],
        "mAP, reported (COCO)": [numbers[0] for numbers in reported],
        "mAP": ours("mAP"),
        "gain": [gain(by_seed, results["baseline"]) for by_seed in results.values()],
        "gain on validation": [gain(by_seed, results["baseline"], "validation_mAP") for by_seed in results.values()],
        "F1-C, reported": [numbers[1] for numbers in reported],
        "F1-C": ours("f1_c_mean"),
        "F1-O, reported": [numbers[2] for numbers in reported],
        "F1-O": ours("f1_o"),
        "F1-C, tuned": ours("tuned_f1_c_mean"),
        "F1-O, tuned": ours("tuned_f1_o"),
        "F1-O, top 3": ours("top3_f1_o"),
        "calibration error": ours("calibration_error"),
    }
    for column in ("Frechet distance", "coverage"):
        columns[column] = [
            common.spread([run[column.lower().replace(" ", "_")] for run in by_seed.values()], 1) if "/" in key else "-"
            for key, by_seed in results.items()
        ]
    pooling = f"{options.folds} folds, scores pooled. " if options.folds else ""
    return (
        f"# Generated images beside real ones, after Tables 1 to 3 of SPL\n\n{common.table(columns)}\n"
        "In per cent but for the Frechet distance. Gain: of mAP over the baseline of the same seed, mean and 95 % "
        f"interval over seeds. Frechet distance and coverage: to the validation images. {pooling}"
        f"{common.provenance(options)}"
    )


def gain(by_seed, baseline, what="mAP"):
    if by_seed is baseline:
        return "-"
    differences = [numbers[what] - baseline[seed][what] for seed, numbers in by_seed.items()]
    if len(differences) < 2:
        return f"{differences[0]:+.1f}"
    half = stats.t.ppf(0.975, len(differences) - 1) * stats.sem(differences)
    return f"{np.mean(differences):+.1f} ± {half:.1f}"


if __name__ == "__main__":
    common.run(main)
