"""The text / non-text filter (Zhao et al., 2019): Tables I and II, Figure 5, the student's files.

    python recipes/textfilter_textdis.py                               # drawn scenes, small networks, under 3 minutes
    python recipes/textfilter_textdis.py --models hard soft adversarial full --seeds 3
    python recipes/textfilter_textdis.py --preset small --data textdis:PATH --out runs/textdis
    python recipes/textfilter_textdis.py --preset paper --data textdis:PATH   # 16.03 M teacher, for a GPU

The students share one architecture of 0.087 M parameters and differ in what they learn from: region labels (`hard`);
the teacher's region probabilities (`soft`); these and a discriminator of features (`adversarial`); and the same after
pre-training on activation boundaries (`full`), which takes the first half of the epochs, so that all train equally
long. `teacher_msp` is the teacher on labels by MSP-Net's rule, the subject of Table I. All are scored on the test
images; the threshold is the one of the best F-measure, or the highest that reaches a given recall.

Deviations from the paper: Adam with a cosine decay on batches, instead of SGD at 1e-4 on single images, which takes
longer to the same result; images stretched to one size, instead of a short edge of 256 pixels; a narrower teacher in
the presets quick and small.

Writes to --out, beside what every run writes (recipes/README.md): regions.png, student.keras, and export/ (SavedModel,
LiteRT, report.md).
"""

import io
import os
import subprocess
import sys
import time
from functools import cached_property, partial
from pathlib import Path

import common
import numpy as np
from PIL import Image

from kgan import metrics, plots, text_filter
from kgan.data import Batches, flip_and_rotate, load_text
from kgan.export import DecisionsChanged, export_text_filter
from kgan.filter.text_filter import heat_map
from kgan.training import predict

TEACHERS, STUDENTS = ("teacher", "teacher_msp"), ("hard", "soft", "adversarial", "full")
MODELS = TEACHERS + STUDENTS
# Imports the classes, which a resumed run needs before it reads a model from its file.
CLASSES = dict.fromkeys(TEACHERS, text_filter.TextTeacher) | dict.fromkeys(STUDENTS, text_filter.TextStudent)
TITLES = {
    "teacher": "teacher",
    "teacher_msp": "teacher, labels by MSP-Net's rule",
    "hard": "student, hard labels",
    "soft": "student, soft labels",
    "adversarial": "student, soft labels + adversarial",
    "full": "student, all three stages",
}
# Recall, precision and F-measure in percent on TextDis: Tables I and II.
REPORTED = {
    "teacher": (97.5, 94.0, 95.7),
    "teacher_msp": (95.4, 93.7, 94.6),  # MSP-Net itself
    "hard": (91.0, 88.0, 89.5),
    "soft": (92.9, 90.2, 91.5),
    "adversarial": (94.3, 90.7, 92.5),
    "full": (94.0, 92.0, 93.0),
}
RECALLS = (0.94, 0.97)
COMPARED = 1000  # drawn scenes on which the student's files are compared with it: few would tell little
QUICK = {
    "data": "synthetic/scene_text",
    "image_size": [120, 120],
    "count": 700,
    "test_count": 300,
    "models": ["teacher", "full"],
    "seeds": 1,
    "epochs": 6,
    "student_epochs": 12,
    "width": 0.08,
    "batch_size": 16,
    "learning_rate": 3e-3,
}
SMALL = QUICK | {
    "image_size": [240, 240],
    "count": 4000,
    "test_count": 1000,
    "models": list(MODELS),
    "width": 0.125,
    "batch_size": 32,
    "learning_rate": 2e-3,
}
PAPER = QUICK | {
    "data": "textdis:data/TextDis",
    "image_size": [240, 360],
    "count": None,
    "test_count": None,
    "models": list(MODELS),
    "seeds": 3,
    "epochs": 50,
    "student_epochs": 100,
    "width": 1.0,
    "batch_size": 32,
    "learning_rate": 1e-3,
}


def main():
    options = common.parse_options(
        __doc__,
        (QUICK, SMALL, PAPER),
        image_size={"type": common.at_least_one, "nargs": 2, "metavar": ("HEIGHT", "WIDTH"), "help": "in pixels"},
        models={"nargs": "+", "choices": MODELS, "help": "which to train; students that need a teacher train it too"},
        student_epochs={"type": common.at_least_one, "help": "epochs of a student; --epochs are a teacher's"},
        width={"type": float, "help": "scales the channels of the teacher"},
        no_export={"action": "store_true", "help": "do not write the student's deployable files"},
        time={"action": "store_true", "help": "time the networks on the CPU, MSP-Net with 136 M parameters included"},
    )
    common.check_run(options)
    size = tuple(options.image_size)
    images, polygons = load_text(options.data, "train", image_size=size, count=options.count, seed=options.seed)
    test = load_text(options.data, "test", image_size=size, count=options.test_count, seed=options.seed)
    text = np.array([len(outlines) > 0 for outlines in test[1]])
    for split, share in (("training", np.mean([len(p) > 0 for p in polygons])), ("test", text.mean())):
        if share in (0, 1):
            raise ValueError(f"The {split} images must be of both kinds, with text and without.")
    out = common.open_run(options)
    print(f"{len(images)} training images, {len(text)} test images, {text.mean():.0%} of them with text")

    # Flipped and rotated beforehand, so that a teacher has to see each image only once.
    more_images, more_polygons = flip_and_rotate(images, polygons, seed=options.seed)
    images, polygons = np.concatenate([images, more_images]), [*polygons, *more_polygons]
    labels = {rule: region_labels(polygons, size, rule) for rule in ("area", "msp_net")}
    results, networks = {}, {}
    for seed in common.seeds_of(options):
        trainer = Trainer(images, labels, seed, out, options)
        for name in options.models:
            networks[name] = trainer.network(name)
            numbers = metrics.text_filter_metrics(text, networks[name].score(test[0]), RECALLS)
            numbers["seconds"] = common.training_seconds(trainer.folder(name))  # without the teacher's
            results.setdefault(name, {})[str(seed)] = numbers
    common.write(out / "metrics.json", results)
    students = [name for name in options.models if name in STUDENTS]
    report = results_table(results, options)
    if students:
        best = networks[students[-1]]
        write_regions(out / "regions.png", best, *test, text)
        best.round_kernels()  # for the int8 file; the table is of the student before
        common.write(out / "student.keras", best)
        if not options.no_export:
            if options.data.startswith("synthetic/") and len(text) < COMPARED:
                test = load_text(options.data, "test", image_size=size, count=COMPARED, seed=options.seed)
            report += "\n" + export(out, images, test[0], np.array([len(outlines) > 0 for outlines in test[1]]))
    if options.time:
        report += "\n" + time_table(size)
    common.finish(out, report, students and out / "regions.png")


def region_labels(polygons, size, rule):
    return np.stack([text_filter.region_labels(outlines, size, rule=rule) for outlines in polygons])


# === Training ===


class Trainer:
    """The networks of one seed, each trained when it is first asked for and kept in the run's folder."""

    def __init__(self, images, labels, seed, out, options):
        self.images, self.labels, self.seed, self.out, self.options = images, labels, seed, out, options
        self.trained = {}

    def folder(self, name):
        return self.out / f"{name}-seed{self.seed}"

    def network(self, name):
        if name not in self.trained:
            path = self.folder(name) / "model.keras"
            self.trained[name] = common.keep(path, partial(self.train, name), self.options)
        return self.trained[name]

    def train(self, name):
        folder, epochs = self.folder(name), self.options.student_epochs
        if name in TEACHERS:
            teacher = self.new(name, width=self.options.width)
            labels = self.labels["area" if name == "teacher" else "msp_net"]
            self.fit(teacher, TITLES[name], labels, folder, self.options.epochs)
            return teacher
        targets = self.labels["area"] if name == "hard" else self.teacher_outputs
        learner = student = self.new(name)
        if name == "full":
            epochs = -(-epochs // 2)
            boundaries = text_filter.BoundaryDistiller(None, student)
            self.fit(boundaries, f"{TITLES[name]}, boundaries", targets, folder / "boundary", epochs)
        if name == "soft":
            learner = text_filter.SoftLabelDistiller(None, student)
        elif name != "hard":
            learner = text_filter.AdversarialDistiller(None, student)
        self.fit(learner, TITLES[name], targets, folder, epochs)
        return student

    def new(self, name, **arguments):
        common.set_seed(self.seed, self.options.devices)
        return CLASSES[name](image_size=self.images.shape[1:3], **arguments)

    @cached_property
    def teacher_outputs(self):
        return predict(self.network("teacher"), self.images, batch_size=32)

    def fit(self, model, title, targets, folder, epochs):
        print(f"--- {title}, seed {self.seed}")
        batches = Batches(self.images, targets, self.options.batch_size, self.seed)
        rate, steps = self.options.learning_rate, epochs * len(batches)
        if isinstance(model, text_filter.AdversarialDistiller):
            model.compile(common.decaying_optimizers(model, rate, steps, {"discriminator": 2}))
        else:
            model.compile(common.decaying_adam(rate, steps))
        common.train(model, batches, folder, self.options, epochs=epochs)


# === Results ===


def results_table(results, options):
    def percent(number):
        return common.spreads(results, lambda run: 100 * number(run), 1)

    columns = {
        "model": [TITLES[name] for name in results],
        "recall / precision / F %, reported (TextDis)": [" / ".join(map(str, REPORTED[name])) for name in results],
        "recall %": percent(lambda run: run["best_f"]["recall"]),
        "precision %": percent(lambda run: run["best_f"]["precision"]),
        "F %": percent(lambda run: run["best_f"]["f"]),
    }
    for r in RECALLS:
        columns[f"precision % at recall {r:.0%}"] = percent(lambda run, r=r: run["recall"][r]["precision"])
    for p in (0.05, 0.10, 0.15):
        columns[f"precision % at best F with {p:.0%} text"] = percent(lambda run, p=p: run["best_f"]["precision_at"][p])
    text = f"# Images with text told from images without, after Tables I and II\n\n{common.table(columns)}"
    text += f"\n{common.provenance(options)}"
    return text + f"The epochs are a teacher's; a student has {options.student_epochs}.\n"


def write_regions(path, network, images, polygons, text):
    """Test images beside what the student sees in their regions, as in Figure 5: with text above, without below."""
    shown = np.concatenate([np.flatnonzero(text)[:6], np.flatnonzero(~text)[:6]])
    logits = network.predict(images[shown], verbose=0)["logits"]
    pictures = []
    for image, regions in zip(images[shown], 1 / (1 + np.exp(-logits)), strict=True):
        heated = Image.open(io.BytesIO(heat_map(image, image.shape[:2], regions)))
        pair = np.concatenate([image, np.asarray(heated.resize(image.shape[1::-1]))], axis=1)
        pictures.append(pair / 127.5 - 1)
    plots.save_image(path, plots.image_grid(np.array(pictures, "float32"), columns=3))


def export(out, images, test_images, text):
    """Write the student's files; where int8 decides otherwise than the Keras model, say so and write the others."""
    given = {
        "images": images,
        "validation": (list(test_images), text.astype(int)),
        "data_card": "a run of recipes/textfilter_textdis.py",
    }
    refused = ""
    try:
        report = export_text_filter(out / "student.keras", out / "export", **given)
    except DecisionsChanged as error:
        refused = f"Not exported to int8: {error}\n\n"
        report = export_text_filter(out / "student.keras", out / "export", ("float32", "float16"), **given)
    files = {kind: numbers for kind, numbers in report["files"].items() if "bytes" in numbers}
    columns = {
        "file": files,
        "kB": [f"{n['bytes'] / 1000:.0f}" for n in files.values()],
        "decisions changed %": [f"{100 * max(n['changed'].values()):.2f}" for n in files.values()],
        "mean difference of scores": [f"{n['mean_difference']:.5f}" for n in files.values()],
        "ms at 240x240, one thread": [f"{n['milliseconds']['240x240']:.2f}" for n in files.values()],
    }
    return refused + common.table(columns)


# === Time on the CPU ===


def time_table(size):
    """Milliseconds an image, each network in a process of its own, on one core and on all."""
    all_cores = os.cpu_count()
    columns = ["network", "parameters", "pixels", "ms, one core", f"ms, {all_cores} cores"]
    rows = []
    for name, short_edge in (("TextTeacher", min(size)), ("TextStudent", min(size)), ("MSPNet", 500)):
        pixels = tuple(side * short_edge // min(size) for side in size)
        row = [name, f"{getattr(text_filter, name)().count_params() / 1e6:.3f} M", "x".join(map(str, pixels))]
        for cores in (1, all_cores):
            code = f"import textfilter_textdis as recipe; recipe.time_one({name!r}, {pixels}, {cores})"
            printed = subprocess.check_output([sys.executable, "-c", code], cwd=Path(__file__).parent, text=True)
            row.append(printed.split()[-1])
        rows.append(row)
    return common.table(dict(zip(columns, zip(*rows, strict=True), strict=True)))


def time_one(name, size, cores):
    """Prints the median milliseconds of a network on one image."""
    os.sched_setaffinity(0, range(cores))  # before a backend starts its threads; Linux only
    network = getattr(text_filter, name)(image_size=size)
    image = np.zeros((1, *size, 3), "uint8")
    times = []
    for _ in range(8):
        start = time.perf_counter()
        network.predict_on_batch(image)
        times.append(1000 * (time.perf_counter() - start))
    print(f"{np.median(times[2:]):.1f}")


if __name__ == "__main__":
    common.run(main)
