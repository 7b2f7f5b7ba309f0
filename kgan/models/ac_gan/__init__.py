"""AC-GAN (Odena et al., 2017): a conditional GAN whose discriminator also predicts the class."""

from kgan.models.ac_gan.model import ACGAN

__all__ = ["ACGAN"]
