"""Counts of rows by group and decision, on which every gap of decisions depends."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from losssearch.errors import OptionError


@dataclass(frozen=True)
class Counts:
    """Counts of rows, float64, cells and groups first: ``[K, G, ...]``, where ``rows`` is ``[G, ...]``.

    A binary decision has one cell, its positive class; a multiclass one has a cell a class, that class against
    the rest. The remaining dimensions broadcast.
    """

    rows: Tensor
    positives: Tensor
    predicted: Tensor
    hits: Tensor


def group_counts(outputs: Tensor, target: Tensor, group: Tensor, groups: int) -> Counts:
    """Counts of the decisions of every member.

    Args:
        outputs: Adjusted binary logits ``[M, N]``, decided positive above 0, or logits ``[M, N, C]``.
        target: Labels ``[M, N]``.
        group: Ids ``[M, N]`` in ``[0, groups)``, int64.
        groups: How many groups there are, G.

    Returns:
        Counts whose remaining dimension is ``[M]``.
    """
    if outputs.dim() == target.dim():
        code = (group * 2 + (target > 0)) * 2 + (outputs > 0)
        table = _tally(code, 4 * groups).reshape(-1, groups, 2, 2)
        return counts_of_tables(table.permute(2, 3, 1, 0))
    classes, target = outputs.shape[-1], target.long()
    decided = outputs.argmax(-1)
    code = (group * classes + target) * classes + decided
    table = _tally(code, groups * classes * classes).reshape(-1, groups, classes, classes)
    return counts_of_tables(table.permute(2, 3, 1, 0))


def counts_of_tables(table: Tensor) -> Counts:
    """Counts from tables ``[C, C, G, ...]`` of rows by label, decision and group; two classes give one cell."""
    positives, predicted, hits = table.sum(1), table.sum(0), table.diagonal(0, 0, 1).movedim(-1, 0)
    first = 1 if len(table) == 2 else 0
    return Counts(table.sum((0, 1)), positives[first:], predicted[first:], hits[first:])


def tables_of(outputs: Tensor, target: Tensor, group: Tensor, groups: int) -> Tensor:
    """The table ``[C, C, G]`` of rows by label, decision and group of one member, ``[N]`` or ``[N, C]``."""
    binary = outputs.dim() == target.dim()
    classes = 2 if binary else outputs.shape[-1]
    decided = (outputs > 0).long() if binary else outputs.argmax(-1)
    label = (target > 0).long() if binary else target.long()
    code = (label * classes + decided) * groups + group
    return _tally(code.unsqueeze(0), classes * classes * groups).reshape(classes, classes, groups)


def check_groups(group: Tensor, groups: int, rows: int) -> None:
    """Refuse group ids that do not fit; with a single group, they are the values of an attribute that is a number.

    Values are looked at on the CPU alone: elsewhere every look would wait for the device, and a study asks often.

    Raises:
        OptionError: For ids out of range, of another type than int64, for other rows, or fewer than two groups.
    """
    if groups == 1 and group.is_floating_point():
        odd = group.dim() == 0 or group.shape[-1] != rows
        if odd or (group.device.type == "cpu" and not bool(group.isfinite().all())):
            raise OptionError(f"an attribute must be finite numbers of the same {rows} rows, got {list(group.shape)}")
        return
    if groups < 2:
        raise OptionError(f"fairness compares groups, so there must be at least two; got {groups}")
    if group.dtype != torch.int64 or group.dim() == 0 or group.shape[-1] != rows:
        raise OptionError(f"group must be int64 ids of the same {rows} rows, got {group.dtype} {list(group.shape)}")
    if group.device.type != "cpu":
        return
    if group.numel() and not 0 <= int(group.min()) <= int(group.max()) < groups:
        raise OptionError(f"group ids must lie in [0, {groups - 1}], got {int(group.min())} to {int(group.max())}")


def _tally(code: Tensor, count: int) -> Tensor:
    """How often each code in ``[0, count)`` stands in every row of ``code`` ``[M, N]``: ``[M, count]``, float64."""
    members = len(code)
    offset = torch.arange(members, device=code.device).unsqueeze(1) * count
    codes = (code + offset).reshape(-1)
    if codes.device.type == "cpu":
        return torch.bincount(codes, minlength=members * count).reshape(members, count).double()
    # `bincount` waits for a device, to learn the largest code.
    sums = torch.zeros(members * count, dtype=torch.float64, device=codes.device)
    return sums.index_add(0, codes, torch.ones_like(codes, dtype=torch.float64)).reshape(members, count)
