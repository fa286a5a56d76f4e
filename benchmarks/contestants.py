"""losssearch, in this process and on Ray, and the plain loop."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from benchmarks.contest import Assignment, Stopwatch
from benchmarks.plain import train_once
from benchmarks.workload import WEIGHT_DECAY, Trial
from losssearch.execution.executor import Executor, InProcessExecutor
from losssearch.execution.job import Job
from losssearch.losses.spec import LossSpec, Part
from losssearch.training import TrainingPlan


def train_population(assignment: Assignment, watch: Stopwatch) -> list[float]:
    """One population after another, in this process."""
    return _run(InProcessExecutor(), assignment, watch)


def train_population_on_ray(assignment: Assignment, watch: Stopwatch) -> list[float]:
    """Populations on the workers of `RayExecutor`."""
    from losssearch.execution.ray import RayExecutor

    executor = RayExecutor(assignment.workers)
    try:
        return _run(executor, assignment, watch)
    finally:
        executor.close()


def train_plainly(assignment: Assignment, watch: Stopwatch) -> list[float]:
    """One trial after another, in this process."""
    torch.set_num_threads(1)
    workload = assignment.workload
    table, width, batch_size, seed = workload.table, workload.width, workload.batch_size, workload.seed
    train_once(table, width, assignment.trials[0], 1, batch_size, seed)
    watch.start()
    found = [train_once(table, width, trial, workload.epochs, batch_size, seed) for trial in assignment.trials]
    watch.stop(len(found))
    return found


def _run(executor: Executor, assignment: Assignment, watch: Stopwatch) -> list[float]:
    trials, size = assignment.trials, assignment.population
    chunks = [trials[start : start + size] for start in range(0, len(trials), size)]
    executor.share("all", assignment.workload.replicas)
    warm = [_job(number, trials[:2], assignment, epochs=1) for number in range(max(1, executor.workers))]
    list(executor.run(warm))
    watch.start()
    done = {
        job.number: outcomes
        for job, outcomes in executor.run(
            [_job(number, chunk, assignment, assignment.workload.epochs) for number, chunk in enumerate(chunks)]
        )
    }
    watch.stop(len(trials))
    return [outcome.utilities[0] for number in sorted(done) for outcome in done[number]]


def _job(number: int, trials: Sequence[Trial], assignment: Assignment, epochs: int) -> Job:
    workload = assignment.workload
    specs = [LossSpec((Part("focal", {"gamma": trial.gamma}),), "fixed").to_json() for trial in trials]
    return Job(
        number=number,
        replicas="all",
        candidates=tuple((spec, (trial.rate,), True) for spec, trial in zip(specs, trials, strict=True)),
        task="binary" if workload.classes == 2 else "multiclass",
        metric="accuracy",
        model="mlp",
        plan=TrainingPlan(epochs, workload.batch_size, patience=epochs, weight_decay=WEIGHT_DECAY),
    )
