"""The text filter on a Ray cluster: `on_ray` for a data set of yours, and jobs that can be stopped and continued.

A job cuts its images into units: an archive, or up to `FILES` files. Ray Data spreads the units over the cluster, and
the rows of each become one file, `part-00012-JOB.parquet`, written under a temporary name and renamed. What has a part
is done, so a job that is started again does the other units, and all parts together have each image exactly once. Each
processor has an actor, which reads, and a process of the actor's, which decodes: an image may crash that one alone.
"""

import contextlib
import dataclasses
import hashlib
import io
import itertools
import json
import logging
import os
import re
import socket

from kgan.filter.run import COLUMNS, REGIONS
from kgan.filter.text_filter import Result, Scorer, TextFilter, row
from kgan.runtime.files import Limits
from kgan.runtime.inputs import Input, grouped
from kgan.runtime.journal import AGAIN, check_same
from kgan.runtime.parquet import arrow, holds_bytes, take, write_parquet
from kgan.runtime.processes import Workers
from kgan.runtime.remote import archive_members, file_system, files, is_remote, listed, put_whole

FILES = 1000  # most files of a unit
IMAGES = 64  # of a batch of `on_ray`
ADDED = ("score", "decision", "status")  # columns
CONNECT_SECONDS = 10
JOB = "_job.json"  # readers of Parquet folders leave out names that begin with an underscore
OURS = re.compile(r"_job\.json|_units-[0-9a-f]{8}\.jsonl|\.?part-\d{5,}-[0-9a-f]{8}\.parquet(\.[0-9a-f]{32})?")


def ray():
    try:
        import ray
        import ray.data
    except ImportError:
        raise ValueError("Ray is not installed: pip install kgan[ray]") from None
    return ray


# === A data set ===


def on_ray(
    dataset, column="bytes", recall=None, *, share=None, threshold=None, model=None, limits=None, concurrency=None
):
    """Scores the images of a Ray data set.

    Args:
        dataset: `ray.data.Dataset` with the bytes of an image file in each row, such as
            `ray.data.read_binary_files` returns it.
        column: name of the column with these bytes, or with a struct that has them in its field `bytes`.
        recall, share, threshold, limits: as for `TextFilter.filter`.
        model: as for `TextFilter.load`.
        concurrency: number of processors to use, or `(least, most)`; None for all that the cluster has.

    Returns:
        The data set, lazy as it was, with the columns `score`, `decision` and `status`, as in the rows of
        `TextFilter.filter`.

    Raises:
        ValueError: Ray is not installed, or no threshold is stored for the recall or share. When the data set is used:
            it has no such column, or one of the new ones already.

    Example:

    ```python
    import ray

    photos = ray.data.read_binary_files("photos", include_paths=True)
    kgan.text_filter.on_ray(photos).drop_columns(["bytes"]).write_parquet("rows")
    ```
    """
    ray()
    text_filter = TextFilter.load(model)
    threshold = text_filter.threshold(recall, share) if threshold is None else threshold
    constructed = actor_options(text_filter, threshold, False, limits or Limits()) | {"column": column}
    return dataset.map_batches(
        Scores,
        fn_constructor_kwargs=constructed,
        batch_format="pyarrow",
        batch_size=IMAGES,
        num_cpus=1,
        concurrency=concurrency or every_processor(),
    )


def actor_options(text_filter, threshold, regions, limits):
    model, metadata = text_filter.model, text_filter.metadata
    return {"model": model, "metadata": metadata, "threshold": threshold, "regions": regions, "limits": limits}


def every_processor():
    """Returns the least and most actors: one, and as many as the cluster has processors now."""
    return 1, max(1, int(ray().cluster_resources().get("CPU", 1)))


class Actor:
    """Scores images in a process of its own, so that one that crashes ends only that."""

    def __init__(self, model, metadata, threshold, regions, limits):
        self.threshold, self.regions, self.limits = threshold, regions, limits
        self.workers = Workers(Scorer, (model, metadata, limits, False), 1, Result("crashed"))

    def rows(self, inputs):
        for (found, _), result in self.workers.map(grouped(inputs, self.limits.bytes)):
            yield row(found, result, self.threshold, self.regions)


class Scores(Actor):
    """Adds the columns to a batch; see `on_ray`."""

    def __init__(self, column, **options):
        super().__init__(**options)
        self.column = column

    def __call__(self, table):
        pyarrow, _ = arrow()
        images = self.images(table)
        rows = list(self.rows(Input("", "", read=lambda most, image=image: take(image, most)) for image in images))
        for name, kind in (("score", pyarrow.float64()), ("decision", pyarrow.string()), ("status", pyarrow.string())):
            table = table.append_column(name, pyarrow.array([found[name] for found in rows], kind))
        return table

    def images(self, table):
        """Returns the bytes of each row's image; of a struct, as Hugging Face's data sets have, its field `bytes`."""
        if self.column not in table.column_names:
            found = ", ".join(table.column_names)
            raise ValueError(f"the data set has no column {self.column!r}, but {found}: pass column=")
        if taken := [name for name in ADDED if name in table.column_names]:
            raise ValueError(f"the data set has a column {taken[0]!r} already: rename or drop it first")
        kind = table.schema.field(self.column).type
        if not holds_bytes(arrow()[0], kind):
            raise ValueError(f"the column {self.column!r} holds {kind}: pass one of the bytes of image files")
        return [each["bytes"] if isinstance(each, dict) else each for each in table[self.column].to_pylist()]


# === A job ===


class Job:
    """The files of a job in its output folder.

    Args:
        out: local path or URI of the folder.
        options: dict of what the rows depend on, serialisable as JSON.
        overwrite: whether to remove an earlier job.

    Raises:
        ValueError: the folder holds a job with other options, or other files.
    """

    def __init__(self, out, options, overwrite=False):
        self.out, self.options, self.folder, self.overwrite = out, options, os.getcwd(), overwrite
        # What a job with other options still writes has other names.
        self.id = hashlib.sha256(json.dumps(options, sort_keys=True).encode()).hexdigest()[:8]
        self.digest = None  # of the list of names that was given
        self.units = f"_units-{self.id}.jsonl"
        self.system, self.path = file_system(out)
        present = self.present()
        others = [name for name in present if not OURS.fullmatch(name) and not name.startswith(".")]
        if others:
            raise ValueError(f"--out {out} holds other files, such as {others[0]}: pass a new folder")
        self.started = JOB in present and not overwrite
        if self.started:
            try:
                before = json.loads(self.system.cat_file(f"{self.path}/{JOB}"))
                options_before, self.folder = before["options"], before["folder"]
                self.digest = before.get("list")
            except (ValueError, KeyError, TypeError):
                raise ValueError(f"{out}: {JOB} is damaged; {AGAIN}") from None
            check_same(out, options, options_before)
        elif not overwrite and any(name.startswith("part-") for name in present):
            raise ValueError(f"{out} has parts, but {JOB} is missing; {AGAIN}")

    def present(self):
        """Returns the names of the files in the folder."""
        self.system.invalidate_cache(self.path)
        if not self.system.exists(self.path):
            return []
        if not self.system.isdir(self.path):
            raise ValueError(f"--out {self.out} is a file: with --ray, pass a folder")
        names = (os.path.basename(name.rstrip("/")) for name in self.system.ls(self.path, detail=False))
        return sorted(name for name in names if name != os.path.basename(self.path))  # a bucket's mark of the folder

    def remove(self, names):
        for name in names:
            with contextlib.suppress(FileNotFoundError):
                self.system.rm_file(f"{self.path}/{name}")

    def plan(self, names, listing=None):
        """Writes the units of work, if that is not done yet.

        Args:
            names: iterable as `kgan.runtime.remote.listed` yields it.
            listing: the `Listing` that is in it, if any.

        Returns:
            Number of units, and a list of `{"unit": number, "start": byte, "end": byte}` with the place of each missing
            one in the file of units.
        """
        if not self.started:
            planned = units(names)
            first = next(planned, None)  # what cannot be read shows itself, mostly, before the folder is made
            if first is None:
                raise ValueError("there are no images")
            if self.overwrite:
                # The job's own file first: what is left of a job without it counts for nothing.
                ours = [name for name in self.present() if OURS.fullmatch(name)]
                self.remove(sorted(ours, key=lambda name: name != JOB))
            self.system.makedirs(self.path, exist_ok=True)
            # The job's file comes last: units without it are written anew.
            with self.system.open(f"{self.path}/{self.units}", "wb") as file:
                for unit in itertools.chain([first], planned):
                    file.write(json.dumps(unit).encode() + b"\n")
            job = {"options": self.options, "folder": self.folder}
            if listing:
                job["list"] = listing.digest()
            put_whole(self.system, self.path, JOB, json.dumps(job, indent=1).encode())
        elif listing and listing.digest() != self.digest:
            raise ValueError(f"{self.out} was started with another list of names; {AGAIN}")
        done = set(self.present())
        missing, start = [], 0
        number = -1
        with self.system.open(f"{self.path}/{self.units}", "rb") as file:
            for number, line in enumerate(file):
                if part_name(number, self.id) not in done:
                    missing.append({"unit": number, "start": start, "end": start + len(line)})
                start += len(line)
        return number + 1, missing

    def finish(self):
        """Removes what workers that were killed have left, and what workers of a job before this one wrote late."""
        names = [name for name in self.present() if OURS.fullmatch(name) and name != JOB]
        self.remove(name for name in names if name.startswith(".") or f"-{self.id}." not in name)


class Listing:
    """A list of names of any length, that is gone through once, and its SHA-256."""

    def __init__(self, names):
        self.names, self.hash = iter(names), hashlib.sha256()

    def __iter__(self):
        for name in self.names:
            self.hash.update(os.fsencode(name) + b"\0")
            yield name

    def digest(self):
        for _ in self:
            pass
        return self.hash.hexdigest()


def part_name(unit, job):
    return f"part-{unit:05d}-{job}.parquet"


def units(names):
    """Yields the units of work: `{"archive": name}` or `{"files": names}`."""
    for is_archive, group in itertools.groupby(names, key=lambda found: found[1]):
        if is_archive:
            yield from ({"archive": name} for name, _ in group)
            continue
        # Small ones first, so that a job of few images has work for more than one processor.
        for size in itertools.chain(range(FILES // 20, FILES, FILES // 100 or 1), itertools.repeat(FILES)):
            part = [name for name, _ in itertools.islice(group, max(1, size))]
            if not part:
                break
            yield {"files": part}


class Parts(Actor):
    """Scores the images of a unit and writes its part."""

    def __init__(self, out, job, folder, **options):
        super().__init__(**options)
        self.job, self.folder = job, folder
        self.system, self.path = file_system(out)
        self.columns = COLUMNS | REGIONS if self.regions else COLUMNS

    def __call__(self, batch):
        counts = [self.score(*values) for values in zip(*(batch[key] for key in ("unit", "start", "end")), strict=True)]
        return {key: [count[key] for count in counts] for key in counts[0]}

    def score(self, unit, start, end):
        found = json.loads(self.system.cat_file(f"{self.path}/_units-{self.job}.jsonl", int(start), int(end)))
        if "archive" in found:
            inputs = archive_members(found["archive"], self.folder)
        else:
            inputs = files(found["files"], self.folder, self.limits.bytes)
        counts = {"images": 0, "text": 0, "failed": 0}

        def counted():
            for new in self.rows(inputs):
                counts["images"] += 1
                counts["text"] += new["decision"] == "text"
                counts["failed"] += new["status"] != "ok"
                yield new

        buffer = io.BytesIO()
        write_parquet(buffer, self.columns, counted())
        put_whole(self.system, self.path, part_name(int(unit), self.job), buffer.getvalue())
        return counts


def run(text_filter, names, out, more=(), *, address, threshold, regions, limits, processes, overwrite):
    """Scores images on a cluster.

    Args:
        text_filter: a `TextFilter`.
        names: list of paths, URIs and patterns.
        out: folder of the parts, a local path that all nodes share, or a URI.
        more: as for `kgan.runtime.remote.listed`, if one of the names is `"-"`.
        address: of the cluster, as for `ray.init`; `"local"` starts one on this machine.
        threshold, regions, limits: as for `kgan.filter.run.run`.
        processes: most actors; None for one per processor.
        overwrite: whether to remove an earlier job.

    Yields:
        A dict first, `{"units": number, "done": number}`; then for each unit the numbers of its `images`, those with
        `text`, and those that `failed`.

    Raises:
        ValueError: the output folder holds another job, a name cannot be read, or no cluster answers.
        RuntimeError: a node cannot read the units or write the parts.
    """
    library = ray()
    # Relative names mean others in another folder.
    places = [
        name if is_remote(name) or name == "-" else os.path.abspath(name.removeprefix("file://")) for name in names
    ]
    asked = {"inputs": places, "model": text_filter.metadata["digest"], "threshold": threshold, "regions": regions}
    try:
        job = Job(out, asked | dataclasses.asdict(limits), overwrite)
        connect(library, address)
        listing = Listing(more) if "-" in names else None
        number, missing = job.plan(listed([name for name in names if name != "-"], [out], listing or ()), listing)
    except ValueError:
        raise
    except OSError as error:
        raise type(error)(f"--out {out}: {one_line(error)}") from None
    except Exception as error:  # the packages behind fsspec have exceptions of their own
        raise ValueError(f"--out {out}: {one_line(error)}") from None
    yield {"units": number, "done": number - len(missing)}
    if not missing:
        job.finish()
        return
    options = actor_options(text_filter, threshold, regions, limits)
    options |= {"out": out if is_remote(out) else job.path, "job": job.id, "folder": job.folder}
    counts = library.data.from_items(missing, override_num_blocks=len(missing)).map_batches(
        Parts,
        fn_constructor_kwargs=options,
        batch_size=1,
        num_cpus=1,
        concurrency=processes or every_processor(),
    )
    try:
        yield from counts.iter_rows()
    except library.exceptions.RayError as error:
        raise RuntimeError(f"the job stopped: {one_line(getattr(error, 'cause', None) or error)}") from None
    job.finish()


def one_line(error):
    return " ".join(str(error).split()) or type(error).__name__


def connect(library, address):
    """Connects to a cluster, or starts one on this machine, unless this process is connected already."""
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # a local cluster would report its use
    os.environ.setdefault("RAY_worker_niceness", "0")  # else whatever else runs here comes first
    # Ray's C++ warns in red of what is no danger here: the model is lost only with this process.
    os.environ.setdefault("RAY_BACKEND_LOG_LEVEL", "fatal")
    host = re.fullmatch(r"(?:ray://)?([^/]+):(\d+)", address)
    if not host and address not in ("local", "auto"):
        raise ValueError(f"--ray {address}: pass HOST:PORT, ray://HOST:PORT, auto or local; paths go before --ray")
    if not library.is_initialized():
        try:
            if host:
                # Ray itself tries for minutes, and says so in many lines.
                socket.create_connection((host[1], int(host[2])), CONNECT_SECONDS).close()
            # Ray puts the current folder on the path of its workers; that of somebody's photos may hold a `pyarrow.py`.
            # The folder of Python's own modules is there anyway.
            with contextlib.chdir(os.path.dirname(os.__file__)):
                library.init(address, log_to_driver=False, logging_level=logging.ERROR)
        except Exception as error:
            raise ValueError(f"--ray {address}: no cluster answers: {one_line(error)}") from None
    context = library.data.DataContext.get_current()
    context.enable_progress_bars = False
    context.raise_original_map_exception = True  # its words, not that there was one
    logging.getLogger("ray.data").setLevel(logging.CRITICAL + 1)  # else a trace beside our line
