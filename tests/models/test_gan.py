import keras
import pytest
from model_contract import check_golden, check_model, noise

import kgan
from kgan.models.gan import dcgan_discriminator, dcgan_generator

MODELS = ["GAN", "FeatureMatchingGAN", "WGAN", "WGANGP"]


def make(name):
    norm = "layer" if name == "WGANGP" else "batch"
    options = {"decay": 0.5} if name == "FeatureMatchingGAN" else {}
    if name.startswith("WGAN"):
        options["n_critic"] = 2
    return getattr(kgan, name)(
        dcgan_generator(32, 1, 8, base=4), dcgan_discriminator(32, 1, base=4, norm=norm), latent_dim=8, **options
    )


def samples(n):
    return noise((n, 32, 32, 1), salt=3)


@pytest.mark.parametrize("name", MODELS)
def test_contract(name, tmp_path):
    check_model(lambda: make(name), (samples(11),), 8, tmp_path)


@pytest.mark.parametrize("name", MODELS)
def test_golden(name):
    model = make(name)
    model.compile({player: keras.optimizers.SGD(1e-3) for player in model.players})
    check_golden(name.lower(), model, (samples(8),))
