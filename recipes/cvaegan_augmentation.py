"""CVAE-GAN, section 5.6: generated images as training data for a recogniser, measured as Table 2 does.

    python recipes/cvaegan_augmentation.py                     # drawn flowers, one seed, six minutes on two cores
    python recipes/cvaegan_augmentation.py --preset small      # handwritten digits, five seeds, under an hour
    python recipes/cvaegan_augmentation.py --preset paper      # LFW from TFDS, 128 px; a GPU and 30 GB of memory

Some classes, the unseen identities, are held out. A CVAE-GAN and then three recognisers are trained on the others: on
real images alone, with more images of the same identities, and with new identities, each a mix of three labels. Two
test images of unseen identities count as the same identity if the cosine similarity of their features reaches a
threshold; by LFW's protocol there are ten folds, and each takes the threshold that is best on the other nine. All
recognisers see the same number of images in training, so that more data does not mean more training.

The paper trains on FaceScrub, which is not available, and verifies on LFW. Here both sides come from one data set, so
only the gain over no augmentation can be compared. The seed decides which identities are held out.

Writes to --out, beside what every run writes (recipes/README.md), in the folder of each seed: samples.png (real,
generated and mixed identities) and a result for each recogniser.
"""

import argparse
import math
from functools import partial

import common
import keras
import numpy as np
import pictures
from keras import layers
from sklearn.metrics.pairwise import paired_cosine_distances
from sklearn.neighbors import NearestNeighbors

import kgan
from kgan import CVAEGAN, callbacks, metrics
from kgan.data.source import ranks_in_class
from kgan.models.cvae_gan.model import PARTS

FOLDS, PAIRS = 10, 300  # LFW's folds, and pairs of each kind in a fold
MIN_IMAGES = 8  # training images that make a class an identity: most people in LFW have one
REPORTED = {
    "none": ("no augmentation", "80k", 91.87),
    "existing": ("existing identities", "80k + 100k", 92.77),
    "new": ("new identities", "80k + 500k", 92.98),
}
SHARED = {
    "image_size": 32,
    "width": 0.125,
    "latent_dim": 64,
    "batch_size": 32,
    "learning_rate": 2e-3,
    "lambdas": [0.5, 1.0, 1e-3, 0.1],
    "pixel_weight": 1.0,
    "generator_width": None,
    "discriminator_width": None,
    "discriminator_rate": None,
    "decay": False,
    "per_identity": 60,
    "new_identities": 35,
    "per_new_identity": 70,
    "recogniser_width": 16,
    "recogniser_images": 16_000,
}
QUICK = SHARED | {
    "data": "synthetic/flowers",
    "count": 600,
    "held_out": 4,
    "seeds": 1,
    "epochs": 60,
    # As in preset quick of cvaegan_flowers.
    "lambdas": [0.1, 1.0, 1.0, 0.35],
    "pixel_weight": 0.1,
    "generator_width": 0.25,
    "discriminator_width": 0.5,
    "discriminator_rate": 1e-4,
    "decay": True,
}
SMALL = SHARED | {"data": "digits", "count": 500, "held_out": 3, "seeds": 5, "epochs": 120}
PAPER = SHARED | {
    "data": "lfw",
    "image_size": 128,
    "count": None,
    "held_out": 50,
    "seeds": 3,
    "epochs": 1000,
    "width": 1.0,
    "latent_dim": 256,
    "batch_size": 64,
    "learning_rate": 2e-4,
    "lambdas": [3.0, 1.0, 1e-3, 1e-3],
    "per_identity": 200,
    "new_identities": 5000,
    "per_new_identity": 100,
    "recogniser_width": 64,
    "recogniser_images": 5_000_000,
}


def main():
    options = common.parse_options(
        __doc__,
        (QUICK, SMALL, PAPER),
        image_size={"type": int, "help": "32, 64, 128 or 256"},
        count={"type": common.at_least_one, "help": "training images, those of held-out classes included"},
        lambdas={"type": float, "nargs": 4, "help": "weights of eq. 7"},
        pixel_weight={"type": float, "help": "weight of pixels among the pairwise terms; 1 in the paper"},
        generator_width={"type": float, "help": "scales the channels of the generator"},
        discriminator_width={"type": float, "help": "scales those of the discriminator"},
        discriminator_rate={"type": float, "help": "learning rate of the discriminator; by default that of the others"},
        decay={"action": argparse.BooleanOptionalAction, "help": "let learning rates fall to 0 along a cosine"},
        held_out={"type": common.at_least_one, "help": "classes kept for verification"},
        seeds={"type": common.at_least_one, "help": "how many times to hold out classes and train"},
        per_identity={"type": common.at_least_one, "help": "generated images of each existing identity"},
        new_identities={"type": common.at_least_one, "help": "identities made by mixing three"},
        per_new_identity={"type": common.at_least_one, "help": "generated images of each new identity"},
        recogniser_images={"type": common.at_least_one, "help": "images each recogniser sees, repeats included"},
    )
    common.check_run(options)
    seeds = common.seeds_of(options)
    prepared = {seed: prepare(seed, options) for seed in seeds}  # refuses bad input before anything is trained
    out = common.open_run(options)
    by_seed = {str(seed): compare(out / f"seed{seed}", seed, options, *prepared[seed]) for seed in seeds}
    results = {strategy: {seed: numbers[strategy] for seed, numbers in by_seed.items()} for strategy in REPORTED}
    common.write(out / "metrics.json", results)
    report = f"{results_table(results)}\n{common.provenance(options)}"
    common.finish(out, report, out / f"seed{options.seed}" / "samples.png")


def prepare(seed, options):
    """The data, and all that is drawn from one seed: known and unseen images, mixes of three, folds and pairs."""
    known, unseen = split_identities(seed, options)
    mixes = draw_mixes(known[1].max() + 1, options.new_identities, seed)
    folds = fold_numbers(unseen[1], seed)
    return known, unseen, mixes, folds, draw_pairs(unseen[1], folds, seed)


def compare(folder, seed, options, known, unseen, mixes, folds, pairs):
    """Numbers of the three strategies for one choice of identities."""
    images, labels = known
    num_known = labels.max() + 1
    print(f"--- seed {seed}: {len(images)} images of {num_known} identities, {len(unseen[0])} of unseen ones")
    train = partial(train_generator, images, labels, folder, seed, options)
    model = common.keep(folder / "model.keras", train, options)
    write_picture(folder / "samples.png", model, images, labels, mixes)

    def recognise(identities, first_label, each):
        data = add_generated(model, images, labels, identities, first_label, each, seed)
        features = train_recogniser(*data, seed, options).predict(to_pixels(unseen[0]), batch_size=256, verbose=0)
        counts = {"real_images": len(images), "generated_images": len(data[0]) - len(images)}
        return counts | measure(features, unseen[1], folds, pairs)

    strategies = {
        "none": ([], 0, 0),
        "existing": ([(identity,) for identity in range(num_known)], 0, options.per_identity),
        "new": (mixes, num_known, options.per_new_identity),
    }
    return {
        name: common.keep(folder / f"{name}.json", partial(recognise, *added), options)
        for name, added in strategies.items()
    }


# === Data ===


def split_identities(seed, options):
    """Training images of known identities, numbered from 0, and test images of unseen ones."""
    load = {"image_size": options.image_size, "seed": seed}
    images, labels = common.as_arrays(kgan.data.load(options.data, "train", count=options.count, **load))
    test_images, test_labels = common.as_arrays(kgan.data.load(options.data, "test", **load))
    identities = np.flatnonzero(np.bincount(labels) >= MIN_IMAGES)
    if not 2 <= options.held_out <= len(identities) - 3:
        raise ValueError(
            f"--held-out {options.held_out}: {options.data} has {len(identities)} classes of {MIN_IMAGES} training "
            f"images or more; hold out 2 or more and leave 3 to mix."
        )
    unseen, known = np.split(np.random.default_rng(seed).permutation(identities), [options.held_out])
    known.sort()
    trained, tested = np.isin(labels, known), np.isin(test_labels, unseen)
    numbers = np.searchsorted(known, labels[trained]).astype("int32")
    return (images[trained], numbers), (test_images[tested], test_labels[tested])


def draw_mixes(num_identities, count, seed):
    """`count` different sets of three identities."""
    if not 1 <= count <= math.comb(num_identities, 3):
        raise ValueError(
            f"--new-identities {count}: {num_identities} identities allow 1 to {math.comb(num_identities, 3)} mixes."
        )
    rng, mixes = np.random.default_rng(seed), set()
    while len(mixes) < count:
        mixes.add(tuple(sorted(rng.choice(num_identities, 3, replace=False).tolist())))
    return sorted(mixes)


# === Training ===


def train_generator(images, labels, folder, seed, options):
    common.set_seed(seed, options.devices)
    sizes = (int(labels.max()) + 1, options.image_size, images.shape[-1], options.latent_dim, options.width)
    widths = {"generator_width": options.generator_width, "discriminator_width": options.discriminator_width}
    matching = dict.fromkeys(PARTS, 1.0) | {"image": options.pixel_weight}
    model = CVAEGAN(*sizes, lambdas=options.lambdas, matching=matching, **widths)
    batches = kgan.data.Batches(images, labels, options.batch_size, seed)
    rates = dict.fromkeys(model.players, options.learning_rate)
    rates["discriminator"] = options.discriminator_rate or options.learning_rate
    model.compile(common.adams(rates, options.epochs * len(batches) if options.decay else None))
    shown = np.repeat(np.arange(min(model.num_classes, 16)), 8)

    def sample(model):
        return model.generate(shown, seed=0)

    grid = partial(callbacks.ImageGrid, sample=sample, columns=8, folder=folder / "samples")
    common.train(model, batches, folder, options, [grid])
    return model


def to_pixels(images):
    """Images as bytes: as floats, the paper's half a million generated images would not fit in memory."""
    return np.round((images + 1) * 127.5).astype("uint8")


def add_generated(model, images, labels, identities, first_label, each, seed):
    """The real images and `each` generated ones of every identity (a tuple of classes to mix), with labels."""
    pixels = np.empty((len(images) + len(identities) * each, *images.shape[1:]), "uint8")
    pixels[: len(images)] = to_pixels(images)
    for i, identity in enumerate(identities):
        start = len(images) + i * each
        generated = model.mix_identities(np.tile(identity, (each, 1)), seed=[seed, i])
        pixels[start : start + each] = to_pixels(generated)
    new_labels = first_label + np.repeat(np.arange(len(identities), dtype="int32"), each)
    return pixels, np.concatenate([labels, new_labels])


def train_recogniser(images, labels, seed, options):
    """A classifier of all identities in the training data; returns the network up to its features."""
    common.set_seed(seed)
    inputs = keras.Input(images.shape[1:])
    x = layers.Rescaling(1 / 127.5, offset=-1)(inputs)
    for stage in range(images.shape[1].bit_length() - 3):  # down to 4 x 4
        x = layers.Conv2D(options.recogniser_width * min(2**stage, 8), 3, padding="same", use_bias=False)(x)
        x = layers.MaxPooling2D(2)(layers.ReLU()(layers.BatchNormalization(momentum=0.9)(x)))
    features = layers.Dense(64, name="features")(layers.Dropout(0.3)(layers.Flatten()(x)))
    network = keras.Model(inputs, layers.Dense(int(labels.max()) + 1, activation="softmax")(features))
    network.compile("adam", "sparse_categorical_crossentropy", metrics=["accuracy"])
    epochs = max(1, round(options.recogniser_images / len(images)))
    logs = network.fit(kgan.data.Batches(images, labels, 64, seed), epochs=epochs, shuffle=False, verbose=0).history
    print(f"recogniser: {len(images)} images, {epochs} epochs, training accuracy {logs['accuracy'][-1]:.3f}")
    return keras.Model(inputs, features)


# === Measurement ===


def measure(features, labels, folds, pairs):
    """Verification and 1-NN accuracy in %; the nearest neighbour of an image is found among all others."""
    first, second = pairs.T
    similarities = 1 - paired_cosine_distances(features[first], features[second])
    same = labels[first] == labels[second]
    nearest = NearestNeighbors(n_neighbors=1, metric="cosine").fit(features).kneighbors(return_distance=False)[:, 0]
    return {
        "pairs": len(first),
        "verification": 100 * metrics.verification_accuracy(similarities, same, folds[first]),
        "nearest_neighbour": 100 * float(np.mean(labels[nearest] == labels)),
    }


def fold_numbers(labels, seed):
    """The fold of each image. As in LFW, folds share no identity, unless there are too few identities for that."""
    identities, which = np.unique(labels, return_inverse=True)
    if len(identities) >= 2 * FOLDS:
        return np.random.default_rng(seed).permutation(len(identities))[which] % FOLDS
    return ranks_in_class(labels, seed) % FOLDS


def draw_pairs(labels, folds, seed):
    """Draw `PAIRS` random pairs of one identity in each fold and as many of two, or fewer where a fold has fewer.

    Returns:
        `(n, 2)` indices of images; both of a pair are in the same fold.
    """
    rng, chosen = np.random.default_rng(seed), []
    for fold in range(FOLDS):
        members = np.flatnonzero(folds == fold)
        pairs = members[np.stack(np.triu_indices(len(members), 1), axis=1)]
        same = labels[pairs[:, 0]] == labels[pairs[:, 1]]
        count = min(PAIRS, same.sum(), (~same).sum())
        if not count:
            raise ValueError(f"Fold {fold} of {FOLDS} lacks pairs of one identity or of two: hold out more classes.")
        chosen += [rng.choice(pairs[kind], count, replace=False) for kind in (same, ~same)]
    return np.concatenate(chosen)


# === Results ===


def results_table(results):
    by_strategy = {strategy: list(results[strategy].values()) for strategy in REPORTED}
    accuracy = {s: np.array([run["verification"] for run in runs]) for s, runs in by_strategy.items()}
    counts = [runs[0] for runs in by_strategy.values()]
    titles, amounts, reported = zip(*REPORTED.values(), strict=True)
    nearest = [[run["nearest_neighbour"] for run in runs] for runs in by_strategy.values()]
    columns = {
        "augmentation": titles,
        "images, reported": amounts,
        "accuracy %, reported (FaceScrub, LFW)": reported,
        "gain, reported": [f"{number - reported[0]:+.2f}" for number in reported],
        "images, ours": [f"{count['real_images']} + {count['generated_images']}" for count in counts],
        "accuracy %, ours": [common.spread(ours) for ours in accuracy.values()],
        "gain, ours (seed by seed)": [common.spread(ours - accuracy["none"]) for ours in accuracy.values()],
        "1-NN accuracy %, ours": [common.spread(ours) for ours in nearest],
    }
    return f"# Data augmentation, after Table 2 of CVAE-GAN\n\n{common.table(columns)}"


def write_picture(path, model, images, labels, mixes):
    rows = {}
    for identity in range(min(model.num_classes, 6)):
        rows[f"{identity}: real"] = images[labels == identity][:8]
        rows[f"{identity}: generated"] = model.generate(np.full(8, identity), seed=1)
    for mix in mixes[:6]:
        rows[" + ".join(map(str, mix))] = model.mix_identities(np.tile(mix, (8, 1)), seed=1)
    pictures.save_rows(path, rows)


if __name__ == "__main__":
    common.run(main)
