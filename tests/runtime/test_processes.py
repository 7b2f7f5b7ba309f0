"""Work in other processes that die, do not start, or raise."""

import functools
import os
import signal
import subprocess
import sys

import pytest

from kgan.runtime.processes import spread

pytestmark = pytest.mark.backend_free


def killed_by(signals):
    """What becomes of calls of `signal.raise_signal`, in groups of three; signal 0 does nothing."""
    calls = [(number, (number,)) for number in signals]
    groups = (calls[i : i + 3] for i in range(0, len(calls), 3))
    found = spread(functools.partial, (signal.raise_signal,), groups, 2, "crashed")
    return [(key, result) for (key, _), result in found]


def test_a_process_that_dies_takes_nothing_else_with_it():
    signals = [0] * 7 + [signal.SIGKILL] + [0] * 30 + [signal.SIGSEGV, signal.SIGKILL] + [0] * 5
    assert killed_by(signals) == [(number, "crashed" if number else None) for number in signals]
    assert killed_by([signal.SIGKILL]) == [(signal.SIGKILL, "crashed")]
    assert killed_by([]) == []


def test_processes_that_cannot_start():
    with pytest.raises(ChildProcessError, match="the worker processes do not start"):
        next(spread(os._exit, (3,), [[(0, ())]], 1, "crashed"))


def test_nothing_is_imported_from_the_current_folder(tmp_path, monkeypatch):
    """The folder of somebody's photos may hold files named like modules of Python."""
    script = tmp_path / "script.py"
    script.write_text(GUARDED)
    folder = tmp_path / "photos"
    folder.mkdir()
    for name in ("multiprocessing", "struct", "random", "numpy", "PIL"):
        (folder / f"{name}.py").write_text("open('run', 'w')")
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(filter(None, sys.path)))
    done = subprocess.run([sys.executable, script], cwd=folder, capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout == "[((0, ('5',)), 5)] None\n"
    assert not (folder / "run").exists()


GUARDED = """
import functools, os
from kgan.runtime.processes import spread
if __name__ == "__main__":
    print(list(spread(functools.partial, (int,), [[(0, ("5",))]], 2, "crashed")), os.environ.get("PYTHONSAFEPATH"))
"""


UNGUARDED = """
import functools
from kgan.runtime.processes import spread
try:
    print(list(spread(functools.partial, (print, bytes(10**6)), [[(0, ("abc",))]], 1, "crashed")))
except ChildProcessError as error:
    print(error)
"""


@pytest.mark.parametrize("from_stdin", [True, False])
def test_a_script_that_no_process_can_import_is_told_so(tmp_path, from_stdin):
    """A process that dies before it reads what it is sent left the sender waiting, if that was more than 64 kB."""
    (tmp_path / "script.py").write_text(UNGUARDED)
    command = [sys.executable, "-" if from_stdin else tmp_path / "script.py"]
    done = subprocess.run(command, input=UNGUARDED, capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout.splitlines()[-1].startswith("the worker processes do not start; ")


def test_an_error_in_another_process_is_not_swallowed():
    with pytest.raises(ValueError, match="invalid literal"):
        list(spread(functools.partial, (int,), [[(0, ("1",)), (1, ("x",))]], 1, "crashed"))
