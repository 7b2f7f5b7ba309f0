"""`kgan generate`."""

import difflib
import sys
from functools import partial

import numpy as np
from tqdm import tqdm

from kgan import presets

SUMMARY = "draw pictures of classes with a trained model, such as one of the package's presets"
MORE = """
The picture has a row for each class. Images below each other have the same random latent vector; with --morph, a row
goes from one latent vector to another in equal steps.

MMSSIT and CDAAE translate images between two domains. With one of them, pass --images: a row then begins with an image
of the class, and the translations follow, each in a random style; with --morph, from one style to another.

Exit status: 0 success; 1 output error, such as a full disk; 2 invalid command or model; 130 stopped with Ctrl-C.
"""
MOST_CLASSES, MOST_IMAGES = 16, 64


def add_arguments(parser):
    add = parser.add_argument
    model = "preset of the package, folder of another preset, or .keras file (default: list the package's presets)"
    add("model", metavar="PRESET|MODEL", nargs="?", help=model)
    add("--list", action="store_true", help="list the package's presets")
    classes = f"names or numbers, separated by commas (default: all classes, at most {MOST_CLASSES})"
    add("--classes", metavar="NAMES", help=classes)
    add("--count", type=int, default=8, metavar="N", help="images in a row, at most 64 (default: %(default)s)")
    add("--morph", action="store_true", help="let each row go from one random image to another")
    add("--seed", type=int, default=0, metavar="N", help="seed of all random numbers (default: %(default)s)")
    add("--out", default="grid.png", metavar="FILE", help=".png file, replaced if it exists (default: %(default)s)")
    images = "data set to translate: digits, or another name that kgan.data.load takes, such as folder:photos"
    add("--images", metavar="DATA", help=images)
    for name, default, what in (("source", "a", "of the images"), ("target", "b", "to translate them to")):
        add(f"--{name}", choices=("a", "b"), default=default, help=f"domain {what} (default: %(default)s)")


def execute(options):
    if options.list or options.model is None:
        print_presets()
        return
    if not 1 + options.morph <= options.count <= MOST_IMAGES:
        raise ValueError(f"--count {options.count}: pass {1 + options.morph} to {MOST_IMAGES}")
    if options.seed < 0:
        raise ValueError(f"--seed {options.seed}: pass 0 or more")
    if not options.out.lower().endswith(".png"):
        raise ValueError(f"--out {options.out}: pass a name that ends in .png")
    model = presets.load(options.model)
    from kgan.plots import labelled_rows, save_image  # imports Matplotlib, which listing does without

    names = model.class_names or [str(label) for label in range(model.num_classes)]
    labels = chosen(options.classes, names)
    row = translator(model, options, labels) if hasattr(model, "translate") else generator(model, options)
    rows = {names[label]: row(label) for label in tqdm(labels, unit=" rows", file=sys.stderr, disable=None)}
    save_image(options.out, labelled_rows(rows))
    print(f"{options.out}: a row each of {', '.join(rows)}")


def print_presets():
    for name in presets.names():
        print(f"{name}: {presets.read_card(name).get('data', 'no data named')}")
    if not presets.names():
        print("the package has no presets", file=sys.stderr)


def chosen(classes, names):
    """Returns the labels of the classes that were asked for, each once."""
    if classes is None:
        return range(min(len(names), MOST_CLASSES))
    labels = []
    for each in filter(None, map(str.strip, classes.split(","))):
        if each in names:
            labels.append(names.index(each))
        elif each.isdecimal() and int(each) < len(names):
            labels.append(int(each))
        else:
            close = difflib.get_close_matches(each, names, n=1)
            hint = f"; did you mean {close[0]}?" if close else ""
            known = ", ".join(names[:20]) + (", ..." if len(names) > 20 else "")
            raise ValueError(f"--classes {each}: the classes are {known}, or 0 to {len(names) - 1}{hint}")
    labels = list(dict.fromkeys(labels))
    if not 1 <= len(labels) <= MOST_CLASSES:
        raise ValueError(f"--classes names {len(labels)} classes: pass 1 to {MOST_CLASSES}")
    return labels


def codes(options, length):
    """Returns random vectors `(count, length)`, with --morph on the straight line between two, as `Editing.morph`."""
    draw = partial(np.random.default_rng(options.seed).standard_normal, dtype="float32")
    return np.linspace(*draw((2, length)), options.count) if options.morph else draw((options.count, length))


def generator(model, options):
    """Returns a function of a label that generates its row."""
    if options.images:
        raise ValueError(f"--images {options.images}: {options.model} needs no images; leave them out")
    latents = codes(options, model.latent_dim)
    return lambda label: model.generate([label] * options.count, latents=latents)


def translator(model, options, labels):
    """Returns a function of a label that translates an image of the class, which its row begins with."""
    if not options.images:
        raise ValueError(
            f"{options.model} translates images: pass some, such as --images digits or --images mnist:PATH"
        )
    from kgan import data

    # As many images of each class, one where the data set has the classes of the model.
    size = {"image_size": model.image_size, "channels": 3, "count": model.num_classes}
    loaded = data.load(options.images, "test", seed=options.seed, **size)
    if not isinstance(loaded, tuple) or loaded[1] is None or loaded[1].ndim != 1:
        raise ValueError(f"--images {options.images}: pass a data set of images with one class each, on this machine")
    images, classes = loaded
    if missing := sorted(set(labels) - set(classes.tolist())):
        raise ValueError(f"--images {options.images} has no image of class {missing[0]}: choose others by --classes")
    styles = codes(options, model.style_dim)

    def row(label):
        image = images[np.flatnonzero(classes == label)[:1]]
        return np.concatenate([image, model.translate(image, options.source, options.target, styles)[0]])

    return row
