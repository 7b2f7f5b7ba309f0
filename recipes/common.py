"""What all recipes share: options, the run's folder, training with exact resume, the report."""

import argparse
import atexit
import csv
import json
import logging
import os
import platform
import re
import shlex
import shutil
import subprocess
import sys
import tempfile
import time
from operator import itemgetter
from pathlib import Path

from tensorboardX import SummaryWriter  # isort: skip; imports PyTorch where it is, which must not come after TensorFlow

import devices
import keras
import numpy as np
import rehearsal

import kgan
from kgan import callbacks

keras.config.set_image_data_format("channels_last")  # as all images of kgan, whatever keras.json says

# A run predicts with several networks, each traced once. TensorFlow takes them for one that is traced again and again.
logging.getLogger("tensorflow").addFilter(lambda record: "triggered tf.function retracing" not in record.getMessage())

# Read when the run begins: by its end, the repository may be at another commit.
_status, _name = subprocess.getstatusoutput(f"git -C {shlex.quote(str(Path(__file__).parent))} rev-parse --short HEAD")
COMMIT = "unknown" if _status else _name


# === Options and the run's folder ===


def at_least_one(text):
    """The type of an option that counts something."""
    if int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text}: must be 1 or more")
    return int(text)


def at_least_two(text):
    """The type of `--steps`: the first step compiles, the others are timed."""
    if int(text) < 2:
        raise argparse.ArgumentTypeError(f"{text}: must be 2 or more")
    return int(text)


NOT_COMPARED = ("out", "resume", "steps", "devices")  # may change from a run to its resumption

# Options of several recipes; a recipe has those that are in its presets.
OPTIONS = {
    "count": {"type": at_least_one, "help": "number of training images (of each domain)"},
    "test_count": {"type": at_least_one, "help": "number of test images (of each domain)"},
    "seeds": {"type": at_least_one, "help": "train each model this many times"},
    "width": {"type": float, "help": "scales the channels of the networks"},
    "steps_per_epoch": {"type": at_least_one, "help": "batches in an epoch"},
    "evaluator_steps": {"type": at_least_one, "help": "training steps of the classifiers that measure"},
}


def parse_options(description, presets, **extra):
    """The options of a run: those of its preset, replaced by those of the command line.

    Args:
        description: the recipe's docstring.
        presets: quick, small and paper, each `{option: value}`.
        extra: the `argparse` keywords of the options of this recipe alone.
    """
    presets = dict(zip(("quick", "small", "paper"), presets, strict=True))
    default_out = Path("runs") / Path(sys.argv[0]).stem
    plain = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(description=description, formatter_class=plain, allow_abbrev=False)
    parser.add_argument("--preset", choices=presets, default="quick")
    parser.add_argument("--data", help="a name for kgan.data.load")
    parser.add_argument("--out", type=Path, default=default_out, help="folder of the run (default: %(default)s)")
    parser.add_argument("--epochs", type=at_least_one)
    parser.add_argument("--seed", type=int, default=0, help="the first seed")
    parser.add_argument("--resume", action="store_true", help="continue the run in --out exactly")
    steps = "rehearse: take this many steps of the first training, print what it costs, and stop; --out is left alone"
    parser.add_argument("--steps", type=at_least_two, metavar="N", help=steps)
    parser.add_argument("--devices", type=at_least_one, default=1, help="devices that share each batch")
    shared = {name: keywords for name, keywords in OPTIONS.items() if name in presets["quick"]}
    for name, keywords in {**shared, **extra}.items():
        parser.add_argument(f"--{name.replace('_', '-')}", **keywords)
    given = parser.parse_args()
    options = argparse.Namespace(**presets[given.preset])
    for name, value in vars(given).items():
        if value is not None or not hasattr(options, name):
            setattr(options, name, value)
    devices.check(options)
    if options.steps and options.resume:
        raise ValueError("--steps rehearses a new run: leave out --resume.")
    if options.steps:
        options.out = Path(tempfile.mkdtemp(prefix="rehearsal-"))
        atexit.register(shutil.rmtree, options.out, ignore_errors=True)
        for name in ("evaluator_steps", "light_epochs"):  # of networks that are trained before
            if hasattr(options, name):
                setattr(options, name, 1)
    return options


def seeds_of(options):
    return list(range(options.seed, options.seed + getattr(options, "seeds", 1)))


def check_run(options, free=()):
    """Refuse to overwrite a run, or to resume it with other options than it was started with.

    Args:
        free: names of options that may change, because they do not change what has been trained.

    Returns:
        The options as `open_run` writes them.
    """
    path = options.out / "options.json"
    now = {name: value for name, value in vars(options).items() if name not in NOT_COMPARED}
    now = json.loads(json.dumps({**now, "backend": keras.backend.backend()}, sort_keys=True))
    if options.resume:
        if not path.exists():
            raise FileNotFoundError(f"{options.out} holds no run to resume: {path} is missing.")
        before = json.loads(path.read_text())
        # An option that the recipe did not have when the run began changes nothing where it is off.
        known = {**before, **{name: value for name, value in now.items() if name in before or value}}
        differ = [name for name in known if before.get(name) != now.get(name) and name not in free]
        if differ:
            listed = ", ".join(f"{name} was {before.get(name)!r}, is {now.get(name)!r}" for name in sorted(differ))
            raise ValueError(f"--resume needs the options of the first run: {listed}.")
    elif path.exists():
        raise ValueError(f"{options.out} already holds a run: pass --resume to continue it, or another --out.")
    return now


def open_run(options, free=()):
    """Make the run's folder with `options.json`, and return it.

    Call it once the data are loaded: an error before that leaves no folder behind, and the command can be repeated.
    """
    write(options.out / "options.json", check_run(options, free))
    return options.out


def as_arrays(data, convert=np.asarray):
    """A whole data set as arrays, whatever `kgan.data.load` returned.

    Args:
        convert: function of images, applied to a batch at a time where not all fit into memory as they are.
    """
    if isinstance(data, tuple):
        return convert(data[0]), data[1]
    batches = [(convert(images), np.asarray(labels)) for images, labels in data]
    return tuple(np.concatenate(parts) for parts in zip(*batches, strict=True))


# === Training ===


def keep(path, make, options):
    """Make a model (`.keras`) or numbers (`.json`) and write them to `path`; a resumed run that has them reads them.

    The recipe must have imported the model's class: the names of `kgan` are imported on first use.
    """
    if options.resume and path.exists():
        return keras.saving.load_model(path) if path.suffix == ".keras" else json.loads(path.read_text())
    made = make()
    devices.close()  # what measures a model is on one
    write(path, made)
    return made


def train_and_measure(folder, train, measure, options):
    """A model and its numbers with the seconds of its training, `model.keras` and `result.json` of the folder.

    Args:
        train: function without arguments that returns the trained model.
        measure: function of the model that returns its numbers.
    """
    model = keep(folder / "model.keras", train, options)

    def numbers():
        return {**measure(model), "seconds": round(training_seconds(folder), 1)}

    return model, keep(folder / "result.json", numbers, options)


def save_preset(folder, model, class_names, numbers, options):
    """Write the trained model as a preset, `preset` in its folder; the card says what it learned from, and its figures.

    The card names the kinds of data, not the places where they lie on this machine. A resumed run leaves a preset that
    is there as it is. A model that presets have no room for has none.
    """
    if options.resume and (folder / "preset").exists():
        return
    words = [re.sub(r"(?<=\w:).*", "PATH", text) for text in sys.argv[1:]]
    pairs = zip(["", *words], words, strict=False)
    left_out = ("--out", "--resume")
    given = [text for before, text in pairs if before != "--out" and text.partition("=")[0] not in left_out]
    sources = [getattr(options, name, "").partition(":")[0] for name in ("data", "target")]
    command = shlex.join(["python", f"recipes/{Path(sys.argv[0]).name}", *given])
    card = {
        "data": " and ".join(filter(None, sources)),
        "command": command,
        "figures": numbers,
        "made with": f"kgan {kgan.__version__}, commit {COMMIT}",
    }
    try:
        model.save_to_preset(folder / "preset", class_names, card)
    except ValueError as error:
        print(f"{folder} gets no preset: {error}", file=sys.stderr)


def set_seed(seed, count=1):
    """Set the random state and the layer names of a new process, and the devices of the model that is built next.

    The names matter because TensorFlow sums in their order, and a resumed run has built fewer models before this one.
    """
    devices.close()
    keras.utils.clear_session(free_memory=False)
    keras.utils.set_random_seed(seed)
    devices.use(count)  # at last: a cleared session has no distribution


def decaying_adam(learning_rate, steps):
    """Adam with a learning rate that falls to 0 along a cosine."""
    return keras.optimizers.Adam(keras.optimizers.schedules.CosineDecay(learning_rate, steps))


def adams(rates, steps=None, averages=None):
    """Adam with CVAE-GAN's default beta_1 of 0.5 for each player.

    Args:
        rates: `{player: learning rate}`.
        steps: of the training, for learning rates that fall to 0 along a cosine.
        averages: `{player: momentum}`, for weights that end as moving averages.
    """
    if steps:
        rates = {player: keras.optimizers.schedules.CosineDecay(rate, steps) for player, rate in rates.items()}
    averaging = {player: {"use_ema": True, "ema_momentum": momentum} for player, momentum in (averages or {}).items()}
    return {
        player: keras.optimizers.Adam(rate, beta_1=0.5, **averaging.get(player, {})) for player, rate in rates.items()
    }


def decaying_optimizers(model, learning_rate, steps, factors=None):
    """`decaying_adam` for each player of an adversarial model.

    Args:
        steps: of the training; a player that several phases update makes more updates than that.
        factors: `{player: factor}` of the learning rate; 1 where a player is missing.
    """
    optimizers = {}
    for player in model.players:
        updates = steps * sum(player in phase.players for phase in model.phases())
        # The supervised CDAAE has a player that no phase updates.
        optimizers[player] = decaying_adam(learning_rate * (factors or {}).get(player, 1), max(updates, 1))
    return optimizers


def train(model, batches, folder, options, extra=(), watchdog=None, epochs=None):
    """Fit a compiled model, from its last checkpoint where the run is resumed.

    Writes `train.csv`, `logs/` for TensorBoard and `checkpoints/` to the folder.

    Args:
        batches: `kgan.data.batches.EpochShuffledDataset`.
        extra: functions of the run's `SummaryWriter` that return more callbacks.
        watchdog: `kgan.callbacks.Watchdog`; default: one that looks at the losses alone.
        epochs: default: those of the options.
    """
    epochs = epochs or options.epochs
    checkpoint = callbacks.Checkpoint(folder / "checkpoints")
    first = batches.epoch = checkpoint.restore(model) if options.resume else 0
    # With several workers, threads of Keras make the batches. With one, TensorFlow's own pipeline does, and its tuning,
    # which looks at the clock ever more rarely, may keep `fit` waiting at its end for as long as it has run.
    batches.workers = 2
    if options.devices > 1:
        batches = kgan.data.SharedBatches(batches, options.devices)
    if options.steps:
        rehearsal.rehearse(model, batches, options.steps, epochs, options.out)
    history, clock = folder / "train.csv", time.time()
    rows = history.read_text().splitlines(keepends=True) if history.exists() else []
    write(history, "".join(rows[: first + 1] if first else []))  # later epochs will be run again
    before = seconds_of(history)
    writer = SummaryWriter(str(folder / "logs"), flush_secs=1)  # a killed run leaves what it logged
    seconds = keras.callbacks.LambdaCallback(
        on_epoch_end=lambda epoch, logs: logs.update(seconds=round(before + time.time() - clock, 2))
    )
    model.fit(
        batches,
        epochs=epochs,
        initial_epoch=first,
        shuffle=False,  # the order is that of `batches`, which a resumed run repeats
        verbose=1 if sys.stdout.isatty() else 2,
        callbacks=[
            watchdog or callbacks.Watchdog(),
            *(make(writer) for make in extra),
            seconds,
            callbacks.Scalars(writer),
            keras.callbacks.CSVLogger(history, append=True),
            checkpoint,
            Progress(),
        ],
    )
    writer.close()


def seconds_of(history):
    """Seconds of training until the last epoch in a `train.csv`, those before a resume included."""
    rows = list(csv.DictReader(history.open()))
    return float(rows[-1]["seconds"]) if rows else 0.0


def training_seconds(folder):
    """Seconds of training of a model, its stages taken together."""
    return sum(map(seconds_of, folder.rglob("train.csv")))


class Progress(keras.callbacks.ProgbarLogger):
    """Keras' progress bar with three losses at most, in 79 columns; one line an epoch where the output is no terminal.

    `train.csv` and TensorBoard have all logs.
    """

    def on_epoch_begin(self, epoch, logs=None):
        if self.verbose == 1:
            super().on_epoch_begin(epoch, logs)
            # The bar takes what the rest of the line leaves of 79 columns.
            losses = "".join(f" - {name}: -0.123" for name in self._losses().values())
            rest = f"{self.target}/{self.target} " + " 23:59:59 999ms/step" + losses
            self.progbar.width = min(20, max(0, 79 - len(rest)))

    def on_train_batch_end(self, batch, logs=None):
        if self.verbose == 1:
            super().on_train_batch_end(batch, self._shown(logs))

    def on_epoch_end(self, epoch, logs=None):
        if self.verbose == 1:
            super().on_epoch_end(epoch, self._shown(logs))
        else:
            losses = "".join(f" - {name}: {value}" for name, value in self._shown(logs).items())
            print(f"Epoch {epoch + 1}/{self.epochs} - {logs['seconds']:.0f}s{losses}", flush=True)

    def _losses(self):
        """Names of logs and what the bar calls them: the first three players' losses, or a plain model's."""
        players = list(getattr(self.model, "players", {}))[:3]
        short = {f"{player}_loss": "_".join(word[:4] for word in player.split("_")) for player in players}
        return short or {"loss": "loss"}

    def _shown(self, logs):
        return {short: _ShortFloat(logs[name]) for name, short in self._losses().items() if name in logs}


class _ShortFloat(float):
    """A number that formats in six characters, whatever format Keras' bar asks for."""

    def __truediv__(self, count):  # the bar takes the mean of a sum over one value
        return _ShortFloat(float(self) / count)

    def __format__(self, _):
        texts = [format(float(self), spec) for spec in (".3f", ".1f", ".0f", ".0e")]
        return next((text for text in texts if len(text) <= 6), texts[-1])


# === Results ===


def write(path, content):
    """Write a model (`.keras`), JSON (`.json`) or text to a file that is never left half written."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f"writing-{path.name}")
    if path.suffix == ".keras":
        content.save(temporary)
    else:
        temporary.write_text(json.dumps(content, indent=2) + "\n" if path.suffix == ".json" else content)
    os.replace(temporary, path)


def table(columns):
    """A Markdown table of `{header: cells}`."""
    lines = [columns, ["---"] * len(columns), *zip(*columns.values(), strict=True)]
    return "\n".join("| " + " | ".join(str(cell) for cell in line) + " |" for line in lines) + "\n"


def spread(values, digits=2):
    """`mean ± standard deviation` over seeds; the value itself where there is one."""
    values = np.asarray(values, "float64")
    mean = f"{values.mean():.{digits}f}"
    return mean if len(values) < 2 else f"{mean} ± {values.std(ddof=1):.{digits}f}"


def spreads(results, number, digits=2):
    """The `spread` over seeds of each row of a table.

    Args:
        results: `{row: {seed: numbers}}`.
        number: function of the numbers of a seed, or a key of them.
    """
    number = number if callable(number) else itemgetter(number)
    return [spread([number(numbers) for numbers in by_seed.values()], digits) for by_seed in results.values()]


def provenance(options):
    """The line under each table that says how it was made."""
    accelerator = "" if "cpu" in str(keras.ops.zeros(()).device).lower() else " and an accelerator"
    return (
        f"Data `{options.data}`, preset `{options.preset}`, {options.epochs} epochs, seeds {seeds_of(options)}; "
        f"{os.cpu_count()} x {platform.machine()} CPU{accelerator}; "
        f"Keras {keras.__version__} on {keras.backend.backend()}; "
        f"kgan {kgan.__version__}, commit {COMMIT}.\n"
    )


def finish(out, report, pictures=None):
    """Write the report to `results.md` and print it, then where the pictures are and how to see the curves."""
    write(out / "results.md", report)
    print(report)
    if pictures:
        print(f"Pictures: {pictures}")
    print(f"TensorBoard: tensorboard --logdir {out}")


def run(main):
    """Run a recipe. An error that the user can mend is one line, with exit status 2."""
    try:
        main()
    except rehearsal.Rehearsed as rehearsed:
        shutil.rmtree(rehearsed.args[0])
    except (ValueError, OSError, ImportError, FloatingPointError) as error:
        if os.environ.get("KGAN_TRACEBACK"):
            raise
        print(f"error: {' '.join(str(error).split())}", file=sys.stderr)
        sys.exit(1 if isinstance(error, FloatingPointError) else 2)
    except KeyboardInterrupt:
        print("stopped; --resume continues after the last complete epoch", file=sys.stderr)
        sys.exit(130)
