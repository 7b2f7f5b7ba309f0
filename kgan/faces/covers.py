"""What is in front of a face: hair, glasses, a hand or anything else, by colours and by a network.

The network has learned from drawn faces with drawn things in front of them (`recipes/makeup_covers.py`), so that it
knows shapes: colours alone cannot tell a hand from a cheek.
"""

import functools
import hashlib

import numpy as np
from scipy.special import expit, logit

from kgan.faces.mesh import FILES, MEDIAPIPE
from kgan.faces.raster import resized
from kgan.faces.skin import around_eyes, like_skin, skin_tone
from kgan.runtime.litert import Network

FILE = FILES / "covers.tflite"
SIZE = 128  # texels a side that the network sees
SCALE = np.array((30, 15, 15), "float32")  # differences in L, a and b to the skin tone that it sees as 1
# How much the log-odds of the colours' own answer count beside the network's, which sees that answer, too; and how near
# to 0 or 1 theirs may come. Chosen on every second of 51 faces (recipes/results/makeup.md).
COLOURS, UNSURE = 0.2, 0.001
COLOURS_AT_EYES = 0.3  # where the network often takes folds, lashes and shade for something in front


def features(lab, visible):
    """Returns what the network sees of a texture, float32 `(128, 128, 5)`: colours, visibility, likeness to skin.

    Args:
        lab: `(128, 128, 3)`.
        visible: `(128, 128)` in [0, 1], what the shape of the face leaves visible.
    """
    colours = (lab - skin_tone(lab, visible)) / SCALE
    shares = np.stack([visible, like_skin(lab, visible)], axis=-1)
    return np.concatenate([colours, 2 * shares - 1], axis=-1).astype("float32")


@functools.cache
def _network():
    return Network(FILE)


@functools.cache
def digest():
    """Returns the SHA-256 of the network's file: what was found by another one is to be found again."""
    return hashlib.sha256(FILE.read_bytes()).hexdigest()


def uncovered(lab, visible, layout=MEDIAPIPE.layout):
    """Returns where nothing is in front of the face, float32 `(size, size)` in [0, 1].

    Args:
        lab: `(size, size, 3)`.
        visible: `(size, size)` in [0, 1], what the shape of the face leaves visible.
        layout: `kgan.faces.mesh.Layout`; the network knows MediaPipe's alone, and in others, colours decide.
    """
    if layout.name != MEDIAPIPE.layout.name:
        return like_skin(lab, visible, layout)
    seen = features(resized(lab, SIZE), resized(visible, SIZE))
    # A face is as likely as its mirror image, and the mean of both answers is better than either.
    one, other = (_network()(face)[0][0, ..., 0] for face in (seen, seen[:, ::-1]))
    skin = logit(np.clip(0.5 + seen[..., 4] / 2, UNSURE, 1 - UNSURE))
    counts = COLOURS + (COLOURS_AT_EYES - COLOURS) * around_eyes(SIZE)
    return resized(expit(counts * skin - (one + other[:, ::-1]) / 2), len(lab))
