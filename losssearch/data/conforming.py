"""Pieces of a table in the form that a schema says, whatever a piece alone would look like.

A piece may hold nothing but numbers where the column is text, or dates that could be read in two ways; the schema, and
the dates' format, come from a sample of the whole table.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

from losssearch.data.columns import DATE_FORMATS, LARGEST, read_column, read_text
from losssearch.data.schema import ColumnKind, Schema
from losssearch.data.wide_integers import distances


def date_formats(sample: pd.DataFrame, schema: Schema) -> dict[str, str]:
    """By column, the format of the dates that ``sample`` holds as text."""
    found = {}
    for column in schema.columns:
        values = sample[column.name]
        if column.kind == "date" and isinstance(values.dtype, pd.StringDtype):
            distinct = pd.Series(read_text(values).dropna().unique(), dtype="str")
            found[column.name] = next(form for form in DATE_FORMATS if _parsed(distinct, form).notna().all())
    return found


def conform(
    piece: pd.DataFrame, schema: Schema, formats: Mapping[str, str], where: str
) -> tuple[pd.DataFrame, Counter[str]]:
    """The columns of ``schema`` out of ``piece``, as `losssearch.data.columns.read_columns` gives them.

    Values of another kind count as missing; how many there are of them is told by column.

    Raises `DataError` for a column that holds no plain values.
    """
    odd: Counter[str] = Counter()
    kept = {}
    for column in schema.columns:
        values = piece[column.name].reset_index(drop=True)
        place = f"column {column.name!r} of {where}"
        if column.origin:
            kept[column.name] = distances(values, column.origin)
        elif isinstance(values.dtype, pd.StringDtype | pd.CategoricalDtype):
            # Texts repeat: each is read once.
            codes, distinct = pd.factorize(values)
            texts = read_text(pd.Series(distinct))
            read = _of_kind(texts, column.kind, formats.get(column.name), place)
            strange = np.flatnonzero((read.isna() & texts.notna()).to_numpy())
            if len(strange):
                odd[column.name] += int(np.isin(codes, strange).sum())
            # Code -1, of a missing text, takes the last.
            last = pd.Series([None], dtype=read.dtype)
            kept[column.name] = pd.concat([read, last], ignore_index=True).take(codes).reset_index(drop=True)
        else:
            kept[column.name] = _of_kind(values, column.kind, None, place)
    return pd.DataFrame(kept, index=range(len(piece))), odd


def _of_kind(values: pd.Series, kind: ColumnKind, form: str | None, where: str) -> pd.Series:
    if kind == "categorical":
        return read_text(values)
    if kind == "date":
        if form is not None:
            dates = _parsed(values, form)
        else:
            dates, found = read_column(values, where)
            dates = dates if found == "date" else pd.Series(pd.NaT, index=values.index)
        plain: pd.Series = dates.dt.tz_localize(None).astype("datetime64[us]")
        return plain
    read, found = read_column(values, where)
    if found == "categorical":
        read = pd.to_numeric(read, errors="coerce").astype("float64")
    elif found == "date":
        read = pd.Series(np.nan, index=values.index)
    numbers: pd.Series = read.astype("float64")
    if kind == "boolean":
        return numbers.where(numbers.isin([0.0, 1.0]))
    return numbers.mask(numbers.abs() > LARGEST)


def _parsed(values: pd.Series, form: str) -> Any:
    return pd.to_datetime(values, format=form, errors="coerce", utc=True)
