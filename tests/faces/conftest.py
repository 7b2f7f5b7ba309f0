"""The face that scikit-image ships: an astronaut, 512 x 512, looking at the camera."""

import numpy as np
import pytest
import skimage.data
from PIL import Image

from kgan.faces.finder import find_faces


@pytest.fixture(scope="session")
def astronaut():
    return Image.fromarray(skimage.data.astronaut())


@pytest.fixture(scope="session")
def face(astronaut):
    (found,) = find_faces(astronaut)
    return found


@pytest.fixture(scope="session")
def portrait(astronaut):
    """The head alone, 200 x 240."""
    return astronaut.crop((130, 0, 330, 240))


@pytest.fixture(scope="session")
def red_lips(astronaut, face):
    """The astronaut with dark red lips and green eyelids, painted by hand."""
    from kgan.faces.mesh import region
    from kgan.faces.texture import render

    colour = np.zeros((256, 256, 3), "float32")
    from kgan.faces.skin import around_eyes

    alpha = np.zeros((256, 256, 1), "float32")
    for mask, paint in ((region("lips", 256), (150, 10, 40)), (around_eyes(256), (40, 140, 60))):
        colour += mask[..., None] * paint
        alpha += mask[..., None]
    drawn, _ = render(np.concatenate([colour, alpha], axis=-1), face.points, astronaut.size[::-1])
    drawn, share = 0.8 * drawn[..., :3], 0.8 * drawn[..., 3:]
    return Image.fromarray(np.rint(np.asarray(astronaut) * (1 - share) + drawn).astype("uint8"))
