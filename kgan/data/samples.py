"""Generated images on disk: uint8 shards, made once, and read without being in memory."""

import io
import json
from pathlib import Path

import numpy as np

from kgan.data.mixed import to_pixels
from kgan.runtime.files import write_whole


class Samples:
    """Images in the shards of a folder, read as an array `(n, height, width, channels)` is: `samples[indices]`.

    Args:
        folder: where `generate_samples` put them.

    Attributes:
        options: dict of what they were made with.
        shape: of all images.
        dtype: uint8.

    Raises:
        FileNotFoundError: the folder holds no complete samples.
    """

    def __init__(self, folder):
        path = Path(folder) / "samples.json"
        if not path.exists():
            raise FileNotFoundError(f"{folder} holds no samples: {path} is missing")
        self.options = json.loads(path.read_text())
        paths = sorted(Path(folder).glob("shard-*.npy"))
        self._shards = [np.load(shard, mmap_mode="r", allow_pickle=False) for shard in paths]
        self._ends = np.cumsum([len(shard) for shard in self._shards])
        if not paths or self._ends[-1] != self.options["count"]:
            raise FileNotFoundError(f"{folder} holds {sum(self._ends[-1:])} of {self.options['count']} samples")
        self.shape = (int(self._ends[-1]), *self._shards[0].shape[1:])
        self.ndim, self.dtype = len(self.shape), self._shards[0].dtype

    def __len__(self):
        return self.shape[0]

    def __getitem__(self, indices):
        """Returns a uint8 array for a slice or an array of ints."""
        indices = np.arange(len(self))[indices]
        images = np.empty((len(indices), *self.shape[1:]), self.dtype)
        shards = np.searchsorted(self._ends, indices, side="right")
        for number in np.unique(shards):
            shard, here = self._shards[number], shards == number
            images[here] = shard[indices[here] - (self._ends[number] - len(shard))]
        return images


def generate_samples(folder, generate, count, options, shard_size=4096):
    """Generates images in shards, or goes on where an earlier call stopped.

    Args:
        folder: where to put them; made if missing.
        generate: function `(n, seed)` that returns n float images in [-1, 1], the same for the same seed.
        count: number of images.
        options: JSON dict of what the images depend on.
        shard_size: images in a shard.

    Returns:
        `Samples`.

    Raises:
        ValueError: the folder holds samples that were made with other options.

    Example:

    ```python
    import numpy as np
    from kgan.data.samples import generate_samples

    def generate(n, seed):
        return np.random.default_rng(seed).uniform(-1, 1, (n, 8, 8, 3))

    samples = generate_samples("generated", generate, 100, {"model": "noise"}, shard_size=64)
    samples[[3, 99]].shape  # (2, 8, 8, 3)
    ```
    """
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    options = json.loads(json.dumps({**options, "count": count, "shard_size": shard_size}))
    path = folder / "samples.json"
    if path.exists() and (before := json.loads(path.read_text())) != options:
        differ = sorted(name for name in {**before, **options} if before.get(name) != options.get(name))
        listed = ", ".join(f"{name} was {before.get(name)!r}, is {options.get(name)!r}" for name in differ)
        raise ValueError(f"{folder} holds samples made with other options: {listed}; remove it or name another folder")
    write_whole(path, json.dumps(options, indent=2).encode())
    for number, start in enumerate(range(0, count, shard_size)):
        shard = folder / f"shard-{number:05d}.npy"
        if not shard.exists():
            images = generate(min(shard_size, count - start), number)
            buffer = io.BytesIO()
            np.save(buffer, to_pixels(images), allow_pickle=False)
            write_whole(shard, buffer.getbuffer())
    return Samples(folder)
