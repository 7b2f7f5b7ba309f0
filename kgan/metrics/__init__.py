"""Metrics of generated samples, of filters and of multi-label classifiers."""

from kgan.metrics.generative import (
    coverage,
    frechet_distance,
    inception_score,
    kernel_distance,
    mode_coverage,
    ring_coverage,
    verification_accuracy,
    within_class_diversity,
)
from kgan.metrics.inception import inception_features
from kgan.metrics.multi_label import MeanAveragePrecision, best_thresholds, calibration_error, multilabel_metrics
from kgan.metrics.text_filter import at_threshold, count_passed, find_thresholds, text_filter_metrics

__all__ = [
    "MeanAveragePrecision",
    "at_threshold",
    "best_thresholds",
    "calibration_error",
    "count_passed",
    "coverage",
    "find_thresholds",
    "frechet_distance",
    "inception_features",
    "inception_score",
    "kernel_distance",
    "mode_coverage",
    "multilabel_metrics",
    "ring_coverage",
    "text_filter_metrics",
    "verification_accuracy",
    "within_class_diversity",
]
