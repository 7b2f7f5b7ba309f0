"""Scripts of `export/`, which is no package, as modules."""

import importlib.util
from pathlib import Path

import pytest

FOLDER = Path(__file__).resolve().parents[2] / "export"


@pytest.fixture
def script(request):
    """The script whose name a module of tests has in `SCRIPT`."""
    spec = importlib.util.spec_from_file_location(
        f"export_{request.module.SCRIPT}", FOLDER / f"{request.module.SCRIPT}.py"
    )
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
