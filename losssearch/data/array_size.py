"""How much memory the arrays of an NPZ file take, from the headers in it."""

from __future__ import annotations

import math
from pathlib import Path
from zipfile import ZipFile, ZipInfo

import numpy as np

from losssearch.data.room import Room
from losssearch.errors import DataError

ELEMENT, CHARACTERS = 16, 64
"""Bytes that reading takes per number, without the array itself: as float64 and as float32; and for each text."""


def require_room(path: Path, room: Room) -> None:
    """Raise `DataError` if the arrays do not fit, or where a header promises more than the file holds."""
    with ZipFile(path) as archive:
        total = 0
        for member in archive.infolist():
            total += _needed(archive, member, path)
            room.require(total, path)


def _needed(archive: ZipFile, member: ZipInfo, path: Path) -> int:
    """Bytes of memory that a member takes: of one that is no array, its size."""
    with archive.open(member) as file:
        start = file.read(len(np.lib.format.MAGIC_PREFIX) + 2)
        if not start.startswith(np.lib.format.MAGIC_PREFIX):
            return member.file_size
        readers = {1: np.lib.format.read_array_header_1_0, 2: np.lib.format.read_array_header_2_0}
        if start[-2] not in readers:
            raise DataError(f"{path} is not an NPZ archive of plain arrays: {member.filename} has a header of its own")
        shape, _, kind = readers[start[-2]](file)
    count = math.prod(shape)
    if min(shape, default=0) < 0 or count * kind.itemsize > member.file_size:
        raise DataError(
            f"{path} is not an NPZ archive of plain arrays: {member.filename} is to hold {list(shape)} of {kind}, "
            f"which are {count * kind.itemsize} bytes, and has {member.file_size}"
        )
    return member.file_size + count * (ELEMENT if kind.kind in "biufc" else CHARACTERS + kind.itemsize)
