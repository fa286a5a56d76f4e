"""Members whose models start anew in mid-training: what goes back, what stays, and what counts afterwards."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from losssearch.data import draws, load, make_replicas, partition
from losssearch.data.batch import at_rows
from losssearch.data.replicas import Replicas
from losssearch.judging.metric import MetricJudge
from losssearch.losses.compose import ComposedLoss
from losssearch.losses.population import PopulationLoss
from losssearch.losses.spec import LossSpec
from losssearch.models import build_model
from losssearch.training import Candidate, Outcome, TrainingPlan, train_population
from losssearch.training.adam import StackedAdam
from losssearch.training.anew import Anew
from losssearch.training.averaging import Average
from losssearch.training.members import Members
from losssearch.training.restarts import Restarts

BATCH = 16
PLAIN, EARLY, LATE, TWIN = (
    LossSpec.from_json({"parts": [part]})
    for part in (
        {"term": "binary_cross_entropy"},
        {"term": "identify", "at": 0.3, "factor": 5.0},
        {"term": "identify", "at": 0.6, "factor": 9.0},
        {"term": "biased_twin", "at": 0.5},
    )
)


@pytest.fixture(scope="module")
def cancer() -> Replicas:
    """Two draws of a small table of two classes."""
    dataset = load("builtin:breast_cancer")
    parts = partition(dataset, seed=0)
    return make_replicas(dataset, draws(dataset, parts.search, seed=0, count=2, purpose="test"))


def normed(features: int, outputs: int) -> nn.Module:
    return nn.Sequential(nn.BatchNorm1d(features), nn.Linear(features, outputs))


def members_of(replicas: Replicas, *specs: LossSpec, model: Any = "mlp", **settings: Any) -> Members:
    return Members(
        build_model(model, replicas.width, 1),
        PopulationLoss(specs, sizes=replicas.sizes),
        torch.arange(len(specs)),
        torch.tensor([1e-2] * len(specs)),
        replicas.seeds,
        **{"weight_decay": 0.1, "clip": None, "device": torch.device("cpu"), "average": 0.8, **settings},
    )


def stepped(population: Members, replicas: Replicas, number: int, of: int = 10) -> None:
    rows = slice(BATCH * number, BATCH * number + BATCH)
    index = torch.arange(rows.start, rows.stop).expand(len(replicas.seeds), -1)
    population.restart(number / of, epoch=number + 1)
    batch = {**at_rows(replicas.train, rows), "index": index}
    population.step(batch, replicas.facts, progress=number / of, factor=1 - 0.9 * number / of, seed=number)


def test_adam_starts_anew_for_some_and_stays_as_it_is_for_others() -> None:
    draw = torch.Generator().manual_seed(0)
    start, rates, decay = torch.randn(2, 3, 5, generator=draw), torch.tensor([0.1, 0.02, 0.3]), torch.full((5,), 0.1)
    gradients = torch.randn(9, 2, 3, 5, generator=draw)
    whole, undisturbed, fresh = (StackedAdam(start.clone(), rates, decay, clip=0.5) for _ in range(3))
    anew = None
    for step, gradient in enumerate(gradients):
        if step == 4:
            whole.parameters[:, 1:] = start[:, 1:]
            whole.restart(torch.tensor([1, 2]))
        if step >= 4:
            anew = Anew(torch.tensor([1, 2]), torch.full((2,), step - 3.0, dtype=torch.float64))
            fresh.step(gradient, 1 - step / 10)
        whole.step(gradient, 1 - step / 10, anew)
        undisturbed.step(gradient, 1 - step / 10)
    assert torch.equal(whole.parameters[:, 0], undisturbed.parameters[:, 0])
    torch.testing.assert_close(whole.parameters[:, 1:], fresh.parameters[:, 1:], rtol=1e-5, atol=1e-6)


def test_averages_start_anew_for_some_and_stay_as_they_are_for_others() -> None:
    draw = torch.Generator().manual_seed(0)
    weights, buffers = torch.randn(6, 2, 3, 5, generator=draw), torch.randn(6, 2, 3, 4, generator=draw)
    whole, undisturbed, fresh = (Average(weights[0], {"mean": buffers[0]}, 0.8) for _ in range(3))
    for step in range(6):
        steps = torch.full((1,), step - 2.0, dtype=torch.float64)
        whole.step(weights[step], {"mean": buffers[step]}, Anew(torch.tensor([1]), steps) if step >= 3 else None)
        undisturbed.step(weights[step], {"mean": buffers[step]})
        if step >= 3:
            fresh.step(weights[step], {"mean": buffers[step]})
    for found, same, anew in (
        (whole.weights, undisturbed.weights, fresh.weights),
        (whole.buffers["mean"], undisturbed.buffers["mean"], fresh.buffers["mean"]),
    ):
        assert torch.equal(found[:, [0, 2]], same[:, [0, 2]])
        torch.testing.assert_close(found[:, 1], anew[:, 1])
        assert not torch.allclose(found[:, 1], same[:, 1])


def test_who_has_started_anew_counts_steps_of_its_own_through_a_rung() -> None:
    restarts = Restarts([PLAIN, LATE, EARLY], torch.zeros(2, 1, 3), {})
    found = []
    for number in range(8):
        if number == 5:
            restarts.keep([2, 1], torch.tensor([2, 1]))
        due = restarts.due(number / 10)
        anew = restarts.stepped()
        found.append(
            (due, None if anew is None else dict(zip(anew.members.tolist(), anew.steps.tolist(), strict=True)))
        )
    nobody = ([], None)
    assert found[:5] == [nobody, nobody, nobody, ([2], {2: 1.0}), ([], {2: 2.0})]
    assert found[5:] == [([], {0: 3.0}), ([1], {0: 4.0, 1: 1.0}), ([], {0: 5.0, 1: 2.0})]


@pytest.mark.parametrize("model", ["mlp", normed], ids=["stacked", "with buffers"])
@pytest.mark.parametrize("at_once", [3, 1])
def test_the_model_goes_back_and_the_loss_stays(cancer: Replicas, model: Any, at_once: int) -> None:
    population = members_of(cancer, PLAIN, EARLY, TWIN, model=model, at_once=at_once)
    start = population.flat.clone()
    held = {name: value.clone() for name, value in population.buffers.items()}
    for number in range(3):
        stepped(population, cancer, number)
        utility = torch.full((2, 3), 1.0 - number, dtype=torch.float64)
        population.record(utility, number + 1, patience=1)
    before, kept = population.flat.clone(), {key: own.clone() for key, own in population.states.items()}
    assert population.stopped(3, patience=1).tolist() == [True, False, False]  # those to start anew go on
    population.restart(0.3, epoch=4)
    assert torch.equal(population.flat[:, 1], start[:, 1])
    assert torch.equal(population.flat[:, [0, 2]], before[:, [0, 2]])
    for name, value in population.buffers.items():
        assert torch.equal(value[:, 1], held[name][:, 1])
    assert population.best.tolist() == [[1.0, -torch.inf, 1.0]] * 2
    assert population.best_epoch.tolist() == [[1, 3, 1]] * 2
    assert population.standing().tolist() == [1.0] * 3
    assert not torch.equal(population.scores(), population.standing())
    for key, own in population.states.items():
        assert torch.equal(own, kept[key])
        assert bool(own.any())
    flat = population.flat.clone()
    population.restart(0.3, epoch=4)  # once
    assert torch.equal(population.flat, flat)
    stepped(population, cancer, 3)
    assert population.average is not None
    torch.testing.assert_close(population.average.weights[:, 1], population.flat[:, 1])
    assert not torch.allclose(population.average.weights[:, 0], population.flat[:, 0])


def test_a_loop_of_ones_own_that_starts_anew_where_the_loss_says_trains_the_same_model(cancer: Replicas) -> None:
    """PyTorch's AdamW, and a composed loss."""
    population = members_of(cancer, EARLY, model="linear", average=None)
    weight, bias = (value[0, 0].clone() for value in population.split(population.flat)[0].values())

    def begun() -> tuple[nn.Linear, torch.optim.Optimizer]:
        model = nn.Linear(cancer.width, 1)
        with torch.no_grad():
            model.weight.copy_(weight.view_as(model.weight))
            model.bias.copy_(bias.view_as(model.bias))
        decayed = [{"params": [model.weight]}, {"params": [model.bias], "weight_decay": 0.0}]
        return model, torch.optim.AdamW(decayed, lr=1e-2, weight_decay=0.1)

    loss = ComposedLoss.of_facts(EARLY, {}, cancer.sizes)
    (model, optimiser), restarts = begun(), list(loss.restart_at)
    train = at_rows(cancer.train, slice(0, 10 * BATCH))
    for number in range(10):
        if restarts and number / 10 >= restarts[0]:
            model, optimiser = begun()
            del restarts[0]
        optimiser.param_groups[0]["lr"] = optimiser.param_groups[1]["lr"] = 1e-2 * (1 - 0.09 * number)
        rows = slice(BATCH * number, BATCH * number + BATCH)
        optimiser.zero_grad()
        output = model(train["features"][0, rows]).flatten()
        index = torch.arange(rows.start, rows.stop)
        loss(output, train["target"][0, rows], index=index, progress=number / 10).backward()
        optimiser.step()
        stepped(population, cancer, number)
    for found, own in zip(population.split(population.flat)[0].values(), (model.weight, model.bias), strict=True):
        torch.testing.assert_close(found[0, 0].flatten(), own.detach().flatten(), rtol=1e-4, atol=1e-5)


def trained(
    replicas: Replicas, *specs: LossSpec, judge: Any = None, model: Any = "mlp", **settings: Any
) -> list[Outcome]:
    plan = TrainingPlan(**{"epochs": 10, "batch_size": 32, "patience": 10, **settings})
    candidates = [Candidate(spec, (3e-3, 3e-2), protected=True) for spec in specs]
    judge = judge or MetricJudge("log_loss", "binary", replicas)
    return train_population(build_model(model, replicas.width, 1), candidates, replicas, plan, judge, hold=True)


@pytest.mark.parametrize("settings", [{}, {"rungs": (2, 5), "average": 0.9}], ids=["whole", "rungs and averages"])
def test_alone_is_as_in_a_population(cancer: Replicas, settings: dict[str, Any]) -> None:
    specs = [PLAIN, EARLY, LATE, TWIN]
    together = trained(cancer, *specs, **settings)
    for spec, outcome in zip(specs, together, strict=True):
        (alone,) = trained(cancer, spec, **settings)
        assert (alone.state, alone.rate, alone.best_epochs) == (outcome.state, outcome.rate, outcome.best_epochs)
        assert alone.utilities == pytest.approx(outcome.utilities, rel=1e-5)
    assert len({outcome.utilities for outcome in together}) == len(specs)


def test_neighbours_that_start_anew_change_nothing_of_a_member(cancer: Replicas) -> None:
    """To the bit, among as many others that do not."""
    others = [LossSpec.from_json({"parts": [{"term": "focal", "gamma": gamma}]}) for gamma in (1.0, 2.0, 3.0)]
    plain, *_ = trained(cancer, PLAIN, EARLY, LATE, TWIN, average=0.9)
    same, *_ = trained(cancer, PLAIN, *others, average=0.9)
    assert (plain.utilities, plain.rate) == (same.utilities, same.rate)


def falling(calls: list[int]) -> Callable[[Tensor, Tensor, Tensor], tuple[Tensor, Callable[[Tensor], Tensor]]]:
    """A judge by which every epoch is worse than the one before; it keeps how many members it has seen."""

    def judge(outputs: Tensor, target: Tensor, tuned: Tensor) -> tuple[Tensor, Callable[[Tensor], Tensor]]:
        calls.append(outputs.shape[1])
        return -torch.full(outputs.shape[:2], float(len(calls))), lambda other: other

    return judge


def test_only_epochs_after_the_start_anew_count_and_no_patience_ends_a_training_before(cancer: Replicas) -> None:
    calls: list[int] = []
    plain, early, late = trained(cancer, PLAIN, EARLY, LATE, judge=falling(calls), patience=2)
    assert [own.best_epochs for own in (plain, early, late)] == [(1, 1), (4, 4), (7, 7)]
    assert [own.utilities for own in (plain, early, late)] == [(-1.0, -1.0), (-4.0, -4.0), (-7.0, -7.0)]
    assert len(calls) == 9 + 1  # two epochs of patience after the last one started anew; and the held outputs


def test_a_rung_knows_what_a_member_reached_before_it_started_anew(cancer: Replicas) -> None:
    """After epoch 4, when its model is new, it stands as well as the plain loss, and is not dropped for being new."""
    calls: list[int] = []
    _, early = trained(cancer, PLAIN, EARLY, judge=falling(calls), rungs=(4,))
    assert early.rungs == ((4, -1.0),)
    assert early.utilities == (-4.0, -4.0)
    assert early.state == "completed"
