"""How good a trained model is: metrics of whole populations, what is tuned after training, and statistics.

`metric` is the registry of metrics; `measure`, `binary`, `multiclass`, `ranking` and `regression` compute them.
`adjustment` tunes what a decision rule leaves open (`threshold`, `temperature`, `prior_shift`, `shift`) on
validation outputs. `statistics` compares two models with an interval.
"""

from losssearch.evaluation.adjustment import Adjustment, evaluate, fit_adjustment
from losssearch.evaluation.metric import Metric, get_metric, metrics_for
from losssearch.evaluation.statistics import Difference, lower_confidence_bound, mean_interval, paired_difference

__all__ = [
    "Adjustment",
    "Difference",
    "Metric",
    "evaluate",
    "fit_adjustment",
    "get_metric",
    "lower_confidence_bound",
    "mean_interval",
    "metrics_for",
    "paired_difference",
]
