"""The interface of an executor, and the executor that trains in this process."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Protocol, TypeAlias

from losssearch import stopping
from losssearch.execution.job import Draws, Job, run_job
from losssearch.training import Outcome

Heard: TypeAlias = Callable[[float], None]
"""Is told utilities that trainings under way have reached, each the best so far of its population."""


Began: TypeAlias = Callable[[Job, str], None]
"""Is told of a population whose training begins, and who trains it."""

HERE = "this process"


def untold(job: Job, worker: str) -> None:
    """A `Began` for when nobody wants to know."""


class Executor(Protocol):
    """Trains populations; the results depend only on the jobs, not on the number of workers.

    ``began`` is called as each job begins, once more where a worker was lost with it; whoever runs a study may set it.
    """

    workers: int
    began: Began

    def share(self, name: str, replicas: Draws) -> None:
        """Make a set of replicas known to all workers under ``name``."""
        ...

    def run(self, jobs: Iterable[Job], heard: Heard | None = None) -> Iterator[tuple[Job, list[Outcome]]]:
        """Train all jobs; yield each as it ends. Raises `ConnectionLostError` if workers keep dying.

        Jobs are taken as workers need them, and a few ahead. ``heard`` is for who cannot wait for the outcomes;
        what it is told depends on time, and may never come.
        """
        ...

    def close(self) -> None:
        """Let the workers go."""
        ...


class InProcessExecutor:
    """One population after another in this process."""

    workers = 0

    def __init__(self) -> None:
        self.began: Began = untold
        self._replicas: dict[str, Draws] = {}

    def share(self, name: str, replicas: Draws) -> None:
        """See `Executor.share`."""
        self._replicas[name] = replicas

    def run(self, jobs: Iterable[Job], heard: Heard | None = None) -> Iterator[tuple[Job, list[Outcome]]]:
        """See `Executor.run`."""
        for job in jobs:
            stopping.check()
            self.began(job, HERE)
            yield job, run_job(job, self._replicas[job.replicas], heard or (lambda utility: None))

    def close(self) -> None:
        """See `Executor.close`."""
        self._replicas.clear()
