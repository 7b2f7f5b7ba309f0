"""Makeup transfer in tensors."""

import keras
import numpy as np
import pytest
from keras import ops
from sklearn.metrics import roc_auc_score

import kgan
from kgan import backend
from kgan.models.makeup.illumination import ATTENTIONS, IlluminationClassifier, repaired
from kgan.models.makeup.uv import render


@pytest.fixture(scope="module")
def pairs():
    return kgan.data.load_makeup("synthetic/faces", count=2, uv_size=32, image_size=40)


def table(pairs):
    return [ops.convert_to_tensor(pairs[f"source_{name}"]) for name in ("index", "weight", "alpha")]


@pytest.mark.every_backend
def test_the_source_rendered_on_itself_is_itself(pairs):
    """Where there is no face nothing changes; where there is, the texture is what was drawn."""
    image = render(
        ops.convert_to_tensor(pairs["source_texture"]), *table(pairs), ops.convert_to_tensor(pairs["source_image"])
    )
    image, alpha = ops.convert_to_numpy(image), pairs["source_alpha"][..., 0]
    np.testing.assert_array_equal(image[alpha == 0], pairs["source_image"][alpha == 0])
    np.testing.assert_allclose(image[alpha > 0.999], pairs["source_image"][alpha > 0.999], atol=2e-3)


@pytest.mark.every_backend
def test_gradient_of_a_texture(pairs):
    """Against its closed form: each texel gets the weights of the pixels that it is part of."""
    index, weight, alpha = table(pairs)
    upstream = np.random.default_rng(0).normal(size=pairs["source_image"].shape).astype("float32")

    def total(textures):
        image = render(textures, index, weight, alpha, ops.convert_to_tensor(pairs["source_image"]))
        return ops.reshape(ops.sum(image * ops.convert_to_tensor(upstream), axis=(1, 2, 3)), (2, 1))

    slopes = backend.input_gradient(total, ops.convert_to_tensor(pairs["source_texture"]))
    slopes = ops.convert_to_numpy(ops.stop_gradient(slopes))
    expected = np.zeros((2, 32 * 32, 3))
    for b in range(2):
        gain = (pairs["source_alpha"][b] * upstream[b]).reshape(-1, 1, 3) * pairs["source_weight"][b][..., None]
        np.add.at(expected[b], pairs["source_index"][b].ravel(), gain.reshape(-1, 3))
    np.testing.assert_allclose(slopes.reshape(2, -1, 3), expected, atol=1e-5)


# === Light ===


@pytest.fixture
def classifier():
    return IlluminationClassifier(num_classes=5, size=32, width=0.125)


def test_light_is_learned_and_masks_are_calibrated(classifier, tmp_path):
    textures, labels = kgan.data.load("synthetic/faces", image_size=32, count=250)
    classifier.compile(metrics=["accuracy"])
    history = classifier.fit(textures, labels, epochs=12, batch_size=25, verbose=0).history
    assert history["accuracy"][-1] > 0.8 and history["loss"][-1] < history["loss"][0]

    held = kgan.data.load_makeup("synthetic/faces", "test", uv_size=32, image_size=32, count=60)
    one_sided = np.isin(held["reference_light"], (1, 2))
    textures, shades = held["reference_texture"][one_sided], held["reference_shade"][one_sided]
    with pytest.raises(ValueError, match="not calibrated: call calibrate"):
        classifier.masks(textures)
    classifier.calibrate(textures[::2], shades[::2])
    shade = np.log(shades[1::2, ..., 0])
    difference = shade - shade[:, :, ::-1]
    clear = np.abs(difference) > 0.15
    found = {}
    for attention in ATTENTIONS:
        masks = classifier.masks(ops.convert_to_tensor(textures[1::2]), attention)
        assert [mask.shape[1:] for mask in masks] == [(32, 32, 1), (16, 16, 1), (8, 8, 1)]
        mask = ops.convert_to_numpy(masks[0])[..., 0]
        assert 0 <= mask.min() and mask.max() <= 1
        found[attention] = roc_auc_score(difference[clear] < 0, mask[clear])
    assert found["calibrated"] > 0.8 and found["asymmetry"] > 0.9 and found["half"] == 0.5
    assert ops.convert_to_numpy(classifier.masks(textures, "paper")[1]).min() >= 0.5  # features are not negative

    classifier.save(tmp_path / "light.keras")
    again = keras.saving.load_model(tmp_path / "light.keras")
    for one, other in zip(classifier.masks(textures), again.masks(textures), strict=True):
        np.testing.assert_allclose(ops.convert_to_numpy(one), ops.convert_to_numpy(other), atol=1e-6)


def test_masks_of_a_mirrored_face_are_mirrored(classifier):
    """By asymmetry: what one side takes from the other, the other does not take from it."""
    textures = np.random.default_rng(0).uniform(-1, 1, (2, 32, 32, 3)).astype("float32")
    (mask,) = classifier.masks(ops.convert_to_tensor(textures), "asymmetry", layers=(1,))
    mask = ops.convert_to_numpy(mask)
    np.testing.assert_allclose(mask + mask[:, :, ::-1], 1, atol=1e-5)
    light = np.log((textures + 1) / 2 @ (0.3, 0.6, 0.1) + 0.05)
    np.testing.assert_allclose(mask[..., 0], 1 / (1 + np.exp(-6 * (light[:, :, ::-1] - light))), atol=1e-5)


def test_repair_is_equation_4_for_each_mask():
    rng = np.random.default_rng(0)
    features = rng.normal(size=(2, 4, 6, 3)).astype("float32")
    masks = [rng.random((2, 4, 6, 1)).astype("float32"), np.full((2, 2, 3, 1), 0.25, "float32")]
    found = ops.convert_to_numpy(repaired(ops.convert_to_tensor(features), [ops.convert_to_tensor(m) for m in masks]))
    mirrored = features[:, :, ::-1]
    first = (1 - masks[0]) * features + masks[0] * mirrored
    np.testing.assert_allclose(found, np.concatenate([first, 0.75 * features + 0.25 * mirrored], axis=-1), atol=1e-5)


@pytest.mark.parametrize(
    ("options", "words"),
    [({"num_classes": 1}, "num_classes=1"), ({"size": 16}, "size=16"), ({"width": 0}, "width=0")],
)
def test_arguments_out_of_range(options, words):
    with pytest.raises(ValueError, match=words):
        IlluminationClassifier(**options)


def test_data_that_do_not_fit(classifier):
    textures, labels = np.zeros((4, 32, 32, 3), "float32"), np.zeros(4, "int32")
    classifier.compile()
    for wrong, words in (
        ((textures, labels + 5), "whole numbers from 0 to 4"),
        ((textures + 2, labels), r"\[-1, 1\]"),
        ((textures[:, :16], labels), "32"),
        ((textures, None), "needs textures and labels"),
    ):
        with pytest.raises(ValueError, match=words):
            classifier.fit(*wrong, verbose=0)
    for options, words in (({"attention": "none"}, "attention='none'"), ({"layers": (4,)}, "layers=")):
        with pytest.raises(ValueError, match=words):
            classifier.masks(textures, **options)
    with pytest.raises(ValueError, match="same on both sides"):
        classifier.calibrate(textures, np.ones((4, 32, 32, 1)))
