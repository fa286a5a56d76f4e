"""Fields of the rows that some kinds of task read: how long a row was observed, which query it belongs to."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from losssearch.data.columns import read_column
from losssearch.data.sources import Source
from losssearch.data.target_kind import Values, target_kind, task_names
from losssearch.errors import DataError, OptionError
from losssearch.option_names import option

FIELDS = ("exposure", "query")
"""The options that name such a column, which are the names of the fields."""


def row_fields(source: Source, task: str) -> dict[str, NDArray[np.float64]]:
    """The fields ``[rows]`` that were named for a kind of task, by name; numbers of queries start at 0.

    Raises:
        OptionError: A field was named that the task does not read, or one that it needs was not.
        DataError: A value is missing or no number, or an exposure is not above 0.
    """
    kind = target_kind(task)
    reads, needs = (kind.reads, kind.needs) if isinstance(kind, Values) else ((), ())
    found = {}
    for name in FIELDS:
        if name not in source.extra:
            if name in needs:
                raise OptionError(f"task {task} needs {option(name)}: name the column")
            continue
        if name not in reads:
            others = [own for own in task_names() if name in getattr(target_kind(own), "reads", ())]
            hint = f", or give {option('task')} {' or '.join(others)}" if others else ""
            raise OptionError(f"task {task} does not read {option(name)}: leave it out{hint}")
        column = source.extra[name].reset_index(drop=True)
        found[name] = _READ[name](column, f"{name} column {str(column.name)!r} of {source.where}")
    return found


def _exposure(column: pd.Series, where: str) -> NDArray[np.float64]:
    values, _ = read_column(column, where)
    numbers = pd.to_numeric(values, errors="coerce").to_numpy(dtype=np.float64)
    broken = ~(np.isfinite(numbers) & (numbers > 0))
    if broken.any():
        row = int(broken.argmax())
        raise DataError(f"an exposure must be a finite number above 0; {where} has {column.iloc[row]} in row {row + 1}")
    return numbers


def _query(column: pd.Series, where: str) -> NDArray[np.float64]:
    values, _ = read_column(column, where)
    missing = values.isna().to_numpy()
    if missing.any():
        row = int(missing.argmax())
        raise DataError(f"every row must belong to a query; {where} has none in row {row + 1}")
    return pd.factorize(values, sort=False)[0].astype(np.float64)


_READ = {"exposure": _exposure, "query": _query}


def at(fields: Mapping[str, NDArray[np.float64]], rows: NDArray[np.int64]) -> dict[str, NDArray[np.float64]]:
    """The fields of some rows."""
    return {name: values[rows] for name, values in fields.items()}
