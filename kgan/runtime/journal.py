"""The rows of a run on disk, from which a later run goes on where this one was stopped.

Each row goes to a journal of JSON lines as soon as it is known: with `--out rows.jsonl` that is the output itself, with
`.csv` and `.parquet` it lies beside it (`rows.csv.journal.jsonl`) and is converted at the end. `rows.jsonl.run.json`
keeps what the run was asked; a run that is asked for something else is refused.
"""

import csv
import itertools
import json
import os
from pathlib import Path

from kgan.runtime.files import write_whole

try:
    import fcntl
except ImportError:  # Windows: nothing there keeps two runs from one file
    fcntl = None

SUFFIXES = (".jsonl", ".csv", ".parquet")
AGAIN = "pass --overwrite to begin anew, or another --out"


class Journal:
    """The rows of a run on disk.

    Args:
        out: the file asked for; its suffix is the format, one of `SUFFIXES`.
        columns: dict of what each row has, in order: `str`, `float`, or the length of a list of floats.
        options: dict of what the rows depend on, which JSON can hold.
        overwrite: begins anew, whatever is there.

    Raises:
        ValueError: there are rows that such a run cannot continue, or another run is writing them.
    """

    def __init__(self, out, columns, options, overwrite=False):
        self.out, self.columns = Path(out), columns
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
                if found.keys() != self.columns.keys():
                    raise ValueError("other columns")
            except (ValueError, AttributeError):
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
        write(partial, self.columns, self.rows())
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


def write_csv(path, columns, rows):
    # Names of files are bytes; those that are no UTF-8 come out as they are.
    with path.open("w", encoding="utf-8", errors="surrogateescape", newline="") as file:
        writer = csv.writer(file)
        lists = {name: length for name, length in columns.items() if isinstance(length, int)}
        plain = [name for name in columns if name not in lists]
        numbered = [f"{name.removesuffix('s')}_{i}" for name, length in lists.items() for i in range(length)]
        writer.writerow([*plain, *numbered])
        for found in rows:
            values = [found[name] or [None] * length for name, length in lists.items()]
            writer.writerow([*(found[name] for name in plain), *itertools.chain.from_iterable(values)])


def write_parquet(path, columns, rows):
    pyarrow, parquet = arrow()
    types = {str: pyarrow.string(), float: pyarrow.float64()}
    lists = pyarrow.list_(pyarrow.float32())
    schema = pyarrow.schema([(name, types.get(kind, lists)) for name, kind in columns.items()])
    with parquet.ParquetWriter(path, schema) as writer:
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
