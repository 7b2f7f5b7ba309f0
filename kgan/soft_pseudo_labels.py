"""SPL (Zhang et al., 2019): labels for generated images, and the multi-label classifier that learns from them."""

from kgan.models.soft_pseudo_labels.labels import (
    confidence_labels,
    pseudo_labels,
    random_labels,
    smooth_labels,
    soft_pseudo_labels,
)
from kgan.models.soft_pseudo_labels.model import MultiLabelClassifier

__all__ = [
    "MultiLabelClassifier",
    "confidence_labels",
    "pseudo_labels",
    "random_labels",
    "smooth_labels",
    "soft_pseudo_labels",
]
