"""Models train whatever keras.json says: the order of an image's axes, and the type of float."""

import keras
import numpy as np
import pytest
from model_contract import noise

import kgan
from kgan import text_filter
from kgan.models.gan import dcgan_discriminator, dcgan_generator

IMAGES, LABELS = noise((4, 32, 32, 3), salt=3), np.arange(4, dtype="int32")
DOMAINS = {"images_a": IMAGES, "labels_a": LABELS, "images_b": IMAGES, "labels_b": LABELS}
SCENES = (127 * noise((2, 60, 60, 3), salt=4) + 127).astype("uint8")
REGIONS = np.tile(np.arange(34) % 2, (2, 1)).astype("float32")


def wgan_gp():
    return kgan.WGANGP(dcgan_generator(32, 3, 4, 1 / 16), dcgan_discriminator(32, 3, 1 / 16, "layer"), latent_dim=4)


def student():
    return text_filter.TextStudent(width=0.2, features=8)


def teacher():
    return text_filter.TextTeacher(width=0.05, features=8)


TRAINED = {
    "CVAEGAN": (lambda: kgan.CVAEGAN(num_classes=4, image_size=32, latent_dim=4, width=0.02), (IMAGES, LABELS)),
    "WGANGP": (wgan_gp, (IMAGES,)),
    "MMSSIT": (lambda: kgan.MMSSIT(num_classes=4, width=0.05), (DOMAINS,)),
    "CDAAE": (lambda: kgan.CDAAE(num_classes=4, width=0.05), (DOMAINS,)),
    "TextStudent": (student, (SCENES, REGIONS)),
    "MSPNet": (lambda: text_filter.MSPNet(width=0.02), (SCENES, REGIONS)),
    "BoundaryDistiller": (lambda: text_filter.BoundaryDistiller(teacher(), student()), (SCENES,)),
    "AdversarialDistiller": (lambda: text_filter.AdversarialDistiller(teacher(), student()), (SCENES,)),
}


# TensorFlow has no convolution of channels that come first on a CPU. Of two float types, TensorFlow refuses `a * b` and
# PyTorch `ops.einsum`; JAX has no float64 unless it is asked for.
SETTINGS = [
    pytest.param("channels_first", marks=pytest.mark.only_on("tensorflow")),
    pytest.param("float64", marks=pytest.mark.only_on("tensorflow", "torch")),
]


@pytest.fixture(params=SETTINGS)
def setting(request):
    order, floatx = keras.config.image_data_format(), keras.config.floatx()
    if request.param == "float64":
        keras.config.set_floatx("float64")
    else:
        keras.config.set_image_data_format("channels_first")
    yield
    keras.config.set_image_data_format(order)
    keras.config.set_floatx(floatx)


@pytest.mark.parametrize("name", TRAINED)
def test_a_step(name, setting):
    make, data = TRAINED[name]
    model = make()
    model.compile(run_eagerly=True)
    before = [np.copy(keras.ops.convert_to_numpy(v)) for v in model.trainable_variables]
    history = model.fit(*data, batch_size=4, verbose=0).history
    assert np.isfinite(history["loss"]).all()
    after = [keras.ops.convert_to_numpy(v) for v in model.trainable_variables]
    assert any(not np.array_equal(a, b) for a, b in zip(before, after, strict=True))
