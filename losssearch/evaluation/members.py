"""Runs a computation over the members of a population, a few at a time, so that memory stays bounded."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor

from losssearch.errors import OptionError

CHUNK = 2**20
"""Output values that are worked on at once; eight bytes each, a handful of temporaries."""

WIDER = 8
"""How many times as many on a CUDA device, which each chunk has to be waited for."""


def map_members(
    function: Callable[..., Tensor],
    outputs: Tensor,
    *others: Tensor,
    class_axis: bool,
    only: Tensor | None = None,
    columns: frozenset[int] = frozenset(),
    count: int = 0,
) -> Tensor:
    """Apply ``function`` to every member of a population and return one number per member, or ``count``.

    Args:
        function: From outputs ``[M, N]`` or ``[M, N, C]`` and ``others`` ``[M, ...]`` to ``[M]``.
        outputs: ``[..., N]``, or ``[..., N, C]`` where ``class_axis``.
        others: Tensors with one trailing dimension whose leading ones broadcast to those of ``outputs``; those at the
            positions ``columns`` have two.
        class_axis: Whether the last dimension of ``outputs`` is the class.
        only: Members to work on, boolean, broadcastable to the leading dimensions; all by default.
        columns: Which of ``others`` end in an axis of columns.
        count: How many numbers ``function`` gives per member, ``[M, count]``; 0 for one, ``[M]``.

    Returns:
        ``[...]`` or ``[..., count]``, float64: nan for a member with a non-finite output, and for one left out by
        ``only``.

    Raises:
        OptionError: Where the shapes do not fit each other.
    """
    trailing = 2 if class_axis else 1
    if outputs.dim() < trailing:
        wanted = "[..., N, C]" if class_axis else "[..., N]"
        raise OptionError(f"outputs must have the shape {wanted}, got {list(outputs.shape)}")
    lead = outputs.shape[: outputs.dim() - trailing]
    flat = outputs.detach().reshape(math.prod(lead), *outputs.shape[len(lead) :])
    usable = flat.isfinite().flatten(1).all(1)
    if only is not None:
        usable &= _expand(only.to(flat.device), lead).reshape(-1)
    members = usable.nonzero().squeeze(1)
    rows = [
        _member_rows(other.detach(), lead, flat.device, 2 if place in columns else 1)
        for place, other in enumerate(others)
    ]
    own = (count,) if count else ()
    values = torch.full((len(flat), *own), math.nan, dtype=torch.float64, device=flat.device)
    size = CHUNK if flat.device.type == "cpu" else WIDER * CHUNK
    step = max(1, size // max(1, math.prod(flat.shape[1:])))
    for start in range(0, len(members), step):
        chunk = members[start : start + step]
        values[chunk] = function(flat[chunk], *(table[index[chunk]] for table, index in rows)).double()
    return values.reshape((*lead, *own))


def _member_rows(tensor: Tensor, lead: torch.Size, device: torch.device, trailing: int) -> tuple[Tensor, Tensor]:
    """``tensor`` as a table of rows, and the row that each member reads: broadcasting without a copy."""
    table = tensor.to(device).reshape(-1, *tensor.shape[-trailing:])
    index = torch.arange(len(table), device=device).reshape(tensor.shape[:-trailing])
    return table, _expand(index, lead).reshape(-1)


def _expand(tensor: Tensor, lead: torch.Size) -> Tensor:
    try:
        return tensor.expand(lead)
    except RuntimeError:
        found = list(tensor.shape)
        raise OptionError(f"leading dimensions must broadcast to {list(lead)}, got {found}") from None
