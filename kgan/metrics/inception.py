"""The features that other people's Frechet distances are measured in."""

from pathlib import Path

import numpy as np


def inception_features(images, weights=None, batch_size=50):
    """Features of images in the Inception network of the FID (Heusel et al., 2017), as torch-fidelity computes them.

    `frechet_distance` of two sets of these features is the FID, and their `kernel_distance` the KID. Needs
    `pip install "kgan[fid]"`, which brings PyTorch, on any backend of Keras. About 40 images a second on a CPU core.

    Args:
        images: `(n, height, width, channels)` in [-1, 1], of 1 or 3 channels. They are rounded to 8 bits, as in a file,
            and resized to 299 px as in the first implementation of the FID.
        weights: file of the network's weights, as torch-fidelity publishes it. By default the file is downloaded once,
            92 MB, into the cache of `torch.hub`. Only arrays are read from it, never code.
        batch_size: images per pass.

    Returns:
        Float32 `(n, 2048)`. `frechet_distance` needs more than 2048 images a set; with fewer use `kernel_distance`.

    Raises:
        ImportError: torch-fidelity is not installed, or its torchvision is not of the same build as PyTorch.
        ValueError: the images have a wrong shape or range, or the file does not hold the network's weights.
        OSError: the weights cannot be read or downloaded.

    Example:

    ```python
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
    try:
        import torch
        from torch_fidelity import feature_extractor_inceptionv3 as inception
    except ImportError as error:
        raise ImportError(f'inception_features needs {error.name}: pip install "kgan[fid]"') from error
    except RuntimeError as error:  # "operator torchvision::nms does not exist"
        raise ImportError(f"torchvision does not fit this PyTorch; install both from one index ({error})") from error
    if weights is None:
        url = inception.URL_INCEPTION_V3
        weights = Path(torch.hub.get_dir(), "checkpoints", Path(url).name)
        if not weights.exists():
            weights.parent.mkdir(parents=True, exist_ok=True)
            torch.hub.download_url_to_file(url, weights, hash_prefix=weights.stem.rpartition("-")[2])
    try:
        torch.load(weights, map_location="cpu", weights_only=True)  # torch-fidelity itself would run code in the file
        network = inception.FeatureExtractorInceptionV3("inception", ["2048"], str(weights))
    except OSError:
        raise
    except Exception as error:  # of almost any type
        first = str(error).strip().splitlines()[0]
        raise ValueError(
            f"{weights} does not hold the weights of torch-fidelity's Inception network: {first}"
        ) from None
    pixels = pixels.transpose(0, 3, 1, 2)
    batches = (pixels[start : start + batch_size].copy() for start in range(0, len(pixels), batch_size))
    with torch.inference_mode():
        return np.concatenate([network(torch.from_numpy(batch))[0].numpy() for batch in batches])
