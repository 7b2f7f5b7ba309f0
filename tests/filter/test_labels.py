"""Labels of people's own images: which names fit which rows, and files that are no labels."""

import os

import numpy as np
import pytest

from kgan.filter.labels import match, read_labels

pytestmark = pytest.mark.backend_free


def write(path, text):
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


@pytest.mark.parametrize(
    "text",
    [
        "file,label\na.png,text\nb.png,no_text\n",
        "\ufefffile,label\r\na.png,text\r\nb.png,no_text\r\n",
        "licence,Image,has_text\nCC0,a.png,YES\nCC0,b.png,no\n",
        'name,text\n"a.png",1\nb.png,0\nb.png,false\n',
        "file,label\n./a.png ,text\n x/../b.png,no\n",
        "file;label\na.png;text\nb.png;non_text\n;\n",
        "filename\tlabel\na.png\ttext\n\t\nb.png\tnotext\n",
        "path,score,decision,status\na.png,0.9,text,ok\nb.png,0.1,no_text,ok\n,,,\nc.png,,,empty\n",
        "file,label\n.\\a.png,text\nx\\..\\b.png,no\n,,,\n",
    ],
)
def test_tables_that_people_write(tmp_path, text):
    assert read_labels(write(tmp_path / "labels.csv", text)) == {"a.png": True, "b.png": False}


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "has the columns none: expected one of file, path, image, name, filename, file_name, and one of label"),
        ("file,kind\na.png,1\n", "has the columns file, kind"),
        ("file,label\n", "has no labels: both kinds are needed"),
        ("file,label\na.png,yes\nb.png,1\n", "has only labels of images with text: both kinds are needed"),
        ("file,label\na.png,no\n", "has only labels of images without text"),
        ("file,label\na.png,perhaps\n", "line 2: expected text or no_text, got 'perhaps'"),
        ("file,label\na.png\n", "line 2: expected text or no_text, got None"),
        ("file,label\n,text\n", "line 2: the name of the image is missing"),
        ("file,label\na.png,text\na.png,no\n", "line 3: a.png has two labels"),
        (b"file,label\n\xff\xfe.png,text\n", "is no CSV file in UTF-8"),
        ("file,label\n" + "a" * 200_000 + ",text\n", "is no CSV file in UTF-8"),
    ],
)
def test_files_that_are_no_labels(tmp_path, text, words):
    with pytest.raises(ValueError, match=words):
        read_labels(write(tmp_path / "labels.csv", text))


def test_names_are_relative_to_the_folders_or_to_here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    paths = ["photos/a.png", "photos/b/c.png", "x.zip!d/e.png", str(tmp_path / "f.png"), "photos/g.png", "photos/h.png"]
    rows = [{"path": path, "score": i / 10, "status": "ok"} for i, path in enumerate(paths)]
    rows[4] |= {"score": None, "status": "truncated"}
    labels = {"a.png": True, "photos/b/c.png": False, "d/e.png": True, "f.png": False, "g.png": True, "none.png": True}
    found = match(labels, rows, ["elsewhere", "photos", "."])
    assert found.text.tolist() == [True, False, True, False]
    np.testing.assert_allclose(found.scores, [0, 0.1, 0.2, 0.3])
    assert found.unscored == [("photos/g.png", "truncated")]
    assert found.missing == ["none.png"] and found.unlabelled == ["photos/h.png"] and not found.shared


def test_labels_from_a_pipe():
    reading, writing = os.pipe()
    os.write(writing, b"file,label\na.png,text\nb.png,no\n")
    os.close(writing)
    assert read_labels(f"/dev/fd/{reading}") == {"a.png": True, "b.png": False}
    os.close(reading)


def test_names_of_other_systems(tmp_path):
    """Accents as macOS writes them, and backslashes as Windows does, on either side."""
    labels = read_labels(write(tmp_path / "labels.csv", "file,label\nx\\\u00e9.png,text\ne\u0301.png,no\n"))
    rows = [{"path": path, "score": 0.5, "status": "ok"} for path in ("x/e\u0301.png", "\u00e9.png")]
    found = match(labels, rows, ["."])
    assert found.text.tolist() == [True, False] and not found.missing


def test_a_label_that_fits_two_images_is_nobodys():
    rows = [{"path": path, "score": 0.5, "status": "ok"} for path in ("x/a.png", "y/a.png", "y/b.png", "wow!b.png")]
    found = match({"a.png": True, "b.png": False}, rows, ["x", "y"])
    assert found.shared == ["x/a.png", "y/a.png"] and found.text.tolist() == [False]
    assert found.unlabelled == ["wow!b.png"]  # no member of an archive
    # An image that is given twice has one label.
    assert len(match({"a.png": True, "b.png": False}, [rows[0], rows[0]], ["x", "y"]).text) == 2
