"""What data must know of a kind of task: whether its target is classes or numbers, how many, and what stays whole.

A kind of task declares one of `Classes`, `Numbers` and `Values` under its name. Data look it up by that name; no name
is compared.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib import import_module
from typing import Any, Literal, TypeAlias, get_args

import numpy as np
from numpy.typing import NDArray

from losssearch.errors import SpecError, UnknownNameError

_BUILT_IN = "losssearch.tasks.kinds"
"""The module that declares the built-in kinds. It is above this layer, so it is named here and loaded when needed."""


@dataclass(frozen=True)
class Classes:
    """A target of class ids, int64 from 0.

    Args:
        count: How many classes there must be; None for any number from two.
        ordered: Whether they are grades, in an order that numbers or an ordered category give.
    """

    count: int | None = None
    ordered: bool = False
    columns = 1
    nominal = True

    @property
    def pair(self) -> bool:
        """Whether there are exactly two classes, a negative one and a positive one."""
        return self.count == 2

    def strata(self, target: NDArray[Any]) -> NDArray[Any]:
        """The stratum ``[rows]`` of each row for a stratified split: its class."""
        return target


@dataclass(frozen=True)
class Numbers:
    """A target of numbers, float64, standardised for training.

    Args:
        columns: How many numbers there are per row; with more than one the target is ``[rows, columns]``.
    """

    columns: int = 1
    count = None
    nominal = False
    pair = False

    def __post_init__(self) -> None:
        if isinstance(self.columns, bool) or not isinstance(self.columns, int) or self.columns < 1:
            raise SpecError(f"a target must have a whole number of columns of at least 1, got {self.columns!r}")

    def strata(self, target: NDArray[Any]) -> NDArray[Any]:
        """The stratum ``[rows]`` of each row for a stratified split: a range of its (first) number, of equal counts."""
        values = target if target.ndim == 1 else target[:, 0]
        bins = int(np.clip(len(values) // 20, 2, 10))
        edges = np.quantile(values, np.arange(1, bins) / bins)
        return np.asarray(np.searchsorted(edges, values, side="right"))


Columns: TypeAlias = NDArray[Any]
"""A target ``[rows]``, or ``[rows, columns]`` where it has several."""

RowFields: TypeAlias = Mapping[str, NDArray[Any]]
"""Fields of the same rows, ``[rows]``, by name: ``exposure``, ``query``."""

Known: TypeAlias = Mapping[str, NDArray[Any]]
"""Facts of the training rows by name."""


def _anything(target: Columns, names: Sequence[str], where: str) -> None:
    """No rule."""


def _no_facts(target: Columns, fields: RowFields, weight: NDArray[Any] | None) -> Known:
    return {}


def _as_given(target: Columns, fields: RowFields, facts: Known) -> Mapping[str, NDArray[Any]]:
    return {"target": target, **fields}


def _target_alone(target: Columns, fields: RowFields) -> Columns:
    return target


@dataclass(frozen=True)
class Values:
    """A target of numbers that stay in their own unit, such as counts, or a time and whether it was observed.

    Args:
        columns: How many numbers there are per row; with more than one the target is ``[rows, columns]``.
        check: ``check(target, names, where)`` raises `DataError` for values that cannot be this target, in one line;
            ``names`` are those of its columns, and ``where`` says which data they are in.
        reads: Fields of a row that the kind of task reads where the user names their columns: ``exposure``, ``query``.
        needs: Those of them that the user must name.
        facts: ``facts(target, fields, weight)`` of the training rows; ``weight`` is None where all rows count alike.
        made: ``made(target, fields, facts)`` gives the fields of a training batch by name, ``target`` among them. Each
            is declared with `losssearch.declare_field`; numbers become float32.
        judged: ``judged(target, fields)`` gives what the metric reads as its target.
        stratum: The column whose ranges are the strata of a stratified split.
    """

    columns: int = 1
    check: Callable[[Columns, Sequence[str], str], None] = _anything
    reads: tuple[str, ...] = ()
    needs: tuple[str, ...] = ()
    facts: Callable[[Columns, RowFields, NDArray[Any] | None], Known] = _no_facts
    made: Callable[[Columns, RowFields, Known], Mapping[str, NDArray[Any]]] = _as_given
    judged: Callable[[Columns, RowFields], Columns] = _target_alone
    stratum: int = 0
    lists: bool = False
    """Whether rows are gathered into lists by the field ``query``, and a list is one row of the dataset."""
    count = None
    nominal = False
    pair = False

    def strata(self, target: NDArray[Any]) -> NDArray[Any]:
        """As `Numbers.strata`, of the column ``stratum``."""
        return Numbers().strata(target if target.ndim == 1 else target[:, self.stratum])


TargetKind: TypeAlias = Classes | Numbers | Values

Unit: TypeAlias = Literal["row", "group", "given"]
"""Rows; the groups of rows that the user must give; or what is given: groups where the user names them, else rows."""


@dataclass(frozen=True)
class Units:
    """What stays whole in a kind of task.

    Args:
        split: What lies in one part of the data, and in one side of a draw.
        bootstrap: What intervals take as independent, and resample.

    Raises:
        SpecError: A unit is none of row, group and given.
    """

    split: Unit = "given"
    bootstrap: Unit = "given"

    def __post_init__(self) -> None:
        for unit in (self.split, self.bootstrap):
            if unit not in get_args(Unit):
                raise SpecError(f"the unit of a task is one of {', '.join(get_args(Unit))}, got {unit!r}")


@dataclass(frozen=True)
class _Entry:
    kind: TargetKind
    inferred: bool
    units: Units


_entries: dict[str, _Entry] = {}


def declare_target(name: str, kind: TargetKind, *, inferred: bool = False, units: Units = Units()) -> None:
    """Enter what a kind of task reads as its target.

    Args:
        name: The name of the kind of task.
        kind: What its target is.
        inferred: Whether a target's values alone may suggest it; otherwise it must be asked for by name.
        units: What stays whole in splits and in intervals.
    """
    _entries[name] = _Entry(kind, inferred, units)


def target_kind(name: str) -> TargetKind:
    """The target of a kind of task.

    Raises:
        UnknownNameError: With the nearest names, for a kind that is not declared.
    """
    return _entry(name).kind


def units_of(name: str) -> Units:
    """What stays whole in a kind of task.

    Raises:
        UnknownNameError: With the nearest names, for a kind that is not declared.
    """
    return _entry(name).units


def task_names(*, inferred: bool = False) -> tuple[str, ...]:
    """The names of all kinds of task, or of those that a target's values may suggest, in the order of declaration."""
    return tuple(name for name, entry in _declared().items() if entry.inferred or not inferred)


def named(kind: TargetKind) -> str:
    """The kind of task that values are read as where they suggest such a target."""
    return next(_fitting(kind))


def _fitting(kind: TargetKind) -> Iterator[str]:
    return (name for name in task_names(inferred=True) if _entries[name].kind == kind)


def _entry(name: str) -> _Entry:
    found = _declared()
    if name not in found:
        raise UnknownNameError("task", name, found)
    return found[name]


def _declared() -> Mapping[str, _Entry]:
    import_module(_BUILT_IN)
    return _entries
