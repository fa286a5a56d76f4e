"""A population that memory does not hold at once: in parts, with the same result."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from losssearch.data.replicas import Replicas
from losssearch.execution.job import Judge
from losssearch.losses.population import PopulationLoss
from losssearch.losses.spec import LossSpec
from losssearch.models import build_model
from losssearch.training import Candidate, Outcome, TrainingPlan, memory, train_population, trainer
from losssearch.training.adam import StackedAdam
from losssearch.training.memory import free_memory, is_out_of_memory, members_at_once
from losssearch.training.outcome import HALVED
from losssearch.training.parts import parts

REFUSALS = {
    "CPU": lambda: RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory: you tried to allocate"),
    "device": lambda: torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 MiB"),
    "numpy": lambda: MemoryError("Unable to allocate 1 TiB"),
}
PLAN = TrainingPlan(epochs=4, batch_size=16, rungs=(2,), patience=4)
WEIGHT = {"learned": "uncertainty"}


class NormNet(nn.Module):
    """Its running statistics change while it runs forwards, before memory runs out."""

    def __init__(self, features: int, outputs: int) -> None:
        super().__init__()
        self.body = nn.Sequential(nn.BatchNorm1d(features), nn.Linear(features, 4), nn.ReLU(), nn.Linear(4, outputs))

    def forward(self, x: Tensor) -> Tensor:
        return self.body(x)


def train(replicas: Replicas, model: Any, only: slice = slice(None)) -> list[Outcome]:
    specs = [[{"term": "squared"}], [{"term": "huber", "weight": WEIGHT}], [{"term": "general_robust"}]]
    candidates = [Candidate(LossSpec.from_json({"parts": spec}), (2e-3, 2e-2)) for spec in specs][only]
    built = build_model(model, replicas.width, 1)
    return train_population(built, candidates, replicas, PLAN, Judge("mae", "regression", replicas), hold=True)


def check_same(found: list[Outcome], expected: list[Outcome]) -> None:
    for ours, theirs in zip(found, expected, strict=True):
        assert (ours.state, ours.rate, ours.epochs) == (theirs.state, theirs.rate, theirs.epochs)
        for name in ("utilities", "learned", "rungs"):
            np.testing.assert_allclose(getattr(ours, name), getattr(theirs, name), rtol=1e-5, atol=1e-6)
        for name in theirs.held:
            np.testing.assert_allclose(ours.held[name], theirs.held[name], rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("model", ["mlp", NormNet])
@pytest.mark.parametrize("refusal", REFUSALS)
def test_halves_until_it_fits_and_gives_the_same(
    replicas: Replicas, model: Any, refusal: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Rungs included; oracle: the population that was never divided."""
    whole, evaluate, asked = train(replicas, model), PopulationLoss.__call__, []

    def limited(self: PopulationLoss, outputs: Tensor, *others: Any, **named: Any) -> Tensor:
        asked.append(outputs.shape[1])
        if outputs.shape[1] > 2:
            error = REFUSALS[refusal]()
            raise error
        return evaluate(self, outputs, *others, **named)

    monkeypatch.setattr(PopulationLoss, "__call__", limited)
    check_same(train(replicas, model), whole)
    assert asked[:5] == [6, 3, 2, 2, 2]
    assert max(asked[2:]) == 2


def test_what_does_not_fit_one_by_one_is_an_error(replicas: Replicas, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(self: PopulationLoss, *others: Any, **named: Any) -> Tensor:
        raise MemoryError

    monkeypatch.setattr(PopulationLoss, "__call__", refuse)
    with pytest.raises(MemoryError):
        train(replicas, "mlp")


@pytest.mark.parametrize("refusal", REFUSALS)
def test_a_state_that_does_not_fit_is_trained_in_halves(
    replicas: Replicas, refusal: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Oracle: the same halves asked for one by one. Room is for the members of one candidate, which are two."""
    asked, make = [], StackedAdam.__init__

    def limited(self: StackedAdam, parameters: Tensor, *others: Any, **named: Any) -> None:
        asked.append(parameters.shape[1])
        if parameters.shape[1] > 2:
            error = REFUSALS[refusal]()
            raise error
        make(self, parameters, *others, **named)

    alone = [train(replicas, "mlp", only=slice(at, at + 1))[0] for at in range(3)]
    monkeypatch.setattr(StackedAdam, "__init__", limited)
    found = train(replicas, "mlp")
    assert asked == [6, 4, 2, 2, 2]
    assert [outcome.reason for outcome in found] == [HALVED] * 3
    check_same(found, alone)


def test_a_state_of_one_candidate_that_does_not_fit_is_an_error(
    replicas: Replicas, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(self: StackedAdam, *others: Any, **named: Any) -> None:
        raise MemoryError

    monkeypatch.setattr(StackedAdam, "__init__", refuse)
    with pytest.raises(MemoryError):
        train(replicas, "mlp")


def test_parts_chosen_beforehand_give_the_same(replicas: Replicas, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = train(replicas, "mlp")
    monkeypatch.setattr(trainer, "members_at_once", lambda *given: 4)
    check_same(train(replicas, "mlp"), whole)


@pytest.mark.parametrize("refusal", REFUSALS)
def test_refusals_are_told_from_other_errors(refusal: str) -> None:
    assert is_out_of_memory(REFUSALS[refusal]())
    assert not is_out_of_memory(RuntimeError("mat1 and mat2 shapes cannot be multiplied"))
    assert not is_out_of_memory(ValueError("out of memory"))


def test_more_memory_takes_more_members(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two layers of 64 and 10 units, 32 rows, one replica: 4 bytes × 4 copies × 32 × 74 = 37,888 bytes a member."""
    shapes = {"weight0": (8, 64), "bias0": (64,), "weight1": (64, 10), "bias1": (10,)}
    found = []
    for free in (0, 4 * 37_888 * 3, 4 * 37_888 * 3 - 1, 1 << 40):
        monkeypatch.setattr(memory, "free_memory", lambda device, free=free: free)
        found.append(members_at_once(shapes, 100, 1, 32, torch.device("cpu")))
    assert found == [1, 3, 2, 100]


def test_this_machine_has_memory() -> None:
    assert free_memory(torch.device("cpu")) > 1 << 20


def test_a_control_group_limits_it(tmp_path: Path) -> None:
    (tmp_path / "memory.current").write_text("300\n")
    (tmp_path / "memory.max").write_text("1000\n")
    assert memory._group(tmp_path) == 700
    (tmp_path / "memory.max").write_text("max\n")
    assert memory._group(tmp_path) is None
    assert memory._group(tmp_path / "absent") is None


@pytest.mark.parametrize(("most", "sizes"), [(9, [7]), (7, [7]), (6, [4, 3]), (3, [3, 3, 1]), (1, [1] * 7)])
def test_parts_cover_all_members_in_order(most: int, sizes: list[int]) -> None:
    loss = PopulationLoss([LossSpec.from_json({"parts": [{"term": "squared"}]})] * 7)
    found = parts(build_model("linear", 3, 1), loss, most)
    assert [len(part.loss.specs) for part in found] == sizes
    assert [m for part in found for m in range(7)[part.members]] == list(range(7))
