"""Makeup transfer in UV space: from photo to photo without Keras, and what `kgan.MakeupGAN` is trained with.

The names that need Keras are imported on first use.
"""

import importlib

from kgan.faces.finder import Face, find_faces
from kgan.faces.look import Unsuitable, load_look, look_of, save_look
from kgan.faces.makeup import transfer_photo
from kgan.faces.prnet import PRNet

_WITH_KERAS = {"IlluminationClassifier": "illumination", "PositionMapNet": "position_map", "uv": None}

__all__ = [
    "Face",
    "PRNet",
    "Unsuitable",
    "find_faces",
    "load_look",
    "look_of",
    "save_look",
    "transfer_photo",
    *_WITH_KERAS,
]


def __getattr__(name):
    if name == "uv":
        return importlib.import_module("kgan.models.makeup.uv")
    if name in _WITH_KERAS:
        return getattr(importlib.import_module(f"kgan.models.makeup.{_WITH_KERAS[name]}"), name)
    raise AttributeError(f"module 'kgan.makeup' has no attribute {name!r}")


def __dir__():
    return sorted([*globals(), *__all__])
