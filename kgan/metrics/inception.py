"""The features that other people's Frechet distances are measured in."""

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np


def inception_features(images, weights=None, batch_size=50):
    """Features of images in the Inception network of the FID (Heusel et al., 2017), as torch-fidelity computes them.

    `frechet_distance` of two sets of these features is the FID, and their `kernel_distance` the KID. Compare them only
    with figures for as many images and for the same real ones: the FID falls as the number of images grows.

    Needs `pip install "kgan[fid]"`, which brings PyTorch. The network runs on the CPU in a process of its own, whatever
    the backend of Keras.

    Args:
        images: `(n, height, width, channels)` in [-1, 1], of 1 or 3 channels. They are rounded to 8 bits, as in a file,
            and resized to 299 px as in the first implementation of the FID.
        weights: file of the network's weights, as torch-fidelity publishes it. By default the file is downloaded once,
            92 MB, into the cache of `torch.hub`. Only arrays are read from it, never code.
        batch_size: images per pass.

    Returns:
        Float32 `(n, 2048)`. `frechet_distance` needs more than 2048 images a set; with fewer use `kernel_distance`.

    Raises:
        ImportError: torch-fidelity is not installed, or its torchvision is of another build than PyTorch.
        ValueError: the images have a wrong shape or range, or the file does not hold the network's weights.
        OSError: the weights cannot be read or downloaded.

    Example:

    ```py
    import kgan
    from kgan.metrics import inception_features, kernel_distance

    images, _ = kgan.data.load("digits", count=400)  # (400, 32, 32, 1)
    features = inception_features(images)
    print(kernel_distance(features[:200], features[200:], subset_size=100))
    ```
    """
    from kgan.plots import to_pixels  # imports Matplotlib, which the other metrics do without

    pixels = to_pixels(images)
    if np.min(images) < -1 or np.max(images) > 1:
        raise ValueError(f"images have values from {np.min(images)} to {np.max(images)}; pass values in [-1, 1].")
    request = {"weights": weights and os.fspath(Path(weights).absolute()), "batch_size": batch_size}
    with tempfile.TemporaryDirectory() as folder:
        folder = Path(folder)
        np.save(folder / "images.npy", pixels)
        (folder / "request.json").write_text(json.dumps(request))
        program = Path(__file__).with_name("inception_process.py")  # by its path, so that Keras is not imported
        done = subprocess.run([sys.executable, "-P", program, folder], check=False)
        if (folder / "failure.json").exists():
            kind, message = json.loads((folder / "failure.json").read_text())
            raise {"ImportError": ImportError, "OSError": OSError, "ValueError": ValueError}[kind](message)
        if done.returncode:
            raise RuntimeError(f"the process of the Inception network ended with status {done.returncode}")
        return np.load(folder / "features.npy")
