"""What the workers of a search are given, from options and from what a user's function declares."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
import torch

from losssearch.assembly.workers import resources_of, workers_asked
from losssearch.errors import OptionError
from losssearch.execution.resources import WorkerResources, keep_to_share
from losssearch.request import Request


def test_resources_are_the_same_for_factories_and_training_functions() -> None:
    function = SimpleNamespace(num_cpus=2, num_gpus=0.25, memory="1G")
    assert resources_of(Request(), function, 2, "cpu") == WorkerResources(2.0, 0.25, 1 << 30)
    asked = Request(resources={"num_cpus": 3, "memory": "2G"})
    assert resources_of(asked, function, 2, "cpu") == WorkerResources(3.0, 0.25, 2 << 30)
    own = Request(resources={"num_cpus": 3}, cpus_per_worker=1, memory_per_worker="4G")
    assert resources_of(own, "mlp", 2, "cpu") == WorkerResources(1.0, 0.0, 4 << 30)


def cards(monkeypatch: pytest.MonkeyPatch, *gib: int) -> None:
    monkeypatch.setattr(torch.cuda, "device_count", lambda: len(gib))
    monkeypatch.setattr(
        torch.cuda, "get_device_properties", lambda index: SimpleNamespace(total_memory=gib[index] << 30)
    )


def test_workers_share_one_cuda_device_unless_something_else_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    cards(monkeypatch, 80)
    assert resources_of(Request(), "mlp", 4, "cuda").gpus == 0.25
    assert resources_of(Request(resources={"num_gpus": 1}), "mlp", 4, "cuda").gpus == 1.0
    assert resources_of(Request(), SimpleNamespace(num_gpus=0), 4, "cuda").gpus == 0.0


@pytest.mark.parametrize(
    ("workers", "devices", "share"), [(1, 1, 1.0), (6, 1, 0.1666), (8, 4, 0.5), (8, 3, 0.3333), (2, 4, 1.0)]
)
def test_shares_fill_every_device_and_no_more(
    workers: int, devices: int, share: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ray counts in ten-thousandths: six times 0.1667 would be more than a device."""
    cards(monkeypatch, *[80] * devices)
    assert resources_of(Request(), "mlp", workers, "cuda").gpus == share
    assert -(-workers // devices) * share <= 1


def test_more_workers_than_a_device_holds_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    cards(monkeypatch, 8, 6)
    assert resources_of(Request(), "mlp", 12, "cuda").gpus == 0.1666
    with pytest.raises(OptionError, match=r"workers=13 leaves each worker 0.86 GiB .* needs 1: ask for 12 at most"):
        resources_of(Request(), "mlp", 13, "cuda")
    # Who says how much each worker gets has those wait for which there is no room.
    assert resources_of(Request(gpus_per_worker=0.5), "mlp", 13, "cuda").gpus == 0.5


def test_a_worker_keeps_to_its_share(monkeypatch: pytest.MonkeyPatch) -> None:
    """On a CUDA device its tensors may fill no more; of the machine's memory it counts on its part."""
    kept: list[float] = []
    monkeypatch.setattr(torch.cuda, "set_per_process_memory_fraction", kept.append)
    each = WorkerResources(gpus=0.125)
    assert (each.share("cuda", 8), each.share("cpu", 8)) == (0.125, 0.125)
    assert (WorkerResources().share("cuda", 5), WorkerResources(gpus=2.0).share("cuda", 5)) == (0.2, 1.0)
    for share, device in ((0.125, "cuda"), (1.0, "cuda"), (0.125, "cpu")):
        keep_to_share(share, device)
    assert kept == [0.9 * 0.125]


def test_workers_are_as_many_as_were_asked_for() -> None:
    assert workers_asked(Request(workers=0)) == 0
    assert workers_asked(Request()) is None
    assert (workers_asked(Request(ray_address="127.0.0.1:1")) or 0) >= 1
    with pytest.raises(OptionError, match=r"workers must lie in \[0, 4096\], got -1"):
        workers_asked(Request(workers=-1))


def test_a_cluster_is_not_named_for_a_study_that_trains_in_this_process() -> None:
    with pytest.raises(OptionError, match="cannot be combined with ray_address"):
        workers_asked(Request(workers=0, ray_address="127.0.0.1:1"))
