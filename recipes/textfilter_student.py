"""The student that comes with the package: drawn scenes with and without text, in the shapes that a model file has.

    python recipes/textfilter_student.py                                  # a few scenes, to see that it runs
    python recipes/textfilter_student.py --preset small --seed 1 --photos PHOTOS      # the one in the package
    python export/student.py runs/textfilter_student/student.keras                    # its two files

PHOTOS is a folder of photographs without text, on which half of the scenes lie: drawn grass, fur and brick differ too
much from real ones. kgan/filter/photos.md lists the photographs of the package's student with their licences, which
allow that weights are passed on; other photographs bring their own terms. Scenes also depend on the installed fonts,
which student.json lists. The student learns labels, not a teacher's outputs: the labels of drawn scenes are exact, for
each 8x8 pixels as well as for the regions and the whole image.

If PHOTOS has an index.csv (kgan.data.text.photos), the photographs of its train split that may be used freely do more:
those without text are the backgrounds, and random crops of all of them, with the outlines of their text, are learned
beside the scenes. Its validation split calibrates the scores and gives the thresholds, and its test split says how good
they are, which student.json passes on to the model file.

Writes to --out, beside what every run writes (recipes/README.md): scenes/, student.keras, student.json with its licence
and data card, and, with an index, reliability.png: the share of photographs with text by score.
"""

import contextlib
import json
import multiprocessing
import os
from pathlib import PurePosixPath

import common
import keras
import numpy as np
from scipy.special import expit, logit
from sklearn.calibration import calibration_curve
from sklearn.metrics import roc_auc_score

from kgan import losses, metrics, plots
from kgan.data.batches import EpochShuffledDataset, epoch_order
from kgan.data.scenes import typesetting
from kgan.data.scenes.painter import draw_scenes
from kgan.data.scenes.photos import load_photos
from kgan.data.store import Store
from kgan.data.text.crops import Photographs, draw_crops
from kgan.data.text.photos import read_photos
from kgan.data.text.records import UnreadableImage
from kgan.filter.decoding import to_bucket
from kgan.filter.regions import NUM_REGIONS, grids, polygon_mask
from kgan.text_filter import TextStudent, region_labels

# The share of the scenes of each shape: photographs are wider than high, and the widest have the smallest text. 480x240
# is left out, as the weights are the same for all shapes.
SHAPES = {(240, 480): 0.42, (240, 360): 0.21, (240, 240): 0.28, (360, 240): 0.09}
RECALLS = (0.94, 0.97)
CHUNK = 50  # scenes drawn at once
QUICK = {"data": "synthetic/scene_text", "count": 400, "crops": 400, "test_count": 200, "epochs": 2, "batch_size": 16}
SMALL = QUICK | {"count": 12000, "crops": 12000, "test_count": 1000, "epochs": 6}
PAPER = QUICK | {"count": 200000, "crops": 100000, "test_count": 2000, "epochs": 20}
LEARNING_RATE = 2e-3
PHOTO_EDGE = 900  # pixels; scenes lie on crops of photographs, near and far
# Chosen on photographs. Drawn scenes would teach 0.6, which does not help on photographs (results/text_filter.md).
CONTEXT = 4.0
CELL = 8  # pixels that a step of the student's last maps takes
MAPS = ("fifth", "sixth")  # the convolutions whose maps are pooled
LOSSES = {
    "logits": losses.multilabel_loss,
    **dict.fromkeys(("image_logits", *MAPS), keras.losses.BinaryCrossentropy(from_logits=True)),
}
WEIGHTS = {"logits": 1.0, "image_logits": 0.5, **dict.fromkeys(MAPS, 3.0)}


def main():
    options = common.parse_options(
        __doc__,
        (QUICK, SMALL, PAPER),
        photos={"metavar": "PATH", "help": "folder or zip of photographs without text, or with an index.csv"},
        crops={"type": common.at_least_one, "help": "crops of photographs with an index.csv"},
    )
    if options.data != "synthetic/scene_text":
        raise ValueError(f"--data {options.data}: this recipe trains on synthetic/scene_text alone.")
    common.check_run(options)
    indexed = options.photos and is_indexed(options.photos)
    if indexed:
        photographs = Photographs(read_photos(options.photos, "train", free=True), PHOTO_EDGE)
        photos = [pixels for pixels, _ in photographs.plain]
        others = {split: read_split(options.photos, split) for split in ("validation", "test")}
    else:
        photographs, others = None, {}
        photos = options.photos and load_photos(options.photos, short_edge=PHOTO_EDGE)
    out = common.open_run(options)
    fonts = out / "scenes" / "fonts.json"
    if not fonts.exists():  # those that scenes are drawn with, whatever is installed when the run goes on
        fonts.parent.mkdir(exist_ok=True)
        common.write(fonts, sorted({font.family for font in typesetting.find_fonts()}))
    # Spawned, because a fork would copy the state of this process's threads in mid-step.
    with multiprocessing.get_context("spawn").Pool(os.cpu_count(), keep_photos, (photos, photographs)) as pool:
        parts = {"train": options.count, "test": options.test_count} | ({"crops": options.crops} if indexed else {})
        drawn = {
            part: [draw(pool, out, options, position, part, total) for position in range(len(SHAPES))]
            for part, total in parts.items()
        }

    groups = [*drawn["train"], *drawn.get("crops", ())]

    def make():
        student = train(groups, out, options)
        if indexed:
            text, scores = score_photos(student, others["validation"])
            with contextlib.suppress(ValueError):  # hardly trained; the report says that it is not calibrated
                student = student.calibrated(text, scores)
        return student

    student = common.keep(out / "student.keras", make, options)
    write_results(out, student, drawn["test"], others, photographs, options)


def is_indexed(path):
    """Whether photographs have an index of their licences and text, beside their `boxes.json`."""
    return {"index.csv", "boxes.json"} <= {PurePosixPath(name).name for name in Store(path).names}


def read_split(path, split):
    """The photographs of a split that can be decoded, whatever their licences: nothing but figures is passed on."""
    images = []
    for image in read_photos(path, split):
        with contextlib.suppress(UnreadableImage):
            image.open()
            images.append(image)
    if taken := {"all", "others"} & {image.source for image in images}:
        raise ValueError(f"--photos {path}: a source is named {min(taken)!r}, which counts several: rename it.")
    if len({bool(image.polygons) for image in images}) < 2:
        raise ValueError(f"--photos {path}: its {split} split needs images with text and without.")
    return images


def score_photos(student, images):
    """Whether each photograph holds text, and its score, in the shapes of the run time."""
    views = [to_bucket(image.open()) for image in images]
    scores = np.empty(len(views))
    for shape in {view.shape for view in views}:
        at = [i for i, view in enumerate(views) if view.shape == shape]
        scores[at] = student.score(np.stack([views[i] for i in at]))
    return np.array([bool(image.polygons) for image in images]), scores


# === Scenes ===


def draw(pool, out, options, position, split, total):
    """Scenes of one shape with their labels, drawn by all processors and kept in files; images are memory-mapped.

    With photographs, the first 30 % of the scenes are drawn throughout; of the others, three in four lie on one.
    """
    (height, width), share = list(SHAPES.items())[position]
    count = max(2, round(total * share))
    stem = out / "scenes" / f"{split}-{height}x{width}"
    names = [stem.with_suffix(f".{part}.npy") for part in ("images", "labels", "cells")]
    if not names[-1].exists():  # written last
        stem.parent.mkdir(exist_ok=True)
        writing = [name.with_name(f"writing-{name.name}") for name in names]
        into = np.lib.format.open_memmap(writing[0], "w+", "uint8", (count, height, width, 3))
        labels = np.empty((count, NUM_REGIONS), "float32")
        cells = np.empty((count, height // CELL, width // CELL), "uint8")
        plain = round(0.3 * count) if options.photos and split != "crops" else count
        tasks = [
            (indices[start : start + CHUNK], (height, width), options.seed + position, split, on_photos)
            for indices, on_photos in ((range(plain), False), (range(plain, count), True))
            for start in range(0, len(indices), CHUNK)
        ]
        bar = keras.utils.Progbar(count, unit_name=f"scene of {height}x{width}")
        for (indices, *_), drawn in zip(tasks, pool.imap(draw_chunk, tasks), strict=True):
            for array, part in zip((into, labels, cells), drawn, strict=True):
                array[indices.start : indices.stop] = part
            bar.add(len(indices))
        into.flush()
        np.save(writing[1], labels)
        np.save(writing[2], cells)
        for source, target in zip(writing, names, strict=True):
            os.replace(source, target)
    return np.load(names[0], mmap_mode="r"), *map(np.load, names[1:])


def keep_photos(photos, photographs):
    """Give a drawing process its photographs, once."""
    draw_chunk.photos, draw_chunk.photographs = photos, photographs


def draw_chunk(task):
    indices, size, seed, split, on_photos = task
    if split == "crops":
        images, polygons = draw_crops(draw_chunk.photographs, indices, size, seed)
    else:
        images, polygons = draw_scenes(indices, size, seed, split, photos=draw_chunk.photos if on_photos else None)
    labels = np.stack([region_labels(outlines, size) for outlines in polygons])
    return images, labels, np.stack([text_cells(outlines, size) for outlines in polygons])


def text_cells(polygons, size):
    """The share of text in each cell of 8x8 pixels, uint8 `(height / 8, width / 8)`, 255 for all of it."""
    mask = np.zeros(size, bool)
    for polygon in polygons:
        mask |= polygon_mask(polygon, size)
    cells = mask.reshape(size[0] // CELL, CELL, size[1] // CELL, CELL)
    return np.round(255 * cells.mean(axis=(1, 3))).astype("uint8")


class ShapeBatches(EpochShuffledDataset):
    """Batches of images of one shape each; the shapes are mixed, and about every other batch is mirrored.

    Args:
        groups: list of `(images, labels, cells)`, images uint8 `(n, height, width, 3)`, labels `(n, 34)`, cells uint8
            `(n, height / 8, width / 8)`.
        batch_size, seed: as in `kgan.data.Batches`; the last images of a shape, too few for a batch, wait for the order
            of another epoch.
    """

    def __init__(self, groups, batch_size, seed):
        self.groups, self.images_a_batch = groups, batch_size
        batches = [max(1, len(labels) // batch_size) for _, labels, _ in groups]
        self.ends = np.cumsum(batches)
        super().__init__(int(self.ends[-1]), 1, seed)

    def __getitem__(self, index):
        number = int(self.order()[index])
        group = int(np.searchsorted(self.ends, number, side="right"))
        images, labels, cells = self.groups[group]
        start = (number - (self.ends[group - 1] if group else 0)) * self.images_a_batch
        order = epoch_order(len(labels), self.seed, self.epoch)
        chosen = np.sort(order[start : start + self.images_a_batch])
        images, labels, cells = images[chosen], labels[chosen], cells[chosen, ..., None] / np.float32(255)
        if np.random.default_rng([self.seed, self.epoch, number]).random() < 0.5:
            images, labels, cells = images[:, :, ::-1], mirrored(labels), cells[:, :, ::-1]
        text = (labels.max(axis=1, keepdims=True) > 0).astype("float32")
        return np.ascontiguousarray(images), {"logits": labels, "image_logits": text, **dict.fromkeys(MAPS, cells)}

    def order(self):
        """The order of the batches in this epoch; the first is of the first shape, the second of the last.

        On TensorFlow, Keras learns from the first two batches which sides vary, and between these two both do.
        """
        order = epoch_order(self.size, self.seed, self.epoch)
        ahead = [order[order < self.ends[0]][0], order[order >= self.ends[-2]][0]]
        return np.concatenate([ahead, order[~np.isin(order, ahead)]])


def mirrored(labels):
    """Labels of regions `(n, 34)` for the mirrored images."""
    return np.concatenate([grid[:, :, ::-1].reshape(len(labels), -1) for grid in grids(labels)], axis=1)


# === Training ===


def train(scenes, out, options):
    common.set_seed(options.seed, options.devices)
    student = TextStudent(context=CONTEXT, name="student")
    batches = ShapeBatches(scenes, options.batch_size, options.seed)
    pupil = with_targets(student)
    pupil.compile(common.decaying_adam(LEARNING_RATE, options.epochs * len(batches)), LOSSES, WEIGHTS)
    common.train(pupil, batches, out, options)
    student.round_kernels()
    return student


def with_targets(student):
    """The student with more to learn: the text in each 8x8 pixels, predicted from either map that it pools."""
    convolved = [layer.output for layer in student.layers if isinstance(layer, keras.layers.ReLU)]
    maps = [output for output in convolved if len(output.shape) == 4][-len(MAPS) :]
    outputs = {name: keras.layers.Conv2D(1, 1, name=name)(output) for name, output in zip(MAPS, maps, strict=True)}
    outputs |= {name: student.output[name] for name in ("logits", "image_logits")}
    return keras.Model(student.input, outputs, name="student")


# === Results ===


def write_results(out, student, scenes, others, photographs, options):
    """The student's thresholds and figures, on drawn scenes and, where `others` has them, splits of photographs."""
    text = np.concatenate([labels.max(axis=1) > 0 for _, labels, _ in scenes])
    scored = {"drawn scenes": (text, np.concatenate([student.score(images) for images, _, _ in scenes]))}
    scored |= {f"photographs, {split}": score_photos(student, images) for split, images in others.items()}
    thresholds = metrics.find_thresholds(*scored["photographs, validation" if others else "drawn scenes"])
    results = {name: measure(*pair, thresholds["best_f"]) for name, pair in scored.items()}
    fonts = json.loads((out / "scenes" / "fonts.json").read_text())
    facts = card(options, results["drawn scenes"], thresholds, photographs, fonts)
    report = results_table(results)
    if others:
        text, scores = scored["photographs, test"]
        facts["measured"] = {
            "on": f"{len(text)} photographs of other sources than those learned from",
            "kinds": metrics.count_passed(text, scores, [image.source for image in others["test"]], thresholds),
        }
        curves = {"score": scores}
        if student.options["calibration"]:
            before = uncalibrated(student, scores)
            curves = {"before calibration": before, "calibrated": scores}
            results["photographs, test"]["calibration_error_before"] = calibration_error(text, before)
        else:
            report += "\nThe scores are not calibrated.\n"
        write_reliability(out / "reliability.png", text, curves)
    common.write(out / "metrics.json", results)
    common.write(out / "student.json", facts)
    common.finish(out, f"{report}\n{common.provenance(options)}", others and out / "reliability.png")


def measure(text, scores, threshold):
    """The numbers of one set: at its own best thresholds, and at a given one."""
    return {
        **metrics.text_filter_metrics(text, scores, RECALLS),
        "own threshold": metrics.at_threshold(text, scores, threshold),
        "area": float(roc_auc_score(text, scores)),
        "calibration_error": calibration_error(text, scores),
    }


def calibration_error(text, scores):
    return metrics.calibration_error(text[:, None].astype(int), scores[:, None], bins=10)


def uncalibrated(student, scores):
    """The scores that a student had before it was calibrated."""
    scale, offset = student.options["calibration"]
    return expit((logit(scores) - offset) / scale)


def results_table(results):
    """Each set at the student's own threshold, and at the best of the set."""
    columns = {"set": list(results)}
    for name, header in (("recall", "recall %"), ("precision", "precision %"), ("f", "F %")):
        columns[header] = [f"{100 * numbers['own threshold'][name]:.1f}" for numbers in results.values()]
    columns["area"] = [f"{numbers['area']:.3f}" for numbers in results.values()]
    columns["best F %"] = [f"{100 * numbers['best_f']['f']:.1f}" for numbers in results.values()]
    for recall in RECALLS:
        precisions = [numbers["recall"][recall]["precision"] for numbers in results.values()]
        columns[f"precision % at recall {recall:.0%}"] = [f"{100 * precision:.1f}" for precision in precisions]
    columns["calibration error"] = [f"{numbers['calibration_error']:.3f}" for numbers in results.values()]
    return f"# The student at its own threshold\n\n{common.table(columns)}"


def write_reliability(path, text, scores):
    """The share of photographs with text against the score, in tenths of the photographs."""
    series = {"as it should be": ([0, 1], [0, 1], None, None)}
    for name, found in scores.items():
        shares, means = calibration_curve(text, found, n_bins=10, strategy="quantile")
        series[name] = (means, shares, None, None)
    plots.curves(path, series, "score", "share of photographs with text")


def card(options, result, thresholds, photographs, fonts):
    """What `export/student.py` reads."""
    best = result["best_f"]
    ground = "half of them on photographs without text" if options.photos else "no photographs"
    source, learned = "drawn scenes", ""
    if photographs:
        number = len(photographs.text) + len(photographs.plain)
        learned = f" and in {options.crops} crops of {number} photographs, {len(photographs.text)} of them with text,"
        source = "photographs of the same sources"
    return {
        "thresholds": thresholds,
        "licence": "as kgan's own" + ("; learned from photographs under their own terms" if options.photos else ""),
        "data_card": (
            f"Trained from random weights on the outlines of text in {options.count} drawn scenes "
            f"(synthetic/scene_text, half with text, {ground}){learned} for {options.epochs} epochs, seed "
            f"{options.seed}. On "
            f"{options.test_count} other scenes: recall {best['recall']:.3f}, precision {best['precision']:.3f}, F "
            f"{best['f']:.3f} at the threshold of best F. Thresholds are those of {source}. Text that is too "
            f"small to read, or smeared beyond reading, is likely to be missed. Fonts: {', '.join(fonts)}."
        ),
    }


if __name__ == "__main__":
    common.run(main)
