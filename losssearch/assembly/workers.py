"""Who trains: devices, workers and what each is given."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import torch

from losssearch.errors import OptionError
from losssearch.execution import Executor, InProcessExecutor
from losssearch.execution.early import EarlyExecutor
from losssearch.execution.processes import LocalCluster
from losssearch.execution.resources import (
    WorkerResources,
    declared_resources,
    device_share,
    parse_memory,
    worker_resources,
)
from losssearch.option_names import option
from losssearch.plugins import load_imports
from losssearch.request import Request
from losssearch.study.observer import Observer

if TYPE_CHECKING:
    from losssearch.execution.ray import RayExecutor


def device_of(name: str) -> str:
    """The device that ``--device`` means on this machine."""
    if name not in ("auto", "cpu", "cuda"):
        raise OptionError(f"{option('device')} must be auto, cpu or cuda, got {name!r}")
    if name == "cuda" and not torch.cuda.is_available():
        raise OptionError(f"{option('device', 'cuda')} needs a CUDA device and a PyTorch built for it; none was found")
    return "cuda" if name != "cpu" and torch.cuda.is_available() else "cpu"


def workers_asked(options: Request) -> int | None:
    """How many workers the user asked for, one a core of a standing cluster's driver; None where nothing was said."""
    if options.workers is None:
        return (os.cpu_count() or 1) if options.ray_address else None
    if not 0 <= options.workers <= 4096:
        raise OptionError(f"{option('workers')} must lie in [0, 4096], got {options.workers}")
    if options.workers == 0 and options.ray_address:
        raise OptionError(
            f"{option('workers', 0)} trains in this process, so it cannot be combined with {option('ray_address')}"
        )
    return options.workers


def resources_of(options: Request, function: object, workers: int, device: str) -> WorkerResources:
    """As asked, else as the user's ``function`` declares, else one core and, on CUDA, a share of the device."""
    declared = declared_resources(options.resources, function)
    gpus = options.gpus_per_worker
    if gpus is None and device == "cuda" and workers and declared.get("num_gpus") is None:
        gpus = device_share(workers)
    memory = None if options.memory_per_worker is None else parse_memory(options.memory_per_worker)
    return worker_resources(declared, cpus=options.cpus_per_worker, gpus=gpus, memory=memory)


def executor_of(
    options: Request, workers: int, resources: WorkerResources, observer: Observer, *, early: bool = False
) -> Executor:
    """This process, or workers on a cluster, which is started or joined here.

    With ``early``, populations are trained here until the workers of a cluster of our own have started.
    """
    if workers == 0:
        return InProcessExecutor()

    imports = load_imports(options.imports)

    def start() -> RayExecutor:
        from losssearch.execution.ray import RayExecutor

        return RayExecutor(workers, options.ray_address, resources=resources, imports=imports, note=observer.note)

    cluster = LocalCluster() if options.ray_address is None else None
    executor = EarlyExecutor(workers, start, cluster)
    return executor if early and cluster else executor.wait()
