"""What an update moves is handed over as it was at the epoch whose weights count, unless it restarts."""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from losssearch.data.batch import at_rows
from losssearch.data.replicas import Replicas
from losssearch.export.facts import LossFacts
from losssearch.export.source import loss_source
from losssearch.losses import terms
from losssearch.losses.balance import balances
from losssearch.losses.population import PopulationLoss
from losssearch.losses.spec import LossSpec, Part
from losssearch.losses.term import _registry
from losssearch.losses.weighting import weightings
from losssearch.models import build_model
from losssearch.training import Candidate, TrainingPlan, train_population
from losssearch.training.members import Members

MODULE = Path(__file__).parents[1] / "extensions" / "modules" / "own_counting.py"


@pytest.fixture(autouse=True)
def counted() -> Iterator[None]:
    """The module of the extension, known to this test alone."""
    spec = importlib.util.spec_from_file_location("own_counting", MODULE)
    assert spec
    assert spec.loader
    sys.modules["own_counting"] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(sys.modules["own_counting"])
    yield
    del _registry["own_counting"], sys.modules["own_counting"]


def spec_of(*names: str) -> LossSpec:
    return LossSpec(tuple(map(Part, names)))


def members(replicas: Replicas, at_once: int) -> Members:
    specs = [spec_of("squared"), spec_of("own_counting"), spec_of("squared", "own_counting")]
    return Members(
        build_model("linear", replicas.width, 1),
        PopulationLoss(specs, sizes=replicas.sizes),
        torch.arange(3),
        torch.full((3,), 1e-3),
        replicas.seeds,
        weight_decay=0.0,
        clip=None,
        device=torch.device("cpu"),
        at_once=at_once,
    )


def found(population: Members, member: int, replica: int) -> dict[str, float]:
    learned = population.learned(member, torch.zeros(population.loss.initial.shape[-1]), replica)
    return {name: float(value) for name, value in learned.items()}


@pytest.mark.parametrize("at_once", [3, 1])
def test_each_replica_keeps_the_count_of_its_best_epoch(replicas: Replicas, at_once: int) -> None:
    population = members(replicas, at_once)
    batch = at_rows(replicas.train, slice(0, 16))
    for epoch, utility in enumerate(([1.0, 1.0], [2.0, 0.0], [1.5, 0.5]), 1):
        for number in range(2):
            population.step(batch, replicas.facts, progress=0.0, factor=1.0, seed=number)
        value = torch.tensor(utility, dtype=torch.float64)[:, None].expand(-1, len(population.candidate))
        population.record(value, epoch, patience=9)
        if epoch == 2:
            population.keep([2, 1])
    assert [found(population, 1, replica) for replica in range(2)] == [{"0_seen": 4.0}, {"0_seen": 2.0}]
    assert set(found(population, 0, 0).values()) == {4.0}
    assert {float(own[0]) for own in population.states.values()} == {6.0}


def test_an_outcome_hands_over_what_its_best_epoch_had(replicas: Replicas) -> None:
    def judge(outputs: Tensor, target: Tensor, tuned: Tensor) -> tuple[Tensor, Any]:
        epochs.append(len(epochs))
        utility = -torch.tensor(float(abs(len(epochs) - 2))).expand(outputs.shape[:2])  # the second epoch is best
        return utility, lambda other: other

    epochs: list[int] = []
    model, plan = build_model("linear", replicas.width, 1), TrainingPlan(epochs=4, batch_size=16)
    (outcome,) = train_population(model, [Candidate(spec_of("own_counting"), (1e-3,))], replicas, plan, judge)
    assert set(outcome.best_epochs) == {2}
    assert {name: float(value) for name, value in outcome.learned.items()} == {"0_seen": 2.0 * (replicas.rows // 16)}


def counts(loss: torch.nn.Module) -> list[float]:
    return sorted(float(value) for name, value in loss.named_buffers() if "seen" in name or "window" in name)


def test_an_exported_loss_begins_with_it() -> None:
    facts = LossFacts(spec_of("own_counting"), "regression", learned={"0_seen": 7.0})
    namespace: dict[str, Any] = {}
    exec(compile(loss_source(facts), "loss.py", "exec"), namespace)
    for loss in (facts.module(), namespace["Loss"]()):
        assert counts(loss) == [0, 7]
        assert not list(loss.parameters())
        loss(torch.ones(4), torch.zeros(4))
        assert counts(loss) == [1, 8]
    assert facts.module().found() == {"0_seen": torch.tensor(7.0)}
    assert LossFacts(spec_of("own_counting"), "regression").learned == {"0_seen": 0.0}


def test_windows_of_the_built_in_losses_restart() -> None:
    """An exported loss of a study begins as its trainings did; but for a multiplier, which is found, and no window."""
    records = [*terms.values(), *weightings.values(), *balances.values()]
    of_library = [one for one in records if one.function.__module__.startswith("losssearch.")]
    moved = {f"{one.name} {name}": state for one in of_library for name, state in one.states.items()}
    moved = {name: state for name, state in moved.items() if state.moved_by == "update"}
    assert len(moved) >= 8
    assert [name for name, state in moved.items() if state.handed_over] == ["multiplier dual"]
