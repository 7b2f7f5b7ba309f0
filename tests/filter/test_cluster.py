"""The filter on Ray: a job has each image exactly once, whatever dies, and the rows of a run on one machine."""

import io
import json
import os
import re
import signal
import subprocess
import sys
import tarfile
import time
import zipfile
from pathlib import Path

import fsspec
import numpy as np
import pyarrow
import pyarrow.parquet as parquet
import pytest
from image_files import DANGEROUS_SIZES, HOSTILE, customised, encode

from kgan.cli import main
from kgan.filter import cluster
from kgan.filter.text_filter import TextFilter
from kgan.runtime import remote
from kgan.runtime.files import Limits
from kgan.runtime.journal import AGAIN

pytestmark = pytest.mark.backend_free


def grey(level, size=12):
    return encode(np.full((size, size, 3), level, "uint8"))


def write_tar(path, members):
    with tarfile.open(path, "w") as archive:
        for name, data in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))


def rows_of(out, system=None):
    """The rows of all parts, sorted by path."""
    system = system or fsspec.filesystem("file")
    parts = [name for name in system.ls(str(out), detail=False) if Path(name).name.startswith("part-")]
    tables = []
    for name in sorted(parts):
        with system.open(name, "rb") as file:
            tables.append(parquet.read_table(file))
    return sorted(pyarrow.concat_tables(tables).to_pylist(), key=lambda row: row["path"])


@pytest.fixture
def photos(tmp_path, monkeypatch):
    """Images in a folder, archives and a Parquet file; the working folder is above them."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "photos" / "b").mkdir(parents=True)
    for name, level in {"a.png": 200, "b/c.png": 50, "b/d.png": 100, ".hidden.png": 9}.items():
        (tmp_path / "photos" / name).write_bytes(grey(level))
    write_tar("one.tar", {f"{i}.png": grey(10 * i) for i in range(20)} | {"0.txt": b"a caption"})
    Path("cut.tar").write_bytes(Path("one.tar").read_bytes()[:3000])
    with zipfile.ZipFile("two.zip", "w") as archive:
        archive.writestr("x.png", grey(250))
        archive.writestr("../y.png", grey(250))
    images = [grey(240), None, b"nothing", grey(20)]
    parquet.write_table(pyarrow.table({"jpg": images, "caption": ["a"] * 4}), "rows.parquet", row_group_size=3)
    return ["photos", "one.tar", "cut.tar", "two.zip", "rows.parquet"]


@pytest.fixture
def started(text_filter):
    """An actor's options, and a function that does a job in this process, as one actor would."""
    options = cluster.actor_options(text_filter, 0.5, False, Limits())

    def work(out, names, most=None, options=options, more=()):
        job = cluster.Job(out, {"inputs": names})
        number, missing = job.plan(cluster.listed(names, [out], more))
        actor = cluster.Parts(out, job.id, job.folder, **options)
        with actor.workers:
            counts = [actor({key: [value] for key, value in unit.items()}) for unit in missing[:most]]
        return number, missing, counts

    return work


def alone(names, text_filter):
    return sorted(text_filter.filter(names, threshold=0.5), key=lambda row: row["path"])


def test_the_rows_are_those_of_one_machine(photos, started, text_filter, monkeypatch):
    monkeypatch.setattr(cluster, "FILES", 2)
    number, missing, counts = started("out", photos)
    assert number == len(missing) == 3 + 4  # three files, the first ones by themselves, and four archives
    rows = rows_of("out")
    assert rows == alone(photos, text_filter)
    assert {"photos/a.png", "one.tar!7.png", "cut.tar", "two.zip!../y.png", "rows.parquet!3"} <= {
        r["path"] for r in rows
    }
    assert sum(count["images"][0] for count in counts) == len(rows)
    assert sum(count["text"][0] for count in counts) == sum(row["decision"] == "text" for row in rows) > 5
    assert sum(count["failed"][0] for count in counts) == sum(row["status"] != "ok" for row in rows) > 4
    status = {row["path"]: row["status"] for row in rows}
    assert status["cut.tar"] == "damaged" and status["two.zip!../y.png"] == "unsafe_name"
    assert [status[f"rows.parquet!{i}"] for i in range(4)] == ["ok", "empty", "not_an_image", "ok"]


def test_uris(started, text_filter, monkeypatch):
    """Folders, patterns, archives and files of another file system, and an output on it."""
    system = fsspec.filesystem("memory")
    monkeypatch.setattr(cluster, "FILES", 40)
    for i in range(70):
        system.pipe_file(f"/bucket/photos/{i % 3}/{i:02}.png", grey(3 * i))
    system.pipe_file("/bucket/photos/.DS_Store", b"x")
    system.pipe_file("/bucket/photos/__MACOSX/a.png", b"x")
    system.pipe_file("/bucket/photos/large.png", grey(9, 3000))
    tar = io.BytesIO()
    with tarfile.open(fileobj=tar, mode="w") as archive:
        archive.addfile(tarfile.TarInfo("none.png"), io.BytesIO())
    system.pipe_file("/bucket/shards/0.tar", tar.getvalue())
    names = ["memory://bucket/photos", "memory://bucket/shards/*.tar"]
    small = cluster.actor_options(text_filter, 0.5, False, Limits(bytes=5000))
    started("memory://bucket/photos/out", names, options=small)
    rows = {row["path"]: row for row in rows_of("/bucket/photos/out", system)}
    assert len(rows) == 70 + 1 + 1
    for i in range(70):
        row = rows[f"memory://bucket/photos/{i % 3}/{i:02}.png"]
        assert row["status"] == "ok" and abs(row["score"] - 3 * i / 255) < 0.01
    status = {name: rows[f"memory://bucket/{name}"]["status"] for name in ("photos/large.png", "shards/0.tar!none.png")}
    assert status == {"photos/large.png": "too_large", "shards/0.tar!none.png": "empty"}


@pytest.mark.parametrize("name", ["memory://bucket/shards/1.tar", "memory://nowhere/photos", "phtos", "no.tar"])
def test_a_name_that_does_not_exist(name, photos, started):
    """It is refused, and nothing is written; in a list of names, it is an image that is missing."""
    with pytest.raises(ValueError, match=f"{name}: no such file or folder"):
        started("out", [*photos, name])
    assert not Path("out").exists()
    assert list(cluster.listed([], more=[name])) == [(name, name.endswith(".tar"))]
    started("out", [], more=["photos/a.png", "one.tar", name])
    status = {row["path"]: row["status"] for row in rows_of("out")}
    assert status["photos/a.png"] == status["one.tar!7.png"] == "ok" and status[name] == "missing"


def test_another_list_of_names_is_refused(photos):
    """A list from standard input is part of what a job was started with."""

    def planned(*names):
        listing = cluster.Listing(names)
        return cluster.Job("out", {"inputs": ["-"]}).plan(cluster.listed([], ["out"], listing), listing)

    assert planned("photos/a.png", "file:///x.png")[0] == planned("photos/a.png", "file:///x.png")[0] == 1
    with pytest.raises(ValueError, match=f"out was started with another list of names; {AGAIN}"):
        planned("photos/a.png")


def test_archives_in_folders_are_said(photos, started):
    Path("photos/b/x.tar").write_bytes(Path("one.tar").read_bytes())
    fsspec.filesystem("memory").pipe_file("/shards/0.tar", b"x")
    for name in ("photos", "memory://shards"):
        with pytest.warns(UserWarning, match=f"an archive in {name} taken for images: .*{name}/(b/)?[*].tar"):
            list(cluster.listed([name]))


def test_an_output_reached_by_a_link_is_left_out(photos):
    Path("link").symlink_to(Path.cwd(), target_is_directory=True)
    Path("photos/out").mkdir()
    Path("photos/out/part.parquet").write_bytes(b"x")
    for names, out in ((["link/photos"], "photos/out"), (["photos"], "link/photos/out")):
        assert not [name for name, _ in cluster.listed(names, [out]) if "part" in name]


@pytest.mark.parametrize(
    ("columns", "words"),
    [
        ({"image": [b"x"]}, "no column 'bytes', but image: pass column="),
        ({"bytes": ["a.png"]}, "'bytes' holds string: pass one of the bytes"),
        ({"bytes": [{"path": "a"}]}, "'bytes' holds struct<path: string>: pass one of the bytes"),
        ({"bytes": [b"x"], "status": ["success"]}, "has a column 'status' already: rename or drop it first"),
    ],
)
def test_data_sets_that_cannot_be_scored(columns, words):
    scores = cluster.Scores.__new__(cluster.Scores)
    scores.column = "bytes"
    with pytest.raises(ValueError, match=words):
        scores.images(pyarrow.table(columns))
    structs = pyarrow.table({"bytes": [{"bytes": b"x", "path": "a.png"}, None]})
    assert scores.images(structs) == [b"x", None]


def test_a_job_goes_on_where_it_stopped(photos, started, text_filter):
    _, first, _ = started("out", photos, most=2)
    done = {path.name: path.read_bytes() for path in Path("out").glob("part-*")}
    assert len(done) == 2
    Path("out", f".{sorted(done)[0]}.{'1f' * 16}").write_bytes(b"half")  # what a worker that was killed leaves
    Path("out", "part-00000-00000000.parquet").write_bytes(b"x")  # what one of an earlier job wrote late
    Path("out", ".mine").write_bytes(b"x")
    _, second, counts = started("out", photos)
    assert second == first[2:] and len(counts) == len(second)
    assert {name: Path("out", name).read_bytes() for name in done} == done
    job = cluster.Job("out", {"inputs": photos})
    job.finish()
    assert {path.name for path in Path("out").iterdir() if path.name.startswith(".")} == {".mine"}
    assert rows_of("out") == alone(photos, text_filter)
    assert parquet.read_table("out").num_rows == len(rows_of("out"))
    # Names are relative to the folder in which the job was started.
    os.chdir("photos")
    job = cluster.Job("../out", {"inputs": photos})
    assert job.folder == os.path.dirname(os.getcwd()) and job.plan(())[1] == []


def test_another_job_is_left_alone(photos, started):
    started("out", photos, most=1)
    before = {path.name: path.read_bytes() for path in Path("out").iterdir()}
    with pytest.raises(ValueError, match=f"out was started with other options .inputs.; {AGAIN}"):
        cluster.Job("out", {"inputs": ["others"]})
    (Path("mine")).mkdir()
    Path("mine/notes.txt").write_text("mine")
    for overwrite in (False, True):
        with pytest.raises(ValueError, match="mine holds other files, such as notes.txt: pass a new folder"):
            cluster.Job("mine", {}, overwrite)
    with pytest.raises(ValueError, match="one.tar is a file"):
        cluster.Job("one.tar", {})
    assert {path.name: path.read_bytes() for path in Path("out").iterdir()} == before
    Path("out/_job.json").unlink()
    with pytest.raises(ValueError, match="has parts, but _job.json is missing"):
        cluster.Job("out", {"inputs": photos})
    # Nothing is removed before there is something to do.
    with pytest.raises(ValueError, match="no file matches"):
        job = cluster.Job("out", {"inputs": ["*.jpg"]}, overwrite=True)
        job.plan(cluster.listed(["*.jpg"]))
    assert list(Path("out").glob("part-*"))
    job = cluster.Job("out", {"inputs": ["photos"]}, overwrite=True)
    assert not job.started and job.plan(cluster.listed(["photos"]))[0] == 1
    assert {path.name for path in Path("out").iterdir()} == {"_job.json", job.units}
    Path("out/_job.json").write_text("{}")
    with pytest.raises(ValueError, match="_job.json is damaged"):
        cluster.Job("out", {"inputs": ["photos"]})


@pytest.mark.parametrize("times", [2, 3])
def test_a_network_that_fails(times, monkeypatch):
    """What fails for a while is tried again; what goes on failing is no row, but an error."""
    system = fsspec.filesystem("memory")
    system.pipe_file("/shaky/a.png", grey(200))
    opened, failures = type(system).open, []

    def shaky(self, path, *more, **options):
        failures.append(path)
        if len(failures) <= times:
            raise TimeoutError("slow down")
        return opened(self, path, *more, **options)

    monkeypatch.setattr(remote, "WAITS", (0, 0))
    monkeypatch.setattr(type(system), "open", shaky)
    if times == 2:
        (found,) = remote.files(["memory://shaky/a.png"], "/", 1000)
        assert found.read(1000) == grey(200)
    else:
        with pytest.raises(OSError, match="slow down"):
            list(remote.files(["memory://shaky/a.png"], "/", 1000))
    assert len(failures) == 3


def test_a_folder_that_cannot_be_listed(monkeypatch):
    system = fsspec.filesystem("memory")
    system.pipe_file("/closed/a/b.png", grey(1))
    listing = type(system).ls

    def closed(self, path, *more, **options):
        if path.rstrip("/").endswith("/a"):
            raise PermissionError("denied")
        return listing(self, path, *more, **options)

    monkeypatch.setattr(type(system), "ls", closed)
    with pytest.raises(ValueError, match="memory://closed: denied"):
        list(remote.listed(["memory://closed"]))


def test_bad_input(photos, capsys, monkeypatch):
    def refused(*arguments):
        assert main(["filter", *arguments]) == 2
        return capsys.readouterr().err

    for option in (["--copy-to", "a"], ["--overlay", "a"], ["--evaluate", "a"]):
        assert f"{option[0]} does not go with --ray" in refused("photos", "--out", "out", *option, "--ray")
    assert "pass a folder as --out" in refused("photos", "--ray")
    assert "pass - once" in refused("-", "-", "--out", "out", "--ray")
    assert "--threshold 2.0" in refused("photos", "--out", "out", "--threshold", "2", "--ray")
    assert "Protocol not known: nowhere" in refused("photos", "--out", "nowhere://out", "--ray")
    for path in ("more.tar", "s3://bucket/more.tar"):
        message = f"kgan filter: --ray {path}: pass HOST:PORT, ray://HOST:PORT, auto or local; paths go before --ray\n"
        assert refused("photos", "--out", "out", "--ray", path) == message
    # A port that nothing listens on.
    start = time.monotonic()
    message = refused("photos", "--out", "out", "--ray", "127.0.0.1:1")
    assert message.startswith("kgan filter: --ray 127.0.0.1:1: no cluster answers: ") and message.count("\n") == 1
    assert time.monotonic() - start < 15 and not Path("out").exists()
    monkeypatch.setitem(sys.modules, "ray", None)
    assert refused("photos", "--out", "out", "--ray") == "kgan filter: Ray is not installed: pip install kgan[ray]\n"
    assert not Path("out").exists()


@pytest.mark.parametrize("names", [["memory://nothing/*.jpg"], ["*.jpg"], ["empty"]])
def test_nothing_is_written_for_nothing(names, photos, started):
    Path("empty").mkdir()
    with pytest.raises(ValueError, match="no file matches|there are no images"):
        started("out", names)
    assert not Path("out").exists()


def test_a_parquet_file_without_images(tmp_path, started, text_filter, monkeypatch):
    monkeypatch.chdir(tmp_path)
    parquet.write_table(pyarrow.table({"caption": ["a"]}), "none.parquet")
    parquet.write_table(pyarrow.table({"a": [b"1"], "b": [b"2"]}), "two.parquet")
    parquet.write_table(pyarrow.table({"image": [{"bytes": grey(200), "path": "x"}]}), "hugging.parquet")
    Path("hurt.parquet").write_bytes(Path("hugging.parquet").read_bytes()[:-9])
    names = sorted(map(str, Path().glob("*.parquet")))
    started("out", names)
    assert [(row["path"], row["status"]) for row in rows_of("out")] == [
        ("hugging.parquet!0", "ok"),
        ("hurt.parquet", "damaged"),
        ("none.parquet", "unsupported"),
        ("two.parquet", "unsupported"),
    ]


def test_jobs_on_a_cluster_of_their_own(tmp_path, model_path):
    """One is killed after its first part and started again; some images kill the process that decodes them.

    Files in the working folder that are named like modules are not imported.
    """
    for name, size in (("a", 12), ("b", 15)):
        members = {f"{i:02}.png": grey(8 * i, 13 if i in (3, 4) else size) for i in range(12)}
        write_tar(tmp_path / f"{name}.tar", members)
    write_tar(tmp_path / "c.tar", {f"{i}.bin": data for i, (data, _) in enumerate(HOSTILE.values())})
    (tmp_path / "site").mkdir()
    environment = customised(tmp_path / "site", DANGEROUS_SIZES)
    for name in ("multiprocessing", "pyarrow", "tqdm"):
        (tmp_path / f"{name}.py").write_text(f"open({str(tmp_path / 'imported')!r}, 'w')")

    def command(*arguments):
        # With which the hostile files are soon done.
        limits = ["--max-megapixels", "10", "--max-megabytes", "4", "--max-seconds", "2"]
        names = ["a.tar", "b.tar", "c.tar"]
        return [sys.executable, "-P", "-m", "kgan.cli", "filter", *names, "--model", model_path, *limits, *arguments]

    job = command("--out", "out", "--ray", "--processes", "1")
    where = {"cwd": tmp_path, "env": environment, "text": True}
    process = subprocess.Popen(job, start_new_session=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, **where)
    while not list(tmp_path.glob("out/part-*")):
        assert process.poll() is None, process.stdout.read()
        time.sleep(0.02)
    os.killpg(process.pid, signal.SIGKILL)
    process.communicate()
    written = {path: path.stat().st_mtime_ns for path in tmp_path.glob("out/part-*")}
    assert len(written) < 3
    done = subprocess.run(job, capture_output=True, check=False, **where)
    assert done.returncode == 0, done.stderr
    # A worker, which outlives its driver for a moment, may have written one more.
    found = re.search(r"(\d) of 3 parts were there already", done.stderr)
    assert found and int(found[1]) >= len(written) >= 1, done.stderr
    assert {path: path.stat().st_mtime_ns for path in written} == written
    subprocess.run(command("--out", "rows.jsonl"), check=True, **where)
    rows = [json.loads(line) for line in (tmp_path / "rows.jsonl").read_text().splitlines()]
    assert rows_of(tmp_path / "out") == sorted(rows, key=lambda row: row["path"])
    crashed = [row["path"] for row in rows if row["status"] == "crashed"]
    assert [path for path in crashed if not path.startswith("c.tar")] == [
        f"{name}.tar!{i:02}.png" for name in "ab" for i in (3, 4)
    ]
    assert not (tmp_path / "imported").exists()


def test_on_ray(model_path):
    import ray

    ray.init(num_cpus=1, include_dashboard=False, log_to_driver=False)
    try:
        images = [grey(20 * i) for i in range(12)] + [b"", b"nothing"]
        dataset = ray.data.from_items([{"bytes": data, "name": str(i)} for i, data in enumerate(images)])
        rows = cluster.on_ray(dataset, threshold=0.5, model=model_path, concurrency=1).take_all()
    finally:
        ray.shutdown()
    rows.sort(key=lambda row: int(row["name"]))
    expected = TextFilter.load(model_path).score([np.full((12, 12, 3), 20 * i, "uint8") for i in range(12)])
    np.testing.assert_allclose([row["score"] for row in rows[:12]], expected, rtol=1e-6)
    assert [row["decision"] for row in rows] == ["no_text"] * 7 + ["text"] * 5 + [None] * 2
    assert [row["status"] for row in rows] == ["ok"] * 12 + ["empty", "not_an_image"]
