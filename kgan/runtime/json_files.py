"""JSON files of strangers, read into plain objects or refused in one line."""

import contextlib
import json


def parse_json(data, name, object_hook=None):
    """Parses JSON in UTF-8; refuses NaN and Infinity.

    Args:
        data: bytes.
        name: of the file, for the error message.
        object_hook: as of `json.loads`.

    Raises:
        ValueError: the data are not JSON.
    """

    def refuse(constant):
        raise ValueError(f"{constant} is not valid JSON")

    try:
        return json.loads(data.decode("utf-8-sig"), parse_constant=refuse, object_hook=object_hook)
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{name} cannot be read as JSON ({error})") from None


@contextlib.contextmanager
def structure(where):
    """Turns the errors of a missing or wrongly typed entry into a ValueError that names the place."""
    try:
        yield
    except (KeyError, TypeError, AttributeError, IndexError) as error:
        raise ValueError(f"{where} has an unexpected structure ({type(error).__name__}: {error})") from None
