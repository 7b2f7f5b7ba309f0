"""SavedModel and LiteRT files of a trained student of the text filter."""

from kgan.export.parity import DecisionsChanged
from kgan.export.student import QUANTISATIONS, export_text_filter, read_card

__all__ = ["QUANTISATIONS", "DecisionsChanged", "export_text_filter", "read_card"]
