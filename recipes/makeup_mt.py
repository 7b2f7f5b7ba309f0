"""Makeup transfer, section 4: what each part of the method does to light (Tables 1 and 2, Figures 2 to 5).

    python recipes/makeup_mt.py                                       # drawn faces at 32 texels, learned from the truth
    python recipes/makeup_mt.py --preset small --seeds 3              # all rows
    python recipes/makeup_mt.py --preset paper --data mt:PATH --rows untouched colour no_repair single paper calibrated
    python recipes/makeup_mt.py --rows untouched colour peer --compare peer:FOLDER --survey --out runs/compared
    python recipes/makeup_mt.py --votes anna.json ben.json --out runs/makeup_mt

The paper shows its gains by pictures and by a survey of 20 people on photographs of the MT data set. Drawn faces have
what photographs have not: the target, the same face with the reference's makeup in the same light. So the tables give
the distance to this truth, as a share of the untouched source's, for each part by itself, because a mean over the face
hides it: makeup changes lips most, skin least. All rows of a seed see the same pairs in the same order.

For photographs the target is unknown, so that only measures without one are reported. The classifier of light always
learns from drawn faces.

A row is a way to transfer makeup. Those beyond the paper have masks of light that are calibrated, come from asymmetry,
or are a half everywhere (the control); or images in place of textures; or learn from the truth itself. Some settle what
the paper leaves open: whose histograms eq. 6 takes, whether the removal of makeup has all terms, too, and whether the
norms of eq. 6 and 8 are squared.

A pair takes 9.4 MB at 256 texels: --preset paper needs 25 GB of memory for the 2,500 pairs of its tables.

With --compare NAME:FOLDER, another method is a row: give it pairs/source_0000.png, pairs/reference_0000.png and so on,
let it write 0000.png and so on, of the same size, to the folder, and resume the run with the name in --rows. --survey
writes survey.html, a page that works offline, in which people choose the best of all rows but the untouched one, in
random order and without names. It saves votes.json; --votes counts such files.

Writes to --out, beside what every run writes (recipes/README.md): pairs/, and of the first seed attention.png (Figure
2), transfer.png (Figures 3 and 4), shade.png and matrix.png (Figure 5).
"""

from functools import partial
from pathlib import Path
from typing import NamedTuple

import common
import keras
import makeup_pictures
import makeup_scores
import makeup_survey
import numpy as np
from PIL import Image

import kgan
from kgan import callbacks
from kgan.models.makeup.illumination import IlluminationClassifier
from kgan.models.makeup.model import WEIGHTS
from kgan.models.makeup.networks import build_vgg_features


class Row(NamedTuple):
    """A way to transfer makeup: options of `MakeupGAN`, or None without training."""

    title: str
    options: dict = None


# With these, norms have the gradients, at the end of training, that mean squares have with the default weights.
AS_NORMS = {"perceptual": 0.04, "lips": 1.4, "eyes": 0.2, "skin": 0.0014}
ROWS = {
    "untouched": Row("Untouched source"),
    "colour": Row("Colours alone, without a network"),
    "image": Row("Images in place of textures", {"repair": (), "histogram": "image", "image_space": True}),
    "no_repair": Row("Without repair (w/o IRM)", {"repair": ()}),
    "half": Row("Mask of a half", {"attention": "half"}),
    "paper": Row("Paper's masks", {"attention": "paper"}),
    "asymmetry": Row("Masks of asymmetry", {"attention": "asymmetry"}),
    "single": Row("Calibrated, one layer (w/o MLA)", {"layers": (2,)}),
    "calibrated": Row("Calibrated masks", {}),
    "repaired": Row("Calibrated, histograms of the repaired reference", {"histogram_reference": "repaired"}),
    "removal": Row("Calibrated, all terms for removal, too", {"both_directions": True}),
    "norm": Row("Calibrated, norms in eq. 6 and 8", {"norm": True, "weights": AS_NORMS}),
    "even": Row("Calibrated, reference in even light"),  # the bound of what repair can do
    "truth": Row("Calibrated, learned from the truth", {"weights": dict.fromkeys(WEIGHTS, 0.0) | {"truth": 10.0}}),
}
QUICK = {
    "data": "synthetic/faces",
    "uv_size": 32,
    "image_size": 32,
    "count": 800,
    "validation": 100,
    "test_count": 200,
    "width": 0.125,
    "perceptual": "light",
    "rows": ["untouched", "colour", "truth"],
    "seeds": 1,
    "epochs": 10,
    "light_epochs": 4,
    "batch_size": 8,
    "learning_rate": 2e-3,
    "constant_rate": False,
}
SMALL = QUICK | {"count": 2000, "test_count": 500, "rows": list(ROWS), "seeds": 3, "epochs": 8}
PAPER = SMALL | {
    "uv_size": 256,
    "image_size": 256,
    "width": 1.0,
    "perceptual": "vgg16",
    "epochs": 100,
    "light_epochs": 30,
    "batch_size": 1,
    "learning_rate": 1e-4,
    "constant_rate": True,
}
SHOWN = 8  # pairs in pictures
FACES = "synthetic/faces"  # whose light is known
LIT = 1000  # of them to learn light from
HELD = 1000  # added to the seed of the faces that masks are calibrated on
FREE = ("rows", "compare", "survey")  # options that may change when a run is resumed: each row is trained by itself


def main():
    options = common.parse_options(
        __doc__,
        (QUICK, SMALL, PAPER),
        uv_size={"type": int, "help": "height and width of the textures"},
        image_size={"type": int, "help": "height and width of the images"},
        validation={"type": common.at_least_one, "help": "drawn faces to calibrate the masks on"},
        perceptual={"choices": ("light", "vgg16"), "help": "the network of eq. 8: the classifier of light, or VGG-16"},
        rows={"nargs": "+", "help": f"of {', '.join(ROWS)}, and names of --compare"},
        light_epochs={"type": common.at_least_one, "help": "of the classifier of light"},
        learning_rate={"type": float, "help": "of the generator and the discriminators"},
        compare={"nargs": "+", "default": [], "metavar": "NAME:FOLDER", "help": "pictures of other methods"},
        survey={"action": "store_true", "help": "write survey.html"},
        votes={
            "nargs": "+",
            "type": Path,
            "metavar": "FILE",
            "help": "count what people chose in survey.html, no more",
        },
    )
    if options.votes:
        print(makeup_survey.tallied(options.votes, options.out / "survey.json"))
        return
    del options.votes
    common.check_run(options, FREE)
    others = dict(each.partition(":")[::2] for each in options.compare)
    check_rows(options, others)
    load = partial(kgan.data.load_makeup, options.data, uv_size=options.uv_size, image_size=options.image_size)
    training = load("train", count=options.count, seed=options.seed)
    test = load("test", count=options.test_count, seed=options.seed)
    compared = {name: read_pictures(Path(folder), test["source_image"].shape) for name, folder in others.items()}
    out = common.open_run(options, FREE)
    write_pairs(out / "pairs", test)
    results, painted = {}, {}
    for seed in common.seeds_of(options):
        for key, numbers, images in run_of_seed(seed, out / f"seed{seed}", training, test, options):
            results.setdefault(key, {})[str(seed)] = numbers
            painted.setdefault(key, images)
    for name, images in compared.items():
        painted[name] = images
        results[name] = {str(options.seed): makeup_scores.measured(images, None, test)}
    titles = {key: ROWS[key].title if key in ROWS else key for key in options.rows}
    results = {key: results[key] for key in ("masks", *titles) if key in results}
    common.write(out / "metrics.json", results)
    shown = {titles[key]: painted[key] for key in titles}
    makeup_pictures.transfers(out / "transfer.png", test, shown, SHOWN)
    if options.survey:
        makeup_survey.write(out, test, {key: painted[key] for key in titles if key != "untouched"}, options.seed)
    table = makeup_scores.results_tables(results, titles, options)
    common.finish(out, table, ", ".join(map(str, sorted(out.glob("*.png")))))


def check_rows(options, others):
    for key in options.rows:
        if key not in ROWS and key not in others:
            raise ValueError(f"--rows {key}: pass some of {', '.join(ROWS)}, or a name of --compare NAME:FOLDER.")
    if "untouched" not in options.rows:
        raise ValueError("--rows needs untouched: the other rows are measured against it.")
    if "even" in options.rows and "calibrated" not in options.rows:
        raise ValueError("--rows even needs calibrated: it is the same model with references in even light.")
    if "image" in options.rows and options.uv_size != options.image_size:
        raise ValueError("--rows image needs one size: pass the same --uv-size and --image-size.")
    for key in ("even", "truth"):
        if key in options.rows and options.data != FACES:
            raise ValueError(f"--rows {key} needs drawn faces: of {options.data} the truth is unknown; leave it out.")
    if len(others) < len(options.compare) or {"masks", *ROWS} & set(others):
        raise ValueError("--compare takes NAME:FOLDER, each name once and none of a row.")
    for name, folder in others.items():
        if not folder or not Path(folder).is_dir():
            raise ValueError(f"--compare {name}:{folder}: there is no such folder.")
        if name not in options.rows:
            raise ValueError(f"--compare {name}:{folder}: add {name} to --rows.")


def write_pairs(folder, test):
    """Write the pairs as other methods need them."""
    for role in ("source", "reference"):
        for i, image in enumerate(test[f"{role}_image"]):
            path = folder / f"{role}_{i:04d}.png"
            if not path.exists():
                kgan.plots.save_image(path, kgan.plots.to_pixels(image[None])[0])


def read_pictures(folder, shape):
    """The images of another method, one for each pair."""
    images = np.empty(shape, "float32")
    for i, image in enumerate(images):
        path = folder / f"{i:04d}.png"
        if not path.exists():
            raise FileNotFoundError(f"{path} is missing: --compare needs a picture for each of {shape[0]} test pairs.")
        with Image.open(path, formats=("PNG",)) as file:
            if file.size != shape[2:0:-1]:
                raise ValueError(f"{path} has {file.size} pixels: pass pictures of {shape[2:0:-1]}.")
            image[:] = np.asarray(file.convert("RGB"), "float32") / 127.5 - 1
    return images


# === A seed: the classifier of light, then each row ===


def run_of_seed(seed, folder, training, test, options):
    """Yields each row's key, its numbers and the images it made; the masks of light under a key of their own."""
    light = common.keep(folder / "light" / "model.keras", partial(train_light, seed, options), options)
    if seed == options.seed:
        makeup_pictures.attention(folder.parent / "attention.png", light, test)
    if "reference_shade" in test:
        yield "masks", makeup_scores.of_masks(light, test), None
    models = {}
    for key in [key for key in ROWS if key in options.rows]:  # in this order: some need the models of others
        numbers = {}
        if ROWS[key].options is not None:
            train = partial(train_row, key, seed, folder / key, light, training, options)
            models[key] = common.keep(folder / key / "model.keras", train, options)
            numbers["seconds"] = round(common.training_seconds(folder / key), 1)
        made = made_up(key, models, test)
        yield key, makeup_scores.measured(*made[:2], test, made[2]) | numbers, made[0]
    in_pictures = [models[key] for key in ("calibrated", "truth") if key in models][:1]
    for model in in_pictures if seed == options.seed else ():
        makeup_pictures.shades(folder.parent / "shade.png", model, test)
        makeup_pictures.matrix(folder.parent / "matrix.png", model, test)


def train_light(seed, options):
    """The classifier of light, trained on drawn faces, its masks calibrated on others that no row is trained on."""
    common.set_seed(seed)
    textures, labels = kgan.data.load(FACES, image_size=options.uv_size, count=LIT, seed=options.seed)
    model = IlluminationClassifier(int(labels.max()) + 1, options.uv_size, min(1.0, 2 * options.width))
    model.compile(metrics=["accuracy"])
    model.fit(textures, labels, batch_size=32, epochs=options.light_epochs, verbose=2)
    held = kgan.data.load_makeup(FACES, uv_size=options.uv_size, count=options.validation, seed=options.seed + HELD)
    model.calibrate(held["reference_texture"], held["reference_shade"])
    return model


def train_row(key, seed, folder, light, training, options):
    print(f"--- {ROWS[key].title}, {folder}")
    common.set_seed(seed, options.devices)
    perceptual = build_vgg_features(options.uv_size) if options.perceptual == "vgg16" else None
    model = kgan.MakeupGAN(
        light, options.uv_size, options.image_size, options.width, perceptual_network=perceptual, **ROWS[key].options
    )
    used = {name: training[name] for name in model.needed()}
    batches = kgan.data.Batches(used, batch_size=options.batch_size, seed=seed)
    if options.constant_rate:
        model.compile({player: keras.optimizers.Adam(options.learning_rate, 0.5) for player in model.players})
    else:
        model.compile(common.decaying_optimizers(model, options.learning_rate, options.epochs * len(batches)))
    shown = {name: value[:SHOWN] for name, value in training.items()}

    def sample(model):
        return np.concatenate([shown["source_image"], shown["reference_image"], made_up(key, {key: model}, shown)[0]])

    grid = partial(callbacks.ImageGrid, sample=sample, columns=SHOWN, folder=folder / "samples")
    common.train(model, batches, folder, options, [grid])
    return model


def made_up(key, models, pairs):
    """What a row makes of pairs: images, textures, and textures with the reference in even light; None without."""
    source = pairs["source_texture"]
    if key == "image":
        return models[key].transfer(pairs["source_image"], pairs["reference_image"]), None, None

    def with_makeup_of(name):
        if key == "untouched":
            return source
        if key == "colour":
            return makeup_scores.colour_transferred(pairs, name)
        if key == "even":
            return models["calibrated"].transfer(source, pairs["reference_even_texture"])
        return models[key].transfer(source, pairs[f"{name}_texture"])

    textures = with_makeup_of("reference")
    evenly = with_makeup_of("reference_even") if "reference_even_texture" in pairs else None
    return makeup_scores.rendered(textures, pairs), textures, evenly


if __name__ == "__main__":
    common.run(main)
