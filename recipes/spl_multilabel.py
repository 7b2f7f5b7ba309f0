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
import spl_images
import spl_scores

import kgan
from kgan import metrics, plots
from kgan import soft_pseudo_labels as spl
from kgan.data.mixed import resized, to_pixels, to_unit
from kgan.layers import SIZES
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
    "spl_softmax": Row("SPL, softmax loss", soft, options=SOFTMAX),
    "spl_tenth": Row("SPL, weight 0.1", soft, options={"generated_weight": 0.1}),
    "spl_weight_half": Row("SPL, weight 0.5", soft, options={"generated_weight": 0.5}),
    "spl_weight_double": Row("SPL, weight 2", soft, options={"generated_weight": 2.0}),
    "spl_few": Row("SPL, a tenth as many", soft, share=0.1),
    "spl_half": Row("SPL, half as many", soft, share=0.5),
    "spl_double": Row("SPL, twice as many", soft, share=2.0),
    "spl_apart": Row("SPL, own pass", soft, options=APART),
    "spl_positive": Row("SPL, eq. 3 for generated images", soft, options={"generated_loss": "positive"}),
    "spl_logits": Row("SPL of logits", soft_of_logits),
    "spl_logits_softmax": Row("SPL of logits, softmax loss", soft_of_logits, options=SOFTMAX),
    "spl_logits_apart": Row("SPL of logits, softmax loss, own pass", soft_of_logits, options=SOFTMAX | APART),
    "confidence": Row("Confidences", confidence),
    "confidence_apart": Row("Confidences, own pass", confidence, options=APART),
    "confidence_tenth": Row("Confidences, weight 0.1", confidence, options={"generated_weight": 0.1}),
    "confidence_weight_half": Row("Confidences, weight 0.5", confidence, options={"generated_weight": 0.5}),
    "confidence_weight_double": Row("Confidences, weight 2", confidence, options={"generated_weight": 2.0}),
    "confidence_few": Row("Confidences, a tenth as many", confidence, share=0.1),
    "confidence_half": Row("Confidences, half as many", confidence, share=0.5),
    "confidence_double": Row("Confidences, twice as many", confidence, share=2.0),
    "confidence_anew": Row("Confidences, anew each epoch", confidence, anew=True),
    "noise": Row("Noise, smooth labelling", smooth, "noise"),
    "unlabelled": Row("Real images without labels, confidences", confidence, "unlabelled"),
    "asl": Row("Baseline, asymmetric loss", options={"loss": "asl"}),
}
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
    "gans": list(spl_images.GANS),
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
    "gans": list(spl_images.GANS),
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
        weights={"help": "initial weights of the backbone: none, imagenet, or a weights file"},
        rows={"nargs": "+", "choices": ROWS, "help": "which to train"},
        gans={"nargs": "+", "choices": spl_images.GANS, "help": "which to generate images with"},
        folds={"type": int, "help": "cross-validation in place of --seeds and of the set's own split"},
        gan_size={"type": int, "help": "height and width at which the GANs learn and generate"},
        gan_width={"type": float, "help": "scales the channels of the GANs"},
        gan_epochs={"type": common.at_least_one, "help": "passes of a discriminator over the images"},
        learning_rate={"type": float, "help": "of the classifier"},
    )
    common.check_run(options)
    if "baseline" not in options.rows:
        raise ValueError("--rows needs baseline: its confidences label the images of the other rows.")
    if options.count is None and any(ROWS[key].images == "unlabelled" for key in options.rows):
        raise ValueError(
            "--rows unlabelled needs --count: its images are those that --count leaves of the training split."
        )
    if options.gan_size not in SIZES:
        raise ValueError(f"--gan-size {options.gan_size}: pass one of {', '.join(map(str, SIZES))}.")
    if not 0 < options.gan_width <= 4:
        raise ValueError(f"--gan-width {options.gan_width}: pass a number above 0, at most 4.")
    if options.folds is not None and options.folds < 2:
        raise ValueError(f"--folds {options.folds}: pass 2 or more.")
    names = kgan.data.class_names(options.data)
    if options.folds:
        options.seeds = options.folds
        splits = folds(options)
    else:
        training, test = load_training(options), load(options, "test", options.test_count)
        splits = dict.fromkeys(common.seeds_of(options), (training, test))
    check_parts(min(len(images) for (images, _), _ in splits.values()), options)
    new_classifier(ROWS["baseline"], names, options)  # weights that are missing are told of before the run begins
    out = common.open_run(options)
    results = {}
    for seed, (training, test) in splits.items():
        for key, numbers in run_of_seed(seed, out / f"seed{seed}", training, test, names, options):
            results.setdefault(key, {})[str(seed)] = numbers
    results = dict(sorted(results.items(), key=lambda item: list(ROWS).index(item[0].split("/")[0])))
    if options.folds:
        frequent = np.sum([(test[1] == 1).sum(axis=0) for _, test in splits.values()], axis=0) >= 10
        names = [name for name, enough in zip(names, frequent, strict=True) if enough]
        results = {key: spl_scores.pooled(by_seed, key, out, splits, frequent) for key, by_seed in results.items()}
    common.write(out / "metrics.json", results)
    few = dict(list(results.items())[:8])
    series = {title(key): np.mean([run["ap"] for run in few[key].values()], axis=0) for key in few}
    plots.bars(out / "classes.png", series, names, "average precision, %")
    pictures = *sorted((out / f"seed{next(iter(splits))}").glob("*/generated.png")), out / "classes.png"
    table = spl_scores.results_table(results, [title(key) for key in results], options)
    common.finish(out, table, ", ".join(map(str, pictures)))


# === Data ===


def load(options, split, count):
    data = kgan.data.load(
        options.data, split, image_size=options.image_size, channels=3, count=count, seed=options.seed
    )
    images, labels = common.as_arrays(data, to_pixels)  # a quarter of the memory
    if labels is None or labels.ndim != 2:
        raise ValueError(f"{options.data} has no labels (images, classes): pass multilabel:PATH or another such set.")
    return images, labels


def load_training(options):
    """The training split, or as much of it as the parts of `three_parts` need."""
    unlabelled = any(ROWS[key].images == "unlabelled" for key in options.rows)
    return load(options, "train", options.count and options.count * (1 + unlabelled) + options.validation)


def folds(options):
    """For each fold, under the seed it is trained with, the images and labels to train with and to test on."""
    both = [load(options, split, None) for split in ("train", "test")]
    images, labels = (np.concatenate(parts) for parts in zip(*both, strict=True))
    order = np.random.default_rng(options.seed).permutation(len(images))
    fold = np.arange(len(images)) % options.folds
    parts = {seed: (order[fold != k], order[fold == k]) for k, seed in enumerate(common.seeds_of(options))}
    return {seed: tuple((images[rows], labels[rows]) for rows in both) for seed, both in parts.items()}


def check_parts(count, options):
    """Raise a `ValueError` unless so many training images are enough for the parts of `three_parts`."""
    left = count - options.validation
    if left < 1:
        raise ValueError(f"{count} training images, of which --validation {options.validation}: leave some.")
    if any(ROWS[key].images == "unlabelled" for key in options.rows) and left <= options.count:
        raise ValueError(
            f"--rows unlabelled: --count {options.count} leaves none of {left} training images; pass less."
        )


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
    noise = None
    if any(ROWS[key].images == "noise" for key in options.rows):
        noise = np.random.default_rng([seed, 2]).integers(0, 256, train[0].shape, "uint8")
    classify = partial(classifier, seed, train, validation, test, names, options)
    baseline, numbers = classify("baseline", folder)
    yield "baseline", numbers
    others = {"noise": noise, "unlabelled": unlabelled, "generated": None}
    for key in options.rows:
        images = others[ROWS[key].images]
        if key != "baseline" and (images is not None or not ROWS[key].label):
            yield key, classify(key, folder, labelled(baseline, key, images, seed))[1]
    from_gans = [key for key in options.rows if ROWS[key].label and ROWS[key].images == "generated"]
    for gan in options.gans if from_gans else ():
        count = max(needed(key, train) for key in from_gans)
        generated, likeness = spl_images.generate(gan, seed, folder / gan, train[0], validation[0], count, options)
        plots.captioned(folder / gan / "generated.png", generated[:16], captions(baseline, generated[:16]))
        for key in from_gans:
            extra = labelled(baseline, key, generated[: needed(key, train)], seed)
            yield f"{key}/{gan}", {**classify(key, folder / gan, extra)[1], **likeness}


def needed(key, train):
    """How many generated images a row learns from: as many as there are real ones, or more for a larger share."""
    return int(np.ceil(max(1, ROWS[key].share) * len(train[0])))


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


# === Classifiers ===


def new_classifier(row, names, options):
    size = options.crop or options.image_size
    small = options.backbone == "small"
    return spl.MultiLabelClassifier(
        len(names),
        build_small(size, options.width) if small else options.backbone,
        size,
        None if small or options.weights == "none" else options.weights,
        class_names=names,
        **row.options,
    )


def classifier(seed, train, validation, test, names, options, key, folder, extra=None):
    """A trained classifier of a row and its numbers.

    Args:
        extra: further images and their labels.
    """
    row, folder = ROWS[key], folder / key

    def fit():
        print(f"--- {row.title}, {folder}")
        common.set_seed(seed, options.devices)
        model = new_classifier(row, names, options)
        batches = kgan.data.MixedBatches(train, extra, options.batch_size, row.share, options.crop, seed=seed)
        model.compile(common.decaying_adam(options.learning_rate, options.epochs * len(batches)))

        def relabel(epoch, logs):
            if epoch:
                batches.labels["generated"] = labelled(model, key, extra[0], seed)[1]

        anew = keras.callbacks.LambdaCallback(on_epoch_begin=relabel)
        common.train(model, batches, folder, options, [lambda writer: anew] if row.anew else [])
        found = in_parts(model.score, validation[0], model.image_size)
        model.thresholds = metrics.best_thresholds(validation[1], found).tolist()
        return model

    def measure(model):
        scores, thresholds = in_parts(model.score, test[0], model.image_size), np.array(model.thresholds)
        file = io.BytesIO()
        np.savez(file, scores=scores, thresholds=thresholds)
        write_whole(folder / "scores.npz", file.getvalue())
        kept = metrics.multilabel_metrics(validation[1], in_parts(model.score, validation[0], model.image_size))
        return spl_scores.measured(test[1], scores, thresholds) | {"validation_mAP": 100 * kept["mAP"]}

    return common.train_and_measure(folder, fit, measure, options)


def title(key):
    row, _, gan = key.partition("/")
    return ROWS[row].title + (f" ({spl_images.GANS[gan]})" if gan else "")


if __name__ == "__main__":
    common.run(main)
