"""An uploaded file becomes a Parquet file with plain columns, in pieces where its format has them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
from numpy.typing import NDArray
from pyarrow import compute, parquet

from losssearch.data import columnar_files, columnar_size, files
from losssearch.data.arrow_batches import arrow_batches
from losssearch.errors import DataError
from services.uploads.limits import Limits, UploadRoom, require_shape
from services.uploads.text_tables import pieces_of

LONGEST_NAME = 200


def write_parquet(path: Path, suffix: str, out: Path, limits: Limits) -> tuple[int, list[str], list[str]]:
    """Write the table in ``path`` to ``out``.

    Args:
        path: the file; messages name it.
        suffix: its format, such as ``".csv.gz"``.
        out: the Parquet file to write.
        limits: what the table may hold.

    Returns:
        The number of rows, the names of the columns, and notes on what was left out.

    Raises:
        DataError: the file cannot be read, or breaks a limit.
    """
    room = UploadRoom(limits.room)
    if suffix in columnar_files.STREAMED:
        return _columnar(path, suffix, out, limits, room)
    if suffix not in files.ARRAY_SUFFIXES:
        with files.unreadable_told(path):
            schema, pieces = pieces_of(path, limits)
            return _write(schema, pieces, out, limits, [])
    frame, notes = _frame_of_arrays(files.read_arrays(path, room), path)
    frame.rename(columns=str)
    require_shape(len(frame), frame.shape[1], limits)
    table = pa.Table.from_pandas(frame, preserve_index=False)
    return _write(table.schema, table.to_batches(columnar_size.BATCH), out, limits, notes)


def _columnar(path: Path, suffix: str, out: Path, limits: Limits, room: UploadRoom) -> tuple[int, list[str], list[str]]:
    with files.unreadable_told(path):
        columnar_size.require_batches(path, suffix, room)
        rows, schema = columnar_files.shape_of(path, suffix)
        require_shape(rows, len(schema.names), limits)
        files.refuse_duplicate_names(schema.names, path.name)
        columnar_size.require_room(path, suffix, room, rows, 0)
        at_once = columnar_files.rows_at_once(schema, room)
        with ExitStack() as stack:
            if suffix == ".parquet":
                pieces = stack.enter_context(columnar_files.batches(path, suffix, rows=at_once))
            else:  # read, not mapped: a map counts as memory
                pieces = arrow_batches(stack.enter_context(pa.OSFile(str(path))))[1]
            return _write(schema, pieces, out, limits, [])


def _write(
    schema: pa.Schema, pieces: Iterable[pa.RecordBatch], out: Path, limits: Limits, notes: list[str]
) -> tuple[int, list[str], list[str]]:
    """Write the plain columns of ``pieces``, counting rows and bytes as they come."""
    plain = {column.name: kind for column in schema if (kind := _plain(column.type)) is not None}
    left_out = [name for name in schema.names if name not in plain]
    for name in schema.names:
        _require_name(name)
    if not plain:
        raise DataError("a table must have columns of numbers, text, dates or booleans, it has none")
    if left_out:
        notes.append(f"left out {', '.join(map(repr, left_out))}: no plain values, such as lists or bytes")
    written = pa.schema(list(plain.items()), metadata=None if left_out else _of_pandas(schema))
    rows = size = 0
    with parquet.ParquetWriter(out, written, compression="zstd") as writer:
        for piece in pieces:
            rows += piece.num_rows
            require_shape(rows, len(plain), limits)
            columns = [_checked(piece.column(name), kind, name, limits) for name, kind in plain.items()]
            size += sum(columnar_size.unpacked(column) + 8 * len(column) for column in columns)
            if size > limits.unpacked:
                raise DataError(f"a table must unpack to at most {limits.unpacked:,} bytes, it has more")
            writer.write_batch(pa.RecordBatch.from_arrays(columns, schema=written))
    if not rows:
        raise DataError("a table must have rows, it has none")
    return rows, list(plain), notes


def _plain(kind: pa.DataType) -> pa.DataType | None:
    """The type that is written for a column of ``kind``; None for one without plain values."""
    if pa.types.is_dictionary(kind):
        return None if _plain(kind.value_type) is None else _plain(kind.value_type)
    if kind == pa.string_view():
        return pa.string()
    texts = pa.types.is_string(kind) or pa.types.is_large_string(kind)
    numbers = pa.types.is_primitive(kind) or pa.types.is_decimal(kind) or pa.types.is_null(kind)
    return kind if texts or (numbers and not pa.types.is_interval(kind)) else None


def _checked(column: pa.Array, kind: pa.DataType, name: str, limits: Limits) -> pa.Array:
    """The column as ``kind``; raise `DataError` for a cell of text that is too long."""
    held = column.dictionary if pa.types.is_dictionary(column.type) else column
    if pa.types.is_string(kind) or pa.types.is_large_string(kind):
        longest = compute.max(compute.binary_length(held.cast(kind))).as_py() or 0
        if longest > limits.cell:
            raise DataError(f"a cell must have at most {limits.cell:,} bytes, column {name!r} has one of {longest:,}")
    return column if column.type == kind else column.cast(kind)


def _require_name(name: str) -> None:
    if not name or len(name) > LONGEST_NAME or not name.isprintable():
        raise DataError(f"a column's name must have 1 to {LONGEST_NAME} printable characters, got {name[:80]!r}")


def _of_pandas(schema: pa.Schema) -> dict[bytes, bytes] | None:
    """What pandas noted of its index, without which an unnamed index would become a column."""
    found = (schema.metadata or {}).get(b"pandas")
    return None if found is None else {b"pandas": found}


def _frame_of_arrays(arrays: dict[str, NDArray[Any]], path: Path) -> tuple[pd.DataFrame, list[str]]:
    """A table of arrays with one first dimension; those of more dimensions become columns ``NAME0``, ``NAME1``, …."""
    rows = {array.shape[0] if array.ndim else 0 for array in arrays.values()}
    if len(rows) != 1 or rows == {0}:
        shapes = ", ".join(f"{name!r} {list(array.shape)}" for name, array in list(arrays.items())[:12])
        raise DataError(f"arrays that become a table must have one number of rows; {path} has {shapes or 'none'}")
    columns = dict(_columns_of(arrays))
    flat = [f"{name!r} {list(array.shape)}" for name, array in arrays.items() if array.ndim > 2]
    return pd.DataFrame(columns), [f"{', '.join(flat)} became a column per element"] if flat else []


def _columns_of(arrays: dict[str, NDArray[Any]]) -> Iterator[tuple[str, NDArray[Any]]]:
    for name, array in arrays.items():
        if array.dtype.kind not in "biufU":
            raise DataError(f"arrays that become a table must hold numbers or text, {name!r} holds {array.dtype}")
        if array.ndim == 1:
            yield name, array
            continue
        values = array.reshape(len(array), -1)
        for place in range(values.shape[1]):
            yield f"{name}{place}", np.ascontiguousarray(values[:, place])
