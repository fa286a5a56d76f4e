"""CSV and TSV in pieces: all are read once to know what each column holds, and once more to be written."""

from __future__ import annotations

import gzip
from collections.abc import Iterator
from pathlib import Path

import pandas as pd
import pyarrow as pa
from pyarrow import compute

from losssearch.data import files
from losssearch.data.columns import MISSING_TEXT
from losssearch.data.numbers import Plainly
from losssearch.errors import DataError
from services.uploads.limits import Limits, require_shape

CELLS, BYTES = 1_000_000, 32_000_000
"""Cells of a piece, and bytes of its text, as the first rows have them."""

LEAST, MOST = 100, 100_000
"""Rows of a piece."""

_LOOKED_AT = 1 << 22
"""Bytes at the begin of a file, within which its first line must end."""


def pieces_of(path: Path, limits: Limits) -> tuple[pa.Schema, Iterator[pa.RecordBatch]]:
    """A table of text as Arrow has it, in pieces whose columns are as if the table had been read as a whole.

    Args:
        path: the file.
        limits: what the table may hold.

    Returns:
        The schema, and the pieces.

    Raises:
        DataError: the file holds no table, or breaks a limit.
    """
    rows = _rows_of_piece(path)
    kinds, schema = _look(path, rows, limits)

    def pieces() -> Iterator[pa.RecordBatch]:
        for piece in files.text_pieces(path, rows):
            yield from pa.Table.from_pandas(_typed(piece, kinds), schema=schema, preserve_index=False).to_batches()

    return schema, pieces()


def _look(path: Path, rows: int, limits: Limits) -> tuple[dict[str, Plainly], pa.Schema]:
    """What each column holds, and the schema of the table; counts rows and bytes as they come."""
    kinds: dict[str, Plainly] = {}
    first, seen, size = None, 0, 0
    for piece in files.text_pieces(path, rows):
        if first is None:
            require_shape(0, piece.shape[1], limits)
            kinds, first = {str(name): Plainly(MISSING_TEXT) for name in piece}, piece
        seen += len(piece)
        require_shape(seen, piece.shape[1], limits)
        for name, column in piece.items():
            kinds[str(name)].see(column)
            text = pa.array(column, type=pa.large_string(), from_pandas=True)
            size += compute.sum(compute.binary_length(text)).as_py() or 0
        size += piece.size  # the delimiters
        if size > limits.unpacked:
            raise DataError(f"a table must unpack to at most {limits.unpacked:,} bytes, it has more")
    if first is None:
        raise DataError("a table must have rows, it has none")
    return kinds, pa.Table.from_pandas(_typed(first, kinds), preserve_index=False).schema


def _typed(piece: pd.DataFrame, kinds: dict[str, Plainly]) -> pd.DataFrame:
    columns = {str(name): kinds[str(name)].convert(column) for name, column in piece.items()}
    return pd.DataFrame(columns, index=piece.index)


def _rows_of_piece(path: Path) -> int:
    """How many rows to read at once, by the first ones."""
    with gzip.open(path) if path.suffix == ".gz" else path.open("rb") as file:
        begin = file.read(_LOOKED_AT)
    lines = max(begin.count(b"\n"), begin.count(b"\r"))
    if not lines and len(begin) == _LOOKED_AT:
        raise DataError(f"the first line of a table names its columns, {path} has none within {_LOOKED_AT:,} bytes")
    line = begin.partition(b"\n")[0]
    columns = 1 + max(line.count(delimiter) for delimiter in (b",", b";", b"\t", b"|"))
    return max(LEAST, min(MOST, CELLS // columns, BYTES * max(1, lines) // max(1, len(begin))))
