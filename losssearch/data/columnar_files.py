"""Parquet and Arrow files read batch by batch, and a stratified sample of one.

Which rows are drawn depends on the file's content and on the number of rows asked for, not on how the file is cut
into row groups or batches, and not on a study's seed: all studies of a file with one limit see the same rows.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from losssearch.data.arrow_batches import arrow_batches, sound
from losssearch.data.columnar_size import BATCH, FEW
from losssearch.data.index_columns import with_index
from losssearch.data.room import Room

if TYPE_CHECKING:
    import pyarrow as pa

STREAMED = (".parquet", ".arrow", ".feather")
"""Suffixes of the files that can be read in pieces."""

COPIES = 6
"""Encoded float32 copies of a row that a study holds: draws of several stages, held-out parts, a worker's copy."""

TEXT_WIDTH, TEXT_BYTES = 10, 64
"""Indicators that a text column is taken to give, and bytes that pandas takes for one of its values."""

LEAST_SAMPLE, MOST_SAMPLE = 1000, 300_000
"""Rows of the sample of a streamed table: 40,000 in each of the confirmation and test parts."""

MOST_STRATA = 1000
LEAST_OF_CLASS = 50
"""Rows that a class keeps, if it has them, however rare it is."""

_SEED = 20_011


@contextmanager
def batches(
    path: Path, suffix: str, columns: list[str] | None = None, rows: int = BATCH
) -> Iterator[Iterator[pa.RecordBatch]]:
    """Record batches of a file, in order, with only these columns; for Parquet, at most ``rows`` rows in each."""
    import pyarrow as pa
    from pyarrow import parquet

    if suffix == ".parquet":
        with parquet.ParquetFile(path, pre_buffer=False) as file:
            yield sound(file.iter_batches(batch_size=rows, columns=columns))
        return
    with pa.memory_map(str(path)) as source:
        _, found = arrow_batches(source)
        yield (batch if columns is None else batch.select(columns) for batch in found)


def shape_of(path: Path, suffix: str) -> tuple[int, pa.Schema]:
    """Rows and schema of a file, without its values."""
    import pyarrow as pa
    from pyarrow import parquet

    if suffix == ".parquet":
        with parquet.ParquetFile(path) as file:
            return file.metadata.num_rows, file.schema_arrow
    with pa.memory_map(str(path)) as source:
        schema, found = arrow_batches(source)
        return sum(piece.num_rows for piece in found), schema


def row_bytes(schema: pa.Schema) -> int:
    """Bytes that a row takes, roughly: as pandas holds it, and encoded in `COPIES`."""
    import pyarrow as pa

    plain = [pa.types.is_primitive(column.type) for column in schema]
    return sum(8 + 4 * COPIES if simple else TEXT_BYTES + 4 * COPIES * TEXT_WIDTH for simple in plain)


def rows_in_memory(schema: pa.Schema, room: Room) -> int:
    """How many rows of this schema fit."""
    return max(LEAST_SAMPLE, int(room.limit / max(1, row_bytes(schema))))


def require_columns(schema: pa.Schema, room: Room, where: object) -> None:
    """Raise `DataError` if the smallest sample of these columns does not fit."""
    room.require(LEAST_SAMPLE * row_bytes(schema) - FEW, where, ", or leave columns out of the file")


def rows_at_once(schema: pa.Schema, room: Room) -> int:
    """Rows of a piece of a Parquet file: few where they are wide."""
    return max(LEAST_SAMPLE, min(BATCH, room.limit // max(1, 4 * row_bytes(schema))))


def sample_size(rows: int, fitting: int) -> int:
    """Rows of the sample of a table that is streamed: at most half of it, and no more than fit memory."""
    return max(3 * LEAST_SAMPLE // 2, min(MOST_SAMPLE, fitting, rows // 2))


def sample_file(path: Path, suffix: str, target: str | None, most: int, at_once: int = BATCH) -> pd.DataFrame:
    """``most`` rows of the file or a few more, in the file's order, classes of ``target`` in their shares."""
    import pyarrow as pa

    def strata() -> Iterator[NDArray[np.int64]]:
        with batches(path, suffix, None if target is None else [target], at_once) as pieces:
            coder = _Coder()
            for piece in pieces:
                column = None if target is None else piece.column(0)
                yield np.zeros(piece.num_rows, dtype=np.int64) if column is None else coder(column)

    rows = draw(strata, most)
    taken, begin = [], 0
    with batches(path, suffix, rows=at_once) as pieces:
        for piece in pieces:
            first, last = np.searchsorted(rows, (begin, begin + piece.num_rows))
            if last > first:
                taken.append(piece.take(pa.array(rows[first:last] - begin)))
            begin += piece.num_rows
    frame = with_index(pd.DataFrame(pa.Table.from_batches(taken).to_pandas()), str(path))
    frame.index = pd.Index(rows)  # rows are named as those of the file
    return frame


def draw(strata: Callable[[], Iterator[NDArray[np.int64]]], most: int) -> NDArray[np.int64]:
    """Sorted row numbers of a stratified sample of ``most`` rows, or a few more where classes are rare.

    ``strata`` gives the stratum of each row, numbered from 0, piece by piece; it is called twice. Each row has a
    random number by its place; those with the least in their stratum are drawn.
    """
    counts = np.zeros(0, dtype=np.int64)
    for piece in strata():
        found = np.bincount(piece, minlength=len(counts))
        found[: len(counts)] += counts
        counts = found
    total = int(counts.sum())
    if total <= most:
        return np.arange(total)
    if len(counts) > MOST_STRATA:  # a measurement: its values are no classes
        wanted, single = np.array([most]), True
    else:
        wanted, single = np.maximum(np.rint(counts * (most / total)), np.minimum(counts, LEAST_OF_CLASS)), False
    kept: list[list[NDArray[Any]]] = [[] for _ in wanted]
    random, begin = np.random.PCG64(_SEED), 0
    for piece in strata():
        keys = random.random_raw(len(piece))
        numbers = np.arange(begin, begin + len(piece))
        begin += len(piece)
        stratum = np.zeros(len(piece), dtype=np.int64) if single else piece
        for index in np.unique(stratum):
            own = stratum == index
            kept[index].append(np.stack([keys[own], numbers[own].astype(np.uint64)]))
            if sum(part.shape[1] for part in kept[index]) > 2 * wanted[index] + BATCH:
                kept[index] = [_least(kept[index], int(wanted[index]))]
    chosen = [_least(parts, int(number))[1] for parts, number in zip(kept, wanted, strict=True) if parts]
    return np.sort(np.concatenate(chosen)).astype(np.int64)


def said(rows: int, total: int, why: str) -> str:
    """The note of a sample."""
    return f"{rows:,} of {total:,} rows are used, a seeded sample with the target's classes in their shares: {why}"


def _least(parts: list[NDArray[Any]], count: int) -> NDArray[Any]:
    joined = np.concatenate(parts, axis=1)
    return joined[:, np.lexsort((joined[1], joined[0]))[:count]]


class _Coder:
    """Numbers values from 0 in the order in which they first occur; past `MOST_STRATA`, all others share one."""

    def __init__(self) -> None:
        self._known: dict[Any, int] = {}

    def __call__(self, column: pa.Array) -> NDArray[np.int64]:
        import pyarrow as pa

        encoded = column if isinstance(column, pa.DictionaryArray) else column.dictionary_encode("encode")
        values = encoded.dictionary.to_pylist()
        codes = np.array([self._number(value) for value in values], dtype=np.int64)
        index = encoded.indices.fill_null(-1).to_numpy(zero_copy_only=False).astype(np.int64)
        if (index < 0).any():
            codes = np.append(codes, self._number(None))
        return np.asarray(codes[index], dtype=np.int64)

    def _number(self, value: Any) -> int:
        if value not in self._known and len(self._known) > MOST_STRATA:
            return MOST_STRATA
        return self._known.setdefault(value, len(self._known))
