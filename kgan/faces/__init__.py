"""Faces in photographs at run time: finding them, their textures in UV space, colour transfer. Does not need Keras."""

PARTS = ("lips", "eyes", "skin")  # of a face that can be made up, each by itself
