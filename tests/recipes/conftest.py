import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "recipes"))
import common  # noqa: E402


@pytest.fixture
def start(request, monkeypatch, capsys):
    """Function of command-line arguments that runs the test module's `recipe`; returns `(exit status, stderr)`."""
    recipe = request.module.recipe

    def start(*arguments):
        monkeypatch.setattr(sys, "argv", [recipe.__file__, *map(str, arguments)])
        capsys.readouterr()
        try:
            common.run(recipe.main)
        except SystemExit as end:
            return end.code, capsys.readouterr().err
        return 0, capsys.readouterr().err

    return start
