"""How many members a step may take at once: by the memory that is free, and by what was found not to fit."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import torch

SHARE = 0.25
"""Of the free memory that one step may fill: other workers of the machine take as much."""

HELD = 4
"""Copies of each activation that a step holds at its height: itself, its gradient, and two of the loss."""

REFUSED = ("can't allocate memory", "not enough memory", "out of memory")
"""How allocators without an error of their own say it."""


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an allocator, of the CPU or of a device, has refused."""
    if isinstance(error, torch.OutOfMemoryError | MemoryError):
        return True
    return isinstance(error, RuntimeError) and any(words in str(error) for words in REFUSED)


def members_at_once(
    shapes: Mapping[str, tuple[int, ...]], members: int, replicas: int, rows: int, device: torch.device
) -> int:
    """How many of ``members`` one step takes: all, where their activations fit.

    ``shapes`` are those of a member's parameters; each is taken for a layer as wide as its last dimension, over
    ``rows`` rows. That is a guess for a user's model: what does not fit after all is halved as it is found.
    """
    widths = sum(shape[-1] for shape in shapes.values() if len(shape) > 1) or 1
    member = 4 * HELD * replicas * rows * widths
    return max(1, min(members, int(SHARE * free_memory(device)) // member))


def free_memory(device: torch.device) -> int:
    """Bytes that could still be allocated: on a CUDA device, or on this machine within its control group's limit."""
    if device.type == "cuda":
        return int(torch.cuda.mem_get_info(device)[0])
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
