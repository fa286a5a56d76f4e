"""Pieces of a table in the form that a schema says, whatever a piece alone would look like.

A piece may hold nothing but numbers where the column is text, or dates that could be read in two ways; the schema, and
the dates' format, come from a sample of the whole table.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping

import numpy as np
import pandas as pd

from losssearch.data.columns import LARGEST, read_column, read_text
from losssearch.data.dates import COMPACT, compact_dates
from losssearch.data.schema import ColumnKind, Schema
from losssearch.data.text_forms import TextForm, find_form
from losssearch.data.wide_integers import distances

_COMPACT = TextForm("date", COMPACT)


def text_forms(sample: pd.DataFrame, schema: Schema) -> dict[str, TextForm]:
    """By column, how ``sample`` writes the numbers and dates that it holds as text, or dates as whole numbers."""
    found = {}
    for column in schema.columns:
        values = sample[column.name].reset_index(drop=True)
        form = find_form(read_text(values)) if isinstance(values.dtype, pd.StringDtype) else None
        if column.kind == "date" and (form is None or form.kind != "date"):
            form = TextForm("date", COMPACT) if _whole_dates(values, form) else None
        if form is not None and form.kind == column.kind:
            found[column.name] = form
    return found


def _whole_dates(values: pd.Series, form: TextForm | None) -> bool:
    return form is not None or (
        pd.api.types.is_numeric_dtype(values.dtype) and not pd.api.types.is_bool_dtype(values.dtype)
    )


def conform(
    piece: pd.DataFrame, schema: Schema, forms: Mapping[str, TextForm], where: str
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
            read = _of_kind(texts, column.kind, forms.get(column.name), place)
            strange = np.flatnonzero((read.isna() & texts.notna()).to_numpy())
            if len(strange):
                odd[column.name] += int(np.isin(codes, strange).sum())
            # Code -1, of a missing text, takes the last.
            last = pd.Series([None], dtype=read.dtype)
            kept[column.name] = pd.concat([read, last], ignore_index=True).take(codes).reset_index(drop=True)
        else:
            form = forms.get(column.name)
            kept[column.name] = _of_kind(values, column.kind, form if form == _COMPACT else None, place)
    return pd.DataFrame(kept, index=range(len(piece))), odd


def _of_kind(values: pd.Series, kind: ColumnKind, form: TextForm | None, where: str) -> pd.Series:
    if kind == "categorical":
        return read_text(values)
    if kind == "date":
        if form == _COMPACT:
            dates = compact_dates(pd.to_numeric(values, errors="coerce"))
        elif form is not None:
            dates = form.parse(values)
        else:
            dates, found = read_column(values, where)
            dates = dates if found == "date" else pd.Series(pd.NaT, index=values.index)
        plain: pd.Series = dates.dt.tz_localize(None).astype("datetime64[us]")
        return plain
    if form is not None:
        read, found = form.parse(values), kind
    else:
        read, found = read_column(values, where)
    if found == "categorical":
        read = pd.to_numeric(read, errors="coerce").astype("float64")
    elif found == "date":
        read = pd.Series(np.nan, index=values.index)
    numbers: pd.Series = read.astype("float64")
    if kind == "boolean":
        return numbers.where(numbers.isin([0.0, 1.0]))
    return numbers.mask(numbers.abs() > LARGEST)
