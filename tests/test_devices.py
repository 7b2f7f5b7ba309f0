"""Training on several devices, and in two processes: the steps of one device, saved on some and resumed on others."""

import json
import os
import socket
import subprocess
import sys
from functools import partial
from pathlib import Path
from types import SimpleNamespace

import keras
import numpy as np
import pytest
from keras import ops
from model_contract import changed, noise, values

import kgan
from kgan import callbacks, text_filter
from kgan.adversarial import AdversarialModel, Phase
from kgan.layers import MovingCentres
from kgan.makeup import IlluminationClassifier
from kgan.models.cvae_gan import networks
from kgan.models.gan import dcgan_discriminator, dcgan_generator
from kgan.training import predict

BACKEND = keras.backend.backend()
TESTS = Path(__file__).resolve().parent
DATA = noise((29, 2), salt=5)  # three batches of 8, and 5 of which two devices can share 4


class Duel(AdversarialModel):
    """Points judged twice in a step, each time on other samples, and matched in their class centres.

    With `joint`, samples depend on each other: batch norm, the mean of the batch, and noise drawn for all of it.
    """

    players = {"generator": ("generator",), "discriminator": ("discriminator",)}
    logged = ("gap",)

    def __init__(self, joint):
        super().__init__()
        self.joint = joint
        self.generator, self.discriminator = self.network(2), self.network(1)
        self.centres = MovingCentres(num_classes=1, features=2, decay=0.9)

    def network(self, units):
        norm = [keras.layers.BatchNormalization(momentum=0.5)] if self.joint else []
        return keras.Sequential(
            [keras.Input((2,)), keras.layers.Dense(8, "tanh"), *norm, keras.layers.Dense(units, dtype="float32")]
        )

    def phases(self):
        return [Phase(self.judge, ("discriminator",), repeats=2), Phase(self.imitate, ("generator",))]

    def fake(self, x, training):
        latents = keras.random.normal(ops.shape(x), seed=self.seed_generator) if self.joint else -x
        return self.generator(latents, training=training)

    def judge(self, x, training):
        real, fake = (self.discriminator(points, training=training) for points in (x, self.fake(x, training)))
        return {"discriminator": ops.mean(ops.square(1 - real) + ops.square(fake)), "gap": ops.mean(real - fake)}

    def imitate(self, x, training):
        fake = self.fake(x, training)
        labels = ops.zeros((ops.shape(x)[0],), "int32")
        self.centres(x, labels, fake, labels)
        loss = ops.mean(ops.square(1 - self.discriminator(fake, training=training)))
        if self.joint:
            loss += ops.sum(ops.square(ops.mean(x, axis=0) - ops.mean(fake, axis=0)))
        return {"generator": loss}


def new_model():
    keras.utils.set_random_seed(11)
    model = Duel(joint=BACKEND == "jax")
    model.compile({player: keras.optimizers.SGD(0.05, momentum=0.9) for player in Duel.players})
    return model


def train(folder, epochs, file):
    """Train until that many epochs, from the checkpoint in the folder if there is one; append the logs to a file."""
    model, checkpoint = new_model(), callbacks.Checkpoint(folder)
    first = checkpoint.restore(model)
    batches = kgan.data.SharedBatches(kgan.data.Batches(DATA, batch_size=8, initial_epoch=first), devices=2)
    batches.workers = 2
    history = model.fit(
        batches, initial_epoch=first, epochs=epochs, shuffle=False, verbose=0, callbacks=[checkpoint]
    ).history
    with open(file, "a") as lines:
        lines.writelines(
            json.dumps({name: value[i] for name, value in history.items()}) + "\n" for i in range(epochs - first)
        )
    return model


def two_devices():
    devices = keras.distribution.list_devices()
    assert len(devices) == 2
    if BACKEND == "jax":
        return keras.distribution.DataParallel(devices=devices).scope()
    import tensorflow as tf

    return tf.distribute.MirroredStrategy(devices).scope()


# === What the processes of the tests run ===


def one_process(folder):
    """Three epochs on one device, then the same with the first on two, the second on one and, on TensorFlow, the third
    on two.
    """
    if BACKEND == "tensorflow":
        import tensorflow as tf

        cpu = tf.config.list_physical_devices("CPU")[0]
        tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * 2)
    straight = train(f"{folder}/straight", 3, f"{folder}/straight.jsonl")
    with two_devices():
        model = train(f"{folder}/moved", 1, f"{folder}/moved.jsonl")
        assert predict(model.generator, DATA[:3]).shape == (3, 2)  # an odd number, as callbacks and users have them
    np.testing.assert_allclose(predict(model.generator, DATA[:3]), model.generator(DATA[:3]), rtol=1e-4, atol=1e-6)
    train(f"{folder}/moved", 2, f"{folder}/moved.jsonl")
    if BACKEND == "tensorflow":
        with two_devices():
            train(f"{folder}/moved", 3, f"{folder}/moved.jsonl")
        check_noise_of_replicas()
    else:
        with two_devices():  # set after the model was made
            straight.fit(DATA[:4], batch_size=4, verbose=0)
    check_recipes(folder)


def check_recipes(folder):
    """A recipe builds a model on its devices, and measures it on one."""
    import common

    def copies():
        value = new_model().generator.variables[0].value
        return len(value.sharding.device_set) if BACKEND == "jax" else len(getattr(value, "values", [value]))

    def make():
        common.set_seed(0, 2)
        return copies()

    assert common.keep(Path(folder) / "made.json", make, SimpleNamespace(resume=False)) == 2
    assert copies() == 1


def check_noise_of_replicas():
    """Each draws numbers of its own, the first those of a single device, and their generators go on alike."""
    import tensorflow as tf

    with two_devices():
        model, strategy = new_model(), tf.distribute.get_strategy()
        drawn = strategy.run(tf.function(lambda: keras.random.normal((4,), seed=model.seed_generator)))
        first, second = map(np.array, strategy.experimental_local_results(drawn))
        states = map(np.array, strategy.experimental_local_results(model.seed_generator.state.value))
    np.testing.assert_array_equal(*states)
    assert np.abs(first - second).min() > 1e-3
    np.testing.assert_array_equal(first, keras.random.normal((4,), seed=new_model().seed_generator))


def process_of_two(folder, port, process):
    """The third epoch, in two processes."""
    keras.distribution.initialize(f"localhost:{port}", 2, process)
    keras.distribution.set_distribution(keras.distribution.DataParallel(auto_shard_dataset=False))
    if process:
        callbacks._save_weights = None  # must not be called
    model = train(f"{folder}/moved", 3, f"{folder}/process-{process}.jsonl")
    drawing = kgan.CGAN(2, 32, width=0.05)
    if not process:
        # One process alone.
        assert predict(model.generator, DATA[:3]).shape == (3, 2)
        drawing.save_to_preset(f"{folder}/preset")


# Every model but those of soft pseudo labels and the filter's networks, which Keras' own training step trains.
IMAGES, LABELS = noise((16, 32, 32, 3), salt=1), np.arange(16, dtype="int32") % 4
PARTLY = np.where(np.arange(16) % 2, -1, np.arange(16) // 2 % 4).astype("int32")
PAIRS = {"images_a": IMAGES, "labels_a": PARTLY, "images_b": IMAGES[::-1].copy(), "labels_b": PARTLY}


def of_classes(name, **options):
    return getattr(kgan, name)(4, 32, 3, 8, 0.05, **options)


def on_networks(name, norm="batch"):
    return getattr(kgan, name)(dcgan_generator(32, 3, 8, 0.05), dcgan_discriminator(32, 3, 0.05, norm), latent_dim=8)


def distiller():
    return text_filter.AdversarialDistiller(text_filter.TextTeacher(width=0.05), text_filter.TextStudent())


def makeup():
    return kgan.MakeupGAN(IlluminationClassifier(size=32, width=0.25), 32, 32, 0.125, "asymmetry")


def faces():
    pairs = kgan.data.load_makeup("synthetic/faces", uv_size=32, image_size=32, count=8)
    return {name: np.asarray(pairs[name]) for name in makeup().needed()}


def each_model():
    """A step of each model on two devices is that on one."""
    # GoogLeNet's nine modules are left out: so many normalised layers turn rounding into 0.7 % of a small weight, on
    # one device as well, between two levels of XLA's optimisation.
    networks._inception = lambda x, w, *channels: x
    models = {
        "CVAEGAN": (partial(of_classes, "CVAEGAN", separate=True, augment=True), (IMAGES, LABELS)),
        "CGAN": (partial(of_classes, "CGAN", discriminator_norm="spectral"), (IMAGES, LABELS)),
        **{name: (partial(of_classes, name), (IMAGES, LABELS)) for name in ("CVAE", "FMCGAN", "ACGAN")},
        **{name: (partial(on_networks, name), (IMAGES,)) for name in ("GAN", "WGAN", "FeatureMatchingGAN")},
        "WGANGP": (partial(on_networks, "WGANGP", "layer"), (IMAGES,)),
        "MMSSIT": (lambda: kgan.MMSSIT(4, width=0.05, separate=True), (PAIRS,)),
        "CDAAE": (lambda: kgan.CDAAE(4, width=0.05), (PAIRS,)),
        "AdversarialDistiller": (distiller, (noise((8, 48, 64, 3), salt=2) * 127 + 128,)),
        "MakeupGAN": (makeup, (faces(),)),
    }
    for name, (make, data) in models.items():
        found = []
        for distribution in (None, keras.distribution.DataParallel(auto_shard_dataset=False)):
            keras.utils.clear_session()
            keras.utils.set_random_seed(3)
            keras.distribution.set_distribution(distribution)
            model = make()
            model.compile({player: keras.optimizers.SGD(1e-4) for player in model.players})
            before, size = values(model.variables), len(keras.tree.flatten(data)[0])
            logs = model.fit(*data, batch_size=size, shuffle=False, verbose=0).history
            assert any(changed(before, model.variables))
            found.append((logs, values(model.variables)))
        (wanted_logs, wanted), (logs, after) = found
        for key in wanted_logs:
            np.testing.assert_allclose(logs[key], wanted_logs[key], rtol=1e-4, atol=1e-6, err_msg=f"{name}, {key}")
        for variable, one, two in zip(model.variables, wanted, after, strict=True):
            scale = max(np.abs(one).max(), 1e-3)
            np.testing.assert_allclose(two, one, rtol=0, atol=1e-4 * scale, err_msg=f"{name}, {variable.path}")


def start(call):
    environment = {
        **os.environ,
        "PYTHONPATH": os.pathsep.join(
            [str(TESTS), str(TESTS.parent), str(TESTS.parent / "recipes"), os.environ.get("PYTHONPATH", "")]
        ),
    }
    if "process_of_two" not in call:
        flags = os.environ.get("XLA_FLAGS", "")
        environment["XLA_FLAGS"] = f"{flags} --xla_force_host_platform_device_count=2"
    code = f"import common, test_devices; test_devices.{call}"
    return subprocess.Popen([sys.executable, "-c", code], env=environment, stderr=subprocess.PIPE, text=True)


def finish(*processes, timeout=300):
    try:
        for process in processes:
            _, error = process.communicate(timeout=timeout)
            assert process.returncode == 0, error
    finally:
        for process in processes:
            process.kill()


def logs(path):
    return [json.loads(line) for line in path.read_text().splitlines()]


def restored(folder):
    model, checkpoint = new_model(), callbacks.Checkpoint(folder)
    assert checkpoint.restore(model) == 3
    return values([*model.variables, *model.optimizer.variables])


@pytest.mark.only_on("jax", "tensorflow")
def test_a_run_that_moves_between_devices_ends_where_one_that_stays_does(tmp_path):
    """On JAX, two processes train the third epoch."""
    finish(start(f"one_process({str(tmp_path)!r})"))
    moved = logs(tmp_path / "moved.jsonl")
    if BACKEND == "jax":
        with socket.socket() as free:
            free.bind(("localhost", 0))
            port = free.getsockname()[1]
        finish(*(start(f"process_of_two({str(tmp_path)!r}, {port}, {process})") for process in range(2)))
        seen_by = [logs(tmp_path / f"process-{process}.jsonl") for process in range(2)]
        assert seen_by[0] == seen_by[1]
        moved += seen_by[0]
    straight = logs(tmp_path / "straight.jsonl")
    assert len(moved) == len(straight) == 3
    for epoch, (found, wanted) in enumerate(zip(moved, straight, strict=True)):
        assert set(found) == set(wanted) > {"gap", "generator_loss", "discriminator_loss"}
        for name in wanted:
            np.testing.assert_allclose(found[name], wanted[name], rtol=1e-4, err_msg=f"{name}, epoch {epoch}")
    for found, wanted in zip(restored(tmp_path / "moved"), restored(tmp_path / "straight"), strict=True):
        np.testing.assert_allclose(found, wanted, rtol=1e-4, atol=1e-6)


@pytest.mark.slow
@pytest.mark.only_on("jax")
def test_a_step_of_each_model_on_two_devices_is_that_on_one():
    finish(start("each_model()"), timeout=1200)


# === Data ===


def dealt(monkeypatch, batches, devices, processes):
    """What each process gets of an epoch: a list of batches for each."""
    parts = []
    for process in range(processes):
        distribution = SimpleNamespace(data_shard_id=process, num_processes=processes)
        monkeypatch.setattr(keras.distribution, "distribution", lambda: distribution)  # noqa: B023
        shared = kgan.data.SharedBatches(batches, devices)
        parts.append([shared[i] for i in range(len(shared))])
    return parts


@pytest.mark.parametrize("processes", [1, 2, 4])
@pytest.mark.parametrize(("size", "left_out"), [(24, 0), (23, 3), (17, 1)])
def test_no_sample_twice_and_none_left_out_but_the_last(processes, size, left_out, monkeypatch):
    batches = kgan.data.Batches(np.arange(size), -np.arange(size), batch_size=8, seed=3)
    parts = dealt(monkeypatch, batches, 4, processes)
    assert len({len(part) for part in parts}) == 1
    seen = [int(sample) for part in parts for samples, _ in part for sample in samples]
    assert len(set(seen)) == len(seen) == size - left_out
    for part in parts:
        for samples, labels in part:
            assert len(samples) % (4 // processes) == 0
            np.testing.assert_array_equal(samples, -labels)
    for i in range(len(parts[0])):  # together the processes have the batch of one device
        whole = np.concatenate([part[i][0] for part in parts])
        if BACKEND == "tensorflow":  # in turn
            np.testing.assert_array_equal(np.concatenate(whole.reshape(4, -1).T), batches[i][0][: len(whole)])
        else:
            np.testing.assert_array_equal(whole, batches[i][0][: len(whole)])


def test_each_epoch_deals_anew(monkeypatch):
    batches = kgan.data.Batches(np.arange(8), batch_size=4, seed=3)
    shared = kgan.data.SharedBatches(batches, 2)
    shared.on_epoch_end()  # that of `fit` before its first epoch
    for epoch in range(3):
        assert batches.epoch == epoch
        shared.on_epoch_begin()
        shared.on_epoch_end()


def test_what_devices_cannot_share_is_refused(monkeypatch):
    batches = kgan.data.Batches(np.arange(24), batch_size=9)
    with pytest.raises(ValueError, match="2 devices cannot share 9 samples: choose a batch size they divide"):
        kgan.data.SharedBatches(batches, 2)
    with pytest.raises(ValueError, match="devices=3: 2 processes"):
        dealt(monkeypatch, batches, 3, 2)
