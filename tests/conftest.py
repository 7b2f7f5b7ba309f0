"""Fixtures shared by all tests. PyTorch is imported before TensorFlow: the other order can crash the process."""

import contextlib
import os
import tempfile
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
# Compiling takes longer than running here: half the time without XLA's costly passes.
os.environ.setdefault("XLA_FLAGS", "--xla_backend_optimization_level=0 --xla_llvm_disable_expensive_passes=true")
# With a process for each core, PyTorch's threads only wait for each other, which takes two thirds more processor time.
if "PYTEST_XDIST_WORKER" in os.environ:
    os.environ.setdefault("OMP_NUM_THREADS", "1")
# Ray's workers come last otherwise, and beside other tests hardly get on.
os.environ.setdefault("RAY_worker_niceness", "0")
# Tests, and the processes they start, build the same small models many times over; JAX compiles each once.
if "JAX_COMPILATION_CACHE_DIR" not in os.environ:
    _cache = tempfile.TemporaryDirectory(prefix="kgan-test-jax-")  # until the process that made it ends
    os.environ["JAX_COMPILATION_CACHE_DIR"] = _cache.name
os.environ.setdefault("JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS", "0")
os.environ.setdefault("JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES", "-1")
with contextlib.suppress(ImportError):
    import torch  # noqa: F401

import keras
import pytest

MODELS = Path(__file__).parent / "models"


def backends_of(item):
    """The backends that run a test.

    The golden step, and the contract of one model of each base, show that a model does the same on each. What it does,
    and what it refuses, its other tests look at on PyTorch, which traces nothing.
    """
    if only_on := item.get_closest_marker("only_on"):
        return only_on.args
    if item.get_closest_marker("backend_free"):
        return ("tensorflow",)
    everywhere = item.get_closest_marker("every_backend") or item.originalname in ("test_contract", "test_golden")
    return ("torch",) if MODELS in item.path.parents and not everywhere else ("tensorflow", "jax", "torch")


def pytest_collection_modifyitems(config, items):
    """Leaves out what this backend need not run."""
    left_out = [item for item in items if keras.backend.backend() not in backends_of(item)]
    config.hook.pytest_deselected(items=left_out)
    items[:] = [item for item in items if item not in set(left_out)]


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config, log):
    """A process that has nothing left takes tests from another: some take a minute, and most no time at all."""
    from xdist.scheduler import WorkStealingScheduling

    return WorkStealingScheduling(config, log)


@pytest.fixture(autouse=True)
def _seed():
    keras.utils.set_random_seed(0)


@pytest.fixture
def shared_data():
    """Folder of small real data sets beside the repository; a test that needs it is skipped where it is missing."""
    folder = Path(__file__).resolve().parents[1] / ".." / "shared" / "data"
    if not folder.is_dir():
        pytest.skip("the folder of real data sets is not there")
    return folder
