import zipfile

import numpy as np
import pytest
from PIL import Image

from kgan.data import class_names, load

pytestmark = pytest.mark.backend_free


def picture(colour, size=(40, 40)):
    return Image.new("RGB", size, colour)


@pytest.fixture
def side_by_side(tmp_path):
    """Left halves red, right halves green, as pix2pix has edges and shoes."""
    for split, count in (("train", 6), ("val", 2)):
        (tmp_path / "shoes" / split).mkdir(parents=True)
        for i in range(count):
            pair = picture((200 + i, 0, 0), (80, 40))
            pair.paste(picture((0, 200 + i, 0)), (40, 0))
            pair.save(tmp_path / "shoes" / split / f"{i}.png")
    return tmp_path / "shoes"


@pytest.fixture
def apart(tmp_path):
    for number, name in enumerate(("trainA", "trainB", "testA", "testB")):
        (tmp_path / "bags" / name).mkdir(parents=True)
        for i in range(3):
            picture((50 * number, i, 0)).save(tmp_path / "bags" / name / f"{i}.png")
    return tmp_path / "bags"


@pytest.fixture
def faces(tmp_path):
    """Person p has p + 3 images in NIR and 6 in VIS; the colour says whose and which."""
    for folder in ("NIR", "VIS"):
        for person in range(5):
            (tmp_path / "faces" / folder / f"p{person}").mkdir(parents=True)
            for i in range(person + 3 if folder == "NIR" else 6):
                colour = (40 * person, 20 * i, 255 * (folder == "VIS"))
                picture(colour).save(tmp_path / "faces" / folder / f"p{person}" / f"{i}.png")
    return tmp_path / "faces"


def colours(images):
    """The colour of each image of one colour, in bytes."""
    pixels = np.round((images + 1) * 127.5).astype(int)
    assert (np.ptp(pixels, axis=(1, 2)) == 0).all()
    return pixels[:, 0, 0].tolist()


def zipped(folder):
    path = folder.with_suffix(".zip")
    with zipfile.ZipFile(path, "w") as archive:
        for file in folder.rglob("*.png"):
            archive.write(file, file.relative_to(folder.parent))
    return path


@pytest.mark.parametrize("pack", [lambda folder: folder, zipped])
def test_halves(side_by_side, pack):
    path = pack(side_by_side)
    a, labels = load(f"pair:{path}:a", image_size=16)
    assert a.shape == (6, 16, 16, 3) and labels.tolist() == [0] * 6
    assert colours(a) == [[200 + i, 0, 0] for i in range(6)]
    assert colours(load(f"pair:{path}:b", image_size=16)[0]) == [[0, 200 + i, 0] for i in range(6)]
    assert len(load(f"pair:{path}:b", "test")[0]) == 2 and load(f"pair:{path}:a", "test")[0].shape[1] == 128
    assert class_names(f"pair:{path}:a") == ["all"]
    # Of both domains the same files.
    some = [load(f"pair:{path}:{d}", image_size=16, count=3, seed=1)[0] for d in "ab"]
    assert [c[0] for c in colours(some[0])] == [c[1] for c in colours(some[1])]


@pytest.mark.parametrize("pack", [lambda folder: folder, zipped])
def test_folders_of_domains(apart, pack):
    path = pack(apart)
    found = {(d, split): colours(load(f"pair:{path}:{d}", split, image_size=16)[0]) for d in "ab" for split in SPLITS}
    expected = {("a", "train"): 0, ("b", "train"): 50, ("a", "test"): 100, ("b", "test"): 150}
    assert found == {key: [[red, i, 0] for i in range(3)] for key, red in expected.items()}


SPLITS = ("train", "test")


def test_a_file_that_is_no_pair_is_skipped(side_by_side):
    picture("blue", (70, 40)).save(side_by_side / "train" / "3.png")
    with pytest.warns(UserWarning, match="70 x 40 pixels are not two squares"):
        images, _ = load(f"pair:{side_by_side}:a", image_size=16)
    assert len(images) == 5


def test_faces(faces):
    """Persons with five images in both; three are for training, two others for testing, the same with every call."""
    assert class_names(f"nir_vis:{faces}:nir") == ["p2", "p3", "p4"]
    for domain, blue in (("nir", 0), ("vis", 255)):
        seen = {}
        for split, count in (("train", 3), ("test", 2)):
            images, labels = load(f"nir_vis:{faces}:{domain}", split, image_size=16)
            assert labels.tolist() == np.repeat([0, 1, 2], count).tolist()
            found = colours(images)
            assert [c[0] for c in found] == [40 * (2 + label) for label in labels] and {c[2] for c in found} == {blue}
            seen[split] = {tuple(c) for c in found}
            assert found == colours(load(f"nir_vis:{faces}:{domain}", split, image_size=16)[0])
        assert len(seen["train"]) == 9 and len(seen["test"]) == 6 and not seen["train"] & seen["test"]


def test_bad_paths(side_by_side, faces, tmp_path):
    for name, words in (
        (f"pair:{side_by_side}", "pass 'pair:PATH:a' or 'pair:PATH:b'"),
        (f"pair:{side_by_side}:c", "pass 'pair:PATH:a' or 'pair:PATH:b'"),
        (f"pair:{faces}:b", "no train images of domain 'b': expected them in train or trainB"),
        (f"nir_vis:{side_by_side}:vis", "no images of domain 'nir'"),
    ):
        with pytest.raises(ValueError, match=words):
            load(name)
    with pytest.raises(FileNotFoundError, match="no folder or zip archive"):
        load(f"pair:{tmp_path / 'nothing'}:a")
    with pytest.raises(ValueError, match="leave out count"):
        load(f"nir_vis:{faces}:nir", count=3)


def test_few_faces(faces):
    for person in ("p3", "p4"):
        (faces / "VIS" / person / "0.png").unlink()
        (faces / "VIS" / person / "1.png").unlink()
    with pytest.raises(ValueError, match="people with at least 5 images in both domains: 1;"):
        load(f"nir_vis:{faces}:vis")
