"""Whitened latents: new coordinates, the same pictures."""

import keras
import numpy as np
import pytest
from model_contract import noise

import kgan
from kgan.models.cvae_gan.latents import class_whitening

CLASSES = 3
RANDOM = np.random.default_rng(0)
LABELS = np.arange(30) % CLASSES
IMAGES = noise((30, 32, 32, 1), salt=5)


def model(name="CVAEGAN", **options):
    keras.utils.set_random_seed(0)
    return getattr(kgan, name)(CLASSES, 32, 1, latent_dim=4, width=0.05, **options)


def test_codes_have_no_class_and_covariance_one():
    mixing = RANDOM.normal(size=(4, 4))
    mean = RANDOM.normal(size=(300, 4)) @ mixing + 5 * RANDOM.normal(size=(CLASSES, 4))[np.arange(300) % CLASSES]
    log_variance = RANDOM.normal(size=(300, 4))
    labels = np.arange(300) % CLASSES
    means, basis, inverse, variances = class_whitening(mean, log_variance, labels, CLASSES + 1)
    np.testing.assert_allclose(inverse @ basis, np.eye(4), atol=1e-10)
    white = (mean - means[labels]) @ inverse.T
    for label in range(CLASSES):
        np.testing.assert_allclose(white[labels == label].mean(axis=0), 0, atol=1e-10)
    posterior = inverse @ np.diag(np.exp(log_variance).mean(axis=0)) @ inverse.T
    np.testing.assert_allclose(posterior, np.diag(variances), atol=1e-10)
    np.testing.assert_allclose(white.T @ white / 300 + posterior, np.eye(4), atol=1e-10)
    np.testing.assert_allclose(means[CLASSES], mean.mean(axis=0))  # no sample


@pytest.mark.parametrize(("name", "options"), [("CVAEGAN", {}), ("CVAEGAN", {"mixed_norm": True}), ("CVAE", {})])
def test_new_coordinates_leave_pictures_alone(name, options, tmp_path):
    network = model(name, **options)
    codes = network.encode(IMAGES, LABELS)
    means, basis, _, variances = class_whitening(*codes, LABELS, CLASSES)
    latents, mixed = RANDOM.normal(size=(5, 4)).astype("float32"), RANDOM.dirichlet(np.ones(CLASSES), 5)
    old = latents @ basis.T + mixed @ means
    expected = [network.reconstruct(IMAGES, LABELS), network.generate(mixed, old), network.decode(mixed, old)]
    assert np.abs(expected[1] - network.generate(mixed, latents)).max() > 1e-3  # else nothing would be shown

    network.whiten_latents(IMAGES, LABELS)
    network.save(tmp_path / "model.keras")
    for changed in (network, keras.saving.load_model(tmp_path / "model.keras")):
        drawn = [changed.reconstruct(IMAGES, LABELS), changed.generate(mixed, latents), changed.decode(mixed, latents)]
        for a, b in zip(expected, drawn, strict=True):
            np.testing.assert_allclose(a, b, atol=1e-4)
        mean, log_variance = changed.encode(IMAGES, LABELS)
        for label in range(CLASSES):
            np.testing.assert_allclose(mean[LABELS == label].mean(axis=0), 0, atol=1e-3)
        np.testing.assert_allclose(log_variance, np.tile(np.log(variances), (30, 1)), atol=1e-3)


def test_whitening_twice_changes_nothing_more():
    network = model()
    network.whiten_latents(IMAGES, LABELS)
    once = network.encode(IMAGES, LABELS)
    means, basis, _, variances = class_whitening(*once, LABELS, CLASSES)
    np.testing.assert_allclose(means, 0, atol=1e-3)
    np.testing.assert_allclose(basis @ basis.T, np.eye(4), atol=1e-2)
    np.testing.assert_allclose(np.sort(variances), np.sort(np.exp(once[1][0])), rtol=1e-2)


def test_refusals():
    with pytest.raises(ValueError, match="literal_sampling"):
        model(literal_sampling=True).whiten_latents(IMAGES, LABELS)
    with pytest.raises(ValueError, match="Labels"):
        model().whiten_latents(IMAGES, LABELS + 1)
