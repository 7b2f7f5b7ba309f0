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
        dcgan_generator(32, 1, 8, width=1 / 16),
        dcgan_discriminator(32, 1, width=1 / 16, norm=norm),
        latent_dim=8,
        **options,
    )


def samples(n):
    return noise((n, 32, 32, 1), salt=3)


@pytest.mark.parametrize("name", MODELS)
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


def test_labels_are_refused():
    model = make("GAN")
    model.compile()
    with pytest.raises(ValueError, match="GAN has no classes"):
        model.fit(samples(4), [0, 1, 2, 3])
