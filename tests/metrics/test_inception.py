"""Features of the FID's Inception network: the process that computes them, with a network that stands for it."""

import hashlib

import numpy as np
import pytest

from kgan.metrics import frechet_distance, inception_features

pytestmark = pytest.mark.only_on("torch")
IMAGES = np.random.default_rng(0).uniform(-1, 1, (5, 16, 16, 3)).astype("float32")
STAND_IN = """
import torch
URL_INCEPTION_V3 = {url!r}
class FeatureExtractorInceptionV3:
    def __init__(self, name, features_list, path):
        self.scale = torch.load(path, weights_only=False)["scale"]
    def __call__(self, x):
        assert x.dtype == torch.uint8
        return (self.scale * x.float().mean(axis=(2, 3)),)
"""


@pytest.fixture
def torch_fidelity(tmp_path, monkeypatch):
    """Function that puts a module in its place."""
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "cache"))
    package = tmp_path / "torch_fidelity"
    package.mkdir()
    (package / "__init__.py").touch()
    return (package / "feature_extractor_inceptionv3.py").write_text


@pytest.fixture
def weights(tmp_path):
    return save({"scale": 2.0}, tmp_path / "weights.pth")


def save(content, path):
    import torch

    torch.save(content, path)
    return path


def expected(images):
    return 2 * np.rint((images + 1) * 127.5).mean(axis=(1, 2)) * np.ones(3)


@pytest.mark.parametrize("channels", [1, 3])
def test_features_of_8_bit_images(channels, torch_fidelity, weights):
    torch_fidelity(STAND_IN.format(url="none"))
    images = IMAGES[..., :channels]
    np.testing.assert_allclose(inception_features(images, weights, batch_size=2), expected(images), rtol=1e-5)


def test_weights_are_downloaded_once(torch_fidelity, weights, tmp_path):
    digest = hashlib.sha256(weights.read_bytes()).hexdigest()[:8]
    published = weights.rename(tmp_path / f"weights-{digest}.pth")
    torch_fidelity(STAND_IN.format(url=published.as_uri()))
    first = inception_features(IMAGES)
    published.unlink()
    np.testing.assert_array_equal(inception_features(IMAGES), first)


def test_another_file_than_was_published(torch_fidelity, weights, tmp_path):
    torch_fidelity(STAND_IN.format(url=weights.rename(tmp_path / "weights-00000000.pth").as_uri()))
    with pytest.raises(OSError, match="weights-00000000.pth cannot be downloaded: invalid hash"):
        inception_features(IMAGES)
    assert not list((tmp_path / "cache").rglob("*.pth"))


class Code:
    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return (self.path.touch, ())


def test_files_that_are_not_the_weights(torch_fidelity, tmp_path):
    torch_fidelity(STAND_IN.format(url="none"))
    empty = tmp_path / "empty.pth"
    empty.touch()
    other, code = save({"a": 1}, tmp_path / "other.pth"), save(Code(tmp_path / "ran"), tmp_path / "code.pth")
    for path in (empty, other, code):
        with pytest.raises(ValueError, match=f"{path.name} does not hold the weights of torch-fidelity's"):
            inception_features(IMAGES, path)
    assert not (tmp_path / "ran").exists()
    with pytest.raises(OSError, match="none.pth"):
        inception_features(IMAGES, tmp_path / "none.pth")


@pytest.mark.parametrize(
    ("failure", "message"),
    [
        ("ModuleNotFoundError(name='torchvision')", r'inception_features needs torchvision: pip install "kgan\[fid\]"'),
        ("ImportError('no such name')", "inception_features needs no such name: pip install"),
        ("RuntimeError('operator torchvision::nms does not exist')", "torchvision is of another build than PyTorch"),
    ],
)
def test_what_is_missing_is_named(failure, message, torch_fidelity):
    torch_fidelity(f"raise {failure}")
    with pytest.raises(ImportError, match=message):
        inception_features(IMAGES)


@pytest.mark.parametrize("images", [IMAGES[0], IMAGES[..., :2], IMAGES[:0], 2 * IMAGES, IMAGES * np.nan])
def test_images_that_are_refused(images):
    with pytest.raises(ValueError, match="images (have values|must be floats|hold NaN)"):
        inception_features(images)


# === Against torch-fidelity itself, where it is installed ===


def test_features_are_those_of_torch_fidelity(tmp_path):
    inception = pytest.importorskip("torch_fidelity.feature_extractor_inceptionv3", reason="needs kgan[fid]")
    import torch

    torch.manual_seed(0)
    with pytest.MonkeyPatch.context() as patch:  # a network of random weights
        patch.setattr(torch, "load", lambda path, **options: None)
        patch.setattr(inception.FeatureExtractorInceptionV3, "load_state_dict", lambda self, state: None)
        network = inception.FeatureExtractorInceptionV3("random", ["2048"], "none")
    for module in network.modules():
        if isinstance(module, torch.nn.Conv2d):
            torch.nn.init.kaiming_normal_(module.weight)
    ours = inception_features(IMAGES, save(network.state_dict(), tmp_path / "random.pth"), batch_size=2)
    pixels = torch.from_numpy(np.rint((IMAGES + 1) * 127.5).astype("uint8")).permute(0, 3, 1, 2)
    assert ours.shape == (5, 2048) and ours.dtype == "float32" and ours.std() > 0.1
    np.testing.assert_allclose(ours, network(pixels)[0].numpy(), rtol=1e-4, atol=1e-5)


def test_the_frechet_distance_is_the_fid_of_torch_fidelity():
    theirs = pytest.importorskip("torch_fidelity.metric_fid", reason="needs kgan[fid]")
    import torch

    rng = np.random.default_rng(1)
    real, generated = (rng.normal(shift, 1, (300, 64)) ** 2 @ rng.normal(size=(64, 64)) for shift in (0, 0.3))
    statistics = [theirs.fid_features_to_statistics(torch.from_numpy(features)) for features in (real, generated)]
    fid = theirs.fid_statistics_to_metric(*statistics, verbose=False)[theirs.KEY_METRIC_FID]
    assert frechet_distance(real, generated) == pytest.approx(fid, rel=1e-6)
