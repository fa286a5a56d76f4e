"""What a worker is given, and what of it a user may say."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from losssearch.errors import OptionError
from losssearch.execution.resources import WorkerResources, parse_memory, worker_resources


def test_one_core_where_nothing_is_said() -> None:
    assert worker_resources("mlp") == WorkerResources(cpus=1.0, gpus=0.0, memory=None)
    assert WorkerResources().options() == {"num_cpus": 1.0, "num_gpus": 0.0}


def test_a_factory_declares_and_an_option_overrides() -> None:
    factory = SimpleNamespace(num_cpus=2, num_gpus=0.5, memory="1.5G")
    assert worker_resources(factory) == WorkerResources(2.0, 0.5, 3 << 29)
    assert worker_resources(factory, cpus=4, gpus=0.0) == WorkerResources(4.0, 0.0, 3 << 29)
    assert worker_resources(factory).options()["memory"] == 3 << 29


@pytest.mark.parametrize(
    "wrong",
    [
        {"cpus": 0},
        {"cpus": -1},
        {"cpus": float("nan")},
        {"gpus": -1},
        {"gpus": 1.5},
        {"gpus": float("inf")},
        {"memory": 0},
    ],
)
def test_numbers_out_of_range_are_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(OptionError, match="per worker must be"):
        worker_resources("mlp", **wrong)


@pytest.mark.parametrize("declared", [{"num_cpus": "two"}, {"num_gpus": True}, {"memory": [1]}, {"memory": "much"}])
def test_declarations_that_are_no_numbers_are_refused(declared: dict[str, Any]) -> None:
    with pytest.raises(OptionError, match="must be a"):
        worker_resources(SimpleNamespace(**declared))


@pytest.mark.parametrize(
    ("text", "size"),
    [("1024", 1024), ("500M", 500 << 20), ("2G", 2 << 30), ("1.5GiB", 3 << 29), ("64 kb", 64 << 10), ("1T", 1 << 40)],
)
def test_sizes(text: str, size: int) -> None:
    assert parse_memory(text) == size


@pytest.mark.parametrize("text", ["", "G", "-1G", "0", "1P", "1e9", "1G2", "9" * 400])
def test_what_is_no_size_is_refused(text: str) -> None:
    with pytest.raises(OptionError, match="memory must be a size such as"):
        parse_memory(text)
