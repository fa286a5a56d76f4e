"""The menu of a study that demands something of groups."""

from __future__ import annotations

import pytest

from losssearch.losses.term import registry
from losssearch.study.proposing.menu import menu_entries
from losssearch.tasks import KINDS, TASKS, attribute_task, fair_task

STATISTIC = {"binary": "positive_rate", "multiclass": "positive_rate", "regression": "mean_prediction"}
GROUPED = sorted(name for name, kind in KINDS.items() if kind.groups is not None)


@pytest.mark.parametrize("kind", GROUPED)
def test_every_entry_fits_the_task(kind: str) -> None:
    task = fair_task(TASKS[kind], [STATISTIC[kind]])
    assert task.plain == TASKS[kind].plain
    assert task.space == f"{TASKS[kind].space}_fair"
    for baseline in task.menu:
        for part in baseline.spec().parts:
            assert registry[part.name].fits(task.offers)


@pytest.mark.parametrize("kind", GROUPED)
def test_a_number_has_a_menu_of_its_own(kind: str) -> None:
    task = attribute_task(TASKS[kind])
    assert task.space == f"{TASKS[kind].space}_attribute"
    assert [baseline.name for baseline in task.menu[2:4]] == ["correlation_penalty", "distance_penalty"]
    for baseline in task.menu:
        for part in baseline.spec().parts:
            assert registry[part.name].fits(task.offers)
    weights = {
        part.weighting.largest
        for entry in menu_entries(task, 64, 0)
        if entry.name == "correlation_penalty"
        for part in entry.spec.parts
        if part.name.startswith("attribute_correlation")
    }
    assert len(weights) > 3


@pytest.mark.parametrize("kind", GROUPED)
def test_the_fixed_penalty_is_tuned_over_its_weight(kind: str) -> None:
    task = fair_task(TASKS[kind], [STATISTIC[kind]])
    tuned = [entry.spec for entry in menu_entries(task, 64, 0) if entry.name == "fixed_penalty"]
    shares = [part.weighting.largest for spec in tuned for part in spec.parts if "disparity" in part.name]
    assert len(set(shares)) == len(tuned) > 3
    assert max(shares) > 2 * min(shares)


def test_two_constraints_on_one_statistic_make_one_penalty() -> None:
    task = fair_task(TASKS["binary"], ["positive_rate", "positive_rate", "accuracy"])
    penalty = next(baseline for baseline in task.menu if baseline.name == "fixed_penalty")
    assert [part.hyperparameters["statistic"] for part in penalty.penalties] == ["positive_rate", "accuracy"]
