"""Writes the golden files on the active backend: `python tests/golden/write.py`. Run by hand, never by a test.

Write on one backend, then run the tests on all three; look at what changed before you commit it.
"""

import importlib
import json
import sys
from pathlib import Path

import keras

sys.path[:0] = [str(Path(__file__).parents[1]), str(Path(__file__).parents[1] / "models")]
model_contract = importlib.import_module("model_contract")


def write(name, model, batch):
    keras.utils.set_random_seed(0)
    result = model_contract.golden_step(model, batch)
    (model_contract.GOLDEN / f"{name}.json").write_text(json.dumps(result, indent=1) + "\n")


model_contract.check_golden = write
for test_file in ("test_gan", "test_cvae_gan", "test_mm_ssit", "test_text_filter"):
    tests = importlib.import_module(test_file)
    for name in tests.MODELS:
        tests.test_golden(name)
