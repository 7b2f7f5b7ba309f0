"""The generated images of `spl_multilabel.py`: a GAN trained to its least Frechet distance, and its samples."""

from functools import partial

import common
import keras
import numpy as np

import kgan
from kgan import callbacks, metrics, plots
from kgan.data.mixed import resized, to_pixels, to_unit
from kgan.data.samples import generate_samples
from kgan.models.gan import dcgan_discriminator, dcgan_generator

GANS = {"dcgan": "DCGAN", "wgan_gp": "WGAN-GP"}


def new_gan(name, options):
    shape = options.gan_size, 3
    norm = "layer" if name == "wgan_gp" else "batch"
    make = {"dcgan": kgan.GAN, "wgan_gp": kgan.WGANGP}[name]
    return make(
        dcgan_generator(*shape, options.latent_dim, options.gan_width),
        dcgan_discriminator(*shape, options.gan_width, norm),
        options.latent_dim,
        augment=True,
    )


def generate(name, seed, folder, images, held_out, count, options):
    """Train a GAN, keep the epoch nearest to `held_out`, and return `count` samples with their likeness to `held_out`.

    The GAN and its samples are kept in the folder.
    """
    images, held_out = resized(images, options.gan_size), resized(held_out, options.gan_size)
    components = principal_components(held_out)
    real = components(held_out)

    def distance(model):
        generated = to_pixels(model.generate(len(images), seed=1))
        return metrics.frechet_distance(real, components(generated))

    def train():
        print(f"--- {GANS[name]}, seed {seed}")
        common.set_seed(seed, options.devices)
        model = new_gan(name, options)
        rate = options.gan_learning_rate
        model.compile({player: keras.optimizers.Adam(rate, beta_1=0.5) for player in model.players})
        updates = getattr(model, "n_critic", 1)  # of a critic, which share a batch
        batches = kgan.data.Batches(to_unit(images), None, options.gan_batch_size * updates, seed)
        every = max(1, options.gan_epochs // 20)
        best = callbacks.KeepBest(distance, folder / "best.weights.h5", "frechet_distance", every)
        sample = lambda model: model.generate(64, seed=0)  # noqa: E731
        grid = partial(callbacks.ImageGrid, sample=sample, columns=8, folder=folder / "samples")
        common.train(model, batches, folder, options, [lambda writer: best, grid], epochs=options.gan_epochs)
        curve = np.atleast_1d(np.genfromtxt(folder / "train.csv", delimiter=",", names=True))
        line = curve["epoch"] + 1, curve["frechet_distance"], None, None
        plots.curves(folder / "frechet.png", {GANS[name]: line}, "epoch", "Frechet distance")
        return model

    model = common.keep(folder / "model.keras", train, options)
    made_by = {key: value for key, value in vars(options).items() if key.startswith("gan_")}
    made_by |= {"gan": name, "seed": seed, "data": options.data, "images": len(images)}
    made_by["latent_dim"] = options.latent_dim
    generated = generate_samples(folder / "generated", model.generate, count, made_by)
    features = real, components(generated[: len(images)])
    numbers = {"frechet_distance": metrics.frechet_distance(*features), "coverage": 100 * metrics.coverage(*features)}
    return generated, numbers


def principal_components(images):
    """A function that projects images on the 48 first ones of these: small sets allow no network's features."""

    def flat(images):
        return to_unit(images).reshape(len(images), -1)

    mean = flat(images).mean(axis=0)
    directions = np.linalg.svd(flat(images) - mean, full_matrices=False)[2][: min(48, len(images) // 2)]
    return lambda images: (flat(images) - mean) @ directions.T
