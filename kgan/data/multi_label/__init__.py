"""Images with several labels: drawn shapes, mosaics of photographs, and sets in folders."""
