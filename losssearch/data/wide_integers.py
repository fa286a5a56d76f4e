"""Whole numbers of more digits than float64 holds, such as identifiers of 19 digits and times in nanoseconds.

They are read as their distance from an origin among them, which float64 holds exactly.
"""

from __future__ import annotations

import numpy as np
import pandas as pd

EXACT = 1 << 53
"""Whole numbers up to here are exact in float64."""

_WHOLE = r"[-+]?\d{1,40}"
_LONG = r"[-+]?\d{16,40}"


def origin_of(values: pd.Series) -> int:
    """The middle one of whole numbers that float64 would merge; 0 for all other columns.

    Text of digits counts as numbers, as it does where float64 holds them, but for codes with leading zeros.
    """
    present = values.dropna()
    if present.empty or not _may_merge(present):
        return 0
    whole = whole_numbers(present)
    read = whole.notna()
    if not read.equals(_text(present).notna()):
        return 0
    distinct = sorted(set(whole[read]))
    merged = len({float(value) for value in distinct}) < len(distinct)
    return int(distinct[len(distinct) // 2]) if merged else 0


def whole_numbers(values: pd.Series) -> pd.Series:
    """The values as Python's whole numbers, None if they are none."""
    if pd.api.types.is_integer_dtype(values.dtype):
        return values.astype("object").map(lambda value: None if pd.isna(value) else int(value))
    text = _text(values)
    whole = text.str.fullmatch(_WHOLE).fillna(False) & ~text.str.match(r"[-+]?0\d").fillna(False)
    found = pd.Series([None] * len(values), index=values.index, dtype="object")
    found[whole] = text[whole].map(int).astype("object")
    return found


def distances(values: pd.Series, origin: int) -> pd.Series:
    """``value - origin`` as float64, computed exactly; NaN if the value is no whole number."""
    whole = whole_numbers(values)
    return pd.Series(
        [np.nan if value is None else float(value - origin) for value in whole], index=values.index, dtype="float64"
    )


def _text(values: pd.Series) -> pd.Series:
    text = values.astype("object").where(values.notna(), None).astype("str").str.strip()
    return text.mask(text.isin(("", "?")))


def _may_merge(present: pd.Series) -> bool:
    """Whether a column may hold such numbers; cheap for the many that do not."""
    if pd.api.types.is_bool_dtype(present.dtype):
        return False
    if pd.api.types.is_integer_dtype(present.dtype):
        return int(present.max()) > EXACT or int(present.min()) < -EXACT
    if isinstance(present.dtype, pd.StringDtype) or present.dtype == object:
        head = present.iloc[:20].astype("object").map(str).str.strip()
        return bool(head.str.fullmatch(_LONG).any())
    return False
