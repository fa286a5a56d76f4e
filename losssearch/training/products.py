"""Using the faster of two libraries for matrix products on the CPU, if it is as exact."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, nullcontext
from functools import cache
from typing import Any

import torch
from torch import Tensor

from losssearch.training.shared_setting import SharedSetting, no_change

SHAPES = ((64, 64, 64), (64, 64, 10), (96, 256, 64), (256, 96, 1), (33, 30, 17))
"""Rows, inner and columns of the products that are compared."""

TOLERATED = 4.0
"""How many times the error of the default library is taken for the same: bfloat16 has 10,000 times as much."""


def _setting() -> Any:
    """PyTorch makes it by replacing a module with an object, which its types do not tell; older ones have none."""
    backend: Any = torch.backends.mkldnn
    return getattr(backend, "matmul", None)


def quick_products() -> AbstractContextManager[None]:
    """Float32 products on the CPU by oneDNN, where it was found to be as exact as the default library.

    PyTorch leaves float32 products to MKL unless they may be computed in bfloat16; on processors without
    bfloat16 matrix units oneDNN computes them in float32 all the same, and with the widest vectors of any maker.
    The setting is the whole process's; it is restored when the last study that needs it is done.
    """
    return nullcontext() if _setting() is None else _QUICK.held()


def _read() -> str:
    return str(_setting().fp32_precision)


def _write(precision: str) -> None:
    _setting().fp32_precision = precision


@cache
def onednn_is_exact() -> bool:
    """Whether oneDNN, allowed to compute in bfloat16, still computes in float32 here; tried once per process."""
    if _setting() is None or not torch.backends.mkldnn.is_available():
        return False
    with no_change():
        before = _read()
        try:
            _write("ieee")
            default = [_error(*pair) for pair in _pairs()]
            _write("bf16")
            found = [_error(*pair) for pair in _pairs()]
        finally:
            _write(before)
    return all(error <= TOLERATED * usual for error, usual in zip(found, default, strict=True))


def _wanted(before: str) -> str:
    return "bf16" if onednn_is_exact() else before


_QUICK: SharedSetting[str] = SharedSetting(_read, _write, _wanted)


def _pairs() -> Iterator[tuple[Tensor, Tensor]]:
    """Batches of factors, laid out as in the passes of a model, forwards and backwards."""
    generator = torch.Generator().manual_seed(0)
    for rows, inner, columns in SHAPES:
        left, right = (torch.randn(8, *shape, generator=generator) for shape in ((rows, inner), (inner, columns)))
        slope = torch.randn(8, rows, columns, generator=generator)
        yield left, right
        yield right.mT, left.mT
        yield left.mT, slope
        yield slope, right.mT
        yield left[0], right[0]


def _error(left: Tensor, right: Tensor) -> float:
    exact = left.double() @ right.double()
    return float(((left @ right) - exact).norm() / exact.norm())
