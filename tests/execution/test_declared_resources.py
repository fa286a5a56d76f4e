"""Resources that an option or a user's function declares."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from losssearch.errors import OptionError
from losssearch.execution.resources import WorkerResources, declared_resources, worker_resources


def test_what_is_asked_comes_before_what_the_function_declares() -> None:
    function = SimpleNamespace(num_cpus=2, num_gpus=0.5, memory="1G")
    assert declared_resources({"num_cpus": 4, "memory": "2G"}, function) == {
        "num_cpus": 4,
        "num_gpus": 0.5,
        "memory": 2 << 30,
    }
    assert declared_resources(None, lambda loss, trial: 0.0) == {"num_cpus": None, "num_gpus": None, "memory": None}


def test_an_option_of_its_own_comes_first() -> None:
    declared = declared_resources({"num_cpus": 4}, None)
    assert worker_resources(declared, cpus=1, gpus=1) == WorkerResources(1.0, 1.0, None)
    assert worker_resources(declared) == WorkerResources(4.0, 0.0, None)


@pytest.mark.parametrize(
    ("asked", "rule"),
    [
        ({"cpu": 1}, r"resources are num_cpus, num_gpus, memory; got \['cpu'\]"),
        ({"num_cpus": "1"}, "num_cpus of a worker's resources must be a number, got '1'"),
        ({"num_gpus": True}, "num_gpus of a worker's resources must be a number, got True"),
        ({"memory": "much"}, "memory must be a size"),
        ({"memory": float("nan")}, "memory per worker must be above 0 bytes, got nan"),
        ({"memory": float("inf")}, "memory per worker must be above 0 bytes, got inf"),
        ({"num_cpus": 0}, "cores per worker must be finite and above 0"),
    ],
)
def test_what_is_no_resource_is_refused(asked: dict[str, float | str], rule: str) -> None:
    with pytest.raises(OptionError, match=rule):
        worker_resources(declared_resources(asked, None))
