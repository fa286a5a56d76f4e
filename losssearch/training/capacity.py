"""How many members a step may take at once: by the memory that there is, and by what was found not to fit."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import torch

SHARE = 0.25
"""Of the memory that one step may fill at the most; half of a worker's own where there are several."""

MOST = 4 << 30
"""Bytes that one step may fill on a CUDA device: it gains nothing from more, and so large a device or a share of one
splits no population that another does not."""

HELD = 4
"""Copies of each activation that a step holds at its height: itself, its gradient, and two of the loss."""


def members_at_once(
    shapes: Mapping[str, tuple[int, ...]],
    members: int,
    replicas: int,
    rows: int,
    device: torch.device,
    share: float = 1.0,
    kept: int = 0,
) -> int:
    """How many of ``members`` one step takes: all, where their activations fit.

    ``shapes`` are those of a member's parameters; each is taken for a layer as wide as its last dimension, over
    ``rows`` rows. That is a guess for a user's model: what does not fit after all is halved as it is found.
    ``share``: the part of the device, or of this machine, that this worker has. ``kept``: bytes that the losses of all
    keep for training rows.
    """
    widths = sum(shape[-1] for shape in shapes.values() if len(shape) > 1) or 1
    member = 4 * HELD * replicas * rows * widths
    return max(1, min(members, (step_memory(device, share) - kept) // member))


def step_memory(device: torch.device, share: float = 1.0) -> int:
    """Bytes that one step may fill.

    On a CUDA device the last digits depend on how a population is split. So there this depends on the device and the
    share alone, and not on what happens to be free.
    """
    part = min(SHARE, share / 2)
    if device.type == "cuda":
        return min(MOST, int(part * torch.cuda.get_device_properties(device).total_memory))
    return int(part * free_memory())


def give_back(device: torch.device) -> None:
    """Return what PyTorch keeps of a CUDA device's memory without using it."""
    if device.type == "cuda":
        torch.cuda.empty_cache()


def free_memory() -> int:
    """Bytes that could still be allocated on this machine, within its control group's limit."""
    found = [_machine(), _group()]
    return min(free for free in found if free is not None) if any(found) else 1 << 32


def _machine() -> int | None:
    try:
        lines = Path("/proc/meminfo").read_text().splitlines()
    except OSError:  # not Linux
        return None
    sizes = (int(line.split()[1]) << 10 for line in lines if line.startswith("MemAvailable:"))
    return next(sizes, None)


def _group(folder: Path = Path("/sys/fs/cgroup")) -> int | None:
    try:
        limit, used = ((folder / name).read_text().strip() for name in ("memory.max", "memory.current"))
    except OSError:
        return None
    return None if limit == "max" else max(0, int(limit) - int(used))
