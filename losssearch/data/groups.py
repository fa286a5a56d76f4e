"""Sensitive groups: from columns to one group id a row, with groups too small to estimate pooled."""

from __future__ import annotations

import operator
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, TypeAlias

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from losssearch.data.columns import read_column
from losssearch.data.sources import Source, require_column
from losssearch.errors import DataError, OptionError

Sensitive: TypeAlias = str | Sequence[str] | NDArray[Any] | pd.Series
"""Columns, or cuts of numeric ones such as ``age>=25``; or one label a row where the features are an array."""

SMALLEST = 100
"""Rows that a group needs: 20 of them then stand in the confirmation part and 20 in the test part."""

MOST_VALUES = 10
"""Distinct numbers that a column may have to be read as groups without a cut."""

_CUT = re.compile(r"(?P<column>.+?)\s*(?P<sign>>=|<=|>|<)\s*(?P<at>[-+]?\d+(\.\d*)?([eE][-+]?\d+)?)")
_SIGNS = {">=": operator.ge, "<=": operator.le, ">": operator.gt, "<": operator.lt}


@dataclass(frozen=True, eq=False)
class Groups:
    """Group ids ``[rows]``, int64, the name of each, and what was done to get them."""

    ids: NDArray[np.int64]
    names: tuple[str, ...]
    columns: tuple[str, ...]
    notes: tuple[str, ...]


def sensitive_columns(sensitive: Sensitive | None) -> tuple[str, ...]:
    """The columns that ``sensitive`` names; none where it is an array of labels."""
    if sensitive is None or isinstance(sensitive, np.ndarray | pd.Series):
        return ()
    listed = (sensitive,) if isinstance(sensitive, str) else tuple(sensitive)
    return tuple(dict.fromkeys(_parsed(entry)[0] for entry in listed))


def read_groups(source: Source, sensitive: Sensitive) -> Groups:
    """Read the groups of every row: one for each value, or combination of values of several columns.

    A missing value is a value of its own. Groups of fewer than `SMALLEST` rows are pooled, smallest first, until
    every group has that many.

    Raises `DataError` for a column that is not there, that has many distinct numbers and no cut, or that leaves
    fewer than two groups; `OptionError` for a target, or for labels that are not one a row.
    """
    if isinstance(sensitive, np.ndarray | pd.Series):
        labels = pd.Series(np.asarray(sensitive)).rename("group")
        if labels.ndim != 1 or len(labels) != len(source.target):
            raise OptionError(f"sensitive labels must be one a row: {len(source.target)} rows, got {len(labels)}")
        return _pooled(_values(labels, "the sensitive labels").tolist(), (), source.where)
    listed = (sensitive,) if isinstance(sensitive, str) else tuple(sensitive)
    if not isinstance(source.features, pd.DataFrame):
        raise OptionError(f"sensitive columns need a table; {source.where} holds arrays: give one label a row instead")
    values = [_column(source, entry) for entry in listed]
    combined = [", ".join(row) for row in zip(*values, strict=True)]
    return _pooled(combined, sensitive_columns(sensitive), source.where)


def without_columns(source: Source, columns: Sequence[str]) -> Source:
    """The source with these columns no longer among its features."""
    if not columns or not isinstance(source.features, pd.DataFrame):
        return source
    return replace(source, features=source.features.drop(columns=list(columns)))


def _parsed(entry: str) -> tuple[str, str | None, float]:
    found = _CUT.fullmatch(entry.strip())
    return (found["column"].strip(), found["sign"], float(found["at"])) if found else (entry.strip(), None, 0.0)


def _column(source: Source, entry: str) -> list[str]:
    name, sign, at = _parsed(entry)
    if name == source.target.name:
        raise OptionError(f"the sensitive attribute must not be the target; {name!r} is both")
    assert isinstance(source.features, pd.DataFrame)  # noqa: S101  (the caller checked)
    require_column(name, source.features, source.where, "sensitive column")
    where = f"sensitive column {name!r} of {source.where}"
    if sign is None:
        return _values(source.features[name].reset_index(drop=True), where).tolist()
    values, kind = read_column(source.features[name].reset_index(drop=True), where)
    if kind not in ("numeric", "boolean"):
        raise DataError(f"a cut such as {entry!r} needs numbers; {where} holds {kind} values")
    label = f"{name} {sign} {at:g}"
    inside = _SIGNS[sign](values, at)
    chosen = np.where(values.isna(), f"{name} missing", np.where(inside, label, f"not {label}"))
    return [str(value) for value in chosen]


def _values(column: pd.Series, where: str) -> pd.Series:
    values, kind = read_column(column, where)
    distinct = values.nunique()
    if kind in ("numeric", "date") and distinct > MOST_VALUES:
        raise DataError(
            f"a sensitive column names groups; {where} has {distinct} distinct numbers: give a cut, such as "
            f"'{column.name}>={values.median():g}'"
            if kind == "numeric"
            else f"a sensitive column names groups; {where} holds dates"
        )
    if kind == "numeric":
        text = values.map(lambda value: f"{value:g}", na_action="ignore")
    elif kind == "boolean":
        text = values.map({0.0: "false", 1.0: "true"})
    else:
        text = values.astype("object")
    return text.astype("object").where(values.notna(), "missing").astype(str)


def _pooled(labels: list[str], columns: tuple[str, ...], where: str) -> Groups:
    counts = pd.Series(labels).value_counts()
    if len(counts) < 2:
        raise DataError(f"there must be two groups or more to compare; {where} has only {counts.index[0]!r}")
    sizes: list[tuple[int, tuple[str, ...]]] = sorted((int(n), (str(name),)) for name, n in counts.items())
    pooled: tuple[int, tuple[str, ...]] = (0, ())
    while sizes and (sizes[0][0] < SMALLEST or 0 < pooled[0] < SMALLEST):
        count, names = sizes.pop(0)
        pooled = (pooled[0] + count, (*pooled[1], *names))
    kept = [*sizes, *([pooled] if pooled[0] else [])]
    if len(kept) < 2:
        smallest, rows = counts.index[-1], int(counts.iloc[-1])
        raise DataError(
            f"a group needs {SMALLEST} rows to be estimated; of {where}, {smallest!r} has {rows}, and pooling the "
            "small groups leaves a single one: choose a coarser attribute, or bring more rows"
        )
    members = {name: names for _, names in kept for name in names}
    name_of = {names: " or ".join(names) for _, names in kept}
    names = tuple(sorted(name_of.values()))
    place = {label: names.index(name_of[group]) for label, group in members.items()}
    notes = []
    if len(pooled[1]) > 1:
        listed = ", ".join(f"{name!r} ({counts[name]} rows)" for name in pooled[1])
        notes.append(f"pooled into one group, because a group needs {SMALLEST} rows: {listed}")
    return Groups(np.array([place[label] for label in labels], dtype=np.int64), names, columns, tuple(notes))
