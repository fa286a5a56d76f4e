"""Seeded draws that leave the random numbers of the program around them as they were."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch


@contextmanager
def own_draws(device: torch.device | None = None) -> Iterator[list[int]]:
    """Restore the states of PyTorch's generators at the end; gives the CUDA devices among them, for `seed_draws`.

    Args:
        device: the only CUDA device that is drawn on. Where it is left out, all of them where CUDA is in use.

    On the CPU alone CUDA is neither started nor seeded: a seed would be kept for when it starts.
    """
    if device is None:
        devices = list(range(torch.cuda.device_count())) if torch.cuda.is_initialized() else []
    elif device.type == "cuda":
        devices = [torch.cuda.current_device() if device.index is None else device.index]
    else:
        devices = []
    with torch.random.fork_rng(devices=devices):
        yield devices


def seed_draws(seed: int, devices: list[int]) -> None:
    """Seed the CPU's generator and those of the CUDA ``devices``; ``torch.manual_seed`` would seed all there are."""
    torch.default_generator.manual_seed(seed)
    for device in devices:
        torch.cuda.default_generators[device].manual_seed(seed)
