import csv
import errno
import functools
import io
import json
import os
import random
import re
import resource
import signal
import subprocess
import sys
import tarfile
import time
import tomllib
import zipfile
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import tiny_filter
from image_files import DANGEROUS_SIZES, customised
from PIL import Image

import kgan
from kgan.cli import main
from kgan.filter.run import COLUMNS
from kgan.runtime import files as runtime_files
from kgan.runtime.journal import Journal

pytestmark = pytest.mark.backend_free

ROOT = Path(kgan.__file__).parents[1]


def plain(level, size=(240, 240)):
    """A PNG file of one grey level, which the tiny model gives the score level / 255."""
    buffer = io.BytesIO()
    Image.new("RGB", size, (level,) * 3).save(buffer, "PNG")
    return buffer.getvalue()


LEVELS = {"a.png": 200, "b/c.png": 50, "b/d.png": 100, "e.png": 250}
TEXT = ["a.png", "e.png"]  # from level 127.5 on


@pytest.fixture(scope="session")
def model(tmp_path_factory):
    path = tmp_path_factory.mktemp("model") / "tiny.tflite"
    path.write_bytes(tiny_filter.model_file())
    return path


@pytest.fixture
def photos(tmp_path, monkeypatch):
    """A folder of four images, two of them with text, and a file that is none; the working folder is above it."""
    for name, level in LEVELS.items():
        path = tmp_path / "photos" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(plain(level))
    (tmp_path / "photos" / "notes.txt").write_text("none")
    monkeypatch.chdir(tmp_path)
    return tmp_path / "photos"


@pytest.fixture
def kgan_filter(model, capsys):
    """Function that runs `kgan filter` and returns its exit status, standard output and last line of standard error."""

    def run(*arguments):
        status = main(["filter", "--model", str(model), "--processes", "1", *map(str, arguments)])
        found = capsys.readouterr()
        return status, found.out, (found.err.splitlines() or [""])[-1]

    return run


EXPECTED = [
    {"path": "photos/a.png", "score": 200 / 255, "decision": "text", "status": "ok"},
    {"path": "photos/b/c.png", "score": 50 / 255, "decision": "no_text", "status": "ok"},
    {"path": "photos/b/d.png", "score": 100 / 255, "decision": "no_text", "status": "ok"},
    {"path": "photos/e.png", "score": 250 / 255, "decision": "text", "status": "ok"},
    {"path": "photos/notes.txt", "score": None, "decision": None, "status": "not_an_image"},
]


def check(rows, expected=EXPECTED):
    assert [dict(row, score=None) for row in rows] == [dict(row, score=None) for row in expected]
    for row, wanted in zip(rows, expected, strict=True):
        assert row["score"] == (wanted["score"] and pytest.approx(wanted["score"], abs=1e-5))


def lines(text):
    return [json.loads(line) for line in text.splitlines()]


# === Rows ===


def test_json_lines_on_standard_output(photos, kgan_filter):
    status, out, last = kgan_filter("photos")
    assert status == 0
    check(lines(out))
    assert last.startswith("5 images: 2 with text, 1 not ok; 5 in this run, ")
    assert last.endswith(" images/s")


@pytest.mark.parametrize("regions", [False, True])
def test_formats_hold_the_same_rows(photos, kgan_filter, regions):
    parquet = pytest.importorskip("pyarrow.parquet")
    extra = ["--regions"] if regions else []
    for suffix in ("jsonl", "csv", "parquet"):
        assert kgan_filter("photos", "--out", f"rows.{suffix}", *extra)[:2] == (0, "")
    rows = lines(Path("rows.jsonl").read_text())
    check([{key: value for key, value in row.items() if key != "regions"} for row in rows])
    if regions:
        levels = [row["score"] for row in EXPECTED]
        assert [row["regions"] for row in rows] == [score and [round(score, 4)] * 34 for score in levels]
    assert Path("rows.csv.journal.jsonl").read_text() == Path("rows.jsonl").read_text()

    read = parquet.read_table("rows.parquet").to_pylist()
    if regions:
        for row in read:
            row["regions"] = row["regions"] and [round(value, 4) for value in row["regions"]]
    assert read == rows
    with open("rows.csv", newline="") as file:
        table = list(csv.DictReader(file))
    assert len(table) == 5 and len(table[0]) == (38 if regions else 4)
    for found, row in zip(table, rows, strict=True):
        assert [found["path"], found["status"]] == [row["path"], row["status"]]
        assert found["decision"] == (row["decision"] or "")
        assert found["score"] == ("" if row["score"] is None else repr(row["score"]))
        if regions:
            expected = [""] * 34 if row["regions"] is None else [str(value) for value in row["regions"]]
            assert [found[f"region_{i}"] for i in range(34)] == expected


def test_names_of_any_bytes(tmp_path, monkeypatch, kgan_filter):
    parquet = pytest.importorskip("pyarrow.parquet")
    monkeypatch.chdir(tmp_path)
    names = [b"a \xff.png", b'comma, "quote"\nline.png', "käse 🧀.png".encode()]
    for name in names:
        Path(os.fsdecode(b"in/" + name)).parent.mkdir(exist_ok=True)
        Path(os.fsdecode(b"in/" + name)).write_bytes(plain(9))
    for suffix in ("jsonl", "csv", "parquet"):
        assert kgan_filter("in", "--out", f"rows.{suffix}")[0] == 0
    paths = [b"in/" + name for name in names]
    assert [os.fsencode(row["path"]) for row in lines(Path("rows.jsonl").read_text())] == paths
    with open("rows.csv", newline="", encoding="utf-8", errors="surrogateescape") as file:
        assert [os.fsencode(row["path"]) for row in csv.DictReader(file)] == paths
    assert parquet.read_table("rows.parquet")["path"][0].as_py() == "in/a \\xff.png"


def test_a_run_without_images(tmp_path, monkeypatch, kgan_filter):
    monkeypatch.chdir(tmp_path)
    Path("in").mkdir()
    for suffix in ("jsonl", "csv"):
        status, out, last = kgan_filter("in", "--out", f"rows.{suffix}")
        assert (status, out) == (0, "") and last.startswith("0 images: ")
    assert Path("rows.jsonl").read_text() == "" and Path("rows.csv").read_text() == "path,score,decision,status\n"


def test_parquet_without_pyarrow(photos, kgan_filter, monkeypatch):
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    message = "kgan filter: Parquet needs pyarrow, which is not installed: pip install pyarrow"
    assert kgan_filter("photos", "--out", "rows.parquet") == (2, "", message)
    assert sorted(path.name for path in Path().iterdir()) == ["photos"]


@pytest.mark.parametrize(
    ("options", "number"),
    [
        ((), 2),
        (("--recall", "0.94"), 2),
        (("--recall", "0.97"), 3),
        (("--share", "0.1"), 1),
        (("--threshold", "0.1"), 4),
    ],
)
def test_thresholds(photos, kgan_filter, options, number):
    assert sum(row["decision"] == "text" for row in lines(kgan_filter("photos", *options)[1])) == number


IF_ONE_IN_TEN = "passed and precision if one in ten has text"


@pytest.mark.parametrize(
    ("options", "title"), [((), None), (("--recall", "0.97"), "recall 0.97"), (("--share", "0.1"), "share 0.1")]
)
def test_what_a_stored_threshold_did_is_said_where_it_is_asked_for(photos, model, capsys, options, title):
    assert main(["filter", "--model", str(model), "--processes", "1", "photos", *options]) == 0
    *table, failed, last = capsys.readouterr().err.splitlines()
    assert last.startswith("5 images") and failed == "not ok: 1 not_an_image"
    assert table[:1] == ([f"The threshold for {title} on 9 pictures; {IF_ONE_IN_TEN}:"] if title else [])
    assert [line.split()[0] for line in table[1:]] == (["kind", "all", "bright"] if title else [])


# === Inputs ===


def test_labels_of_the_user(photos, model, tmp_path, capsys):
    """Names are relative to the folder; what is missing, unread or unlabelled is counted and named."""

    def kgan_filter(*arguments):
        status = main(["filter", "--model", str(model), "--processes", "1", *map(str, arguments)])
        return status, *capsys.readouterr()

    labels = tmp_path / "labels.csv"
    labels.write_text("file,label\na.png,text\nb/c.png,no_text\nb/d.png,text\nnotes.txt,no_text\nnone.png,text\n")
    status, out, error = kgan_filter("photos", "--evaluate", labels)
    assert status == 0 and out.startswith("3 labelled images, 2 with text; area under the ROC curve 1.000")
    line = next(line for line in out.splitlines() if line.startswith("this run"))
    assert "50.0 (" in line and "100.0 (" in line  # of two with text, one is found
    assert "{" not in out
    assert "1 in the label file, but not among the images: none.png" in error
    assert f"1 not scored: {Path('photos', 'notes.txt')} (not_an_image)" in error
    assert "1 without a label, left out: photos/e.png" in error

    rows = tmp_path / "rows.jsonl"
    for _ in range(2):  # a run that is done is evaluated again
        status, again, _ = kgan_filter("photos", "--evaluate", labels, "--out", rows)
        assert status == 0 and again.splitlines()[:8] == out.splitlines()[:8]
    assert len(rows.read_text().splitlines()) == 5
    with Image.open(tmp_path / "rows.evaluation.png") as image:
        assert min(image.size) > 200

    # What it writes in the folder is no image of it.
    for _ in range(2):
        status, again, _ = kgan_filter("photos", "--evaluate", labels, "--out", tmp_path / "photos" / "rows.jsonl")
        assert status == 0 and again.splitlines()[:8] == out.splitlines()[:8]
    assert (tmp_path / "photos" / "rows.evaluation.png").exists()

    labels.write_text("file,label\na.png,text\nelse.png,no\n")
    status, out, error = kgan_filter("photos", "--evaluate", labels)
    assert status == 2 and not out and "fits 1 images with text and 0 without, of those that were scored" in error
    labels.write_text("file,label\na.png,text\n")
    status, _, error = kgan_filter("photos", "--evaluate", labels)
    assert status == 2 and "has only labels of images with text" in error and "images/s" not in error
    assert kgan_filter("photos", "--evaluate", tmp_path / "nowhere.csv")[0] == 2


def test_a_list_on_standard_input(photos, kgan_filter, monkeypatch):
    listed = b"photos/e.png\r\n\nphotos/[none].png\nphotos/b\n"
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(listed)))
    _, out, _ = kgan_filter("photos/a.png", "-")
    names = ["photos/a.png", "photos/e.png", "photos/[none].png", "photos/b/c.png", "photos/b/d.png"]
    assert [row["path"] for row in lines(out)] == names
    assert [row["status"] for row in lines(out)] == ["ok", "ok", "missing", "ok", "ok"]


@pytest.mark.parametrize(
    "listed",
    [
        "\ufeffphotos/e.png\nphotos/a.png\n".encode(),
        "photos/e.png\r\nphotos/a.png\r\n".encode("utf-16"),  # PowerShell
        "\ufeffphotos/e.png\nphotos/a.png".encode("utf-16-be"),
        b"photos/e.png\0photos/a.png\0",  # find -print0
    ],
    ids=["mark", "utf-16", "utf-16-be", "nul"],
)
def test_lists_as_other_programs_write_them(photos, kgan_filter, monkeypatch, listed):
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(listed)))
    _, out, _ = kgan_filter("-")
    assert [(row["path"], row["status"]) for row in lines(out)] == [("photos/e.png", "ok"), ("photos/a.png", "ok")]


def test_a_list_in_utf_16_without_its_mark_is_refused(photos, kgan_filter, monkeypatch):
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO("photos/e.png\n".encode("utf-16-le"))))
    message = "kgan filter: standard input is UTF-16 without a byte order mark: pass the list in UTF-8"
    assert kgan_filter("-") == (2, "", message)


def test_patterns_and_archives(photos, kgan_filter):
    with zipfile.ZipFile("photos.zip", "w") as archive:
        archive.write("photos/a.png", "x/a.png")
    with tarfile.open("photos.tar.gz", "w:gz") as archive:
        archive.add("photos")
    _, out, _ = kgan_filter("photos/**/[cd].png", "photos.*")
    found = [(row["path"], row["decision"]) for row in lines(out)]
    assert found[:2] == [("photos/b/c.png", "no_text"), ("photos/b/d.png", "no_text")]
    assert found[-1] == ("photos.zip!x/a.png", "text")
    expected = [(f"photos.tar.gz!{row['path']}", row["decision"]) for row in EXPECTED]
    assert sorted(found[2:-1]) == sorted(expected)


def test_what_a_run_writes_is_not_what_it_reads(photos, kgan_filter):
    options = ("photos", "--out", "photos/rows.csv", "--copy-to", "photos/copies", "--overlay", "photos/maps")
    for _ in range(2):
        assert kgan_filter(*options)[2].startswith("5 images: ")


# === Copies and heat maps ===


def files(folder):
    return {
        path.relative_to(folder).as_posix(): path.read_bytes() for path in Path(folder).rglob("*") if path.is_file()
    }


def test_copies_of_the_images_with_text(photos, kgan_filter):
    with zipfile.ZipFile("more.zip", "w") as archive:
        archive.writestr("x/a.png", plain(201))
        archive.writestr("../a.png", plain(202))
    other = Path("other/photos")
    other.mkdir(parents=True)
    (other / "a.png").write_bytes(plain(203))
    (other / "e.png").write_bytes(plain(250))  # the same bytes as the other e.png
    Path("copies").mkdir()
    Path("copies/e.png").write_bytes(b"mine")
    assert kgan_filter("photos", other, "more.zip", "--copy-to", "copies")[0] == 0
    assert files("copies") == {
        "a.png": plain(200),
        "a-2.png": plain(203),
        "e.png": b"mine",
        "e-2.png": plain(250),
        "more.zip/x/a.png": plain(201),
    }
    before = files("copies")
    kgan_filter("photos", other, "more.zip", "--copy-to", "copies")
    assert files("copies") == before


def test_a_file_that_goes_away_costs_its_own_copy(photos, kgan_filter, monkeypatch):
    """Between its score and its copy; the run and the other copies go on."""

    def read_file(path, max_bytes):
        if path.endswith("a.png"):
            os.unlink(path)
        return runtime_files.read_file(path, max_bytes)

    monkeypatch.setattr("kgan.filter.run.read_file", read_file)
    status, _, last = kgan_filter("photos", "--out", "rows.jsonl", "--copy-to", "copies")
    assert status == 0 and last.startswith("5 images: 2 with text")
    check(lines(Path("rows.jsonl").read_text()))
    assert sorted(files("copies")) == ["e.png"]


def test_heat_maps(photos, kgan_filter):
    assert kgan_filter("photos", "--overlay", "maps")[0] == 0
    found = files("maps")
    assert set(found) == {f"{name}.jpg" for name in LEVELS}
    image = Image.open("maps/b/d.png.jpg")
    assert image.size == (480, 480)
    heat = 0.6 * 100 / 255
    expected = [100 + heat * 155, 100 - heat * 100, 100 - heat * 100]
    np.testing.assert_allclose(np.asarray(image).mean(axis=(0, 1)), expected, atol=3)


# === Commands that cannot be carried out ===


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("photos", "--recall", "0.5"), "no threshold is stored for recall 0.5; stored: 0.94, 0.97"),
        (("photos", "--threshold", "1.5"), "--threshold 1.5: pass a score from 0 to 1"),
        (("photos", "--threshold", "nan"), "--threshold nan: pass a score from 0 to 1"),
        (("photos", "--processes", "0"), "--processes 0: pass a number above 0"),
        (("photos", "--max-seconds", "-1"), "--max-seconds -1.0: pass a number above 0"),
        (("-", "-"), "standard input can be read only once: pass - once"),
        (("photos/*.jpg",), "no file matches 'photos/*.jpg'"),
        (("photos", "--model", "none.tflite"), "no model file 'none.tflite'"),
        (
            ("photos", "--out", "rows.txt"),
            "rows.txt: unknown format; pass a name that ends in .jsonl, .csv, .parquet",
        ),
        (("photos", "--out", "none/rows.csv"), "[Errno 2] No such file or directory: 'none/rows.csv.journal.jsonl'"),
    ],
)
def test_wrong_commands(photos, kgan_filter, options, message):
    assert kgan_filter(*options) == (2, "", f"kgan filter: {message}")
    assert sorted(path.name for path in Path().iterdir()) == ["photos"]


@pytest.mark.parametrize(
    "arguments", [[], ["nothing"], ["filter"], ["filter", "a", "--recall", "1", "--threshold", "1"]]
)
def test_wrong_arguments(arguments, capsys):
    with pytest.raises(SystemExit) as caught:
        main(arguments)
    assert caught.value.code == 2 and "usage: kgan" in capsys.readouterr().err


def test_help_names_every_status_and_option(capsys):
    with pytest.raises(SystemExit):
        main(["filter", "--help"])
    text = capsys.readouterr().out
    statuses = [line.split("`")[1] for line in runtime_files.__doc__.splitlines() if line.startswith("| `")]
    assert len(statuses) == 13
    assert all(re.search(rf"^  {status}( |$)", text, re.MULTILINE) for status in statuses)


@pytest.mark.parametrize("places", [["s3://bucket/photos"], ["photos", "--out", "s3://bucket/rows.jsonl"]])
def test_uris_need_ray(places, photos, kgan_filter):
    status, _, last = kgan_filter(*places)
    assert status == 2 and "is a URI: pass --ray, which reads and writes them" in last


def test_braces_are_for_the_shell(photos, kgan_filter):
    status, _, last = kgan_filter("shards/{0..2}.tar")
    assert status == 2 and "no file is named 'shards/{0..2}.tar': leave out the quotes" in last
    Path("photos/{a,b}.png").write_bytes(plain(200))
    assert kgan_filter("photos/{a,b}.png")[0] == 0
    Path("set{a,b}").mkdir()
    Path("set{a,b}/c.png").write_bytes(plain(200))
    assert [row["path"] for row in lines(kgan_filter("set{a,b}/*.png")[1])] == ["set{a,b}/c.png"]
    assert [row["status"] for row in lines(kgan_filter(Path("photos/a.png").absolute().as_uri())[1])] == ["ok"]


def test_what_was_not_ok_is_said(photos, capsys):
    Path("photos/f.tar").write_bytes(b"x")
    Path("photos/g.png").write_bytes(b"")
    main(["filter", "photos"])
    lines = capsys.readouterr().err.splitlines()
    assert lines[-2] == "not ok: 2 not_an_image, 1 empty" and lines[-1].startswith("7 images: ")
    assert any("an archive in photos taken for images: to open them" in line for line in lines)


def test_the_command_is_installed_by_the_package():
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text())
    assert settings["project"]["scripts"]["kgan"] == "kgan.cli:main"
    assert settings["tool"]["setuptools"]["package-data"]["kgan.filter"] == ["*.tflite", "photos.md"]


# === Runs that go on ===


def test_a_run_that_is_done_is_not_done_again(photos, kgan_filter):
    for suffix in ("jsonl", "csv"):
        kgan_filter("photos", "--out", f"rows.{suffix}")
        before = Path(f"rows.{suffix}").read_bytes()
        status, _, last = kgan_filter("photos", "--out", f"rows.{suffix}")
        assert status == 0 and last.startswith("5 images: 2 with text, 1 not ok; 0 in this run, ")
        assert Path(f"rows.{suffix}").read_bytes() == before


@pytest.mark.parametrize("suffix", ["jsonl", "csv"])
@pytest.mark.parametrize("share", [0, 0.3, 0.5, 0.99])
def test_a_journal_cut_anywhere_is_continued(photos, kgan_filter, suffix, share):
    kgan_filter("photos", "--out", f"rows.{suffix}")
    whole = Path(f"rows.{suffix}").read_bytes()
    journal = Path("rows.jsonl" if suffix == "jsonl" else "rows.csv.journal.jsonl")
    data = journal.read_bytes()
    journal.write_bytes(data[: int(len(data) * share)])
    if suffix == "csv":
        Path("rows.csv").unlink()
    assert kgan_filter("photos", "--out", f"rows.{suffix}")[0] == 0
    assert Path(f"rows.{suffix}").read_bytes() == whole and journal.read_bytes() == data


def test_added_images_are_looked_at_and_others_are_refused(photos, kgan_filter):
    kgan_filter("photos", "--out", "rows.jsonl")
    (photos / "z.png").write_bytes(plain(9))
    _, _, last = kgan_filter("photos", "--out", "rows.jsonl")
    assert last.startswith("6 images: 2 with text, 1 not ok; 1 in this run, ")
    rows = Path("rows.jsonl").read_bytes()
    (photos / "a2.png").write_bytes(plain(9))
    message = (
        "kgan filter: rows.jsonl: the images have changed since the run started (image 2 was 'photos/b/c.png', "
        "is now 'photos/a2.png'); pass --overwrite to start again, or another --out"
    )
    assert kgan_filter("photos", "--out", "rows.jsonl") == (2, "", message)
    (photos / "a2.png").unlink()
    (photos / "z.png").unlink()
    status, _, last = kgan_filter("photos", "--out", "rows.jsonl")
    assert status == 2 and "(image 6 was 'photos/z.png', is now missing); " in last
    assert Path("rows.jsonl").read_bytes() == rows
    assert kgan_filter("photos", "--out", "rows.jsonl", "--overwrite")[2].startswith("5 images: ")
    check(lines(Path("rows.jsonl").read_text()))


def test_other_options_are_refused_by_name(photos, kgan_filter, model, tmp_path):
    kgan_filter("photos", "--out", "rows.csv")
    for options, changed in (
        (["--recall", "0.97"], "threshold"),
        (["--threshold", "0.3", "--regions"], "threshold, regions"),
        (["--copy-to", "copies"], "copy-to"),
        (["--overlay", "maps", "--max-megapixels", "5"], "overlay, max-megapixels"),
        (["--model", tmp_path / "other.tflite"], "model"),
    ):
        (tmp_path / "other.tflite").write_bytes(tiny_filter.model_file(tiny_filter.model_bytes() + bytes(16)))
        again = "pass --overwrite to start again, or another --out"
        message = f"kgan filter: rows.csv was started with other options ({changed}); {again}"
        assert kgan_filter("photos", "--out", "rows.csv", *options) == (2, "", message)
    assert kgan_filter("photos", "--out", "rows.csv", "--processes", "2")[0] == 0
    assert kgan_filter("photos", "--out", "rows.csv", "--recall", "0.97", "--overwrite")[0] == 0
    assert kgan_filter("photos", "--out", "rows.csv", "--recall", "0.97")[2].startswith("5 images: 3 with text")


def test_files_of_others_are_left_alone(photos, kgan_filter):
    Path("rows.jsonl").write_text("mine\n")
    Path("rows.csv").write_text("mine\n")
    for name, reason in (
        ("rows.jsonl", "rows.jsonl.run.json with the options of its run is missing or damaged; "),
        ("rows.csv", "its journal rows.csv.journal.jsonl is missing; "),
    ):
        status, _, last = kgan_filter("photos", "--out", name)
        assert status == 2 and reason in last and Path(name).read_text() == "mine\n"
    kgan_filter("photos", "--out", "rows.jsonl", "--overwrite")
    check(lines(Path("rows.jsonl").read_text()))
    Path("rows.jsonl").write_text('{"path": 3}\nmine\n')
    assert "rows.jsonl, line 1: not a row of this run; " in kgan_filter("photos", "--out", "rows.jsonl")[2]


def test_two_runs_do_not_write_one_file(photos, kgan_filter):
    with Journal("rows.jsonl", COLUMNS, {}):
        for extra in ([], ["--overwrite"]):
            message = "kgan filter: another run is writing to rows.jsonl"
            assert kgan_filter("photos", "--out", "rows.jsonl", *extra) == (2, "", message)
    assert kgan_filter("photos", "--out", "rows.jsonl", "--overwrite")[0] == 0


@pytest.mark.parametrize("number", [errno.ENOSYS, errno.ENOLCK, errno.EOPNOTSUPP])
def test_a_file_system_without_locks(photos, model, capsys, monkeypatch, number):
    def flock(*_):
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr("fcntl.flock", flock)
    assert main(["filter", "--model", str(model), "--processes", "1", "photos", "--out", "rows.jsonl"]) == 0
    assert "kgan filter: rows.jsonl: this file system has no locks; start no second" in capsys.readouterr().err
    check(lines(Path("rows.jsonl").read_text()))


@pytest.mark.parametrize("closed", [(2,), (1, 2), (0, 1, 2)])
def test_closed_standard_streams(photos, model, closed):
    """As under a daemon; rows must not be mixed with what libraries write to the number of a closed stream."""
    close = partial(list, map(os.close, closed))
    arguments = command(model, "photos", "--out", "rows.jsonl")
    assert subprocess.run(arguments, preexec_fn=close, timeout=120).returncode == 0
    check(lines(Path("rows.jsonl").read_text()))


def test_no_standard_output_and_no_file(photos, model):
    close = partial(os.close, 1)
    done = subprocess.run(command(model, "photos"), preexec_fn=close, stderr=subprocess.PIPE, text=True, timeout=120)
    assert (done.returncode, done.stderr) == (2, "kgan filter: there is no standard output: pass --out\n")


def test_writing_that_fails(photos, model):
    """A limit on the size of files stands for a full disk."""
    limit = partial(resource.setrlimit, resource.RLIMIT_FSIZE, (300, 300))
    done = subprocess.run(
        command(model, "photos", "--out", "rows.jsonl"), preexec_fn=limit, capture_output=True, text=True
    )
    assert done.returncode == 1 and done.stderr == "kgan filter: [Errno 27] File too large\n"
    assert subprocess.run(command(model, "photos", "--out", "rows.jsonl"), capture_output=True).returncode == 0
    check(lines(Path("rows.jsonl").read_text()))


# === As a command ===


def command(model, *arguments):
    return [sys.executable, "-m", "kgan.cli", "filter", "--model", str(model), *map(str, arguments)]


@pytest.fixture
def many(tmp_path, monkeypatch):
    """A folder with 160 names of three photos that take some milliseconds each; the working folder is above it."""
    folder = tmp_path / "many"
    folder.mkdir()
    monkeypatch.chdir(tmp_path)
    noise = np.random.default_rng(0).integers(0, 256, (900, 1300, 3)).astype("uint8")
    for i in range(3):
        Image.fromarray(noise // (i + 1)).save(f"{i}.jpg")
    for i in range(160):
        os.link(f"{i % 3}.jpg", folder / f"{i:03}.jpg")
    return folder


def children(process):
    return Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()


def test_a_run_killed_ten_times_gives_the_rows_of_an_undisturbed_one(many, model):
    subprocess.run(
        command(model, "many", "--out", "whole.jsonl", "--copy-to", "whole"), check=True, capture_output=True
    )
    whole = Path("whole.jsonl").read_bytes()
    assert whole.count(b"\n") == 160 and 0 < len(files("whole")) < 160
    draw = random.Random(0)
    out = Path("rows.jsonl")
    kills, orphans = 0, set()
    while kills < 10:
        have = out.stat().st_size if out.exists() else 0
        goal = have + draw.uniform(0, 0.8) * (len(whole) - have) / (11 - kills)
        process = subprocess.Popen(
            command(model, "many", "--out", out, "--copy-to", "copies"), stderr=subprocess.DEVNULL
        )
        while process.poll() is None and (out.stat().st_size if out.exists() else 0) <= goal:
            time.sleep(0.002)
        assert process.poll() is None, "the run was over before it could be killed"
        orphans |= set(children(process))
        process.kill()
        process.wait()
        kills += 1
        if draw.random() < 0.5:  # as if it had been killed in the middle of a row
            with out.open("ab") as file:
                file.write(whole[:40])
        assert out.read_bytes().count(b"\n") < 160
    done = subprocess.run(command(model, "many", "--out", out, "--copy-to", "copies"), capture_output=True, check=False)
    assert done.returncode == 0 and b"160 images: " in done.stderr
    assert out.read_bytes() == whole
    assert files("copies") == files("whole")
    # The processes of a killed run end by themselves.
    deadline = time.monotonic() + 10
    while orphans and time.monotonic() < deadline:
        orphans = {pid for pid in orphans if Path(f"/proc/{pid}/cmdline").exists() and running(pid)}
        time.sleep(0.05)
    assert not orphans


def running(pid):
    try:
        return b"spawn_main" in Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return False


def test_ctrl_c(many, model):
    paths = "".join(f"{path}\n" for path in sorted(map(str, Path("many").iterdir()))).encode()
    process = subprocess.Popen(
        command(model, "-", "--out", "rows.jsonl"),
        stdin=subprocess.PIPE,
        stderr=subprocess.PIPE,
        start_new_session=True,
        # What a shell starts in the background, tests too, ignores the signal.
        preexec_fn=functools.partial(signal.signal, signal.SIGINT, signal.SIG_DFL),
    )
    process.stdin.write(paths)
    process.stdin.flush()  # and left open, so that the run cannot come to its end
    while not (Path("rows.jsonl").exists() and Path("rows.jsonl").stat().st_size):
        time.sleep(0.005)
    os.killpg(process.pid, signal.SIGINT)  # as a terminal does: the children get it too
    assert process.wait(timeout=60) == 130
    err = process.stderr.read()
    assert err.splitlines() == [b"kgan filter: stopped; run again to continue"]
    process.stdin.close()
    done = subprocess.run(command(model, "-", "--out", "rows.jsonl"), input=paths, capture_output=True, check=False)
    assert done.returncode == 0
    assert len({row["path"] for row in lines(Path("rows.jsonl").read_text())}) == len(paths.splitlines()) >= 160


NO_BACKEND = """
import sys
for name in ("tensorflow", "keras", "jax", "torch"):
    sys.modules[name] = None  # so that importing it fails
"""


def test_images_that_take_their_process_down(tmp_path, model):
    """And neither Keras nor a backend is imported, here or in the processes."""
    folder = tmp_path / "in"
    folder.mkdir()
    sizes = [13 if i in (3, 4, 20) else 14 if i == 5 else 12 for i in range(30)]
    for i, size in enumerate(sizes):
        (folder / f"{i:02}.png").write_bytes(plain(9, (size, size)))
    environment = customised(tmp_path, DANGEROUS_SIZES + NO_BACKEND)
    done = subprocess.run(
        command(model, folder, "--processes", 2), env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    status = {12: "ok", 13: "crashed", 14: "too_large"}
    assert [row["status"] for row in lines(done.stdout)] == [status[size] for size in sizes]
    assert done.stderr.startswith("not ok: 3 crashed, 1 too_large\n30 images: 0 with text, 4 not ok; 30 in this run, ")


def test_a_reader_that_has_seen_enough(many, model):
    process = subprocess.Popen(command(model, "many"), stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert json.loads(process.stdout.readline())["path"] == "many/000.jpg"
    process.stdout.close()
    assert process.wait() == 1 and process.stderr.read() == b""
    process.stderr.close()
