"""Makes a preset of the package from one that a recipe has written.

    python export/preset.py runs/mnist/cvaegan-seed0/preset mnist_32 --licence Apache-2.0 \\
        --data "MNIST: handwritten digits by LeCun, Cortes and Burges"

The weights are rounded to float16, which halves the file. The script changes nothing and exits with status 2 if the
card lacks command or figures, and with status 1 if a weight is too large for float16 or the presets of the package
would exceed 8 MB together.
"""

import argparse
import re
import sys
import tempfile
from pathlib import Path

import keras
import numpy as np

from kgan import presets

MOST_BYTES = 8_000_000


def main(arguments=None):
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("preset", type=Path, help="folder of the preset of a run")
    parser.add_argument("name", help="its name in the package: small letters, digits and _")
    parser.add_argument("--licence", required=True, help="licence of the weights")
    parser.add_argument("--data", required=True, help="what the model learned from, and under which licence that is")
    parser.add_argument("--target", type=Path, default=presets.PACKAGED, help=argparse.SUPPRESS)
    options = parser.parse_args(arguments)
    policy = keras.config.dtype_policy()
    try:
        if not re.fullmatch(r"[a-z][a-z0-9_]*", options.name):
            raise ValueError(f"{options.name!r} is no name: use small letters, digits and _")
        card = presets.read_card(options.preset)
        if not {"command", "figures"} <= set(card):
            raise ValueError(f"{options.preset} has a card without command and figures: take the preset of a recipe")
        card |= {"data": options.data, "licence": options.licence, "weights": "rounded to float16"}
        keras.config.set_dtype_policy("float16")
        model = presets.load(options.preset)
        if not all(np.isfinite(keras.ops.convert_to_numpy(variable)).all() for variable in model.weights):
            raise RuntimeError(f"{options.preset} has weights that float16 cannot hold")
        with tempfile.TemporaryDirectory() as folder:
            model.save_to_preset(Path(folder, options.name), card=card)
            others = [path for path in options.target.glob("*/*") if path.parent.name != options.name]
            size = sum(path.stat().st_size for path in (*Path(folder, options.name).iterdir(), *others))
        if size > MOST_BYTES:
            raise RuntimeError(f"the presets have {size} bytes together, more than the limit of {MOST_BYTES}")
        model.save_to_preset(options.target / options.name, card=card)
    except (ValueError, FileNotFoundError) as error:
        print(f"preset.py: {error}", file=sys.stderr)
        return 2
    except RuntimeError as error:
        print(f"preset.py: {error}", file=sys.stderr)
        return 1
    finally:
        keras.config.set_dtype_policy(policy)
    print(f"{options.target / options.name}; {size} bytes together")
    return 0


if __name__ == "__main__":
    sys.exit(main())
