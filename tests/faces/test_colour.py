"""Lab against scikit-image."""

import numpy as np
import pytest
from skimage.color import lab2rgb, rgb2lab

from kgan.faces.colour import lab_to_rgb, rgb_to_lab

pytestmark = pytest.mark.backend_free
CUBE = np.stack(np.meshgrid(*[np.arange(0, 256, 15)] * 3), axis=-1).reshape(-1, 3)


def test_to_lab():
    np.testing.assert_allclose(rgb_to_lab(CUBE), rgb2lab(CUBE / 255.0), atol=0.02)


def test_there_and_back_is_the_same_byte():
    np.testing.assert_array_equal(np.rint(lab_to_rgb(rgb_to_lab(CUBE))), CUBE)


def test_to_rgb_and_what_no_screen_shows():
    rgb = np.random.default_rng(0).random((500, 3))
    lab = rgb2lab(rgb)
    np.testing.assert_allclose(lab_to_rgb(lab), lab2rgb(lab) * 255, atol=0.1)
    assert lab_to_rgb(np.array((50.0, 120, 0))).min() == 0 and lab_to_rgb(np.array((99.0, 0, 90))).max() > 254.9
