"""How much memory a table of text takes to be read, from its bytes as they come out of the file.

What was measured: pandas and `losssearch.data.columns` take 24 bytes for a cell, 3.5 for each byte of a number, 9 for
each byte of other text, and 4 kB for a column.
"""

from __future__ import annotations

from typing import BinaryIO

from losssearch.data.room import Room

DELIMITERS = (",", ";", "\t", "|")

CELL, NUMBER_BYTE, TEXT_BYTE, COLUMN = 24, 3.5, 9, 4096

LONG = 32
"""Bytes a cell on average beyond which text counts as text, whatever it spells."""

_CHUNK = 1 << 20
_OF_NUMBERS = b"0123456789+-.eE,;\t| \r\n"
_ADVICE = ", or save the table as Parquet, which is streamed"


def require_room(file: BinaryIO, room: Room, where: object) -> None:
    """Read ``file`` to its end, or to where it is seen not to fit, and raise `DataError` there."""
    fields, header, rows, size, letters = dict.fromkeys(DELIMITERS, 1), True, 1, 0, 0
    while chunk := file.read(_CHUNK):
        if header:
            line, end, _ = chunk.partition(b"\n" if b"\n" in chunk else b"\r")
            for delimiter in DELIMITERS:
                fields[delimiter] += line.count(delimiter.encode())
            header = not end
        rows += max(chunk.count(b"\n"), chunk.count(b"\r"))
        size += len(chunk)
        letters += len(chunk.translate(None, _OF_NUMBERS))
        room.require(needed(rows, max(fields.values()), size, letters), where, _ADVICE)


def needed(rows: int, columns: int, size: int = 0, letters: int = 0) -> float:
    """Bytes of memory that ``rows`` × ``columns`` cells of ``size`` bytes, of them ``letters`` in no number, take."""
    cells = rows * columns
    other = size if size > LONG * cells else letters
    return CELL * cells + NUMBER_BYTE * size + (TEXT_BYTE - NUMBER_BYTE) * other + COLUMN * columns


def require_columns(columns: int, file: BinaryIO, room: Room, where: object) -> None:
    """As `require_room`, where the header has turned out to have more columns than its first line shows."""
    rows = 1
    while chunk := file.read(_CHUNK):
        rows += max(chunk.count(b"\n"), chunk.count(b"\r"))
        room.require(needed(rows, columns), where, _ADVICE)
