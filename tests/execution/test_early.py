"""Populations in this process while workers start, which are made up here; Ray's are in the contract of executors."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator

import pytest

from losssearch.errors import ConnectionLostError
from losssearch.execution import Job
from losssearch.execution.early import EarlyExecutor
from losssearch.training import Outcome, TrainingPlan

HERE, THERE = [Outcome("completed", (0.25,))], [Outcome("completed", (0.75,))]
JOBS = [Job(number, "search", (), "binary", "accuracy", "mlp", TrainingPlan(1, 1)) for number in range(4)]


class Workers:
    """An executor that says when it is ready."""

    workers = 2

    def __init__(self) -> None:
        self.up, self.closed = True, False
        self.shared: dict[str, object] = {}

    def ready(self) -> bool:
        return self.up

    def share(self, name: str, replicas: object) -> None:
        self.shared[name] = replicas

    def run(self, jobs: Iterable[Job], heard: object = None) -> Iterator[tuple[Job, list[Outcome]]]:
        for job in jobs:
            yield job, THERE

    def close(self) -> None:
        self.closed = True


@pytest.fixture(autouse=True)
def trained_here(monkeypatch: pytest.MonkeyPatch) -> list[object]:
    """What the trainings in this process were given."""
    given: list[object] = []

    def run_job(job: Job, replicas: object, heard: Callable[[float], None]) -> list[Outcome]:
        given.append(replicas)
        heard(0.25)
        return HERE

    monkeypatch.setattr("losssearch.execution.early.run_job", run_job)
    return given


def test_trains_here_until_a_worker_is_ready(trained_here: list[object]) -> None:
    started, workers, heard = threading.Event(), Workers(), list[float]()

    def start() -> Workers:
        started.wait()
        return workers

    executor = EarlyExecutor(2, start)
    executor.share("search", "rows")  # type: ignore[arg-type]
    running = executor.run(JOBS, heard.append)
    assert next(running) == (JOBS[0], HERE)
    workers.up = False  # its cluster is there, its workers are not yet
    started.set()
    executor._started.wait()
    assert next(running) == (JOBS[1], HERE)
    workers.up = True
    assert list(running) == [(JOBS[2], THERE), (JOBS[3], THERE)]
    assert workers.shared == {"search": "rows"}
    assert trained_here == ["rows", "rows"]
    assert heard == [0.25, 0.25]
    executor.share("confirmation", "others")  # type: ignore[arg-type]
    assert workers.shared["confirmation"] == "others"
    executor.close()
    assert workers.closed


def test_the_thread_that_started_the_workers_lives_as_long_as_they() -> None:
    """Or Linux ends Ray's processes with it."""
    closing = list[bool]()

    class Watched(Workers):
        def close(self) -> None:
            closing.append(executor._thread.is_alive())

    executor = EarlyExecutor(2, Watched)
    executor._started.wait()
    executor._thread.join(0.2)
    executor.close()
    assert closing == [True]
    executor._thread.join()


def test_a_start_that_fails_ends_the_study_between_two_jobs() -> None:
    failing = threading.Event()

    def start() -> Workers:
        failing.wait()
        raise ConnectionLostError("workers must start")

    executor = EarlyExecutor(2, start)
    executor.share("search", "rows")  # type: ignore[arg-type]
    running = executor.run(JOBS)
    next(running)
    failing.set()
    executor._started.wait()
    with pytest.raises(ConnectionLostError, match="workers must start"):
        next(running)
    executor.close()


def test_a_study_that_ends_first_closes_what_was_started() -> None:
    started, workers = threading.Event(), Workers()

    def start() -> Workers:
        started.wait()
        return workers

    executor = EarlyExecutor(2, start)
    executor.share("search", "rows")  # type: ignore[arg-type]
    assert [outcomes for _, outcomes in executor.run(JOBS)] == [HERE] * 4
    started.set()
    executor.close()
    assert workers.closed
