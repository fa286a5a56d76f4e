"""What a composed loss keeps, as parameters and buffers of a module: how much it may be, read, and written."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from losssearch.data.room import in_units, memory
from losssearch.errors import SpecError
from losssearch.losses.domains import MOST_MEMORY, TABLES
from losssearch.losses.kept import Kept

if TYPE_CHECKING:
    from losssearch.data.batch import Sizes


def require_room(kept: Sequence[Kept], sizes: Sizes, groups: int) -> None:
    """Raise `SpecError` where it would be too much."""
    carried = [own for own in kept if own.state.update is not None]
    by_row = sum(4 * sizes.rows * torch.Size(own.shape).numel() for own in carried if own.state.by_row)
    if by_row > TABLES * memory():
        raise SpecError(
            f"what a loss keeps for each training row may take a quarter of the memory, {in_units(memory())} "
            f"in all; this one would take {in_units(by_row)} for rows={sizes.rows}"
        )
    total = sum(torch.Size(own.shape).numel() for own in carried if not own.state.by_row)
    if total > MOST_MEMORY:
        raise SpecError(
            f"a loss may carry {MOST_MEMORY} numbers from batch to batch; this one needs {total} for "
            f"{sizes.classes} classes and {groups} groups"
        )


def read_states(
    module: nn.Module, learned: nn.ParameterDict, kept: Sequence[Kept], like: Tensor, index: Tensor | None
) -> dict[str, Tensor]:
    """What a part or the balance keeps, by name, of the type of ``like``; of the rows ``index`` [batch] alone."""
    found: dict[str, Tensor] = {}
    for own in kept:
        if own.state.optimised:
            found[own.name] = learned[own.key]
            continue
        value = module.get_buffer(own.buffer)
        if own.state.by_row:
            assert index is not None  # noqa: S101  (checked where the batch arrives)
            value = value.index_select(0, index)
        found[own.name] = value.to(like.dtype)
    return found


def write_states(module: nn.Module, kept: Sequence[Kept], after: Mapping[str, Tensor], index: Tensor | None) -> None:
    """Put the next values of what a part or the balance keeps, by name, in the place of the old."""
    for own in kept:
        if own.name in after:
            old = module.get_buffer(own.buffer)
            value = after[own.name].detach().to(old.dtype)
            if own.state.by_row:  # the backward pass reads a copy of the rows
                assert index is not None  # noqa: S101  (checked where the batch arrives)
                old.index_copy_(0, index, value)
            else:  # in place it would change what the backward pass still reads
                setattr(module, own.buffer, value)
