"""Callbacks for adversarial training: TensorBoard without TensorFlow, exact resume, and a watchdog.

One `SummaryWriter` a run is shared by the callbacks that write to TensorBoard.
"""

import io
import os
import re
import time
import warnings
from pathlib import Path

import h5py
import keras
import numpy as np
from keras import ops
from PIL import Image

from kgan import losses, plots
from kgan.metrics import within_class_diversity


class SummaryWriter:
    """Writes scalars, images and histograms for TensorBoard; needs the package `tensorboard` alone.

    Args:
        folder: of the event file, made where missing.

    Example:

    ```python
    from kgan.callbacks import SummaryWriter

    writer = SummaryWriter("runs/example/logs")
    writer.scalar("loss", 0.5, step=0)
    writer.close()
    ```
    """

    def __init__(self, folder):
        from tensorboard.compat.proto import event_pb2, summary_pb2
        from tensorboard.summary.writer.event_file_writer import EventFileWriter

        self._event, self._proto = event_pb2.Event, summary_pb2
        self._writer = EventFileWriter(str(folder))

    def scalar(self, tag, value, step):
        self._write(step, tag=tag, simple_value=float(value))

    def image(self, tag, pixels, step):
        """`pixels`: uint8 `(height, width, 3)`."""
        png = io.BytesIO()
        Image.fromarray(pixels).save(png, "PNG")
        height, width, depth = pixels.shape
        encoded = self._proto.Summary.Image(
            height=height, width=width, colorspace=depth, encoded_image_string=png.getvalue()
        )
        self._write(step, tag=tag, image=encoded)

    def histogram(self, tag, values, step):
        values = np.asarray(values, "float64").reshape(-1)
        counts, edges = np.histogram(values, bins=30)
        histogram = self._proto.HistogramProto(
            min=values.min(),
            max=values.max(),
            num=len(values),
            sum=values.sum(),
            sum_squares=np.square(values).sum(),
            bucket_limit=edges[1:].tolist(),
            bucket=counts.tolist(),
        )
        self._write(step, tag=tag, histo=histogram)

    def close(self):
        self._writer.close()

    def _write(self, step, **value):
        summary = self._proto.Summary(value=[self._proto.Summary.Value(**value)])
        self._writer.add_event(self._event(step=step, wall_time=time.time(), summary=summary))
        self._writer.flush()


class Scalars(keras.callbacks.Callback):
    """Every log of an epoch as a scalar: `train/generator_loss`, `validation/generator_loss` ...

    Args:
        writer: `SummaryWriter`.
    """

    def __init__(self, writer):
        super().__init__()
        self.writer = writer

    def on_epoch_end(self, epoch, logs=None):
        for name, value in (logs or {}).items():
            group = "validation" if name.startswith("val_") else "train"
            self.writer.scalar(f"{group}/{name.removeprefix('val_')}", value, epoch)


class ImageGrid(keras.callbacks.Callback):
    """A grid of generated images each epoch, always from the same latents, so that epochs can be compared.

    Args:
        writer: `SummaryWriter`.
        sample: function of the model that returns images `(n, height, width, channels)` in [-1, 1], the same each time
            for the same weights, for example `lambda model: model.generate(labels, seed=0)`.
        columns: of the grid.
        folder: where each epoch's grid is kept as a PNG too; default: nowhere.
    """

    def __init__(self, writer, sample, columns, folder=None):
        super().__init__()
        self.writer, self.sample, self.columns = writer, sample, columns
        self.folder = folder and Path(folder)

    def on_epoch_end(self, epoch, logs=None):
        grid = plots.image_grid(self.sample(self.model), self.columns)
        self.writer.image("samples", grid, epoch)
        if self.folder:
            plots.save_image(self.folder / f"epoch-{epoch + 1:04d}.png", grid)


class LatentKL(keras.callbacks.Callback):
    """The KL divergence of each latent dimension: a histogram, and how many dimensions are in use.

    A dimension below `threshold` carries no information about the image: the encoder has given it up.

    Args:
        writer: `SummaryWriter`.
        images, labels: some real data, as for `model.encode`.
        threshold: in nats.
    """

    def __init__(self, writer, images, labels, threshold=0.01):
        super().__init__()
        self.writer, self.images, self.labels, self.threshold = writer, images, labels, threshold

    def on_epoch_end(self, epoch, logs=None):
        divergence = losses.kl_divergence(*self.model.encode(self.images, self.labels))
        per_dimension = ops.convert_to_numpy(divergence).mean(axis=0)
        self.writer.histogram("latent/kl_per_dimension", per_dimension, epoch)
        self.writer.scalar("latent/active_dimensions", np.sum(per_dimension > self.threshold), epoch)


class Watchdog(keras.callbacks.Callback):
    """Stops on a loss that is not finite, and warns of collapse, of generated samples or of a student's features, while
    there is time to stop by hand.

    Put it before callbacks that save, so that a broken state is never saved.

    Args:
        sample: function of the model that returns generated images, as in `ImageGrid`; with `labels` it is watched for
            the loss of within-class diversity, which is also logged as `diversity` (share of that of the real images).
        labels: `(n,)` classes of these images.
        real_diversity: `kgan.metrics.within_class_diversity` of real pixels.
        patience: epochs for which the discriminator may be right, or wrong, about every sample before a warning.
        every: batches between two looks at the losses.

    Raises:
        FloatingPointError: from `fit`, naming the loss and the epoch.
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
                f"Epoch {epoch + 1}: the student's features are {logs['feature_norm_ratio']:.1%} as long as the "
                "teacher's: it pleases the discriminator by shrinking them.",
                stacklevel=2,
            )
        if self.sample:
            pixels = self.sample(self.model).reshape(len(self.labels), -1)
            logs["diversity"] = within_class_diversity(pixels, self.labels) / self.real_diversity
            if logs["diversity"] < 0.05:
                warnings.warn(
                    f"Epoch {epoch + 1}: images of a class differ by {logs['diversity']:.1%} of what real ones do: "
                    "mode collapse.",
                    stacklevel=2,
                )

    def _check_finite(self, logs):
        for name, value in logs.items():
            if not np.isfinite(float(value)):
                raise FloatingPointError(f"{name} is {float(value)} in epoch {self.epoch + 1}; training is stopped.")

    def _check_discriminator(self, logs):
        accuracy = [logs[name] for name in ("real_accuracy", "fake_accuracy") if name in logs]
        pinned = bool(accuracy) and (min(accuracy) > 0.995 or max(accuracy) < 0.005)
        self.pinned = self.pinned + 1 if pinned else 0
        if self.pinned == self.patience:
            warnings.warn(
                f"Epoch {self.epoch + 1}: the discriminator's accuracy has been {min(accuracy):.3f} on real and "
                f"generated samples alike for {self.patience} epochs: it may have too easy, or too hard, a time.",
                stacklevel=2,
            )


class Checkpoint(keras.callbacks.Callback):
    """Saves after each epoch all that an exact continuation needs: weights, optimizers, seeds; the epoch is in the
    name.

    A file is written under a temporary name and renamed, so that a killed process leaves no half of one. The last two
    are kept.

    Args:
        folder: made where missing.

    Example:

    ```python
    from kgan.callbacks import Checkpoint

    checkpoint = Checkpoint("runs/example/checkpoints")
    first = checkpoint.restore(model)  # 0 where there is nothing to continue from
    model.fit(kgan.data.Batches(images, labels, initial_epoch=first), initial_epoch=first, epochs=9,
    callbacks=[checkpoint])
    ```
    """

    def __init__(self, folder):
        super().__init__()
        self.folder = Path(folder)

    def files(self):
        """Saved files, oldest first."""
        return sorted(
            p for p in self.folder.glob("epoch-*.weights.h5") if re.fullmatch(r"epoch-\d+\.weights\.h5", p.name)
        )

    def restore(self, model):
        """Load the newest file into the compiled model and return the epoch to go on with.

        Raises:
            ValueError: the file is damaged, or is not of this model.
        """
        if not self.files():
            return 0
        newest = self.files()[-1]
        if not model.optimizer.built:
            # Keras builds the optimizer of a plain model in its first step, which is too late for the stored moments.
            model.optimizer.build(model.trainable_variables)
        try:
            with h5py.File(newest) as file:
                file.visititems(lambda _, item: item[()] if isinstance(item, h5py.Dataset) else None)
            with warnings.catch_warnings():
                # Of an optimizer that does not fit Keras only warns, and goes on with a fresh one.
                warnings.filterwarnings("error", "Skipping variable loading", UserWarning)
                model.load_weights(newest)
        except (OSError, RuntimeError, KeyError, ValueError) as error:
            reason = str(error).splitlines()[0]
            raise ValueError(
                f"{newest} cannot be restored ({reason}); delete it to go on from the checkpoint before it."
            ) from error
        return int(re.search(r"\d+", newest.name)[0])

    def on_epoch_end(self, epoch, logs=None):
        self.folder.mkdir(parents=True, exist_ok=True)
        temporary = self.folder / "writing.weights.h5"
        self.model.save_weights(temporary, overwrite=True)
        os.replace(temporary, self.folder / f"epoch-{epoch + 1:04d}.weights.h5")
        for old in self.files()[:-2]:
            old.unlink()
