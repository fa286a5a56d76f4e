"""The plan that all candidates of a study share."""

from __future__ import annotations

import math

import pytest

from losssearch.errors import OptionError
from losssearch.training import RATES, TrainingPlan, default_plan, without_rungs
from losssearch.training.plan import MANY_CLASSES, SLOW, STEPS


@pytest.mark.parametrize("rows", [1, 30, 85, 500, 999, 1_000, 4_000, 30_000, 99_999, 1_000_000])
def test_default_plan_fits_any_number_of_rows(rows: int) -> None:
    plan = default_plan(rows)
    assert 8 <= plan.epochs <= 80
    steps = plan.epochs * max(1, rows // plan.batch_size)
    assert plan.epochs in (8, 80) or 0.6 * STEPS < steps < 1.4 * STEPS
    assert list(plan.rungs) == sorted(set(plan.rungs))
    assert all(1 <= rung < plan.epochs for rung in plan.rungs)
    assert plan.patience >= 4


@pytest.mark.parametrize("classes", [0, MANY_CLASSES, 100])
def test_regression_and_many_classes_get_longer_trainings_with_the_same_rungs(classes: int) -> None:
    for rows in (50, 400, 3_000, 30_000, 1_000_000):
        usual, longer = default_plan(rows, classes=MANY_CLASSES - 1), default_plan(rows, classes=classes)
        assert longer.epochs == SLOW * usual.epochs
        assert (longer.rungs, longer.batch_size) == (usual.rungs, usual.batch_size)
        assert default_plan(rows, 40, classes) == default_plan(rows, 40)


def test_batches_grow_with_the_data() -> None:
    sizes = [default_plan(rows).batch_size for rows in (100, 3_000, 10_000, 50_000, 500_000)]
    assert sizes == sorted(set(sizes))


@pytest.mark.parametrize("epochs", [1, 2, 4, 5, 40])
def test_asked_epochs_are_kept(epochs: int) -> None:
    plan = default_plan(500, epochs)
    assert plan.epochs == epochs
    assert bool(plan.rungs) == (epochs >= 5)


def test_without_rungs_changes_nothing_else() -> None:
    plan = TrainingPlan(9, 17, (2, 4), 0.3, 5, 0.01, 2.0)
    assert without_rungs(plan) == TrainingPlan(9, 17, (), 0.3, 5, 0.01, 2.0)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"epochs": 0}, "epochs, batch_size and patience must be at least 1"),
        ({"batch_size": 0}, "epochs, batch_size and patience must be at least 1"),
        ({"patience": 0}, "epochs, batch_size and patience must be at least 1"),
        ({"keep": 0.0}, r"keep must lie in \(0, 1\]"),
        ({"keep": 1.1}, r"keep must lie in \(0, 1\]"),
        ({"keep": math.nan}, r"keep must lie in \(0, 1\]"),
        ({"weight_decay": -0.1}, "weight_decay"),
        ({"weight_decay": math.nan}, "weight_decay"),
        ({"clip": 0.0}, "clip"),
        ({"clip": math.nan}, "clip"),
        ({"rungs": (0,)}, "rungs"),
    ],
)
def test_a_plan_that_cannot_be_followed_is_refused(wrong: dict[str, object], message: str) -> None:
    with pytest.raises(OptionError, match=message):
        TrainingPlan(**{"epochs": 5, "batch_size": 8, **wrong})  # type: ignore[arg-type]


def test_rates_span_what_is_worth_trying() -> None:
    assert list(RATES) == sorted(set(RATES))
    assert RATES[0] > 0
    assert RATES[-1] / RATES[0] >= 30
