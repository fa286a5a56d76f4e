"""What a training function may ask its trial, and what counts of what it says."""

from __future__ import annotations

import random
import time
from typing import Any

import numpy as np
import pytest
import torch

from losssearch.training.handle import Refused, TrialHandle, seeded


def test_the_answer_counts_and_else_the_best_reported_value() -> None:
    trial = TrialHandle(epochs=4)
    for step, value in enumerate((0.2, 0.7, 0.5), start=1):
        trial.report(step, value)
    assert trial.settle(None) == 0.7
    assert trial.best_step == 2
    assert trial.settle(0.5) == 0.5


def test_where_less_is_better_the_least_is_the_best() -> None:
    trial = TrialHandle(sign=-1.0)
    trial.report(0, 3.0)
    trial.report(1, 2.0)
    trial.report(2, 4.0)
    assert trial.settle(None) == -2.0


def test_progress_is_the_share_of_epochs_reported() -> None:
    trial = TrialHandle(epochs=2)
    seen = [trial.progress]
    for step in range(3):
        trial.report(step, 0.0)
        seen.append(trial.progress)
    assert seen == [0.0, 0.5, 1.0, 1.0]


@pytest.mark.parametrize("value", [np.float32(0.5), torch.tensor([0.5]), torch.tensor(0.5, requires_grad=True), 0.5])
def test_any_kind_of_number_is_a_number(value: Any) -> None:
    assert TrialHandle().settle(value) == 0.5


@pytest.mark.parametrize("value", [float("nan"), -float("inf"), True, "0.5", torch.zeros(2), [0.5]])
def test_what_is_no_finite_number_fails_even_where_the_function_catches_it(value: Any) -> None:
    trial = TrialHandle()
    with pytest.raises(Refused, match=r"must be (finite|a number), got"):
        trial.report(1, value)
    with pytest.raises(Refused):
        trial.settle(0.9)
    with pytest.raises(Refused):
        TrialHandle().settle(value)


def test_a_function_must_say_something() -> None:
    with pytest.raises(Refused, match="it did neither"):
        TrialHandle().settle(None)


def test_steps_rise() -> None:
    trial = TrialHandle()
    trial.report(3, 0.1)
    with pytest.raises(Refused, match=r"must rise, got 3 after 3"):
        trial.report(3, 0.2)


def test_rungs_are_the_best_values_at_each_doubling() -> None:
    trial = TrialHandle()
    for step in range(1, 10):
        trial.report(10 * step, 0.5 if step == 1 else step / 10)
    assert trial.rungs == [(20, 0.5), (40, 0.5), (80, 0.8)]


def test_a_training_behind_the_bar_is_told_to_stop() -> None:
    trial = TrialHandle(bar=((2, 0.4), (4, 0.6)))
    told = []
    for step in range(1, 5):
        trial.report(step, 0.5)
        told.append(trial.should_stop())
    assert told == [False, False, False, True]
    assert trial.stopped


def test_one_that_goes_on_all_the_same_was_not_stopped() -> None:
    trial = TrialHandle(bar=((2, 0.9),))
    for step in range(1, 4):
        trial.report(step, 0.5)
        trial.should_stop()
    trial.report(4, 0.6)
    assert not trial.stopped


def test_time_that_is_up_stops() -> None:
    assert TrialHandle(deadline=time.time() - 1).should_stop()
    assert not TrialHandle(deadline=time.time() + 1000).should_stop()


def test_random_numbers_are_the_seeds_inside_and_untouched_outside() -> None:
    def drawn() -> list[float]:
        return [random.random(), float(np.random.rand()), float(torch.rand(()))]  # noqa: NPY002  (users' loops do)

    device = torch.device("cpu")
    with seeded(1, device, 1):
        first = drawn()
    torch.manual_seed(7)
    random.seed(7)
    np.random.seed(7)  # noqa: NPY002  (same)
    expected = drawn()
    torch.manual_seed(7)
    random.seed(7)
    np.random.seed(7)  # noqa: NPY002  (same)
    with seeded(1, device, 2):
        assert torch.get_num_threads() == 2
        assert drawn() == first
    assert torch.get_num_threads() == 1
    assert drawn() == expected
