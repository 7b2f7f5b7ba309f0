"""The text / non-text filter (Zhao et al., 2019): teacher, student, distillation, and `TextFilter` to run the student.

Names are imported on first use, so that `TextFilter` runs without Keras and TensorFlow.
"""

import importlib

_MODULE_OF = {
    "TextFilter": "kgan.filter.text_filter",
    "on_ray": "kgan.filter.cluster",
    "region_labels": "kgan.filter.regions",
    **dict.fromkeys(("TextTeacher", "TextStudent", "MSPNet"), "kgan.models.text_filter.model"),
    "RoundedStudent": "kgan.models.text_filter.quantisation",
    **dict.fromkeys(
        ("BoundaryDistiller", "SoftLabelDistiller", "AdversarialDistiller", "BoundaryLoss", "SoftLabelLoss"),
        "kgan.models.text_filter.distillation",
    ),
}

__all__ = list(_MODULE_OF)


def __getattr__(name):
    if name in _MODULE_OF:
        return getattr(importlib.import_module(_MODULE_OF[name]), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__():
    return sorted([*globals(), *__all__])
