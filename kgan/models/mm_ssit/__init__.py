"""MM-SSIT (Bai et al., 2019): semi-supervised image translation between two domains, and its baseline CDAAE."""

from kgan.models.mm_ssit.cdaae import CDAAE
from kgan.models.mm_ssit.model import MMSSIT

__all__ = ["CDAAE", "MMSSIT"]
