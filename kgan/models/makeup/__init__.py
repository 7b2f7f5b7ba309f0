"""Illumination-robust makeup transfer in UV space (Song, 2024). So far textures and images in tensors, `uv`."""
