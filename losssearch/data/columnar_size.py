"""How much memory a Parquet or Arrow file takes, measured batch by batch before it is read.

Texts are counted and not unpacked: a value that is repeated in a million rows is read once, with its number in each.
Rows of numbers are bounded elsewhere, by how many there are: see `losssearch.data.columnar_files`.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from losssearch.data.arrow_batches import arrow_batches, largest_batch
from losssearch.data.room import Room
from losssearch.option_names import option

if TYPE_CHECKING:
    import pyarrow as pa

BATCH = 1 << 16
"""Rows that are read at once."""

FEW = 1 << 26
"""Bytes that a batch may take in any case."""

TEXT_COPIES = 8
"""What reading takes for each byte of text, and of what lies in lists: as Arrow, pandas and Python hold it."""

_ADVICE = f", leave long texts and nested columns out of it, or use {option('max_rows')} for a sample"


def require_room(path: Path, suffix: str, room: Room, rows: int, most: int) -> None:
    """Raise `DataError` if texts and nested columns do not fit, of all ``rows`` or of ``most`` and of each batch."""
    total, share = 0, min(1.0, most / max(1, rows))
    at_once, held = 0, 0
    with _measured(path, suffix, room) as pieces:
        for count, size in pieces:
            total += size
            at_once, held = (count, size) if at_once + count > BATCH else (at_once + count, held + size)
            room.require(max(total * share, held - FEW), path, _ADVICE)


def require_batches(path: Path, suffix: str, room: Room) -> None:
    """Raise `DataError` if a single batch or page is larger than what data may take, packed or not."""
    import pyarrow as pa
    from pyarrow import parquet

    if suffix == ".parquet":
        with parquet.ParquetFile(path) as file:
            facts = file.metadata
            for index in range(facts.num_row_groups):
                group = facts.row_group(index)
                sizes = [group.column(place).total_uncompressed_size for place in range(group.num_columns)]
                room.require(max(sizes, default=0) - FEW, path, _ADVICE)
        return
    with pa.memory_map(str(path)) as source:
        room.require(largest_batch(source) - FEW, path, ", or write it in smaller batches")


@contextmanager
def _measured(path: Path, suffix: str, room: Room) -> Iterator[Iterator[tuple[int, int]]]:
    """Rows of each batch, and bytes that reading takes for the texts and nested columns in it."""
    import pyarrow as pa
    from pyarrow import parquet

    if suffix != ".parquet":
        with pa.memory_map(str(path)) as source:
            yield (
                _counted(batch.slice(first, BATCH))
                for batch in arrow_batches(source)[1]
                for first in range(0, batch.num_rows, BATCH)
            )
        return
    with parquet.ParquetFile(path) as file:
        facts, schema = file.metadata, file.schema
    yield _parquet_pieces(path, facts, [schema.column(place) for place in range(len(schema.names))], room)


def _counted(batch: pa.RecordBatch) -> tuple[int, int]:
    return batch.num_rows, TEXT_COPIES * sum(unpacked(column) for column in batch)


def _parquet_pieces(path: Path, facts: Any, leaves: list[Any], room: Room) -> Iterator[tuple[int, int]]:
    from pyarrow import parquet

    for place, leaf in enumerate(leaves):
        if leaf.max_repetition_level:  # lists: more values than rows
            values = sum(facts.row_group(i).column(place).num_values for i in range(facts.num_row_groups))
            yield 0, TEXT_COPIES * values * max(8, leaf.length)
    texts = [place for place, leaf in enumerate(leaves) if leaf.physical_type == "BYTE_ARRAY"]
    packed = {place: size for place in texts if (size := _differences(facts, place))}
    for chosen in ([place for place in texts if place not in packed], list(packed)):
        if not chosen:
            continue
        names = [leaves[place].path for place in chosen]
        rows, coded = BATCH, names
        if chosen[0] in packed:
            # A text cannot be longer than all that it may be pieced together from.
            rows, coded = max(16, min(BATCH, room.limit // (TEXT_COPIES * max(packed.values())))), []
        with parquet.ParquetFile(path, pre_buffer=False, read_dictionary=coded) as file:
            yield from map(_counted, file.iter_batches(batch_size=rows, columns=names))


def _differences(facts: Any, place: int) -> int:
    """Bytes of the largest piece of a column whose texts are written as differences; 0 where they are not."""
    pieces = [facts.row_group(index).column(place) for index in range(facts.num_row_groups)]
    sizes = [int(one.total_uncompressed_size) for one in pieces if any("DELTA" in name for name in one.encodings)]
    return max(sizes, default=0)


def unpacked(values: pa.Array) -> int:
    """Bytes of the values of a column that have no width of their own: texts, lists, and what is in them."""
    import pyarrow as pa
    from pyarrow import compute

    kind = values.type
    if pa.types.is_dictionary(kind):
        return _in_dictionary(values)
    if pa.types.is_run_end_encoded(kind):
        return len(values) * max(8, unpacked(values.values))
    if isinstance(kind, pa.ExtensionType):
        return unpacked(values.storage)
    if pa.types.is_struct(kind):
        return sum(map(unpacked, values.flatten())) + int(8 * len(values) * kind.num_fields)
    if pa.types.is_map(kind):
        return sum(map(unpacked, (values.keys, values.items))) + 16 * len(values.keys)
    if pa.types.is_nested(kind) and not pa.types.is_union(kind):
        count = compute.sum(compute.list_value_length(values)).as_py() or 0
        if pa.types.is_list(kind) or pa.types.is_large_list(kind):
            return int(8 * count) + unpacked(values.flatten())
        return int(8 * count + unpacked(values.values) * max(1.0, count / max(1, len(values.values))))
    if pa.types.is_primitive(kind) or pa.types.is_null(kind):
        return 0
    if pa.types.is_union(kind) or pa.types.is_decimal(kind) or pa.types.is_fixed_size_binary(kind):
        return int(values.nbytes)
    if kind in (pa.string_view(), pa.binary_view()):
        lengths = np.frombuffer(values.buffers()[1], dtype="<i4")[::4]
        return int(lengths[values.offset : values.offset + len(values)].clip(0).sum(dtype=np.int64))
    return int(compute.sum(compute.binary_length(values)).as_py() or 0)


def _in_dictionary(values: pa.DictionaryArray) -> int:
    """Bytes of the values that the numbers of a dictionary stand for."""
    import pyarrow as pa
    from pyarrow import compute

    held = values.dictionary
    if pa.types.is_primitive(held.type) or pa.types.is_null(held.type):
        return 0
    try:
        lengths = compute.binary_length(held)
    except pa.ArrowNotImplementedError:
        return len(values) * unpacked(held)
    return int(compute.sum(compute.take(lengths.cast(pa.int64()), values.indices)).as_py() or 0)
