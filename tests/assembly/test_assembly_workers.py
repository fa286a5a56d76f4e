"""What the workers of a search are given, from options and from what a user's function declares."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from losssearch.assembly.options import Options
from losssearch.assembly.workers import resources_of, workers_asked
from losssearch.errors import OptionError
from losssearch.execution.resources import WorkerResources


def test_resources_are_the_same_for_factories_and_training_functions() -> None:
    function = SimpleNamespace(num_cpus=2, num_gpus=0.25, memory="1G")
    assert resources_of(Options(), function, 2, "cpu") == WorkerResources(2.0, 0.25, 1 << 30)
    asked = Options(resources={"num_cpus": 3, "memory": "2G"})
    assert resources_of(asked, function, 2, "cpu") == WorkerResources(3.0, 0.25, 2 << 30)
    own = Options(resources={"num_cpus": 3}, cpus_per_worker=1, memory_per_worker="4G")
    assert resources_of(own, "mlp", 2, "cpu") == WorkerResources(1.0, 0.0, 4 << 30)


def test_workers_share_one_cuda_device_unless_something_else_is_said() -> None:
    assert resources_of(Options(), "mlp", 4, "cuda").gpus == 0.25
    assert resources_of(Options(resources={"num_gpus": 1}), "mlp", 4, "cuda").gpus == 1.0
    assert resources_of(Options(), SimpleNamespace(num_gpus=0), 4, "cuda").gpus == 0.0


def test_workers_are_as_many_as_were_asked_for() -> None:
    assert workers_asked(Options(workers=0)) == 0
    assert workers_asked(Options()) is None
    assert (workers_asked(Options(ray_address="127.0.0.1:1")) or 0) >= 1
    with pytest.raises(OptionError, match=r"--workers must lie in \[0, 4096\], got -1"):
        workers_asked(Options(workers=-1))


def test_a_cluster_is_not_named_for_a_study_that_trains_in_this_process() -> None:
    with pytest.raises(OptionError, match="--ray-address may not stand beside it"):
        workers_asked(Options(workers=0, ray_address="127.0.0.1:1"))
