import json
import subprocess
import sys

import keras
import numpy as np
import pytest
import textfilter_textdis as recipe

from kgan import text_filter
from kgan.metrics import text_filter_metrics

TINY = ["--image-size", "60", "60", "--count", "16", "--test-count", "16", "--epochs", "1"]
TINY += ["--student-epochs", "2", "--width", "0.03"]


@pytest.mark.only_on("torch")
def test_a_run_writes_what_it_says_and_resumes(start, tmp_path):
    out = tmp_path / "run"
    arguments = [*TINY, "--models", *recipe.MODELS, "--no-export", "--out", out]
    assert start(*arguments)[0] == 0
    results = json.loads((out / "metrics.json").read_text())
    assert list(results) == list(recipe.MODELS)
    table = (out / "results.md").read_text()
    assert all(title in table for title in recipe.TITLES.values()) and "seeds [0]" in table
    assert "1 epochs" in table and "a student has 2." in table
    assert (out / "regions.png").stat().st_size > 1000
    epochs = {
        path.parent.relative_to(out).as_posix(): path.read_text().count("\n") - 1 for path in out.rglob("train.csv")
    }
    assert epochs == {
        **dict.fromkeys(("teacher-seed0", "teacher_msp-seed0", "full-seed0/boundary", "full-seed0"), 1),
        **dict.fromkeys(("hard-seed0", "soft-seed0", "adversarial-seed0"), 2),
    }

    # The figures of the table are those of the last network; the student that was kept is this one with its kernels on
    # int8's grid, which may decide otherwise on one of so few images.
    images, polygons = recipe.load_text("synthetic/scene_text", "test", image_size=(60, 60), count=16)
    last = keras.saving.load_model(out / "full-seed0" / "model.keras")
    again = text_filter_metrics(np.array([len(p) > 0 for p in polygons]), last.score(images), recipe.RECALLS)
    assert again["best_f"]["f"] == pytest.approx(results["full"]["0"]["best_f"]["f"])
    student = keras.saving.load_model(out / "student.keras")
    assert isinstance(student, text_filter.TextStudent)
    last.round_kernels()
    for one, other in zip(last.get_weights(), student.get_weights(), strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-6)

    # Trained networks are not trained again.
    before = {path: path.stat().st_mtime_ns for path in out.rglob("model.keras")}
    # In a new process, which has not seen their classes yet.
    command = [sys.executable, recipe.__file__, *map(str, arguments), "--resume"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert before == {path: path.stat().st_mtime_ns for path in out.rglob("model.keras")}
    resumed = json.loads((out / "metrics.json").read_text())
    assert resumed == results
    status, error = start(*arguments, "--resume", "--epochs", "2")
    assert status == 2 and "epochs" in error


@pytest.mark.backend_free
@pytest.mark.parametrize(
    "arguments, words",
    [
        (["--data", "textdis:nowhere"], ["nowhere"]),
        (["--data", "mnist"], ["mnist", "synthetic/scene_text"]),
        (["--test-count", "1"], ["both kinds"]),
    ],
)
def test_bad_input_is_one_line(start, tmp_path, arguments, words):
    status, error = start(*TINY, *arguments, "--out", tmp_path / "run")
    assert status == 2 and error.startswith("error: ") and error.count("\n") == 1
    assert all(word in error for word in words)
    assert not (tmp_path / "run").exists()


@pytest.mark.backend_free
def test_a_refused_int8_file_is_said_and_the_others_are_written(tmp_path, monkeypatch):
    asked = []

    def convert(model, out, quantisation=("float32", "float16", "int8"), **given):
        asked.append(quantisation)
        if "int8" in quantisation:
            raise recipe.DecisionsChanged("int8 decides otherwise")
        numbers = {"bytes": 2000, "changed": {"best_f": 0.0}, "mean_difference": 0.0, "milliseconds": {"240x240": 1.0}}
        return {"files": dict.fromkeys(quantisation, numbers)}

    monkeypatch.setattr(recipe, "export_text_filter", convert)
    report = recipe.export(tmp_path, np.zeros((4, 60, 60, 3), "uint8"), np.zeros((4, 60, 60, 3), "uint8"), np.ones(4))
    assert report.startswith("Not exported to int8: int8 decides otherwise\n\n")
    assert "| float32 | 2 |" in report and "| float16 | 2 |" in report and len(asked) == 2
