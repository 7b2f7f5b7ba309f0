"""generate.html of export/browser in headless Chromium: its pictures are those of Keras."""

import json

import keras
import numpy as np
import pytest
import tiny_filter
import tiny_generator
from tiny_generator import CLASSES, LATENTS, grey

from kgan import export
from kgan.export import generator as exporting
from kgan.filter import model_file

pytestmark = pytest.mark.only_on("tensorflow")

NAMES = ["cat", "dog", "newt"]


@pytest.fixture
def models(tmp_path, monkeypatch):
    """`{name: (model, bytes of its LiteRT file)}`."""
    from kgan.export import generator_conversion

    def here(module, folder, refusal):
        generator_conversion.export(folder, json.loads((folder / "request.json").read_text()))

    monkeypatch.setattr(exporting, "run", here)
    found = {}
    for name, model in (
        ("pets", tiny_generator.conditional()),
        ("own", tiny_generator.free(keras.layers.Activation("tanh"))),
    ):
        model.save(tmp_path / f"{name}.keras")
        names = NAMES if name == "pets" else None
        export.export_generator(tmp_path / f"{name}.keras", tmp_path, ["float32"], class_names=names)
        found[f"{name}.tflite"] = model, (tmp_path / f"{name}-float32.tflite").read_bytes()
    return found


def as_shown(model, latents, labels):
    """RGBA as Keras draws it."""
    latents = np.array([latents], "float32")
    images = model.generate([labels], latents) if labels else model.generator.predict(latents, verbose=0)
    pixels = np.broadcast_to(grey(images[0]), (*images.shape[1:3], 3))
    return np.concatenate([pixels, np.full((*pixels.shape[:2], 1), 255)], axis=2)


def test_the_page_draws_what_keras_draws(models, browse, tmp_path):
    model_file.append(tmp_path / "other.tflite", b"model", {"model": "MMSSIT", "signatures": {"a_to_b": {}}})
    broken = {
        "student.tflite": (tiny_filter.model_file(), "it holds a text filter, which generates nothing from latents"),
        "other.tflite": ((tmp_path / "other.tflite").read_bytes(), "it holds a MMSSIT, which generates nothing"),
        "photo.tflite": (b"no model at all, but long enough for one", "the model file has no kgan.json"),
        "empty.tflite": (b"", "the model file has no kgan.json"),
    }
    answer = browse(
        "harness_generator.html",
        {
            "broken": json.dumps(list(broken)).encode(),
            "models": json.dumps(list(models)).encode(),
            **{name: data for name, (data, _) in broken.items()},
            **{name: data for name, (_, data) in models.items()},
        },
    )
    assert "Choose a .tflite file" in answer["initial"]
    for name, (_, message) in broken.items():
        text, disabled = answer["messages"][name]
        assert text.startswith(f"{name} cannot be used: {message}") and disabled
    assert answer["pictures"]["pets.tflite"]["names"] == NAMES and not answer["pictures"]["pets.tflite"]["hidden"]
    assert answer["pictures"]["own.tflite"]["names"] == [] and answer["pictures"]["own.tflite"]["hidden"]

    for name, (model, _) in models.items():
        pictures = answer["pictures"][name]["pictures"]
        for picture in pictures:
            expected = as_shown(model, picture["latents"], picture["labels"])
            assert picture["size"] == list(expected.shape[:2])
            difference = np.abs(np.reshape(picture["pixels"], expected.shape) - expected)
            assert difference.max() <= 1 and (difference > 0).mean() < 1e-3
            width = expected.shape[1]
            assert picture["shown"] == [f"{width * -(-320 // width)}px", "pixelated"]
        assert len({json.dumps(p["pixels"]) for p in pictures}) >= len(pictures) - 1  # "to" counts with a share alone

    still, first, both, newt, to, share, another = answer["pictures"]["pets.tflite"]["pictures"]
    assert [p["labels"] for p in (still, newt, to)] == [[1, 0, 0], [0, 0, 1], [0, 0, 1]]
    assert share["labels"] == another["labels"] == [0.25, 0, 0.75]
    assert np.shape(still["latents"]) == (LATENTS,) and len(newt["labels"]) == CLASSES
    assert both["latents"] == newt["latents"] == share["latents"] != another["latents"]
    assert still["text"] == "Picture 1, 32 x 32" and another["text"] == "Picture 2, 32 x 32"
    # Along a direction d: (z + 1.5 d) / sqrt(1 + 1.5^2); of one from N(0, 1), as z and d are.
    directions = (np.array(first["latents"]) * np.hypot(1, 1.5) - still["latents"]) / 1.5
    for numbers in (still["latents"], directions, another["latents"]):
        assert 0.3 < np.std(numbers) < 2 and np.abs(numbers).max() < 4
