"""Scene text: readers of published data sets and of your own boxes, and `load_text`, which returns arrays."""
