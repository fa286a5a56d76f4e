"""Candidates that a user's function trains: what it is called with, and what becomes of its answers."""

from __future__ import annotations

import sys
from typing import Any

import pytest
import torch
from torch import nn

from losssearch.losses.spec import LossSpec
from losssearch.training.handle import TrialHandle
from losssearch.training.user_function import BEHIND, FunctionDraws, FunctionRules, TrainFunction, train_with_function

PLAIN = LossSpec.from_json({"parts": [{"term": "binary_cross_entropy"}]})
FOCAL = LossSpec.from_json({"parts": [{"term": "focal", "gamma": 2.0, "weight": {"learned": "uncertainty"}}]})
DRAWS = FunctionDraws("search", (11, 12))
RULES = FunctionRules(sign=1.0, epochs=3, facts={"class_prior": (0.5, 0.5)})


def outcomes(function: TrainFunction, *candidates: Any, rules: FunctionRules = RULES) -> Any:
    chosen = candidates or ((PLAIN, (), False),)
    return train_with_function(function, chosen, DRAWS, rules, numbers=range(5, 5 + len(chosen)))


def test_it_is_called_once_a_draw_with_loss_and_trial() -> None:
    seen = []

    def function(loss: nn.Module, trial: TrialHandle) -> float:
        value = loss(torch.zeros(4), torch.ones(4), progress=trial.progress)
        seen.append((trial.number, trial.stage, trial.draw, trial.seed, trial.rate, trial.epochs, trial.device.type))
        return float(value)

    (outcome,) = outcomes(function)
    assert seen == [(5, "search", 0, 11, None, 3, "cpu"), (5, "search", 1, 12, None, 3, "cpu")]
    assert outcome.state == "completed"
    assert outcome.utilities == pytest.approx((0.693147, 0.693147), rel=1e-5)  # log 2, cross-entropy of a logit of 0
    assert outcome.rate is None


def test_the_targets_are_the_functions_own_so_zero_is_zero() -> None:
    relative = LossSpec.from_json({"parts": [{"term": "relative_absolute"}]})

    def function(loss: nn.Module, trial: TrialHandle) -> float:
        return float(loss(torch.tensor([110.0, 3.0]), torch.tensor([100.0, 4.0])))

    (outcome,) = outcomes(function, (relative, (), False), rules=FunctionRules(sign=1.0, epochs=1, facts={"zero": 0.0}))
    assert outcome.utilities == pytest.approx((0.175, 0.175))  # the mean of 10 % and 25 %


def test_the_best_learning_rate_counts() -> None:
    def function(loss: nn.Module, trial: TrialHandle) -> float:
        assert trial.rate is not None
        return -abs(trial.rate - 0.02) + trial.draw

    (outcome,) = outcomes(function, (PLAIN, (0.01, 0.02, 0.04), False))
    assert outcome.rate == 0.02
    assert outcome.utilities == (0.0, 1.0)


def test_an_exception_fails_its_candidate_and_no_other() -> None:
    calls = []

    def function(loss: nn.Module, trial: TrialHandle) -> float:
        calls.append(trial.number)
        if trial.number == 5:
            raise RuntimeError("shape\n   mismatch")
        return 1.0

    failed, sound = outcomes(function, (PLAIN, (), False), (FOCAL, (), False))
    assert (failed.state, failed.reason) == ("failed", "the training function raised RuntimeError: shape mismatch")
    assert sound.state == "completed"
    assert calls == [5, 6, 6]  # a candidate that failed once is not trained on


def test_a_rate_that_fails_leaves_the_others() -> None:
    def function(loss: nn.Module, trial: TrialHandle) -> float:
        return float("nan") if trial.rate == 0.1 else 0.5

    (outcome,) = outcomes(function, (PLAIN, (0.1, 0.01), False))
    assert (outcome.state, outcome.rate) == ("completed", 0.01)
    (outcome,) = outcomes(function, (PLAIN, (0.1,), False))
    assert (outcome.state, outcome.reason) == ("failed", "the training function's answer must be finite, got nan")


@pytest.mark.parametrize("value", [1e308, -1e308, 1e71])
def test_values_too_large_to_be_squared_fail_their_candidate(value: float) -> None:
    def function(loss: nn.Module, trial: TrialHandle) -> float | None:
        if trial.number == 5:
            return value
        trial.report(1, value)
        return None

    for outcome in outcomes(function, (PLAIN, (), False), (FOCAL, (), False)):
        assert outcome.state == "failed"
        assert f"must be at most 1e+70 in size, got {value:g}" in outcome.reason


@pytest.mark.parametrize("step", [float("inf"), 1e308, 2**63])
def test_steps_that_no_store_holds_fail_their_candidate(step: float) -> None:
    def function(loss: nn.Module, trial: TrialHandle) -> None:
        trial.report(step, 0.5)  # type: ignore[arg-type]

    (outcome,) = outcomes(function)
    assert (outcome.state, "must be at most 9007199254740992" in outcome.reason) == ("failed", True)


@pytest.mark.parametrize("code", [0, 3, "no GPU here"])
def test_sys_exit_fails_its_candidate_and_does_not_end_the_study(code: object) -> None:
    def function(loss: nn.Module, trial: TrialHandle) -> float:
        if trial.number == 5:
            sys.exit(code)  # type: ignore[arg-type]
        return 1.0

    failed, sound = outcomes(function, (PLAIN, (), False), (FOCAL, (), False))
    assert (failed.state, failed.reason) == ("failed", f"the training function raised SystemExit: {code}")
    assert sound.state == "completed"


def test_an_interruption_is_no_failure() -> None:
    def function(loss: nn.Module, trial: TrialHandle) -> float:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        outcomes(function)


@pytest.mark.parametrize("protected", [False, True])
def test_one_behind_the_bar_is_pruned_unless_protected(protected: bool) -> None:
    def function(loss: nn.Module, trial: TrialHandle) -> None:
        for step in range(1, 5):
            trial.report(step, step / 10)
            if trial.should_stop():
                return

    rules = FunctionRules(sign=1.0, epochs=4, facts={"class_prior": (0.5, 0.5)}, bar=((2, 0.3),))
    (outcome,) = outcomes(function, (PLAIN, (), protected), rules=rules)
    if protected:
        assert (outcome.state, outcome.utilities, outcome.reason) == ("completed", (0.4, 0.4), "")
        assert outcome.rungs == ((2, 0.2), (4, 0.4))
    else:
        assert (outcome.state, outcome.utilities, outcome.reason) == ("pruned", (0.2, 0.2), BEHIND)


def test_what_the_loss_learned_in_the_best_draw_is_kept() -> None:
    def function(loss: nn.Module, trial: TrialHandle) -> float:
        with torch.no_grad():
            next(loss.parameters()).fill_(float(trial.draw))
        return float(trial.draw)

    (outcome,) = outcomes(function, (FOCAL, (), False))
    assert {name: float(value) for name, value in outcome.learned.items()} == {"0_log_variance": 1.0}


def test_each_call_starts_from_the_draws_seed() -> None:
    def function(loss: nn.Module, trial: TrialHandle) -> float:
        return float(torch.rand(()))

    first, second = outcomes(function, (PLAIN, (), False), (FOCAL, (), False))
    assert first.utilities == second.utilities
    assert first.utilities[0] != first.utilities[1]
