"""What is kept of a finalist's training, and that keeping it changes nothing."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from losssearch.data import draws, load, make_replicas, partition
from losssearch.data.replicas import Replicas
from losssearch.judging import MetricJudge
from losssearch.judging.surrogate import surrogate
from losssearch.losses.compose import ComposedLoss
from losssearch.losses.spec import LossSpec
from losssearch.models import build_model
from losssearch.tasks import get_task
from losssearch.training import Candidate, Outcome, TrainingPlan, train_population
from losssearch.training.outcome import UNTUNED

PLAN = TrainingPlan(epochs=3, batch_size=64)
SPECS = {
    "plain": {"parts": [{"term": "cross_entropy"}]},
    "remembers": {"parts": [{"term": "early_learning", "strength": 3.0, "beta": 0.5}]},
    "learns": {"parts": [{"term": "learned_noise"}]},
    "validated": {"parts": [{"term": "auto_balance"}]},
    "balanced": {
        "parts": [{"term": "cross_entropy"}, {"term": "brier"}],
        "balance": {"famo": {"rate": 1.0, "decay": 0.0}},
    },
}


@pytest.fixture(scope="module")
def digits() -> Replicas:
    dataset = load("builtin:digits")
    parts = partition(dataset, seed=0)
    held = {"confirmation": parts.confirmation, "test": parts.test}
    return make_replicas(dataset, draws(dataset, parts.search, seed=0, count=2, purpose="test"), held=held)


def trained(replicas: Replicas, *names: str, hold: bool = True, plan: TrainingPlan = PLAN) -> dict[str, Outcome]:
    task = get_task("multiclass")
    outcomes = train_population(
        build_model("linear", replicas.width, task.widths(replicas.classes)),
        [Candidate(LossSpec.from_json(SPECS[name]), (0.01,)) for name in names],
        replicas,
        plan,
        MetricJudge("accuracy", "multiclass", replicas),
        hold=hold,
        offer=task.offer,
        objective=surrogate("accuracy", "multiclass"),
        refit=True,
    )
    return dict(zip(names, outcomes, strict=True))


@pytest.fixture(scope="module")
def outcomes(digits: Replicas) -> dict[str, Outcome]:
    return trained(digits, *SPECS)


def test_a_trace_changes_nothing_and_only_a_finalist_has_one(digits: Replicas, outcomes: dict[str, Outcome]) -> None:
    untraced = trained(digits, *SPECS, hold=False)
    assert [one.trace for one in untraced.values()] == [None] * len(SPECS)
    for name, own in untraced.items():
        assert own.utilities == outcomes[name].utilities
        for key, value in own.learned.items():
            np.testing.assert_array_equal(value, outcomes[name].learned[key])


def test_the_learning_curve_ends_in_what_counts(outcomes: dict[str, Outcome]) -> None:
    for own in outcomes.values():
        assert own.trace is not None
        assert own.trace.utilities.shape == (3, 2)
        assert tuple(own.trace.utilities.max(axis=0)) == own.utilities


def test_states_are_noted_from_the_start_to_the_end(outcomes: dict[str, Outcome]) -> None:
    learns, validated = outcomes["learns"].trace, outcomes["validated"].trace
    assert learns is not None
    level = learns.states["0_level"]
    assert level.shape == (4, 2)
    assert (level[0] == -2.0).all()
    best = outcomes["learns"].best_epochs[learns.replica]
    assert level[best, learns.replica] == outcomes["learns"].learned["0_level"]
    assert validated is not None
    shift = validated.states["0_shift"]
    assert shift.shape == (4, 2, 10)
    assert (shift[0] == 0).all()
    assert np.abs(shift[-1]).max() > 0.01


def test_rows_are_those_of_a_loop_with_the_composed_loss(digits: Replicas) -> None:
    """One epoch: every row is seen once, so its kept target follows from the outputs of one step."""
    found = trained(digits, "plain", "remembers", plan=replace(PLAN, epochs=1))
    trace, plain = found["remembers"].trace, found["plain"].trace
    assert trace is not None
    assert plain is not None
    assert (plain.rows, plain.outputs) == ({}, None)
    kept = trace.rows["0_kept"]
    steps = digits.rows // PLAN.batch_size
    assert kept.shape == (2, digits.rows, 10)
    seen = kept[0].sum(-1) > 0
    assert seen.sum() == steps * PLAN.batch_size
    np.testing.assert_allclose(kept[0][seen].sum(-1), 0.5, rtol=1e-5)  # the target starts at 0 and keeps half of it
    assert trace.outputs is not None
    assert trace.target is not None
    assert trace.outputs.shape == (digits.rows, 10)
    np.testing.assert_array_equal(trace.target, digits.train["target"][trace.replica])
    assert (trace.outputs.argmax(-1) == trace.target).mean() > 0.5


def test_the_balance_of_parts_is_what_the_composed_loss_computes(outcomes: dict[str, Outcome]) -> None:
    trace = outcomes["balanced"].trace
    assert trace is not None
    assert trace.balance is not None
    assert trace.balance.shape == (3, 2, 2)
    np.testing.assert_allclose(trace.balance.sum(-1), 1.0, rtol=1e-5)  # weights of famo sum to one
    assert np.ptp(trace.balance[:, 0, 0]) > 1e-3
    assert outcomes["plain"].trace is not None
    assert outcomes["plain"].trace.balance is None
    # With the states at the end of training, a loss in a loop weighs its parts alike.
    loss = ComposedLoss(LossSpec.from_json(SPECS["balanced"]), classes=10).eval()
    for name in ("logits", "last", "seen"):
        loss.get_buffer(f"{name}_balance").copy_(torch.as_tensor(trace.states[f"balance_{name}"][-1, 0]))
    assert loss.get_buffer("seen_balance") == 1


def test_outputs_as_they_are_before_tuning_are_held_too(digits: Replicas) -> None:
    metric = MetricJudge("balanced_accuracy", "multiclass", digits)
    outcome = train_population(
        build_model("linear", digits.width, 10),
        [Candidate(LossSpec.from_json(SPECS["plain"]), (0.01,))],
        digits,
        PLAN,
        metric,
        hold=True,
        offer=get_task("multiclass").offer,
    )[0]
    before, after = outcome.held[f"test{UNTUNED}"], outcome.held["test"]
    assert before.shape == after.shape
    shift = (after - before)[0]
    np.testing.assert_allclose(shift, np.broadcast_to(shift[:1], shift.shape), atol=1e-4)  # one number per class
