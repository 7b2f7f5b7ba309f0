"""CVAE-GAN (Bao et al., 2017) and the baselines of its paper, on the same networks."""

from kgan.models.cvae_gan.model import CGAN, CVAE, CVAEGAN, FMCGAN

__all__ = ["CGAN", "CVAE", "CVAEGAN", "FMCGAN"]
