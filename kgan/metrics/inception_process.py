"""The Inception network of the FID. The argument is a folder.

A program, because PyTorch can crash a process that has imported TensorFlow before. The folder holds `images.npy`, uint8
`(n, height, width, 3)`, and `request.json`. It takes `features.npy`, or `failure.json`: kind of error and message.
"""

import json
import sys
from pathlib import Path

import numpy as np
from tqdm import tqdm


def main(folder):
    request = json.loads((folder / "request.json").read_text())
    try:
        network = load(request["weights"])
    except (ImportError, OSError, ValueError) as error:
        kind = next(kind for kind in (ImportError, OSError, ValueError) if isinstance(error, kind))
        (folder / "failure.json").write_text(json.dumps([kind.__name__, str(error)]))
        sys.exit(1)
    import torch

    images, size = np.load(folder / "images.npy", mmap_mode="r"), request["batch_size"]
    features = []
    with torch.inference_mode():
        for start in tqdm(range(0, len(images), size), desc="Inception", unit=" batches", disable=None):
            batch = np.ascontiguousarray(images[start : start + size].transpose(0, 3, 1, 2))
            features.append(network(torch.from_numpy(batch))[0].numpy())
    np.save(folder / "features.npy", np.concatenate(features))


def load(weights):
    """Return torch-fidelity's network, with weights from a file, or downloaded once where that is None."""
    try:
        import torch
        from torch_fidelity import feature_extractor_inceptionv3 as inception
    except ImportError as error:
        raise ImportError(f'inception_features needs {error.name or error}: pip install "kgan[fid]"') from error
    except RuntimeError as error:  # "operator torchvision::nms does not exist"
        raise ImportError(
            f"torchvision is of another build than PyTorch; install both from one index ({error})"
        ) from error
    if weights is None:
        url = inception.URL_INCEPTION_V3
        weights = Path(torch.hub.get_dir(), "checkpoints", Path(url).name)
        if not weights.exists():
            weights.parent.mkdir(parents=True, exist_ok=True)
            try:
                torch.hub.download_url_to_file(url, weights, hash_prefix=weights.stem.rpartition("-")[2])
            except (OSError, RuntimeError) as error:  # RuntimeError: another file than was published
                raise OSError(f"{url} cannot be downloaded: {error}") from error
    try:
        torch.load(weights, map_location="cpu", weights_only=True)  # torch-fidelity itself would run code in the file
        return inception.FeatureExtractorInceptionV3("inception", ["2048"], str(weights))
    except OSError:
        raise
    except Exception as error:  # of almost any type
        first = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise ValueError(
            f"{weights} does not hold the weights of torch-fidelity's Inception network: {first}"
        ) from None


if __name__ == "__main__":
    main(Path(sys.argv[1]))
