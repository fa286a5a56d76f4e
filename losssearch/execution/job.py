"""A unit of work: one population, described by plain data, and its execution by a worker."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any, TypeAlias, cast

from losssearch import stopping
from losssearch.data.replicas import Replicas
from losssearch.evaluation import Metric
from losssearch.judging import Demands, MetricJudge
from losssearch.judging.fair import fair_judge
from losssearch.judging.surrogate import surrogate
from losssearch.losses.kept import by_validation
from losssearch.losses.spec import LossSpec
from losssearch.models import ModelFactory, build_model, is_boosted
from losssearch.plugins import Plugin
from losssearch.stopping import one_process
from losssearch.tasks import Predicting, get_task
from losssearch.training import Candidate, Course, Judge, Outcome, TrainingPlan, ended, population_course
from losssearch.training.boosting import train_boosted
from losssearch.training.products import quick_products
from losssearch.training.repeatable import repeatable
from losssearch.training.threads import one_thread
from losssearch.training.user_function import FunctionDraws, FunctionRules, TrainFunction, train_with_function

Draws: TypeAlias = Replicas | FunctionDraws
"""What all jobs of a stage share: replicas, or the seeds of a user's own training function."""


@dataclass(frozen=True)
class Job:
    """A population to train: ``candidates`` are pairs (spec JSON, learning rates, protected).

    ``replicas`` names a shared set of replicas, ``chosen`` those of it that are used (all where empty).
    ``deadline`` (seconds since 1970) ends the training early: results then depend on time. ``overdue`` is when a user's
    training function that has not returned by itself is ended; see `losssearch.training.overdue`.
    ``imports``: the user's own modules, which a worker loads first; an executor's to say, as is ``share``.
    ``demands``: how groups must be treated, where there is a sensitive attribute.
    ``share``: the part of the device, or of a machine's memory, that the worker has; an executor's to say.
    ``refit``: whether what the validation loss has found is kept for a second training on all rows, which counts.
    ``widths``: how many columns each head of the model has; those of all heads of the kind of task where None.
    With ``rules``, ``model`` is a user's training function, and ``trials`` are the numbers that it is told.
    """

    number: int
    replicas: str
    candidates: tuple[tuple[dict[str, Any], tuple[float, ...], bool], ...]
    task: str
    metric: str | Metric
    model: str | ModelFactory | TrainFunction
    plan: TrainingPlan
    hold: bool = False
    device: str = "cpu"
    deadline: float | None = None
    overdue: float | None = None
    demands: Demands | None = None
    rules: FunctionRules | None = None
    trials: tuple[int, ...] = ()
    share: float = 1.0
    imports: tuple[Plugin, ...] = ()
    refit: bool = False
    widths: Mapping[str, int] | None = None


def run_job(job: Job, replicas: Draws, heard: Callable[[float], None] = lambda utility: None) -> list[Outcome]:
    """Train the population of ``job``; one outcome per candidate. ``heard`` receives what `job_course` yields.

    The result depends on the job and its data alone, not on the process that runs it: one thread, and
    all randomness from the seeds of the replicas.
    """
    return ended(job_course(job, replicas), heard)


def job_course(job: Job, replicas: Draws) -> Course:
    """The training of the population of ``job``, as it goes: the best utility so far whenever it has risen.

    Trees, a user's training function, and trainings whose utility is more than the metric give nothing on the way.
    """
    begun = time.monotonic()
    with one_process():
        if isinstance(replicas, FunctionDraws):
            outcomes = _call_function(job, replicas)
        elif job.demands is not None:
            outcomes = ended(_population(job, replicas))
        else:
            outcomes = yield from _population(job, replicas)
    stopping.check()  # whatever was trained may have swallowed the exception of a signal
    seconds = time.monotonic() - begun
    return [replace(outcome, seconds=seconds) for outcome in outcomes]


def _call_function(job: Job, draws: FunctionDraws) -> list[Outcome]:
    assert job.rules is not None  # noqa: S101  (who shares such draws gives rules)
    candidates = [(LossSpec.from_json(spec), rates, safe) for spec, rates, safe in job.candidates]
    return train_with_function(
        cast("TrainFunction", job.model),
        candidates,
        draws,
        job.rules,
        numbers=job.trials,
        device=job.device,
        deadline=job.deadline,
        overdue=job.overdue,
        offer=get_task(job.task).offer,
    )


def _population(job: Job, replicas: Replicas) -> Course:
    factory = cast("str | ModelFactory", job.model)
    with one_thread(), quick_products(), repeatable(job.device):
        if is_boosted(factory):
            return _grow_trees(job, replicas)
        task = get_task(job.task)
        widths = task.widths(replicas.classes) if job.widths is None else job.widths
        shared, listed = task.shared, replicas.listed
        model = build_model(factory, replicas.width, widths, job.device, by_column=shared, listed=listed)
        candidates = [Candidate(LossSpec.from_json(spec), rates, safe) for spec, rates, safe in job.candidates]
        judge = _judge(job, replicas, job.device)
        learned = any(by_validation(candidate.spec) for candidate in candidates)
        return (
            yield from population_course(
                model,
                candidates,
                replicas,
                job.plan,
                judge,
                device=job.device,
                hold=job.hold,
                deadline=job.deadline,
                share=job.share,
                offer=task.offer,
                objective=surrogate(job.metric, job.task) if learned else None,
                refit=job.refit,
                predicting=Predicting.of(task, replicas.classes),
            )
        )


def _grow_trees(job: Job, replicas: Replicas) -> list[Outcome]:
    candidates = [Candidate(LossSpec.from_json(spec), rates, safe) for spec, rates, safe in job.candidates]
    judge = _judge(job, replicas, "cpu")
    model, offer = str(job.model), get_task(job.task).offer
    return train_boosted(
        model, candidates, replicas, job.plan, judge, hold=job.hold, deadline=job.deadline, offer=offer
    )


def _judge(job: Job, replicas: Replicas, device: str) -> Judge:
    plain = MetricJudge(job.metric, job.task, replicas, device, weight=replicas.validation.get("weight"))
    if job.demands is None:
        return plain
    return fair_judge(job.metric, job.task, job.demands, replicas, plain.own_unit, device)
