"""Seeded random draws that restore the program's random state afterwards."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import torch

from losssearch import stopping

PATIENCE = 0.2
"""Seconds between two looks at whether the study was asked to stop, while another thread draws."""

_LOCKS = [threading.RLock()]


@contextmanager
def own_draws(device: torch.device | None = None) -> Iterator[list[int]]:
    """Restore the states of PyTorch's generators at the end; gives the CUDA devices among them, for `seed_draws`.

    Args:
        device: the only CUDA device that is drawn on. Where it is left out, all of them where CUDA is in use.

    On the CPU alone CUDA is neither started nor seeded: a seed would be kept for when it starts. The generators are the
    whole process's, so one thread at a time draws here; others wait.
    """
    with _alone():
        yield from _restoring(device)


def _restoring(device: torch.device | None) -> Iterator[list[int]]:
    if device is None:
        devices = list(range(torch.cuda.device_count())) if torch.cuda.is_initialized() else []
    elif device.type == "cuda":
        devices = [torch.cuda.current_device() if device.index is None else device.index]
    else:
        devices = []
    with torch.random.fork_rng(devices=devices):
        yield devices


@contextmanager
def _alone() -> Iterator[None]:
    """Hold the lock; a study that was asked to stop does not wait for it."""
    lock = _LOCKS[0]
    while not lock.acquire(timeout=PATIENCE):
        stopping.check()
    try:
        yield
    finally:
        lock.release()


def _renew() -> None:
    """A forked process has none of the threads that may hold the lock."""
    _LOCKS[0] = threading.RLock()


os.register_at_fork(after_in_child=_renew)


def seed_draws(seed: int, devices: list[int]) -> None:
    """Seed the CPU's generator and those of the CUDA ``devices``; ``torch.manual_seed`` would seed all there are."""
    torch.default_generator.manual_seed(seed)
    for device in devices:
        torch.cuda.default_generators[device].manual_seed(seed)
