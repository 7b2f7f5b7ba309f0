"""A run of the text filter over any number of images, which a later one continues where it was stopped.

Each row goes to a journal of JSON lines as soon as it is known: with `--out rows.jsonl` that is the output itself, with
`.csv` and `.parquet` it lies beside it (`rows.csv.journal.jsonl`) and is converted at the end. `rows.jsonl.run.json`
keeps what the run was asked. A run that finds rows goes through the images as before, skips those that have rows,
and adds the others; so the rows are those of a run that was never stopped. It is refused when it is asked for
something else, or when the images with rows are no longer the first ones; images added behind them are welcome.
"""

import csv
import errno
import hashlib
import itertools
import json
import os
from pathlib import Path

from kgan.models.text_filter.runtime.filter import row
from kgan.models.text_filter.runtime.inputs import find

try:
    import fcntl
except ImportError:  # Windows: nothing there keeps two runs from one file
    fcntl = None

SUFFIXES = (".jsonl", ".csv", ".parquet")
COLUMNS = ("path", "score", "decision", "status")
AGAIN = "pass --overwrite to begin anew, or another --out"


def run(text_filter, paths, journal, *, threshold, regions, copy_to, overlay, processes, limits):
    """Looks at the images that have no row yet.

    Args:
        text_filter: a `TextFilter`.
        paths: iterable of paths, as for `inputs.find`.
        journal: a `Journal`, or None.
        threshold: score from which on there is text.
        regions: whether rows have the scores of regions.
        copy_to: folder for copies of the images with text, or None.
        overlay: folder for heat maps of all images, or None.
        processes, limits: as for `TextFilter.filter`.

    Yields:
        `(row, whether an earlier run made it)`.
    """
    ours = [*(journal.files if journal else ()), copy_to, overlay]
    inputs = find(paths, {os.path.abspath(path) for path in ours if path})
    for number, old in enumerate(journal.rows() if journal else (), start=1):
        found = next(inputs, None)
        if found is None or found.name != old["path"]:
            now = "is gone" if found is None else f"has given way to {found.name!r}"
            raise ValueError(
                f"{journal.out}: the images have changed since it was begun; number {number}, {old['path']!r}, {now}: "
                + AGAIN
            )
        yield old, True
    for found, data, result in text_filter.results(inputs, processes, limits, overlay is not None):
        new = row(found, result, threshold, regions)
        # Before the row: an image that has one is not looked at again.
        if copy_to and new["decision"] == "text":
            put(copy_to, found.place, Path(found.path).read_bytes() if data is None else data)
        if overlay and result.overlay:
            put(overlay, f"{found.place}.jpg", result.overlay)
        if journal:
            journal.append(new)
        yield new, False


def put(folder, place, data):
    """Writes a file at `place` in a folder; another file there stays, and this one is called `name-2` or so."""
    try:
        put_at(Path(folder, place), data)
    except OSError as error:
        # A file where this one wants a folder, or a name too long for this disk: both come out of archives.
        if error.errno not in (errno.ENOTDIR, errno.EEXIST, errno.ENAMETOOLONG, errno.EILSEQ, errno.EINVAL):
            raise
        name = hashlib.sha256(os.fsencode(place)).hexdigest()[:32]
        put_at(Path(folder, name + os.path.splitext(place)[1][:8]), data)


def put_at(path, data):
    stem, suffix = path.stem, path.suffix
    for number in itertools.count(2):
        try:
            if path.read_bytes() == data:
                return
        except FileNotFoundError:
            break
        except IsADirectoryError:
            pass
        path = path.with_name(f"{stem}-{number}{suffix}")
    path.parent.mkdir(parents=True, exist_ok=True)
    write_whole(path, data)


def write_whole(path, data):
    """Writes a file that is there whole or not at all."""
    # The same name each time: what a killed run has left of it, the one that continues it puts right.
    partial = path.with_name(f".{hashlib.sha256(os.fsencode(path.name)).hexdigest()[:16]}.part")
    partial.write_bytes(data)
    os.replace(partial, path)


class Journal:
    """The rows of a run on disk.

    Args:
        out: the file asked for; its suffix is the format, one of `SUFFIXES`.
        options: dict of what the rows depend on, which JSON can hold.
        overwrite: begins anew, whatever is there.

    Raises:
        ValueError: there are rows that such a run cannot continue, or another run is writing them.
    """

    def __init__(self, out, options, overwrite=False):
        self.out = Path(out)
        if self.out.suffix not in SUFFIXES:
            raise ValueError(f"{out} has no format that is known: pass a name that ends in {', '.join(SUFFIXES)}")
        if self.out.suffix == ".parquet":
            arrow()
        self.path = self.out if self.out.suffix == ".jsonl" else self.beside(".journal.jsonl")
        options_file = self.beside(".run.json")
        self.files = [self.out, self.path, options_file]
        if not overwrite:
            if self.out.exists() and not self.path.exists():
                raise ValueError(f"{out} is there, but not its journal {self.path}: {AGAIN}")
            if self.path.exists() and self.path.stat().st_size:
                compare(out, options_file, options)
        self._file = self.path.open("ab+")
        try:
            if fcntl:
                fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise ValueError(f"another run is writing to {out}") from None
        if overwrite:
            self._file.truncate(0)
            if self.path != self.out:
                self.out.unlink(missing_ok=True)
        write_whole(options_file, json.dumps(options, indent=1).encode())

    def beside(self, ending):
        return self.out.with_name(self.out.name + ending)

    def rows(self):
        """Yields the rows on disk; then half a row at the end, which a killed run has left, is cut off."""
        self._file.seek(0)
        end = 0
        for number, line in enumerate(self._file, start=1):
            if not line.endswith(b"\n"):
                break
            try:
                found = json.loads(line)
                found["path"], found["status"], found["decision"]  # noqa: B018
            except (ValueError, TypeError, KeyError):
                raise ValueError(f"{self.path}, line {number}, is no row: {AGAIN}") from None
            yield found
            end += len(line)
        self._file.truncate(end)

    def append(self, new):
        self._file.write(json.dumps(new).encode() + b"\n")
        self._file.flush()

    def finish(self):
        """Converts the journal to the format asked for."""
        if self.out.suffix == ".csv":
            self.convert(write_csv)
        elif self.out.suffix == ".parquet":
            self.convert(write_parquet)

    def convert(self, write):
        partial = self.beside(".part")
        write(partial, self.rows())
        os.replace(partial, self.out)

    def __enter__(self):
        return self

    def __exit__(self, *exception):
        self._file.close()


def compare(out, options_file, options):
    """Raises a ValueError unless a run with the same options began the file."""
    try:
        before = json.loads(options_file.read_bytes())
    except (OSError, ValueError):
        raise ValueError(f"{out} is there, and no {options_file.name} says which run wrote it: {AGAIN}") from None
    changed = [name for name in {**options, **before} if options.get(name) != before.get(name)]
    if changed:
        raise ValueError(f"{out} was begun with other options ({', '.join(changed)}): {AGAIN}")


def write_csv(path, rows):
    # Names of files are bytes; those that are no UTF-8 come out as they are.
    with path.open("w", encoding="utf-8", errors="surrogateescape", newline="") as file:
        writer = csv.writer(file)
        first = next(rows, None)
        names = [f"region_{i}" for i in range(34)] if first and "regions" in first else []
        writer.writerow([*COLUMNS, *names])
        for found in itertools.chain([first] if first else [], rows):
            writer.writerow([*(found[name] for name in COLUMNS), *(found.get("regions") or [None] * len(names))])


def write_parquet(path, rows):
    pyarrow, parquet = arrow()
    first = next(rows, None)
    fields = [(name, pyarrow.float64() if name == "score" else pyarrow.string()) for name in COLUMNS]
    if first and "regions" in first:
        fields.append(("regions", pyarrow.list_(pyarrow.float32())))
    rows = itertools.chain([first] if first else [], rows)
    with parquet.ParquetWriter(path, schema := pyarrow.schema(fields)) as writer:
        while part := list(itertools.islice(rows, 10_000)):
            for found in part:
                # Parquet has no names that are not UTF-8.
                found["path"] = os.fsencode(found["path"]).decode("utf-8", "backslashreplace")
            writer.write_table(pyarrow.Table.from_pylist(part, schema))


def arrow():
    try:
        import pyarrow
        import pyarrow.parquet
    except ImportError:
        raise ValueError("Parquet needs pyarrow, which is not installed: pip install pyarrow") from None
    return pyarrow, pyarrow.parquet
