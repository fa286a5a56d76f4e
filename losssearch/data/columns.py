"""Reading the columns of a table: each gets a kind, one form for its values, and NaN where it has none.

The same table gives the same columns whatever held it, so text that spells numbers, booleans or dates
throughout is read as such, as it would be from a CSV file.
"""

from __future__ import annotations

import re
from datetime import date, datetime
from decimal import Decimal

import numpy as np
import pandas as pd

from losssearch.data.identifiers import LEAST, NEARLY, REASON, identifying
from losssearch.data.schema import Column, ColumnKind, Schema
from losssearch.data.wide_integers import distances, origin_of
from losssearch.errors import DataError

MISSING_TEXT = ("", "?")
"""Text that stands for a missing value."""

LARGEST = 1e100
"""Numbers of a greater size count as infinite: their sums and squares would be."""

_DATE_LIKE = re.compile(r"\d{1,4}[-/.]\d{1,2}[-/.]\d{1,4}")
DATE_FORMATS = ("ISO8601", "%Y/%m/%d", "%m/%d/%Y", "%d/%m/%Y", "%d.%m.%Y")
_LEADING_ZERO = re.compile(r"[-+]?0\d")
_SCALARS = (str, bool, int, float, np.generic, Decimal, datetime, date, pd.Timedelta)


def read_columns(frame: pd.DataFrame, where: str) -> tuple[pd.DataFrame, Schema, tuple[str, ...]]:
    """Give each column its kind and form, and leave out those that can tell a model nothing.

    Numeric and boolean columns become float64, categorical ones text, dates ``datetime64[us]`` in UTC; each
    has NaN or NaT where the value is missing or infinite. Left out are columns without a value, constant
    ones, row numbers, and texts that differ in most rows. The notes say which.

    Raises `DataError` for a column of lists, mappings, bytes or complex numbers.
    """
    kept: dict[str, pd.Series] = {}
    columns: list[Column] = []
    ignored: dict[str, list[str]] = {}
    notes: list[str] = []
    for name, column in frame.items():
        raw = column.reset_index(drop=True)
        values, kind = read_column(raw, f"column {str(name)!r} of {where}")
        origin = origin_of(raw) if kind == "numeric" else 0
        values = distances(raw, origin) if origin else values
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
    """One column in its form and its kind; raise `DataError` where it holds no plain values."""
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


def read_text(values: pd.Series) -> pd.Series:
    """Values as text without surrounding blanks; NaN where missing, empty or a question mark."""
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
    for row, value in enumerate(values, start=1):
        if not isinstance(value, _SCALARS) and not (pd.api.types.is_scalar(value) and pd.isna(value)):
            kind = type(value).__name__
            raise DataError(f"a column must hold plain values; {where} holds a {kind} in row {row}")
    return _text(read_text(values))


def _text(text: pd.Series) -> tuple[pd.Series, ColumnKind]:
    distinct = pd.Series(text.dropna().unique(), dtype="str")
    if distinct.empty:
        return _numbers(text), "numeric"
    if distinct.str.lower().isin(["true", "false"]).all():
        return text.str.lower().map({"true": 1.0, "false": 0.0}), "boolean"
    numbers = pd.to_numeric(distinct, errors="coerce")
    # A code such as 01234 is a name: as a number it would lose its zero.
    if numbers.notna().all() and not distinct.str.match(_LEADING_ZERO).any():
        return text.map(dict(zip(distinct, numbers.astype("float64"), strict=True))).astype("float64"), "numeric"
    if distinct.str.match(_DATE_LIKE).all():
        for form in DATE_FORMATS:
            dates = pd.to_datetime(distinct, format=form, errors="coerce", utc=True)
            if dates.notna().all():
                return _dates(text.map(dict(zip(distinct, dates, strict=True)))), "date"
    return text, "categorical"


def _numbers(values: pd.Series) -> pd.Series:
    filled = values.astype("object").where(values.notna(), np.nan) if values.dtype == object else values
    # Adding zero makes -0.0 and 0.0 one value, so equal rows hash alike.
    return pd.Series(filled.to_numpy(dtype="float64", na_value=np.nan) + 0.0)


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
