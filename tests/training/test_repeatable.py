"""Training on a CUDA device repeats its digits: the settings that do it, and that they are put back."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch.utils import deterministic
from torch.utils._python_dispatch import TorchDispatchMode

from losssearch.data.replicas import Replicas
from losssearch.execution import job as jobs
from losssearch.execution.job import Job, run_job
from losssearch.judging import MetricJudge
from losssearch.losses.spec import LossSpec
from losssearch.models import build_model
from losssearch.training import Candidate, TrainingPlan, train_population, trainer
from losssearch.training.repeatable import WORKSPACE, repeatable

BY_INDEX = ("index_add", "scatter_add", "index_put", "cumsum", "bincount", "_fused_adamw_")


def settings() -> tuple[bool, bool, bool, bool]:
    return (
        torch.are_deterministic_algorithms_enabled(),
        torch.is_deterministic_algorithms_warn_only_enabled(),
        deterministic.fill_uninitialized_memory,  # type: ignore[attr-defined]
        torch.backends.cudnn.benchmark,
    )


@pytest.fixture(autouse=True)
def put_back(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.delenv(WORKSPACE, raising=False)
    yield
    torch.use_deterministic_algorithms(False)
    torch.backends.cudnn.benchmark = False


@pytest.mark.parametrize(("asked", "warned"), [(False, False), (True, True), (True, False)])
def test_what_a_user_had_set_comes_back(asked: bool, warned: bool) -> None:
    """Also after an error. Who asked for errors where nothing is deterministic keeps them."""
    torch.use_deterministic_algorithms(asked, warn_only=warned)
    torch.backends.cudnn.benchmark = True
    before = settings()
    with suppress(KeyError), repeatable("cuda:0"):
        assert settings() == (True, not (asked and not warned), False, False)
        assert os.environ[WORKSPACE] == ":4096:8"
        raise KeyError
    assert settings() == before


def test_a_workspace_of_the_users_own_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(WORKSPACE, ":16:8")
    with repeatable("cuda"):
        assert os.environ[WORKSPACE] == ":16:8"


def test_of_two_that_overlap_the_first_may_end_first() -> None:
    before = settings()
    first, second = repeatable("cuda"), repeatable("cuda")
    first.__enter__()
    second.__enter__()
    first.__exit__(None, None, None)
    assert settings() == (True, True, False, False)
    second.__exit__(None, None, None)
    assert settings() == before
    assert WORKSPACE not in os.environ


def test_nothing_is_set_on_the_cpu() -> None:
    before = settings()
    with repeatable("cpu"):
        assert settings() == before
    assert WORKSPACE not in os.environ


class Sums(TorchDispatchMode):
    """Notes what was set while something was summed by index, as threads of a device would arrive in any order."""

    def __init__(self) -> None:
        super().__init__()
        self.set: dict[str, set[bool]] = {}

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func.__name__.startswith(BY_INDEX):
            self.set.setdefault(str(func), set()).add(torch.are_deterministic_algorithms_enabled())
        return func(*args, **(kwargs or {}))


@pytest.mark.parametrize("through", ["job", "trainer"])
def test_all_sums_by_index_of_a_training_and_its_evaluation_are_deterministic(
    replicas: Replicas, through: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A device that is called CUDA here, and is the CPU: only the settings are looked at."""
    for module in (jobs, trainer):
        monkeypatch.setattr(module, "repeatable", lambda device: repeatable("cuda"))
    plan, weighted = TrainingPlan(epochs=2, batch_size=32), weighed(replicas)
    parts = [{"term": "huber"}, {"term": "log_cosh"}]
    spec = {"parts": [{"term": "huber"}], "decision": "tuned"}
    with Sums() as sums:
        if through == "job":
            job = Job(1, "search", ((spec, (1e-3,), True),), "regression", "mae", "mlp", plan)
            run_job(job, weighted)
        else:
            judge = MetricJudge("mae", "regression", weighted, weight=weighted.validation["weight"])
            candidates = [Candidate(LossSpec.from_json({"parts": parts}), (1e-3,))]
            train_population(build_model("mlp", weighted.width, 1), candidates, weighted, plan, judge)
    assert len(sums.set) > 1
    assert all(found == {True} for found in sums.set.values()), sums.set
    assert not torch.are_deterministic_algorithms_enabled()


def weighed(replicas: Replicas) -> Replicas:
    """With sample weights, by which sums are not of whole numbers."""
    parts = (replicas.train, replicas.validation)
    train, validation = ({**own, "weight": torch.rand_like(own["target"].float()) + 0.1} for own in parts)
    return replace(replicas, train=train, validation=validation)
