"""`multilabel:`: folders and archives with a CSV, right and wrong."""

import shutil
import time
import warnings

import numpy as np
import pytest
from PIL import Image

import kgan

pytestmark = pytest.mark.backend_free

FILES = ["a.png", "b.png", "sub/c.jpg", "d.png", "e.png"]
COLUMNS = """file,cat,dog
a.png,1,0
b.png,0,1
sub/c.jpg,1,-1
d.png,1.0,
e.png,0,0
"""
NAMES = """file,labels
a.png,cat
b.png,dog
sub/c.jpg,cat; dog
d.png,dog;cat;
e.png,
"""


def write(folder, text, files=FILES, name="labels.csv", encoding="utf-8"):
    for i, file in enumerate(files):
        (folder / file).parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (40, 20), (20 * i, 0, 0)).save(folder / file)
    (folder / name).write_bytes(text.encode(encoding))
    return f"multilabel:{folder}"


def load(name, *args, **options):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        return kgan.data.load(name, *args, image_size=16, **options)


def both_splits(name):
    parts = [load(name, split) for split in ("train", "test")]
    images, labels = (np.concatenate(column) for column in zip(*parts, strict=True))
    order = images[:, 0, 0, 0].argsort()
    return images[order], labels[order]


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize(
    "text, expected",
    [
        (COLUMNS, [[1, 0], [0, 1], [1, -1], [1, -1], [0, 0]]),
        (NAMES, [[1, 0], [0, 1], [1, 1], [1, 1], [0, 0]]),
        (COLUMNS.replace("\n", "\r\n"), [[1, 0], [0, 1], [1, -1], [1, -1], [0, 0]]),
        ("\ufeff" + NAMES, [[1, 0], [0, 1], [1, 1], [1, 1], [0, 0]]),
    ],
)
def test_labels(text, expected, packed, tmp_path):
    name = write(tmp_path / "set", text)
    if packed:
        name = "multilabel:" + shutil.make_archive(tmp_path / "set", "zip", tmp_path, "set")
    images, labels = both_splits(name)
    assert images.shape == (5, 16, 16, 3) and kgan.data.class_names(name) == ["cat", "dog"]
    np.testing.assert_array_equal(labels, expected)
    assert len(load(name, "test")[0]) == 1


def test_a_split_column_and_files_in_a_folder_of_images(tmp_path):
    rows = ["file,split,cat", "a.png,train,1", "b.png,val,1", "sub/c.jpg,TEST,1", "d.png,test,0", "e.png,Training,0"]
    write(tmp_path / "images", "", name="ignored.txt")
    (tmp_path / "set.csv").write_text("\n".join(rows))
    sizes = {split: len(load(f"multilabel:{tmp_path}", split)[0]) for split in ("train", "test", "validation", "val")}
    assert sizes == {"train": 2, "test": 2, "validation": 1, "val": 1}
    with pytest.raises(ValueError, match="split='night' is not one of 'train', 'validation', 'test'"):
        load(f"multilabel:{tmp_path}", "night")


def test_images_are_stretched_not_cut(tmp_path):
    image = Image.new("RGB", (60, 20))
    image.paste((255, 255, 255), (0, 0, 10, 20))  # at the left end, which a cut to the centre would lose
    name = write(tmp_path, "file,split,cat\na.png,train,1\n", ["a.png"])
    image.save(tmp_path / "a.png")
    pixels = load(name)[0][0]
    assert pixels[:, :2].min() > 0.8 and pixels[:, 4:].max() < -0.8


def test_a_broken_image_is_left_out_with_its_labels(tmp_path):
    name = write(tmp_path, COLUMNS)
    (tmp_path / "b.png").write_bytes((tmp_path / "b.png").read_bytes()[:50])
    images, labels = both_splits(name)
    assert len(images) == len(labels) == 4 and [0, 1] not in labels.tolist()
    with pytest.warns(UserWarning, match=r"b\.png"):
        kgan.data.load(name, image_size=16)
    (tmp_path / "sub/c.jpg").write_bytes((tmp_path / "sub/c.jpg").read_bytes()[:100])
    lines = COLUMNS.splitlines()
    (tmp_path / "labels.csv").write_text("\n".join([lines[0] + ",split", *(line + ",train" for line in lines[1:])]))
    batches = load(name, memory_limit=1, batch_size=8)
    with pytest.warns(UserWarning, match=r"b\.png"):  # whose header is sound
        images, labels = batches[0]
    reds = np.round((images[:, 0, 0, 0] + 1) * 127.5 / 20).astype(int)
    assert sorted(reds) == [0, 3, 4]
    np.testing.assert_array_equal(labels[reds.argsort()], [[1, 0], [1, -1], [0, 0]])


@pytest.mark.parametrize(
    "text, words",
    [
        (COLUMNS, "(train|test) images have no label"),
        ("file,cat,dog\n" + "".join(f"{file},1,0\n" for file in FILES), "no (train|test) image has a label of dog"),
    ],
)
def test_what_looks_odd_is_said(text, words, tmp_path):
    name = write(tmp_path, text.replace("e.png,0,0", "e.png,0,0").replace("a.png,1,0", "a.png,0,0"))
    with pytest.warns(UserWarning, match=words):
        for split in ("train", "test"):
            kgan.data.load(name, split, image_size=16)


@pytest.mark.parametrize(
    "text, words",
    [
        (COLUMNS + "f.png,1,0\ng.png,1,0\n", r"f\.png, .*g\.png: not there"),
        (COLUMNS.replace("b.png,0,1\n", ""), r"b\.png: not in the CSV"),
        (COLUMNS + "a.png,1,0\n", r"a\.png twice, in lines 2 and 7"),
        (COLUMNS + "./a.png,1,0\n", r"a\.png twice"),
        (COLUMNS.replace("a.png,1,0", "a.png,2,0"), r"line 2, column 'cat': '2' is not 1, 0, -1 or empty"),
        (COLUMNS.replace("a.png,1,0", "a.png,yes,0"), "'yes' is not 1"),
        (COLUMNS.replace("a.png,1,0", "a.png,nan,0"), "'nan' is not 1"),
        (COLUMNS.replace("a.png,1,0", "a.png,1"), r"line 2: 2 cells, but 3 columns"),
        (COLUMNS.replace("cat,dog", "cat,cat"), "repeated: 'cat'"),
        (COLUMNS.replace("cat,dog", "cat,"), "empty or repeated: ''"),
        (COLUMNS.replace("file,", "path,"), "first column must be called 'file', not 'path'"),
        (COLUMNS.replace("cat,dog", "cat;puma,dog"), "'cat;puma' is no name of a class"),
        (COLUMNS + '"f.png,1,0\n' + 20_000 * "f.png,1,0\n", r"line \d+: field larger than field limit"),
        (COLUMNS + '"f\n.png",1,0\nb.png,2,0\n', "line 9, column 'cat': '2'"),
        ("", "first column must be called 'file'"),
        ("file,cat,dog\n", "names no file"),
        ("file,labels\n" + "".join(f"{file},\n" for file in FILES), "names no class"),
        ("file\n" + "".join(f"{file}\n" for file in FILES), "names no class"),
        ("file,split,cat\n" + "".join(f"{file},evening,1\n" for file in FILES), "line 2: split 'evening'"),
        ("file,cat\n../a.png,1\n", "not there"),
    ],
)
def test_a_csv_that_does_not_fit(text, words, tmp_path):
    name = write(tmp_path, text)
    with pytest.raises(ValueError, match=words) as error:
        load(name)
    assert "\n" not in str(error.value)


def test_no_csv_two_csv_or_none_that_can_be_read(tmp_path):
    name = write(tmp_path, COLUMNS, name="labels.txt")
    with pytest.raises(ValueError, match="one CSV file with a column 'file' is needed, found none"):
        load(name)
    write(tmp_path, COLUMNS, name="one.csv"), write(tmp_path, COLUMNS, name="two.csv")
    with pytest.raises(ValueError, match=r"found one\.csv, two\.csv"):
        load(name)
    (tmp_path / "two.csv").unlink()
    write(tmp_path, COLUMNS.replace("cat", "Löwe"), name="one.csv", encoding="latin-1")
    with pytest.raises(ValueError, match="not in UTF-8"):
        load(name)
    with pytest.raises(FileNotFoundError):
        load("multilabel:nowhere")


def test_validation_is_the_test_split_of_a_set_without(tmp_path):
    lines = COLUMNS.splitlines()
    splits = ("train", "train", "train", "valid", "val")
    rows = [f"{line},{split}" for line, split in zip(lines[1:], splits, strict=True)]
    name = write(tmp_path, "\n".join([lines[0] + ",split", *rows]))
    np.testing.assert_array_equal(load(name, "test")[1], [[1, -1], [0, 0]])
    np.testing.assert_array_equal(load(name, "validation")[1], [[1, -1], [0, 0]])
    write(tmp_path, "\n".join([lines[0] + ",split", *rows, "f.png,1,1,test"]), [*FILES, "f.png"])
    np.testing.assert_array_equal(load(name, "test")[1], [[1, 1]])


def test_class_names_of_a_set_to_test_on(tmp_path, recwarn):
    lines = COLUMNS.splitlines()
    name = write(tmp_path, "\n".join([lines[0] + ",split", *(line + ",test" for line in lines[1:])]))
    assert kgan.data.class_names(name) == ["cat", "dog"]
    kgan.data.load(name, "test", image_size=16)
    said = [str(warning.message) for warning in recwarn if str(tmp_path) in str(warning.message)]
    assert said == [f"{tmp_path}: 1 of 5 test images have no label"], "by load alone"
    write(tmp_path, "file,cat\na.png,5\n")
    with pytest.raises(ValueError, match="'5' is not 1"):
        kgan.data.class_names(name)


def test_file_names_of_other_systems(tmp_path):
    """Accents as macOS writes them, and a character that `splitlines` takes for the end of a line."""
    files = ["u\u0308.png", "b\u2028.png", "sub/c.jpg", "d.png", "e.png"]
    text = COLUMNS.replace("a.png", "\u00fc.png").replace("b.png", "b\u2028.png")
    _, labels = both_splits(write(tmp_path, text, files))
    np.testing.assert_array_equal(labels, [[1, 0], [0, 1], [1, -1], [1, -1], [0, 0]])


def test_names_that_differ_in_how_accents_are_written(tmp_path):
    files = ["u\u0308.png", "\u00fc.png", "sub/c.jpg", "d.png", "e.png"]
    text = COLUMNS.replace("a.png", files[0]).replace("b.png", files[1])
    _, labels = both_splits(write(tmp_path, text, files))
    np.testing.assert_array_equal(labels, [[1, 0], [0, 1], [1, -1], [1, -1], [0, 0]])


def test_many_class_names(tmp_path):
    names = ";".join(f"n{i}" for i in range(20_000))
    started = time.perf_counter()
    assert len(kgan.data.class_names(write(tmp_path, NAMES.replace("cat\n", f"{names}\n", 1)))) == 20_002
    assert time.perf_counter() - started < 3


def test_count_is_a_random_subset(tmp_path):
    name = write(tmp_path, NAMES)
    labels = [load(name, count=n, seed=1)[0][:, 0, 0, 0].tolist() for n in (2, 3)]
    assert len(labels[0]) == 2 and set(labels[0]) <= set(labels[1])
    with pytest.raises(ValueError, match="count=5, but the split has only 4"):
        load(name, count=5)


def test_coco_of_the_pack(shared_data):
    name = f"multilabel:{shared_data / 'coco128x2' / 'coco128x2.zip'}"
    images, labels = load(name)
    assert images.shape == (173, 16, 16, 3) and labels.shape == (173, 80)
    assert kgan.data.class_names(name)[:2] == ["person", "bicycle"]
