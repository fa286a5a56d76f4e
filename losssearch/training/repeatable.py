"""Reproducible training on a CUDA device."""

from __future__ import annotations

import os
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Any

import torch

from losssearch.training.shared_setting import SharedSetting

WORKSPACE = "CUBLAS_WORKSPACE_CONFIG"


def repeatable(device: torch.device | str) -> AbstractContextManager[None]:
    """On a CUDA device: PyTorch's deterministic operations, wherever there is one; nothing on the CPU.

    Sums by index (``index_add``, ``scatter_add``, the gradient of a gather, cumulative sums) otherwise add in the order
    in which threads happen to arrive. An operation of a user's model that has no deterministic form is computed all the
    same, with PyTorch's warning. On the CPU sums have one order anyway. The settings are the whole process's; they are
    restored when the last study that needs them is done.
    """
    return _SETTINGS.held() if torch.device(device).type == "cuda" else nullcontext()


@dataclass(frozen=True)
class _Settings:
    deterministic: bool
    warn_only: bool
    filled: bool
    timed: bool
    workspace: str | None


def _read() -> _Settings:
    memory: Any = torch.utils.deterministic
    return _Settings(
        torch.are_deterministic_algorithms_enabled(),
        torch.is_deterministic_algorithms_warn_only_enabled(),
        memory.fill_uninitialized_memory,
        torch.backends.cudnn.benchmark,
        os.environ.get(WORKSPACE),
    )


def _write(settings: _Settings) -> None:
    memory: Any = torch.utils.deterministic
    torch.use_deterministic_algorithms(settings.deterministic, warn_only=settings.warn_only)
    memory.fill_uninitialized_memory = settings.filled
    torch.backends.cudnn.benchmark = settings.timed
    if settings.workspace is None:
        os.environ.pop(WORKSPACE, None)
    else:
        os.environ[WORKSPACE] = settings.workspace


def _wanted(before: _Settings) -> _Settings:
    return _Settings(
        deterministic=True,
        warn_only=not before.deterministic or before.warn_only,  # who asked for errors instead of warnings keeps them
        filled=False,  # nothing of ours reads uninitialised memory
        timed=False,  # cuDNN would pick the algorithm that happened to be fastest
        # cuBLAS reads it once, at its first product; PyTorch counts no other setting as deterministic.
        workspace=":4096:8" if before.workspace is None else before.workspace,
    )


_SETTINGS: SharedSetting[_Settings] = SharedSetting(_read, _write, _wanted)
