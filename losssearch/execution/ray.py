"""Populations on Ray actors: long-lived, one thread each, with the replicas in the object store once."""

from __future__ import annotations

import logging
import os
import socket
import sys
from collections.abc import Iterator, Sequence
from typing import Any

from losssearch.data.replicas import Replicas
from losssearch.errors import ConnectionLostError
from losssearch.execution.job import Job, run_job
from losssearch.training import Outcome

ATTEMPTS = 3
"""How often a job is run before the loss of its workers ends the study."""

WORKER_VARIABLES = {
    "OMP_NUM_THREADS": "1",
    # Keep freed memory: fresh pages for every large tensor cost a fifth of a training step.
    "MALLOC_MMAP_THRESHOLD_": "4000000000",
    "MALLOC_TRIM_THRESHOLD_": "8000000000",
}


class _Worker:
    def __init__(self) -> None:
        import torch

        torch.set_num_threads(1)
        self._replicas: dict[str, tuple[str, Replicas]] = {}

    def ready(self) -> int:
        return os.getpid()

    def run(self, job: Job, replicas: list[Any]) -> list[Outcome]:
        version = replicas[0].hex()  # a set may be shared anew under its name
        if self._replicas.get(job.replicas, ("", None))[0] != version:
            import ray

            self._replicas[job.replicas] = version, ray.get(replicas[0])
        return run_job(job, self._replicas[job.replicas][1])


class RayExecutor:
    """``workers`` actors on a local or a standing Ray cluster.

    A worker that dies is replaced and its population trained again, ``ATTEMPTS`` times at most.
    """

    def __init__(self, workers: int, address: str | None = None, *, gpus_per_worker: float = 0.0) -> None:
        import ray

        self.workers, self._ray, self._gpus = workers, ray, gpus_per_worker
        self._owns = not ray.is_initialized()
        if self._owns:
            mask = os.umask(0o077)  # Ray writes its token file with the process's mask
            try:
                _knock(address)
                ray.init(
                    address=address,
                    num_cpus=None if address else max(workers, 1),
                    include_dashboard=None if address else False,
                    log_to_driver=False,
                    logging_level=logging.ERROR,
                )
            except (OSError, RuntimeError, ValueError) as error:
                raise ConnectionLostError(
                    f"Ray could not be reached at {address or 'this machine'}: {error}"
                ) from error
            finally:
                os.umask(mask)
        self._references: dict[str, Any] = {}
        self._alive: list[Any] = []
        self._idle: list[Any] = []
        self._refill()

    def _spawn(self) -> Any:
        variables = WORKER_VARIABLES | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
        remote = self._ray.remote(num_cpus=1, num_gpus=self._gpus, max_restarts=0, runtime_env={"env_vars": variables})
        return remote(_Worker).remote()

    def _refill(self) -> None:
        """Replace the workers that died, or that a caller left in the middle of a job."""
        fresh = [self._spawn() for _ in range(self.workers - len(self._alive))]
        self._alive += fresh
        self._idle += fresh

    def _dismiss(self, worker: Any) -> None:
        self._ray.kill(worker)
        self._alive.remove(worker)

    def pids(self) -> list[int]:
        """Process ids of the workers that wait for a job."""
        self._refill()
        return list(self._ray.get([worker.ready.remote() for worker in self._idle]))

    def share(self, name: str, replicas: Replicas) -> None:
        """See `Executor.share`."""
        self._references[name] = self._ray.put(replicas)

    def run(self, jobs: Sequence[Job]) -> Iterator[tuple[Job, list[Outcome]]]:
        """See `Executor.run`."""
        waiting = list(reversed(jobs))
        attempts: dict[int, int] = {}
        running: dict[Any, tuple[Job, Any]] = {}
        try:
            while waiting or running:
                self._refill()
                while waiting and self._idle:
                    job, worker = waiting.pop(), self._idle.pop()
                    running[worker.run.remote(job, [self._references[job.replicas]])] = job, worker
                done, _ = self._ray.wait(list(running), num_returns=1)
                job, worker = running.pop(done[0])
                try:
                    outcomes = self._ray.get(done[0])
                except (self._ray.exceptions.RayActorError, self._ray.exceptions.OutOfMemoryError) as error:
                    self._dismiss(worker)
                    attempts[job.number] = attempts.get(job.number, 0) + 1
                    if attempts[job.number] == ATTEMPTS:
                        raise ConnectionLostError(
                            f"a worker must outlive its population; {ATTEMPTS} died on the same one; "
                            f"the study is saved, --resume goes on ({type(error).__name__})"
                        ) from error
                    waiting.append(job)
                    continue
                except self._ray.exceptions.RayTaskError as error:
                    self._idle.append(worker)
                    raise error.cause from None  # what the population raised, without Ray's wrapping
                self._idle.append(worker)
                yield job, outcomes
        finally:
            for _, worker in running.values():  # an error, or the caller went away
                self._dismiss(worker)

    def close(self) -> None:
        """See `Executor.close`."""
        for worker in list(self._alive):
            self._dismiss(worker)
        self._idle.clear()
        if self._owns:
            self._ray.shutdown()


def _knock(address: str | None) -> None:
    """Raise `OSError` where nobody listens: Ray itself would go on trying for minutes."""
    host, _, port = (address or "").removeprefix("ray://").rpartition(":")
    if host and port.isdigit():
        socket.create_connection((host, int(port)), timeout=5).close()
