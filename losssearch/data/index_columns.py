"""The index of a data frame or a file: a level that has a name is a column like any other."""

from __future__ import annotations

import pandas as pd

from losssearch.errors import DataError


def with_index(frame: pd.DataFrame, where: str = "") -> pd.DataFrame:
    """The frame with the named levels of its index as its last columns; numbers of rows and unnamed levels are dropped.

    Raises `DataError` if a level is named as a column is, or as another level.
    """
    index = frame.index
    places = {} if isinstance(index, pd.RangeIndex) else dict(enumerate(index.names))
    named = [name for name in places.values() if name is not None]
    if not named:
        return frame.reset_index(drop=True)
    for name in named:
        if name in frame.columns or named.count(name) > 1:
            raise DataError(f"column names must differ; {where} has {str(name)!r} more than once, once in its index")
    levels = {name: pd.Series(index.get_level_values(place)) for place, name in places.items() if name is not None}
    return pd.concat([frame.reset_index(drop=True), pd.DataFrame(levels)], axis=1)
