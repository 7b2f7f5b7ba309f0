import abc
import functools

import numpy as np
import pytest
from PIL import Image

from kgan.data import PairBatches, class_names, hide_labels, load

pytestmark = pytest.mark.backend_free

tfds = pytest.importorskip("tensorflow_datasets")
tf = pytest.importorskip("tensorflow")

PHOTOS = np.random.default_rng(0).integers(64, 192, (40, 6, 6, 3)).astype("uint8").repeat(8, axis=1).repeat(6, axis=2)
DIGITS = np.random.default_rng(1).integers(0, 256, (40, 28, 28, 1)).astype("uint8")
NAMES = ["zoe", "amy", "max", "eva"]


class ToySet(tfds.core.GeneratorBasedBuilder):
    VERSION = tfds.core.Version("1.0.0")
    SPLITS = {"train": range(0, 30), "test": range(30, 40)}

    def _info(self):
        return tfds.core.DatasetInfo(builder=self, features=tfds.features.FeaturesDict(self.FEATURES))

    def _split_generators(self, manager):
        return {split: self._generate_examples(samples) for split, samples in self.SPLITS.items()}

    def _generate_examples(self, samples):
        for i in samples:
            yield i, self.example(i)

    @abc.abstractmethod
    def example(self, i): ...


class KganToyPhotos(ToySet):
    """Like Oxford's flowers: colour, class labels, train and test."""

    FEATURES = {
        "image": tfds.features.Image(shape=(None, None, 3), encoding_format="png"),
        "label": tfds.features.ClassLabel(names=NAMES),
    }

    def example(self, i):
        return {"image": PHOTOS[i], "label": i % 4}


class KganToyDigits(ToySet):
    """Like MNIST: grey, 28 x 28; here with no test split but one for validation."""

    SPLITS = {"train": range(0, 30), "validation": range(30, 40)}
    FEATURES = {"image": tfds.features.Image(shape=(28, 28, 1)), "label": tfds.features.ClassLabel(num_classes=10)}

    def example(self, i):
        return {"image": DIGITS[i], "label": i % 10}


class KganToyHouseNumbers(ToySet):
    """Like `svhn_cropped`: colour, 32 x 32, class labels 0 to 9, one split more."""

    SPLITS = {"train": range(0, 20), "test": range(20, 30), "extra": range(30, 40)}
    FEATURES = {"image": tfds.features.Image(shape=(32, 32, 3)), "label": tfds.features.ClassLabel(num_classes=10)}

    def example(self, i):
        return {"image": PHOTOS[i][:32, :32], "label": i % 10}


class KganToyFaces(ToySet):
    """Like LFW: names as labels and one split."""

    SPLITS = {"train": range(0, 40)}
    FEATURES = {"image": tfds.features.Image(shape=(48, 36, 3)), "label": tfds.features.Text()}

    def example(self, i):
        return {"image": PHOTOS[i], "label": NAMES[i % 4]}


class KganToyThings(ToySet):
    """Like COCO: none, one or several things in an image, of four kinds."""

    FEATURES = {
        "image": tfds.features.Image(shape=(None, None, 3), encoding_format="png"),
        "objects": tfds.features.Sequence(
            {"bbox": tfds.features.BBoxFeature(), "label": tfds.features.ClassLabel(names=NAMES)}
        ),
    }

    def example(self, i):
        box = tfds.features.BBox(0.0, 0.0, 1.0, 1.0)
        return {"image": PHOTOS[i], "objects": [{"bbox": box, "label": k} for k in [i % 4] * (i % 3) + [3] * (i % 2)]}


class KganToyThingsInOnePiece(KganToyThings):
    SPLITS = {"train": range(40)}


class Coco(KganToyThings):
    """The labels of the test images are not published."""

    SPLITS = {"train": range(0, 20), "validation": range(20, 30), "test": range(30, 40)}


class KganToyText(ToySet):
    SPLITS = {"train": range(2)}
    FEATURES = {"text": tfds.features.Text()}

    def example(self, i):
        return {"text": str(i)}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("tfds")
    for builder in (*ToySet.__subclasses__(), *KganToyThings.__subclasses__()):
        builder(data_dir=folder).download_and_prepare()
    return str(folder)


def arrays(dataset):
    return tuple(np.concatenate(parts) for parts in zip(*dataset.as_numpy_iterator(), strict=True))


def photo(i):
    """Photo `i` cut to a square of 36: the rows 6 to 42 of 48."""
    return PHOTOS[i][6:42] / 127.5 - 1


def test_batches_of_photos(folder):
    dataset = load("kgan_toy_photos", "test", image_size=36, batch_size=4, data_dir=folder)
    shapes = [(images.shape, images.dtype, labels.dtype) for images, labels in dataset.as_numpy_iterator()]
    assert shapes == [((n, 36, 36, 3), "float32", "int32") for n in (4, 4, 2)]
    images, labels = arrays(dataset)
    assert sorted(labels.tolist()) == sorted(i % 4 for i in range(30, 40))
    for image, label in zip(images, labels, strict=True):
        distances = [np.abs(image - photo(i)).max() for i in range(30, 40)]
        assert min(distances) < 1e-5 and (30 + np.argmin(distances)) % 4 == label
    assert class_names("kgan_toy_photos", data_dir=folder) == NAMES


def test_resizing_is_like_that_of_files(folder):
    images, labels = arrays(load("kgan_toy_photos", "test", image_size=16, data_dir=folder))
    expected = [Image.fromarray(PHOTOS[i][6:42]).resize((16, 16), Image.Resampling.LANCZOS) for i in range(30, 40)]
    expected = np.stack([np.asarray(image) for image in expected]) / 127.5 - 1
    for image in images:
        assert np.abs(image - expected).max(axis=(1, 2, 3)).min() < 3 / 127.5


def test_train_is_shuffled_by_seed_and_epoch(folder):
    def orders(seed):
        dataset = load("kgan_toy_photos", image_size=8, seed=seed, data_dir=folder)
        return [arrays(dataset)[0].mean(axis=(1, 2, 3)) for _ in range(2)]

    first, again, other = orders(1), orders(1), orders(2)
    np.testing.assert_array_equal(first, again)
    assert not np.array_equal(first[0], first[1]) and not np.array_equal(first[0], other[0])
    np.testing.assert_allclose(np.sort(first[0]), np.sort(other[1]), atol=1e-6)


def test_count_takes_equal_classes(folder):
    dataset = load("kgan_toy_photos", image_size=8, count=12, data_dir=folder)
    assert dataset.cardinality() == 1
    np.testing.assert_array_equal(np.bincount(arrays(dataset)[1]), 3)


def test_digits_get_a_border(folder):
    images, labels = arrays(load("kgan_toy_digits", "test", data_dir=folder))
    assert images.shape == (10, 32, 32, 1) and (images[:, :2] == -1).all() and (images[:, :, 30:] == -1).all()
    for image, label in zip(images, labels, strict=True):
        np.testing.assert_allclose((image[2:30, 2:30] + 1) * 127.5, DIGITS[30 + label], atol=1e-3)
    colour, _ = arrays(load("kgan_toy_digits", "test", channels=3, data_dir=folder))
    np.testing.assert_allclose(colour, np.repeat(images, 3, axis=-1), atol=1e-6)


def test_house_numbers_and_digits_are_two_domains(folder):
    """SVHN and MNIST as MM-SSIT takes them: the same shape, pixels as they are, `extra` not a part of `train`."""
    load_domain = functools.partial(load, image_size=32, channels=3, data_dir=folder)
    a, b = arrays(load_domain("kgan_toy_house_numbers")), arrays(load_domain("kgan_toy_digits"))
    assert a[0].shape == (20, 32, 32, 3) and b[0].shape == (30, 32, 32, 3)
    found = []
    for image, label in zip(*a, strict=True):
        i = np.argmin([np.abs(image - photo[:32, :32] / 127.5 + 1).max() for photo in PHOTOS])
        np.testing.assert_allclose(image, PHOTOS[i][:32, :32] / 127.5 - 1, atol=1e-5)
        assert label == i % 10
        found.append(i)
    assert sorted(found) == list(range(20))
    batch = PairBatches(*((images, hide_labels(labels, 1)) for images, labels in (a, b)), batch_size=20)[0]
    for d in "ab":
        assert sorted(batch[f"labels_{d}"].tolist()) == [-1] * 10 + list(range(10))


def test_text_labels_become_indices_of_sorted_names(folder):
    assert class_names("kgan_toy_faces", data_dir=folder) == sorted(NAMES)
    found = []
    for split, n in (("train", 32), ("test", 8)):
        images, labels = arrays(load("kgan_toy_faces", split, image_size=36, data_dir=folder))
        np.testing.assert_array_equal(np.bincount(labels), n // 4)
        for image, label in zip(images, labels, strict=True):
            i = np.argmin([np.abs(image - photo(i)).max() for i in range(40)])
            assert NAMES[i % 4] == sorted(NAMES)[label]
            found.append(i)
    assert sorted(found) == list(range(40))


def stretched(i):
    return np.asarray(Image.fromarray(PHOTOS[i]).resize((36, 36), Image.Resampling.LANCZOS)) / 127.5 - 1


def things(i):
    return [int((k == i % 4 and i % 3 > 0) or (k == 3 and i % 2 > 0)) for k in range(4)]


@pytest.mark.parametrize(
    "name, splits",
    [
        ("kgan_toy_things", {"train": 30, "test": 10}),
        ("kgan_toy_things_in_one_piece", {"train": 32, "test": 8}),
    ],
)
def test_things_in_an_image_become_labels_of_each_class(name, splits, folder):
    found = []
    for split, n in splits.items():
        images, labels = arrays(load(name, split, image_size=36, data_dir=folder))
        assert labels.shape == (n, 4) and labels.dtype == "int32"
        for image, label in zip(images, labels, strict=True):
            i = np.argmin([np.abs(image - stretched(i)).mean() for i in range(40)])
            assert np.abs(image - stretched(i)).max() < 4 / 127.5  # all of it is there
            assert label.tolist() == things(i)
            found.append(i)
    assert sorted(found) == list(range(40))
    assert class_names(name, data_dir=folder) == NAMES
    some = arrays(load(name, image_size=8, count=7, seed=1, data_dir=folder))
    assert [len(part) for part in some] == [7, 7]


def test_the_test_split_of_coco_is_for_validation(folder):
    images, labels = arrays(load("coco", "test", image_size=36, data_dir=folder))
    expected = sorted(things(i) for i in range(20, 30))
    assert sorted(labels.tolist()) == expected and len(images) == 10


def test_grey_is_luma(folder):
    images, labels = arrays(load("kgan_toy_photos", "test", image_size=36, channels=1, data_dir=folder))
    expected = np.stack([photo(i) @ [0.299, 0.587, 0.114] for i in range(30, 40)])
    for image in images:
        assert np.abs(image[..., 0] - expected).max(axis=(1, 2)).min() < 2 / 127.5


def test_errors(folder, tmp_path):
    with pytest.raises(ValueError, match="split='no' is not one of 'train', 'test'"):
        load("kgan_toy_photos", "no", data_dir=folder)
    with pytest.raises(
        ValueError, match="'kgan_toy_text' has no image with a class label or with objects; its features: text"
    ):
        load("kgan_toy_text", data_dir=folder)
    with pytest.raises(ValueError, match="did you mean 'kgan_toy_faces'"):
        load("kgan_toy_face")


@pytest.mark.parametrize("error", [ConnectionError("no route\nto the host"), OSError()])
def test_data_that_cannot_be_fetched(tmp_path, monkeypatch, error):
    def fail(self):
        raise error

    monkeypatch.setattr(KganToyFaces, "download_and_prepare", fail)
    for load_or_name in (load, class_names):
        with pytest.raises(FileNotFoundError, match=f"tfds build kgan_toy_faces --data_dir {tmp_path}") as caught:
            load_or_name("kgan_toy_faces", data_dir=str(tmp_path))
        assert "\n" not in str(caught.value)


def test_set_that_needs_another_package(tmp_path, monkeypatch):
    def fail(self):
        raise ModuleNotFoundError("No module named 'scipy'", name="scipy")

    monkeypatch.setattr(KganToyFaces, "download_and_prepare", fail)
    with pytest.raises(ImportError, match="pip install scipy"):
        load("kgan_toy_faces", data_dir=str(tmp_path))
