"""The state of a population: how it starts, how it is compacted, and what an epoch's utilities do to it."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from losssearch.data.batch import at_rows
from losssearch.data.replicas import Replicas
from losssearch.losses.population import PopulationLoss
from losssearch.losses.spec import LossSpec, Part
from losssearch.losses.weighting import Weighting
from losssearch.models import build_model
from losssearch.training.members import Members

RATES = (1e-3, 1e-2, 2e-2, 3e-2)
UNCERTAIN = Weighting("uncertainty")
SPECS = [
    LossSpec((Part("general_robust", {}, UNCERTAIN),)),
    LossSpec((Part("squared"),)),
    LossSpec((Part("huber", {}, UNCERTAIN), Part("absolute"))),
    LossSpec((Part("squared", {}, UNCERTAIN),)),
]


def normed(features: int, outputs: int) -> nn.Module:
    return nn.Sequential(nn.BatchNorm1d(features), nn.Linear(features, 4), nn.ReLU(), nn.Linear(4, outputs))


@pytest.fixture(params=["mlp", normed], ids=["stacked", "with buffers"])
def members(request: pytest.FixtureRequest, replicas: Replicas) -> Callable[[], Members]:
    model = build_model(request.param, replicas.width, 1)
    return lambda: Members(
        model,
        PopulationLoss(SPECS),
        torch.arange(4),
        torch.tensor(RATES),
        replicas.seeds,
        weight_decay=0.1,
        clip=1.0,
        device=torch.device("cpu"),
    )


def step(population: Members, replicas: Replicas, count: int, first: int = 0) -> None:
    for number in range(first, first + count):
        rows = slice(16 * number, 16 * number + 16)
        population.step(
            at_rows(replicas.train, rows),
            replicas.facts,
            progress=number / 10,
            factor=1 - number / 10,
            seed=number,
        )


def state(population: Members) -> dict[str, Tensor]:
    named = {
        name: getattr(population, name) for name in ("candidate", "flat", "best_flat", "best", "best_epoch", "diverged")
    }
    optimiser = {name: getattr(population.optimiser, name) for name in ("mean", "square", "rates", "parameters")}
    buffers = {f"buffer {name}": value for name, value in population.buffers.items()}
    best = {f"best {name}": value for name, value in population.best_buffers.items()}
    return {**named, **optimiser, **buffers, **best}


def test_members_of_a_replica_start_alike(members: Callable[[], Members], replicas: Replicas) -> None:
    population = members()
    parameters, learned = population.split(population.flat)
    for r, seed in enumerate(replicas.seeds):
        start = population.model.initial(seed)
        assert set(parameters) == set(start)
        for name, value in start.items():
            assert torch.equal(parameters[name][r], value.expand(4, *value.shape))
    assert torch.equal(learned, population.loss.initial.expand(2, 4, -1))


def test_weights_decay_and_neither_biases_nor_learned_scalars_do(members: Callable[[], Members]) -> None:
    population = members()
    named, learned = population.split(population.optimiser.decay.expand(2, 4, -1))
    for name, value in named.items():
        expected = 0.1 if len(population.model.shapes[name]) > 1 else 0.0
        assert torch.all(value == torch.tensor(expected)), name
    assert not learned.any()


def test_learned_scalars_move_and_padding_does_not(members: Callable[[], Members], replicas: Replicas) -> None:
    population = members()
    step(population, replicas, 3)
    _, learned = population.split(population.flat)
    moved = (learned != population.loss.initial).all(dim=0)
    assert moved.tolist() == [[True] * 3, [False] * 3, [True, False, False], [True, False, False]]


def test_those_who_are_kept_keep_their_state_to_the_bit(members: Callable[[], Members], replicas: Replicas) -> None:
    population = members()
    step(population, replicas, 2)
    population.record(torch.tensor([[1.0, 2.0, 3.0, 4.0], [4.0, 3.0, 2.0, 1.0]]), 1, patience=3)
    before, chosen = state(population), torch.tensor([3, 0])
    population.keep(chosen.tolist())
    for name, value in state(population).items():
        expected = before[name][chosen] if name in ("candidate", "rates") else before[name][:, chosen]
        assert torch.equal(value, expected), name
    assert population.loss.specs == (SPECS[3], SPECS[0])


def test_compaction_changes_nothing_of_what_follows(members: Callable[[], Members], replicas: Replicas) -> None:
    """Even where the member with most learned scalars has left."""
    through, compacted = members(), members()
    step(through, replicas, 4)
    step(compacted, replicas, 2)
    chosen = torch.tensor([1, 2])
    compacted.keep(chosen.tolist())
    step(compacted, replicas, 2, first=2)
    torch.testing.assert_close(compacted.flat, through.flat[:, chosen], rtol=1e-5, atol=1e-6)
    for name, value in compacted.buffers.items():
        torch.testing.assert_close(value, through.buffers[name][:, chosen])


def test_the_best_epoch_is_kept_with_its_state(members: Callable[[], Members], replicas: Replicas) -> None:
    population = members()
    utilities = [[1.0, 5.0, 1.0, -torch.inf], [2.0, 4.0, 0.0, -torch.inf], [2.0, 6.0, 3.0, -torch.inf]]
    snapshots, outputs = [], []
    for epoch, utility in enumerate(utilities, start=1):
        step(population, replicas, 1, first=epoch)
        snapshots.append(population.flat.clone())
        outputs.append(population.outputs(replicas.validation["features"]))
        population.record(torch.tensor([utility, utility]), epoch, patience=2)
    assert population.best_epoch.tolist() == [[2, 3, 3, 0]] * 2
    assert population.best.tolist() == [[2.0, 6.0, 3.0, -torch.inf]] * 2
    best = population.outputs(replicas.validation["features"], best=True)
    for member, epoch in enumerate([2, 3, 3]):
        assert torch.equal(population.best_flat[:, member], snapshots[epoch - 1][:, member])
        torch.testing.assert_close(best[:, member], outputs[epoch - 1][:, member])
    assert population.scores().tolist() == [2.0, 6.0, 3.0, -torch.inf]


def test_a_score_needs_every_replica(members: Callable[[], Members]) -> None:
    population = members()
    population.flat[1, 0, 0] = torch.nan
    population.record(torch.tensor([[1.0, 1.0, 1.0, 2.0], [1.0, -torch.inf, 3.0, 4.0]]), 1, patience=2)
    assert population.scores().tolist() == [-torch.inf, -torch.inf, 2.0, 3.0]
    assert population.diverged.tolist() == [[False] * 4, [True, False, False, False]]
    assert population.best[:, 0].tolist() == [1.0, -torch.inf]
    assert population.best_flat.isfinite().all()


def test_outputs_do_not_depend_on_how_rows_are_cut(members: Callable[[], Members], replicas: Replicas) -> None:
    population = members()
    whole = population.outputs(replicas.train["features"])
    torch.testing.assert_close(population.outputs(replicas.train["features"], rows=7), whole)
    assert whole.shape == (2, 4, replicas.train["features"].shape[1])
