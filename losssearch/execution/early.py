"""Populations in this process while the workers of a cluster start: who waits for the first values has them sooner."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator
from typing import Protocol

from losssearch.execution.executor import Executor, Heard
from losssearch.execution.job import Draws, Job, run_job
from losssearch.training import Outcome


class Starting(Executor, Protocol):
    """An executor whose workers may still be starting."""

    def ready(self) -> bool:
        """Whether a worker waits for a job; does not wait itself."""
        ...


class EarlyExecutor:
    """Trains here until the executor that ``start`` makes, in a thread of its own, has a worker that is ready.

    What a job gives does not depend on where it is trained. What ``start`` raises is raised between two jobs, or by
    `close` at the latest.
    """

    def __init__(self, workers: int, start: Callable[[], Starting]) -> None:
        self.workers = workers
        self._made: Starting | None = None
        self._error: BaseException | None = None
        self._attached = False
        self._replicas: dict[str, Draws] = {}
        self._started, self._over = threading.Event(), threading.Event()
        self._thread = threading.Thread(target=self._make, args=(start,), name="workers-start", daemon=True)
        self._thread.start()

    def share(self, name: str, replicas: Draws) -> None:
        """See `Executor.share`."""
        if self._made is not None and self._attached:
            self._made.share(name, replicas)
        else:
            self._replicas[name] = replicas

    def run(self, jobs: Iterable[Job], heard: Heard | None = None) -> Iterator[tuple[Job, list[Outcome]]]:
        """See `Executor.run`."""
        coming = iter(jobs)
        while (later := self._later()) is None:
            job = next(coming, None)
            if job is None:
                return
            yield job, run_job(job, self._replicas[job.replicas], heard or (lambda utility: None))
        yield from later.run(coming, heard)

    def close(self) -> None:
        """See `Executor.close`; waits until the workers' start is over, as it cannot be broken off."""
        self._started.wait()
        self._replicas.clear()
        try:
            if self._made is not None:
                self._made.close()
        finally:
            self._over.set()
        self._raise()

    def _make(self, start: Callable[[], Starting]) -> None:
        try:
            self._made = start()
        except BaseException as error:  # noqa: BLE001  (it is raised where it can be answered)
            self._error = error
        self._started.set()
        # Linux ends the processes of Ray's cluster with the thread that started them, not with the whole program.
        self._over.wait()

    def _later(self) -> Executor | None:
        """The executor that was started, once it has a worker."""
        if self._attached or not self._started.is_set():
            return self._made if self._attached else None
        self._raise()
        if self._made is None or not self._made.ready():
            return None
        for name, replicas in self._replicas.items():
            self._made.share(name, replicas)
        self._replicas.clear()
        self._attached = True
        return self._made

    def _raise(self) -> None:
        error, self._error = self._error, None
        if error is not None:
            raise error
