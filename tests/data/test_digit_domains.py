import struct

import numpy as np
import pytest
from PIL import Image
from scipy.io import savemat

from kgan.data import class_names, load

pytestmark = pytest.mark.backend_free

LABELS = np.arange(30) % 10
USPS = np.random.default_rng(0).integers(0, 256, (30, 16, 16)).astype("uint8")
SVHN = np.random.default_rng(1).integers(0, 256, (30, 32, 32, 3)).astype("uint8")
MNIST = np.random.default_rng(2).integers(0, 256, (30, 28, 28)).astype("uint8")


@pytest.fixture
def usps(tmp_path):
    path = tmp_path / "usps.npz"
    np.savez(path, x_train=USPS, y_train=LABELS, x_test=USPS[:10], y_test=LABELS[:10])
    return path


@pytest.fixture
def svhn(tmp_path):
    """Written as SVHN is: height, width, colour, number, and 10 for the digit 0."""
    for split, count in (("train", 30), ("test", 20), ("extra", 10)):
        labels = np.where(LABELS == 0, 10, LABELS)[:count, None].astype("uint8")
        savemat(tmp_path / f"{split}_32x32.mat", {"X": np.moveaxis(SVHN[:count], 0, 3), "y": labels})
    return tmp_path


@pytest.fixture
def mnist_m(tmp_path):
    digits, photos = tmp_path / "digits", tmp_path / "photos"
    digits.mkdir()
    photos.mkdir()
    for name, array in (("images-idx3", MNIST), ("labels-idx1", LABELS.astype("uint8"))):
        for prefix in ("train", "t10k"):
            head = struct.pack(f">I{array.ndim}I", 0x800 + array.ndim, *array.shape)
            (digits / f"{prefix}-{name}-ubyte").write_bytes(head + array.tobytes())
    for i in range(10):
        # Of one grey each, so that which photograph is behind a digit can be told.
        Image.new("RGB", (60, 40), (20 * i, 20 * i, 255)).save(photos / f"{i}.png")
    return f"mnist_m:{digits}:{photos}"


def test_usps(usps):
    images, labels = load(f"usps:{usps}", image_size=16)
    assert images.shape == (30, 16, 16, 1)
    np.testing.assert_allclose((images[..., 0] + 1) * 127.5, USPS, atol=1e-4)
    np.testing.assert_array_equal(labels, LABELS)
    assert load(f"usps:{usps}", "test")[0].shape == (10, 32, 32, 1)
    assert class_names(f"usps:{usps}") == list("0123456789")


def test_svhn(svhn):
    images, labels = load(f"svhn:{svhn}")
    np.testing.assert_allclose((images + 1) * 127.5, SVHN, atol=1e-4)
    np.testing.assert_array_equal(labels, LABELS)
    # The training set is the training set, not the easier and larger extra one.
    assert [len(load(f"svhn:{svhn}", split)[1]) for split in ("train", "test", "extra")] == [30, 20, 10]
    grey = load(f"svhn:{svhn}", channels=1, image_size=16)[0]
    assert grey.shape == (30, 16, 16, 1)


def test_mnist_m_is_a_difference_from_a_photograph(mnist_m):
    found = {}
    for split in ("train", "test"):
        images, labels = load(mnist_m, split)
        assert images.shape == (30, 32, 32, 3)
        np.testing.assert_array_equal(labels, LABELS)
        pixels = np.round((images + 1) * 127.5).astype(int)
        digits = np.pad(MNIST, ((0, 0), (2, 2), (2, 2))).astype(int)
        grounds = pixels[:, 0, 0, 0]  # the border shows the photograph
        found[split] = set((grounds // 20).tolist())
        np.testing.assert_array_equal(pixels[..., 0], np.abs(grounds[:, None, None] - digits))
        np.testing.assert_array_equal(pixels[..., 2], 255 - digits)
    # No photograph is in both splits.
    assert found["test"] <= {4, 9} and not found["train"] & {4, 9} and len(found["train"]) > 4
    np.testing.assert_array_equal(load(mnist_m)[0], load(mnist_m)[0])
    assert not np.array_equal(load(mnist_m)[0], load(mnist_m, seed=1)[0])


def test_textured_digits_are_the_digits():
    plain, labels = load("digits", count=100)
    images, again = load("textured_digits", count=100)
    assert images.shape == (100, 32, 32, 3)
    np.testing.assert_array_equal(labels, again)
    # Where there is no ink the ground shows, where it is full its negative: ink changes what is there.
    digits = np.round((plain[..., 0] + 1) * 127.5)
    pixels = np.round((images + 1) * 127.5)
    assert pixels[digits == 0].std() > 30
    assert np.median(np.abs(np.diff(pixels, axis=2))[..., 0]) < 40
    other = load("textured_digits", count=100, seed=1)[0]
    assert not np.array_equal(images, other)


@pytest.mark.parametrize(
    "arrays, words",
    [
        ({"x_train": USPS}, "has no y_train"),
        ({"x_train": USPS[:, :8], "y_train": LABELS}, r"expected uint8 \(30, 16, 16\)"),
        ({"x_train": USPS.astype("float32"), "y_train": LABELS}, "float32"),
        ({"x_train": USPS, "y_train": LABELS + 1}, "not digits"),
    ],
)
def test_bad_usps(arrays, words, tmp_path):
    np.savez(tmp_path / "usps.npz", **arrays)
    with pytest.raises(ValueError, match=words):
        load(f"usps:{tmp_path / 'usps.npz'}")


def test_bad_files(tmp_path, mnist_m):
    (tmp_path / "usps.npz").write_bytes(b"no archive")
    (tmp_path / "train_32x32.mat").write_bytes(b"no matrix" * 50)
    savemat(tmp_path / "test_32x32.mat", {"X": SVHN, "z": LABELS})
    for name, split in (
        (f"usps:{tmp_path}/usps.npz", "train"),
        (f"svhn:{tmp_path}", "train"),
        (f"svhn:{tmp_path}", "test"),
    ):
        with pytest.raises(ValueError, match="is not|has no") as error:
            load(name, split)
        assert "\n" not in str(error.value)
    for name in (f"usps:{tmp_path}/none.npz", f"svhn:{tmp_path}/none", f"{mnist_m}/none"):
        with pytest.raises(FileNotFoundError):
            load(name)
    with pytest.raises(ValueError, match="DIGITS:PHOTOS"):
        load(f"mnist_m:{tmp_path}")
    for path in sorted((tmp_path / "photos").iterdir())[4:]:
        path.unlink()
    with pytest.raises(ValueError, match="has 4 photographs"):
        load(mnist_m)


def test_real_sets(shared_data):
    images, labels = load(f"usps:{shared_data / 'usps' / 'usps.npz'}", "test")
    assert images.shape == (1005, 32, 32, 1) and set(labels.tolist()) == set(range(10))
    name = f"mnist_m:{shared_data / 'mnist'}:{shared_data / 'bsds500' / 'bsds500_images.zip'}"
    images, labels = load(name, "test", count=200)
    assert images.shape == (200, 32, 32, 3) and (np.bincount(labels) == 20).all()
