"""MM-SSIT (Bai et al., 2020): semi-supervised translation between two domains; and CDAAE, which it is compared with."""

from kgan.models.mm_ssit.cdaae import CDAAE
from kgan.models.mm_ssit.model import MMSSIT

__all__ = ["CDAAE", "MMSSIT"]
