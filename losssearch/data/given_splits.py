"""Splits that a user gives: a test file, a column of groups, of times, or of the names of parts; and sample weights.

A `Given` says what was asked for. `read_given` reads it into a `GivenSplit`: which rows belong together, in which order
they came, and which part each is in. `losssearch.data.splits` then cuts by it.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import pairwise
from typing import Any, TypeAlias

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from losssearch.data.columns import read_column
from losssearch.data.named_parts import PARTS, TEST, require_values, sides_of
from losssearch.data.sources import Data, Source, require_column
from losssearch.data.target_kind import Units, units_of
from losssearch.errors import DataError, OptionError
from losssearch.option_names import option

Named: TypeAlias = str | NDArray[Any] | pd.Series | Sequence[Any]
"""A column by its name; or one value per row, for data that are a pair (X, y)."""


_NO_SPLIT = ("weight", "exposure", "query")
"""Roles that say nothing of how rows are split."""


@dataclass(frozen=True)
class Given:
    """What a user says of the splits; see `losssearch.data.dataset.load`."""

    test: Data | None = None
    group: Named | None = None
    time: Named | None = None
    split: Named | None = None
    time_as_feature: bool = False
    weight: Named | None = None
    exposure: Named | None = None
    query: Named | None = None

    def __post_init__(self) -> None:
        if self.test is not None and self.split is not None:
            raise OptionError(
                f"{option('test')} and {option('split')} both say which rows are the test part: give one of them"
            )
        if self.group is not None and self.time is not None:
            raise OptionError(
                f"{option('group')} keeps the rows of a group together and {option('time')} splits them by their "
                f"time: give one of them"
            )
        if self.time_as_feature and self.time is None:
            raise OptionError(
                f"{option('time_as_feature', True)} needs {option('time')}, the column that is to stay among "
                f"the features"
            )

    @property
    def roles(self) -> dict[str, Named]:
        """The given columns by their role: ``group``, ``time``, ``split``, ``weight``, ``exposure`` or ``query``."""
        names = ("group", "time", "split", *_NO_SPLIT)
        named: dict[str, Named | None] = {name: getattr(self, name) for name in names}
        return {role: value for role, value in named.items() if value is not None}

    @property
    def columns(self) -> dict[str, str]:
        """By role, the columns that are named; none for arrays."""
        return {role: value for role, value in self.roles.items() if isinstance(value, str)}

    @property
    def hidden(self) -> list[str]:
        """The columns that are no features."""
        return [name for role, name in self.columns.items() if role != "time" or not self.time_as_feature]

    def described(self) -> dict[str, Any]:
        """What a resumed study must find unchanged; empty if nothing was given."""
        told: dict[str, Any] = {
            role: value if isinstance(value, str) else "an array" for role, value in self.roles.items()
        }
        if self.test is not None:
            told["test"] = str(self.test) if not isinstance(self.test, pd.DataFrame | tuple) else "data"
        if self.time_as_feature:
            told["time_as_feature"] = True
        return told


@dataclass(frozen=True, eq=False)
class GivenSplit:
    """What was given, row by row.

    ``cluster``: ids of groups that stay together, ``[rows]``. ``time``: ranks, equal where times are equal. ``side``:
    the part of each row, -1 for rows that are to be split into search and confirmation. ``facts``: what result.json
    says.
    """

    cluster: NDArray[np.int64] | None = None
    time: NDArray[np.int64] | None = None
    side: NDArray[np.int64] | None = None
    names: tuple[str, ...] = ()
    """The name of each cluster."""
    facts: Mapping[str, Any] = field(default_factory=dict)

    def digest(self) -> bytes:
        """What a fingerprint of the data must cover."""
        arrays = (self.cluster, self.time, self.side)
        held = [b"" if values is None else values.astype("<i8").tobytes() for values in arrays]
        return json.dumps([len(part) for part in held]).encode() + b"".join(held)


def attach(source: Source, roles: Mapping[str, Named], rows: slice | None = None) -> Source:
    """The source with the values of each role added to its rows; ``rows``: the part of an array that belongs to it.

    Raises `DataError` for a column that is not there, `OptionError` for the target, or values that are not one per row.
    """
    extra = dict(source.extra)
    for role, value in roles.items():
        extra[role] = _values(source, role, value, rows)
    return replace(source, extra=extra)


def _values(source: Source, role: str, value: Named, rows: slice | None) -> pd.Series:
    if isinstance(value, str):
        if value in [column.name for column in source.targets]:
            raise OptionError(f"{option(role)} must not be the target; {value!r} is both")
        if not isinstance(source.features, pd.DataFrame):
            raise OptionError(
                f"{option(role)} names a column of a table; {source.where} holds arrays: give one value per row instead"
            )
        require_column(value, source.features, source.where, f"{role} column")
        return source.features[value].reset_index(drop=True)
    given = np.asarray(value) if not hasattr(value, "detach") else np.asarray(value.detach().cpu())
    if given.ndim != 1 or (rows is None and len(given) != len(source.target)):
        raise OptionError(f"{role} must be one value per row: {len(source.target)} rows, got shape {list(given.shape)}")
    return pd.Series(given if rows is None else given[rows]).rename(role)


def split_arrays(roles: Mapping[str, Named], rows: int, held: int) -> None:
    """Raise `OptionError` if an array does not hold ``rows`` values, and then those of ``held`` test rows."""
    for role, value in roles.items():
        if not isinstance(value, str) and len(value) != rows + held:
            raise OptionError(
                f"{role} must be one value per row, those of data first and those of test after them: "
                f"{rows} and {held} rows, got {len(value)} values"
            )


def read_given(source: Source, given: Given, task: str, held: int = 0) -> GivenSplit | None:
    """Read the values that `attach` added to the rows; the last ``held`` rows are those of the test file.

    Raises `DataError` for missing or unreadable values, for words that name no part, for too few groups or times, and
    where a group or a time would be in two parts; `OptionError` where the kind of task needs groups and none are given,
    or reads none.
    """
    units = units_of(task)
    _check_units(task, units, given.group is not None)
    if not given.roles.keys() - set(_NO_SPLIT) and given.test is None:
        return None
    extra, where = source.extra, source.where
    cluster = time = side = None
    names: tuple[str, ...] = ()
    if given.group is not None:
        cluster, names = _groups(extra["group"], where)
    if given.time is not None:
        time = _ranks(extra["time"], where)
    if given.split is not None:
        side = sides_of(extra["split"], where)
    elif held:
        rows = len(source.target)
        side = np.where(np.arange(rows) < rows - held, -1, TEST)
    found = GivenSplit(cluster, time, side, names, _facts(given, len(names), units))
    if side is not None:
        _check_sides(found, where, whole=units.split != "row")
    return found


def _groups(column: pd.Series, where: str) -> tuple[NDArray[np.int64], tuple[str, ...]]:
    name = f"group column {str(column.name)!r} of {where}"
    values, kind = read_column(column.reset_index(drop=True), name)
    require_values(values, name, "a group")
    text = values.map(lambda value: f"{value:.17g}") if kind == "numeric" else values.astype(str)
    ids, distinct = pd.factorize(text, sort=False)
    return ids.astype(np.int64), tuple(map(str, distinct))


def _ranks(column: pd.Series, where: str) -> NDArray[np.int64]:
    name = f"time column {str(column.name)!r} of {where}"
    values, kind = read_column(column.reset_index(drop=True), name)
    if kind not in ("numeric", "date"):
        odd = values.dropna().iloc[0] if values.notna().any() else "nothing"
        raise DataError(
            f"{option('time')} needs numbers or dates that are read as such; {name} holds {kind} values such as {odd!r}"
        )
    require_values(values, name, "a time")
    ranks: NDArray[np.int64] = np.unique(values.to_numpy(), return_inverse=True)[1].astype(np.int64)
    return ranks


def _check_sides(found: GivenSplit, where: str, *, whole: bool) -> None:
    """Given parts must keep groups whole, where groups are split ``whole``, and be in the order of time."""
    side = found.side
    assert side is not None  # noqa: S101  (the caller looked)
    if found.cluster is not None and whole:
        of = np.full(len(found.names), -2)
        of[found.cluster] = side
        straddling = np.flatnonzero(of[found.cluster] != side)
        if len(straddling):
            group = found.names[found.cluster[straddling[0]]]
            raise DataError(
                f"{option('group')} keeps a group in one part, but the given parts of {where} have group "
                f"{group!r} in two of "
                f"them, for example in row {int(straddling[0]) + 1}"
            )
    if found.time is not None:
        kinds = sorted(set(side.tolist()))
        for earlier, later in pairwise(kinds):
            if found.time[side == earlier].max() >= found.time[side == later].min():
                raise DataError(
                    f"{option('time')} says that later parts hold later rows, but in {where} the {PARTS[later]} "
                    f"rows begin no "
                    f"later than the {PARTS[max(earlier, 0)]} rows end: leave out {option('time')}, or give "
                    f"parts in its order"
                )


def _facts(given: Given, groups: int, units: Units) -> dict[str, Any]:
    """What result.json says of how the split was made."""
    told: dict[str, Any] = given.described()
    for name in _NO_SPLIT:
        told.pop(name, None)
    if given.test is not None:
        told["how"] = "test file"
        text = "the test part is a file of its own; the other rows are split 75 : 25 into search and confirmation"
    elif given.split is not None:
        told["how"] = "given"
        text = "the parts are those of the split column"
    else:
        grouped = "group" if units.split != "row" else "random"
        told["how"] = grouped if given.group is not None else "time"
        text = "split 60 : 20 : 20 into search, confirmation and test"
    if given.group is not None:
        told["groups"] = groups
        text += f"; {_kept_whole(groups, units)}"
    if given.time is not None:
        text += "; later rows come after earlier ones: search, confirmation, test, and validation after training"
    return told | {"text": text}


def _kept_whole(groups: int, units: Units) -> str:
    one = f"all rows of a group are in one part ({groups} groups)"
    if units.split == "row":
        one = f"rows of a group may be in several parts ({groups} groups)"
    return f"{one}, and intervals are over {'rows' if units.bootstrap == 'row' else 'groups'}"


def _check_units(task: str, units: Units, grouped: bool) -> None:
    """Raise `OptionError` if a kind of task needs groups of rows and there are none, or reads none and there are."""
    asked = {units.split, units.bootstrap}
    if not grouped and "group" in asked:
        what = "splits and resamples" if len(asked) == 1 else "splits" if units.split == "group" else "resamples"
        raise OptionError(f"task {task} {what} whole groups of rows: give {option('group')}, the column of the groups")
    if grouped and asked == {"row"}:
        raise OptionError(f"task {task} splits and resamples single rows, not groups: leave out {option('group')}")
