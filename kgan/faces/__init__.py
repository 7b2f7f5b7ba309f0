"""Faces in photographs at run time: finding them, their textures in UV space, colour transfer. Does not need Keras."""
