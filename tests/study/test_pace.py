"""What a population takes, how populations are parted, and what a short budget leaves out."""

from __future__ import annotations

from dataclasses import replace

import pytest

from losssearch.study.budget import Budget, Pace, Timekeeper, Work, spread, work_of
from losssearch.study.settings import FIELDS, ladder
from losssearch.training import TrainingPlan

PLAN = TrainingPlan(epochs=20, batch_size=32, rungs=(4, 10))


def test_pace_finds_what_steps_and_members_cost() -> None:
    pace = Pace()
    for steps, members in ((100, 40), (100, 8), (200, 64), (50, 1)):
        pace.learn(Work(steps, steps * members), steps * 1e-3 + steps * members * 1e-4)
    assert pace.seconds(Work(300, 300 * 30)) == pytest.approx(0.3 + 0.9, rel=0.02)


def test_pace_of_one_measurement_scales_with_the_steps() -> None:
    pace = Pace()
    assert pace.seconds(Work(10, 10)) == 0.0
    pace.learn(Work(100, 1600), 2.0)
    assert pace.seconds(Work(100, 1600)) == pytest.approx(2.0, rel=0.01)
    assert pace.seconds(Work(200, 3200)) == pytest.approx(4.0, rel=0.01)
    assert 1.0 < pace.seconds(Work(100, 800)) < 2.0


def test_work_counts_members_that_rungs_leave() -> None:
    # 3 replicas, 10 steps an epoch: 8 candidates at 4 rates for 4 epochs, 4 at 2 for 6, 2 at 1 for 10.
    found = work_of(PLAN, 320, 8, 4, 3)
    assert found == Work(200, 10 * 3 * (4 * 32 + 6 * 8 + 10 * 2))
    assert work_of(replace(PLAN, rungs=()), 320, 8, 1, 3) == Work(200, 200 * 24)


def test_populations_are_even_and_keep_all_workers_busy() -> None:
    assert spread(10, 4, 1) == [4, 3, 3]
    assert spread(4, 16, 2) == [2, 2]
    assert spread(3, 16, 8) == [1, 1, 1]
    assert spread(0, 4, 2) == []


def test_efforts_go_from_full_to_least() -> None:
    steps = ladder(5, 8)
    assert (steps[0].fields, steps[0].seeds, steps[0].baselines, steps[0].ablation) == (FIELDS, 5, 4, True)
    assert (steps[-1].fields, steps[-1].seeds, steps[-1].baselines, steps[-1].ablation) == ((), 3, 2, False)
    keeper = Timekeeper(Budget(0.0, 60.0, lambda: 0.0), PLAN, workers=2, seeds=5, menu=8)
    keeper.pace.learn(Work(200, 2000), 1.0)
    costs = [keeper.selection_seconds(step) for step in steps]
    assert costs == sorted(costs, reverse=True)
