"""Photographs with an index: sources, licences, boxes, and indices that are wrong."""

import io
import json

import numpy as np
import pytest
from PIL import Image

from kgan.data import load
from kgan.data.text.photos import is_free, read_photos, split_sources

pytestmark = pytest.mark.backend_free
HEADER = "file,source,origin,licence,doubt,has_text,group"
ROWS = [  # of the sources, b has most photographs with text, then a, then c and d
    "no/a1.png,a,x,CC0 1.0,,no,1",
    "with/a2.png,a,x,CC BY-SA 4.0,,yes,2",
    "with/b1.png,b,x,CC BY 2.0,,yes,3",
    'with/b2.png,b,x,MIT,"authors, who",yes,8',
    "with/b3.png,b,x,CC BY-SA 3.0,,yes,5",
    "no/c1.png,c,x,public domain,,no,6",
    "no/d1.png,d,x,public domain,,no,7",
]
QUAD = [[10, 20], [70, 22], [70, 35], [10, 33]]
BOXES = {"with/a2.png": {"made_by": "hand", "quads": [QUAD, QUAD]}, "with/b1.png": {"quads": [QUAD]}}


@pytest.fixture
def write(tmp_path):
    """Function that writes the photographs with an index and boxes, and returns the folder."""

    def write(rows=ROWS, boxes=BOXES, header=HEADER):
        for row in ROWS:
            buffer = io.BytesIO()
            Image.new("RGB", (120, 90), "grey").save(buffer, "PNG")
            path = tmp_path / row.partition(",")[0]
            path.parent.mkdir(exist_ok=True)
            path.write_bytes(buffer.getvalue())
        (tmp_path / "index.csv").write_text("\ufeff" + "\r\n".join([header, *rows]) + "\r\n", newline="")
        (tmp_path / "boxes.json").write_text(boxes if isinstance(boxes, str) else json.dumps(boxes))
        return tmp_path

    return write


def names(images):
    return [image.name for image in images]


def test_the_splits_share_no_source(write):
    folder = write()
    train, test = (read_photos(folder, split) for split in ("train", "test"))
    assert names(train) == ["with/b1.png", "with/b2.png", "with/b3.png", "no/c1.png"]
    assert names(test) == ["no/a1.png", "with/a2.png", "no/d1.png"]
    assert train.licence == "of each photograph, in the index.csv"
    with pytest.raises(ValueError, match="all"):
        read_photos(folder, "all")


def test_groups_are_held_out_whole(write):
    """Of a hundred groups of two, a fifth or so."""
    rows = [f"{i}.png,b,x,CC0,,no,{i % 100}" for i in range(200)]
    folder = write(rows, {})
    for i in range(200):
        (folder / f"{i}.png").write_bytes((folder / "no/a1.png").read_bytes())
    train, held = (len(read_photos(folder, split)) for split in ("train", "validation"))
    assert train + held == 200 and held % 2 == 0 and 20 < held < 60
    without = read_photos(write(rows, {}, HEADER.replace("group", "other")), "train")
    # Now each file is a group of its own, and those of one number may part.
    kept = {int(name.removesuffix(".png")) for name in names(without)}
    assert 120 < len(kept) < 180 and any((i + 100) % 200 not in kept for i in kept)
    with pytest.raises(ValueError, match="index.csv has no test photographs"):
        read_photos(folder, "test")


def test_a_column_of_splits_decides(write):
    splits = dict(zip("abcd", ("test", "train", "validation", "train"), strict=True))
    folder = write([f"{row},{splits[row.split(',')[1]]}" for row in ROWS], header=HEADER + ",split")
    assert names(read_photos(folder, "train")) == ["with/b1.png", "with/b2.png", "with/b3.png", "no/d1.png"]
    assert names(read_photos(folder, "validation")) == ["no/c1.png"]
    assert names(read_photos(folder, "test")) == ["no/a1.png", "with/a2.png"]
    folder = write([row + ",test" for row in ROWS[:2]], {}, header=HEADER + ",split")
    with pytest.raises(ValueError, match="index.csv has no train photographs$"):
        read_photos(folder, "train")


def test_free_leaves_out_share_alike_and_doubt(write):
    folder = write()
    assert names(read_photos(folder, "train", free=True)) == ["with/b1.png", "no/c1.png"]
    assert names(read_photos(folder, "test", free=True)) == ["no/a1.png", "no/d1.png"]


@pytest.mark.parametrize(
    ("licence", "free"),
    [
        *((name, True) for name in ("CC0 1.0", "CC0", "public domain", "CC BY 2.0", "cc-by-4.0", "MIT")),
        *((name, True) for name in ("Unsplash License", "Licence Ouverte 2.0 (etalab-2.0)", "CC BY (no version)")),
        *((name, False) for name in ("cc-by-sa-4.0", "CC_BY_SA_4.0", "CC BY ShareAlike", "CC BY-NC 4.0")),
        *((name, False) for name in ("CC BY-ND 2.0", "All rights reserved", "GPL-3.0", "", "CC", "limited")),
    ],
)
def test_licences(licence, free):
    assert is_free(licence) == free


def test_boxes(write):
    folder = write()
    train, test = ({image.name: image for image in read_photos(folder, split)} for split in ("train", "test"))
    np.testing.assert_array_equal(train["with/b1.png"].polygons, [QUAD])
    assert train["with/b1.png"].care == [True] and train["with/b1.png"].size == (90, 120)
    assert len(test["with/a2.png"].polygons) == 2 and not test["no/a1.png"].polygons
    # Text that nobody has outlined is somewhere in the image.
    np.testing.assert_array_equal(train["with/b2.png"].polygons, [[[0, 0], [120, 0], [120, 90], [0, 90]]])
    assert train["with/b2.png"].care == [False]


def test_as_a_data_set(write):
    images, labels = load(f"photos:{write()}", image_size=60)[0:2]
    assert len(images) == 4 and labels.shape == (4, 34)
    assert sorted((labels.max(axis=1) > 0).tolist()) == [False, True, True, True]


def test_sources_take_turns():
    rows = [{"source": source, "has_text": has} for source, has in zip("eeddcab", "yyynnyy", strict=True)]
    rows = [row | {"has_text": "yes" if row["has_text"] == "y" else "no"} for row in rows]
    assert split_sources(rows) == {"e": "train", "a": "test", "b": "train", "d": "test", "c": "train"}
    assert split_sources(rows[::-1]) == split_sources(rows)


@pytest.mark.parametrize(
    ("change", "error", "words"),
    [
        ({"header": "file,source,licence,has_text"}, ValueError, "index.csv lacks the columns doubt"),
        ({"rows": []}, ValueError, "index.csv names no photographs"),
        ({"rows": [*ROWS, "no/a1.png,a,x,CC0,,maybe,1"]}, ValueError, "index.csv, line 9: expected a file"),
        ({"rows": [*ROWS, "no/a1.png,a,x"]}, ValueError, "index.csv, line 9: expected a file"),
        ({"rows": [*ROWS, "no/a1.png,a,x,CC0,,yes,1"]}, ValueError, "index.csv, line 9: no/a1.png is there already"),
        (
            {"rows": [row + "," for row in ROWS], "header": HEADER + ",split"},
            ValueError,
            "line 2: split is '', not train",
        ),
        ({"rows": [*ROWS, "x" * 200_000]}, ValueError, "index.csv is no CSV file"),
        (
            {"boxes": {"./with/b1.png": {"quads": [QUAD]}}},
            ValueError,
            "boxes of ./with/b1.png, which index.csv",
        ),
        ({"boxes": []}, ValueError, "boxes.json has an unexpected structure"),
        ({"rows": [*ROWS, "no/none.png,b,x,CC0,,no,1"]}, FileNotFoundError, "'no/none.png' that index.csv names"),
        ({"rows": [*ROWS, "../out.png,b,x,CC0,,no,1"]}, FileNotFoundError, "out.png"),
        ({"boxes": {"with/b1.png": {"quads": [[[1, 2], [3, 4]]]}}}, ValueError, "boxes.json, with/b1.png, box 1: 4 c"),
        ({"boxes": {"with/b1.png": {"quads": [[[0, 0], [999, 0], [9, 9]]]}}}, ValueError, "boxes.json, with/b1.png"),
        ({"boxes": {"with/b1.png": 3}}, ValueError, "boxes.json has an unexpected structure"),
        ({"boxes": "[1"}, ValueError, "boxes.json"),
    ],
)
def test_what_is_wrong_is_named(write, change, error, words):
    with pytest.raises(error, match=words):
        read_photos(write(**change), "train")


def test_the_free_photographs(shared_data):
    folder = shared_data.parent / "photos"
    if not folder.is_dir():
        pytest.skip("the photographs are not there")
    train, held, test = (read_photos(folder, split) for split in ("train", "validation", "test"))
    assert len(train) + len(held) + len(test) == 1198
    assert sum(bool(image.polygons) for image in (*train, *held, *test)) == 338
    assert not {name.split("__")[0] for name in names(train)} & {name.split("__")[0] for name in names(test)}
    for images in (train, held, test):
        assert 30 < sum(bool(image.polygons) for image in images) < len(images) / 2
