"""Makeup transfer in tensors."""

import numpy as np
import pytest
from keras import ops

import kgan
from kgan import backend
from kgan.models.makeup.uv import render

pytestmark = pytest.mark.every_backend


@pytest.fixture(scope="module")
def pairs():
    return kgan.data.load_makeup("synthetic/faces", count=2, uv_size=32, image_size=40)


def table(pairs):
    return [ops.convert_to_tensor(pairs[f"source_{name}"]) for name in ("index", "weight", "alpha")]


def test_the_source_rendered_on_itself_is_itself(pairs):
    """Where there is no face nothing changes; where there is, the texture is what was drawn."""
    image = render(
        ops.convert_to_tensor(pairs["source_texture"]), *table(pairs), ops.convert_to_tensor(pairs["source_image"])
    )
    image, alpha = ops.convert_to_numpy(image), pairs["source_alpha"][..., 0]
    np.testing.assert_array_equal(image[alpha == 0], pairs["source_image"][alpha == 0])
    np.testing.assert_allclose(image[alpha > 0.999], pairs["source_image"][alpha > 0.999], atol=2e-3)


def test_gradient_of_a_texture(pairs):
    """Against its closed form: each texel gets the weights of the pixels that it is part of."""
    index, weight, alpha = table(pairs)
    upstream = np.random.default_rng(0).normal(size=pairs["source_image"].shape).astype("float32")

    def total(textures):
        image = render(textures, index, weight, alpha, ops.convert_to_tensor(pairs["source_image"]))
        return ops.reshape(ops.sum(image * ops.convert_to_tensor(upstream), axis=(1, 2, 3)), (2, 1))

    slopes = backend.input_gradient(total, ops.convert_to_tensor(pairs["source_texture"]))
    slopes = ops.convert_to_numpy(ops.stop_gradient(slopes))
    expected = np.zeros((2, 32 * 32, 3))
    for b in range(2):
        gain = (pairs["source_alpha"][b] * upstream[b]).reshape(-1, 1, 3) * pairs["source_weight"][b][..., None]
        np.add.at(expected[b], pairs["source_index"][b].ravel(), gain.reshape(-1, 3))
    np.testing.assert_allclose(slopes.reshape(2, -1, 3), expected, atol=1e-5)
