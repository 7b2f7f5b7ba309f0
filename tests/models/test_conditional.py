"""What the class-conditional models share: the number of classes."""

import json

import numpy as np
import pytest

import kgan

MODELS = ["CVAEGAN", "CVAE", "CGAN", "FMCGAN", "ACGAN", "MMSSIT", "CDAAE"]


@pytest.mark.parametrize("name", MODELS)
def test_the_number_of_classes_may_be_numpys(name, tmp_path):
    labels = np.array([0, 2, 1])
    model = getattr(kgan, name)(num_classes=labels.max() + 1, image_size=32, width=0.05)
    assert json.dumps(model.get_config()["num_classes"]) == "3"
    model.save(tmp_path / "model.keras")


@pytest.mark.parametrize("num_classes", [1, np.int64(0)])
def test_fewer_than_two_classes_are_refused(num_classes):
    with pytest.raises(ValueError, match=f"num_classes={num_classes}: pass at least two classes"):
        kgan.CGAN(num_classes=num_classes, image_size=32, width=0.05)
