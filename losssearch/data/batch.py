"""What a batch holds: named tensors, each with an axis and an owner that are declared once.

Trainers, losses and judges pass a batch and the facts of its replica on without looking inside. A new field is declared
here, or by the kind of task that brings it, and is known to that kind and to the terms that read it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias

import torch
from torch import Tensor

from losssearch.errors import DataError

Batch: TypeAlias = Mapping[str, Tensor]
"""Named tensors, never written in. Stacked, a replica's field is ``[R, ...]`` and a member's ``[R, K, ...]``, with the
declared axis next; seen by one member these axes are gone. Facts are a batch too: fields without an axis."""

Axis: TypeAlias = Literal["row", "query", "pair"]
"""What a field has one entry per: a row, a query (several rows) or a pair of rows."""

Owner: TypeAlias = Literal["replica", "member"]
"""Whether all members of a replica share a field or each has its own."""


@dataclass(frozen=True)
class Field:
    """One field of a batch, or one fact where it has no ``axis``.

    Args:
        name: Its name.
        axis: What it has one entry per, ``"row"``, ``"query"`` or ``"pair"``; None for a fact, such as a share of all
            training rows.
        summary: What it holds.
        owner: Whether all members of a replica share it (``"replica"``) or each has its own (``"member"``).
    """

    name: str
    axis: Axis | None
    summary: str
    owner: Owner = "replica"


@dataclass(frozen=True)
class Groups:
    """The sensitive attribute sorts rows into ``count`` groups, and ``group`` holds their ids."""

    count: int


@dataclass(frozen=True)
class Attribute:
    """The sensitive attribute is a number, and ``group`` holds its values in one column."""


Sensitive: TypeAlias = Groups | Attribute | None


@dataclass(frozen=True)
class Sizes:
    """The sizes that shapes depend on.

    ``classes`` is 0 where the target has none; ``rows``: training rows of a replica; ``features``: encoded features of
    a row; ``outputs``: what a model puts out for one row; each 0 where it is not known. ``columns``: what is predicted
    for one row, 0 where that is one share per class.
    """

    classes: int = 0
    sensitive: Sensitive = None
    rows: int = 0
    features: int = 0
    outputs: int = 0
    columns: int = 0

    @property
    def groups(self) -> int:
        """Columns of memberships: one per group, 1 for an attribute that is a number, 0 without either."""
        return self.sensitive.count if isinstance(self.sensitive, Groups) else int(self.sensitive is not None)


def sensitive(groups: int) -> Sensitive:
    """From the number of groups as callers give it, where 1 stands for an attribute that is a number."""
    return Groups(groups) if groups > 1 else Attribute() if groups else None


_known: dict[str, Field] = {}


def declare_field(field: Field) -> Field:
    """Declare a field that a kind of task brings, so that its batches may hold it and its tensors may read it.

    Args:
        field: The field. Declaring one of the same name, axis and owner again changes nothing.

    Returns:
        The field as it was declared first.

    Raises:
        DataError: Another field has its name.

    Example:
        >>> import losssearch as ls
        >>> ls.declare_field(ls.Field("dose", "row", "dose that each row was given")).axis
        'row'
    """
    known = _known.setdefault(field.name, field)
    if (known.axis, known.owner) != (field.axis, field.owner):
        raise DataError(f"a batch has one field of each name, got a second {field.name!r}")
    return known


def field_of(name: str) -> Field:
    """The declaration of a field; raises `DataError` if there is none."""
    if name not in _known:
        raise DataError(f"a batch may hold declared fields, {', '.join(_known)}; got {name!r}: declare it first")
    return _known[name]


for _field in (
    Field("features", "row", "encoded features of each row"),
    Field("target", "row", "class id, or standardised target, of each row"),
    Field("group", "row", "id of the sensitive group of each row; one column of numbers for an attribute"),
    Field("weight", "row", "how often each row counts, 1 on average over the training rows"),
    Field("judged", "row", "what the metric reads of each training row, where that is not the target"),
    Field("exposure", "row", "how long, or how much, each row was observed; 1 where that is not known"),
    Field("query", "row", "number of the query that each row belongs to"),
    Field("index", "row", "number of each row among the training rows of its replica"),
    Field("class_prior", None, "share of each class in the training rows"),
    Field("target_mean", None, "mean of the target, which standardised targets are measured from"),
    Field("target_scale", None, "unit of standardised targets"),
    Field("zero", None, "where the target's own zero lies among standardised targets"),
):
    declare_field(_field)


def each(batch: Batch, change: Callable[[Tensor], Tensor]) -> Batch:
    """Every field after ``change``."""
    return {name: change(value) for name, value in batch.items()}


def on_device(batch: Batch, device: str | torch.device) -> Batch:
    """The batch on a device."""
    return each(batch, lambda value: value.to(device))


def of_replicas(batch: Batch, indices: Sequence[int] | Tensor) -> Batch:
    """Those of the replicas at these indices, in this order."""
    if not isinstance(indices, Tensor):
        indices = torch.as_tensor(list(indices), dtype=torch.int64)
    return each(batch, lambda value: value[indices.to(value.device)])


def at_rows(batch: Batch, rows: slice | Tensor) -> Batch:
    """The same rows ``[n]`` of every replica; fields without an entry per row stay as they are."""
    return {name: value[:, rows] if field_of(name).axis == "row" else value for name, value in batch.items()}


def require_known(batch: Batch, *, facts: bool = False) -> None:
    """Raise `DataError` if a field is not declared, or where there is an axis among ``facts``."""
    for name in batch:
        if (field_of(name).axis is None) is not facts:
            what = "a fact has no axis" if facts else "a field has an entry per row, query or pair"
            raise DataError(f"{what}, and {name!r} is declared otherwise")
