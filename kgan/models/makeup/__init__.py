"""Illumination-robust makeup transfer in UV space (Song, 2024)."""

from kgan.models.makeup.model import MakeupGAN

__all__ = ["MakeupGAN"]
