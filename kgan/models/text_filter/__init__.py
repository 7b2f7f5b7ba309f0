"""The text / non-text filter (Zhao et al., 2019): teacher, distilled student, and the filter that runs it.

Names are imported on first use: `TextFilter` runs without Keras and TensorFlow.
"""

import importlib

_MODULE_OF = {
    "TextFilter": "runtime.filter",
    "region_labels": "regions",
    "TextTeacher": "model",
    "TextStudent": "model",
    "MSPNet": "model",
    "BoundaryDistiller": "model",
    "SoftLabelDistiller": "model",
    "AdversarialDistiller": "model",
    "BoundaryLoss": "model",
    "SoftLabelLoss": "model",
}

__all__ = list(_MODULE_OF)


def __getattr__(name):
    if name in _MODULE_OF:
        return getattr(importlib.import_module(f"{__name__}.{_MODULE_OF[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__():
    return sorted([*globals(), *__all__])
