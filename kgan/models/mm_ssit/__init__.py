"""MM-SSIT (Bai et al., 2020): semi-supervised translation between two domains."""

from kgan.models.mm_ssit.model import MMSSIT

__all__ = ["MMSSIT"]
