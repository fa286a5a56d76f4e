"""What only a CUDA device can show. Skipped without one; the same rules are held on the CPU by pretended devices."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from losssearch.data import draws, load, make_replicas, partition
from losssearch.data.replicas import Replicas
from losssearch.execution.job import Job, run_job
from losssearch.judging.metric import MetricJudge
from losssearch.losses import terms
from losssearch.losses.spec import LossSpec, Part
from losssearch.models import build_model
from losssearch.models.allocation import is_out_of_memory
from losssearch.tasks import TASKS
from losssearch.training import Candidate, TrainingPlan
from losssearch.training.population_training import PopulationTraining
from tests.regrouped import regrouped

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device; none was found")

DATA = {"binary": "breast_cancer", "multiclass": "wine", "regression": "diabetes"}
METRIC = {"binary": "log_loss", "multiclass": "macro_f1", "regression": "mae"}
PLAN = TrainingPlan(epochs=3, batch_size=32, rungs=(1,), patience=3)


class OnCuda(nn.Module):
    """A module that its factory moves to the device, with a tensor that is neither parameter nor buffer."""

    def __init__(self, features: int, outputs: int) -> None:
        super().__init__()
        self.body = nn.Sequential(nn.Linear(features, 8), nn.Dropout(0.2), nn.Linear(8, outputs)).cuda()
        self.shift = torch.ones(features).cuda()

    def forward(self, x: Tensor) -> Tensor:
        return self.body(x + self.shift)


def replicas(task: str) -> Replicas:
    dataset = load(f"builtin:{DATA[task]}")
    made = make_replicas(dataset, draws(dataset, partition(dataset, seed=0).search, seed=0, count=2, purpose="test"))
    ids = [(own["features"][..., 0] > 0).long() for own in (made.train, made.validation)]
    weight = torch.rand(made.train["target"].shape, generator=torch.Generator().manual_seed(0)) + 0.5
    found = regrouped(made, *ids, count=2)
    return replace(found, train={**found.train, "weight": weight})


def specs(task: str) -> list[LossSpec]:
    fitting = [name for name in sorted(terms) if terms[name].fits(TASKS[task].with_groups().offers)]
    return [LossSpec((Part(name),)) for name in fitting if terms[name].takes_weights]


def job(task: str, model: Any = "mlp") -> Job:
    candidates = tuple((spec.to_json(), (1e-3, 1e-2), False) for spec in specs(task))
    return Job(1, "search", candidates, task, METRIC[task], model, PLAN, hold=True, device="cuda")


@pytest.mark.parametrize("task", DATA)
@pytest.mark.parametrize("model", ["mlp", OnCuda])
def test_the_same_training_gives_the_same_digits(task: str, model: Any) -> None:
    found = [run_job(job(task, model), replicas(task)) for _ in range(3)]
    told = [[(one.state, one.utilities, one.rate, one.rungs, one.learned) for one in outcomes] for outcomes in found]
    assert told[0] == told[1] == told[2]
    assert all(one.state != "failed" for one in found[0])


@pytest.mark.parametrize("task", DATA)
def test_pytorch_itself_sees_no_wait_in_a_step(task: str) -> None:
    given = replicas(task)
    model = build_model("mlp", given.width, TASKS[task].width(given.classes), "cuda")
    judge, device = MetricJudge(METRIC[task], task, given, "cuda"), torch.device("cuda")
    losses = [Candidate(spec, (1e-3,)) for spec in specs(task)]
    made = PopulationTraining(model, losses, given, PLAN, judge, device, None, 1.0, TASKS[task].offer)
    batches = list(made._batches(1, 4))

    def step(number: int) -> None:
        made.members.step(batches[number % 4], made.replicas.facts, progress=0.1, factor=1.0, seed=number)

    step(0)
    torch.cuda.set_sync_debug_mode("error")
    try:
        for number in range(1, 4):
            step(number)
    finally:
        torch.cuda.set_sync_debug_mode("default")


def test_a_users_draws_on_the_device_go_on_as_if_nothing_had_happened() -> None:
    torch.cuda.manual_seed(3)
    before = torch.cuda.get_rng_state()
    run_job(job("regression", OnCuda), replicas("regression"))
    assert torch.equal(torch.cuda.get_rng_state(), before)


def test_a_full_device_says_so_and_is_free_again() -> None:
    with pytest.raises(RuntimeError) as caught:
        torch.empty(1 << 50, dtype=torch.uint8, device="cuda")
    assert is_out_of_memory(caught.value)
