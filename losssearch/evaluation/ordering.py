"""Sorting along the last dimension. On a CPU NumPy's vectorised sorts are several times faster than torch's."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor


def sort(values: Tensor) -> Tensor:
    """``values`` in ascending order along the last dimension."""
    if values.device.type == "cpu":
        return torch.from_numpy(np.sort(_wide(values).numpy(), axis=-1))
    return values.sort(dim=-1).values


def argsort(values: Tensor) -> Tensor:
    """The positions, int64, that put ``values`` into ascending order; the order among ties is open."""
    if values.device.type == "cpu":
        return torch.from_numpy(np.argsort(_wide(values).numpy(), axis=-1))
    return values.argsort(dim=-1)


def central_best(quality: Tensor) -> Tensor:
    """The position ``[M]`` of the largest value in ``quality`` ``[M, G]``; the median one where several are.

    A plateau of equally good choices is common on few rows; its middle carries over better than its edge.
    """
    top = quality.amax(-1, keepdim=True)
    # Equal optima may differ in the last digits, by the order of the operations that led to them.
    best = quality >= top - 1e-12 * top.abs().clamp(min=1.0)
    rank = best.cumsum(-1, dtype=torch.int32)
    middle = (rank[:, -1:] + 1) // 2
    return (best & (rank == middle)).to(torch.uint8).argmax(-1)


def _wide(values: Tensor) -> Tensor:
    return values.float() if values.dtype in (torch.float16, torch.bfloat16) else values
