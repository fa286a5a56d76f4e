"""The menu of a study that demands something of groups: what a good practitioner of fairness would try."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from types import MappingProxyType

from losssearch.losses.spec import Part
from losssearch.tasks.task import Baseline, Task

DISPARITY: Mapping[str, str] = MappingProxyType(
    {
        "binary": "group_disparity",
        "multiclass": "group_disparity_multiclass",
        "regression": "group_disparity_regression",
    }
)
"""The term that measures a gap, by the kind of task."""

_KEPT = ("weighted_cross_entropy", "logit_adjustment", "absolute", "huber")
"""Entries of the plain menu that stay."""


def fair_task(task: Task, statistics: Sequence[str]) -> Task:
    """The task with fairness terms to read and in its menu, for gaps in these ``statistics``.

    The menu: the plain loss, with and without tuning after training; a few losses of the plain menu; re-weighted
    groups; the worst group; and one fixed penalty on the gap, tuned over its weight.
    """
    plain, tuned, *others = task.menu
    fair = [
        Baseline(
            "fixed_penalty",
            tuned.term,
            tunable=("weight",),
            penalties=tuple(Part(DISPARITY[task.kind], {"statistic": name}) for name in dict.fromkeys(statistics)),
        )
    ]
    if task.kind == "regression":
        fair.append(Baseline("group_dro", "group_dro_regression", tunable=("step",)))
    else:
        fair.append(Baseline("reweighing", "reweighed_cross_entropy", tunable=("power",)))
        fair.append(Baseline("group_dro", "group_dro", tunable=("step",)))
    menu = (plain, tuned, *fair, *(baseline for baseline in others if baseline.name in _KEPT))
    return replace(task.with_groups(), menu=menu, space=f"{task.space}_fair")
