"""What fairness terms carry from batch to batch, member by member."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
import torch

from losssearch.data.batch import at_rows
from losssearch.data.replicas import Replicas
from losssearch.errors import SpecError
from losssearch.losses.inputs import NUMBERS
from losssearch.losses.population import PopulationLoss
from losssearch.losses.spec import LossSpec, Part
from losssearch.losses.weighting import Weighting
from losssearch.models import build_model
from losssearch.training import Candidate, TrainingPlan, train_population
from losssearch.training.members import Members
from tests.regrouped import regrouped


def penalised(**hyper: float | str) -> LossSpec:
    return LossSpec((Part("squared"), Part("group_disparity_regression", {"limit": 0.01, **hyper})))


SPECS = [
    penalised(mechanism="dual", rate=0.3),
    LossSpec((Part("squared"),)),
    penalised(mechanism="augmented", statistic="mean_error", rate=0.3),
    LossSpec((Part("group_dro_regression"), Part("adversarial_regression"))),
    LossSpec((Part("squared"), Part("flip_consistency_regression"))),
]
RATES = (1e-3, 1e-2, 2e-2, 3e-2, 1e-2)


@pytest.fixture
def grouped(replicas: Replicas) -> Replicas:
    ids = (replicas.train["features"][..., 0] > 0).long() + (replicas.train["features"][..., 1] > 0).long()
    return regrouped(replicas, ids, ids[:, : replicas.validation["target"].shape[1]], count=3)


def members(grouped: Replicas, chosen: Sequence[int]) -> Members:
    return Members(
        build_model("mlp", grouped.width, 1),
        PopulationLoss([SPECS[k] for k in chosen], sizes=grouped.sizes, offer=NUMBERS),
        torch.tensor(list(chosen)),
        torch.tensor([RATES[k] for k in chosen]),
        grouped.seeds,
        weight_decay=0.1,
        clip=1.0,
        device=torch.device("cpu"),
    )


def step(population: Members, grouped: Replicas, numbers: range) -> None:
    for number in numbers:
        rows = slice(16 * number, 16 * number + 16)
        population.step(
            at_rows(grouped.train, rows),
            grouped.facts,
            progress=number / 10,
            factor=1 - number / 10,
            seed=number,
        )


@pytest.mark.parametrize("kept", [[0], [2, 3], [1], [4, 0]])
def test_compaction_keeps_what_each_member_carries(grouped: Replicas, kept: list[int]) -> None:
    """Three steps together and two in a smaller population are five alone."""
    population, alone = members(grouped, range(len(SPECS))), members(grouped, kept)
    step(population, grouped, range(3))
    population.keep(kept)
    step(population, grouped, range(3, 5))
    step(alone, grouped, range(5))
    assert population.states.keys() == alone.states.keys()
    for place, expected in alone.states.items():
        torch.testing.assert_close(population.states[place], expected, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(population.flat, alone.flat, rtol=1e-3, atol=1e-5)


def test_each_replica_and_member_carries_its_own(grouped: Replicas) -> None:
    population = members(grouped, range(len(SPECS)))
    step(population, grouped, range(3))
    assert {member for member, _ in population.states} == {0, 2, 3}
    for own in population.states.values():
        assert own.flatten(1).any(1).all()
        assert not torch.equal(own[0], own[1])


def test_a_study_without_groups_refuses_terms_that_read_them(replicas: Replicas) -> None:
    plan = TrainingPlan(epochs=1, batch_size=32)
    with pytest.raises(SpecError, match="reads group: name the sensitive attribute"):
        train_population(
            build_model("linear", replicas.width, 1),
            [Candidate(SPECS[0], (1e-3,))],
            replicas,
            plan,
            lambda outputs, target, tuned: (outputs.mean(-1), lambda other: other),
        )


def test_a_penalty_narrows_the_gap(grouped: Replicas) -> None:
    """On the rows that are trained on, against the plain loss, in both replicas."""
    strong = Part("group_disparity_regression", {"limit": 0.0, "decay": 0.5}, Weighting(weight=20.0))
    population = Members(
        build_model("linear", grouped.width, 1),
        PopulationLoss([SPECS[1], LossSpec((Part("squared"), strong))], sizes=grouped.sizes),
        torch.arange(2),
        torch.tensor([3e-3, 3e-3]),
        grouped.seeds,
        weight_decay=0.0,
        clip=None,
        device=torch.device("cpu"),
    )
    for _ in range(40):
        step(population, grouped, range(10))
    assert grouped.train["group"] is not None
    outputs = population.outputs(grouped.train["features"][:, :160])
    means = torch.stack(
        [
            (outputs * (own := (grouped.train["group"][:, None, :160] == g).float())).sum(-1) / own.sum(-1)
            for g in range(grouped.sizes.groups)
        ]
    )
    plain, fair = (means.amax(0) - means.amin(0)).unbind(1)
    assert (fair < 0.5 * plain).all()
