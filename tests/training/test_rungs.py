"""Rungs: who is let go, who stays, and that staying changes nothing."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from losssearch.data.replicas import Replicas
from losssearch.judging.metric import MetricJudge
from losssearch.losses.spec import LossSpec
from losssearch.models import build_model
from losssearch.training import (
    Candidate,
    Outcome,
    TrainingPlan,
    ended,
    population_course,
    train_population,
    without_rungs,
)

RATES = (1e-5, 3e-5, 3e-3, 2e-2)
"""Two that hardly move a model, and two that do."""

PLAN = TrainingPlan(epochs=8, batch_size=16, rungs=(2, 4), keep=0.5, patience=8)


def candidate(term: str, *rates: float, protected: bool = False, **part: Any) -> Candidate:
    return Candidate(LossSpec.from_json({"parts": [{"term": term, **part}]}), rates or RATES, protected)


GOOD = [candidate("squared"), candidate("huber"), candidate("general_robust")]
SLOW = [candidate("absolute", 1e-6), candidate("log_cosh", 1e-7)]
BROKEN = candidate("squared", 1e30)


def train(
    candidates: list[Candidate], replicas: Replicas, plan: TrainingPlan = PLAN, judge: Any = None
) -> list[Outcome]:
    """Outputs are held where the metric is a real one; a scripted one is asked once an epoch."""
    model = build_model("mlp", replicas.width, 1)
    metric = judge or MetricJudge("mae", "regression", replicas)
    return train_population(model, candidates, replicas, plan, metric, hold=judge is None)


def _same_learned(found: Outcome, expected: Outcome) -> None:
    assert found.learned.keys() == expected.learned.keys()
    for name, value in expected.learned.items():
        np.testing.assert_allclose(found.learned[name], value, rtol=1e-4, atol=1e-5)


def test_the_better_part_of_the_population_stays(replicas: Replicas) -> None:
    """Five candidates: three stay after the first rung, two after the second."""
    outcomes = train([*SLOW, *GOOD], replicas)
    states = [outcome.state for outcome in outcomes]
    assert states[:2] == ["pruned", "pruned"]
    assert sorted(states[2:]) == ["completed", "completed", "pruned"]
    assert [tuple(epoch for epoch, _ in outcome.rungs) for outcome in outcomes[:2]] == [(2,), (2,)]
    assert {tuple(epoch for epoch, _ in outcome.rungs) for outcome in outcomes[2:]} == {(2, 4)}
    at_second = {outcome.rungs[1][1]: outcome.state for outcome in outcomes[2:]}
    assert at_second[min(at_second)] == "pruned"


def test_the_pruned_say_how_far_they_came(replicas: Replicas) -> None:
    for outcome in train([*SLOW, *GOOD], replicas)[:2]:
        assert len(outcome.utilities) == 2
        assert outcome.rungs == ((2, pytest.approx(sum(outcome.utilities) / 2)),)
        assert outcome.epochs <= 2
        assert outcome.rate in (1e-6, 1e-7)
        assert outcome.held == {}


def test_those_who_stay_reach_what_they_would_have_reached(replicas: Replicas) -> None:
    population = [*SLOW, *GOOD]
    stayed = [(c, o) for c, o in zip(population, train(population, replicas), strict=True) if o.state == "completed"]
    alone = [replace(candidate, rates=(outcome.rate,)) for candidate, outcome in stayed]
    for (_, outcome), expected in zip(stayed, train(alone, replicas, without_rungs(PLAN)), strict=True):
        assert (outcome.rate, outcome.epochs) == (expected.rate, expected.epochs)
        np.testing.assert_allclose(outcome.utilities, expected.utilities, rtol=1e-5)
        _same_learned(outcome, expected)
        np.testing.assert_allclose(outcome.held["test"], expected.held["test"], rtol=1e-3, atol=1e-3)


def test_a_rung_is_the_best_so_far(replicas: Replicas, judge: type[Any]) -> None:
    """Mean over replicas of each one's best epoch, of the best rate."""
    table = {1: [[5.0, 1.0], [1.0, 0.0]], 2: [[2.0, 3.0], [3.0, 1.0]], 3: [[9.0], [9.0]], 4: [[0.0], [0.0]]}
    script = judge(lambda epoch, members: torch.tensor(table[epoch]))
    plan = TrainingPlan(epochs=4, batch_size=64, rungs=(2,), patience=4)
    (outcome,) = train([candidate("squared", 1e-3, 1e-2)], replicas, plan, script)
    assert outcome.rungs == ((2, 4.0),)
    assert outcome.utilities == (9.0, 9.0)
    assert outcome.rate == 1e-3


@pytest.mark.parametrize("rates", range(1, 6))
def test_a_candidate_keeps_the_better_half_of_its_rates(replicas: Replicas, judge: type[Any], rates: int) -> None:
    """Rounded up; by the script, later rates are better."""
    found: list[int] = []

    def script(epoch: int, members: int) -> Tensor:
        found.append(members)
        return epoch + torch.arange(members) / 10

    plan = TrainingPlan(epochs=4, batch_size=64, rungs=(1, 2), patience=4)
    own = tuple(1e-3 * (index + 1) for index in range(rates))
    (outcome,) = train([candidate("squared", *own)], replicas, plan, judge(script))
    half = -(-rates // 2)
    assert found[:4] == [rates, half, -(-half // 2), -(-half // 2)]
    assert outcome.rate == own[-1]


@pytest.mark.parametrize(("keep", "stay"), [(0.01, 1), (0.25, 1), (0.5, 2), (0.6, 3), (1.0, 4)])
def test_the_share_that_stays(replicas: Replicas, judge: type[Any], keep: float, stay: int) -> None:
    script = judge(lambda epoch, members: epoch + torch.arange(members) / 10)
    plan = TrainingPlan(epochs=3, batch_size=64, rungs=(1,), keep=keep)
    outcomes = train([candidate("squared", 1e-3)] * 4, replicas, plan, script)
    assert [outcome.state for outcome in outcomes] == ["pruned"] * (4 - stay) + ["completed"] * stay


def test_the_protected_are_never_pruned_and_take_no_place(replicas: Replicas) -> None:
    protected = candidate("absolute", 1e-7, protected=True)
    with_it = train([protected, *SLOW, *GOOD], replicas)
    assert with_it[0].state == "completed"
    assert [epoch for epoch, _ in with_it[0].rungs] == [2, 4]
    assert [outcome.state for outcome in with_it[1:]].count("completed") == 2


def test_the_broken_leave_first(replicas: Replicas) -> None:
    failed, *others = train([BROKEN, *GOOD], replicas, TrainingPlan(epochs=4, batch_size=16, rungs=(2,), keep=0.75))
    assert (failed.state, failed.reason) == ("failed", "diverged")
    assert [epoch for epoch, _ in failed.rungs] == [2]
    assert {outcome.state for outcome in others} == {"completed"}


def test_a_population_of_broken_candidates_ends(replicas: Replicas) -> None:
    outcomes = train([BROKEN, BROKEN, candidate("absolute", 1e30, protected=True)], replicas)
    assert {outcome.state for outcome in outcomes} == {"failed"}
    assert {outcome.reason for outcome in outcomes} == {"diverged"}


def test_a_rung_at_the_last_epoch_prunes_nobody(replicas: Replicas) -> None:
    plan = TrainingPlan(epochs=3, batch_size=64, rungs=(3, 7))
    assert {outcome.state for outcome in train([*SLOW, *GOOD], replicas, plan)} == {"completed"}


def test_learned_scalars_are_the_candidates_own(replicas: Replicas, by_epoch: Callable[..., Any]) -> None:
    """As many as its spec learns, in the spec's order, also after others have left."""
    uncertain = {"learned": "uncertainty"}
    robust = candidate("general_robust", 1e-2, weight=uncertain, protected=True)
    plain = candidate("squared", 1e-2, protected=True)
    weighted = candidate("huber", 1e-2, weight=uncertain, protected=True)
    outcomes = train([*SLOW, robust, plain, weighted], replicas)
    assert [len(outcome.learned) for outcome in outcomes] == [0, 0, 3, 0, 1]
    assert all(abs(value) > 1e-3 for outcome in outcomes for value in outcome.learned.values())
    (alone,) = train([robust], replicas)
    _same_learned(outcomes[2], alone)


def test_what_is_reached_on_the_way_rises_to_the_best(replicas: Replicas) -> None:
    model = build_model("mlp", replicas.width, 1)
    told: list[float] = []
    outcomes = ended(
        population_course(model, [*SLOW, *GOOD], replicas, PLAN, MetricJudge("mae", "regression", replicas)),
        told.append,
    )
    assert len(told) > 1
    assert told == sorted(set(told))
    means = [sum(outcome.utilities) / len(outcome.utilities) for outcome in outcomes]
    assert told[-1] == pytest.approx(max(means), rel=1e-6)
