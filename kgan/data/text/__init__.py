"""Scene text: readers of published sets and of your own boxes, and `load_text`, which gives all as arrays."""
