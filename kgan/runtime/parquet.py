"""Parquet files: the rows of a run, and images that are the values of a column."""

import itertools
import os

from kgan.runtime.files import HEAD, Undecodable, sniff

READ = 16  # images of a file that are in memory at once
ROWS = 10_000  # rows that are written at once


def arrow():
    try:
        import pyarrow
        import pyarrow.parquet
    except ImportError:
        raise ValueError("Parquet needs pyarrow, which is not installed: pip install pyarrow") from None
    return pyarrow, pyarrow.parquet


def write_parquet(path, columns, rows):
    """Writes rows.

    Args:
        path: path of the file, or an open file.
        columns: of the rows, as for `kgan.runtime.journal.Journal`.
        rows: iterator of dicts.
    """
    pyarrow, parquet = arrow()
    types = {str: pyarrow.string(), float: pyarrow.float64()}
    lists = pyarrow.list_(pyarrow.float32())
    schema = pyarrow.schema([(name, types.get(kind, lists)) for name, kind in columns.items()])
    with parquet.ParquetWriter(path, schema) as writer:
        while part := list(itertools.islice(rows, ROWS)):
            for found in part:
                # Parquet strings must be UTF-8.
                found["path"] = os.fsencode(found["path"]).decode("utf-8", "backslashreplace")
            writer.write_table(pyarrow.Table.from_pylist(part, schema))


def parquet_images(path):
    """Yields the bytes of each row's image, None where the row has none.

    The images are the values of the only column of bytes, or of the field `bytes` of a column, as Hugging Face's data
    sets have them.

    Raises:
        Undecodable: there is no column of bytes, or several.
        pyarrow.ArrowException: the file is no complete Parquet file.
    """
    pyarrow, parquet = arrow()
    with parquet.ParquetFile(path, pre_buffer=False, buffer_size=2**20) as file:
        columns = [field.name for field in file.schema_arrow if holds_bytes(pyarrow, field.type)]
        if len(columns) != 1:
            found = ", ".join(columns) or "none"
            raise Undecodable("unsupported", f"expected one column of bytes, the images; found {found}")
        for batch in file.iter_batches(READ, columns=columns):
            for value in batch.column(0):
                image = value.as_py()
                yield image["bytes"] if isinstance(image, dict) else image


def holds_bytes(pyarrow, kind):
    """Whether values of a type are bytes, or structs with a field `bytes` of them."""
    types = pyarrow.types
    if types.is_struct(kind):
        at = kind.get_field_index("bytes")
        return at >= 0 and holds_bytes(pyarrow, kind.field(at).type)
    return types.is_binary(kind) or types.is_large_binary(kind) or types.is_binary_view(kind)


def take(image, max_bytes):
    """Returns the image of a row, if it is one.

    Raises:
        Undecodable: the row has none, it is larger than `max_bytes`, or it does not start like an image.
    """
    sniff((image or b"")[:HEAD])
    if len(image) > max_bytes:
        raise Undecodable("too_large", f"more than {max_bytes} bytes")
    return image
