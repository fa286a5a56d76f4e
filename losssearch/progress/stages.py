"""The stages of a study and their progress, for displays that draw them themselves."""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Self

from losssearch.storage.records import TrialRecord
from losssearch.study.observer import Population

TITLES = {
    "search": "Searching",
    "reevaluation-1": "Re-evaluating",
    "reevaluation-2": "Re-evaluating 2nd",
    "confirmation": "Confirming",
    "front": "Drawing the front",
}


@dataclass
class Stage:
    """One stage; ``total`` is 0 where only a time budget ends it, ``began`` and ``ended`` are read from a clock."""

    title: str
    total: int
    began: float
    done: int = 0
    best: str = ""
    ended: float | None = None

    @property
    def count(self) -> str:
        """``32/128``, or ``32`` without a total."""
        return f"{self.done:,}/{self.total:,}" if self.total else f"{self.done:,}"

    def left(self, now: float) -> float | None:
        """Seconds until all is done at the pace so far; None if that cannot be told."""
        if not self.total or not self.done or self.done >= self.total:
            return None
        return (now - self.began) * (self.total - self.done) / self.done


class StagedProgress(ABC):
    """Keeps the stages of a study; a display says how notes and stages are shown. An `Observer`."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self.clock = clock
        self.stages: list[Stage] = []
        self.budget_ends: float | None = None

    @abstractmethod
    def note(self, message: str) -> None:
        """See `losssearch.study.observer.Observer`."""

    @abstractmethod
    def show(self, *, now: bool) -> None:
        """Show the last stage; at once with ``now``, else only where enough time has passed."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        if self.stages:
            self._end()

    def stage(self, name: str, total: int) -> None:
        """See `losssearch.study.observer.Observer`."""
        if self.stages:
            self._end()
        self.stages.append(Stage(TITLES.get(name, name), total, self.clock()))
        self.show(now=True)

    def deadline(self, seconds: float) -> None:
        """See `losssearch.study.observer.Observer`."""
        self.budget_ends = self.clock() + seconds

    def resumed(self, records: Sequence[TrialRecord], best: float | None) -> None:
        """See `losssearch.study.observer.Observer`."""
        self.trials(records, best)

    def population(self, started: Population) -> None:  # noqa: B027  (nothing is shown of it)
        """See `losssearch.study.observer.Observer`."""

    def trials(self, records: Sequence[TrialRecord], best: float | None) -> None:
        """See `losssearch.study.observer.Observer`."""
        self._advance(len(records), "" if best is None else f"best {best:.4g}")

    def finished(self, result: Mapping[str, Any]) -> None:  # noqa: B027  (nor of it)
        """See `losssearch.study.observer.Observer`."""

    def underway(self, value: float) -> None:
        """See `losssearch.study.observer.Observer`."""
        self._advance(0, f"best {value:.4g}, in training")

    def advance(self) -> None:
        """See `losssearch.study.observer.Observer`."""
        self._advance(1)

    def told(self, name: str, total: int, done: int, best: float | None) -> None:
        """Show how far a study that runs elsewhere has come: ``done`` of the ``total`` of its stage ``name``."""
        title = TITLES.get(name, name)
        if not self.stages or self.stages[-1].title != title:
            self.stage(name, total)
        self._advance(done - self.stages[-1].done, "" if best is None else f"best {best:.4g}")

    def remaining(self) -> str:
        """The remaining time of the budget, or of the last stage; empty if neither is known."""
        now, last = self.clock(), self.stages[-1]
        if last.ended is not None:
            return ""
        if self.budget_ends is not None:
            return f"{clock_time(max(0.0, self.budget_ends - now))} of the budget left"
        left = last.left(now)
        return "" if left is None else f"about {clock_time(left)} left"

    def took(self, stage: Stage) -> str:
        """How long a stage takes so far, or took."""
        return clock_time((self.clock() if stage.ended is None else stage.ended) - stage.began)

    def _advance(self, count: int, best: str | None = None) -> None:
        if not self.stages:
            return
        last = self.stages[-1]
        last.done += count
        if best is not None:
            last.best = best
        self.show(now=False)

    def _end(self) -> None:
        if self.stages[-1].ended is None:
            self.stages[-1].ended = self.clock()
            self.show(now=True)


def clock_time(seconds: float) -> str:
    """``0:07``, ``12:30``, ``1:05:00``."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"
