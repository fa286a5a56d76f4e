"""The menu of a study that demands something of groups: what a good practitioner of fairness would try."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from losssearch.errors import OptionError
from losssearch.losses.domains import Float
from losssearch.losses.spec import Part
from losssearch.tasks.kind import GroupMenu, get_kind
from losssearch.tasks.task import Baseline, Task

_KEPT = ("weighted_cross_entropy", "logit_adjustment", "absolute", "huber")
"""Entries of the plain menu that stay."""


def fair_task(task: Task, statistics: Sequence[str], *, front: bool = False) -> Task:
    """The task with fairness terms to read and in its menu, for gaps in these ``statistics``.

    ``front``: they are not limited but traded for the metric, for which two classes have a space of their own.

    The menu: the plain loss, with and without tuning after training; a few losses of the plain menu; re-weighted
    groups; the worst group; and one fixed penalty on the gap, tuned over its weight.
    """
    plain, tuned, *others = task.menu
    groups = _groups(task)
    fair = [
        Baseline(
            "fixed_penalty",
            tuned.term,
            tunable=("weight",),
            penalties=tuple(
                Part(groups.disparity, {"statistic": name, "limit": 0.0, "decay": 0.9})
                for name in dict.fromkeys(statistics)
            ),
        )
    ]
    menu = (plain, tuned, *fair, *groups.baselines, *(baseline for baseline in others if baseline.name in _KEPT))
    own_space = front and groups.front
    return replace(task.with_groups(), menu=menu, space=f"{task.space}_{'front' if own_space else 'fair'}")


def _groups(task: Task) -> GroupMenu:
    """The fairness terms of a kind; raises `OptionError` where it has none."""
    found = get_kind(task.kind).groups
    if found is None:
        raise OptionError(f"task {task.kind} has no fairness terms: leave out the constraint, or give another task")
    return found


def worst_cell_task(task: Task) -> Task:
    """The task of a study whose metric is that of the worst cell of label and group, or of the worst group.

    The menu: the plain loss, with and without tuning after training; logits adjusted by the label's share in the group;
    re-weighted groups; the worst group; and a few losses of the plain menu.
    """
    plain, tuned, *others = task.menu
    if (grouped := _groups(task).cells) is None:
        raise OptionError(f"task {task.kind} has no cells of label and group: give another metric")
    menu = (plain, tuned, *grouped, *(baseline for baseline in others if baseline.name in _KEPT))
    return replace(task.with_groups(), menu=menu, space=f"{task.space}_cells")


def attribute_task(task: Task) -> Task:
    """The task with dependence terms to read and in its menu, for a sensitive attribute that is a number.

    The menu: the plain loss, with and without tuning after training; a penalty on the linear correlation and one on
    dependence of any shape, each tuned over its weight; and a few losses of the plain menu.
    """
    plain, tuned, *others = task.menu
    groups = _groups(task)
    weight = Float(0.1, 30.0, default=3.0, log=True)
    penalised = (
        Baseline(name, tuned.term, tunable=("weight",), penalties=(Part(term),), weight=weight)
        for name, term in (("correlation_penalty", groups.correlation), ("distance_penalty", groups.distance))
    )
    menu = (plain, tuned, *penalised, *(baseline for baseline in others if baseline.name in _KEPT))
    return replace(task.with_groups(), menu=menu, space=f"{task.space}_attribute")
