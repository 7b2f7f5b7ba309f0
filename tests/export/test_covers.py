"""The command that makes the packaged network that finds what is in front of a face."""

import hashlib
import zipfile

import keras
import numpy as np
import pytest
from scipy.special import expit

from kgan.data.faces.covered import load_covered
from kgan.models.makeup.networks import build_cover_network
from kgan.runtime.litert import Network

SCRIPT = "covers"
pytestmark = pytest.mark.only_on("tensorflow")


def test_the_file_answers_as_keras_does(script, tmp_path, capsys):
    model, target = build_cover_network(0.5), tmp_path / "covers.tflite"
    model.save(tmp_path / "model.keras")
    assert script.main([str(tmp_path / "model.keras"), "--target", str(target)]) == 0
    assert hashlib.sha256(target.read_bytes()).hexdigest() in capsys.readouterr().out
    faces = load_covered("test", 2)["features"].astype("float32")
    found = np.concatenate([Network(target)(face)[0] for face in faces])
    np.testing.assert_allclose(expit(found), expit(model.predict(faces, verbose=0)), atol=0.01)
    assert target.stat().st_size < 250_000  # 364,000 with weights of 32 bits


@pytest.mark.parametrize("what", ["missing", "no model", "cut", "without its config", "another"])
def test_what_is_no_such_model_changes_nothing(what, script, tmp_path, capsys):
    path, target = tmp_path / "model.keras", tmp_path / "covers.tflite"
    target.write_text("earlier")
    if what == "no model":
        path.write_bytes(b"no model")
    elif what == "another":
        keras.Sequential([keras.Input((128, 128, 5)), keras.layers.Conv2D(2, 1)]).save(path)
    elif what != "missing":
        build_cover_network(0.5).save(path)
        if what == "cut":
            path.write_bytes(path.read_bytes()[:-100])
        else:
            with zipfile.ZipFile(path, "w") as archive:
                archive.writestr("metadata.json", "{}")
    assert script.main([str(path), "--target", str(target)]) == 2
    assert target.read_text() == "earlier" and "model.keras" in capsys.readouterr().err


def test_other_answers_are_refused(script, tmp_path, capsys, monkeypatch):
    build_cover_network(0.5).save(tmp_path / "model.keras")
    monkeypatch.setattr(script, "MOST", -1.0)
    assert script.main([str(tmp_path / "model.keras"), "--target", str(tmp_path / "covers.tflite")]) == 1
    assert not (tmp_path / "covers.tflite").exists() and "covers.tflite is unchanged" in capsys.readouterr().err
