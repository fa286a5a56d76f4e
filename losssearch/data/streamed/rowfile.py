"""Encoded rows in one file on disk: written once, in order, and read block by block, in any order.

The file is read, not mapped: pages of a mapping would count as this process's memory, and Linux's cache of the file
serves all processes that read it anyway.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from losssearch.data.room import in_units
from losssearch.errors import DataError, OptionError
from losssearch.option_names import option

BLOCK_BYTES = 1 << 18
"""What is read at once: enough for a disk to be busy with reading, few enough for many blocks in one window."""

Records = NDArray[np.void]


@dataclass(frozen=True)
class Layout:
    """Which encoded columns are numbers (float32) and which are 0 or 1 (a byte each); by position.

    ``grouped``: whether rows carry the id of a sensitive group.
    """

    numbers: tuple[int, ...]
    flags: tuple[int, ...]
    grouped: bool = False

    @cached_property
    def record(self) -> np.dtype[np.void]:
        """A row on disk: target, place of its key among the keys of the rows in memory (-1: none), group, features."""
        return np.dtype(
            [
                ("target", "<f8"),
                ("place", "<i4"),
                *([("group", "<i4")] if self.grouped else []),
                ("numbers", "<f4", (len(self.numbers),)),
                ("flags", "u1", (len(self.flags),)),
            ]
        )

    @property
    def width(self) -> int:
        """Encoded columns."""
        return len(self.numbers) + len(self.flags)

    def fill(self, records: Records, features: NDArray[np.float32]) -> None:
        """Write encoded ``features`` [rows, width] into ``records``."""
        records["numbers"] = features[:, self.numbers]
        records["flags"] = features[:, self.flags]

    def features(self, records: Records) -> NDArray[np.float32]:
        """The encoded features [rows, width] of ``records``, to the bit."""
        found = np.empty((len(records), self.width), dtype=np.float32)
        found[:, self.numbers] = records["numbers"]
        found[:, self.flags] = records["flags"]
        return found


@dataclass(frozen=True)
class RowFile:
    """Where encoded rows lie. Plain data: other processes of this machine read the same file."""

    path: str
    rows: int
    layout: Layout

    @property
    def block_rows(self) -> int:
        """Rows of a block; the last block may have fewer. The same however the source was cut."""
        return max(1, BLOCK_BYTES // self.layout.record.itemsize)

    @property
    def blocks(self) -> int:
        """How many blocks there are."""
        return -(-self.rows // self.block_rows)

    @property
    def size(self) -> int:
        """Bytes."""
        return self.rows * self.layout.record.itemsize

    def open(self) -> int:
        """A file descriptor to read from; raise `OptionError` if this machine does not have the file."""
        try:
            return os.open(self.path, os.O_RDONLY | os.O_CLOEXEC)
        except OSError as error:
            raise OptionError(
                f"workers must reach the encoded rows of a streamed table; {os.uname().nodename} has no {self.path}: "
                f"let TMPDIR name a folder that all nodes share, use workers of one machine, or "
                f"{option('max_rows')} for a sample"
            ) from error

    def places(self, blocks: Sequence[int] | NDArray[np.int64]) -> NDArray[np.int64]:
        """Where the rows of these blocks lie among all rows, in this order."""
        return np.concatenate([int(b) * self.block_rows + np.arange(self._rows_of(b)) for b in blocks])

    def _rows_of(self, block: int | np.int64) -> int:
        return min(self.block_rows, self.rows - int(block) * self.block_rows)

    def read(self, descriptor: int, blocks: Sequence[int] | NDArray[np.int64]) -> Records:
        """The records of these blocks, in this order."""
        sizes = [self._rows_of(block) for block in blocks]
        records = np.empty(sum(sizes), dtype=self.layout.record)
        view, item, begin = _bytes_of(records), self.layout.record.itemsize, 0
        for block, size in zip(blocks, sizes, strict=True):
            end = begin + size * item
            offset = int(block) * self.block_rows * item
            while begin < end:
                got = os.preadv(descriptor, [view[begin:end]], offset)
                if not got:
                    raise OptionError(f"the encoded rows in {self.path} must stay while a study runs; it was cut short")
                begin, offset = begin + got, offset + got
        return records


def write_rows(path: Path, layout: Layout, pieces: Iterable[Records], most: int) -> RowFile:
    """Write ``pieces``, ``most`` rows at the most, one after the other.

    The room is claimed before the first piece is asked for, so that a full disk is told at once.

    Raises `DataError` if the disk has not that room, or has it no more; the file is then gone.
    """
    needed, rows = most * layout.record.itemsize, 0
    try:
        with path.open("xb", buffering=0) as file:
            try:
                os.posix_fallocate(file.fileno(), 0, max(1, needed))
                for piece in pieces:
                    _write_all(file, _bytes_of(piece))
                    rows += len(piece)
                file.truncate(rows * layout.record.itemsize)
            except BaseException:
                path.unlink(missing_ok=True)
                raise
    except OSError as error:
        raise DataError(
            f"the encoded rows of a streamed table need {in_units(needed)} in {path.parent}, which could not be "
            f"written: {error.strerror or error}: let TMPDIR name a folder with room, or use "
            f"{option('max_rows')} for a sample"
        ) from error
    return RowFile(str(path), rows, layout)


def _bytes_of(records: Records) -> memoryview[int]:
    return memoryview(records.view(np.uint8).data)


def _write_all(file: Any, view: memoryview[int]) -> None:
    while view:
        view = view[file.write(view) :]
