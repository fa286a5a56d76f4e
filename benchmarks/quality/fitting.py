"""The training that everybody gets: same model, epochs, rates, draws and seeds, whatever the loss.

A loss's learning rate is the one of `RATES` with the best validation value, the worse half of the rates being dropped
after a fifth and after a half of the epochs; training stops early on validation; then
threshold, temperature, prior shift or shift are tuned on validation, but for the one loss called plain.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from benchmarks.quality import fairly
from benchmarks.quality.problem import Problem
from losssearch.data.replicas import Replicas
from losssearch.evaluation import Difference, paired_difference
from losssearch.execution.job import Job, run_job
from losssearch.losses.spec import LossSpec
from losssearch.models import build_model
from losssearch.study.proposing.screening import Screen
from losssearch.training import RATES, Outcome, default_plan
from losssearch.training.plan import TrainingPlan

MODEL = "mlp"
TOGETHER = 12
"""Losses that are trained as one population: more would only cost memory."""
RESAMPLES = 300


@dataclass(frozen=True, eq=False)
class Fitted:
    """A method after its final training: adjusted outputs on the test rows ``[seeds, rows(, classes)]``."""

    outputs: NDArray[np.float32]
    validation: tuple[float, ...]
    rate: float | None = None
    epochs: int = 0
    best_epochs: tuple[int, ...] = ()
    """The epoch that counts, one per seed, out of ``most``."""
    most: int = 0

    def values(self, problem: Problem) -> list[float]:
        """The metric on the test rows in its own unit, one value per seed."""
        outputs = torch.as_tensor(self.outputs)
        target = torch.as_tensor(problem.test_target).expand(len(outputs), -1)
        return [float(value) for value in problem.metric(outputs, target)]

    def groups(self, problem: Problem) -> dict[str, Any]:
        """With a constraint between groups: the metric without it and the gap, one value per seed."""
        measure = problem.metric.function
        if not isinstance(measure, fairly.HeldTo):
            return {}
        outputs = torch.as_tensor(self.outputs)
        target = torch.as_tensor(problem.test_target).expand(len(outputs), -1)
        gaps = measure.gap(outputs, target).tolist()
        kept = [measure.constraint.met(gap) for gap in gaps]
        return {"unlimited": measure.metric(outputs, target).tolist(), "gaps": gaps, "kept": kept}


def plan_for(replicas: Replicas) -> TrainingPlan:
    """The product's default plan for a number of rows."""
    return default_plan(replicas.train["features"].shape[1], classes=replicas.classes)


def scaled(problem: Problem, replicas: Replicas, specs: Sequence[LossSpec]) -> list[LossSpec]:
    """The losses with gradients of one size at initialisation, as the product has them."""
    model = build_model(MODEL, replicas.width, problem.task.width(replicas.classes))
    metric = None if problem.metric.cells else problem.metric.name
    return [found.spec for found in Screen(model, replicas, metric, problem.task.kind)(specs)]


def train(
    problem: Problem,
    replicas: Replicas,
    specs: Sequence[LossSpec],
    plan: TrainingPlan,
    *,
    rates: Sequence[Sequence[float]] | None = None,
    hold: bool = False,
    protected: bool = False,
    limited: bool = True,
) -> list[Outcome]:
    """Train losses as populations; one outcome a loss, in order. Unless ``limited``, no limit on a gap is minded."""
    rates = rates or [RATES] * len(specs)
    outcomes: list[Outcome] = []
    for first in range(0, len(specs), TOGETHER):
        chosen = zip(specs[first : first + TOGETHER], rates[first : first + TOGETHER], strict=True)
        job = Job(
            number=first,
            replicas="",
            candidates=tuple((spec.to_json(), tuple(own), protected) for spec, own in chosen),
            task=problem.task.kind,
            metric=problem.metric.name,
            model=MODEL,
            plan=plan,
            hold=hold,
            demands=fairly.demands(problem.scenario) if limited else None,
        )
        outcomes += run_job(job, replicas)
    return outcomes


def fit_all(problem: Problem, losses: Mapping[str, LossSpec], seeds: int) -> dict[str, Fitted | str]:
    """The final training of every method's loss; a sentence in place of one that could not be trained."""
    replicas = problem.replicas("final", seeds, hold=True)
    unique = list(dict.fromkeys(losses.values()))
    specs = scaled(problem, replicas, unique)
    found: dict[LossSpec, Outcome] = {}
    for limited in (True, False):
        chosen = [spec for spec in specs if (problem.constraint is None or spec.decision == "tuned") is limited]
        plan = plan_for(replicas)
        outcomes = train(problem, replicas, chosen, plan, hold=True, protected=True, limited=limited)
        found |= zip(chosen, outcomes, strict=True)
    return {name: _fitted(problem, found[spec]) for name, spec in losses.items()}


def _fitted(problem: Problem, outcome: Outcome) -> Fitted | str:
    if outcome.state != "completed":
        return outcome.reason or outcome.state
    validation = tuple(float(problem.metric.utility(utility)) for utility in outcome.utilities)
    if problem.constraint and outcome.details:
        validation = tuple(fairly.of_details(problem.metric, problem.constraint, outcome.details))
    return Fitted(
        np.asarray(outcome.held["test"]), validation, outcome.rate, outcome.epochs, outcome.best_epochs, outcome.most
    )


def compare(problem: Problem, ours: Fitted, other: Fitted) -> dict[str, Any]:
    """Ours less the other on the test rows, in utility: above zero, ours is better."""
    if ours.outputs.shape == other.outputs.shape:
        found = paired_difference(
            problem.metric,
            torch.as_tensor(ours.outputs),
            torch.as_tensor(other.outputs),
            torch.as_tensor(problem.test_target),
            resamples=RESAMPLES,
            seed=problem.repeat,
        )
        return _as_json(found)
    gap = np.mean(ours.values(problem)) - np.mean(other.values(problem))
    return {"difference": float(gap if problem.metric.direction == "maximize" else -gap)}


def _as_json(found: Difference) -> dict[str, Any]:
    return {
        "difference": found.difference,
        "standard_error": found.standard_error,
        "interval": list(found.interval),
    }
