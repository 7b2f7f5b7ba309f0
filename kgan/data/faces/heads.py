"""Heads: the points of a face in a shape and with an expression of its own, both the same on both sides."""

import numpy as np

from kgan.faces.mesh import POINTS

# In centimetres on the canonical face, x to one side and y up; what is on the other side mirrors it.
BETWEEN_LIPS, LIP_CORNER = -4.27, (2.3, -4.3)
JAW_JOINT = (0.5, -2.0)  # y and z; z is towards the camera
CLOSED, WIDE = -0.08, 0.27  # the angle of the jaw in radians: lips that meet, and a mouth as wide open as drawn here
CHEEK, BROW = (4.3, -1.0), (3.4, 4.7)
EYE, EYE_WIDTH, LID = (3.16, 2.6), 1.3, 2.95  # of the last the height of the upper lid, which is 0.67 above the lower


def draw_head(rng):
    """Draws the points of a head, `(468, 3)` in centimetres: x to the right, y down, z away from the camera."""
    head = expressed(*_draw_expression(rng)) * (1, -1, -1) * rng.uniform((0.9, 0.9, 0.8), (1.1, 1.1, 1.25))
    for _ in range(4):
        centre, height = POINTS[rng.integers(len(POINTS))], 0.35 * rng.normal()
        for side in (1, -1):  # a bump or a hollow, the same on both sides
            head[:, 2] += height * np.exp(-((POINTS - centre * (side, 1, 1)) ** 2).sum(axis=1) / 8)
    return head


def _draw_expression(rng):
    """Draws the arguments of `expressed`: half of the mouths are closed, and one in ten faces has its eyes shut."""
    opening = max(0, rng.uniform(-1, 1))
    shut = 1 if rng.random() < 0.1 else np.clip(0.2 * rng.normal(), -0.2, 0.5)
    return opening, rng.uniform(-0.3, 1), np.clip(0.4 * rng.normal(), -0.7, 1), shut


def expressed(opening=0.2, smile=0, brows=0, shut=0):
    """Returns the points of the canonical face with an expression, `(468, 3)` in its own axes.

    Args:
        opening: of the mouth, from 0, lips that meet, to 1, wide open.
        smile: from -0.3, corners of the mouth drawn inwards and down, to 1, drawn outwards and up.
        brows: from -0.7, lowered, to 1, raised.
        shut: how far the lids are shut, from -0.2, wide open, to 1.
    """
    points = POINTS.copy()
    across, up = np.abs(POINTS[:, 0]), POINTS[:, 1]
    outwards = np.sign(POINTS[:, 0])

    def near(place, width):
        return np.exp(-0.5 * ((across - place[0]) ** 2 + (up - place[1]) ** 2) / width**2)

    lid = np.clip(1 - ((across - EYE[0]) / EYE_WIDTH) ** 2, 0, None) * np.exp(-(((up - LID) / 0.35) ** 2))
    points[:, 1] += 0.6 * brows * near(BROW, 1.5) - 0.67 * shut * lid * (up > EYE[1])
    corner, cheek = smile * near(LIP_CORNER, 1.2), smile * near(CHEEK, 1.5)
    points[:, 0] += 0.6 * corner * outwards
    points[:, 1] += 0.5 * corner + 0.3 * cheek
    points[:, 2] += -0.35 * corner + 0.25 * cheek
    # The jaw turns; what is beside the mouth follows less and less sharply.
    soft = 0.1 + 0.6 * np.clip(across - LIP_CORNER[0], 0, None)
    share = 1 / (1 + np.exp((up - BETWEEN_LIPS) / soft))
    angle = share * (CLOSED + opening * (WIDE - CLOSED))
    y, z = points[:, 1] - JAW_JOINT[0], points[:, 2] - JAW_JOINT[1]
    points[:, 1] += (np.cos(angle) - 1) * y - np.sin(angle) * z
    points[:, 2] += (np.cos(angle) - 1) * z + np.sin(angle) * y
    return points
