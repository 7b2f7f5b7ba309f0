"""Features of the FID's Inception network. A file of random weights stands for the published one."""

import builtins

import numpy as np
import pytest

from kgan.metrics import frechet_distance, inception_features

pytestmark = pytest.mark.only_on("torch")
IMAGES = np.random.default_rng(0).uniform(-1, 1, (5, 32, 32, 3)).astype("float32")


@pytest.fixture(scope="module")
def fidelity():
    return pytest.importorskip("torch_fidelity", reason="needs kgan[fid]")


@pytest.fixture(scope="module")
def weights(fidelity, tmp_path_factory):
    """A file of weights that give features of an ordinary size."""
    import torch
    from torch_fidelity.feature_extractor_inceptionv3 import FeatureExtractorInceptionV3

    torch.manual_seed(0)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(torch, "load", lambda path, **options: None)
        patch.setattr(FeatureExtractorInceptionV3, "load_state_dict", lambda self, state: None)
        network = FeatureExtractorInceptionV3("random", ["2048"], "none")
    for module in network.modules():
        if isinstance(module, torch.nn.Conv2d):
            torch.nn.init.kaiming_normal_(module.weight)
    path = tmp_path_factory.mktemp("weights") / "weights-inception.pth"
    torch.save(network.state_dict(), path)
    return path


def test_as_torch_fidelity_computes_them(fidelity, weights):
    import torch
    from torch_fidelity.feature_extractor_inceptionv3 import FeatureExtractorInceptionV3

    network = FeatureExtractorInceptionV3("theirs", ["2048"], str(weights))
    for images in (IMAGES, IMAGES[..., :1]):
        pixels = torch.from_numpy(np.rint((np.repeat(images, 3 // images.shape[-1], -1) + 1) * 127.5).astype("uint8"))
        theirs = network(pixels.permute(0, 3, 1, 2))[0].numpy()
        ours = inception_features(images, weights, batch_size=2)
        assert ours.shape == (5, 2048) and ours.dtype == "float32" and ours.std() > 1e-3
        np.testing.assert_allclose(ours, theirs, rtol=1e-4, atol=1e-5)


def test_the_frechet_distance_is_the_fid_of_torch_fidelity(fidelity):
    import torch
    from torch_fidelity.metric_fid import KEY_METRIC_FID, fid_features_to_statistics, fid_statistics_to_metric

    rng = np.random.default_rng(1)
    real, generated = (rng.normal(shift, 1, (300, 64)) ** 2 @ rng.normal(size=(64, 64)) for shift in (0, 0.3))
    statistics = [fid_features_to_statistics(torch.from_numpy(features)) for features in (real, generated)]
    theirs = fid_statistics_to_metric(*statistics, verbose=False)[KEY_METRIC_FID]
    assert frechet_distance(real, generated) == pytest.approx(theirs, rel=1e-6)


def test_files_that_are_not_the_weights(fidelity, tmp_path):
    import torch

    class Code:
        def __reduce__(self):
            return (tmp_path.joinpath("ran").touch, ())

    for content in ({"a": torch.zeros(1)}, {"a": Code()}):
        torch.save(content, tmp_path / "other.pth")
        with pytest.raises(ValueError, match="other.pth does not hold the weights"):
            inception_features(IMAGES, tmp_path / "other.pth")
    assert not (tmp_path / "ran").exists()
    with pytest.raises(OSError, match="none.pth"):
        inception_features(IMAGES, tmp_path / "none.pth")


@pytest.mark.parametrize("images", [IMAGES[0], IMAGES[..., :2], IMAGES[:0], 2 * IMAGES, IMAGES * np.nan])
def test_images_that_are_refused(images):
    with pytest.raises(ValueError, match="images (have values|must be floats|hold NaN)"):
        inception_features(images)


@pytest.mark.parametrize(
    ("failure", "message"),
    [
        (
            ModuleNotFoundError(name="torch_fidelity"),
            r'inception_features needs torch_fidelity: pip install "kgan\[fid\]"',
        ),
        (RuntimeError("operator torchvision::nms does not exist"), "torchvision does not fit this PyTorch"),
    ],
)
def test_what_is_missing_is_named(failure, message, monkeypatch):
    real = builtins.__import__

    def fail(name, *args, **kwargs):
        if name.startswith("torch_fidelity"):
            raise failure
        return real(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", fail)
    with pytest.raises(ImportError, match=message):
        inception_features(IMAGES)
