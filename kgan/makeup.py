"""Makeup transfer in UV space: from photo to photo, without a network and without Keras."""

from kgan.faces.finder import Face, find_faces
from kgan.faces.look import Unsuitable, load_look, look_of, save_look
from kgan.faces.makeup import transfer_photo

__all__ = ["Face", "Unsuitable", "find_faces", "load_look", "look_of", "save_look", "transfer_photo"]
