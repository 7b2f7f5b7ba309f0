import copy
import io
import shutil
import warnings
import zipfile
from pathlib import Path

import keras
import numpy as np
import pillow_heif
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from kgan.data import class_names, files, load
from kgan.data.files import find_splits

pytestmark = pytest.mark.backend_free


def encode(image, format="PNG", **options):
    if not isinstance(image, Image.Image):
        image = Image.fromarray(image)
    buffer = io.BytesIO()
    image.save(buffer, format, **options)
    return buffer.getvalue()


def plain(value, size=(20, 20)):
    return encode(Image.new("RGB", size, (value, value, value)))


def write(root, files):
    """Writes `{name: bytes}` as a folder and as a zip archive; returns the two names that load them."""
    for name, data in files.items():
        path = root / "folder" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    with zipfile.ZipFile(root / "archive.zip", "w") as archive:
        for name, data in files.items():
            archive.writestr(f"common/{name}", data)
    return f"folder:{root / 'folder'}", f"zip:{root / 'archive.zip'}"


def values(images):
    """The grey value, 0 to 255, of each plain image."""
    return np.round((images.mean(axis=(1, 2, 3)) + 1) * 127.5).astype(int)


@pytest.fixture
def flat(tmp_path):
    """Ten plain images of each of two classes; the value tells the file."""
    files = {f"{name}/{i}.png": plain(start + i) for name, start in (("bird", 0), ("ant", 100)) for i in range(10)}
    return write(tmp_path, files | {"labels.csv": b"not an image", "ant/notes.txt": b"nor this"})


@pytest.mark.parametrize("kind", [0, 1], ids=["folder", "zip"])
def test_flat_layout_is_split_by_file(flat, kind):
    found = {split: load(flat[kind], split) for split in ("train", "test")}
    assert class_names(flat[kind]) == ["ant", "bird"]
    for split, per_class in (("train", 8), ("test", 2)):
        images, labels = found[split]
        assert images.shape == (2 * per_class, 64, 64, 3) and images.dtype == "float32" and labels.dtype == "int32"
        np.testing.assert_array_equal(np.bincount(labels), per_class)
        np.testing.assert_array_equal(labels, values(images) < 100)
    assert sorted([*values(found["train"][0]), *values(found["test"][0])]) == [*range(10), *range(100, 110)]
    assert sorted(values(load(flat[kind], seed=1)[0])) != sorted(values(found["train"][0]))


def test_folder_and_zip_agree(flat):
    for split in ("train", "test"):
        (a, b), (c, d) = (load(name, split, count=2) for name in flat)
        np.testing.assert_array_equal(a, c)
        np.testing.assert_array_equal(b, d)


@pytest.mark.parametrize("kind", [0, 1], ids=["folder", "zip"])
@pytest.mark.parametrize(
    ("first", "second"),
    [
        ("train", "test"),
        ("train", "val"),
        ("Train", "TEST"),
        ("training", "testing"),
        ("TRAIN", "Valid"),
        ("train", "dev"),
    ],
)
def test_split_folders(tmp_path, kind, first, second):
    files = {
        f"{first}/a/1.png": plain(1),
        f"{first}/b/2.png": plain(2),
        f"{second}/b/3.png": plain(3),
        "extra/a/4.png": plain(4),
    }
    name = write(tmp_path, files)[kind]
    with pytest.warns(UserWarning, match="extra/a/4.png: in no class folder, left out"):
        images, labels = load(name)
    assert values(images).tolist() == [1, 2] and labels.tolist() == [0, 1]
    other = "test" if second.lower().startswith("test") else "validation"
    for split in ("test", other):
        images, labels = load(name, split)
        assert values(images).tolist() == [3] and labels.tolist() == [1]
    with pytest.raises(ValueError, match=f"split='no' is not one of 'train', '{other}'"):
        load(name, "no")


def test_two_folders_for_one_split(tmp_path):
    files = {f"{split}/{c}/1.png": plain(1) for split in ("train", "val", "valid") for c in "ab"}
    with pytest.raises(ValueError, match="two folders for one split, 'val' and 'valid'"):
        load(write(tmp_path, files)[0])


def test_images_deeper_than_class_folders_are_named(tmp_path):
    files = {f"{split}/{c}/{i}.png": plain(1) for split in ("seg_train", "seg_test") for c in "ab" for i in range(3)}
    name = write(tmp_path, files)[1]
    with pytest.warns(UserWarning, match="seg_test/./..png, .*seg_train/./..png: more than one folder deep"):
        assert class_names(name) == ["seg_test", "seg_train"]


@pytest.mark.parametrize("kind", [0, 1], ids=["folder", "zip"])
def test_a_class_folder_without_readable_images_is_named(tmp_path, kind):
    """Else the labels of the classes behind it would move, and nobody would know."""
    files = {f"{c}/{i}.png": plain(i) for c in "ad" for i in range(5)}
    files |= {
        "b/notes.txt": b"none",
        "c/1.heic": b"\0\0\0\x18ftypheic" + bytes(99),
        "c/2": encode(np.zeros((9, 9, 3), "uint8"), "JPEG"),
    }
    name = write(tmp_path, files)[kind]
    with pytest.warns(UserWarning, match="b: a folder without images, so no class"):
        assert class_names(name) == ["a", "c", "d"]
    with pytest.warns(UserWarning, match="c/1.heic: not an image in a supported format"):
        images, labels = load(name)
    assert sorted(set(labels.tolist())) == [0, 1, 2] and len(images) == np.bincount(labels).sum()


def test_an_empty_class_folder_is_named(tmp_path):
    name, _ = write(tmp_path, {f"{c}/{i}.png": plain(i) for c in "ac" for i in range(5)})
    (Path(name.partition(":")[2]) / "b").mkdir()
    with pytest.warns(UserWarning, match="b: a folder without images, so no class"):
        assert class_names(name) == ["a", "c"]


def test_a_class_may_have_the_name_of_a_split(tmp_path):
    name, _ = write(tmp_path, {f"{c}/{i}.png": plain(i) for c in ("bus", "train") for i in range(5)})
    assert class_names(name) == ["bus", "train"]


@pytest.mark.parametrize("kind", [0, 1], ids=["folder", "zip"])
@pytest.mark.parametrize(
    ("files", "message"),
    [
        ({"notes.txt": b"", "a/notes.txt": b""}, "has no images"),
        ({"__MACOSX/a/1.png": b"", "a/._1.png": b""}, "has no images"),
        ({"a/1.png": b"", "b/2.png": b"junk"}, "none of the 2 files can be read as an image"),
    ],
)
def test_bad_layouts(tmp_path, kind, files, message):
    name = write(tmp_path, files)[kind]
    with warnings.catch_warnings(), pytest.raises(ValueError, match=message) as caught:
        warnings.simplefilter("ignore")
        load(name)
    assert "\n" not in str(caught.value)


def test_too_few_files_for_a_test_split(tmp_path):
    name, _ = write(tmp_path, {f"{c}/{i}.png": plain(i) for c in "ab" for i in range(2)})
    assert len(load(name)[0]) == 4
    with pytest.raises(ValueError, match="too few images in each class"):
        load(name, "test")


@pytest.mark.parametrize("kind", [0, 1], ids=["folder", "zip"])
def test_images_without_class_folders_have_no_labels(tmp_path, kind):
    name, _ = write(tmp_path, {f"{i}.png": plain(i) for i in range(10)})
    if kind:
        shutil.make_archive(tmp_path / "flat", "zip", name.partition(":")[2])
        name = f"zip:{tmp_path / 'flat.zip'}"
    (images, labels), (test, _) = load(name), load(name, "test")
    assert labels is None and class_names(name) == []
    assert sorted([*values(images), *values(test)]) == list(range(10)) and len(test) == 2
    batches = load(name, memory_limit=1, batch_size=3)
    assert batches[0].shape == (3, 64, 64, 3) and batches.labels is None


def test_split_folders_without_class_folders(tmp_path):
    name, _ = write(tmp_path, {"train/1.png": plain(1), "train/2.png": plain(2), "test/3.png": plain(3)})
    for split, expected in (("train", [1, 2]), ("test", [3])):
        images, labels = load(name, split)
        assert labels is None and values(images).tolist() == expected


def test_one_class(tmp_path):
    name, _ = write(tmp_path, {f"rose/{i}.png": plain(i) for i in range(5)})
    images, labels = load(name)
    assert class_names(name) == ["rose"] and labels.tolist() == [0] * 4 and len(images) == 4


def test_a_rewritten_archive_is_read_afresh(tmp_path):
    for value in (1, 2):
        _, name = write(tmp_path, {f"{c}/{i}.png": plain(value) for c in "ab" for i in range(5)})
        assert set(values(load(name)[0])) == {value}


def broken_files():
    whole = encode(np.random.default_rng(0).integers(0, 256, (64, 64, 3)).astype("uint8"), "JPEG")
    return {
        "empty.png": b"",
        "junk.jpg": b"\xff\xd8\xff junk",
        "truncated.jpg": whole[: len(whole) // 2],
        "script.png": b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\nshowpage\n",
        "bomb.png": encode(Image.new("1", (9000, 9000))),
    }


@pytest.mark.parametrize("kind", [0, 1], ids=["folder", "zip"])
def test_unreadable_files_are_skipped_named_and_counted(tmp_path, kind):
    broken = broken_files()
    good = {f"train/{c}/good{i}.png": plain(10 * i + (c == "b")) for c in "ab" for i in range(3)}
    name = write(tmp_path, good | {f"train/a/{name}": data for name, data in broken.items()})[kind]
    with pytest.warns(UserWarning) as caught:
        images, labels = load(name)
    messages = [str(warning.message) for warning in caught]
    assert values(images).tolist() == [0, 10, 20, 1, 11, 21] and labels.tolist() == [0, 0, 0, 1, 1, 1]
    assert all(any(file in message for message in messages) for file in broken)
    assert messages[-1].endswith("5 of 11 files skipped")
    assert any("9000 x 9000 pixels, more than the limit of 67108864" in message for message in messages)


@pytest.mark.parametrize("kind", [0, 1], ids=["folder", "zip"])
def test_unreadable_files_in_batches(tmp_path, kind):
    broken = broken_files()
    good = {f"train/{c}/good{i}.png": plain(10 * i + (c == "b")) for c in "ab" for i in range(3)}
    name = write(tmp_path, good | {f"train/a/{name}": data for name, data in broken.items()})[kind]
    with pytest.warns(UserWarning) as caught:
        batches = load(name, memory_limit=0, batch_size=4)
    assert len(caught) == 5 and str(caught[-1].message).endswith("4 of 11 files skipped")
    # The head of the truncated file is whole: only decoding shows that it is broken.
    assert isinstance(batches, keras.utils.PyDataset) and len(batches.labels) == 7
    with pytest.warns(UserWarning, match="truncated.jpg"):
        images, labels = (np.concatenate(parts) for parts in zip(*batches, strict=True))
    assert sorted(labels.tolist()) == [0, 0, 0, 0, 1, 1, 1]
    np.testing.assert_array_equal(values(images) % 10, labels)


def test_a_class_that_turns_out_broken(tmp_path):
    truncated = broken_files()["truncated.jpg"]
    name, _ = write(tmp_path, {f"train/{c}/{i}.jpg": truncated for c in "ab" for i in range(2)})
    batches = load(name, memory_limit=0)
    with pytest.warns(UserWarning), pytest.raises(ValueError, match="no file of class '[ab]' can be read"):
        batches[0]


def test_batches_equal_arrays(flat):
    for name in flat:
        images, labels = load(name, "test", image_size=16)
        batches = load(name, "test", image_size=16, memory_limit=0, batch_size=3)
        for got, expected in zip(zip(*batches, strict=True), (images, labels), strict=True):
            np.testing.assert_array_equal(np.concatenate(got), expected)


def test_workers_in_other_processes_read_the_archive_too(flat):
    batches = load(flat[1], "train", memory_limit=0, batch_size=4)
    np.testing.assert_array_equal(copy.deepcopy(batches)[1][0], batches[1][0])


# Decoding, against NumPy.


def decode(data, image_size, channels):
    return files.decode(io.BytesIO(data), image_size, channels)


GRADIENT = np.add.outer(np.arange(16) * 8, np.arange(16) * 4).astype("uint8")
COLOUR = np.stack([GRADIENT, 255 - GRADIENT, np.full_like(GRADIENT, 77)], axis=-1)


@pytest.mark.parametrize("turn", range(1, 9))
def test_exif_orientation(turn):
    """The file holds the pixels as the camera was held; EXIF says how to turn them."""
    stored = {
        1: COLOUR,
        2: COLOUR[:, ::-1],
        3: COLOUR[::-1, ::-1],
        4: COLOUR[::-1],
        5: COLOUR.swapaxes(0, 1),
        6: np.rot90(COLOUR, 1),
        7: COLOUR[::-1, ::-1].swapaxes(0, 1),
        8: np.rot90(COLOUR, -1),
    }[turn]
    exif = Image.Exif()
    exif[0x0112] = turn
    np.testing.assert_array_equal(decode(encode(np.ascontiguousarray(stored), exif=exif), 16, 3), COLOUR)


def test_colour_and_grey():
    luma = COLOUR @ [0.299, 0.587, 0.114]
    np.testing.assert_array_equal(decode(encode(COLOUR), 16, 3), COLOUR)
    np.testing.assert_allclose(decode(encode(COLOUR), 16, 1)[..., 0], luma, atol=1)
    np.testing.assert_array_equal(decode(encode(GRADIENT), 16, 1)[..., 0], GRADIENT)
    np.testing.assert_array_equal(decode(encode(GRADIENT), 16, 3), np.repeat(GRADIENT[..., None], 3, axis=-1))


def test_transparency_lies_over_white():
    alpha = GRADIENT[..., None]
    expected = (COLOUR * (alpha / 255.0) + 255 * (1 - alpha / 255.0)).round()
    np.testing.assert_allclose(decode(encode(np.concatenate([COLOUR, alpha], -1)), 16, 3), expected, atol=1)
    grey = Image.merge("LA", [Image.new("L", (16, 16), 40), Image.new("L", (16, 16), 0)])
    assert (decode(encode(grey), 16, 1) == 255).all()


def test_palette():
    image = Image.new("P", (16, 16), 1)
    image.putpalette([0, 0, 0, 200, 100, 50])
    assert (decode(encode(image), 16, 3) == [200, 100, 50]).all()
    assert (decode(encode(image, transparency=1), 16, 3) == 255).all()
    assert (decode(encode(image, "GIF"), 16, 3) == [200, 100, 50]).all()


@pytest.mark.parametrize("dtype", ["uint16", "int32"])
def test_sixteen_bits(dtype):
    deep = (GRADIENT.astype("float64") * 257).astype(dtype)
    np.testing.assert_array_equal(decode(encode(deep, "TIFF"), 16, 1)[..., 0], GRADIENT)
    np.testing.assert_array_equal(decode(encode(deep.astype("uint16")), 16, 3)[..., 0], GRADIENT)


@pytest.mark.parametrize("kind", ["TIFF", "AVIF", "HEIF", "JPEG2000"])
def test_formats_of_cameras_and_phones(kind, tmp_path):
    pillow_heif.register_heif_opener()
    smooth = Image.fromarray(COLOUR).resize((64, 64), Image.Resampling.BICUBIC)
    options = {"quality": 98} if kind in ("AVIF", "HEIF") else {}
    suffix = {"TIFF": "tif", "AVIF": "avif", "HEIF": "HEIC", "JPEG2000": "jp2"}[kind]
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        for i in range(2):
            (tmp_path / name / f"{i}.{suffix}").write_bytes(encode(smooth, kind, **options))
    images, labels = load(f"folder:{tmp_path}", image_size=64)[0:2]
    assert labels.tolist() == [0, 0, 1, 1]
    np.testing.assert_allclose((images[0] + 1) * 127.5, np.asarray(smooth), atol=12)


def test_floating_point_is_refused():
    with pytest.raises(ValueError, match="floating-point"):
        decode(encode(GRADIENT.astype("float32"), "TIFF"), 16, 1)


def test_cmyk():
    inks = np.full((16, 16, 4), [255, 0, 127, 0], "uint8")
    got = decode(encode(Image.fromarray(inks, "CMYK"), "JPEG", quality=98), 16, 3)
    np.testing.assert_allclose(got, np.full((16, 16, 3), [0, 255, 128]), atol=4)


@pytest.mark.parametrize(("height", "width"), [(32, 64), (64, 32), (64, 64)])
def test_covers_the_square_and_cuts_about_the_centre(height, width):
    left = np.zeros((height, width), "uint8")
    left[height // 2 - 16 : height // 2 + 16, width // 2 - 16 : width // 2 + 16] = 255
    got = decode(encode(left), 16, 1)[..., 0]
    inset = 0 if height != width else 4
    if height == width:
        assert got[:3].max() < 20 and got[:, :3].max() < 20
    assert (got[inset + 1 : 15 - inset, inset + 1 : 15 - inset] > 235).all()


def test_downscaling_is_antialiased():
    checks = (np.indices((256, 256)).sum(axis=0) % 2 * 255).astype("uint8")
    np.testing.assert_allclose(decode(encode(checks), 16, 1), 127.5, atol=3)


def test_fast_jpeg_decoding_loses_nothing_visible():
    y, x = np.indices((128, 128)) / 128
    photo = np.stack([np.sin(9 * x) * np.cos(7 * y), x * y, np.cos(30 * x * y)], axis=-1) * 100 + 128
    photo = photo.astype("uint8")
    averaged = photo.reshape(32, 4, 32, 4, 3).mean(axis=(1, 3))
    np.testing.assert_allclose(decode(encode(photo, "JPEG", quality=95, subsampling=0), 32, 3), averaged, atol=12)


names = st.text("abct.", min_size=1, max_size=4)


@given(
    st.lists(
        st.lists(names | st.sampled_from(["train", "test", "val"]), min_size=1, max_size=4), min_size=1, max_size=12
    )
)
@pytest.mark.filterwarnings("ignore:here")
def test_any_tree_of_files_gives_splits_or_one_clear_error(trees):
    files = {"/".join(parts) + ".png" for parts in trees}
    try:
        splits = find_splits(files, "here")
    except ValueError as error:
        assert str(error).startswith("here has ") and "\n" not in str(error)
        return
    found = [file for samples in splits.values() for _, file in samples]
    assert found and len(found) == len(set(found)) and set(found) <= files
    assert all(name == "" or f"{name}/" in file for samples in splits.values() for name, file in samples)


@pytest.mark.parametrize(
    ("file", "classes", "counts"),
    [("flowers17/flowers17.zip", 14, (896, 224)), ("cifar10_subset/cifar10_subset.zip", 10, (10000, 2000))],
)
def test_real_archives(shared_data, file, classes, counts):
    name = f"zip:{shared_data / file}"
    assert len(class_names(name)) == classes
    for split, count in zip(("train", "test"), counts, strict=True):
        batches = load(name, split, image_size=32, memory_limit=0, count=count)
        assert np.bincount(batches.labels).tolist() == [count // classes] * classes
    images, labels = load(name, "test", image_size=32, count=2 * classes)
    assert images.shape == (2 * classes, 32, 32, 3) and images.std() > 0.3
