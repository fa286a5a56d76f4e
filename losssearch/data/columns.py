"""Reading the columns of a table: each gets a kind, one form for its values, and NaN if it has none.

The same table gives the same columns whatever held it, so text that spells numbers, booleans or dates
throughout is read as such, as it would be from a CSV file.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime, time
from decimal import Decimal

import numpy as np
import pandas as pd

from losssearch.data.dates import compact_dates
from losssearch.data.identifiers import LEAST, NEARLY, REASON, identifying
from losssearch.data.schema import Column, ColumnKind, Schema
from losssearch.data.text_forms import MOST_ODD, TextForm, find_form
from losssearch.data.wide_integers import distances, origin_of
from losssearch.errors import DataError

MISSING_TEXT = ("", "?")
"""Text that means a missing value."""

MINIMUM_DATES = 5
"""Whole numbers that must be there to be read as dates such as 20210331."""

LARGEST = 1e100
"""Numbers of a greater size count as infinite: their sums and squares would be."""

LARGEST_JUDGED = 1e70
"""Targets are at most of this size: their errors are raised to the fourth power."""

LEAST_SPREAD = 1e-70
"""Standard deviation of numbers that are divided by it."""

_SCALARS = (str, bool, int, float, np.generic, Decimal, datetime, date, pd.Timedelta)


def read_columns(frame: pd.DataFrame, where: str) -> tuple[pd.DataFrame, Schema, tuple[str, ...]]:
    """Give each column its kind and form, and leave out those that can tell a model nothing.

    Numeric and boolean columns become float64, categorical ones text, dates ``datetime64[us]`` in UTC; each
    has NaN or NaT where the value is missing or infinite. Left out are columns without a value, constant
    ones, row numbers, texts that differ in most rows, and columns of lists, mappings, bytes or complex numbers.
    In text that nearly spells numbers or dates, the odd cells are missing. The notes say which.
    """
    kept: dict[str, pd.Series] = {}
    columns: list[Column] = []
    ignored: dict[str, list[str]] = {}
    notes: list[str] = []
    for name, column in frame.items():
        try:
            read = read_leniently(column, f"column {str(name)!r} of {where}")
        except DataError as error:
            notes.append(f"ignored {str(name)!r}: {error}")
            continue
        values, kind = read.values, read.kind
        raw = column.reset_index(drop=True)
        origin = origin_of(raw) if kind == "numeric" else 0
        if origin:
            values = distances(raw, origin)
        else:
            notes += [f"column {str(name)!r}: {said}" for said in read.said]
        if kind == "numeric" and (infinite := int((values.abs() > LARGEST).sum())):
            values = values.mask(values.abs() > LARGEST)
            notes.append(f"{infinite} infinite values of column {str(name)!r} count as missing")
        if reason := _uninformative(str(name), values, kind):
            ignored.setdefault(reason, []).append(str(name))
            continue
        kept[str(name)] = values
        columns.append(Column(str(name), kind, int(values.isna().sum()), origin))
    for reason, names in ignored.items():
        notes.append(f"ignored {', '.join(map(repr, names))}: {reason}")
    return pd.DataFrame(kept, index=range(len(frame))), Schema(tuple(columns)), tuple(notes)


def read_column(values: pd.Series, where: str) -> tuple[pd.Series, ColumnKind]:
    """One column in its form and its kind; raise `DataError` if it holds no plain values."""
    dtype = values.dtype
    if isinstance(dtype, pd.CategoricalDtype):
        return read_text(values), "categorical"
    if isinstance(dtype, pd.PeriodDtype):
        return _dates(values.dt.to_timestamp()), "date"
    if pd.api.types.is_bool_dtype(dtype):
        return _numbers(values), "boolean"
    if pd.api.types.is_datetime64_any_dtype(dtype):
        return _dates(values), "date"
    if pd.api.types.is_timedelta64_dtype(dtype):
        return values.dt.total_seconds(), "numeric"
    if pd.api.types.is_complex_dtype(dtype):
        raise DataError(f"a column must hold plain values; {where} holds complex numbers")
    if pd.api.types.is_numeric_dtype(dtype):
        return _numbers(values), "numeric"
    if pd.api.types.is_object_dtype(dtype):
        return _objects(values, where)
    return _text(read_text(values))


@dataclass(frozen=True, eq=False)
class ReadColumn:
    """A column in its form and its kind, and what a user must know of how it was read."""

    values: pd.Series
    kind: ColumnKind
    said: tuple[str, ...] = ()


def read_leniently(column: pd.Series, where: str) -> ReadColumn:
    """As `read_column`; text that nearly spells numbers or dates is read as such, and whole numbers like 20210331 too.

    Rows are named by the index of ``column`` where that is whole numbers from 0.
    """
    raw = column.reset_index(drop=True)
    if spells(raw.dtype):
        text = read_text(raw)
        form = find_form(text)
        if form is not None and form.kind != "boolean":
            values = parsed(text, form)
            if form.kind == "numeric" and compact(values):
                return ReadColumn(*_compact(text, values, column))
            said = _odd_said(text, values, column, form.kind)
            return ReadColumn(values, form.kind, (*said, *((form.said,) if form.said else ())))
    values, kind = read_column(raw, where)
    if kind == "numeric" and pd.api.types.is_numeric_dtype(raw.dtype) and compact(values):
        return ReadColumn(*_compact(values, values, column))
    return ReadColumn(values, kind)


def spells(dtype: object) -> bool:
    """Whether a column of this type may hold text that spells numbers or dates."""
    return isinstance(dtype, pd.StringDtype) or pd.api.types.is_object_dtype(dtype)  # type: ignore[arg-type]


def parsed(text: pd.Series, form: TextForm) -> pd.Series:
    """Text in a form; each different cell is read once."""
    codes, distinct = pd.factorize(text)
    read = form.parse(pd.Series(distinct, dtype="str"))
    # Code -1, of a missing cell, takes the last.
    last = pd.Series([None], dtype=read.dtype)
    values = pd.concat([read, last], ignore_index=True).take(codes).reset_index(drop=True)
    return values if form.kind == "date" else values + 0.0


def compact(values: pd.Series) -> bool:
    """Whether nearly all numbers are dates such as 20210331."""
    present = values.dropna()
    if len(present) < MINIMUM_DATES or not present.between(19_000_101, 21_001_231).mean() >= 1 - MOST_ODD:
        return False
    return bool(compact_dates(present).notna().mean() >= 1 - MOST_ODD)


def _compact(cells: pd.Series, values: pd.Series, column: pd.Series) -> tuple[pd.Series, ColumnKind, tuple[str, ...]]:
    dates = compact_dates(values)
    return dates, "date", (*_odd_said(cells, dates, column, "date"), "whole numbers are read as dates, year first")


def _odd_said(before: pd.Series, after: pd.Series, column: pd.Series, kind: ColumnKind) -> tuple[str, ...]:
    odd = (before.notna() & after.isna()).to_numpy()
    if not odd.any():
        return ()
    place = int(odd.argmax())
    what = "numbers" if kind == "numeric" else "dates"
    cell, count = before.iloc[place], int(odd.sum())
    shown = f"{cell:.17g}" if isinstance(cell, float) else str(cell)
    where = f"the first {shown!r:.80} in row {row_of(column, place)}"
    return (f"{count} {'cell is' if count == 1 else 'cells are'} not read as {what} and missing, {where}",)


def row_of(column: pd.Series, place: int) -> int:
    """The number of a row, from 1, in the table that ``column`` is a part of."""
    label = column.index[place]
    return int(label) + 1 if isinstance(label, int | np.integer) else place + 1


def read_text(values: pd.Series) -> pd.Series:
    """Values as text without surrounding blanks; NaN if missing, empty or a question mark."""
    text = values.astype("object").where(values.notna(), None).astype("str").str.strip()
    return text.mask(text.isin(MISSING_TEXT))


def _objects(values: pd.Series, where: str) -> tuple[pd.Series, ColumnKind]:
    found = pd.api.types.infer_dtype(values, skipna=True)
    if found == "boolean":
        return _numbers(values), "boolean"
    if found in ("integer", "floating", "mixed-integer-float", "decimal", "empty"):
        return _numbers(values), "numeric"
    if found in ("datetime", "datetime64", "date"):
        return _dates(values), "date"
    if found in ("timedelta", "timedelta64"):
        return pd.to_timedelta(values).dt.total_seconds(), "numeric"
    if found == "time":
        return pd.Series([_seconds(value) for value in values], dtype="float64"), "numeric"
    for row, value in enumerate(values, start=1):
        if not isinstance(value, _SCALARS) and not (pd.api.types.is_scalar(value) and pd.isna(value)):
            kind = type(value).__name__
            raise DataError(f"a column must hold plain values; {where} holds a {kind} in row {row}")
    return _text(read_text(values))


def _text(text: pd.Series) -> tuple[pd.Series, ColumnKind]:
    if text.isna().all():
        return _numbers(text), "numeric"
    form = find_form(text)
    if form is not None:
        values = parsed(text, form)
        if values.notna().equals(text.notna()):
            return values, form.kind
    return text, "categorical"


def _numbers(values: pd.Series) -> pd.Series:
    filled = values.astype("object").where(values.notna(), np.nan) if values.dtype == object else values
    # Adding zero makes -0.0 and 0.0 one value, so equal rows hash alike.
    return pd.Series(filled.to_numpy(dtype="float64", na_value=np.nan) + 0.0)


def _seconds(value: object) -> float:
    if not isinstance(value, time):
        return np.nan
    return 3600.0 * value.hour + 60.0 * value.minute + value.second + value.microsecond / 1e6


def _dates(values: pd.Series) -> pd.Series:
    dates = pd.to_datetime(values, utc=True)
    return dates.dt.tz_localize(None).astype("datetime64[us]")


def _uninformative(name: str, values: pd.Series, kind: ColumnKind) -> str | None:
    distinct, present = values.nunique(), int(values.notna().sum())
    if not present:
        return "no values"
    if distinct == 1 and present == len(values):
        return "constant"
    if kind == "categorical" and (distinct > max(50, present // 2) or distinct >= max(LEAST, NEARLY * present)):
        return "texts that differ in most rows, such as names or identifiers"
    return REASON if identifying(name, values, kind) else None
