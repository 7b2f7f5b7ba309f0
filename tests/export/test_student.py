"""The command that makes the files of the package, its conversion replaced: `tests/test_export.py` has that."""

import json
from pathlib import Path

import pytest

SCRIPT = "student"
FILES = ("student-float32.tflite", "student-int8.tflite")
CARD = {"licence": "for tests", "data_card": "none"}


@pytest.fixture
def run(script, monkeypatch, tmp_path):
    """Runs the command; `sizes` are the bytes of the two files that the conversion leaves."""
    target = tmp_path / "package"
    target.mkdir()
    for name in FILES:
        (target / name).write_text("earlier")

    def run(card, sizes=(365_000, 115_000), names=FILES, failure=None, kinds=()):
        def convert(model, out, quantisation, images):
            assert quantisation == tuple(kinds or ("float32", "int8"))
            if failure:
                raise failure
            for name, size in zip(names, sizes, strict=True):
                Path(out, name).write_bytes(bytes(size))
            Path(out, "report.md").write_text("the report")

        monkeypatch.setattr(script, "export_text_filter", convert)
        (tmp_path / "student.json").write_text(json.dumps(card))
        chosen = ["--kinds", *kinds] if kinds else []
        status = script.main([str(tmp_path / "student.keras"), "--target", str(target), *chosen])
        return status, {path.name: path.stat().st_size for path in target.iterdir()}

    return run


def test_one_file_alone(run):
    assert run(CARD, (365_000,), FILES[:1], kinds=["float32"]) == (0, {FILES[0]: 365_000, FILES[1]: len("earlier")})


def test_both_files_are_replaced(run, capsys):
    assert run(CARD) == (0, dict(zip(FILES, (365_000, 115_000), strict=True)))
    assert capsys.readouterr().out == "the report\n480000 bytes together\n"


@pytest.mark.parametrize(
    ("arguments", "status", "message"),
    [
        ({"card": CARD, "sizes": (365_000, 135_001)}, 1, "500001 bytes together, more than the limit of 500000"),
        ({"card": CARD, "failure": RuntimeError("decides otherwise")}, 1, "decides otherwise"),
        ({"card": {"licence": "for tests"}}, 2, "must state licence and data_card"),
        ({"card": CARD, "names": ("a-float32.tflite", "a-int8.tflite")}, 2, "the model's name must be 'student'"),
    ],
)
def test_nothing_is_changed(run, capsys, arguments, status, message):
    assert run(**arguments) == (status, dict.fromkeys(FILES, len("earlier")))
    assert message in capsys.readouterr().err
