"""The batches of an Arrow file, and how large they are once unpacked, from their headers alone.

pyarrow unpacks a batch whole when it is asked for it, and tells no sizes before. Each compressed buffer begins with the
size that it unpacks to; the batch's header, a flatbuffer, says where the buffers are. See Arrow's format
specification, "Encapsulated message format" and "Buffer compression".
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from losssearch.errors import DataError

if TYPE_CHECKING:
    import pyarrow as pa

_MAGIC = b"ARROW1\0\0"
_FIELDS = {"record batch": 0, "dictionary": 1}
"""Slot of the record batch in the message's header: the header itself, or the data of a dictionary."""


def arrow_batches(source: pa.NativeFile) -> tuple[pa.Schema, Iterator[pa.RecordBatch]]:
    """The schema and the batches of an Arrow file or stream, each seen to be sound."""
    import pyarrow as pa

    try:
        reader = pa.ipc.open_file(source)
        return reader.schema, sound(reader.get_batch(index) for index in range(reader.num_record_batches))
    except pa.ArrowInvalid:  # the other Arrow format: a stream, which has no footer
        source.seek(0)
        stream = pa.ipc.open_stream(source)
        return stream.schema, sound(iter(stream))


def sound(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    """The batches, each seen to hold what its header says, and text in UTF-8; raises pyarrow's error otherwise."""
    for batch in batches:
        batch.validate(full=True)  # a falsified one would be read beyond its end
        yield batch


def largest_batch(source: pa.NativeFile) -> int:
    """Bytes that the largest batch of a file or stream unpacks to; 0 where none is compressed, as they are mapped then.

    Raises `DataError` if a header cannot be read.
    """
    import pyarrow as pa

    if source.read(len(_MAGIC)) != _MAGIC:
        source.seek(0)
    largest, reader = 0, pa.ipc.MessageReader.open_stream(source)
    while (message := _next(reader)) is not None:
        if message.type in _FIELDS:
            try:
                largest = max(largest, _unpacked(message.metadata.to_pybytes(), message.body, message.type))
            except (struct.error, IndexError) as error:
                raise DataError(f"a batch has a header that cannot be read: {error}") from error
    return largest


def _next(reader: Any) -> Any:
    try:
        return reader.read_next_message()
    except StopIteration:
        return None


def _unpacked(header: bytes, body: pa.Buffer, kind: str) -> int:
    """Bytes that all buffers of a batch unpack to; 0 where they are not compressed."""
    batch = _Table(header, *struct.unpack_from("<I", header)).table(2)
    if kind == "dictionary":
        batch = batch.table(1)
    if not batch.has(3):
        return 0
    total = 0
    for offset, length in batch.pairs(2):
        if length >= 8:
            (size,) = struct.unpack_from("<q", body, offset)
            total += length if size < 0 else size  # -1: this buffer is not compressed
    return total


class _Table:
    """A table of a flatbuffer: where its fields lie."""

    def __init__(self, data: bytes, place: int) -> None:
        self._data, self._place = data, place
        self._slots = place - struct.unpack_from("<i", data, place)[0]
        self._end = struct.unpack_from("<H", data, self._slots)[0]

    def _at(self, slot: int) -> int:
        """The place of a field; 0 where it is left out."""
        entry = 4 + 2 * slot
        shift: int = struct.unpack_from("<H", self._data, self._slots + entry)[0] if entry < self._end else 0
        return self._place + shift if shift else 0

    def _target(self, slot: int) -> int:
        place = self._at(slot)
        if not place:
            raise IndexError(f"field {slot} is missing")
        return place + int(struct.unpack_from("<I", self._data, place)[0])

    def has(self, slot: int) -> bool:
        """Whether the field is there."""
        return bool(self._at(slot))

    def table(self, slot: int) -> _Table:
        """The field as a table."""
        return _Table(self._data, self._target(slot))

    def pairs(self, slot: int) -> list[tuple[int, int]]:
        """The field as a list of pairs of int64."""
        if not self.has(slot):
            return []
        place = self._target(slot)
        count = struct.unpack_from("<I", self._data, place)[0]
        if place + 4 + 16 * count > len(self._data):
            raise IndexError(f"a list of {count} buffers does not fit the header")
        return [struct.unpack_from("<qq", self._data, place + 4 + 16 * index) for index in range(count)]
