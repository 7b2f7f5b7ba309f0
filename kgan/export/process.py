"""Conversions in a separate process of TensorFlow, and output folders whose files are replaced at the end."""

import contextlib
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path


@contextlib.contextmanager
def replacing(out):
    """Yield a temporary folder; what lies in its `result` at the end replaces the files of the folder `out`."""
    out.mkdir(parents=True, exist_ok=True)
    # Inside the output folder, so that files can be renamed into place.
    with tempfile.TemporaryDirectory(prefix=".export-", dir=out) as folder:
        folder = Path(folder)
        yield folder
        for path in sorted((folder / "result").iterdir()):
            if path.is_dir() and (out / path.name).exists():
                os.replace(out / path.name, folder / path.name)
            os.replace(path, out / path.name)


def run(module, folder, refusal):
    """Run a module with the TensorFlow backend, on the CPU so that it takes no GPU memory.

    Args:
        module: full name; its `main` calls `kgan.export.converter.answer`.
        folder: holds `request.json`, and takes `result` or `failure.json`.
        refusal: subclass of `RuntimeError`, which the module raises for files that differ too much from Keras.

    Raises:
        ValueError, RuntimeError: what the module raised.
    """
    source = str(Path(__file__).resolve().parents[2])
    environment = {
        **os.environ,
        "KERAS_BACKEND": "tensorflow",
        "CUDA_VISIBLE_DEVICES": "-1",
        "PYTHONPATH": os.pathsep.join(filter(None, [source, os.environ.get("PYTHONPATH")])),
    }
    # Without -P, and with an empty part of PYTHONPATH, Python imports what the current folder holds.
    command = [sys.executable, "-P", "-m", module, str(folder)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        failure = folder / "failure.json"
        if not failure.exists():
            raise RuntimeError(f"the conversion process failed: {done.stderr.strip()[-2000:] or done.returncode}")
        kind, message = json.loads(failure.read_text())
        raise {"ValueError": ValueError, refusal.__name__: refusal}.get(kind, RuntimeError)(message)


def read_keys(path, allowed):
    """Return the JSON object stored next to a model, {} if there is no such file, or refuse one with other keys."""
    if not path.is_file():
        return {}
    try:
        card = json.loads(path.read_text())
    except ValueError as error:
        raise ValueError(f"{path} is not JSON ({error})") from None
    if not isinstance(card, dict) or set(card) - allowed:
        raise ValueError(
            f"{path} is not a model card: pass a JSON object with keys among {', '.join(sorted(allowed))}, or remove it"
        )
    return card
