"""The Ray executor on a cluster of several nodes: room for some workers only, and a node that is lost."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Any

import pytest
import ray
from ray.cluster_utils import Cluster

from losssearch.data import draws, load, make_replicas, partition
from losssearch.data.replicas import Replicas
from losssearch.errors import ConnectionLostError, OptionError
from losssearch.execution import Executor, InProcessExecutor, Job
from losssearch.execution import ray as on_ray
from losssearch.execution.ray import RayExecutor
from losssearch.execution.resources import WorkerResources
from losssearch.training import TrainingPlan

pytestmark = pytest.mark.slow


def slow(features: int, outputs: int) -> Any:
    """A model that takes its time."""
    import time

    from torch import nn

    class Slow(nn.Linear):
        def forward(self, x: Any) -> Any:
            time.sleep(0.005)
            return super().forward(x)

    return Slow(features, outputs)


JOBS = [
    Job(
        number=number,
        replicas="search",
        candidates=(({"parts": [{"term": "quantile", "quantile": 0.1 * number}]}, (1e-2,), False),),
        task="regression",
        metric="mae",
        model=slow,
        plan=TrainingPlan(epochs=6, batch_size=32),
    )
    for number in range(1, 9)
]


@pytest.fixture(scope="module")
def data() -> Replicas:
    dataset = load("builtin:diabetes")
    return make_replicas(dataset, draws(dataset, partition(dataset, seed=0).search, seed=0, count=1, purpose="search"))


@pytest.fixture(scope="module")
def cluster() -> Iterator[Any]:
    """A head without workers, and two nodes of one core."""
    made = Cluster(initialize_head=True, head_node_args={"num_cpus": 0, "include_dashboard": False})
    for _ in range(2):
        made.add_node(num_cpus=1)
    ray.init(address=made.address, log_to_driver=False, logging_level="ERROR")
    yield made
    ray.shutdown()
    made.shutdown()


def results(executor: Executor, data: Replicas) -> dict[int, Any]:
    executor.share("search", data)
    try:
        return {job.number: outcomes for job, outcomes in executor.run(JOBS)}
    finally:
        executor.close()


@pytest.fixture(scope="module")
def expected(data: Replicas) -> dict[int, Any]:
    return results(InProcessExecutor(), data)


def test_goes_on_with_the_workers_for_which_there_is_room(
    cluster: Any, data: Replicas, expected: dict[int, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(on_ray, "ROOM", 0.5)
    monkeypatch.setattr(on_ray, "INTERVAL", 0.1)
    notes: list[str] = []
    assert results(RayExecutor(5, note=notes.append), data) == expected
    assert len(notes) == 1
    assert "of 5 workers have started: the cluster has no room for more (1 CPU each)" in notes[0]


def test_workers_for_which_there_is_no_room_at_all_end_the_study(
    cluster: Any, data: Replicas, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(on_ray, "START", 3.0)
    with pytest.raises(ConnectionLostError, match=r"none of 2 did \(1 CPU, 8 GPU each\); the study is saved"):
        results(RayExecutor(2, resources=WorkerResources(gpus=8)), data)


def test_a_factory_that_cannot_travel_is_bad_input(cluster: Any, data: Replicas) -> None:
    import threading
    from dataclasses import replace

    lock = threading.Lock()
    executor = RayExecutor(1)
    executor.share("search", data)
    try:
        with pytest.raises(OptionError, match="must be picklable to reach Ray workers"):
            list(executor.run([replace(JOBS[0], model=lambda features, outputs: lock)]))
    finally:
        executor.close()


def test_a_lost_node_changes_nothing(cluster: Any, data: Replicas, expected: dict[int, Any]) -> None:
    """Its worker's populations are trained again on the node that is left."""
    executor = RayExecutor(2)
    executor.share("search", data)
    before = executor.pids()
    found: dict[int, Any] = {}
    try:
        for job, outcomes in executor.run(JOBS):
            assert job.number not in found
            found[job.number] = outcomes
            if len(found) == 2:
                cluster.remove_node(min(cluster.worker_nodes, key=id), allow_graceful=False)
        left = executor.processes()
    finally:
        executor.close()
    assert found == expected
    assert len(before) == 2
    assert len(left) == 1
    assert os.getpid() not in left
