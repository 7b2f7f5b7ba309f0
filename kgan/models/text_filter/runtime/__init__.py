"""The text filter as it runs: from paths to rows, on LiteRT and Pillow, without Keras and its backends."""
