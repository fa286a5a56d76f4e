"""Reading the groups of further pieces of a table in the same way as those of its sample."""

from __future__ import annotations

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from losssearch.data.columns import read_column
from losssearch.data.groups import Grouping, labels_of
from losssearch.data.schema import Column, Schema
from losssearch.data.streamed.conforming import conform


class GroupReader:
    """Reads group ids piece by piece; a row of a group that the sample does not have gets -1, which is none."""

    def __init__(self, groups: Grouping, sample: pd.DataFrame, where: str) -> None:
        """Read as ``groups``, which are those of ``sample``; ``where`` names the table in messages."""
        self.columns, self._groups, self._where = groups.columns, groups, where
        kinds = [
            read_column(sample[name].reset_index(drop=True), f"sensitive column {name!r}")[1] for name in self.columns
        ]
        self._schema = Schema(tuple(Column(name, kind, 0) for name, kind in zip(self.columns, kinds, strict=True)))
        self.unknown = 0
        """Rows so far whose group the sample does not have."""

    def __call__(self, piece: pd.DataFrame) -> NDArray[np.int64]:
        """The ids of the rows of ``piece``."""
        frame, _ = conform(piece, self._schema, {}, self._where)
        kinds = {column.name: column.kind for column in self._schema.columns}
        codes, distinct = pd.factorize(np.array(labels_of(frame, kinds, self._groups.entries), dtype=object))
        ids = np.array([self._groups.places.get(label, -1) for label in distinct.tolist()], dtype=np.int64)[codes]
        self.unknown += int((ids < 0).sum())
        return ids
