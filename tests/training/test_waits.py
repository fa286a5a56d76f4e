"""What a device is waited for, counted on a pretended one: nothing in a step, one reading for each epoch and rung."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from functools import cache
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from losssearch.data import draws, load, make_replicas, partition
from losssearch.data.batch import Batch
from losssearch.data.replicas import Replicas
from losssearch.errors import SpecError
from losssearch.judging.metric import MetricJudge
from losssearch.losses import terms
from losssearch.losses.compose import ComposedLoss
from losssearch.losses.kept import by_validation
from losssearch.losses.reduction import Reduction
from losssearch.losses.schedule import Scheduled
from losssearch.losses.spec import LossSpec, Part
from losssearch.losses.tape import Tape
from losssearch.losses.weighting import Weighting
from losssearch.models import build_model
from losssearch.tasks import TASKS
from losssearch.training import Candidate, TrainingPlan
from losssearch.training.population_training import PopulationTraining
from losssearch.training.summary import summary
from tests.pretended import DEVICE, Pretended
from tests.regrouped import regrouped, unweighted

DATA = {"binary": "breast_cancer", "multiclass": "wine", "regression": "diabetes"}
METRIC = {"binary": "log_loss", "multiclass": "log_loss", "regression": "mae"}
PLAN = TrainingPlan(epochs=3, batch_size=32, rungs=(1,), patience=3, clip=0.8)


class Net(nn.Module):
    def __init__(self, features: int, outputs: int) -> None:
        super().__init__()
        self.body = nn.Sequential(nn.Linear(features, 4), nn.Tanh(), nn.Linear(4, outputs))

    def forward(self, x: Tensor) -> Tensor:
        return self.body(x)


@pytest.fixture(autouse=True)
def unrecorded(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each step calls the losses themselves: a recorded one knows tensors by their memory, which here is none."""
    monkeypatch.setattr(Tape, "__call__", lambda self, function, *inputs: torch.no_grad()(function)(*inputs))


@cache
def grouped(task: str) -> Replicas:
    dataset = load(f"builtin:{DATA[task]}")
    made = make_replicas(dataset, draws(dataset, partition(dataset, seed=0).search, seed=0, count=2, purpose="test"))
    features = [own["features"] for own in (made.train, made.validation)]
    found = regrouped(made, *((own[..., 0] > 0).long() + (own[..., 1] > 0).long() for own in features), count=3)
    weight = torch.rand(made.train["target"].shape, generator=torch.Generator().manual_seed(0)) + 0.5
    return replace(found, train={**found.train, "weight": weight})


def fitting(task: str) -> list[str]:
    return [name for name in sorted(terms) if terms[name].fits(TASKS[task].with_groups().offers)]


def candidates(task: str, *, weighed: bool) -> list[Candidate]:
    """Every term that the task may use, and each kind of weighting and of reduction."""
    specs = [spec for name in fitting(task) if not by_validation(spec := LossSpec((Part(name),)))]
    plain = TASKS[task].plain.term
    specs += [
        LossSpec((Part(plain, {}, Weighting(weight=Scheduled.of("linear", start=1.0, end=0.5))),)),
        LossSpec((Part(plain, {}, Weighting("uncertainty")),)),
        LossSpec((Part(plain, {}, Weighting(), Reduction("cvar", share=0.5)),)),
    ]
    if weighed:
        specs = [spec for spec in specs if all(can_weigh(part) for part in spec.parts)]
    return [Candidate(spec, (1e-3,)) for spec in specs]


def can_weigh(part: Part) -> bool:
    try:
        part.term.require_weights()
    except SpecError:
        return False
    return True


def training(task: str, model: Any = "mlp", *, weighed: bool = False) -> PopulationTraining:
    given = grouped(task) if weighed else unweighted(grouped(task))
    built = build_model(model, given.width, TASKS[task].width(given.classes))
    judge = MetricJudge(METRIC[task], task, given, str(DEVICE))
    offer = TASKS[task].offer
    return PopulationTraining(built, candidates(task, weighed=weighed), given, PLAN, judge, DEVICE, None, 1.0, offer)


def take_step(made: PopulationTraining, batch: Batch, number: int) -> None:
    made.members.step(batch, made.replicas.facts, progress=number / 10, factor=1.0, seed=number)


def counted(waits: Counter[str], act: Callable[[], object]) -> Counter[str]:
    waits.clear()
    act()
    return Counter(waits)


@pytest.mark.parametrize(
    ("task", "model", "weighed"),
    [*((task, "mlp", weighed) for task in DATA for weighed in (False, True)), ("regression", Net, False)],
)
def test_a_step_waits_for_nothing(task: str, model: Any, weighed: bool) -> None:
    """But the first, which brings the losses' numbers to the device, whatever their number; and those of formulas."""
    with Pretended() as device:
        made = training(task, model, weighed=weighed)
        batches = list(made._batches(1, 2))
        assert counted(device.waits, lambda: take_step(made, batches[0], 0)) == {"to the device": 4}
        assert not counted(device.waits, lambda: take_step(made, batches[1], 1))
        assert not counted(device.waits, lambda: made.members.outputs(made.replicas.validation["features"]))


def test_an_epoch_and_its_rung_read_the_device_once() -> None:
    with Pretended() as device:
        made = training("binary")
        take_step(made, next(made._batches(1, 1)), 0)
        members = made.members
        utility, _ = made._evaluate(members.outputs(made.replicas.validation["features"]))
        assert not counted(device.waits, lambda: members.record(utility, 1, PLAN.patience, utility[..., None]))

        def decide() -> None:
            made.state, made.epoch = summary(members, 1, PLAN.patience), 1
            made._rung(1)

        before = len(members.candidate)
        waits = counted(device.waits, decide)
        assert len(made.members.candidate) < before
        # Who stays, who of them is tuned, and what their losses learn.
        assert waits == {"from the device": 1, "to the device": 3}
        rest = sorted(set(made.members.candidate.tolist()))
        assert not counted(device.waits, lambda: made._finish(rest, "completed", hold=False))
        rest = sorted(set(made.members.candidate.tolist()))
        assert not counted(device.waits, lambda: made._finish(rest, "completed", hold=False))


@pytest.mark.parametrize(("task", "name"), [(task, name) for task in DATA for name in fitting(task)])
def test_a_composed_loss_waits_for_nothing(task: str, name: str) -> None:
    """With a schedule, whose progress changes at every call."""
    given = grouped(task)
    spec = LossSpec((Part(name, {}, Weighting(weight=Scheduled.of("linear", start=1.0, end=0.5))),))
    with Pretended() as device:
        facts = {name: value[0] for name, value in given.facts.items()}
        loss = ComposedLoss.of_facts(spec, facts, given.sizes, TASKS[task].offer).to(DEVICE)
        width = TASKS[task].width(given.classes)
        output = torch.zeros((32, width) if width > 1 else 32, device=DEVICE).requires_grad_()
        batch = [given.train[name][0, :32].to(DEVICE) for name in ("target", "group", "features")]
        index = torch.arange(32).to(DEVICE) if loss._by_row else None

        def call() -> None:
            loss(output, batch[0], group=batch[1], features=batch[2], progress=0.25, index=index).backward()

        assert not counted(device.waits, call)
