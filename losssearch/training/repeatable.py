"""Training on a CUDA device that gives the same digits each time."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch

WORKSPACE = "CUBLAS_WORKSPACE_CONFIG"


@contextmanager
def repeatable(device: torch.device | str) -> Iterator[None]:
    """On a CUDA device: PyTorch's deterministic operations, wherever there is one; settings are put back at the end.

    Sums by index (``index_add``, ``scatter_add``, the gradient of a gather, cumulative sums) otherwise add in the order
    in which threads happen to arrive. An operation of a user's model that has no deterministic form is computed all the
    same, with PyTorch's warning. On the CPU sums have one order anyway, and nothing is set.
    """
    if torch.device(device).type != "cuda":
        yield
        return
    # cuBLAS reads it once, at its first product; PyTorch counts no other setting as deterministic.
    os.environ.setdefault(WORKSPACE, ":4096:8")
    memory: Any = torch.utils.deterministic
    before = torch.are_deterministic_algorithms_enabled(), torch.is_deterministic_algorithms_warn_only_enabled()
    filled, timed = memory.fill_uninitialized_memory, torch.backends.cudnn.benchmark
    try:
        # A user who asked for errors instead of warnings keeps them.
        torch.use_deterministic_algorithms(True, warn_only=not before[0] or before[1])
        memory.fill_uninitialized_memory = False  # nothing of ours reads it
        torch.backends.cudnn.benchmark = False  # it picks the algorithm that happened to be fastest
        yield
    finally:
        torch.use_deterministic_algorithms(before[0], warn_only=before[1])
        memory.fill_uninitialized_memory = filled
        torch.backends.cudnn.benchmark = timed
