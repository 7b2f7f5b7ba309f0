import numpy as np
import pytest
from PIL import Image

import kgan

pytestmark = pytest.mark.backend_free
COLOURS = {"blue": (0, 0, 255), "green": (0, 255, 0), "red": (255, 0, 0)}


@pytest.fixture
def photos(tmp_path):
    for name, colour in COLOURS.items():
        (tmp_path / name).mkdir()
        for i in range(10):
            Image.new("RGB", (20, 20), colour).save(tmp_path / name / f"{i}.png")
    return tmp_path


def test_labels_are_of_the_photos_in_it(photos):
    images, labels = kgan.data.load(f"mosaic:{photos}", image_size=16, count=20)
    assert images.shape == (20, 16, 16, 3) and labels.shape == (20, 3)
    assert kgan.data.class_names(f"mosaic:{photos}") == ["blue", "green", "red"]
    seen = set()
    for image, row in zip(images, labels, strict=True):
        quarters = [image[y, x] for y in (4, 12) for x in (4, 12)]
        found = {int(2 - np.argmax(quarter)) for quarter in quarters}
        assert found == set(np.flatnonzero(row))
        seen.add(len(found))
    assert seen == {1, 2, 3} or seen == {2, 3}


def test_each_photo_once_unless_more_are_asked_for(photos):
    source = kgan.data._open(f"mosaic:{photos}", "train", 16, 3, None, 0)
    assert len(source.labels) == 24 // 4 and len(np.unique(source.chosen)) == 24
    more = kgan.data._open(f"mosaic:{photos}", "train", 16, 3, 30, 0)
    np.testing.assert_array_equal(more.chosen[:6], source.chosen)
    assert len(kgan.data.load(f"mosaic:{photos}", "test", image_size=16)[0]) == 1


def test_what_does_not_fit(photos, tmp_path_factory):
    with pytest.raises(ValueError, match="even size"):
        kgan.data.load(f"mosaic:{photos}", image_size=15)
    with pytest.raises(FileNotFoundError, match="mosaic:PATH"):
        kgan.data.load("mosaic:nowhere")
    flat = tmp_path_factory.mktemp("flat")
    Image.new("RGB", (8, 8)).save(flat / "a.png")
    with pytest.raises(ValueError, match="no class folders"):
        kgan.data.load(f"mosaic:{flat}")


def test_cifar(shared_data):
    images, labels = kgan.data.load(f"mosaic:{shared_data / 'cifar10_subset' / 'cifar10_subset.zip'}", count=8)
    assert images.shape == (8, 64, 64, 3) and labels.shape == (8, 10) and set(labels.sum(axis=1)) <= {1, 2, 3, 4}
