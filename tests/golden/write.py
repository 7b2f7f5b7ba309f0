"""Writes the golden file of one model on the active backend: `python tests/golden/write.py NAME`. No test runs this.

NAME is the name of the model's class, in `MODELS` of a file in tests/models. Write on one backend, then run the tests
on all three; look at what changed before you commit it.
"""

import argparse
import importlib
import json
import sys
from pathlib import Path

import keras

TESTS = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(TESTS), str(TESTS / "models")]
model_contract = importlib.import_module("model_contract")


def write(name, model, batch):
    path = model_contract.GOLDEN / f"{name.lower()}.json"
    path.write_text(json.dumps(model_contract.golden_step(model, batch), indent=1) + "\n")
    print(f"wrote {path.name}")


model_contract.check_golden = write  # before the tests import it
modules = [importlib.import_module(path.stem) for path in sorted((TESTS / "models").glob("test_*.py"))]
module_of = {name: module for module in modules for name in getattr(module, "MODELS", ())}
parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
parser.add_argument("name", choices=sorted(module_of), metavar="NAME", help=", ".join(sorted(module_of)))
name = parser.parse_args().name
keras.utils.set_random_seed(0)
module_of[name].test_golden(name)
