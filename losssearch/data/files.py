"""Files as tables or arrays: CSV, Parquet, Arrow and NPZ. What cannot be read gives one line, not a traceback."""

from __future__ import annotations

import csv
import gzip
import re
import warnings
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, TextIO, cast

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from losssearch.data import array_size, columnar_files, columnar_size, text_size
from losssearch.data.arrow_batches import arrow_batches
from losssearch.data.columns import MISSING_TEXT
from losssearch.data.index_columns import with_index
from losssearch.data.numbers import plainly_numbers
from losssearch.data.room import Room
from losssearch.data.target_columns import TargetName, target_columns
from losssearch.errors import DataError, LossSearchError

TABLE_SUFFIXES = (".csv", ".csv.gz", ".tsv", ".tsv.gz", ".parquet", ".arrow", ".feather")
ARRAY_SUFFIXES = (".npz",)


def suffix_of(path: Path) -> str:
    """The suffix that decides how the file is read; raise `DataError` if there is no file to read."""
    try:
        if path.is_dir():
            raise DataError(f"{path} is a directory; give one file: {', '.join(TABLE_SUFFIXES + ARRAY_SUFFIXES)}")
        if not path.is_file():
            address = re.match(r"(https?|s3|gs|hdfs):/", str(path))
            aside = ": addresses are not read, download the file first" if address else ""
            raise DataError(f"no such file: {path}{aside}")
        if path.stat().st_size == 0:
            raise DataError(f"{path} is not a table: the file is empty")
    except (OSError, ValueError) as error:
        raise DataError(f"{path} cannot be read: {_one_line(error)}") from error
    name = path.name.lower()
    for suffix in TABLE_SUFFIXES + ARRAY_SUFFIXES:
        if name.endswith(suffix):
            return suffix
    known = ", ".join(TABLE_SUFFIXES + ARRAY_SUFFIXES)
    raise DataError(f"{path} has a suffix that says nothing of its format: {path.suffix!r}; readable are {known}")


@dataclass(frozen=True)
class LargeFile:
    """A file with more rows than fit memory, to be read in pieces."""

    path: Path
    suffix: str
    rows: int
    at_once: int = columnar_size.BATCH
    """Rows of a piece."""


def read_large_table(
    path: Path,
    suffix: str,
    target: TargetName | None,
    max_rows: int | None,
    *,
    room: Room,
    stream: bool = True,
) -> tuple[pd.DataFrame, tuple[str, ...], LargeFile | None]:
    """The table in a file; or a sample, if it has more rows than ``max_rows`` or than fit into ``room``.

    A sample comes with a note, or with the file if all rows are to be read in pieces later (``stream``).

    Raises `DataError` if the file holds no table, or takes more memory than there is room for.
    """
    if suffix not in columnar_files.STREAMED:
        return read_table(path, suffix, room), (), None
    with unreadable_told(path):
        columnar_size.require_batches(path, suffix, room)
        rows, schema = columnar_files.shape_of(path, suffix)
        columnar_files.require_columns(schema, room, path)
        most = max_rows or columnar_files.rows_in_memory(schema, room)
        columns = target_columns(target, schema.names)
        streamed = stream and max_rows is None and len(columns) == 1 and rows > most
        used = columnar_files.sample_size(rows, most) if streamed else min(rows, most)
        columnar_size.require_room(path, suffix, room, rows, used)
        if rows <= most:
            return _read_columnar(path, suffix), (), None
        refuse_duplicate_names(schema.names, str(path))
        if not set(columns) <= set(schema.names):
            return pd.DataFrame(schema.empty_table().to_pandas()), (), None  # told where it is missed
        at_once = columnar_files.rows_at_once(schema, room)
        large = LargeFile(path, suffix, rows, at_once) if streamed else None
        frame = columnar_files.sample_file(path, suffix, columns[0] if columns else None, used, at_once)
    if large is not None:
        return frame, (), large
    why = "as max_rows asks" if max_rows else "all would take more than the memory for data"
    return frame, (columnar_files.said(len(frame), rows, why),), None


@contextmanager
def unreadable_told(path: Path, what: str = "a table") -> Iterator[None]:
    """Turn what readers of files raise into a `DataError` of one line."""
    try:
        yield
    except LossSearchError:
        raise
    except UnicodeDecodeError as error:
        byte = error.object[error.start]
        raise DataError(f"{path} is not a table in UTF-8: it holds the byte {byte:#x}; save it as UTF-8") from error
    except Exception as error:  # a falsified file makes readers raise anything
        raise DataError(f"{path} is not {what}: {_one_line(error)}") from error


def read_table(path: Path, suffix: str, room: Room) -> pd.DataFrame:
    """The table in a file of one of `TABLE_SUFFIXES`; raise `DataError` if it holds none."""
    with unreadable_told(path):
        if suffix.startswith((".csv", ".tsv")):
            return _read_text_table(path, room)
        return _read_columnar(path, suffix)


def _read_columnar(path: Path, suffix: str) -> pd.DataFrame:
    return _read_parquet(path) if suffix == ".parquet" else _read_arrow(path)


def read_arrays(path: Path, room: Room) -> dict[str, NDArray[Any]]:
    """The arrays in an NPZ file by name; pickled objects are refused, and arrays that take too much memory."""
    with unreadable_told(path, "an NPZ archive of plain arrays"):
        with path.open("rb") as file:
            if file.read(len(np.lib.format.MAGIC_PREFIX)) == np.lib.format.MAGIC_PREFIX:
                raise DataError(f"{path} is not an NPZ archive but one array; save it with numpy.savez")
        array_size.require_room(path, room)
        with path.open("rb") as file, np.load(file, allow_pickle=False) as archive:
            return {name: np.asarray(archive[name]) for name in archive.files}


def refuse_duplicate_names(names: Iterable[str], where: str) -> None:
    """Raise `DataError` if two columns have one name."""
    seen: set[str] = set()
    for name in names:
        if name in seen:
            raise DataError(f"column names must differ; {where} has {name!r} more than once")
        seen.add(name)


def _read_text_table(path: Path, room: Room) -> pd.DataFrame:
    with _open_bytes(path) as raw:
        text_size.require_room(raw, room, path)
    with _open_text(path) as file:
        delimiter, header, in_first_line = _header_of(file, path)
        if len(header) > in_first_line:  # a line break inside a quoted name
            with _open_bytes(path) as raw:
                text_size.require_columns(len(header), raw, room, path)
        refuse_duplicate_names((name for name in header if name), str(path))
        with _long_rows_told(path, len(header)):
            frame = pd.read_csv(file, sep=delimiter, **_AS_TEXT)
    return pd.DataFrame({name: _typed(column) for name, column in frame.items()}, index=frame.index)


def text_pieces(path: Path, rows: int) -> Iterator[pd.DataFrame]:
    """The table in a text file, ``rows`` rows at a time, all cells as text; see `numbers.Plainly` for their kinds.

    Raises:
        DataError: the file holds no table.
    """
    with unreadable_told(path), _open_text(path) as file:
        delimiter, header, _ = _header_of(file, path)
        refuse_duplicate_names((name for name in header if name), str(path))
        with pd.read_csv(file, sep=delimiter, chunksize=rows, **_AS_TEXT) as pieces:
            while True:
                with _long_rows_told(path, len(header)):
                    piece = next(pieces, None)
                if piece is None:
                    return
                yield piece


_AS_TEXT: dict[str, Any] = {
    "skipinitialspace": True,
    "index_col": False,
    "dtype": "str",
    "keep_default_na": False,
    "na_values": list(MISSING_TEXT),
}
"""How text is read: a cell is what it is in any other file. NA may be a country, 00501 is a code."""


def _header_of(file: TextIO, path: Path) -> tuple[str, list[str], int]:
    """The delimiter, the names of the columns, and how many the first line has; ``file`` is then at its begin."""
    if "\0" in file.read(1 << 16):
        raise DataError(f"{path} is not a table: it holds binary data")
    file.seek(0)
    first = file.readline()
    delimiter = max(text_size.DELIMITERS, key=first.count)
    file.seek(0)
    header = next(csv.reader(file, delimiter=delimiter, skipinitialspace=True), [])
    file.seek(0)
    return delimiter, header, first.count(delimiter) + 1


@contextmanager
def _long_rows_told(path: Path, fields: int) -> Iterator[None]:
    """Refuse rows that are longer than the header, which would otherwise lose their last fields."""
    with warnings.catch_warnings():
        warnings.simplefilter("error", pd.errors.ParserWarning)
        try:
            yield
        except pd.errors.ParserWarning as error:
            raise DataError(f"{path} is not a table: rows have more fields than the {fields} of line 1") from error


def _typed(column: pd.Series) -> pd.Series:
    numbers = plainly_numbers(column, MISSING_TEXT)
    return column if numbers is None else numbers


def _open_bytes(path: Path) -> BinaryIO:
    return cast("BinaryIO", gzip.open(path) if path.suffix.lower() == ".gz" else path.open("rb"))


def _open_text(path: Path) -> TextIO:
    if path.suffix.lower() == ".gz":
        return gzip.open(path, "rt", encoding="utf-8-sig", newline="")
    return path.open(encoding="utf-8-sig", newline="")


def _read_parquet(path: Path) -> pd.DataFrame:
    from pyarrow import parquet

    refuse_duplicate_names(parquet.read_schema(path).names, str(path))
    table = parquet.ParquetFile(path).read()
    table.validate(full=True)  # text that is not UTF-8 would be found later
    return with_index(pd.DataFrame(table.to_pandas()), str(path))


def _read_arrow(path: Path) -> pd.DataFrame:
    import pyarrow as pa

    with pa.OSFile(str(path)) as source:
        schema, batches = arrow_batches(source)
        table = pa.Table.from_batches(list(batches), schema)
        refuse_duplicate_names(table.column_names, str(path))
        return with_index(pd.DataFrame(table.to_pandas()), str(path))


def _one_line(error: BaseException) -> str:
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    return " ".join(str(error).split())[:200] or type(error).__name__
