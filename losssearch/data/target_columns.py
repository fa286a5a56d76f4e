"""The columns of a target: one, or several for a task that reads more than one number per row."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, TypeAlias

import numpy as np
import pandas as pd

from losssearch.errors import DataError, OptionError

TargetName: TypeAlias = str | Sequence[str]
"""The target's column, or several: a list, or names with commas between them where no column has the whole name."""

Moments: TypeAlias = float | tuple[float, ...]
"""A mean or a scale of the target: a number, or one per column of a target of several."""


def per_column(moments: Moments) -> tuple[float, ...]:
    """One number per target column."""
    return (moments,) if isinstance(moments, int | float) else tuple(moments)


def target_columns(target: TargetName | None, known: Iterable[str] | None) -> tuple[str, ...]:
    """The names of the target's columns; ``known`` are the columns that there are, or None if they are not known.

    Raises `OptionError` for a list without names, or with one twice.
    """
    if target is None:
        return ()
    if isinstance(target, str):
        if "," not in target or (known is not None and target in known):
            return (target,)
        target = [name.strip() for name in target.split(",") if name.strip()]
    names = tuple(map(str, target))
    if not names or len(set(names)) < len(names):
        raise OptionError(f"the target's columns must be named, each once; got {', '.join(map(repr, names)) or 'none'}")
    return names


def columns_of(values: Any, target: TargetName | None, what: str) -> list[pd.Series]:
    """The columns of a target that came by itself, ``[rows]`` or ``[rows, columns]``, with their names."""
    if isinstance(values, pd.Series):
        columns = [values.reset_index(drop=True)]
    elif isinstance(values, pd.DataFrame):
        columns = [values.iloc[:, place].reset_index(drop=True) for place in range(values.shape[1])]
    else:
        array = np.asarray(values)
        if array.ndim not in (1, 2) or not (array.ndim == 1 or array.shape[1]):
            raise DataError(f"a target must be [rows] or [rows, columns]; {what} has shape {array.shape}")
        columns = [pd.Series(one) for one in (array[None] if array.ndim == 1 else array.T)]
    names = target_columns(target, [str(target)] if len(columns) == 1 else None)
    if not names:
        own = list(map(str, values.columns)) if isinstance(values, pd.DataFrame) else []
        many = own or [f"target_{place}" for place in range(1, len(columns) + 1)]
        names = ("target",) if len(columns) == 1 else tuple(many)
    if len(names) != len(columns):
        raise DataError(f"a target of {len(names)} names must have as many columns; {what} has {len(columns)}")
    return [column.rename(name) for column, name in zip(columns, names, strict=True)]
