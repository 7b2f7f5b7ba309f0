import keras
import numpy as np
import pytest
from keras import ops
from model_contract import check_golden, check_model, contract_on, noise, record

import kgan
from kgan.layers import shift_and_mirror
from kgan.models.gan import dcgan_discriminator, dcgan_generator

MODELS = ["GAN", "FeatureMatchingGAN", "WGAN", "WGANGP"]


def make(name, **options):
    norm = "layer" if name == "WGANGP" else "batch"
    if name == "FeatureMatchingGAN":
        options["decay"] = 0.5
    if name.startswith("WGAN"):
        options["n_critic"] = 2
    return getattr(kgan, name)(
        dcgan_generator(32, 1, 8, width=1 / 16),
        dcgan_discriminator(32, 1, width=1 / 16, norm=norm),
        latent_dim=8,
        **options,
    )


def samples(n):
    return noise((n, 32, 32, 1), salt=3)


@pytest.mark.parametrize("name", contract_on(MODELS, everywhere=["GAN", "WGANGP"]))
def test_contract(name, tmp_path):
    check_model(
        lambda: make(name),
        (samples(11),),
        8,
        tmp_path,
        inputs=noise((3, 8), salt=1),
        output_shape=(3, 32, 32, 1),
        bad=((samples(8)[:, :16],), r"Samples must be \(None, 32, 32, 1\)"),
    )


@pytest.mark.parametrize("name", MODELS)
def test_golden(name):
    model = make(name)
    model.compile({player: keras.optimizers.SGD(1e-3) for player in model.players})
    check_golden(name, model, (samples(8),))


@pytest.mark.parametrize("norm", ["batch", "spectral"])
def test_norms_of_the_discriminator(norm):
    """Whether an image is judged by itself, and whether the size of kernels counts."""
    discriminator, images = dcgan_discriminator(32, 1, width=1 / 16, norm=norm), samples(8)
    for _ in range(100):  # of power iteration
        together = features(discriminator, images, training=True)
    alone = features(discriminator, images[:1], training=True)
    assert (np.abs(alone - together[:1]).max() < 1e-4) == (norm == "spectral")
    before = features(discriminator, images)
    for layer in discriminator.layers:
        if isinstance(layer, keras.layers.Conv2D):
            layer.kernel.assign(10 * layer.kernel)
    same = np.allclose(features(discriminator, images), before, rtol=1e-3, atol=1e-4)
    assert same == (norm == "spectral")


def features(discriminator, images, training=False):
    return ops.convert_to_numpy(discriminator(images, training=training)["features"])


def test_an_unknown_norm_is_refused():
    with pytest.raises(ValueError, match="norm='group': pass 'batch', 'layer' or 'spectral'"):
        dcgan_discriminator(32, norm="group")


@pytest.mark.parametrize("name", ["GAN", "WGANGP"])
def test_labels_change_nothing(name):
    """What `kgan.data.load` returns can be passed on."""
    histories = []
    for labels in ((), (np.arange(8) % 4,)):
        keras.utils.set_random_seed(3)
        model = make(name)
        model.compile(run_eagerly=True)
        histories.append(model.fit(samples(8), *labels, batch_size=8, verbose=0).history)
    assert histories[0] == histories[1]


def test_a_folder_of_images_without_classes(tmp_path):
    for i in range(6):
        keras.utils.save_img(tmp_path / f"{i}.png", np.full((32, 32, 3), 20 * i))
    name = f"folder:{tmp_path}"
    for data in (kgan.data.load(name, image_size=32), (kgan.data.load(name, image_size=32, memory_limit=1),)):
        model = kgan.GAN(dcgan_generator(32, 3, 4, 1 / 16), dcgan_discriminator(32, 3, 1 / 16), latent_dim=4)
        model.compile(run_eagerly=True)
        assert np.isfinite(model.fit(*data, verbose=0).history["loss"]).all()


def test_images_beyond_the_range_of_tanh_are_refused():
    model = kgan.GAN(dcgan_generator(32, 3, 4, 1 / 16), dcgan_discriminator(32, 3, 1 / 16), latent_dim=4)
    model.compile()
    with pytest.raises(ValueError, match=r"Samples must be in \[-1, 1\], got values from 0 to 255"):
        model.fit(np.linspace(0, 255, 4 * 32 * 32 * 3, dtype="float32").reshape(4, 32, 32, 3))


@pytest.mark.every_backend
def test_shifted_and_mirrored_images():
    """Each is a cut of the image, or of its mirror image, with zeros around it."""
    images = samples(150) + 2  # without zeros
    made = keras.ops.convert_to_numpy(
        shift_and_mirror(keras.ops.convert_to_tensor(images), keras.random.SeedGenerator(0))
    )
    padded = np.pad(images, ((0, 0), (4, 4), (4, 4), (0, 0)))
    seen = set()
    for image, whole in zip(made, padded, strict=True):
        cuts = {
            (y, x, turn): np.array_equal(image, whole[y : y + 32, x : x + 32][:, ::turn])
            for y in range(9)
            for x in range(9)
            for turn in (1, -1)
        }
        assert sum(cuts.values()) == 1
        seen.add(max(cuts, key=cuts.get))
    assert {turn for *_, turn in seen} == {1, -1} and {y for y, *_ in seen} == {x for _, x, _ in seen} == set(range(9))


@pytest.mark.parametrize("name", MODELS)
def test_a_discriminator_sees_augmented_images_in_training_alone(name):
    model = make(name, augment=True)
    assert type(model).from_config(model.get_config()).augment
    model.compile(run_eagerly=True)
    with record(model.generator) as made:
        model.fit(samples(8), batch_size=8, verbose=0)
    assert np.isfinite(model.history.history["loss"]).all() and made
    for training in (True, False):
        shown = model.shown(keras.ops.convert_to_tensor(samples(8)), training)
        assert np.array_equal(keras.ops.convert_to_numpy(shown), samples(8)) != training


def test_only_images_can_be_augmented():
    generator = keras.Sequential([keras.Input((8,)), keras.layers.Dense(2)])
    with pytest.raises(ValueError, match="augment=True needs images"):
        kgan.GAN(generator, keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)]), 8, augment=True)
