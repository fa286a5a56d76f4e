"""What an upload may hold, and what its conversion may take."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, NoReturn, get_args

from losssearch.data.room import Room, in_units
from losssearch.errors import DataError

Format = Literal["csv", "csv.gz", "tsv", "tsv.gz", "parquet", "arrow", "feather", "npz"]
FORMATS: tuple[str, ...] = get_args(Format)
"""The formats of `losssearch.data.files`, by their suffix."""


@dataclass(frozen=True)
class Limits:
    """Limits of one upload.

    Args:
        rows: rows of the table.
        columns: columns of the table.
        cell: bytes of one cell of text.
        unpacked: bytes that a compressed file may unpack to.
        memory: bytes of address space of the process that converts.
        seconds: CPU seconds of that process.
    """

    rows: int = 20_000_000
    columns: int = 2_000
    cell: int = 64_000
    unpacked: int = 4_000_000_000
    memory: int = 2_000_000_000
    seconds: int = 120

    @property
    def room(self) -> int:
        """Bytes that the table may take: the libraries take the rest of the memory."""
        return self.memory - 600_000_000


class UploadRoom(Room):
    """The memory for a table; its message says what somebody who uploads can do."""

    def refuse(self, needed: float, where: object, advice: str = "") -> NoReturn:
        """See `Room.refuse`."""
        del advice
        raise DataError(
            f"a table that is uploaded may take {in_units(self.limit)} of memory; {where} would take "
            f"{in_units(needed)} or more: save it as Parquet, which is read in pieces, or leave columns out"
        )


def require_shape(rows: int, columns: int, limits: Limits) -> None:
    """Raise `DataError` for a table with too many rows or columns."""
    if columns > limits.columns:
        raise DataError(f"a table must have at most {limits.columns:,} columns, got {columns:,}")
    if rows > limits.rows:
        raise DataError(f"a table must have at most {limits.rows:,} rows, got {rows:,}")
