"""A target of text that spells numbers: every cell must be one, and the first that is none is named."""

from __future__ import annotations

import pandas as pd

from losssearch.data.columns import parsed, read_text, row_of
from losssearch.data.target_kind import TargetKind
from losssearch.data.text_forms import GAPS, TextForm, find_form
from losssearch.errors import DataError
from losssearch.option_names import option

FEW = 20
"""Different cells of a target that may be classes, whatever most of them spell."""

CLASS_ROWS = 5
"""Rows that words among numbers need to be classes too."""


def number_text(column: pd.Series, name: str, kind: TargetKind | None, form: TextForm | None = None) -> pd.Series:
    """The target as float64 where its text can only be meant as numbers, otherwise as it came.

    ``kind``: what the target is to be read as, where that is known. ``form``: how its numbers are written, where a
    sample has told. Rows are named by the column's index.

    Raises `DataError` if nearly all cells are numbers and one is none.
    """
    if kind is not None and kind.nominal:
        return column
    text = read_text(column)
    form = form or find_form(text)
    if form is None or form.kind != "numeric":
        return column
    values = parsed(text, form).set_axis(column.index)
    odd = values.isna() & text.notna()
    distinct = text.nunique()
    if not odd.any():
        return values if kind is not None or distinct > FEW else column
    counts = text[odd].value_counts()
    words = counts.min() >= CLASS_ROWS and not any(str(cell).lower() in GAPS for cell in counts.index)
    if kind is None and words and distinct <= FEW:
        return column
    place = int(odd.to_numpy().argmax())
    raise DataError(
        f"a target of numbers must have a number in every row; {name} has {str(text.iloc[place])!r:.80} in row "
        f"{row_of(column, place)} ({int(odd.sum())} such cells): correct it, or empty it and leave the row out with "
        f"{option('drop_missing_target', True)}, or read the target as classes with {option('task', 'multiclass')}"
    )
