"""What each feature column is: its kind and how many values it lacks."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypeAlias

ColumnKind: TypeAlias = Literal["numeric", "categorical", "boolean", "date"]


@dataclass(frozen=True)
class Column:
    """One feature column; ``missing`` counts its rows without a value.

    ``origin``: what its numbers are read as distances from, where float64 does not hold them as they are.
    """

    name: str
    kind: ColumnKind
    missing: int = 0
    origin: int = 0


@dataclass(frozen=True)
class Schema:
    """The feature columns in order.

    ``shape`` is that of one image, for example ``(28, 28)``, where the features are its flattened pixels in
    [0, 1]; it is empty for a table.
    """

    columns: tuple[Column, ...]
    shape: tuple[int, ...] = ()

    def positions(self, *kinds: ColumnKind, missing_only: bool = False) -> list[int]:
        """Where the columns of these kinds stand, in order; ``missing_only`` keeps those that lack values."""
        return [
            position
            for position, column in enumerate(self.columns)
            if column.kind in kinds and (column.missing or not missing_only)
        ]
