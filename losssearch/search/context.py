"""All that the parts of a study share."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from losssearch.data import Dataset, Partition, draws, make_replicas
from losssearch.data.replicas import Replicas
from losssearch.evaluation import Metric
from losssearch.execution import Executor, Job
from losssearch.losses.spec import LossSpec
from losssearch.models import ModelFactory
from losssearch.search.budget import Budget, Timekeeper
from losssearch.search.observer import Observer
from losssearch.search.settings import StudySettings
from losssearch.space import SearchSpace
from losssearch.storage.store import Store
from losssearch.tasks import Task
from losssearch.tracking.tracker import Tracker
from losssearch.training import Outcome, TrainingPlan


@dataclass
class Context:
    """A study's data, rules and surroundings. ``model`` is what `losssearch.models.build_model` takes."""

    settings: StudySettings
    dataset: Dataset
    partition: Partition
    task: Task
    metric: Metric
    space: SearchSpace
    model: str | ModelFactory
    store: Store
    executor: Executor
    tracker: Tracker
    observer: Observer
    device: str = "cpu"
    chunk: int = 4
    started: float = field(default_factory=time.monotonic)
    seconds: dict[str, float] = field(default_factory=dict)
    shared: set[str] = field(default_factory=set)
    """Names of the sets of replicas that the executor already has."""
    keeper: Timekeeper | None = None
    """Keeps the time budget, where there is one."""
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

    def replicas(self, purpose: str, count: int, held: dict[str, npt.NDArray[np.int64]] | None = None) -> Replicas:
        """Fresh draws of the search part for one purpose, encoded."""
        settings = self.settings
        begun = time.monotonic()
        drawn = draws(self.dataset, self.partition.search, seed=settings.seed, count=count, purpose=purpose)
        made = make_replicas(self.dataset, drawn, held=held or {})
        if self.keeper:
            self.keeper.encoding = (time.monotonic() - begun) / count
            self.keeper.draws[purpose] = count
        return made

    def run(self, jobs: Sequence[Job], until: float | None = None) -> Iterator[tuple[Job, list[Outcome]]]:
        """Train ``jobs``; under a time budget, those that still run at ``until`` (the budget's clock) are cut."""
        if self.keeper is None or until is None:
            return self.executor.run(jobs)
        return self.keeper.run(self.executor, jobs, until)

    def job(
        self,
        replicas: str,
        candidates: Sequence[tuple[LossSpec, tuple[float, ...], bool]],
        plan: TrainingPlan,
        *,
        hold: bool = False,
    ) -> Job:
        """A population of this study."""
        self._jobs += 1
        return Job(
            number=self._jobs,
            replicas=replicas,
            candidates=tuple((spec.to_json(), rates, protected) for spec, rates, protected in candidates),
            task=self.settings.task,
            metric=self.settings.metric,
            model=self.model,
            plan=plan,
            hold=hold,
            device=self.device,
        )

    def value(self, utility: float) -> float:
        """A utility in the metric's own unit."""
        return utility if self.metric.direction == "maximize" else -utility

    def values(self, outcome: Outcome) -> tuple[float, ...]:
        """The outcome's utilities in the metric's own unit."""
        return tuple(self.value(utility) for utility in outcome.utilities)
