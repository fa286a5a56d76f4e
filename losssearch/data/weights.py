"""Sample weights: how often each row counts, read and checked."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from losssearch.data.columns import read_column
from losssearch.data.sources import Source
from losssearch.errors import DataError

LEAST, MOST = 1e-30, 1e30
"""The smallest weight but 0, and the largest: sums and squares of such weights are neither 0 nor infinite."""


def weighed(source: Source) -> tuple[Source, tuple[str, ...]]:
    """The source with its weights as numbers, and without the rows of weight 0, which count as if they were not there.

    Raises `DataError` for weights that are missing, not finite, below 0 or no numbers, and where all are 0.
    """
    if "weight" not in source.extra:
        return source, ()
    column = source.extra["weight"].reset_index(drop=True)
    where = f"weight column {str(column.name)!r} of {source.where}"
    values = _numbers(column, where)
    for broken, rule in (
        (~np.isfinite(values) | (np.abs(values) > MOST), f"must be finite and at most {MOST:g}"),
        (values < 0, "must not be negative"),
        ((values > 0) & (values < LEAST), f"must be 0 or at least {LEAST:g}"),
    ):
        if broken.any():
            row = int(broken.argmax())
            raise DataError(f"a weight {rule}; {where} has {values[row]:g} in row {row + 1}")
    if not (values > 0).any():
        raise DataError(f"some weights must be above 0; {where} holds 0 in all {len(values)} rows")
    numbers = pd.Series(values, name=str(column.name))
    source = replace(source, extra={**source.extra, "weight": numbers})
    empty = int((values == 0).sum())
    if not empty:
        return source, ()
    return source.rows(values > 0), (f"left out {empty} rows of weight 0",)


def _numbers(column: pd.Series, where: str) -> NDArray[np.float64]:
    raw = pd.to_numeric(column, errors="coerce") if pd.api.types.is_numeric_dtype(column.dtype) else None
    if raw is None:
        read, kind = read_column(column, where)
        if kind not in ("numeric", "boolean"):
            odd = pd.to_numeric(read.astype("object"), errors="coerce").isna() & read.notna()
            row = int(odd.to_numpy().argmax())
            raise DataError(f"a weight must be a number; {where} has {read.iloc[row]!r} in row {row + 1}")
        raw = read
    missing = raw.isna().to_numpy()
    if missing.any():
        raise DataError(
            f"every row must have a weight; {where} lacks {int(missing.sum())} of {len(missing)}, the first in row "
            f"{int(missing.argmax()) + 1}: fill them in, with 0 for rows that are not to count"
        )
    return raw.to_numpy(dtype=np.float64, copy=True)


def effective_rows(weight: NDArray[np.float64]) -> float:
    """How many rows of equal weight would tell as much (Kish 1965)."""
    return float(weight.sum() ** 2 / np.square(weight).sum())
