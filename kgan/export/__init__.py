"""Export of a trained text filter student to SavedModel and LiteRT files."""

from kgan.export.parity import DecisionsChanged
from kgan.export.student import QUANTISATIONS, export_text_filter, read_card

__all__ = ["QUANTISATIONS", "DecisionsChanged", "export_text_filter", "read_card"]
