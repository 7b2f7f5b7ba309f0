"""GANs with a generator and a discriminator of your choice, and the DCGAN networks."""

from kgan.models.gan.model import GAN, WGAN, WGANGP, FeatureMatchingGAN
from kgan.models.gan.networks import dcgan_discriminator, dcgan_generator

__all__ = ["GAN", "WGAN", "WGANGP", "FeatureMatchingGAN", "dcgan_discriminator", "dcgan_generator"]
