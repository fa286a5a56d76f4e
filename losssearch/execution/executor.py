"""Where populations are trained: the interface, and the executor of this very process."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Protocol

from losssearch.execution.job import Draws, Job, run_job
from losssearch.training import Outcome


class Executor(Protocol):
    """Trains populations; what it gives depends on the jobs alone, not on how many workers there are."""

    workers: int

    def share(self, name: str, replicas: Draws) -> None:
        """Make a set of replicas known to all workers under ``name``."""
        ...

    def run(self, jobs: Sequence[Job]) -> Iterator[tuple[Job, list[Outcome]]]:
        """Train all jobs; yield each as it ends. Raises `ConnectionLostError` where workers keep dying."""
        ...

    def close(self) -> None:
        """Let the workers go."""
        ...


class InProcessExecutor:
    """One population after another in this process."""

    workers = 0

    def __init__(self) -> None:
        self._replicas: dict[str, Draws] = {}

    def share(self, name: str, replicas: Draws) -> None:
        """See `Executor.share`."""
        self._replicas[name] = replicas

    def run(self, jobs: Sequence[Job]) -> Iterator[tuple[Job, list[Outcome]]]:
        """See `Executor.run`."""
        for job in jobs:
            yield job, run_job(job, self._replicas[job.replicas])

    def close(self) -> None:
        """See `Executor.close`."""
        self._replicas.clear()
