"""Populations on Ray actors: long-lived, one thread each, with the replicas in the object store once."""

from __future__ import annotations

import os
import sys
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from itertools import islice
from typing import Any

from losssearch import stopping
from losssearch.errors import ConnectionLostError, WorkersLostError
from losssearch.execution.actor import Worker
from losssearch.execution.arrays import pack
from losssearch.execution.cluster import INTERVAL, SAVED, Pulse, connect, disconnect, quieten
from losssearch.execution.errand import Errands
from losssearch.execution.executor import Began, Heard, untold
from losssearch.execution.job import Draws, Job
from losssearch.execution.resources import WorkerResources
from losssearch.plugins import Plugin
from losssearch.training import Outcome
from losssearch.training.overdue import GRACE
from losssearch.training.user_function import NO_RETURN

ATTEMPTS = 3
"""How often a job is run before the loss of its workers ends the study."""

ROOM = 20.0
"""Seconds after which workers that have not started, while others have, are said to wait for room."""

START = 180.0
"""Seconds without a single worker after which the study ends."""

WORKER_VARIABLES = {
    "OMP_NUM_THREADS": "1",
    # Keep freed memory: fresh pages for every large tensor cost a fifth of a training step.
    "MALLOC_MMAP_THRESHOLD_": "4000000000",
    "MALLOC_TRIM_THRESHOLD_": "8000000000",
}


class RayExecutor:
    """``workers`` actors on a local or a standing Ray cluster.

    Jobs go to actors that have started and are free. One that dies is replaced and its population trained
    again, ``ATTEMPTS`` times at most. Actors for which the cluster has no room join when there is some;
    ``note`` is told in one line. ``imports``: modules of the user's that the workers load. ``resources``: what each is
    given; one core by default.

    Raises `ConnectionLostError` if the cluster cannot be reached.
    """

    def __init__(
        self,
        workers: int,
        address: str | None = None,
        *,
        gpus_per_worker: float = 0.0,
        resources: WorkerResources | None = None,
        imports: Sequence[Plugin] = (),
        note: Callable[[str], None] = lambda line: None,
    ) -> None:
        import ray

        self._imports = tuple(imports)
        self.workers, self._ray, self._note = workers, ray, note
        self.began: Began = untold
        self.resources = resources or WorkerResources(gpus=gpus_per_worker)
        quieten()
        self._owns = not ray.is_initialized()
        if self._owns:
            connect(address, workers, self.resources)
        self._pulse = Pulse(address)
        self._local = not address
        self._streams = not (address or "").startswith("ray://")  # which Ray Client cannot do
        self._replicas: dict[str, Any] = {}
        self._draws: dict[str, int] = {}
        self._errands = Errands(ray, self._imports)
        self._alive: list[Any] = []
        self._idle: list[Any] = []
        self._starting: dict[Any, Any] = {}
        self._numbers: dict[int, int] = {}
        self._failures = 0
        self._heard, self._noted = time.monotonic(), False
        self._refill()

    def share(self, name: str, replicas: Draws) -> None:
        """See `Executor.share`."""
        self._replicas[name] = self._ray.put(pack(replicas))
        self._draws[name] = len(replicas.seeds)

    def pids(self) -> list[int]:
        """Process ids of the workers that wait for a job, once all have started."""
        self._refill()
        self._suspect()
        found = []
        while self._starting:
            for reference in self._wait(list(self._starting)):
                found += self._settle(reference)
        return found

    def ready(self) -> bool:
        """Whether a worker has started and waits for a job; does not wait itself."""
        if self._starting:
            started, _ = self._ray.wait(list(self._starting), num_returns=len(self._starting), timeout=0)
            for reference in started:
                self._settle(reference)
        return bool(self._idle)

    def processes(self) -> list[int]:
        """Process ids of the workers that have started, busy or not; does not wait."""
        return list(self._numbers.values())

    def run(self, jobs: Iterable[Job], heard: Heard | None = None) -> Iterator[tuple[Job, list[Outcome]]]:
        """See `Executor.run`; nothing is heard over Ray Client."""
        coming, waiting = iter(jobs), deque[Job]()

        def make_ready(count: int) -> None:
            waiting.extend(islice(coming, max(0, count - len(waiting))))

        make_ready(1)
        attempts: dict[int, int] = {}
        running: dict[Any, tuple[Job, Any]] = {}
        submitted: dict[int, float] = {}
        try:
            while waiting or running:
                self._refill()
                while waiting and self._idle:
                    job, worker = waiting.popleft(), self._idle.pop()
                    running[self._submit(worker, job, heard)] = job, worker
                    submitted[job.number] = time.time()
                    self.began(job, f"worker {self._numbers.get(id(worker), '')}".strip())
                    make_ready(1)
                make_ready(self.workers)  # while they are busy, as it may take a while
                yield from self._overdue(running, submitted)
                for reference in self._wait([*running, *(self._starting if waiting else ())]):
                    if reference not in running:
                        self._settle(reference)
                        continue
                    job, worker = running.pop(reference)
                    try:
                        outcomes = self._ray.get(next(reference) if self._streamed(heard) else reference)
                        if heard and isinstance(outcomes, float):
                            running[reference] = job, worker
                            heard(outcomes)
                            continue
                    except self._ray.exceptions.RayTaskError as error:
                        self._idle.append(worker)
                        raise error.cause from None  # what the population raised, without Ray's wrapping
                    except self._ray.exceptions.RayError as error:
                        self._dismiss(worker)
                        self._suspect()
                        attempts[job.number] = attempts.get(job.number, 0) + 1
                        if attempts[job.number] == ATTEMPTS:
                            self._give_up(job, error)
                        waiting.appendleft(job)
                    else:
                        self._idle.append(worker)
                        yield job, outcomes
        finally:
            for _, worker in running.values():  # an error, or the caller went away
                self._dismiss(worker)

    def close(self) -> None:
        """See `Executor.close`."""
        self._pulse.stop()
        for worker in list(self._alive):
            self._dismiss(worker)
        if self._owns:
            disconnect()

    def _spawn(self) -> Any:
        variables = dict(WORKER_VARIABLES)
        if self._local:
            variables["PYTHONPATH"] = os.pathsep.join(filter(None, sys.path))
        environment = {"env_vars": variables}
        remote = self._ray.remote(max_restarts=0, runtime_env=environment, **self.resources.options())
        return remote(Worker).remote()

    def _refill(self) -> None:
        """Replace the workers that died, or that a caller left in the middle of a job."""
        for _ in range(self.workers - len(self._alive)):
            worker = self._spawn()
            self._alive.append(worker)
            self._starting[worker.ready.remote()] = worker

    def _overdue(
        self, running: dict[Any, tuple[Job, Any]], submitted: dict[int, float]
    ) -> Iterator[tuple[Job, list[Outcome]]]:
        """End the workers that have not managed to interrupt a training function which does not return."""
        for reference, (job, worker) in list(running.items()):
            if job.overdue is None:
                continue
            calls = self._draws[job.replicas] * sum(max(1, len(rates)) for _, rates, _ in job.candidates)
            if time.time() > max(job.overdue, submitted[job.number]) + GRACE * (calls + 1):
                del running[reference]
                self._dismiss(worker)
                self._note(f"a worker was ended: {NO_RETURN}")
                yield job, [Outcome("failed", reason=NO_RETURN) for _ in job.candidates]

    def _streamed(self, heard: Heard | None) -> bool:
        return heard is not None and self._streams

    def _submit(self, worker: Any, job: Job, heard: Heard | None) -> Any:
        call = worker.stream if self._streamed(heard) else worker.run
        job = replace(job, share=self.resources.share(job.device, self.workers), imports=self._imports)
        return call.remote(self._errands.of(job, self._replicas[job.replicas]))

    def _wait(self, references: list[Any]) -> list[Any]:
        """Those that are done, after `INTERVAL` seconds at most."""
        done, _ = self._ray.wait(references, num_returns=1, timeout=INTERVAL)
        stopping.check()
        self._pulse.check()  # populations may still end without a head, until Ray ends this process
        if not done:
            self._look_for_room()
        return list(done)

    def _settle(self, reference: Any) -> list[int]:
        """Take in a worker that has started, or died in it; its process id."""
        worker = self._starting.pop(reference)
        try:
            pid = int(self._ray.get(reference))
        except self._ray.exceptions.RayError as error:
            self._dismiss(worker)
            self._failures += 1
            if self._failures > ATTEMPTS * self.workers:
                raise ConnectionLostError(
                    f"workers must start; {self._failures} died before they had; {SAVED} ({_reason(error)})"
                ) from error
            return []
        self._failures, self._heard = 0, time.monotonic()
        self._numbers[id(worker)] = pid
        self._idle.append(worker)
        return [pid]

    def _suspect(self) -> None:
        """Idle workers must answer before they get a job: when one died, others may have died with it."""
        self._starting |= {worker.ready.remote(): worker for worker in self._idle}
        self._idle.clear()

    def _look_for_room(self) -> None:
        silent, started = time.monotonic() - self._heard, len(self._alive) - len(self._starting)
        if started:
            self._heard = self._heard if self._starting else time.monotonic()
            if silent > ROOM and self._starting and not self._noted:
                self._noted = True
                self._note(
                    f"{started} of {self.workers} workers have started: the cluster has no room for more "
                    f"({self.resources} each); going on with these"
                )
        elif silent > START:
            raise ConnectionLostError(
                f"a worker must start within {START:.0f} s; none of {self.workers} did ({self.resources} each); {SAVED}"
            )

    def _dismiss(self, worker: Any) -> None:
        self._alive.remove(worker)
        self._numbers.pop(id(worker), None)
        self._idle = [other for other in self._idle if other is not worker]
        self._starting = {reference: other for reference, other in self._starting.items() if other is not worker}
        self._ray.kill(worker)

    def _give_up(self, job: Job, error: Exception) -> None:
        self._pulse.check()
        raise WorkersLostError(
            f"a worker must outlive its population; {ATTEMPTS} died on the same one; {SAVED} ({_reason(error)})",
            job.trials,
        ) from error


def _reason(error: Exception) -> str:
    memory = "low on memory" in str(error) or "OutOfMemory" in type(error).__name__
    return "Ray found the node short of memory and killed it" if memory else type(error).__name__
