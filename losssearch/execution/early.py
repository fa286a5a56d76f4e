"""The start of a cluster's workers in a thread, while this process trains the first populations or can be stopped.

Nothing breaks off the start of a Ray cluster, and Ray takes a minute to notice that a part of it died. So the start
runs in a thread of its own, another one watches the cluster's processes, and the study's thread waits for neither.
"""

from __future__ import annotations

import contextvars
import threading
from collections.abc import Callable, Iterable, Iterator
from typing import Protocol

from losssearch import stopping
from losssearch.errors import ConnectionLostError
from losssearch.execution.executor import HERE, Began, Executor, Heard, untold
from losssearch.execution.job import Draws, Job, run_job
from losssearch.execution.processes import LocalCluster
from losssearch.option_names import option
from losssearch.training import Outcome

LOOK = 0.1
"""Seconds between two looks at the cluster's processes."""

PATIENCE = 2.0
"""Seconds that a start whose cluster has lost a process has to say itself what went wrong."""

SAVED = f"the study is saved; {option('resume', True)} continues it"


class Starting(Executor, Protocol):
    """An executor whose workers may still be starting."""

    def ready(self) -> bool:
        """Whether a worker waits for a job; does not wait itself."""
        ...


class EarlyExecutor:
    """Trains here until the executor that ``start`` makes, in a thread of its own, has a worker that is ready.

    What a job gives does not depend on where it is trained. What ``start`` raises is raised between two jobs, or by
    `close` at the latest. ``cluster``: the processes to watch, where they are our own.
    """

    def __init__(self, workers: int, start: Callable[[], Starting], cluster: LocalCluster | None = None) -> None:
        self.workers = workers
        self.began: Began = untold
        self._cluster, self._stop = cluster, stopping.current()
        self._made: Starting | None = None
        self._error: BaseException | None = None
        self._attached = False
        self._replicas: dict[str, Draws] = {}
        self._started, self._over = threading.Event(), threading.Event()
        self._lost = ""
        around = contextvars.copy_context()
        self._thread = threading.Thread(target=around.run, args=(self._make, start), name="workers-start", daemon=True)
        self._thread.start()
        if cluster is not None:
            threading.Thread(target=self._watch, args=(cluster,), name="workers-watch", daemon=True).start()

    def wait(self) -> Executor:
        """Itself, once the start is over; raises what it raised."""
        try:
            while not self._started.wait(0.05):
                stopping.check()
            stopping.check()
            self._raise()
        except BaseException:
            self.close()
            raise
        self._attached = True
        return self

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
            stopping.check()
            job = next(coming, None)
            if job is None:
                return
            self.began(job, HERE)
            yield job, run_job(job, self._replicas[job.replicas], heard or (lambda utility: None))
        later.began = self.began
        yield from later.run(coming, heard)

    def close(self) -> None:
        """See `Executor.close`; waits until the workers' start is over, unless that is lost or the program ends."""
        while not self._started.wait(0.05):
            if self._lost or (self._stop.requested and self._stop.ends_program):
                self._abandon()
                return
        self._replicas.clear()
        try:
            if self._made is not None:
                self._made.close()
        finally:
            self._over.set()
        self._raise()

    def _abandon(self) -> None:
        """Kill the cluster that is starting, and leave alone the thread that waits for it."""
        self._over.set()
        if self._cluster is not None:
            self._cluster.kill()
        stopping.leave_behind("the start of a Ray cluster")

    def _make(self, start: Callable[[], Starting]) -> None:
        try:
            self._made = start()
        except BaseException as error:  # noqa: BLE001  (it is raised where it can be answered)
            self._error = error
        self._started.set()
        # Linux ends the processes of Ray's cluster with the thread that started them, not with the whole program.
        self._over.wait()

    def _watch(self, cluster: LocalCluster) -> None:
        """Let the study end where its cluster lost a process: at its next check, whatever it is doing."""
        while not self._over.wait(LOOK):
            if lost := cluster.lost():
                if not self._started.is_set() and self._started.wait(PATIENCE) and self._error is not None:
                    return
                self._lost = lost
                self._stop.abort(ConnectionLostError(f"{lost} must live; it has died; {SAVED}"))
                return

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
