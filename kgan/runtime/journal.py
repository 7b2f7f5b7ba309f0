"""The rows of a run on disk, so that a stopped run can be continued.

Each row is written to a journal of JSON lines as soon as it is known. For `--out rows.jsonl` the journal is the output
itself. For `.csv` and `.parquet` it is a second file, `rows.csv.journal.jsonl`, which is converted at the end. The
options of the run are kept in `rows.jsonl.run.json`; a run with other options is refused.
"""

import csv
import errno
import itertools
import json
import os
import warnings
from pathlib import Path

from kgan.runtime.files import write_whole
from kgan.runtime.parquet import arrow, write_parquet

try:
    import fcntl
except ImportError:  # Windows, where two runs can write to one file unnoticed
    fcntl = None

SUFFIXES = (".jsonl", ".csv", ".parquet")
AGAIN = "pass --overwrite to start again, or another --out"


class Journal:
    """Reads the rows of an earlier run and appends new ones.

    Args:
        out: output file; its suffix, one of `SUFFIXES`, selects the format.
        columns: dict of column names, in order, to their type: `str`, `float`, or an int, the length of a list of
            floats.
        options: dict of the options that the rows depend on, serialisable as JSON.
        overwrite: whether to discard existing rows.

    Raises:
        ValueError: the suffix is unknown, the existing rows belong to a run with other options, or another run is
            writing to the file.
    """

    def __init__(self, out, columns, options, overwrite=False):
        self.out, self.columns = Path(out), columns
        if self.out.suffix not in SUFFIXES:
            raise ValueError(f"{out}: unknown format; pass a name that ends in {', '.join(SUFFIXES)}")
        if self.out.suffix == ".parquet":
            arrow()
        self.path = self.out if self.out.suffix == ".jsonl" else self.beside(".journal.jsonl")
        options_file = self.beside(".run.json")
        self.files = [self.out, self.path, options_file]
        if not overwrite:
            if self.out.exists() and not self.path.exists():
                raise ValueError(f"{out} exists, but its journal {self.path} is missing; {AGAIN}")
            if self.path.exists() and self.path.stat().st_size:
                compare(out, options_file, options)
        self._file = self.path.open("ab+")
        try:
            if fcntl:
                fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise ValueError(f"another run is writing to {out}") from None
        except OSError as error:
            if error.errno not in (errno.ENOSYS, errno.ENOLCK, errno.EOPNOTSUPP):
                raise
            warnings.warn(f"{out}: this file system has no locks; start no second run with this file", stacklevel=2)
        if overwrite:
            self._file.truncate(0)
            if self.path != self.out:
                self.out.unlink(missing_ok=True)
        write_whole(options_file, json.dumps(options, indent=1).encode())

    def beside(self, ending):
        return self.out.with_name(self.out.name + ending)

    def rows(self):
        """Yields the rows on disk, then removes the partial row that a killed run may have left at the end."""
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
                raise ValueError(f"{self.path}, line {number}: not a row of this run; {AGAIN}") from None
            yield found
            end += len(line)
        self._file.truncate(end)

    def append(self, new):
        self._file.write(json.dumps(new).encode() + b"\n")
        self._file.flush()

    def finish(self):
        """Converts the journal to the format of `out`."""
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


def continued(inputs, journal):
    """Yields the rows of an earlier run, and takes their images from the inputs.

    Args:
        inputs: iterator of `inputs.Input`, whose rows come in the same order.
        journal: a `Journal`, or None for no earlier run.

    Raises:
        ValueError: the images have changed since the earlier run.
    """
    for number, old in enumerate(journal.rows() if journal else (), start=1):
        found = next(inputs, None)
        if found is None or found.name != old["path"]:
            now = "missing" if found is None else repr(found.name)
            raise ValueError(
                f"{journal.out}: the images have changed since the run started (image {number} was {old['path']!r}, "
                f"is now {now}); {AGAIN}"
            )
        yield old


def compare(out, options_file, options):
    """Raises a ValueError unless the file was started with the same options."""
    try:
        before = json.loads(options_file.read_bytes())
    except (OSError, ValueError):
        raise ValueError(
            f"{out} exists, but {options_file.name} with the options of its run is missing or damaged; {AGAIN}"
        ) from None
    check_same(out, options, before)


def check_same(out, options, before):
    """Raises a ValueError unless two dicts of options are the same."""
    changed = [name for name in {**options, **before} if options.get(name) != before.get(name)]
    if changed:
        raise ValueError(f"{out} was started with other options ({', '.join(changed)}); {AGAIN}")


def write_csv(path, columns, rows):
    # File names are bytes; names that are not UTF-8 are written unchanged.
    with path.open("w", encoding="utf-8", errors="surrogateescape", newline="") as file:
        writer = csv.writer(file)
        lists = {name: length for name, length in columns.items() if isinstance(length, int)}
        plain = [name for name in columns if name not in lists]
        numbered = [f"{name.removesuffix('s')}_{i}" for name, length in lists.items() for i in range(length)]
        writer.writerow([*plain, *numbered])
        for found in rows:
            values = [found[name] or [None] * length for name, length in lists.items()]
            writer.writerow([*(found[name] for name in plain), *itertools.chain.from_iterable(values)])
