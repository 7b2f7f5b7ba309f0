"""PRNet's network against NumPy, and its checkpoint as TensorFlow writes it."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from kgan.makeup import PositionMapNet

SIZE = 32
# Channels and stride, as published.
BLOCKS = [(32, 2), (32, 1), (64, 2), (64, 1), (128, 2), (128, 1), (256, 2), (256, 1), (512, 2), (512, 1)]
UPWARDS = [(512, 1), (256, 2), (256, 1), (256, 1), (128, 2), (128, 1), (128, 1), (64, 2), (64, 1), (64, 1)]
UPWARDS += [(32, 2), (32, 1), (16, 2), (16, 1), (3, 1), (3, 1), (3, 1)]
PARAMETERS = 13_365_508  # of the published network


@pytest.fixture(scope="module")
def weights():
    """Random weights under the names of the published checkpoint, written down apart from the network."""
    rng, found = np.random.default_rng(0), {}

    def norm(name, channels):
        for part, low, high in (("gamma", 0.5, 1.5), ("beta", -0.5, 0.5), ("moving_mean", -0.3, 0.3)):
            found[f"{name}/BatchNorm/{part}"] = rng.uniform(low, high, channels)
        found[f"{name}/BatchNorm/moving_variance"] = rng.uniform(0.5, 1.5, channels)

    def kernel(name, *shape):
        found[f"{name}/weights"] = rng.normal(size=shape) / np.sqrt(np.prod(shape) / shape[-1] / 2)

    kernel("Conv", 4, 4, 3, 16)
    norm("Conv", 16)
    before = 16
    for number, (channels, stride) in enumerate(BLOCKS):
        name = f"resBlock_{number}" if number else "resBlock"
        half = channels // 2
        if (before, stride) != (channels, 1):
            kernel(f"{name}/shortcut", 1, 1, before, channels)
        kernel(f"{name}/Conv", 1, 1, before, half)
        norm(f"{name}/Conv", half)
        kernel(f"{name}/Conv_1", 4, 4, half, half)
        norm(f"{name}/Conv_1", half)
        kernel(f"{name}/Conv_2", 1, 1, half, channels)
        norm(name, channels)
        before = channels
    for number, (channels, _) in enumerate(UPWARDS):
        name = f"Conv2d_transpose_{number}" if number else "Conv2d_transpose"
        kernel(name, 4, 4, channels, before)
        norm(name, channels)
        before = channels
    return {f"resfcn256/{name}": value.astype("float32") for name, value in found.items()}


def checkpoint(path, weights):
    names = [*weights, "resfcn256/Conv/weights/Adam"]  # the published file has the optimizer's, too
    values = [tf.constant(value) for value in weights.values()] + [tf.zeros((4, 4, 3, 16))]
    tf.raw_ops.SaveV2(prefix=str(path), tensor_names=names, shape_and_slices=[""] * len(names), tensors=values)
    return path


def in_numpy(weights, x):
    """The network in float64: `SAME` pads one row before and two after, a transposed convolution is its gradient."""
    weights = {name.removeprefix("resfcn256/"): value.astype("float64") for name, value in weights.items()}

    def conv(x, name, stride=1):
        w = weights[f"{name}/weights"]
        k, (height, width) = len(w), x.shape[:2]
        total = max(k - stride, 0)  # the sizes are multiples of the stride
        x = np.pad(x, ((total // 2, total - total // 2),) * 2 + ((0, 0),))
        windows = np.lib.stride_tricks.sliding_window_view(x, (k, k), (0, 1))[: height + k - 1 : stride, ::stride]
        return np.einsum("ijchw,hwco->ijo", windows[: height // stride, : width // stride], w)

    def upwards(x, name, stride):
        w = weights[f"{name}/weights"]
        height, width = x.shape[:2]
        full = np.zeros((height * stride + 4, width * stride + 4, w.shape[2]))
        for i in range(height):
            for j in range(width):
                full[i * stride : i * stride + 4, j * stride : j * stride + 4] += w @ x[i, j]
        return full[1:, 1:][: height * stride, : width * stride]

    def norm(x, name):
        gamma, beta, mean, variance = (
            weights[f"{name}/BatchNorm/{part}"] for part in ("gamma", "beta", "moving_mean", "moving_variance")
        )
        return (x - mean) / np.sqrt(variance + 1e-3) * gamma + beta

    def relu(x):
        return np.maximum(x, 0)

    x = relu(norm(conv(x, "Conv"), "Conv"))
    for number, (_, stride) in enumerate(BLOCKS):
        name = f"resBlock_{number}" if number else "resBlock"
        shortcut = conv(x, f"{name}/shortcut", stride) if f"{name}/shortcut/weights" in weights else x
        x = relu(norm(conv(x, f"{name}/Conv"), f"{name}/Conv"))
        x = relu(norm(conv(x, f"{name}/Conv_1", stride), f"{name}/Conv_1"))
        x = relu(norm(conv(x, f"{name}/Conv_2") + shortcut, name))
    for number, (_, stride) in enumerate(UPWARDS):
        name = f"Conv2d_transpose_{number}" if number else "Conv2d_transpose"
        x = norm(upwards(x, name, stride), name)
        x = relu(x) if number + 1 < len(UPWARDS) else 1 / (1 + np.exp(-x))
    return x * 1.1 * SIZE


@pytest.mark.every_backend
def test_a_checkpoint_gives_the_positions_that_numpy_computes(weights, tmp_path):
    network = PositionMapNet(SIZE)
    assert network.count_params() == PARAMETERS == sum(value.size for value in weights.values())
    faces = np.random.default_rng(1).random((2, SIZE, SIZE, 3), "float32")
    network.load_checkpoint(checkpoint(tmp_path / "256_256_resfcn256_weight", weights))
    found = network.positions(faces)
    assert found.dtype == "float32" and found.std() > 1
    np.testing.assert_allclose(found[0], in_numpy(weights, faces[0].astype("float64")), atol=0.02)

    network.save(tmp_path / "model.keras")
    again = keras.saving.load_model(tmp_path / "model.keras")
    assert PositionMapNet.from_config(PositionMapNet(SIZE, trainable=False).get_config()).trainable is False
    np.testing.assert_allclose(again.positions(faces), found, atol=1e-3)


def test_what_is_no_checkpoint_of_it(weights, tmp_path):
    network = PositionMapNet(SIZE)
    before = network.get_weights()
    with pytest.raises(FileNotFoundError, match="missing.index is missing"):
        network.load_checkpoint(tmp_path / "missing")
    whole = checkpoint(tmp_path / "whole", weights)
    index, data = (tmp_path / f"whole.{part}" for part in ("index", "data-00000-of-00001"))
    pixels = data.read_bytes()
    middle = len(pixels) // 2
    flipped = pixels[:middle] + bytes([pixels[middle] ^ 255]) + pixels[middle + 1 :]
    for wrong in (pixels[:middle], flipped, b"<!doctype html>"):
        data.write_bytes(wrong)
        with pytest.raises(ValueError, match="whole is no TensorFlow checkpoint, or damaged"):
            network.load_checkpoint(whole)
    data.unlink()
    with pytest.raises(FileNotFoundError, match="whole.data-00000-of-00001 is missing"):
        network.load_checkpoint(index)
    data.write_bytes(pixels)
    index.write_bytes(b"no table")
    with pytest.raises(ValueError, match="whole is no TensorFlow checkpoint, or damaged"):
        network.load_checkpoint(index)
    other = {name: value for name, value in weights.items() if "Conv2d_transpose_16" not in name}
    with pytest.raises(ValueError, match="Conv2d_transpose_16/weights is None instead of \\[4, 4, 3, 3\\]"):
        network.load_checkpoint(checkpoint(tmp_path / "other", other))
    for old, new in zip(before, network.get_weights(), strict=True):
        np.testing.assert_array_equal(old, new)


def test_bad_arguments():
    with pytest.raises(ValueError, match="size=48: pass a multiple of 32"):
        PositionMapNet(48)
    network = PositionMapNet(SIZE)
    with pytest.raises(ValueError, match=r"Faces must be \(n, 32, 32, 3\), got \(1, 64, 64, 3\)"):
        network.positions(np.zeros((1, 64, 64, 3)))
    with pytest.raises(ValueError, match=r"Faces must be in \[0, 1\]"):
        network.positions(np.full((1, SIZE, SIZE, 3), 255.0))
