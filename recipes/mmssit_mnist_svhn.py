"""MM-SSIT, section 5.1: translate digits between two domains, few of them labelled, as Tables 1 and 2, Fig. 9 and 10.

    python recipes/mmssit_mnist_svhn.py                                  # digits on drawn textures, under 3 minutes
    python recipes/mmssit_mnist_svhn.py --preset small --data mnist_m:MNIST:PHOTOS --target mnist:MNIST --out runs/m
    python recipes/mmssit_mnist_svhn.py --models mmssit --labels 100 1/6 1/3 all --out runs/table2       # Table 2
    python recipes/mmssit_mnist_svhn.py --models mmssit --share 0 1 1,2 1,2,3 4 --out runs/fig10         # Figure 10
    python recipes/mmssit_mnist_svhn.py --preset paper                   # SVHN and MNIST from TFDS, for a GPU

The source s is the domain in colour, the target t the grey one: s2t is a digit of s as one of t. Each test image is
translated once, with a style of its own drawn from N(0, 1), and counts where a classifier of the target domain, trained
on all real images of its training split, finds the class of the input. Its accuracy on real test images is in the table
too. Diversity is the mean distance between ten translations of one input, in the features of that classifier, as a
share of that between real images of one class. A linear classifier that is to tell the domains by their contents should
be near chance, 50 %; the styles of test images should be like N(0, I).

Models: `mmssit` has the paper's weights, all 1; `mmssit_best` the best that we found, one term not the paper's; `cdaae`
is the method compared, as its authors have it; `cdaae_best` has batch norm statistics for each domain and learns labels
and pictures faster.

Expected on two CPU cores: quick, 2 min 40 s, accuracies of 72, 98, 91 and 82 % (s2s, t2t, t2s, s2t), 20 labels
a class; small at its width with `--models mmssit_best --epochs 10`, on MNIST-M and MNIST, 17 minutes a seed, 91, 95, 95
and 90 %.

Writes under --out: options.json, metrics.json, results.md; per model, labels, sharing scheme and seed a folder with
model.keras, train.csv, samples of each epoch, logs for TensorBoard and checkpoints; of the first seed of each also
s2s.png, t2t.png, t2s.png, s2t.png (Fig. 9: an input and what it becomes with eight styles, the same in a column),
references.png (styles of other images), interpolation.png, and codes.png, a t-SNE map of the contents.
"""

import itertools
import json
import re
from fractions import Fraction
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
from cvaegan_flowers import FEATURES, evaluator
from sklearn.linear_model import LogisticRegression
from sklearn.manifold import TSNE
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

import kgan
from kgan import callbacks, metrics, plots

MODELS = {
    "mmssit": (kgan.MMSSIT, {}),
    # A narrow content and a strong domain classifier leave the background to the style, which is asked for again: less
    # of the grey domain, whose images differ in little but their class.
    "mmssit_best": (
        kgan.MMSSIT,
        {"content_dim": 64, "weights": {"label": 10, "domain": 10, "style_recovery": (0.25, 1)}},
    ),
    "cdaae": (kgan.CDAAE, {}),
    # Each loss has an Adam, which makes nothing of its weight. With one rate for all, samples without labels agree on
    # classes before those with labels have taught them.
    "cdaae_best": (kgan.CDAAE, {"mixed_norm": False}),
}
TITLES = {"mmssit": "MM-SSIT", "mmssit_best": "MM-SSIT, best", "cdaae": "CDAAE", "cdaae_best": "CDAAE, best"}
FASTER = {"cdaae_best": {"label": 6, "reconstruction": 3, "consistency": 2}}  # times the learning rate
DIRECTIONS = {"s2s": "aa", "t2t": "bb", "t2s": "ba", "s2t": "ab"}
# Of SVHN as s and MNIST as t: Table 1, and what Table 2 has beside it.
REPORTED = {
    ("mmssit", "100"): (91.47, 76.39, 38.23, 40.37),
    ("mmssit", "1/6"): (94.99, 88.36, 65.91, 70.48),
    ("mmssit", "1/3"): (95.87, 90.52, 74.38, 78.61),
    ("mmssit", "all"): (95.96, 90.45, 80.78, 85.42),
    ("cdaae", "100"): (83.77, 72.83, 31.06, 34.84),
    ("cdaae", "all"): (92.03, 90.34, 78.05, 78.81),
}
SHARED = {
    "models": ["mmssit"],
    "labels": ["100"],
    "share": [(1,)],
    "seeds": 1,
    "learning_rate": {"mmssit": 4e-3, "mmssit_best": 4e-3, "cdaae": 1e-3, "cdaae_best": 1e-3},
    "batch_size": 50,
    "shift": 0,
    "count": None,
}
PRESETS = {
    "quick": {
        **SHARED,
        "data": "textured_digits",
        "target": "digits",
        "models": ["mmssit_best"],
        "labels": ["20"],
        "epochs": 15,
        "steps_per_epoch": 75,
        "width": 0.25,
        "shift": 1,
        "evaluator_steps": 400,
    },
    "small": {
        **SHARED,
        "data": "textured_digits",
        "target": "digits",
        "models": list(MODELS),
        "seeds": 3,
        "epochs": 4,
        "steps_per_epoch": 500,
        "width": 0.5,
        "shift": 2,
        "evaluator_steps": 1500,
    },
    "paper": {
        **SHARED,
        "data": "svhn_cropped",
        "target": "mnist",
        "models": list(MODELS),
        "seeds": 3,
        "epochs": 20,  # 20,000 steps, as CDAAE's
        "steps_per_epoch": 1000,
        "width": 1.0,
        "batch_size": 100,
        "learning_rate": dict.fromkeys(MODELS, 3e-4),
        "evaluator_steps": 20000,
    },
}


def label_count(text):
    """The type of an option: labels of each class, or a share of all."""
    if text != "all" and not re.fullmatch(r"[1-9]\d*(/[1-9]\d*)?", text):
        raise ValueError
    return text


def layers_shared(text):
    """The type of an option: numbers of layers, 0 for none."""
    if not re.fullmatch(r"0|[1-4](,[1-4])*", text):
        raise ValueError
    return tuple(int(number) for number in text.split(",") if number != "0")


def main():
    options = parse_options(
        __doc__,
        PRESETS,
        "runs/mmssit_mnist_svhn",
        target={"help": "the second domain, as --data; the classes must be the same"},
        models={"nargs": "+", "choices": MODELS, "help": "which to train"},
        labels={"nargs": "+", "type": label_count, "help": "labels of each class, such as 100, or 1/6 of all, or all"},
        share={"nargs": "+", "type": layers_shared, "help": "layers that decoders share: 0 1 1,2 1,2,3 4"},
        seeds={"type": at_least_one, "help": "train each model this many times"},
        width={"type": float, "help": "scales the channels of all networks"},
        count={"type": at_least_one, "help": "number of training images of each domain"},
        steps_per_epoch={"type": at_least_one, "help": "batches of an epoch"},
        shift={"type": int, "choices": range(9), "help": "move training images by up to so many pixels"},
        evaluator_steps={"type": at_least_one, "help": "training steps of the classifiers that measure"},
    )
    check_run(options)
    names = {"a": options.data, "b": options.target}
    classes = [kgan.data.class_names(name) for name in names.values()]
    if len(classes[0]) != len(classes[1]):
        raise ValueError(f"{options.data} has {len(classes[0])} classes, {options.target} has {len(classes[1])}.")
    if len(classes[0]) > 10:
        raise ValueError(f"{options.data} has {len(classes[0])} classes: the pictures have room for 10.")
    load = partial(kgan.data.load, image_size=32, channels=3, seed=options.seed)
    training = {d: as_arrays(load(name, "train", count=options.count)) for d, name in names.items()}
    test = {d: as_arrays(load(name, "test")) for d, name in names.items()}
    if min(len(images) for images, _ in test.values()) <= FEATURES:
        raise ValueError(f"A test split has no more than {FEATURES} images: the Frechet distance needs more.")
    runs = planned_runs(options)
    for _, labels, _, seed in runs:
        withhold(training, labels, seed)
    out = open_run(options)
    for d, name in names.items():
        print(f"domain {d}: {name}, {len(training[d][0])} training and {len(test[d][0])} test images")

    judges = {d: evaluator(out, i, *training[d], len(classes[0]), options) for i, d in enumerate("ab")}
    measure = partial(measure_model, judges={d: with_features(judge) for d, judge in judges.items()}, test=test)
    results = {"real": measure_real(judges, test)}
    for name, labels, share, seed in runs:
        result = train_and_measure(name, labels, share, seed, out, training, test, measure, options)
        results.setdefault(title(name, labels, share), {})[str(seed)] = result
    write_json(out / "metrics.json", results)
    write_text(out / "results.md", results_table(results, runs, options))
    print((out / "results.md").read_text())
    print(f"pictures: {out / folder_of(*runs[0])}; TensorBoard: tensorboard --logdir {out}")


def planned_runs(options):
    """`(model, labels, share, seed)` of each; CDAAE's decoders share nothing."""
    runs = itertools.product(
        options.models, options.labels, options.share, range(options.seed, options.seed + options.seeds)
    )
    runs = [(name, labels, share if MODELS[name][0] is kgan.MMSSIT else (), seed) for name, labels, share, seed in runs]
    return list(dict.fromkeys(runs))


def withhold(training, labels, seed):
    """Both domains with the labels that a run may see."""
    domains = []
    for images, known in training.values():
        if labels != "all":
            each = Fraction(labels)
            per_class = int(each) if "/" not in labels else int(each * len(known) / (known.max() + 1))
            known = kgan.data.hide_labels(known, per_class, seed)
        domains.append((images, known))
    return domains


def folder_of(name, labels, share, seed):
    return f"{name}-labels{labels.replace('/', 'of')}-share{''.join(map(str, share)) or 0}-seed{seed}"


def title(name, labels, share):
    return f"{TITLES[name]}; {labels}; {','.join(map(str, share)) or 0}"


# === Training ===


def train_and_measure(name, labels, share, seed, out, training, test, measure, options):
    """Train one model; returns its numbers. A run that has ended before is read back."""
    folder = out / folder_of(name, labels, share, seed)
    result = folder / "result.json"
    if options.resume and result.exists():
        return json.loads(result.read_text())
    print(f"--- {folder.name}")
    set_seed(seed)
    model_class, arguments = MODELS[name]
    if model_class is kgan.CDAAE:
        arguments = {**arguments, "supervised": labels == "all"}
    model = model_class(int(training["a"][1].max()) + 1, share=share, width=options.width, **arguments)
    model.compile(decaying_optimizers(model, options.learning_rate[name], options, FASTER.get(name)))
    batches = kgan.data.PairBatches(
        *withhold(training, labels, seed),
        options.batch_size,
        seed,
        steps_per_epoch=options.steps_per_epoch,
        shift=options.shift,
    )
    shown = {d: one_of_each(*test[d]) for d in "ab"}

    def sample(model):
        return np.concatenate([row for s, t in DIRECTIONS.values() for row in translations(model, shown[s], s, t)])

    writers = [lambda writer: callbacks.ImageGrid(writer, sample, columns=9, folder=folder / "samples")]
    seconds = train(model, batches, None, folder, options, seed, writers)
    numbers = {**measure(model), "seconds": round(seconds, 1)}
    save_model(model, folder / "model.keras")
    if seed == options.seed:
        write_pictures(folder, model, test, shown)
    write_json(result, numbers)
    return numbers


def decaying_optimizers(model, learning_rate, options, faster=None):
    """An Adam for each player, whose rate falls to 0 by a cosine; the dict `faster` has factors of some."""
    steps = options.epochs * options.steps_per_epoch
    optimizers = {}
    for player in model.players:
        updates = steps * sum(player in phase.players for phase in model.phases())
        first = learning_rate * (faster or {}).get(player, 1)
        # Of the supervised CDAAE one player never plays.
        rate = keras.optimizers.schedules.CosineDecay(first, max(updates, 1))
        optimizers[player] = keras.optimizers.Adam(rate)
    return optimizers


def one_of_each(images, labels):
    return np.stack([images[np.flatnonzero(labels == c)[0]] for c in np.unique(labels)])


def translations(model, images, source, target):
    """A row `(9, height, width, 3)` for each image: itself, and what it becomes with eight styles, always the same."""
    return np.concatenate([images[:, None], model.translate(images, source, target, samples=8, seed=0)], axis=1)


# === Measuring ===


def with_features(judge):
    return keras.Model(judge.input, [judge.get_layer("features").output, judge.output])


def measure_real(judges, test):
    """The classifiers that judge, on real test images."""
    found = {d: judges[d].predict(images, batch_size=256, verbose=0).argmax(1) for d, (images, _) in test.items()}
    return {name: 100 * float(np.mean(found[d] == test[d][1])) for name, d in zip("st", "ab", strict=True)}


def measure_model(model, judges, test):
    """Accuracy, Frechet distance and diversity in each direction, and what the codes are like."""
    rng = np.random.default_rng(0)
    real = {d: judges[d].predict(images, batch_size=256, verbose=0)[0] for d, (images, _) in test.items()}
    found = {}
    for name, (source, target) in DIRECTIONS.items():
        images, labels = test[source]
        styles = rng.standard_normal((len(images), 1, model.style_dim))
        translated = model.translate(images, source, target, styles)[:, 0]
        features, probabilities = judges[target].predict(translated, batch_size=256, verbose=0)
        several = model.translate(images[:200], source, target, samples=10, seed=0)
        several = judges[target].predict(several.reshape(-1, *images.shape[1:]), batch_size=256, verbose=0)[0]
        spread_of_real = metrics.within_class_diversity(real[target], test[target][1])
        found[name] = {
            "accuracy": 100 * float(np.mean(probabilities.argmax(1) == labels)),
            "frechet_distance": metrics.frechet_distance(real[target], features),
            "diversity": 100
            * metrics.within_class_diversity(several, np.repeat(np.arange(len(several) // 10), 10))
            / spread_of_real,
        }
    codes = {d: model.encode(test[d][0], d) for d in "ab"}
    for name, d in zip("st", "ab", strict=True):
        images, labels = test[d]
        style = codes[d][1]
        found[name] = {
            "accuracy": 100 * float(np.mean(model.classify(images, d).argmax(1) == labels)),
            "style_mean": float(np.abs(style.mean(axis=0)).max()),
            "style_covariance": float(np.abs(np.cov(style.T) - np.eye(model.style_dim)).max()),
        }
    found["domain_accuracy"] = domain_accuracy(*(content for content, _ in codes.values()))
    return found


def domain_accuracy(first, second):
    """Share in % of contents that a linear classifier, trained on every other one, puts into their domain; balanced, so
    that chance is 50."""
    count = min(len(first), len(second)) // 2 * 2
    contents = np.stack([first[:count], second[:count]])
    probe = make_pipeline(StandardScaler(), LogisticRegression(max_iter=1000))
    domains = np.repeat([0, 1], count // 2)
    probe.fit(contents[:, ::2].reshape(count, -1), domains)
    return 100 * float(probe.score(contents[:, 1::2].reshape(count, -1), domains))


def results_table(results, runs, options):
    header = ["model", "labels", "shared layers", "s2s, t2t, t2s, s2t reported (SVHN, MNIST)", *DIRECTIONS, "average"]
    header += ["Frechet distance", "diversity, %", "classified in s", "classified in t", "domain told by content, %"]
    header += ["styles off N(0, I): greatest mean", "covariance", "seconds"]
    rows, averages = [], {}
    for name, labels, share in dict.fromkeys(planned[:3] for planned in runs):
        by_seed = list(results[title(name, labels, share)].values())
        accuracy = np.array([[r[direction]["accuracy"] for direction in DIRECTIONS] for r in by_seed])
        averages[name, labels, share] = accuracy.mean(axis=1)
        reported = REPORTED.get((name, labels))
        mean_of = lambda key, by_seed=by_seed: [np.mean([r[d][key] for d in DIRECTIONS]) for r in by_seed]  # noqa: E731
        rows.append(
            [
                TITLES[name],
                labels if "/" in labels or labels == "all" else f"{labels} a class",
                ", ".join(map(str, share)) or "none",
                f"{' / '.join(f'{r:.2f}' for r in reported)}; average {np.mean(reported):.2f}" if reported else "",
                *(spread(column, 1) for column in accuracy.T),
                spread(accuracy.mean(axis=1), 1),
                spread(mean_of("frechet_distance"), 1),
                spread(mean_of("diversity"), 0),
                *(spread([r[d]["accuracy"] for r in by_seed], 1) for d in "st"),
                spread([r["domain_accuracy"] for r in by_seed], 1),
                *(
                    spread([max(r[d][f"style_{what}"] for d in "st") for r in by_seed])
                    for what in ("mean", "covariance")
                ),
                f"{np.mean([r['seconds'] for r in by_seed]):.0f}",
            ]
        )
    real = results["real"]
    text = f"# Translated digits, after Tables 1 and 2 of MM-SSIT\n\n{table(header, rows)}\n"
    text += f"Of real images the classifiers that judge recognise {real['s']:.1f} % in s, {real['t']:.1f} % in t.\n"
    for (name, labels, share), values in averages.items():
        if labels != "all" and (name, "all", share) in averages:
            ratio = 100 * values.mean() / averages[name, "all", share].mean()
            text += f"{TITLES[name]} with {labels}: {ratio:.1f} % of the average with all labels.\n"
    seeds = sorted({planned[3] for planned in runs})
    return f"{text}\nDomains `{options.data}` and `{options.target}`.\n{provenance(options, seeds)}"


# === Pictures ===


def write_pictures(folder, model, test, shown):
    names = [str(c) for c in np.unique(test["a"][1])]
    for direction, (source, target) in DIRECTIONS.items():
        rows = dict(zip(names, translations(model, shown[source], source, target), strict=True))
        plots.save_image(folder / f"{direction}.png", plots.labelled_rows(rows))

    images, references = shown["b"], test["a"][0][:8]
    _, styles = model.encode(references, "a")
    translated = np.concatenate([images[:, None], model.translate(images, "b", "a", styles)], axis=1)
    rows = {"style of": np.concatenate([np.ones_like(images[:1]), references])}
    rows.update(zip(names, translated, strict=True))
    plots.save_image(folder / "references.png", plots.labelled_rows(rows))

    first, last = np.random.default_rng(0).standard_normal((2, model.style_dim))
    between = model.interpolate(images, "b", "a", first, last)
    plots.save_image(folder / "interpolation.png", plots.labelled_rows(dict(zip(names, between, strict=True))))

    contents = [model.encode(test[d][0][:500], d)[0] for d in "ab"]
    classes = np.concatenate([test[d][1][:500] for d in "ab"])
    domains = np.repeat(["s", "t"], [len(c) for c in contents])
    points = TSNE(random_state=0).fit_transform(np.concatenate(contents))
    plots.scatter(folder / "codes.png", points, {"class": classes, "domain": domains})


if __name__ == "__main__":
    run(main)
