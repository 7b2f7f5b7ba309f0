"""Writes the golden files on the active backend: `python tests/golden/write.py`. Run by hand, never by a test.

Write on one backend, then run the tests on all three; look at what changed before you commit it.
"""

import json
import sys
from pathlib import Path

sys.path[:0] = [str(Path(__file__).parents[1]), str(Path(__file__).parents[1] / "models")]

import keras
import model_contract

model_contract.check_golden = lambda name, model, batch, steps=2, rtol=None: (
    model_contract.GOLDEN / f"{name}.json"
).write_text(json.dumps(model_contract.golden_steps(model, batch, steps), indent=1) + "\n")

import test_gan

for name in test_gan.MODELS:
    keras.utils.set_random_seed(0)
    test_gan.check_golden = model_contract.check_golden
    test_gan.test_golden(name)
