"""A unit of work: one population, described by plain data, and how a worker carries it out."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from losssearch.data.replicas import Replicas
from losssearch.evaluation import evaluate, get_metric
from losssearch.losses.spec import LossSpec
from losssearch.models import ModelFactory, build_model
from losssearch.tasks import get_task
from losssearch.training import Candidate, Outcome, TrainingPlan, train_population


@dataclass(frozen=True)
class Job:
    """A population to train: ``candidates`` are pairs (spec JSON, learning rates, protected).

    ``replicas`` names a shared set of replicas, ``chosen`` those of it that are used (all where empty).
    ``deadline`` (seconds since 1970) ends the training early: results then depend on time.
    """

    number: int
    replicas: str
    candidates: tuple[tuple[dict[str, Any], tuple[float, ...], bool], ...]
    task: str
    metric: str
    model: str | ModelFactory
    plan: TrainingPlan
    hold: bool = False
    device: str = "cpu"
    deadline: float | None = None


def run_job(job: Job, replicas: Replicas) -> list[Outcome]:
    """Train the population of ``job``; one outcome a candidate, in order.

    The result depends on the job and its data alone, not on the process that runs it: one thread, and
    all randomness from the seeds of the replicas.
    """
    begun = time.monotonic()
    with one_thread():
        model = build_model(job.model, replicas.width, get_task(job.task).width(replicas.classes))
        candidates = [Candidate(LossSpec.from_json(spec), rates, safe) for spec, rates, safe in job.candidates]
        judge = Judge(job.metric, job.task, replicas, job.device)
        outcomes = train_population(
            model,
            candidates,
            replicas,
            job.plan,
            judge,
            device=job.device,
            hold=job.hold,
            deadline=job.deadline,
        )
    seconds = time.monotonic() - begun
    return [replace(outcome, seconds=seconds) for outcome in outcomes]


@contextmanager
def one_thread() -> Iterator[None]:
    """PyTorch on one thread: sums split over threads round differently, and small products only wait for them."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


class Judge:
    """The metric of a study, as a trainer asks for it: outputs in, utilities and adjustment out."""

    def __init__(self, metric: str, task: str, replicas: Replicas, device: str = "cpu") -> None:
        self.metric = get_metric(metric, task)
        self._prior = replicas.class_prior.to(device)[:, None] if replicas.class_prior.shape[1] else None
        self._mean = replicas.target_mean.to(device)[:, None, None] if task == "regression" else None
        self._scale = replicas.target_scale.to(device)[:, None, None] if task == "regression" else None

    def __call__(self, outputs: Tensor, target: Tensor, tuned: Tensor) -> tuple[Tensor, Callable[[Tensor], Tensor]]:
        """See `losssearch.training.Evaluate`; predictions are judged in the target's own unit."""
        values, adjustment = evaluate(
            self.metric, self._own_unit(outputs), self._own_unit(target[:, None]), tuned=tuned, class_prior=self._prior
        )
        return self.metric.utility(values), lambda other: adjustment.apply(self._own_unit(other))

    def _own_unit(self, values: Tensor) -> Tensor:
        return values if self._scale is None or self._mean is None else values * self._scale + self._mean
