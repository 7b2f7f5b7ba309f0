"""Generated images on disk: made once, read by index, resumed exactly, never mixed with others."""

import numpy as np
import pytest

from kgan.data.samples import Samples, generate_samples

pytestmark = pytest.mark.backend_free


class Generator:
    def __init__(self, stop_at=99):
        self.calls, self.stop_at = [], stop_at

    def __call__(self, n, seed):
        if seed == self.stop_at:
            raise KeyboardInterrupt
        self.calls.append(seed)
        return np.random.default_rng(seed).uniform(-1.1, 1.1, (n, 4, 4, 3))


def test_shards_are_read_as_one_array(tmp_path):
    samples = generate_samples(tmp_path / "a", Generator(), 10, {"gan": "dcgan"}, shard_size=4)
    whole = np.concatenate([Generator()(n, seed) for seed, n in enumerate((4, 4, 2))])
    whole = np.clip(np.round((whole + 1) * 127.5), 0, 255).astype("uint8")
    assert samples.shape == (10, 4, 4, 3) and samples.dtype == "uint8" and len(samples) == 10 and samples.ndim == 4
    np.testing.assert_array_equal(samples[:], whole)
    np.testing.assert_array_equal(samples[2:9], whole[2:9])
    np.testing.assert_array_equal(samples[np.array([9, 0, 4, 3, 9])], whole[[9, 0, 4, 3, 9]])
    assert Samples(tmp_path / "a").options["gan"] == "dcgan"
    with pytest.raises(IndexError):
        samples[np.array([10])]


def test_what_was_stopped_goes_on(tmp_path):
    with pytest.raises(KeyboardInterrupt):
        generate_samples(tmp_path, Generator(stop_at=2), 12, {}, shard_size=4)
    with pytest.raises(FileNotFoundError, match="holds 8 of 12 samples"):
        Samples(tmp_path)
    rest = Generator()
    samples = generate_samples(tmp_path, rest, 12, {}, shard_size=4)
    assert rest.calls == [2] and samples.shape[0] == 12
    np.testing.assert_array_equal(samples[:], generate_samples(tmp_path / "straight", Generator(), 12, {}, 4)[:])
    assert not [path for path in tmp_path.iterdir() if path.suffix == ".part"]


@pytest.mark.parametrize(
    "count, options, words",
    [
        (8, {"seed": 1}, "seed was 0, is 1"),
        (9, {"seed": 0}, "count was 8, is 9"),
        (8, {"seed": 0, "epochs": 3}, "epochs was None, is 3"),
    ],
)
def test_samples_made_with_other_options_are_refused(count, options, words, tmp_path):
    generate_samples(tmp_path, Generator(), 8, {"seed": 0})
    with pytest.raises(ValueError, match=words):
        generate_samples(tmp_path, Generator(), count, options)


def test_no_samples(tmp_path):
    with pytest.raises(FileNotFoundError, match="holds no samples"):
        Samples(tmp_path)
