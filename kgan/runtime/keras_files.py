"""What a `.keras` file holds, read without loading it."""

import zipfile
import zlib

from kgan.runtime.json_files import parse_json

MOST_BYTES = 2**24  # of the description of a model, which holds the layers of a GAN's networks
# What a damaged or encrypted archive raises, unpacked, and a description that is not what Keras writes.
ERRORS = (
    zipfile.BadZipFile,
    zlib.error,
    OSError,
    EOFError,
    RuntimeError,
    ValueError,
    LookupError,
    TypeError,
    AttributeError,
)


def class_of(path):
    """Returns the name of the class of the model in a `.keras` file.

    Args:
        path: of the file.

    Returns:
        The name under which Keras knows the class: `kgan>CVAEGAN`, or `Functional` for one of its own.

    Raises:
        ValueError: the file names none.
    """
    try:
        with zipfile.ZipFile(path) as archive, archive.open("config.json") as file:
            text = file.read(MOST_BYTES + 1)
        if len(text) > MOST_BYTES:
            raise ValueError("its config.json is larger than 16 MB")
        found = parse_json(text, "its config.json")
        # The name of a class that is not registered is no evidence of kgan's.
        return str(found.get("registered_name") or found["class_name"].rpartition(">")[2])
    except ERRORS as error:
        raise ValueError(f"{path} is not a model that Keras can read: {error}") from None
