"""Sensitive groups: from columns to one group id per row, with groups too small to estimate pooled.

A single column of many numbers stays a number: an attribute whose dependence with the score can be limited. Its groups,
cut at quantiles, are for looking at.
"""

from __future__ import annotations

import operator
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, TypeAlias

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from losssearch.data.columns import LARGEST, LEAST_SPREAD, read_column
from losssearch.data.schema import ColumnKind
from losssearch.data.sources import Source, require_column
from losssearch.errors import DataError, OptionError

Sensitive: TypeAlias = str | Sequence[str] | NDArray[Any] | pd.Series
"""Columns, or cuts of numeric ones such as ``age>=25``; or one label per row if the features are an array."""

SMALLEST = 100
"""Rows that a group needs, so that about 20 are in the confirmation part and 20 in the test part."""

MOST_VALUES = 10
"""Distinct numbers that a column may have to be read as groups without a cut."""

QUANTILES = 4
"""Groups that a numeric attribute is cut into, for tables."""

_CUT = re.compile(r"(?P<column>.+?)\s*(?P<sign>>=|<=|>|<)\s*(?P<at>[-+]?\d+(\.\d*)?([eE][-+]?\d+)?)")
_SIGNS = {">=": operator.ge, "<=": operator.le, ">": operator.gt, "<": operator.lt}


@dataclass(frozen=True, eq=False)
class SensitiveNumber:
    """A sensitive number of every row: ``values`` [rows] are standardised by ``mean`` and ``std``, 0 where missing."""

    name: str
    values: NDArray[np.float32]
    mean: float
    std: float
    median: float

    def to_json(self) -> dict[str, Any]:
        """What ``result.json`` says of it."""
        return {"name": self.name, "mean": self.mean, "std": self.std}


@dataclass(frozen=True, eq=False)
class Grouping:
    """Group ids ``[rows]``, int64, the name of each, and what was done to get them.

    ``attribute``: the number that the groups are cuts of, where the sensitive column stays a number. ``entries``: the
    columns and cuts as they were asked for; ``places``: the id of each combination of their values.
    """

    ids: NDArray[np.int64]
    names: tuple[str, ...]
    columns: tuple[str, ...]
    notes: tuple[str, ...]
    attribute: SensitiveNumber | None = None
    entries: tuple[str, ...] = ()
    places: Mapping[str, int] = field(default_factory=dict)


def sensitive_columns(sensitive: Sensitive | None) -> tuple[str, ...]:
    """The columns that ``sensitive`` names; none if it is an array of labels."""
    if sensitive is None or isinstance(sensitive, np.ndarray | pd.Series):
        return ()
    listed = (sensitive,) if isinstance(sensitive, str) else tuple(sensitive)
    return tuple(dict.fromkeys(_parsed(entry)[0] for entry in listed))


def read_groups(source: Source, sensitive: Sensitive, smallest: int = SMALLEST) -> Grouping:
    """Read the groups of every row: one for each value, or combination of values of several columns.

    A missing value is a value of its own. Groups of fewer than ``smallest`` rows are pooled, smallest first, until
    every group has that many. A single column of more than `MOST_VALUES` numbers without a cut stays a number.

    Raises `DataError` for a column that is not there, that has many distinct numbers and no cut in addition to another
    column, or that leaves fewer than two groups; `OptionError` for a target, or for labels that are not one per row.
    """
    if isinstance(sensitive, np.ndarray | pd.Series):
        labels = pd.Series(np.asarray(sensitive)).rename("group")
        if labels.ndim != 1 or len(labels) != len(source.target):
            raise OptionError(f"sensitive labels must be one per row: {len(source.target)} rows, got {len(labels)}")
        if (number := _number(labels, "the sensitive labels")) is not None:
            return _numeric("attribute", number, (), source.where)
        return _pooled(_values(labels, "the sensitive labels").tolist(), (), source.where, smallest)
    listed = (sensitive,) if isinstance(sensitive, str) else tuple(sensitive)
    if not isinstance(source.features, pd.DataFrame):
        raise OptionError(f"sensitive columns need a table; {source.where} holds arrays: give one label per row")
    if len(listed) == 1 and (number := _plain_number(source, listed[0])) is not None:
        return _numeric(listed[0].strip(), number, sensitive_columns(sensitive), source.where)
    values = [_column(source, entry) for entry in listed]
    found = _pooled(_combined(values), sensitive_columns(sensitive), source.where, smallest)
    return replace(found, entries=listed, notes=(*found.notes, *_missing_said(listed, values, found.names)))


def _missing_said(entries: Sequence[str], values: Sequence[Sequence[str]], names: Sequence[str]) -> Iterator[str]:
    for entry, own in zip(entries, values, strict=True):
        name, sign, _ = _parsed(entry)
        label = "missing" if sign is None else f"{name} missing"
        if count := own.count(label):
            # Pooled, or combined with the values of another column, they are no group of their own.
            how = "a group of their own" if label in names else f"those of a value {label!r}"
            yield f"{count} rows have no {name!r}: they count as {how}"


def labels_of(frame: pd.DataFrame, kinds: Mapping[str, ColumnKind], entries: Sequence[str]) -> list[str]:
    """The combination of values of every row; columns as `losssearch.data.columns.read_column` gives them."""
    values = []
    for entry in entries:
        name, sign, at = _parsed(entry)
        column = frame[name]
        values.append(_text(column, kinds[name]).tolist() if sign is None else _sides(column, name, sign, at))
    return _combined(values)


def _combined(values: Sequence[Sequence[str]]) -> list[str]:
    return [", ".join(row) for row in zip(*values, strict=True)]


def without_columns(source: Source, columns: Sequence[str]) -> Source:
    """The source with these columns no longer among its features."""
    if not columns or not isinstance(source.features, pd.DataFrame):
        return source
    return replace(source, features=source.features.drop(columns=list(columns)))


def _parsed(entry: str) -> tuple[str, str | None, float]:
    found = _CUT.fullmatch(entry.strip())
    return (found["column"].strip(), found["sign"], float(found["at"])) if found else (entry.strip(), None, 0.0)


def _plain_number(source: Source, entry: str) -> pd.Series | None:
    """The numbers of a column that is given without a cut and has many; None for any other."""
    name, sign, _ = _parsed(entry)
    if sign is not None or name == source.target.name or name not in source.features:
        return None
    assert isinstance(source.features, pd.DataFrame)  # noqa: S101  (the caller checked)
    return _number(source.features[name].reset_index(drop=True), f"sensitive column {name!r} of {source.where}")


def _number(column: pd.Series, where: str) -> pd.Series | None:
    values, kind = read_column(column, where)
    if kind != "numeric" or values.nunique() <= MOST_VALUES:
        return None
    return values.mask(values.abs() > LARGEST)


def _numeric(name: str, values: pd.Series, columns: tuple[str, ...], where: str) -> Grouping:
    """Groups between the quantiles of a number, lowest first; those without a value are one more."""
    present = values.dropna()
    most = min(QUANTILES, len(present) // SMALLEST)
    edges = np.unique(np.quantile(present, np.linspace(0, 1, most + 1)[1:-1])) if most > 1 else np.empty(0)
    codes = np.searchsorted(edges, values.to_numpy(), side="right")  # nan comes last
    codes = np.where(values.isna(), len(edges) + 1, codes)
    names, ids = [], np.zeros(len(values), dtype=np.int64)
    for code in np.unique(codes):
        own = codes == code
        inside = values[own]
        names.append(
            f"{name} missing"
            if inside.isna().all()
            else f"{name} {_number_text(inside.min())} to {_number_text(inside.max())}"
        )
        ids[own] = len(names) - 1
    if len(names) < 2:
        raise DataError(f"a group needs {SMALLEST} rows to be estimated; {where} has too few to cut {name!r} in two")
    mean, std = float(present.mean()), float(present.std(ddof=0))
    if not std >= LEAST_SPREAD:
        raise DataError(
            f"a sensitive number must spread by at least {LEAST_SPREAD:g}; the standard deviation of {name!r} in "
            f"{where} is {std:g}: give it in a smaller unit"
        )
    standard = ((values - mean) / std).fillna(0.0).to_numpy(dtype=np.float32)
    said = (
        f"{name!r} is a number: its groups, cut at quantiles, are for looking at; limit attribute_correlation or "
        "decision_correlation, or give a cut for groups to be treated alike, such as "
        f"'{name}>={_number_text(values.median())}'"
    )
    notes = [said]
    if absent := int(values.isna().sum()):
        notes.append(f"{absent} rows have no {name!r}: they count as average")
    attribute = SensitiveNumber(name, standard, mean, std, float(values.median()))
    return Grouping(ids, tuple(names), columns, tuple(notes), attribute)


def _pooling(counts: Mapping[str, int], smallest: int) -> str:
    """What was pooled and why; the last may be large enough by itself, and is there because the others are not."""
    few = [f"{name!r} ({count} rows)" for name, count in counts.items() if count < smallest]
    enough = [f"{name!r} ({count} rows)" for name, count in counts.items() if count >= smallest]
    if not enough:
        return f"pooled into one group, because a group needs {smallest} rows and each has fewer: {', '.join(few)}"
    together = sum(count for count in counts.values() if count < smallest)
    why = "has fewer" if len(few) == 1 else f"have only {together} together"
    return (
        f"pooled into one group, because a group needs {smallest} rows: {', '.join(few)}, which {why}, and the next "
        f"smallest group, {', '.join(enough)}"
    )


def _column(source: Source, entry: str) -> list[str]:
    name, sign, at = _parsed(entry)
    if name in [column.name for column in source.targets]:
        raise OptionError(f"the sensitive attribute must not be the target; {name!r} is both")
    assert isinstance(source.features, pd.DataFrame)  # noqa: S101  (the caller checked)
    require_column(name, source.features, source.where, "sensitive column")
    where = f"sensitive column {name!r} of {source.where}"
    if sign is None:
        return _values(source.features[name].reset_index(drop=True), where).tolist()
    values, kind = read_column(source.features[name].reset_index(drop=True), where)
    if kind not in ("numeric", "boolean"):
        raise DataError(f"a cut such as {entry!r} needs numbers; {where} holds {kind} values")
    return _sides(values, name, sign, at)


def _sides(values: pd.Series, name: str, sign: str, at: float) -> list[str]:
    """On which side of a cut each number lies."""
    label = f"{name} {sign} {_number_text(at)}"
    inside = _SIGNS[sign](values, at)
    chosen = np.where(values.isna(), f"{name} missing", np.where(inside, label, f"not {label}"))
    return [str(value) for value in chosen]


def _values(column: pd.Series, where: str) -> pd.Series:
    values, kind = read_column(column, where)
    distinct = values.nunique()
    if kind in ("numeric", "date") and distinct > MOST_VALUES:
        raise DataError(
            f"a sensitive column names groups; {where} has {distinct} distinct numbers: give a cut, such as "
            f"'{column.name}>={_number_text(values.median())}'"
            if kind == "numeric"
            else f"a sensitive column names groups; {where} holds dates"
        )
    return _text(values, kind)


def _number_text(value: float) -> str:
    """A number with all digits that tell it from others, and none of its rounding."""
    return f"{value:.15g}"


def _text(values: pd.Series, kind: ColumnKind) -> pd.Series:
    """Values as the names of groups."""
    if kind == "numeric":
        text = values.map(_number_text, na_action="ignore")
    elif kind == "boolean":
        text = values.map({0.0: "false", 1.0: "true"})
    else:
        text = values.astype("object")
    return text.astype("object").where(values.notna(), "missing").astype(str)


def _pooled(labels: list[str], columns: tuple[str, ...], where: str, smallest: int) -> Grouping:
    counts = pd.Series(labels).value_counts()
    if len(counts) < 2:
        raise DataError(f"there must be two groups or more to compare; {where} has only {counts.index[0]!r}")
    sizes: list[tuple[int, tuple[str, ...]]] = sorted((int(n), (str(name),)) for name, n in counts.items())
    pooled: tuple[int, tuple[str, ...]] = (0, ())
    while sizes and (sizes[0][0] < smallest or 0 < pooled[0] < smallest):
        count, names = sizes.pop(0)
        pooled = (pooled[0] + count, (*pooled[1], *names))
    kept = [*sizes, *([pooled] if pooled[0] else [])]
    if len(kept) < 2:
        rarest, rows = counts.index[-1], int(counts.iloc[-1])
        raise DataError(
            f"a group needs {smallest} rows to be estimated; of {len(counts)} in {where}, {rarest!r} has {rows}, and "
            "pooling the small groups leaves a single one: choose a coarser attribute, or bring more rows"
        )
    members = {name: names for _, names in kept for name in names}
    name_of = {names: " or ".join(names) for _, names in kept}
    names = tuple(sorted(name_of.values()))
    place = {label: names.index(name_of[group]) for label, group in members.items()}
    notes = []
    if len(pooled[1]) > 1:
        notes.append(_pooling({name: int(counts[name]) for name in pooled[1]}, smallest))
    ids = np.array([place[label] for label in labels], dtype=np.int64)
    return Grouping(ids, names, columns, tuple(notes), places=place)
