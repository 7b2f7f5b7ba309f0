"""Heads: the points of a face with a shape and an expression of its own, both mirror-symmetric."""

import numpy as np

from kgan.faces.mesh import EYES, MOUTH, POINTS

# In centimetres on the canonical face: distance from the middle, and height. What is on one side is on the other, too.
BETWEEN_LIPS, LIP_CORNER = -4.27, (2.3, -4.3)
CHEEK, BROW = (4.3, -1.0), (3.4, 4.7)
JAW_JOINT = (0.5, -2.0)  # height, and z towards the camera
WIDE = 0.27  # radians that the jaw turns to open the mouth wide


def draw_head(rng, **expression):
    """Draws the points of a head, `(468, 3)` in centimetres: x to the right, y down, z away from the camera.

    Args:
        rng: `np.random.Generator`.
        expression: arguments of `expressed`.
    """
    head = expressed(**expression) * (1, -1, -1) * rng.uniform((0.9, 0.9, 0.8), (1.1, 1.1, 1.25))
    for _ in range(4):
        centre, height = POINTS[rng.integers(len(POINTS))], 0.35 * rng.normal()
        for side in (1, -1):  # a bump or a hollow, the same on both sides
            head[:, 2] += height * np.exp(-((POINTS - centre * (side, 1, 1)) ** 2).sum(axis=1) / 8)
    return head


def draw_expression(rng):
    """Draws arguments of `expressed`; half of the mouths are closed, and one face in ten has its eyes shut."""
    return {
        "opening": rng.uniform(-0.5, 1) if rng.random() < 0.5 else -1,
        "smile": rng.uniform(-0.3, 1),
        "brows": np.clip(0.4 * rng.normal(), -0.7, 1),
        "shut": 1 if rng.random() < 0.1 else np.clip(0.2 * rng.normal(), -0.2, 0.5),
    }


def expressed(opening=0, smile=0, brows=0, shut=0):
    """Returns the points of the canonical face with an expression, `(468, 3)` in its own axes.

    Args:
        opening: of the mouth, from -1, lips that meet, to 1, wide open; the lips of the canonical face are just apart.
        smile: from -0.3, corners of the mouth drawn inwards and down, to 1, drawn outwards and up.
        brows: from -0.7, lowered, to 1, raised.
        shut: how far the lids are shut, from -0.2, wide open, to 1.
    """
    points = POINTS.copy()
    across, up = np.abs(POINTS[:, 0]), POINTS[:, 1]
    outwards = np.sign(POINTS[:, 0])

    def near(place, width):
        return np.exp(-0.5 * ((across - place[0]) ** 2 + (up - place[1]) ** 2) / width**2)

    points[:, 1] += 0.6 * brows * near(BROW, 1.5) - shut * _fall_of_lids(across, up)
    corner, cheek = smile * near(LIP_CORNER, 1.2), smile * near(CHEEK, 1.5)
    points[:, 0] += 0.6 * corner * outwards
    points[:, 1] += 0.5 * corner + 0.3 * cheek
    points[:, 2] += -0.35 * corner + 0.25 * cheek
    # Between the lips, what the jaw moves ends at once; towards the ears it fades over centimetres, as cheeks stretch.
    share = 1 / (1 + np.exp((up - BETWEEN_LIPS) / (0.1 + 0.6 * np.clip(across - LIP_CORNER[0], 0, None))))
    if opening < 0:  # without the jaw, which would push the lower lip forwards
        points[:, 1] -= opening * _closing_of_lips(across, up, share)
        return points
    y, z, angle = points[:, 1] - JAW_JOINT[0], points[:, 2] - JAW_JOINT[1], share * opening * WIDE
    points[:, 1] += (np.cos(angle) - 1) * y - np.sin(angle) * z
    points[:, 2] += (np.cos(angle) - 1) * z + np.sin(angle) * y
    return points


def _fall_of_lids(across, up):
    """Returns how far points fall when the eyes are shut: upper lids to the lower ones, what is above them less."""
    upper, lower = list(EYES[0][9:16]), list(EYES[0][7:0:-1])
    gap, height = (
        np.interp(across, across[upper], values, 0, 0)
        for values in (up[upper] - up[lower], (up[upper] + up[lower]) / 2)
    )
    above = np.clip(up - height - gap / 2, 0, None)
    return gap * np.exp(-((above / 0.35) ** 2)) * (up > height)


def _closing_of_lips(across, up, share):
    """Returns how far points rise when the mouth is shut: lower lips rise, and upper ones fall, until they meet."""
    upper, lower = list(MOUTH[15:9:-1]), list(MOUTH[5::-1])
    rise = (2 * share - 1) * np.exp(-0.5 * (np.clip(np.abs(up - BETWEEN_LIPS) - 0.3, 0, None) / 0.8) ** 2)
    gap = up[upper] - up[lower]
    needed = np.where(gap > 0, gap / np.maximum(rise[lower] - rise[upper], 1e-9), 0)
    order = np.argsort(across[lower])
    return rise * np.interp(across, across[lower][order], needed[order], right=0)
