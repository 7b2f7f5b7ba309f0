"""The text / non-text filter (Zhao et al., 2019): Tables I and II, region pictures as in Fig. 5, the student's files.

    python recipes/textfilter_textdis.py                               # drawn scenes, small networks, under 3 minutes
    python recipes/textfilter_textdis.py --models hard soft adversarial full --seeds 3
    python recipes/textfilter_textdis.py --preset small --data textdis:PATH --out runs/textdis
    python recipes/textfilter_textdis.py --preset paper --data textdis:PATH   # 16.03 M teacher, for a GPU

Students of one architecture, 0.087 M parameters, differ in what they learn from: region labels (`hard`), the teacher's
region probabilities (`soft`), these and a discriminator of features (`adversarial`), and the same after a pre-training
on activation boundaries (`full`), which takes the first half of its epochs, so that all learn for as long.
`teacher_msp` is the teacher on labels by MSP-Net's rule, which Table I is about.
All are scored on the test images; the threshold is that of the best F-measure, or the highest that reaches a recall.

Deviations from the paper: Adam with a cosine decay and batches, instead of SGD with 1e-4 and batches of one image,
which takes longer to the same place; images stretched to one size, instead of a short edge of 256 pixels; the
presets quick and small have a narrower teacher.

Writes under --out: options.json, metrics.json, results.md, regions.png, student.keras, export/ (SavedModel, LiteRT,
report.md); and a folder per model and seed with the network, train.csv, logs for TensorBoard and checkpoints.
"""

import io
import os
import subprocess
import sys
import time
from pathlib import Path

import keras
import numpy as np
from common import (
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
from PIL import Image

from kgan import metrics, plots, text_filter
from kgan.data import flip_and_rotate, load_text
from kgan.export import DecisionsChanged, export_text_filter
from kgan.filter.text_filter import heat_map

TEACHERS, STUDENTS = ("teacher", "teacher_msp"), ("hard", "soft", "adversarial", "full")
MODELS = TEACHERS + STUDENTS
# Named here, and so imported, before a resumed run reads one from its file.
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
PRESETS = {
    "quick": {
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
    },
    "small": {
        "data": "synthetic/scene_text",
        "image_size": [240, 240],
        "count": 4000,
        "test_count": 1000,
        "models": list(MODELS),
        "seeds": 1,
        "epochs": 6,
        "student_epochs": 12,
        "width": 0.125,
        "batch_size": 32,
        "learning_rate": 2e-3,
    },
    "paper": {
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
    },
}


def main():
    options = parse_options(
        __doc__,
        PRESETS,
        "runs/textfilter_textdis",
        image_size={"type": at_least_one, "nargs": 2, "metavar": ("HEIGHT", "WIDTH"), "help": "in pixels"},
        count={"type": at_least_one, "help": "number of training images"},
        test_count={"type": at_least_one, "help": "number of test images"},
        models={"nargs": "+", "choices": MODELS, "help": "which to train; a student brings its teacher along"},
        student_epochs={"type": at_least_one, "help": "of a student; --epochs are a teacher's"},
        seeds={"type": at_least_one, "help": "train each model this many times"},
        width={"type": float, "help": "of the teacher"},
        no_export={"action": "store_true", "help": "leave the files of the student out"},
        time={"action": "store_true", "help": "measure the networks on the CPU, MSP-Net with its 136 M parameters too"},
    )
    check_run(options)
    size = tuple(options.image_size)
    images, polygons = load_text(options.data, "train", image_size=size, count=options.count, seed=options.seed)
    test = load_text(options.data, "test", image_size=size, count=options.test_count, seed=options.seed)
    text = np.array([len(outlines) > 0 for outlines in test[1]])
    for split, share in (("training", np.mean([len(p) > 0 for p in polygons])), ("test", text.mean())):
        if share in (0, 1):
            raise ValueError(f"The {split} images must be of both kinds, with text and without.")
    out = open_run(options)
    print(f"{len(images)} training images, {len(text)} test images, {text.mean():.0%} of them with text")

    # Flip and rotation are done beforehand, so that a teacher has to see each image only once.
    more_images, more_polygons = flip_and_rotate(images, polygons, seed=options.seed)
    images, polygons = np.concatenate([images, more_images]), [*polygons, *more_polygons]
    labels = {rule: region_labels(polygons, size, rule) for rule in ("area", "msp_net")}
    seeds = list(range(options.seed, options.seed + options.seeds))
    results, networks = {}, {}
    for seed in seeds:
        trainer = Trainer(images, labels, test[0], seed, out, options)
        for name in options.models:
            networks[name], scores = trainer.network(name), trainer.scores(name)
            point = metrics.text_filter_metrics(text, scores, RECALLS)
            results.setdefault(name, {})[str(seed)] = {**point, "seconds": trainer.seconds(name)}
    write_json(out / "metrics.json", results)
    students = [name for name in options.models if name in STUDENTS]
    report = results_table(results, options, seeds)
    if students:
        best = networks[students[-1]]
        write_regions(out / "regions.png", best, *test, text)
        best.round_kernels()  # for the int8 file; the table is of the student before
        save_model(best, out / "student.keras")
        if not options.no_export:
            report += "\n" + export(out, images, test[0], text)
    if options.time:
        report += "\n" + time_table(size)
    write_text(out / "results.md", report)
    print(report)
    print(f"TensorBoard: tensorboard --logdir {out}")


# === Data ===


def region_labels(polygons, size, rule):
    return np.stack([text_filter.region_labels(outlines, size, rule=rule) for outlines in polygons])


# === Training ===


class Trainer:
    """The networks of one seed, each trained when it is first asked for and kept in the run's folder."""

    def __init__(self, images, labels, test_images, seed, out, options):
        self.images, self.labels, self.test_images = images, labels, test_images
        self.seed, self.out, self.options = seed, out, options
        self.trained, self.outputs = {}, None

    def network(self, name):
        if name not in self.trained:
            path = self._folder(name) / "model.keras"
            if self.options.resume and path.exists():
                self.trained[name] = keras.saving.load_model(path)
            else:
                self.trained[name] = self._train(name)
                save_model(self.trained[name], path)
        return self.trained[name]

    def scores(self, name):
        return self.network(name).score(self.test_images)

    def seconds(self, name):
        """Of all its stages; a student's teacher not counted."""
        rows = (p.read_text().splitlines() for p in self._folder(name).rglob("train.csv"))
        return sum(float(lines[-1].split(",")[lines[0].split(",").index("seconds")]) for lines in rows)

    def _folder(self, name):
        return self.out / f"{name}-seed{self.seed}"

    def _train(self, name):
        if name in TEACHERS:
            network = self._new(name, width=self.options.width)
            self._fit(network, name, self.labels["area" if name == "teacher" else "msp_net"], self.options.epochs)
            return network
        epochs = self.options.student_epochs
        if name == "hard":
            student = self._new(name)
            self._fit(student, name, self.labels["area"], epochs)
            return student

        outputs = self._teacher_outputs()
        student = self._new(name)
        if name == "full":
            epochs = -(-epochs // 2)
            self._fit(text_filter.BoundaryDistiller(None, student), f"{name}/boundary", outputs, epochs)
        if name == "soft":
            self._fit(text_filter.SoftLabelDistiller(None, student), name, outputs, epochs)
        else:
            self._fit(text_filter.AdversarialDistiller(None, student), name, outputs, epochs)
        return student

    def _new(self, name, **arguments):
        set_seed(self.seed)
        return CLASSES[name](image_size=self.images.shape[1:3], **arguments)

    def _teacher_outputs(self):
        if self.outputs is None:
            self.outputs = self.network("teacher").predict(self.images, batch_size=32, verbose=0)
        return self.outputs

    def _fit(self, model, name, targets, epochs):
        steps = epochs * -(-len(self.images) // self.options.batch_size)
        rate = keras.optimizers.schedules.CosineDecay(self.options.learning_rate, steps)
        if isinstance(model, text_filter.AdversarialDistiller):
            twice = keras.optimizers.schedules.CosineDecay(2 * self.options.learning_rate, steps)
            model.compile({"student": keras.optimizers.Adam(rate), "discriminator": keras.optimizers.Adam(twice)})
        else:
            model.compile(keras.optimizers.Adam(rate))
        first, *stage = name.split("/")
        folder = self._folder(first).joinpath(*stage)
        print(f"--- {TITLES[first]}{', boundaries' if stage else ''}, seed {self.seed}")
        train(model, self.images, targets, folder, self.options, self.seed, epochs=epochs)


# === Results ===


def results_table(results, options, seeds):
    percent = lambda values: spread(100 * np.array(values), 1)  # noqa: E731
    header = ["model", "recall / precision / F %, reported (TextDis)", "recall %", "precision %", "F %"]
    header += [f"precision % at recall {r:.0%}" for r in RECALLS]
    header += [f"precision % at best F with {p:.0%} text" for p in (0.05, 0.10, 0.15)]
    rows = []
    for name, runs in results.items():
        points = [run["best_f"] for run in runs.values()]
        row = [TITLES[name], " / ".join(map(str, REPORTED[name]))]
        row += [percent([point[key] for point in points]) for key in ("recall", "precision", "f")]
        row += [percent([run["recall"][r]["precision"] for run in runs.values()]) for r in RECALLS]
        row += [percent([point["precision_at"][p] for point in points]) for p in (0.05, 0.10, 0.15)]
        rows.append(row)
    text = "# Images with text told from images without, after Tables I and II\n\n" + table(header, rows)
    text += "\n" + provenance(options, seeds)
    return text + f"The epochs are a teacher's; a student has {options.student_epochs}.\n"


def write_regions(path, network, images, polygons, text):
    """Test images and what the student sees in their regions, as Fig. 5: with text above, without below."""
    shown = np.concatenate([np.flatnonzero(text)[:6], np.flatnonzero(~text)[:6]])
    logits = network.predict(images[shown], verbose=0)["logits"]
    pictures = []
    for image, regions in zip(images[shown], 1 / (1 + np.exp(-logits)), strict=True):
        heated = Image.open(io.BytesIO(heat_map(image, image.shape[:2], regions)))
        pair = np.concatenate([image, np.asarray(heated.resize(image.shape[1::-1]))], axis=1)
        pictures.append(pair / 127.5 - 1)
    plots.save_image(path, plots.image_grid(np.array(pictures, "float32"), columns=3))


def export(out, images, test_images, text):
    """The student's files. If int8 decides otherwise than the Keras model and is refused, this is said, and the others
    are written."""
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
    rows = [
        [kind, f"{numbers['bytes'] / 1000:.0f}", f"{100 * max(numbers['changed'].values()):.2f}"]
        + [f"{numbers['mean_difference']:.5f}", f"{numbers['milliseconds']['240x240']:.2f}"]
        for kind, numbers in report["files"].items()
        if "bytes" in numbers
    ]
    header = ["file", "kB", "decisions changed %", "mean difference of scores", "ms at 240x240, one thread"]
    return refused + table(header, rows)


# === Time on the CPU ===


def time_table(size):
    """Milliseconds an image, each network in a process of its own, on one core and on all."""
    rows = []
    for name, short_edge in (("TextTeacher", min(size)), ("TextStudent", min(size)), ("MSPNet", 500)):
        pixels = tuple(side * short_edge // min(size) for side in size)
        times = []
        for cores in (1, os.cpu_count()):
            code = f"import textfilter_textdis as recipe; recipe.time_one({name!r}, {pixels}, {cores})"
            times.append(subprocess.check_output([sys.executable, "-c", code], cwd=Path(__file__).parent, text=True))
        parameters = getattr(text_filter, name)().count_params()
        rows.append([name, f"{parameters / 1e6:.3f} M", "x".join(map(str, pixels)), *(t.split()[-1] for t in times)])
    return table(["network", "parameters", "pixels", "ms, one core", f"ms, {os.cpu_count()} cores"], rows)


def time_one(name, size, cores):
    """Prints the median milliseconds of a network on one image."""
    os.sched_setaffinity(0, range(cores))  # before a backend starts its threads; Linux alone has it
    network = getattr(text_filter, name)(image_size=size)
    image = np.zeros((1, *size, 3), "uint8")
    times = []
    for _ in range(8):
        start = time.perf_counter()
        network.predict_on_batch(image)
        times.append(1000 * (time.perf_counter() - start))
    print(f"{np.median(times[2:]):.1f}")


if __name__ == "__main__":
    run(main)
