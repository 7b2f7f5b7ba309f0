"""The callbacks on a model of a few weights; event files are read back with TensorBoard's own loader."""

import io
import json
import subprocess
import sys
import time
import warnings
from functools import partial
from pathlib import Path
from types import SimpleNamespace

import keras
import numpy as np
import pytest
from model_contract import noise, values
from PIL import Image
from tensorboardX import SummaryWriter

from kgan import plots
from kgan.adversarial import AdversarialModel, Phase
from kgan.callbacks import Checkpoint, ImageGrid, KeepBest, LatentKL, Scalars, Watchdog


class Line(AdversarialModel):
    """One player, which moves images by a learned amount towards the data."""

    players = {"generator": ("generator",)}

    def __init__(self, hidden=2):
        super().__init__()
        layers = [keras.layers.Dense(hidden), keras.layers.Dense(1)]
        self.generator = keras.Sequential([keras.Input((4, 4, 1)), *layers])

    def phases(self):
        return [Phase(self.follow, ("generator",))]

    def follow(self, x, training):
        drawn = keras.random.normal((), seed=self.seed_generator)
        return {"generator": keras.ops.mean(keras.ops.square(self.generator(x, training=training) - 0.1 * drawn))}


def new_model(seed=1):
    keras.utils.set_random_seed(seed)
    model = Line()
    model.compile(jit_compile=False)
    return model


IMAGES = noise((6, 4, 4, 1), salt=9)
LABELS = np.array([0, 0, 0, 1, 1, 1])


def fit(model, epochs, *callbacks, images=IMAGES, **options):
    return model.fit(
        images, batch_size=3, epochs=epochs, shuffle=False, verbose=0, callbacks=list(callbacks), **options
    )


def sample(model):
    return np.tanh(model.generator.predict(IMAGES, verbose=0))


def events(folder):
    """`{(tag, step): value}` of the event file in a folder, as far as it is written."""
    from tensorboard.backend.event_processing.event_file_loader import LegacyEventFileLoader

    (file,) = Path(folder).glob("events.out.tfevents.*")
    loaded = list(LegacyEventFileLoader(str(file)).Load())
    return {(value.tag, event.step): value for event in loaded for value in event.summary.value}


# === TensorBoard ===


def test_writer_reads_back(tmp_path):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    pixels = np.random.default_rng(0).integers(0, 256, (5, 7, 3), "uint8")
    numbers = np.random.default_rng(1).normal(2, 3, (40, 5))
    with SummaryWriter(tmp_path) as writer:
        writer.add_scalar("loss", 0.25, 3)
        writer.add_scalar("loss", np.float32(0.5), 4)
        writer.add_image("picture", pixels, 1, dataformats="HWC")
        writer.add_histogram("numbers", numbers, 2)

    read = events(tmp_path)
    assert set(read) == {("loss", 3), ("loss", 4), ("picture", 1), ("numbers", 2)}
    assert (read["loss", 3].simple_value, read["loss", 4].simple_value) == (0.25, 0.5)
    image = read["picture", 1].image
    assert (image.height, image.width, image.colorspace) == (5, 7, 3)
    np.testing.assert_array_equal(np.asarray(Image.open(io.BytesIO(image.encoded_image_string))), pixels)
    histogram = read["numbers", 2].histo
    assert histogram.num == sum(histogram.bucket) == 200
    np.testing.assert_allclose([histogram.sum, histogram.sum_squares], [numbers.sum(), (numbers**2).sum()], rtol=1e-12)
    assert (histogram.min, histogram.max) == (numbers.min(), numbers.max())
    below = np.cumsum(histogram.bucket)
    assert len(below) > 30
    for limit, count in zip(histogram.bucket_limit[:-1], below[:-1], strict=True):
        assert count == np.sum(numbers < limit)

    accumulated = EventAccumulator(str(tmp_path)).Reload()
    tags = accumulated.Tags()
    assert (tags["scalars"], tags["images"], tags["histograms"]) == (["loss"], ["picture"], ["numbers"])
    assert [(event.step, event.value) for event in accumulated.Scalars("loss")] == [(3, 0.25), (4, 0.5)]


KILLED = """
import sys, time
from pathlib import Path
import numpy as np
from tensorboardX import SummaryWriter
from kgan.callbacks import ImageGrid, Scalars

writer = SummaryWriter(sys.argv[1], flush_secs=1)
callbacks = [ImageGrid(writer, lambda model: np.zeros((4, 8, 8, 1)), columns=2), Scalars(writer)]
for epoch in range(3):
    for callback in callbacks:
        callback.on_epoch_end(epoch, {"loss": epoch, "val_loss": -epoch})
    time.sleep(0.1)
print("logged", flush=True)
time.sleep(600)
"""


def test_a_killed_run_leaves_what_it_logged(tmp_path):
    """All events reach the disk while the run goes on; with tensorboardX's default of 120 s most would not."""
    expected = {(tag, step) for tag in ("samples", "train/loss", "validation/loss") for step in range(3)}
    with subprocess.Popen([sys.executable, "-c", KILLED, str(tmp_path)], stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout.readline() == "logged\n"
            deadline = time.monotonic() + 20
            while set(events(tmp_path)) != expected and time.monotonic() < deadline:
                time.sleep(0.2)
        finally:
            process.kill()
    assert set(events(tmp_path)) == expected


def test_scalars_are_the_logs(tmp_path):
    writer = SummaryWriter(tmp_path)
    history = fit(new_model(), 2, Scalars(writer), validation_data=(IMAGES[:2],)).history
    writer.close()
    read = events(tmp_path)
    names = ("loss", "generator_loss")
    assert set(read) == {(f"{group}/{name}", i) for group in ("train", "validation") for name in names for i in (0, 1)}
    for epoch in (0, 1):
        for group, name in (("train", "generator_loss"), ("validation", "val_generator_loss")):
            value = read[f"{group}/generator_loss", epoch].simple_value
            assert value == pytest.approx(history[name][epoch], rel=1e-6)


def test_image_grid(tmp_path):
    model = new_model()
    writer = SummaryWriter(tmp_path / "logs")
    callback = ImageGrid(writer, sample, columns=3, folder=tmp_path / "pictures")
    fit(model, 1, callback)
    writer.close()
    written = (tmp_path / "pictures" / "epoch-0001.png").read_bytes()
    np.testing.assert_array_equal(np.asarray(Image.open(io.BytesIO(written))), plots.image_grid(sample(model), 3))
    event = events(tmp_path / "logs")["samples", 0].image
    assert Image.open(io.BytesIO(event.encoded_image_string)).tobytes() == Image.open(io.BytesIO(written)).tobytes()

    callback.on_epoch_end(1)  # the same weights
    assert (tmp_path / "pictures" / "epoch-0002.png").read_bytes() == written
    fit(model, 3, callback, initial_epoch=2)
    assert (tmp_path / "pictures" / "epoch-0003.png").read_bytes() != written


def test_latent_kl(tmp_path):
    mean = np.array([[0.0, 1.0, 0.1], [0.0, -2.0, 0.1]])
    log_variance = np.array([[0.0, -1.0, 0.0], [0.0, 0.5, 0.0]])
    expected = np.mean(0.5 * (mean**2 + np.exp(log_variance) - 1 - log_variance), axis=0)  # 0, 1.4..., 0.005
    with SummaryWriter(tmp_path) as writer:
        callback = LatentKL(writer, IMAGES[:2], LABELS[:2])
        callback.set_model(SimpleNamespace(encode=lambda images, labels: (mean, log_variance)))
        callback.on_epoch_end(4)
    read = events(tmp_path)
    histogram = read["latent/kl_per_dimension", 4].histo
    np.testing.assert_allclose([histogram.sum, histogram.max], [expected.sum(), expected.max()], rtol=1e-5)
    np.testing.assert_allclose(histogram.sum_squares, np.sum(expected**2), rtol=1e-5)
    assert histogram.num == 3
    assert read["latent/active_dimensions", 4].simple_value == 1


# === The best weights ===


def distance(model):
    """Of four epochs of two steps, the second is the best."""
    return [3.0, 1.0, 2.0, 1.5][int(keras.ops.convert_to_numpy(model.optimizer.iterations)) // 2 - 1]


def kept(folder):
    return json.loads((folder / "best.weights.json").read_text())


def test_the_best_weights_are_kept(tmp_path):
    seen, model = [], new_model()
    look = keras.callbacks.LambdaCallback(on_epoch_end=lambda epoch, logs: seen.append((values(model.weights), logs)))
    keep = KeepBest(distance, tmp_path / "best.weights.h5", "distance")
    fit(model, 3, keep, look)
    assert [logs["distance"] for _, logs in seen] == [3.0, 1.0, 2.0]
    for found, expected in zip(values(model.weights), seen[1][0], strict=True):
        np.testing.assert_array_equal(found, expected)
    assert kept(tmp_path) == {"best": 1.0, "last": 2.0, "epoch": 2}
    fit(new_model(), 1, keep)  # does not take what the other run left
    assert kept(tmp_path) == {"best": 3.0, "last": 3.0, "epoch": 1}


def test_a_resumed_run_knows_the_best_before(tmp_path):
    keep = partial(KeepBest, distance, tmp_path / "best.weights.h5", "distance", every=2)
    model, logged, checkpoint = new_model(), [], Checkpoint(tmp_path)
    look = keras.callbacks.LambdaCallback(on_epoch_end=lambda epoch, logs: logged.append(logs["distance"]))
    fit(model, 3, keep(), look, checkpoint)
    best, model = values(model.weights), new_model(2)
    fit(model, 4, keep(), look, initial_epoch=checkpoint.restore(model))
    assert logged == [3.0, 1.0, 1.0, 1.5]  # the third epoch is not measured
    for found, expected in zip(values(model.weights), best, strict=True):
        np.testing.assert_array_equal(found, expected)


def test_it_can_join_a_run_that_began_without_it(tmp_path):
    model = new_model()
    fit(model, 2)
    fit(model, 3, KeepBest(distance, tmp_path / "best.weights.h5", "distance", every=5), initial_epoch=2)
    assert kept(tmp_path) == {"best": 2.0, "last": 2.0, "epoch": 3}


# === Watchdog ===


class Break(keras.callbacks.Callback):
    """Makes the weights infinite before an epoch."""

    def on_epoch_begin(self, epoch, logs=None):
        if epoch == 1:
            self.model.generator.set_weights([np.full(w.shape, np.nan) for w in self.model.generator.get_weights()])


def test_loss_that_is_not_finite_stops_before_it_is_saved(tmp_path):
    checkpoint = Checkpoint(tmp_path)
    with pytest.raises(FloatingPointError, match="generator_loss is nan in epoch 2"):
        fit(new_model(), 3, Break(), Watchdog(), checkpoint)
    assert [path.name for path in checkpoint.files()] == ["epoch-0001.weights.h5"]


def watch(images, **options):
    """Warnings and logs of an epoch in which the model generates `images`."""
    watchdog = Watchdog(lambda model: images, LABELS, real_diversity=1.0, **options)
    logs = {"generator_loss": 0.5}
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        watchdog.on_epoch_end(6, logs)
    return [str(w.message) for w in caught], logs


def test_collapse_warning():
    one_of_each_class = np.stack([IMAGES[0]] * 3 + [IMAGES[1]] * 3)
    messages, logs = watch(one_of_each_class)
    assert len(messages) == 1 and "Epoch 7" in messages[0] and "mode collapse" in messages[0]
    assert logs["diversity"] == pytest.approx(0, abs=1e-6)
    messages, logs = watch(IMAGES)
    pairs = [(0, 1), (0, 2), (1, 2), (3, 4), (3, 5), (4, 5)]
    assert messages == []
    assert logs["diversity"] == pytest.approx(np.mean([np.linalg.norm(IMAGES[a] - IMAGES[b]) for a, b in pairs]))


def pinned_warnings(accuracies, patience=3):
    """Numbers of the epochs that bring a warning, for `(real, fake)` accuracies of each epoch."""
    watchdog, epochs = Watchdog(patience=patience), []
    for epoch, (real, fake) in enumerate(accuracies, 1):
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            watchdog.on_epoch_begin(epoch - 1)
            watchdog.on_epoch_end(epoch - 1, {"real_accuracy": real, "fake_accuracy": fake})
        epochs += [epoch] * len(caught)
        assert all(f"Epoch {epoch}: the discriminator" in str(w.message) for w in caught)
    return epochs


def test_pinned_discriminator_warning():
    assert pinned_warnings([(1.0, 1.0)] * 6) == [3]
    assert pinned_warnings([(0.0, 0.0)] * 6) == [3]
    assert pinned_warnings([(1.0, 1.0)] * 2 + [(0.9, 1.0)] + [(1.0, 1.0)] * 3) == [6]
    assert pinned_warnings([(1.0, 0.0), (0.99, 1.0), (0.5, 0.5)] * 3) == []


@pytest.mark.parametrize("ratio, count", [(0.09, 1), (0.11, 0), (2.0, 0)])
def test_shrinking_features_warning(ratio, count):
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        Watchdog().on_epoch_end(4, {"feature_norm_ratio": ratio})
    assert [("Epoch 5" in str(w.message), "shrinking" in str(w.message)) for w in caught] == [(True, True)] * count


# === Checkpoint ===


def test_checkpoint_keeps_two_and_restores_exactly(tmp_path):
    straight, stopped, resumed = new_model(), new_model(), new_model(seed=5)
    fit(straight, 4)
    checkpoint = Checkpoint(tmp_path)
    assert checkpoint.restore(stopped) == 0
    fit(stopped, 3, checkpoint)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["epoch-0002.weights.h5", "epoch-0003.weights.h5"]
    assert checkpoint.restore(resumed) == 3
    fit(resumed, 4, initial_epoch=3)
    for a, b in zip(*([*m.variables, *m.optimizer.variables] for m in (straight, resumed)), strict=True):
        np.testing.assert_array_equal(*values([a, b]), err_msg=a.path)


def test_a_plain_model_resumes_with_its_optimizer(tmp_path):
    def plain():
        keras.utils.set_random_seed(0)
        model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(2)])
        model.compile(keras.optimizers.Adam(0.1), loss="mse")
        return model

    x, y = np.random.default_rng(0).normal(size=(2, 8, 3)).astype("float32")
    options = {"batch_size": 4, "shuffle": False, "verbose": 0}
    straight, stopped, resumed = plain(), plain(), plain()
    straight.fit(x, y[:, :2], epochs=3, **options)
    checkpoint = Checkpoint(tmp_path)
    stopped.fit(x, y[:, :2], epochs=2, callbacks=[checkpoint], **options)
    assert checkpoint.restore(resumed) == 2
    resumed.fit(x, y[:, :2], epochs=3, initial_epoch=2, **options)
    for a, b in zip(*([*m.variables, *m.optimizer.variables] for m in (straight, resumed)), strict=True):
        np.testing.assert_array_equal(*values([a, b]), err_msg=a.path)


def test_crash_while_saving_leaves_the_last_file(tmp_path, monkeypatch):
    model, checkpoint = new_model(), Checkpoint(tmp_path)
    fit(model, 1, checkpoint)
    before = (tmp_path / "epoch-0001.weights.h5").read_bytes()

    def crash(path, **options):
        Path(path).write_bytes(before[:100])
        raise OSError("disk full")

    with monkeypatch.context() as patch:
        patch.setattr(model, "save_weights", crash)
        with pytest.raises(OSError, match="disk full"):
            fit(model, 2, checkpoint, initial_epoch=1)
    assert (tmp_path / "epoch-0001.weights.h5").read_bytes() == before
    assert checkpoint.restore(new_model()) == 1
    fit(model, 2, checkpoint, initial_epoch=1)  # the left-over is no obstacle
    assert checkpoint.restore(new_model()) == 2


@pytest.mark.parametrize("damage", [lambda b: b[:3000], lambda b: b[: len(b) // 2], lambda b: b"", lambda b: b"text"])
def test_damaged_checkpoint_is_refused(damage, tmp_path):
    checkpoint = Checkpoint(tmp_path)
    fit(new_model(), 1, checkpoint)
    (file,) = checkpoint.files()
    damaged = damage(file.read_bytes())
    file.write_bytes(damaged)
    with pytest.raises(ValueError, match="epoch-0001.weights.h5 cannot be restored .*; delete it") as error:
        checkpoint.restore(new_model())
    assert "\n" not in str(error.value)
    assert file.read_bytes() == damaged


@pytest.mark.parametrize(("hidden", "optimizer"), [(3, keras.optimizers.Adam), (2, keras.optimizers.SGD)])
def test_checkpoint_of_another_model_or_optimizer_is_refused(hidden, optimizer, tmp_path):
    checkpoint = Checkpoint(tmp_path)
    fit(new_model(), 1, checkpoint)
    other = Line(hidden)
    other.compile({"generator": optimizer()})
    with pytest.raises(ValueError, match="cannot be restored"):
        checkpoint.restore(other)
