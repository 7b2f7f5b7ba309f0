"""The command that makes a preset of the package from that of a run."""

import keras
import numpy as np
import pytest

import kgan
from kgan import presets

SCRIPT = "preset"
pytestmark = pytest.mark.only_on("torch")
CARD = {"data": "digits", "command": "python recipes/a.py", "figures": {"top1": 90.5}}


@pytest.fixture
def model():
    keras.utils.set_random_seed(1)
    return kgan.CGAN(num_classes=3, image_size=32, channels=1, latent_dim=8, width=0.05)


@pytest.fixture
def run(script, model, tmp_path):
    """Runs the command on a preset with a card; returns its status and the names in the package."""
    target = tmp_path / "package"

    def run(card=CARD, name="digits_32"):
        model.save_to_preset(tmp_path / "preset", ["zero", "one", "two"], card)
        arguments = [str(tmp_path / "preset"), name, "--licence", "Apache-2.0", "--data", "digits of strangers"]
        status = script.main([*arguments, "--target", str(target)])
        return status, sorted(path.name for path in target.glob("*"))

    return run


def test_a_preset_of_half_the_size(run, model, tmp_path, capsys):
    assert run() == (0, ["digits_32"])
    made, original = tmp_path / "package" / "digits_32", tmp_path / "preset"
    assert presets.read_card(made) == {
        **CARD,
        "data": "digits of strangers",
        "licence": "Apache-2.0",
        "weights": "rounded to float16",
    }
    sizes = [(folder / "model.weights.h5").stat().st_size for folder in (made, original)]
    arrays = 2 * model.count_params()
    assert sizes[1] - sizes[0] == pytest.approx(arrays, rel=0.1)
    assert f"{sum(path.stat().st_size for path in made.iterdir())} bytes together" in capsys.readouterr().out
    again = kgan.CGAN.from_preset(made)
    assert again.class_names == ["zero", "one", "two"] and keras.config.dtype_policy().name == "float32"
    for old, new in zip(model.weights, again.weights, strict=True):
        old, new = map(keras.ops.convert_to_numpy, (old, new))
        assert new.dtype == "float32"
        np.testing.assert_allclose(new, old, rtol=2**-11, atol=2**-25)  # half a unit in the last place
    np.testing.assert_allclose(again.generate([0, 1], seed=1), model.generate([0, 1], seed=1), atol=0.01)


def test_a_preset_of_the_package_is_replaced(run, model, tmp_path):
    run()
    model.generator.weights[0].assign(model.generator.weights[0] * 0)
    assert run() == (0, ["digits_32"])
    again = kgan.CGAN.from_preset(tmp_path / "package" / "digits_32")
    assert not keras.ops.convert_to_numpy(again.generator.weights[0]).any()


@pytest.mark.parametrize(
    ("options", "status", "message"),
    [
        ({"card": {"command": "python recipes/a.py"}}, 2, "has a card without command and figures"),
        ({"name": "../digits"}, 2, "'../digits' is no name"),
        ({"name": "Digits"}, 2, "'Digits' is no name"),
    ],
)
def test_what_is_refused(run, options, status, message, capsys):
    assert run(**options) == (status, [])
    assert message in capsys.readouterr().err


def test_too_many_bytes(run, script, monkeypatch, capsys):
    assert run()[0] == 0
    size = int(capsys.readouterr().out.split("; ")[1].split()[0])
    monkeypatch.setattr(script, "MOST_BYTES", size)
    assert run() == (0, ["digits_32"])  # a preset is not counted beside itself
    assert run(name="more_32") == (1, ["digits_32"])
    assert f"more than the limit of {size}" in capsys.readouterr().err


def test_weights_too_large_for_float16(run, model, capsys):
    model.generator.weights[0].assign(model.generator.weights[0] + 1e5)
    assert run() == (1, [])
    assert "weights that float16 cannot hold" in capsys.readouterr().err
