"""The metrics, one family per module; importing this package declares them all."""

# In this order they are listed wherever the metrics of a kind of task are.
# isort: off
from losssearch.evaluation.metrics import thresholded
from losssearch.evaluation.metrics import ranking
from losssearch.evaluation.metrics import multiclass
from losssearch.evaluation.metrics import calibration
from losssearch.evaluation.metrics import regression
from losssearch.evaluation.metrics import distributions
from losssearch.evaluation.metrics import counts
from losssearch.evaluation.metrics import ordinal
from losssearch.evaluation.metrics import survival
from losssearch.evaluation.metrics import queries

__all__ = [
    "calibration",
    "counts",
    "distributions",
    "multiclass",
    "ordinal",
    "queries",
    "ranking",
    "regression",
    "survival",
    "thresholded",
]
