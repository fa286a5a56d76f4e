"""All that the parts of a study share."""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
import torch

from losssearch.data import Dataset, Partition, draws, make_replicas
from losssearch.data.replicas import Replicas
from losssearch.data.splits import Draw
from losssearch.errors import LossSearchError
from losssearch.evaluation import Metric
from losssearch.evaluation.fairness import Constraint, parse_constraints, promise_factor, z_value
from losssearch.execution import Demands, Executor, Job
from losssearch.losses.spec import LossSpec
from losssearch.models import LoopedModule, ModelFactory, build_model, is_boosted
from losssearch.search.budget import Budget, Timekeeper
from losssearch.search.effort import FIELDS
from losssearch.search.observer import Observer
from losssearch.search.screening import Screen
from losssearch.search.settings import StudySettings, derived_seed
from losssearch.space import SearchSpace
from losssearch.storage.records import TrialRecord
from losssearch.storage.store import Store
from losssearch.tasks import Task
from losssearch.tracking.tracker import Tracker
from losssearch.training import Outcome, TrainingPlan

FRONT_LIMITS = tuple(round(0.01 * step, 2) for step in range(1, 21))
"""Limits on the gap at each of which a front is judged."""

WHOLE = "front"
"""The purpose of draws that train on the whole search part and judge on the confirmation part."""

STEP_SIZE = 60_000_000
"""Weights × rows that one step of a population should hold: enough to keep a core busy, few enough to share out."""


class RankedBy(Protocol):
    """What a study knows of any metric: its name, its unit, and which way is better."""

    @property
    def name(self) -> str:
        """As the user gave it."""
        ...

    @property
    def direction(self) -> str:
        """``maximize`` or ``minimize``."""
        ...

    @property
    def unit(self) -> str:
        """The unit of its values; empty where there is none."""
        ...

    def utility(self, values: float) -> float:
        """A value with the sign at which higher is better."""
        ...


@dataclass(frozen=True)
class Facts:
    """What an exported loss states about the searched data: ``class_prior`` [classes] is None for regression."""

    class_prior: torch.Tensor | None
    target_mean: float = 0.0
    target_scale: float = 1.0
    groups: int = 0


@dataclass(kw_only=True)
class StudyContext(ABC):
    """A study's rules and surroundings; what it measures candidates on is its kinds' own."""

    settings: StudySettings
    task: Task
    metric: RankedBy
    space: SearchSpace
    store: Store
    executor: Executor
    tracker: Tracker
    observer: Observer
    device: str = "cpu"
    chunk: int = 4
    started: float = field(default_factory=time.monotonic)
    seconds: dict[str, float] = field(default_factory=dict)
    shared: set[str] = field(default_factory=set)
    """Names of the sets of draws that the executor already has."""
    keeper: Timekeeper | None = None
    """Keeps the time budget, where there is one."""
    fields: tuple[tuple[int, int], ...] = FIELDS
    """Rounds of the re-evaluation, where no time budget decides."""
    _jobs: int = 0

    def __post_init__(self) -> None:
        settings = self.settings
        if settings.time_budget is not None and self.keeper is None:
            self.keeper = Timekeeper(
                Budget(self.started, settings.time_budget),
                settings.plan,
                workers=self.executor.workers,
                seeds=settings.confirm_seeds,
                menu=len(self.task.menu),
            )

    @abstractmethod
    def screen(self) -> Screen:
        """Make ready for the search, its draws shared, and give what screens its candidates."""

    @abstractmethod
    def share(self, purpose: str, count: int, *, hold: bool = False) -> None:
        """Give the executor fresh draws for one purpose, under its name; with ``hold``, those of the held-out rows."""

    @abstractmethod
    def job(
        self,
        replicas: str,
        candidates: Sequence[tuple[LossSpec, tuple[float, ...], bool]],
        plan: TrainingPlan,
        *,
        hold: bool = False,
        trials: Sequence[int] = (),
    ) -> Job:
        """A population of this study, of the trials with these numbers."""

    @abstractmethod
    def described(self) -> dict[str, Any]:
        """The ``data`` of ``result.json``."""

    @abstractmethod
    def facts(self) -> Facts:
        """What the export of a loss states."""

    def protects(self, trial: TrialRecord) -> bool:
        """Whether a trial of the search is trained to its end whatever others reach."""
        return trial.name == self.task.plain.name

    def hopeless(self, trials: Sequence[TrialRecord]) -> LossSearchError:
        """What to raise where no trial reached anything."""
        reasons = Counter(trial.reason for trial in trials if trial.reason).most_common(1)
        return LossSearchError(
            f"no loss could be trained to the end: {reasons[0][0] if reasons else 'no reason known'}"
        )

    def excess(self, trial: TrialRecord) -> float:
        """How far a trial is beyond the constraints, in units of the limit; at most 0 where it keeps them."""
        return 0.0

    def run(self, jobs: Sequence[Job], until: float | None = None) -> Iterator[tuple[Job, list[Outcome]]]:
        """Train ``jobs``; under a time budget, those that still run at ``until`` (the budget's clock) are cut."""
        if self.keeper is None or until is None:
            return self.executor.run(jobs)
        return self.keeper.run(self.executor, jobs, until)

    def next_number(self) -> int:
        """The number of the next job."""
        self._jobs += 1
        return self._jobs

    def value(self, utility: float) -> float:
        """A utility in the metric's own unit."""
        return utility if self.metric.direction == "maximize" else -utility

    def values(self, outcome: Outcome) -> tuple[float, ...]:
        """The metric that the outcome reached, one value a replica, in its own unit."""
        return tuple(self.value(utility) for utility in outcome.utilities)

    def utilities(self, outcome: Outcome) -> tuple[float, ...]:
        """What contenders are ranked by, one number a replica, larger is better."""
        return outcome.utilities

    @property
    def finalists(self) -> int:
        """How many searched losses go into the confirmation: more than one where the first may break a constraint."""
        return 1


@dataclass(kw_only=True)
class Context(StudyContext):
    """A study on a dataset. ``model`` is what `losssearch.models.build_model` takes."""

    metric: Metric
    dataset: Dataset
    partition: Partition
    model: str | ModelFactory
    rows: dict[str, int] = field(default_factory=dict)
    """Rows of a draw, by part; known once the search has its draws."""

    @cached_property
    def constraints(self) -> tuple[Constraint, ...]:
        """What must hold between the groups."""
        return parse_constraints(self.settings.constraints, self.settings.task)

    def demands(self, *, final: bool) -> Demands | None:
        """What trainings are held to: one standard error in the search, in the end what promises a gap on new rows."""
        settings = self.settings
        if settings.front:
            return Demands(front=settings.front, limits=FRONT_LIMITS, z=0.0)
        if not self.constraints:
            return None
        z = 1.0
        if final:
            pairs = len(self.dataset.groups) * (len(self.dataset.groups) - 1) // 2
            new_rows = len(self.partition.test)
            z = z_value(settings.confidence, pairs) * promise_factor(self.rows["validation"], new_rows)
        return Demands(constraints=settings.constraints, z=z)

    def excess(self, trial: TrialRecord) -> float:
        """See `StudyContext.excess`: the mean over replicas."""
        return _mean(trial.details, 1) if self.constraints and trial.details else 0.0

    def values(self, outcome: Outcome) -> tuple[float, ...]:
        """See `StudyContext.values`; constraints play no part in the metric."""
        if self.constraints and outcome.details:
            return tuple(row[0] for row in outcome.details)
        return super().values(outcome)

    def utilities(self, outcome: Outcome) -> tuple[float, ...]:
        """See `StudyContext.utilities`: the metric's where the constraints are kept over all replicas."""
        if self.constraints and outcome.details and _mean(outcome.details, 1) <= 0:
            return tuple(self.metric.utility(value) for value in self.values(outcome))
        return outcome.utilities

    @property
    def finalists(self) -> int:
        """See `StudyContext.finalists`."""
        return 3 if self.constraints else 1

    def screen(self) -> Screen:
        """See `StudyContext.screen`."""
        settings = self.settings
        replicas = self.replicas("search", settings.replicas)
        self.executor.share("search", replicas)
        self.rows = {"train": replicas.rows, "validation": replicas.validation_features.shape[1]}
        model = build_model(self.model, replicas.features.shape[2], self.task.width(replicas.class_prior.shape[1]))
        weights = sum(torch.Size(shape).numel() for shape in model.shapes.values())
        size = settings.plan.batch_size * weights * len(settings.rates) * settings.replicas
        self.chunk = 1 if isinstance(model, LoopedModule) else max(4, min(16, STEP_SIZE // size))
        if is_boosted(self.model):
            self.chunk = 2  # trees of one candidate gain nothing from those of another but the rungs
        if self.keeper:
            self.keeper.rows, self.keeper.chunk = self.rows["train"], self.chunk
        return Screen(model, replicas, settings.metric, settings.task)

    def share(self, purpose: str, count: int, *, hold: bool = False) -> None:
        """See `StudyContext.share`."""
        held = {"confirmation": self.partition.confirmation, "test": self.partition.test} if hold else None
        self.executor.share(purpose, self.replicas(purpose, count, held))

    def replicas(self, purpose: str, count: int, held: dict[str, npt.NDArray[np.int64]] | None = None) -> Replicas:
        """Fresh draws of the search part for one purpose, encoded."""
        settings = self.settings
        begun = time.monotonic()
        if purpose == WHOLE:  # thresholds and the front are chosen on confirmation, so all of search may train
            seeds = [derived_seed(settings.seed, purpose, index) for index in range(count)]
            drawn = tuple(Draw(self.partition.search, self.partition.confirmation, seed) for seed in seeds)
        else:
            drawn = draws(self.dataset, self.partition.search, seed=settings.seed, count=count, purpose=purpose)
        made = make_replicas(self.dataset, drawn, held=held or {})
        if self.keeper:
            self.keeper.encoding = (time.monotonic() - begun) / count
            self.keeper.draws[purpose] = count
        return made

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
        return Job(
            number=self.next_number(),
            replicas=replicas,
            candidates=tuple((spec.to_json(), rates, protected) for spec, rates, protected in candidates),
            task=self.settings.task,
            metric=self.settings.metric,
            model=self.model,
            plan=plan,
            hold=hold,
            device=self.device,
            trials=tuple(trials),
            demands=self.demands(final=hold),
        )

    def described(self) -> dict[str, Any]:
        """See `StudyContext.described`."""
        dataset = self.dataset
        held = {"confirmation": len(self.partition.confirmation), "test": len(self.partition.test)}
        return {
            "name": dataset.name,
            "rows": self.rows | held,
            "features": len(dataset.schema.columns),
            "fingerprint": dataset.fingerprint,
            "classes": list(dataset.classes),
            "notes": list(dataset.notes),
        } | self._described_groups()

    def _described_groups(self) -> dict[str, Any]:
        dataset, settings = self.dataset, self.settings
        if dataset.group is None:
            return {}
        sizes = np.bincount(dataset.group, minlength=len(dataset.groups)).tolist()
        return {
            "sensitive": list(settings.sensitive),
            "sensitive_as_feature": settings.sensitive_as_feature,
            "groups": dict(zip(dataset.groups, sizes, strict=True)),
        }

    def facts(self) -> Facts:
        """See `StudyContext.facts`: over the search part."""
        target = torch.as_tensor(self.dataset.target[self.partition.search])
        if self.settings.task == "regression":
            mean, scale = float(target.double().mean()), float(target.double().std(correction=0))
            return Facts(None, mean, scale, groups=len(self.dataset.groups))
        counts = torch.bincount(target, minlength=len(self.dataset.classes))
        return Facts(counts / counts.sum(), groups=len(self.dataset.groups))


def _mean(details: Sequence[Sequence[float]], place: int) -> float:
    return sum(row[place] for row in details) / len(details)
