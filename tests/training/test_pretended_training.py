"""Whole trainings on a pretended device: they run there, and come out as on the CPU."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from losssearch.data import draws, load, make_replicas, partition
from losssearch.data.replicas import Replicas
from losssearch.execution.job import Job, run_job
from losssearch.judging.fair import Demands
from losssearch.losses.tape import Tape
from losssearch.training import TrainingPlan
from tests.pretended import DEVICE, Pretended
from tests.regrouped import regrouped

PLAN = TrainingPlan(epochs=2, batch_size=64, rungs=(1,), patience=3, clip=0.8)
FAIR = Demands(constraints=("demographic_parity_difference <= 0.1",))
FRONT = Demands(front="demographic_parity_difference", limits=(0.05, 0.2), z=0.0)
TERMS = {
    "breast_cancer": ("binary", ("focal", "soft_f1", "group_dro")),
    "wine": ("multiclass", ("cross_entropy", "ldam")),
    "diabetes": ("regression", ("huber", "general_robust", "group_dro_regression")),
}


class DropNet(nn.Module):
    """Buffers that training moves, and dropout."""

    def __init__(self, features: int, outputs: int) -> None:
        super().__init__()
        self.body = nn.Sequential(nn.BatchNorm1d(features), nn.Linear(features, 8), nn.ReLU(), nn.Linear(8, outputs))

    def forward(self, x: Tensor) -> Tensor:
        return self.body(x)


@pytest.fixture(autouse=True)
def unrecorded(monkeypatch: pytest.MonkeyPatch) -> None:
    """A recorded loss knows tensors by their memory, which on this device is none."""
    monkeypatch.setattr(Tape, "__call__", lambda self, function, *inputs: torch.no_grad()(function)(*inputs))


def grouped(name: str) -> Replicas:
    dataset = load(f"builtin:{name}")
    parts = partition(dataset, seed=0)
    drawn = draws(dataset, parts.search, seed=0, count=2, purpose="test")
    made = make_replicas(dataset, drawn, held={"test": parts.test})
    ids = [(own["features"][..., 0] > 0).long() for own in (made.train, made.validation)]
    return regrouped(made, *ids, count=2)


@pytest.mark.parametrize(
    ("data", "metric", "model", "demands"),
    [
        ("breast_cancer", "log_loss", "mlp", None),
        ("breast_cancer", "f1", "mlp", FAIR),
        ("breast_cancer", "f1", "linear", FRONT),
        ("wine", "macro_f1", "residual_mlp", None),
        ("diabetes", "mae", DropNet, None),
    ],
)
def test_a_training_on_a_device_comes_out_as_on_the_cpu(
    data: str, metric: str, model: Any, demands: Demands | None
) -> None:
    task, names = TERMS[data]
    candidates = tuple(({"parts": [{"term": name}]}, (1e-3, 1e-2), False) for name in names)
    job = Job(1, "search", candidates, task, metric, model, PLAN, hold=True, demands=demands)
    given = grouped(data)
    here = run_job(job, given)
    with Pretended():
        there = run_job(replace(job, device=str(DEVICE)), given)
    for found, expected in zip(there, here, strict=True):
        assert (found.state, found.rate, found.best_epochs) == (expected.state, expected.rate, expected.best_epochs)
        assert found.learned.keys() == expected.learned.keys()
        for name, kept in found.learned.items():
            np.testing.assert_allclose(kept, expected.learned[name], rtol=1e-4, atol=1e-5)
        for name in ("utilities", "rungs", "details"):
            np.testing.assert_allclose(getattr(found, name), getattr(expected, name), rtol=1e-4, atol=1e-5)
        assert found.held.keys() == expected.held.keys()
        for name, outputs in found.held.items():
            np.testing.assert_allclose(outputs, expected.held[name], rtol=1e-3, atol=1e-3)
