import gzip
import struct

import numpy as np
import pytest

from kgan.data import class_names, load

pytestmark = pytest.mark.backend_free

IMAGES = np.random.default_rng(0).integers(0, 256, (30, 28, 28)).astype("uint8")
LABELS = (np.arange(30) % 10).astype("uint8")


def idx(array, magic=None, shape=None):
    shape = shape or array.shape
    return struct.pack(f">I{len(shape)}I", magic or 0x800 + len(shape), *shape) + array.tobytes()


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "train-images-idx3-ubyte").write_bytes(idx(IMAGES))
    (tmp_path / "train-labels-idx1-ubyte").write_bytes(idx(LABELS))
    (tmp_path / "t5k-images-idx3-ubyte.gz").write_bytes(gzip.compress(idx(IMAGES[:10])))
    (tmp_path / "t5k-labels-idx1-ubyte.gz").write_bytes(gzip.compress(idx(LABELS[:10])))
    return tmp_path


def test_plain_and_gzipped_files(folder):
    images, labels = load(f"mnist:{folder}")
    assert images.shape == (30, 32, 32, 1)
    np.testing.assert_allclose((images[:, 2:30, 2:30, 0] + 1) * 127.5, IMAGES, atol=1e-4)
    outside = np.ones((32, 32), bool)
    outside[2:30, 2:30] = False
    assert (images[:, outside] == -1).all()
    np.testing.assert_array_equal(labels, LABELS)
    test_images, test_labels = load(f"mnist:{folder}", "test", channels=3)
    np.testing.assert_array_equal(test_images, np.repeat(images[:10], 3, axis=-1))
    np.testing.assert_array_equal(test_labels, LABELS[:10])
    assert class_names(f"mnist:{folder}") == list("0123456789")


def test_other_sizes_and_subsets(folder):
    images, labels = load(f"mnist:{folder}", image_size=16, count=20)
    assert images.shape == (20, 16, 16, 1)
    np.testing.assert_array_equal(np.bincount(labels), 2)


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("train-images-idx3-ubyte", idx(IMAGES, magic=0x801), "is not an idx file of unsigned bytes with 3 dimensions"),
        ("train-images-idx3-ubyte", b"\0\0", "is not an idx file"),
        ("train-images-idx3-ubyte", idx(IMAGES)[:-1], "fewer than the 23520 bytes it claims"),
        ("train-images-idx3-ubyte", idx(IMAGES) + b"\0", "more than the 23520 bytes it claims"),
        ("train-images-idx3-ubyte", idx(IMAGES, shape=(2**32 - 1, 2**16, 2**16)), "more than the limit of 1073741824"),
        ("train-images-idx3-ubyte", idx(IMAGES[:, :14]), r"expected \(30, 28, 28\)"),
        ("train-labels-idx1-ubyte", idx(LABELS[:29]), "29 labels"),
        ("train-labels-idx1-ubyte", idx(LABELS + 1), "the labels reach 10"),
        ("t5k-images-idx3-ubyte.gz", gzip.compress(idx(IMAGES))[:-9], "is not a complete gzip file"),
        ("t5k-images-idx3-ubyte.gz", b"no gzip at all", "is not an idx file"),
    ],
)
def test_broken_files(folder, name, content, message):
    (folder / name).write_bytes(content)
    with pytest.raises(ValueError, match=message) as caught:
        load(f"mnist:{folder}", "test" if name.startswith("t5k") else "train")
    assert "\n" not in str(caught.value)


def test_missing_file(folder):
    (folder / "train-labels-idx1-ubyte").unlink()
    with pytest.raises(
        FileNotFoundError, match=r"no train file called train-labels-idx1-ubyte\[.gz\]; it has .*train-images"
    ):
        load(f"mnist:{folder}")


def test_real_digits(shared_data):
    images, labels = load(f"mnist:{shared_data / 'mnist'}", "test")
    assert images.shape == (5001, 32, 32, 1) and images.min() == -1 and images.max() == 1
    # The known statistics of MNIST's pixels in 0..1: mean 0.1307, standard deviation 0.3081.
    pixels = (images[:, 2:30, 2:30] + 1) / 2
    assert abs(pixels.mean() - 0.1307) < 0.004 and abs(pixels.std() - 0.3081) < 0.004
    assert (np.bincount(labels) > 400).all()


@pytest.mark.parametrize(
    ("name", "pack"),
    [
        ("train-{}.idx{}-ubyte", bytes),  # 7-Zip, Kaggle
        ("train-{0}.idx{1}-ubyte/train-{0}.idx{1}-ubyte", bytes),  # Kaggle
        ("train-{}-idx{}-ubyte.gz", bytes),  # unpacked by a browser
        ("train-{}-idx{}-ubyte", gzip.compress),
        ("train-{}-idx{}-ubyte (1).gz", gzip.compress),  # downloaded twice
        ("MNIST/raw/train-{}-idx{}-ubyte", bytes),  # torchvision
    ],
)
def test_names_that_other_programs_make(tmp_path, name, pack):
    for kind, ndim, data in (("images", 3, idx(IMAGES)), ("labels", 1, idx(LABELS))):
        path = tmp_path / name.format(kind, ndim)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(pack(data))
    images, labels = load(f"mnist:{tmp_path}")
    assert len(images) == 30 and labels.tolist() == LABELS.tolist()
