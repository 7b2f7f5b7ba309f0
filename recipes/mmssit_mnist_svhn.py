"""MM-SSIT, section 5.1: translate digits between two domains, few of them labelled (Tables 1 and 2, Figures 9 and 10).

    python recipes/mmssit_mnist_svhn.py                                  # digits on drawn textures, under 3 minutes
    python recipes/mmssit_mnist_svhn.py --preset small --data mnist_m:MNIST:PHOTOS --target mnist:MNIST --out runs/m
    python recipes/mmssit_mnist_svhn.py --models mmssit --labels 100 1/6 1/3 all --out runs/table2       # Table 2
    python recipes/mmssit_mnist_svhn.py --models mmssit --share 0 1 1,2 1,2,3 4 --out runs/fig10         # Figure 10
    python recipes/mmssit_mnist_svhn.py --models mmssit_separate --validate --out runs/v # no test images
    python recipes/mmssit_mnist_svhn.py --preset paper                   # SVHN and MNIST from TFDS, for a GPU

The source s is the domain in colour, the target t the grey one: s2t turns a digit of s into one of t. Each test image
is translated once, with a style of its own drawn from N(0, 1). The translation counts as correct if a classifier of the
target domain, trained on all its real training images, finds the class of the input; the table gives the classifier's
accuracy on real test images too. Diversity is the mean distance between ten translations of one input, in the features
of that classifier, relative to real images of one class. A linear classifier that tells the domains apart by their
contents should be near chance, 50 %; the styles of test images should be distributed as N(0, I).

With --validate, a tenth of the training images of each domain is held out, the same share of each class, and measured
instead of the test images: options are to be chosen by it. The classifiers that judge have not seen it either.

Models: `mmssit` has the paper's weights, all 1; `mmssit_best` the best settings that we found, with one term that the
paper does not have; `mmssit_separate` the paper's terms with an optimizer for each. `cdaae` is the compared method as
its authors describe it; `cdaae_best` keeps batch norm statistics for each domain and learns labels and pictures faster.

Expected on two CPU cores: quick, 2 min 40 s, accuracies of 72, 98, 91 and 82 % (s2s, t2t, t2s, s2t), 20 labels
a class; small at its width with `--models mmssit_best --epochs 10`, on MNIST-M and MNIST, 17 minutes a seed, 91, 95, 95
and 90 %.

Writes to --out, beside what every run writes (recipes/README.md), in the folders of the first seed:
s2s.png, t2t.png, t2s.png, s2t.png (Figure 9: an input and what it becomes with eight styles, the same in a column),
references.png (styles of other images), interpolation.png, and codes.png, a t-SNE map of the contents.
"""

import itertools
import re
from fractions import Fraction
from functools import partial

import common
import judges
import numpy as np
import pictures
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

import kgan
from kgan import callbacks, metrics

MODELS = {
    "mmssit": (kgan.MMSSIT, {}),
    # A narrow content and a strong domain classifier leave the background to the style. The style is recovered from the
    # translation, with less weight in the grey domain, whose images of one class differ little.
    "mmssit_best": (
        kgan.MMSSIT,
        {"content_dim": 64, "weights": {"label": 10, "domain": 10, "style_recovery": (0.25, 1)}},
    ),
    # Each loss has an Adam of its own, which cancels the loss's weight.
    "mmssit_separate": (kgan.MMSSIT, {"separate": True}),
    "cdaae": (kgan.CDAAE, {}),
    # CDAAE's losses have an Adam each, too. At one rate for all, samples without labels agree on classes before those
    # with labels have taught them.
    "cdaae_best": (kgan.CDAAE, {"mixed_norm": False}),
}
TITLES = {
    "mmssit": "MM-SSIT",
    "mmssit_best": "MM-SSIT, best",
    "mmssit_separate": "MM-SSIT, separate optimizers",
    "cdaae": "CDAAE",
    "cdaae_best": "CDAAE, best",
}
TABLE_1 = ["mmssit", "mmssit_separate", "mmssit_best", "cdaae", "cdaae_best"]
FASTER = {  # factors of the learning rate
    "cdaae_best": {"label": 6, "reconstruction": 3, "consistency": 2},
}
DIRECTIONS = {"s2s": "aa", "t2t": "bb", "t2s": "ba", "s2t": "ab"}
# With SVHN as s and MNIST as t: Table 1, and what Table 2 adds.
REPORTED = {
    ("mmssit", "100"): (91.47, 76.39, 38.23, 40.37),
    ("mmssit", "1/6"): (94.99, 88.36, 65.91, 70.48),
    ("mmssit", "1/3"): (95.87, 90.52, 74.38, 78.61),
    ("mmssit", "all"): (95.96, 90.45, 80.78, 85.42),
    ("cdaae", "100"): (83.77, 72.83, 31.06, 34.84),
    ("cdaae", "all"): (92.03, 90.34, 78.05, 78.81),
}
QUICK = {
    "data": "textured_digits",
    "target": "digits",
    "models": ["mmssit_best"],
    "labels": ["20"],
    "share": [(1,)],
    "seeds": 1,
    "epochs": 15,
    "steps_per_epoch": 75,
    "batch_size": 50,
    "learning_rate": dict.fromkeys(MODELS, 1e-3) | {"mmssit": 4e-3, "mmssit_best": 4e-3},
    "width": 0.25,
    "shift": 1,
    "count": None,
    "evaluator_steps": 400,
}
SMALL = QUICK | {
    "models": TABLE_1,
    "labels": ["100"],
    "seeds": 3,
    "epochs": 4,
    "steps_per_epoch": 500,
    "width": 0.5,
    "shift": 2,
    "evaluator_steps": 1500,
}
PAPER = QUICK | {
    "data": "svhn_cropped",
    "target": "mnist",
    "models": TABLE_1,
    "labels": ["100"],
    "seeds": 3,
    "epochs": 20,  # 20,000 steps, as CDAAE's
    "steps_per_epoch": 1000,
    "batch_size": 100,
    "learning_rate": dict.fromkeys(MODELS, 3e-4),
    "width": 1.0,
    "shift": 0,
    "evaluator_steps": 20000,
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
    options = common.parse_options(
        __doc__,
        (QUICK, SMALL, PAPER),
        target={"help": "the second domain, as --data; the classes must be the same"},
        models={"nargs": "+", "choices": MODELS, "help": "which to train"},
        labels={"nargs": "+", "type": label_count, "help": "labels of each class, such as 100, or 1/6 of all, or all"},
        share={"nargs": "+", "type": layers_shared, "help": "layers that decoders share: 0 1 1,2 1,2,3 4"},
        shift={"type": int, "choices": range(9), "help": "shift training images by up to this many pixels"},
        validate={"action": "store_true", "help": "measure training images that are held out, to choose options"},
    )
    common.check_run(options)
    names = {"a": options.data, "b": options.target}
    class_names, others = (kgan.data.class_names(name) for name in names.values())
    num_classes = len(class_names)
    if num_classes != len(others):
        raise ValueError(f"{options.data} has {num_classes} classes, {options.target} has {len(others)}.")
    if num_classes > 10:
        raise ValueError(f"{options.data} has {num_classes} classes: the pictures have room for 10.")
    load = partial(kgan.data.load, image_size=32, channels=3, seed=options.seed)
    training = {d: common.as_arrays(load(name, "train", count=options.count)) for d, name in names.items()}
    if options.validate:
        parts = {d: judges.hold_out(*training.pop(d), 0.1) for d in names}
        training, test = ({d: parts[d][i] for d in names} for i in (0, 1))
    else:
        test = {d: common.as_arrays(load(name, "test")) for d, name in names.items()}
    judges.check_test_images(min((images for images, _ in test.values()), key=len))
    runs = planned_runs(options)
    for _, labels, _, seed in runs:
        withhold(training, labels, seed)  # may refuse
    out = common.open_run(options)
    for d, name in names.items():
        print(f"domain {d}: {name}, {len(training[d][0])} training and {len(test[d][0])} test images")

    evaluators = {d: judges.evaluator(out, i, *training[d], num_classes, options) for i, d in enumerate("ab")}
    measure = partial(measure_model, evaluators={d: judges.with_features(e) for d, e in evaluators.items()}, test=test)
    results = {"real": measure_real(evaluators, test)}
    for planned in runs:
        numbers = train_and_measure(*planned, out / folder_of(*planned), training, test, measure, class_names, options)
        results.setdefault(title(*planned[:3]), {})[str(planned[3])] = numbers
    common.write(out / "metrics.json", results)
    common.finish(out, results_table(results, runs, options), out / folder_of(*runs[0]))


def planned_runs(options):
    """`(model, labels, share, seed)` of each run; CDAAE's decoders share nothing."""
    runs = itertools.product(options.models, options.labels, options.share, common.seeds_of(options))
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


def train_and_measure(name, labels, share, seed, folder, training, test, measure, class_names, options):
    """The numbers of one run; the first seed's also has pictures."""
    shown = {d: one_of_each(*test[d]) for d in "ab"}

    def measure_and_draw(model):
        if seed == options.seed:
            pictures.translated_digits(folder, model, test, shown, DIRECTIONS)
        return measure(model)

    make = partial(train, name, labels, share, seed, folder, training, shown, options)
    model, numbers = common.train_and_measure(folder, make, measure_and_draw, options)
    common.save_preset(folder, model, class_names, numbers, options)
    return numbers


def train(name, labels, share, seed, folder, training, shown, options):
    print(f"--- {folder.name}")
    common.set_seed(seed, options.devices)
    model_class, arguments = MODELS[name]
    if model_class is kgan.CDAAE:
        arguments = {**arguments, "supervised": labels == "all"}
    model = model_class(int(training["a"][1].max()) + 1, share=share, width=options.width, **arguments)
    steps = options.epochs * options.steps_per_epoch
    model.compile(common.decaying_optimizers(model, options.learning_rate[name], steps, FASTER.get(name)))
    visible = withhold(training, labels, seed)
    schedule = {"steps_per_epoch": options.steps_per_epoch, "shift": options.shift}
    batches = kgan.data.PairBatches(*visible, options.batch_size, seed, **schedule)

    def sample(model):
        rows = [pictures.translations(model, shown[s], s, t) for s, t in DIRECTIONS.values()]
        return np.concatenate(np.concatenate(rows))

    grid = partial(callbacks.ImageGrid, sample=sample, columns=9, folder=folder / "samples")
    common.train(model, batches, folder, options, [grid])
    return model


def one_of_each(images, labels):
    return np.stack([images[np.flatnonzero(labels == c)[0]] for c in np.unique(labels)])


# === Measurement ===


def measure_real(evaluators, test):
    """The accuracy of the evaluators on real test images."""
    found = {d: evaluators[d].predict(images, batch_size=256, verbose=0).argmax(1) for d, (images, _) in test.items()}
    return {name: 100 * float(np.mean(found[d] == test[d][1])) for name, d in zip("st", "ab", strict=True)}


def measure_model(model, evaluators, test):
    """Accuracy, Frechet distance and diversity in each direction, and properties of the codes."""
    rng = np.random.default_rng(0)
    real = {d: evaluators[d].predict(images, batch_size=256, verbose=0)[0] for d, (images, _) in test.items()}
    found = {}
    for name, (source, target) in DIRECTIONS.items():
        images, labels = test[source]
        styles = rng.standard_normal((len(images), 1, model.style_dim))
        translated = model.translate(images, source, target, styles)[:, 0]
        features, probabilities = evaluators[target].predict(translated, batch_size=256, verbose=0)
        several = model.translate(images[:200], source, target, samples=10, seed=0)
        several = evaluators[target].predict(several.reshape(-1, *images.shape[1:]), batch_size=256, verbose=0)[0]
        diversity = metrics.within_class_diversity(several, np.repeat(np.arange(len(several) // 10), 10))
        found[name] = {
            "accuracy": 100 * float(np.mean(probabilities.argmax(1) == labels)),
            "frechet_distance": metrics.frechet_distance(real[target], features),
            "diversity": 100 * diversity / metrics.within_class_diversity(real[target], test[target][1]),
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
    """The share in % of contents that a linear classifier puts into their domain; balanced, so that chance is 50.

    It is trained on every other content and tested on the rest.
    """
    count = min(len(first), len(second)) // 2 * 2
    contents = np.stack([first[:count], second[:count]])
    probe = make_pipeline(StandardScaler(), LogisticRegression(max_iter=1000))
    domains = np.repeat([0, 1], count // 2)
    probe.fit(contents[:, ::2].reshape(count, -1), domains)
    return 100 * float(probe.score(contents[:, 1::2].reshape(count, -1), domains))


# === Results ===


def results_table(results, runs, options):
    rows = {planned[:3]: results[title(*planned[:3])] for planned in runs}
    ours = partial(common.spreads, rows)

    def mean_of(key):
        return lambda run: np.mean([run[d][key] for d in DIRECTIONS])

    def reported(name, labels):
        numbers = REPORTED.get((name, labels))
        return f"{' / '.join(f'{r:.2f}' for r in numbers)}; average {np.mean(numbers):.2f}" if numbers else ""

    columns = {
        "model": [TITLES[name] for name, _, _ in rows],
        "labels": [amount if "/" in amount or amount == "all" else f"{amount} a class" for _, amount, _ in rows],
        "shared layers": [", ".join(map(str, share)) or "none" for _, _, share in rows],
        "s2s, t2t, t2s, s2t reported (SVHN, MNIST)": [reported(*row[:2]) for row in rows],
        **{d: ours(lambda run, d=d: run[d]["accuracy"], 1) for d in DIRECTIONS},
        "average": ours(mean_of("accuracy"), 1),
        "Frechet distance": ours(mean_of("frechet_distance"), 1),
        "diversity, %": ours(mean_of("diversity"), 0),
        **{f"classified in {d}": ours(lambda run, d=d: run[d]["accuracy"], 1) for d in "st"},
        "domain told by content, %": ours("domain_accuracy", 1),
        "styles off N(0, I): greatest mean": ours(lambda run: max(run[d]["style_mean"] for d in "st")),
        "covariance": ours(lambda run: max(run[d]["style_covariance"] for d in "st")),
        "seconds": [f"{np.mean([run['seconds'] for run in by_seed.values()]):.0f}" for by_seed in rows.values()],
    }
    real = results["real"]
    text = f"# Translated digits, after Tables 1 and 2 of MM-SSIT\n\n{common.table(columns)}\n"
    text += f"Of real images the classifiers that judge recognise {real['s']:.1f} % in s, {real['t']:.1f} % in t.\n"
    average = {row: np.mean([mean_of("accuracy")(run) for run in by_seed.values()]) for row, by_seed in rows.items()}
    for (name, labels, share), value in average.items():
        if labels != "all" and (name, "all", share) in average:
            ratio = 100 * value / average[name, "all", share]
            text += f"{TITLES[name]} with {labels}: {ratio:.1f} % of the average with all labels.\n"
    if options.validate:
        text += "\nMeasured on a tenth of the training images, which was held out, not on test images.\n"
    return f"{text}\nDomains `{options.data}` and `{options.target}`.\n{common.provenance(options)}"


if __name__ == "__main__":
    common.run(main)
