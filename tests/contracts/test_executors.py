"""The contract of an executor: what it gives depends on the jobs alone, and a worker's death changes nothing."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from losssearch.data import draws, load, make_replicas, partition
from losssearch.data.replicas import Replicas
from losssearch.errors import ConnectionLostError, OptionError, SpecError
from losssearch.execution import Executor, InProcessExecutor, Job
from losssearch.execution.early import EarlyExecutor
from losssearch.training import Outcome, TrainingPlan
from losssearch.training.user_function import FunctionDraws, FunctionRules
from tests.contracts.populations import JOBS, RATES, SETS, SPECS, a_job, check_equal, gone, killer, run


@pytest.fixture(scope="module")
def data() -> dict[str, Replicas]:
    dataset = load("builtin:diabetes")
    parts = partition(dataset, seed=0)
    return {
        name: make_replicas(
            dataset,
            draws(dataset, parts.search, seed=0, count=2, purpose=name),
            held={"test": parts.test},
        )
        for name in SETS
    }


@pytest.fixture(scope="module")
def in_process(data: dict[str, Replicas]) -> Iterator[Executor]:
    executor = InProcessExecutor()
    for name, replicas in data.items():
        executor.share(name, replicas)
    yield executor
    executor.close()


@pytest.fixture(scope="module")
def on_ray(data: dict[str, Replicas]) -> Iterator[Executor]:
    from losssearch.execution.ray import RayExecutor

    executor = RayExecutor(2)
    for name, replicas in data.items():
        executor.share(name, replicas)
    pids = executor.pids()
    yield executor
    pids += executor.pids()
    executor.close()
    assert not executor._ray.is_initialized()
    assert all(gone(pid) for pid in pids)


@pytest.fixture(scope="module")
def early(data: dict[str, Replicas], on_ray: Any) -> Iterator[Executor]:
    """Begins in this process and goes on with workers."""
    executor = EarlyExecutor(2, lambda: on_ray)
    for name, replicas in data.items():
        executor.share(name, replicas)
    yield executor
    executor._over.set()  # the workers are closed by their own fixture


@pytest.fixture(
    scope="module",
    params=[
        "in_process",
        pytest.param("on_ray", marks=pytest.mark.slow),
        pytest.param("early", marks=pytest.mark.slow),
    ],
)
def executor(request: pytest.FixtureRequest) -> Executor:
    return request.getfixturevalue(request.param)


@pytest.fixture(scope="module")
def expected(in_process: Executor) -> dict[int, list[Outcome]]:
    """What the jobs give in this process, undisturbed."""
    return {job.number: outcomes for job, outcomes in in_process.run(JOBS)}


def test_outcomes_are_those_of_this_process(executor: Executor, expected: dict[int, list[Outcome]]) -> None:
    found = run(executor, JOBS)
    check_equal(found, expected)
    assert [len(outcomes) for outcomes in found.values()] == [4] * 5
    assert {outcome.state for outcomes in found.values() for outcome in outcomes} == {"completed", "pruned"}


def test_a_job_alone_equals_it_among_others(executor: Executor, expected: dict[int, list[Outcome]]) -> None:
    check_equal(run(executor, JOBS[3:4]), {4: expected[4]})


def test_what_is_reached_on_the_way_is_heard_and_changes_nothing(
    executor: Executor, expected: dict[int, list[Outcome]]
) -> None:
    heard: list[float] = []
    found = {job.number: outcomes for job, outcomes in executor.run(JOBS, heard.append)}
    check_equal(found, expected)
    means = [sum(o.utilities) / len(o.utilities) for outcomes in found.values() for o in outcomes]
    assert len(heard) > len(JOBS)
    assert max(heard) == pytest.approx(max(means), rel=1e-6)


def test_jobs_are_taken_as_they_are_needed(executor: Executor) -> None:
    taken: list[int] = []
    running = executor.run(taken.append(job.number) or job for job in JOBS)  # type: ignore[func-returns-value]
    next(running)
    assert len(taken) <= 1 + 2 * executor.workers
    assert len(list(running)) == len(JOBS) - 1


def test_an_error_in_a_population_arrives_while_others_are_heard(executor: Executor) -> None:
    with pytest.raises(Exception, match="unknown metric"):
        list(executor.run([JOBS[0], replace(JOBS[1], metric="maee")], lambda utility: None))


def test_nothing_to_do_is_done_at_once(executor: Executor) -> None:
    assert run(executor, []) == {}


def test_the_sets_of_replicas_are_kept_apart(executor: Executor, expected: dict[int, list[Outcome]]) -> None:
    swapped = run(executor, [replace(JOBS[0], replicas="search")])
    assert swapped[1][0].utilities != expected[1][0].utilities


def test_a_set_may_be_shared_anew(executor: Executor, data: dict[str, Replicas]) -> None:
    executor.share("other", data["search"])
    first = run(executor, [a_job(1, replicas="other"), a_job(2, replicas="other")])
    executor.share("other", data["confirmation"])
    second = run(executor, [a_job(1, replicas="other"), a_job(2, replicas="other")])
    again = run(executor, [a_job(1, replicas="confirmation"), a_job(2, replicas="confirmation")])
    check_equal(second, again)
    assert first[1][0].utilities != second[1][0].utilities


@pytest.mark.parametrize(
    ("wrong", "error"),
    [
        ({"model": lambda features, outputs: torch.nn.Linear(features + 1, outputs)}, OptionError),
        ({"candidates": (({"parts": [{"term": "squared", "weight": -1}]}, RATES, False),)}, SpecError),
    ],
)
def test_an_error_in_a_population_arrives_as_it_is(executor: Executor, wrong: dict[str, Any], error: type) -> None:
    with pytest.raises(error, match=r"must accept a tensor|weight must lie") as caught:
        run(executor, [replace(JOBS[0], **wrong), *JOBS[1:]])
    assert type(caught.value) is error
    assert "\n" not in str(caught.value)


def test_goes_on_after_errors(executor: Executor, expected: dict[int, list[Outcome]]) -> None:
    """A worker is not lost with the job that failed in it, nor those that were still busy."""
    broken = replace(JOBS[0], metric="maee")
    for _ in range(3):
        with pytest.raises(Exception, match="unknown metric"):
            run(executor, [broken, JOBS[1]])
    check_equal(run(executor, JOBS[:3]), {number: expected[number] for number in (1, 2, 3)})


def test_goes_on_after_it_was_left_in_the_middle(executor: Executor, expected: dict[int, list[Outcome]]) -> None:
    for _ in range(2):
        left = executor.run(JOBS)
        next(left)
        left.close()
    check_equal(run(executor, JOBS), expected)


def test_threads_are_left_as_they_were(in_process: Executor) -> None:
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        run(in_process, JOBS[:1])
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(before)


@pytest.mark.slow
def test_a_worker_killed_while_it_is_heard_changes_nothing(
    on_ray: Executor, in_process: Executor, tmp_path: Path, expected: dict[int, list[Outcome]]
) -> None:
    mortal = a_job(7, model=killer(tmp_path, deaths=1))
    found = {job.number: outcomes for job, outcomes in on_ray.run([mortal, *JOBS[:2]], lambda utility: None)}
    assert [path.name for path in tmp_path.iterdir()] == ["death-0"]
    check_equal(found, {1: expected[1], 2: expected[2], **run(in_process, [mortal])})


@pytest.mark.slow
def test_a_worker_killed_in_the_middle_changes_nothing(
    on_ray: Executor, in_process: Executor, tmp_path: Path, expected: dict[int, list[Outcome]]
) -> None:
    mortal = a_job(7, model=killer(tmp_path, deaths=1))
    found = run(on_ray, [JOBS[0], mortal, *JOBS[1:]])
    assert [path.name for path in tmp_path.iterdir()] == ["death-0"]
    check_equal(found, {**expected, **run(in_process, [mortal])})


@pytest.mark.slow
def test_a_worker_killed_while_idle_is_replaced(on_ray: Any, expected: dict[int, list[Outcome]]) -> None:
    victim = on_ray.pids()[0]
    os.kill(victim, signal.SIGKILL)
    check_equal(run(on_ray, JOBS), expected)
    assert len(on_ray.pids()) == on_ray.workers
    assert victim not in on_ray.pids()


@pytest.mark.slow
def test_a_job_that_kills_every_worker_ends_the_study(
    on_ray: Executor, tmp_path: Path, expected: dict[int, list[Outcome]]
) -> None:
    with pytest.raises(ConnectionLostError, match="resume=True continues it"):
        run(on_ray, [a_job(7, model=killer(tmp_path, deaths=9))])
    assert len(list(tmp_path.iterdir())) == 3
    check_equal(run(on_ray, JOBS[:2]), {number: expected[number] for number in (1, 2)})


@pytest.mark.slow
def test_a_function_that_hangs_in_native_code_is_ended_with_its_worker(
    on_ray: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    def function(loss: Any, trial: Any) -> float:
        import signal
        import time

        if trial.number == 1:
            signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGALRM})  # as native code, it answers no alarm
            time.sleep(1000)
        return 0.5

    monkeypatch.setattr("losssearch.execution.ray.GRACE", 0.1)
    on_ray.share("seeds", FunctionDraws("search", (1,)))
    jobs = [
        Job(
            number=number,
            replicas="seeds",
            candidates=(({"parts": SPECS[1]}, (), False),),
            task="regression",
            metric="mine",
            model=function,
            plan=TrainingPlan(epochs=1, batch_size=1),
            deadline=time.time(),
            overdue=time.time(),
            rules=FunctionRules(sign=1.0, epochs=1),
            trials=(number,),
        )
        for number in range(3)
    ]
    found = run(on_ray, jobs)
    assert [found[number][0].state for number in range(3)] == ["completed", "failed", "completed"]
    assert "did not return" in found[1][0].reason


@pytest.mark.slow
def test_a_cluster_of_our_own_listens_on_loopback_only(on_ray: Any) -> None:
    on_ray.pids()
    listening = subprocess.run(["ss", "-ltnpH"], capture_output=True, text=True, check=True).stdout.splitlines()
    ours = [line.split() for line in listening if re.search(r'"(raylet|gcs_server|ray::)', line)]
    assert len(ours) > 3
    assert [line for line in ours if not re.match(r"(127\.|\[::1\]|\[::ffff:127\.)", line[3])] == []


@pytest.mark.parametrize("address", ["127.0.0.1:1", "ray://127.0.0.1:1"])
def test_ray_that_cannot_be_reached_is_a_lost_connection(address: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Said at once, where Ray would try for minutes."""
    from losssearch.execution.ray import RayExecutor

    monkeypatch.setattr("ray.is_initialized", lambda: False)
    monkeypatch.setattr("ray.init", lambda **options: pytest.fail("nobody listens there"))
    mask = os.umask(0o022)
    with pytest.raises(ConnectionLostError, match=f"Ray could not be reached at {address}"):
        RayExecutor(1, address)
    assert os.umask(mask) == 0o022
