"""Fixtures shared by all tests. PyTorch is imported before TensorFlow: the other order can crash the process."""

import contextlib
import os
import tempfile
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
# Compiling takes longer than running here: half the time without XLA's costly passes.
os.environ.setdefault("XLA_FLAGS", "--xla_backend_optimization_level=0 --xla_llvm_disable_expensive_passes=true")
with contextlib.suppress(ImportError):
    import torch  # noqa: F401

import keras
import pytest

if keras.backend.backend() == "jax":
    import jax

    # Tests build the same small model many times over; compile each once.
    jax.config.update("jax_compilation_cache_dir", tempfile.mkdtemp(prefix="kgan-test-jax-"))
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0)
    jax.config.update("jax_persistent_cache_min_entry_size_bytes", -1)


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
