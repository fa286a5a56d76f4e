"""Every gap that a constraint may limit, one family per module, and their registry."""

from __future__ import annotations

from losssearch.errors import OptionError, UnknownNameError
from losssearch.evaluation.fairness.gap import Gap, Operator, RowValues, Scores, Shares, declared

# In this order they are listed wherever the gaps of a kind of task are.
# isort: off
from losssearch.evaluation.fairness.gaps import decisions
from losssearch.evaluation.fairness.gaps import means
from losssearch.evaluation.fairness.gaps import correlations

# isort: on
from losssearch.evaluation.metrics.thresholded import quality_of
from losssearch.evaluation.registry import get_metric, metrics_for
from losssearch.tasks import TASKS, get_task

__all__ = [
    "ATTRIBUTE_GAPS",
    "GAPS",
    "WORST",
    "Gap",
    "Operator",
    "RowValues",
    "Scores",
    "Shares",
    "correlations",
    "decisions",
    "gaps_for",
    "get_gap",
    "meaning",
    "means",
]

WORST = "worst_group_"

GAPS: tuple[Gap, ...] = tuple(gap for gap in declared() if gap.scores is None)
"""What may be limited between groups."""

ATTRIBUTE_GAPS: tuple[Gap, ...] = tuple(gap for gap in declared() if gap.scores is not None)
"""What may be limited of a sensitive attribute that is a number."""


def gaps_for(task: str) -> tuple[str, ...]:
    """Names of the gaps between groups that fit a kind of task; those of the worst group for every metric of it.

    Raises:
        UnknownNameError: For a kind of task that there is none of.
    """
    view = get_task(task).view
    worst = tuple(WORST + name for name in metrics_for(task))
    return (*(gap.name for gap in GAPS if gap.fits(task, view)), *worst)


def get_gap(name: str, task: str) -> Gap:
    """The gap of this name, for this kind of task.

    Raises:
        UnknownNameError: For a gap or kind of task that there is none of.
        OptionError: For a gap that does not fit the task.
    """
    fitting = gaps_for(task)
    if name.startswith(WORST):
        return _worst(name, task)
    known = (*GAPS, *ATTRIBUTE_GAPS)
    entries = [gap for gap in known if gap.name == name]
    if not entries:
        raise UnknownNameError("gap", name, {gap.name for gap in known} | set(fitting))
    for gap in entries:
        if gap.fits(task, get_task(task).view):
            return gap
    others = " and ".join(kind for kind, one in TASKS.items() if any(gap.fits(kind, one.view) for gap in entries))
    raise OptionError(f"gap {name} fits {others}, not {task}; gaps for {task}: {', '.join(fitting)}")


def meaning(name: str) -> str:
    """What the gap of this name compares, in words."""
    if name.startswith(WORST):
        return _worst_in_words(name.removeprefix(WORST))
    found = next((gap for gap in (*GAPS, *ATTRIBUTE_GAPS) if gap.name == name), None)
    return name.replace("_", " ") if found is None else found.meaning


def _worst_in_words(metric: str) -> str:
    return f"{metric.replace('_', ' ')} of the group that is served worst"


def _worst(name: str, task: str) -> Gap:
    metric = get_metric(name.removeprefix(WORST), task)
    simple, quality = metric.statistic == "accuracy", quality_of(metric)
    decided = simple or quality is not None or metric.adjustment in ("prior_shift", "threshold")
    return Gap(
        name=WORST + metric.name,
        tasks=frozenset({task}),
        statistic=metric.statistic,
        compare="worst",
        reads="decision" if decided else "score",
        cells=f"{metric.name} of the group",
        reference="Sagawa et al. 2020, Distributionally robust neural networks for group shifts",
        what=_worst_in_words(metric.name),
        operator=">=" if metric.direction == "maximize" else "<=",
        low=metric.low,
        high=metric.high,
        shares=decisions.accuracy if simple else None,
        quality=None if simple else quality,
        metric=None if simple or quality else metric,
    )
