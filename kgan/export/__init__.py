"""Export of trained models to SavedModel and LiteRT files: students of the text filter, generators, translators."""

from kgan.export.generator import FLOATS, MODELS, export_generator
from kgan.export.generator_parity import PicturesChanged
from kgan.export.parity import DecisionsChanged
from kgan.export.student import QUANTISATIONS, export_text_filter, read_card

__all__ = [
    "FLOATS",
    "MODELS",
    "QUANTISATIONS",
    "DecisionsChanged",
    "PicturesChanged",
    "export_generator",
    "export_text_filter",
    "read_card",
]
