"""What the hypergradient descends in place of a metric, which has no gradient of its own."""

from __future__ import annotations

from losssearch.evaluation import Metric, get_metric
from losssearch.evaluation.worst_cell import GROUP
from losssearch.losses.spec import LossSpec, Part
from losssearch.tasks import get_task
from losssearch.training.levels import Objective, Units

BALANCED = frozenset({"balanced_accuracy", "macro_f1"})
"""Metrics to which every class counts alike."""

WORST_CLASS = "worst_class_recall"


def surrogate(metric: str | Metric, task: str) -> Objective:
    """The objective of the upper level for a metric of a kind of task.

    The plain loss of the kind, on rows of every class alike where every class counts alike; the loss of the worst
    class, group or cell where the metric is that; the plain loss's relative that the metric is the mean of (pinball,
    absolute error) where there is one. For other metrics, rankings among them, the plain loss is no more than a guide.

    Args:
        metric: The study's metric.
        task: The kind of task.
    """
    judged = get_metric(metric, task)
    if judged.cells:
        return Objective(_worst(), "group" if judged.name.startswith(GROUP) else "cell")
    if judged.name == WORST_CLASS:
        return Objective(_worst(), "class")
    known = get_task(task)
    numbers = dict(judged.aims)
    plain = next(
        (
            baseline.aimed(numbers).spec()
            for baseline in known.menu
            if baseline.aims and set(baseline.aims.values()) <= set(numbers)
        ),
        LossSpec((Part("absolute"),)) if judged.name == "mae" else known.plain.spec(),
    )
    units: Units = "class" if judged.name in BALANCED else ""
    return Objective(plain, units)


def _worst() -> LossSpec:
    """The largest mean loss of a unit in a batch."""
    return LossSpec((Part("bounded_group_loss", {"limit": 0.0, "decay": 0.0}),))
