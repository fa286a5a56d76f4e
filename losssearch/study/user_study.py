"""A study whose candidates are trained by a user's own function, on data that only the function knows."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import torch

from losssearch.data.batch import Batch
from losssearch.data.probing import LEAST
from losssearch.data.replicas import Replicas
from losssearch.errors import LossSearchError, ModelError
from losssearch.evaluation.record import Direction
from losssearch.execution import Job
from losssearch.losses.spec import LossSpec
from losssearch.models import build_model
from losssearch.storage.records import TrialRecord, TrialState
from losssearch.study.proposing.screening import Screen
from losssearch.study.settings import derived_seed
from losssearch.study.study_context import StudyContext
from losssearch.tasks import Task, get_kind
from losssearch.training import TrainingPlan
from losssearch.training.handle import Bar
from losssearch.training.user_function import FunctionDraws, FunctionRules, TrainFunction

ROUNDS = ((4, 2), (2, 3))
"""Rounds of the re-evaluation: fewer than on a dataset, because each draw is a training of the user's own model."""

JURY = 3
"""How many losses of the menu must have reached a step before others are held to their median there."""

PROBED = 512, 8
"""Rows and features of the made-up data on which losses are told apart and their scales measured."""


@dataclass(frozen=True)
class NamedMetric:
    """A metric that the user's function computes: of it we know the name, and which way is better."""

    name: str
    direction: Direction
    unit: str = ""
    aims: tuple[tuple[str, float], ...] = ()
    """As `losssearch.evaluation.record.Metric` has them, where the catalogue knows the metric."""

    def utility(self, values: float) -> float:
        """A value with the sign at which higher is better."""
        return values if self.direction == "maximize" else -values


@dataclass(kw_only=True)
class FunctionContext(StudyContext):
    """A study that calls ``function``; ``source`` is its name, ``class_prior`` empty for regression."""

    function: TrainFunction
    source: str
    class_prior: tuple[float, ...] = ()
    threads: int = 1
    fields: tuple[tuple[int, int], ...] = ROUNDS
    chunk: int = 1
    draws: dict[str, int] = field(default_factory=dict)

    def screen(self) -> Screen:
        """See `StudyContext.screen`: on made-up data, as nothing is known of the user's."""
        self.share("search", self.settings.replicas)
        if self.keeper:
            self.keeper.rows, self.keeper.chunk = 1, 1
        probe = _probe(self.settings.task, self.class_prior, derived_seed(self.settings.seed, "probe"))
        model = build_model("mlp", PROBED[1], self.task.width(len(self.class_prior)))
        return Screen(model, probe, None, self.settings.task)

    def share(self, purpose: str, count: int, *, hold: bool = False) -> None:
        """See `StudyContext.share`: seeds alone."""
        seeds = tuple(derived_seed(self.settings.seed, purpose, draw) for draw in range(count))
        self.executor.share(purpose, FunctionDraws(purpose, seeds))
        self.draws[purpose] = count
        if self.keeper:
            self.keeper.draws[purpose] = count

    def job(
        self,
        replicas: str,
        candidates: Sequence[tuple[LossSpec, tuple[float, ...], bool]],
        plan: TrainingPlan,
        *,
        hold: bool = False,
        trials: Sequence[int] = (),
    ) -> Job:
        """See `StudyContext.job`."""
        held_to_it = not all(protected for _, _, protected in candidates)
        rules = FunctionRules(
            sign=self.metric.utility(1.0),
            epochs=plan.epochs,
            facts={name: value.tolist() for name, value in self.facts().items()},
            threads=self.threads,
            bar=self._bar() if held_to_it else (),
        )
        return Job(
            number=self.next_number(),
            replicas=replicas,
            candidates=tuple((spec.to_json(), rates, protected) for spec, rates, protected in candidates),
            task=self.settings.task,
            metric=self.settings.metric,
            model=self.function,
            plan=plan,
            device=self.device,
            rules=rules,
            trials=tuple(trials),
        )

    def protects(self, trial: TrialRecord) -> bool:
        """The whole menu is trained to its end: the others are held to it, and to nothing that depends on timing."""
        return trial.origin == "baseline"

    def _bar(self) -> Bar:
        """By step, the median of what the menu's losses had reached, as a utility."""
        menu = [
            trial
            for trial in self.store.trials(self.settings.study)
            if trial.origin == "baseline" and trial.twin is None and trial.state is TrialState.COMPLETED
        ]
        reached: dict[int, list[float]] = {}
        for trial in menu:
            for step, value in trial.rungs:
                reached.setdefault(step, []).append(self.metric.utility(value))
        return tuple((step, statistics.median(own)) for step, own in sorted(reached.items()) if len(own) >= JURY)

    def described(self) -> dict[str, Any]:
        """See `StudyContext.described`; null for all that only the function knows."""
        return {
            "name": self.source,
            "rows": {"train": None, "validation": None, "test": None},
            "features": None,
            "fingerprint": None,
            "classes": [str(label) for label in range(len(self.class_prior))],
            "notes": [f"measured by the training function {self.source}; losssearch has seen no row of its data"],
        }

    def facts(self) -> Batch:
        """See `StudyContext.facts`; the unit of a target of numbers is the function's own."""
        return {"class_prior": torch.tensor(self.class_prior)} if self.class_prior else {"zero": torch.tensor(0.0)}

    def hopeless(self, trials: Sequence[TrialRecord]) -> LossSearchError:
        """See `StudyContext.hopeless`."""
        failed = [trial for trial in trials if trial.reason]
        last = failed[-1].reason if failed else "no reason known"
        return ModelError(
            f"the training function must train at least one loss to its end; all {len(trials)} trials failed, "
            f"the last one because {last}"
        )


def one_decision(task: Task) -> Task:
    """The task with a menu without what differs only in the decision rule, which is the function's own."""
    kept: dict[tuple[object, ...], Any] = {}
    for baseline in task.menu:
        kept.setdefault(
            (baseline.term, tuple(baseline.fixed.items()), baseline.tunable), replace(baseline, decision="tuned")
        )
    return replace(task, menu=tuple(kept.values()))


def _probe(task: str, class_prior: tuple[float, ...], seed: int) -> Replicas:
    """Made-up rows with as many of each class as the prior says, and a few of each that is rarer than that."""
    generator = torch.Generator().manual_seed(seed)
    rows, width = PROBED
    kind = get_kind(task).target
    if not kind.nominal:
        shape = (1, rows) if kind.columns == 1 else (1, rows, kind.columns)
        target = torch.randn(shape, generator=generator)
        blank = torch.zeros(shape[:1] + shape[2:], dtype=torch.float64)
        facts = {"target_mean": blank, "target_scale": blank + 1, "zero": blank.float()}
    else:
        facts = {"class_prior": torch.tensor([class_prior])}
        target = torch.multinomial(torch.tensor(class_prior), rows, replacement=True, generator=generator)
        least = min(LEAST, rows // (2 * len(class_prior)))
        missing = (least - target.bincount(minlength=len(class_prior))).clamp_min(0)
        rare = torch.arange(len(class_prior)).repeat_interleave(missing)
        target = torch.cat((target[: rows - len(rare)], rare))[None]
    features = torch.randn(1, rows, width, generator=generator)
    rows_made = {"features": features, "target": target}
    return Replicas(rows_made, rows_made, facts, seeds=(seed,), classes=len(class_prior))
