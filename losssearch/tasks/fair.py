"""The menu of a study that demands something of groups: what a good practitioner of fairness would try."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from types import MappingProxyType

from losssearch.losses.domains import Float
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

CORRELATION: Mapping[str, str] = MappingProxyType(
    {
        "binary": "attribute_correlation",
        "multiclass": "attribute_correlation",
        "regression": "attribute_correlation_regression",
    }
)
"""The term that measures the dependence on a sensitive number, by the kind of task."""

DISTANCE: Mapping[str, str] = MappingProxyType(
    {kind: name.replace("attribute_correlation", "distance_covariance") for kind, name in CORRELATION.items()}
)

_KEPT = ("weighted_cross_entropy", "logit_adjustment", "absolute", "huber")
"""Entries of the plain menu that stay."""


def fair_task(task: Task, statistics: Sequence[str], *, front: bool = False) -> Task:
    """The task with fairness terms to read and in its menu, for gaps in these ``statistics``.

    ``front``: they are not limited but traded for the metric, for which two classes have a space of their own.

    The menu: the plain loss, with and without tuning after training; a few losses of the plain menu; re-weighted
    groups; the worst group; and one fixed penalty on the gap, tuned over its weight.
    """
    plain, tuned, *others = task.menu
    fair = [
        Baseline(
            "fixed_penalty",
            tuned.term,
            tunable=("weight",),
            penalties=tuple(
                Part(DISPARITY[task.kind], {"statistic": name, "limit": 0.0, "decay": 0.9})
                for name in dict.fromkeys(statistics)
            ),
        )
    ]
    if task.kind == "regression":
        fair.append(Baseline("group_dro", "group_dro_regression", tunable=("step",)))
    else:
        fair.append(Baseline("reweighing", "reweighed_cross_entropy", tunable=("power",)))
        fair.append(Baseline("group_dro", "group_dro", tunable=("step",)))
    menu = (plain, tuned, *fair, *(baseline for baseline in others if baseline.name in _KEPT))
    own_space = front and task.kind == "binary"
    return replace(task.with_groups(), menu=menu, space=f"{task.space}_{'front' if own_space else 'fair'}")


def worst_cell_task(task: Task) -> Task:
    """The task of a study whose metric is that of the worst cell of label and group, or of the worst group.

    The menu: the plain loss, with and without tuning after training; logits adjusted by the label's share in the group;
    re-weighted groups; the worst group; and a few losses of the plain menu.
    """
    plain, tuned, *others = task.menu
    grouped = (
        Baseline("group_logit_adjustment", "group_logit_adjustment", tunable=("tau",)),
        Baseline("reweighing", "reweighed_cross_entropy", tunable=("power",)),
        Baseline("group_dro", "group_dro", tunable=("step",)),
    )
    menu = (plain, tuned, *grouped, *(baseline for baseline in others if baseline.name in _KEPT))
    return replace(task.with_groups(), menu=menu, space=f"{task.space}_cells")


def attribute_task(task: Task) -> Task:
    """The task with dependence terms to read and in its menu, for a sensitive attribute that is a number.

    The menu: the plain loss, with and without tuning after training; a penalty on the linear correlation and one on
    dependence of any shape, each tuned over its weight; and a few losses of the plain menu.
    """
    plain, tuned, *others = task.menu
    weight = Float(0.1, 30.0, default=3.0, log=True)
    penalised = (
        Baseline(name, tuned.term, tunable=("weight",), penalties=(Part(terms[task.kind]),), weight=weight)
        for name, terms in (("correlation_penalty", CORRELATION), ("distance_penalty", DISTANCE))
    )
    menu = (plain, tuned, *penalised, *(baseline for baseline in others if baseline.name in _KEPT))
    return replace(task.with_groups(), menu=menu, space=f"{task.space}_attribute")
