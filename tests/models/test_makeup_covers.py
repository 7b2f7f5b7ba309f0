"""The network that finds what is in front of a face."""

import numpy as np
import pytest

from kgan.models.makeup.networks import build_cover_network

pytestmark = pytest.mark.every_backend


def test_shapes_and_size():
    network = build_cover_network()
    faces = np.random.default_rng(0).normal(size=(2, 128, 128, 5)).astype("float32")
    assert network.predict(faces, verbose=0).shape == (2, 128, 128, 1)
    assert 200_000 < network.count_params() < 300_000
    assert build_cover_network(0.5).count_params() < 0.4 * network.count_params()
    with pytest.raises(ValueError, match="width"):
        build_cover_network(0)
