"""What every study shares, whatever it measures candidates on."""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from losssearch.data.batch import Batch
from losssearch.errors import LossSearchError, ModelError
from losssearch.execution import Executor, Heard, Job
from losssearch.losses.spec import LossSpec
from losssearch.space import SearchSpace
from losssearch.storage.records import TrialRecord
from losssearch.storage.store import Store
from losssearch.study.budget import Budget, Timekeeper
from losssearch.study.observer import Observer, Population
from losssearch.study.proposing.screening import NO_GRADIENT, Screen
from losssearch.study.settings import FIELDS, StudySettings
from losssearch.tasks import Task
from losssearch.tracking.tracker import Tracker
from losssearch.training import Outcome, TrainingPlan

NOT_FINITE = ("diverged", NO_GRADIENT)
"""How reasons begin with which all trials fail where outputs or data are not finite."""


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
        """The unit of its values; empty if there is none."""
        ...

    def utility(self, values: float) -> float:
        """A value with the sign at which higher is better."""
        ...


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
    notes: list[str] = field(default_factory=list)
    """What was said of the study and how it went, for its result: the same whenever it is run."""
    command: str = ""
    """What does the study again, for its report."""
    run_notes: list[str] = field(default_factory=list)
    """All that was said in this run, of workers and devices too."""
    _jobs: int = 0

    def __post_init__(self) -> None:
        settings = self.settings
        self.executor.began = self._began
        if settings.time_budget is not None and self.keeper is None:
            self.keeper = Timekeeper(
                Budget(self.started, settings.time_budget),
                settings.plan,
                workers=self.executor.workers,
                seeds=settings.confirm_seeds,
                menu=len(self.task.menu),
                trainings=2 if self.space.learns_by_validation else 1,
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
    def facts(self) -> Batch:
        """What the searched data amount to, for the export of a loss; see `losssearch.data.facts`."""

    @property
    def groups(self) -> int:
        """Columns of what losses read as the group: one per group, 1 for an attribute that is a number, 0 without."""
        return 0

    def protects(self, trial: TrialRecord) -> bool:
        """Whether a trial of the search is trained to its end whatever others reach."""
        return trial.name == self.task.plain.name

    def hopeless(self, trials: Sequence[TrialRecord]) -> LossSearchError:
        """What to raise where no trial reached anything."""
        reasons = Counter(trial.reason for trial in trials if trial.reason).most_common(1)
        reason = reasons[0][0] if reasons else "no reason known"
        hint = "; see whether the model puts out finite numbers for these data" * reason.startswith(NOT_FINITE)
        return ModelError(f"no loss could be trained to the end: {reason}{hint}")

    def excess(self, trial: TrialRecord) -> float:
        """How far a trial is beyond the constraints, in units of the limit; at most 0 where it keeps them."""
        return 0.0

    def run(
        self, jobs: Iterable[Job], until: float | None = None, heard: Heard | None = None
    ) -> Iterator[tuple[Job, list[Outcome]]]:
        """Train ``jobs``; under a time budget, those that still run at ``until`` (the budget's clock) are cut.

        ``heard`` as for `losssearch.execution.Executor`.
        """
        if self.keeper is None or until is None:
            return self.executor.run(jobs, heard)
        return self.keeper.run(self.executor, list(jobs), until, heard)

    def _began(self, job: Job, worker: str) -> None:
        self.observer.population(Population(job.replicas, job.trials, job.plan.epochs, worker))

    @property
    def surroundings(self) -> list[str]:
        """Notes of this run that are neither the study's nor its data's: they depend on machine and interruptions."""
        known = {*self.notes, *(self.described().get("notes") or ()), *(self.keeper.notes() if self.keeper else ())}
        return [line for line in self.run_notes if line not in known]

    def remark(self, line: str) -> None:
        """Tell the observer and the result; nothing if there is nothing to say."""
        if line and line not in self.notes:
            self.notes.append(line)
            self.observer.note(line)

    def next_number(self) -> int:
        """The number of the next job."""
        self._jobs += 1
        return self._jobs

    def value(self, utility: float) -> float:
        """A utility in the metric's own unit."""
        return utility if self.metric.direction == "maximize" else -utility

    def values(self, outcome: Outcome) -> tuple[float, ...]:
        """The metric that the outcome reached, one value per replica, in its own unit."""
        return tuple(self.value(utility) for utility in outcome.utilities)

    def utilities(self, outcome: Outcome) -> tuple[float, ...]:
        """What contenders are ranked by, one number per replica, larger is better."""
        return outcome.utilities

    @property
    def finalists(self) -> int:
        """How many searched losses go into the confirmation: more than one where the first may break a constraint."""
        return 1
