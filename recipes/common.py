"""What all recipes share: options, the run's folder, training with exact resume, tables."""

import argparse
import csv
import io
import json
import os
import platform
import shlex
import subprocess
import sys
import time
from pathlib import Path

import keras
import numpy as np
from tensorboardX import SummaryWriter

import kgan
from kgan import callbacks
from kgan.data.batches import EpochShuffledDataset

# When the run begins: the next commit may come before its end.
_status, _name = subprocess.getstatusoutput(f"git -C {shlex.quote(str(Path(__file__).parent))} rev-parse --short HEAD")
COMMIT = "unknown" if _status else _name


def at_least_one(text):
    """The type of an option that is a number of things."""
    if int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text}: must be 1 or more")
    return int(text)


def parse_options(description, presets, default_out, **extra):
    """Options of the command line over those of the preset in `presets`, `{preset: {option: value}}`; `extra` gives
    the `argparse` keywords of each option beside the common ones, by name."""
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--preset", choices=presets, default="quick")
    parser.add_argument("--data", help="a name for kgan.data.load")
    parser.add_argument("--out", type=Path, default=Path(default_out), help="folder of the run (default: %(default)s)")
    parser.add_argument("--epochs", type=at_least_one)
    parser.add_argument("--seed", type=int, default=0, help="the first seed")
    parser.add_argument("--resume", action="store_true", help="go on with the run in --out, exactly")
    for name, keywords in extra.items():
        parser.add_argument(f"--{name.replace('_', '-')}", **keywords)
    given = parser.parse_args()
    options = argparse.Namespace(**presets[given.preset])
    for name, value in vars(given).items():
        if value is not None or not hasattr(options, name):
            setattr(options, name, value)
    return options


def check_run(options):
    """Refuse to overwrite a run, and to resume one with options that it was not started with.

    Returns:
        The options as `open_run` writes them.
    """
    path = options.out / "options.json"
    now = {name: value for name, value in vars(options).items() if name not in ("out", "resume")}
    now = json.loads(json.dumps({**now, "backend": keras.backend.backend()}, sort_keys=True))
    if options.resume:
        if not path.exists():
            raise FileNotFoundError(f"{options.out} holds no run to resume: {path} is missing.")
        before = json.loads(path.read_text())
        differ = [name for name in {**before, **now} if before.get(name) != now.get(name)]
        if differ:
            listed = ", ".join(f"{name} was {before.get(name)!r}, is {now.get(name)!r}" for name in sorted(differ))
            raise ValueError(f"--resume needs the options of the first run: {listed}.")
    elif path.exists():
        raise ValueError(f"{options.out} holds a run already: give --resume to go on with it, or another --out.")
    return now


def open_run(options):
    """Make the run's folder with `options.json`. Call it when the data are at hand: what fails before can be mended
    and run again."""
    write_json(options.out / "options.json", check_run(options))
    return options.out


def set_seed(seed):
    """Random state and names of layers as in a new process: by name TensorFlow orders its sums, and before a model a
    resumed run builds less than the first one did."""
    keras.utils.clear_session(free_memory=False)
    keras.utils.set_random_seed(seed)


def as_arrays(data):
    """The whole of a data set: arrays as they are, anything else batch by batch."""
    if isinstance(data, tuple):
        return data
    batches = [tuple(np.asarray(part) for part in batch) for batch in data]
    return tuple(np.concatenate(parts) for parts in zip(*batches, strict=True))


def train(model, images, labels, folder, options, seed, extra_callbacks=(), watchdog=None, epochs=None):
    """Fit a compiled model with everything a run has: progress bar, `train.csv`, TensorBoard, checkpoints, watchdog.

    `images` and `labels` are arrays, or an `EpochShuffledDataset` and None; `epochs` takes the place of the option's.

    Returns:
        Seconds of training, those before a resume included.
    """
    checkpoint = callbacks.Checkpoint(folder / "checkpoints")
    first = checkpoint.restore(model) if options.resume else 0
    history, clock = folder / "train.csv", time.time()
    seconds_before = _cut_history(history, first)
    writer = SummaryWriter(folder / "logs", flush_secs=1)
    seconds = keras.callbacks.LambdaCallback(
        on_epoch_end=lambda epoch, logs: logs.update(seconds=round(seconds_before + time.time() - clock, 2))
    )
    if isinstance(images, EpochShuffledDataset):
        batches, batches.epoch = images, first
    else:
        batches = kgan.data.Batches(images, labels, options.batch_size, seed, initial_epoch=first)
    # So threads of Keras make the batches. With one, TensorFlow's own pipeline does, and its tuning, which looks at the
    # clock ever more rarely, may keep `fit` waiting at its end for as long as it has run, up to a minute.
    batches.workers = 2
    model.fit(
        batches,
        epochs=epochs or options.epochs,
        initial_epoch=first,
        shuffle=False,  # the order is that of `batches`, which a resumed run repeats
        verbose=1 if sys.stdout.isatty() else 2,
        callbacks=[
            watchdog or callbacks.Watchdog(),
            *(make(writer) for make in extra_callbacks),
            seconds,
            callbacks.Scalars(writer),
            keras.callbacks.CSVLogger(history, append=True),
            checkpoint,
        ],
    )
    writer.close()
    return float(list(csv.DictReader(history.open()))[-1]["seconds"])


def _cut_history(path, epochs):
    """Drop rows of epochs that will be run again; returns the seconds that the kept ones took."""
    rows = list(csv.DictReader(path.open())) if path.exists() else []
    kept = [row for row in rows if int(row["epoch"]) < epochs]
    if kept:
        text = io.StringIO()
        table = csv.DictWriter(text, kept[0].keys(), lineterminator="\n")
        table.writeheader()
        table.writerows(kept)
        write_text(path, text.getvalue())
        return float(kept[-1]["seconds"])
    path.unlink(missing_ok=True)
    return 0.0


def save_model(model, path):
    temporary = path.with_name(f"writing-{path.name}")
    model.save(temporary)
    os.replace(temporary, path)


def write_text(path, text):
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f"writing-{path.name}")
    temporary.write_text(text)
    os.replace(temporary, path)


def write_json(path, value):
    write_text(path, json.dumps(value, indent=2) + "\n")


def table(header, rows):
    """A Markdown table."""
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join("| " + " | ".join(str(cell) for cell in line) + " |" for line in lines) + "\n"


def spread(values, digits=2):
    """`mean ± standard deviation` over seeds; of one value, the value."""
    values = np.asarray(values, "float64")
    mean = f"{values.mean():.{digits}f}"
    return mean if len(values) < 2 else f"{mean} ± {values.std(ddof=1):.{digits}f}"


def provenance(options, seeds):
    """One line under each table: what it was made with."""
    return (
        f"Data `{options.data}`, preset `{options.preset}`, {options.epochs} epochs, seeds {seeds}; "
        f"{os.cpu_count()} x {platform.machine()} CPU; Keras {keras.__version__} on {keras.backend.backend()}; "
        f"kgan {kgan.__version__}, commit {COMMIT}.\n"
    )


def run(main):
    """Run a recipe. What the user can mend is said in one line, with exit status 2."""
    try:
        main()
    except (ValueError, FileNotFoundError, ImportError, FloatingPointError) as error:
        if os.environ.get("KGAN_TRACEBACK"):
            raise
        print(f"error: {' '.join(str(error).split())}", file=sys.stderr)
        sys.exit(1 if isinstance(error, FloatingPointError) else 2)
    except KeyboardInterrupt:
        print("stopped; --resume goes on after the last complete epoch", file=sys.stderr)
        sys.exit(130)
