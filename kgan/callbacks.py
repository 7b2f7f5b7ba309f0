"""Callbacks for adversarial training: TensorBoard logs without TensorFlow, checkpoints for exact resume, a watchdog.

Callbacks that log share one `tensorboardX.SummaryWriter` per run. Open it with `flush_secs=1`: events then reach the
disk about a second after they are logged, and a killed run keeps them. The writer's `flush` is no substitute, because
it leaves behind the events that are still queued.

Example:

```python
from tensorboardX import SummaryWriter

from kgan.callbacks import ImageGrid, Scalars

writer = SummaryWriter("runs/example/logs", flush_secs=1)
grid = ImageGrid(writer, lambda model: model.generate(labels[:10], seed=0), columns=5)
model.fit(images, labels, callbacks=[grid, Scalars(writer)])
writer.close()
```
"""

import json
import math
import os
import re
import warnings
from pathlib import Path

import h5py
import keras
import numpy as np
from keras import ops

from kgan import losses, plots
from kgan.metrics import within_class_diversity
from kgan.runtime.files import write_whole
from kgan.training import is_first_process, undistributed


class Scalars(keras.callbacks.Callback):
    """Logs each metric of an epoch as a scalar, such as `train/generator_loss` or `validation/generator_loss`.

    Args:
        writer: a `tensorboardX.SummaryWriter`.
    """

    def __init__(self, writer):
        super().__init__()
        self.writer = writer

    def on_epoch_end(self, epoch, logs=None):
        for name, value in (logs or {}).items():
            group = "validation" if name.startswith("val_") else "train"
            self.writer.add_scalar(f"{group}/{name.removeprefix('val_')}", value, epoch)


class ImageGrid(keras.callbacks.Callback):
    """Logs a grid of generated images after each epoch, under the tag `samples`.

    Args:
        writer: a `tensorboardX.SummaryWriter`.
        sample: function of the model that returns images `(n, height, width, channels)` in [-1, 1]. Give it fixed
            latents, so that epochs can be compared: `lambda model: model.generate(labels, seed=0)`.
        columns: number of images in a row.
        folder: folder for PNG files of the grids, `epoch-0001.png` and so on; None writes no files.
    """

    def __init__(self, writer, sample, columns, folder=None):
        super().__init__()
        self.writer, self.sample, self.columns = writer, sample, columns
        self.folder = folder and Path(folder)

    def on_epoch_end(self, epoch, logs=None):
        grid = plots.image_grid(self.sample(self.model), self.columns)
        self.writer.add_image("samples", grid, epoch, dataformats="HWC")
        if self.folder:
            plots.save_image(self.folder / f"epoch-{epoch + 1:04d}.png", grid)


class LatentKL(keras.callbacks.Callback):
    """Logs the KL divergence of the latent dimensions: a histogram, and the number of dimensions in use.

    A dimension whose divergence stays below `threshold` carries no information about the image.

    Args:
        writer: a `tensorboardX.SummaryWriter`.
        images, labels: real data to pass to `model.encode`.
        threshold: divergence in nats above which a dimension counts as in use.
    """

    def __init__(self, writer, images, labels, threshold=0.01):
        super().__init__()
        self.writer, self.images, self.labels, self.threshold = writer, images, labels, threshold

    def on_epoch_end(self, epoch, logs=None):
        divergence = losses.kl_divergence(*self.model.encode(self.images, self.labels))
        per_dimension = ops.convert_to_numpy(divergence).mean(axis=0)
        self.writer.add_histogram("latent/kl_per_dimension", per_dimension, epoch)
        self.writer.add_scalar("latent/active_dimensions", np.sum(per_dimension > self.threshold), epoch)


class KeepBest(keras.callbacks.Callback):
    """Measures a model as it trains, and gives it its best weights at the end.

    A GAN does not get better with every epoch, and its losses do not say when it is best. Each epoch logs the last
    measurement under `name`. Unlike Keras' `EarlyStopping`, it keeps the best weights on disk, for a resumed run.

    Args:
        measure: function of the model that returns a number, lower for a better model.
        path: a `.weights.h5` file for the best weights. Beside it lies a JSON file with their measurement and epoch, so
            that a resumed run knows them.
        name: of the measurement in the logs.
        every: epochs from one measurement to the next; the first epoch is measured, too.
    """

    def __init__(self, measure, path, name, every=1):
        super().__init__()
        self.measure, self.path, self.name, self.every = measure, Path(path), name, every
        self.card = self.path.with_suffix(".json")

    def on_epoch_end(self, epoch, logs=None):
        # In the first epoch, what there is comes from another run.
        known = json.loads(self.card.read_text()) if epoch and self.card.exists() else {"best": math.inf}
        if "last" not in known or (epoch + 1) % self.every == 0:
            known["last"] = float(self.measure(self.model))
            if known["last"] < known["best"]:
                known |= {"best": known["last"], "epoch": epoch + 1}
                _save_weights(self.model, self.path)
            write_whole(self.card, json.dumps(known).encode())
        logs[self.name] = known["last"]

    def on_train_end(self, logs=None):
        self.model.load_weights(self.path)


class Watchdog(keras.callbacks.Callback):
    """Stops training when a loss is not finite, and warns of mode collapse, shrinking features and a discriminator
    that always wins or always loses.

    Put it before the callbacks that save, so that broken weights are never saved.

    Args:
        sample: function of the model that returns generated images, as for `ImageGrid`; None skips the check for mode
            collapse. The check logs `diversity`: the within-class diversity of these images divided by
            `real_diversity`. Below 0.05 it warns.
        labels: `(n,)` classes of the images that `sample` returns.
        real_diversity: `kgan.metrics.within_class_diversity` of real images, flattened to `(n, pixels)`.
        patience: consecutive epochs in which the discriminator may classify all samples correctly, or all of them
            wrongly, before a warning.
        every: batches from one check of the losses to the next.

    Raises:
        FloatingPointError: from `fit`, with the name of the loss and the epoch.
    """

    def __init__(self, sample=None, labels=None, real_diversity=None, patience=5, every=50):
        super().__init__()
        self.sample, self.labels, self.real_diversity = sample, labels, real_diversity
        self.patience, self.every = patience, every
        self.epoch = self.pinned = 0

    def on_epoch_begin(self, epoch, logs=None):
        self.epoch = epoch

    def on_train_batch_end(self, batch, logs=None):
        if batch % self.every == 0:  # reading a value waits for the step that computes it
            self._check_finite(logs or {})

    def on_epoch_end(self, epoch, logs=None):
        logs = {} if logs is None else logs
        self._check_finite(logs)
        self._check_discriminator(logs)
        if logs.get("feature_norm_ratio", 1) < 0.1:
            warnings.warn(
                f"Epoch {epoch + 1}: the norm of the student's features is {logs['feature_norm_ratio']:.1%} of the "
                "teacher's: the student deceives the discriminator by shrinking its features.",
                stacklevel=2,
            )
        if self.sample:
            pixels = self.sample(self.model).reshape(len(self.labels), -1)
            logs["diversity"] = within_class_diversity(pixels, self.labels) / self.real_diversity
            if logs["diversity"] < 0.05:
                warnings.warn(
                    f"Epoch {epoch + 1}: mode collapse; the within-class diversity of generated images is "
                    f"{logs['diversity']:.1%} of that of real images.",
                    stacklevel=2,
                )

    def _check_finite(self, logs):
        for name, value in logs.items():
            if not np.isfinite(float(value)):
                raise FloatingPointError(f"{name} is {float(value)} in epoch {self.epoch + 1}; training stopped.")

    def _check_discriminator(self, logs):
        accuracy = [logs[name] for name in ("real_accuracy", "fake_accuracy") if name in logs]
        pinned = bool(accuracy) and (min(accuracy) > 0.995 or max(accuracy) < 0.005)
        self.pinned = self.pinned + 1 if pinned else 0
        if self.pinned == self.patience:
            warnings.warn(
                f"Epoch {self.epoch + 1}: the discriminator's accuracy on real and generated samples has been near 0 "
                f"or 1 for {self.patience} epochs (now {min(accuracy):.3f}): it is far weaker or far stronger than the "
                "generator.",
                stacklevel=2,
            )


class Checkpoint(keras.callbacks.Callback):
    """Saves weights, optimizer state and random seeds after each epoch, so that training can resume exactly.

    Files are named after the epoch, as in `epoch-0001.weights.h5`; the last two are kept. Each is written under a
    temporary name and then renamed, so that a killed process leaves no partial file. Of several processes, the first
    saves, and all restore. The number of devices may change in between.

    Args:
        folder: folder for the files, the same for all processes; created if missing.

    Example:

    ```python
    from kgan.callbacks import Checkpoint

    checkpoint = Checkpoint("runs/example/checkpoints")
    first = checkpoint.restore(model)  # 0 if there is no file yet
    batches = kgan.data.Batches(images, labels, initial_epoch=first)
    model.fit(batches, initial_epoch=first, epochs=9, callbacks=[checkpoint])
    ```
    """

    def __init__(self, folder):
        super().__init__()
        self.folder = Path(folder)

    def files(self):
        """Returns the paths of the saved files, oldest first."""
        return sorted(
            p for p in self.folder.glob("epoch-*.weights.h5") if re.fullmatch(r"epoch-\d+\.weights\.h5", p.name)
        )

    def restore(self, model):
        """Loads the newest file into a compiled model.

        Args:
            model: compiled like the model that was saved.

        Returns:
            The `initial_epoch` to pass to `fit`; 0 if there is no file.

        Raises:
            ValueError: the newest file is damaged, or belongs to another model or optimizer.
        """
        if not self.files():
            return 0
        newest = self.files()[-1]
        if not model.optimizer.built:
            # Keras builds the optimizer of a plain model in the first step; the saved moments need it now.
            model.optimizer.build(model.trainable_variables)
        try:
            with h5py.File(newest) as file:
                file.visititems(lambda _, item: item[()] if isinstance(item, h5py.Dataset) else None)
            with warnings.catch_warnings():
                # If the saved optimizer does not fit, Keras only warns and continues with a fresh one.
                warnings.filterwarnings("error", "Skipping variable loading", UserWarning)
                model.load_weights(newest)
        except (OSError, RuntimeError, KeyError, ValueError) as error:
            reason = str(error).splitlines()[0]
            raise ValueError(
                f"{newest} cannot be restored ({reason}); delete it to resume from the previous checkpoint."
            ) from error
        return int(re.search(r"\d+", newest.name)[0])

    def on_epoch_end(self, epoch, logs=None):
        if not is_first_process():
            return
        _save_weights(self.model, self.folder / f"epoch-{epoch + 1:04d}.weights.h5")
        for old in self.files()[:-2]:
            old.unlink()


def _save_weights(model, path):
    """Writes weights under a temporary name and renames the file, so that no partial file appears at `path`."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name("writing.weights.h5")
    with undistributed():  # under a distribution, other processes would have to save as well
        model.save_weights(temporary, overwrite=True)
    os.replace(temporary, path)
