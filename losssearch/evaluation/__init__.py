"""Evaluating trained models: metrics of whole populations, tuning after training, and statistics.

`metrics` holds the metrics, one family per module, declared by `declaring.metric`; `registry` looks one up by name.
`adjustment` tunes a `threshold`, `temperature`, `prior_shift` or `shift` on validation outputs. `statistics` compares
two models with an interval.
"""

from losssearch.evaluation.adjustment import Adjustment, evaluate, fit_adjustment
from losssearch.evaluation.record import Metric
from losssearch.evaluation.registry import get_metric, metrics_for
from losssearch.evaluation.statistics import Difference, mean_interval, paired_difference

__all__ = [
    "Adjustment",
    "Difference",
    "Metric",
    "evaluate",
    "fit_adjustment",
    "get_metric",
    "mean_interval",
    "metrics_for",
    "paired_difference",
]
