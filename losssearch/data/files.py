"""Files as tables or arrays: CSV, Parquet, Arrow and NPZ. What cannot be read gives one line, not a traceback."""

from __future__ import annotations

import csv
import gzip
import re
import warnings
import zlib
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TextIO
from zipfile import BadZipFile

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from losssearch.data import streaming
from losssearch.data.columns import MISSING_TEXT
from losssearch.data.index_columns import with_index
from losssearch.data.numbers import plainly_numbers
from losssearch.errors import DataError

TABLE_SUFFIXES = (".csv", ".csv.gz", ".tsv", ".tsv.gz", ".parquet", ".arrow", ".feather")
ARRAY_SUFFIXES = (".npz",)

_DELIMITERS = (",", ";", "\t", "|")
_UNREADABLE = (OSError, EOFError, ValueError, zlib.error)


def suffix_of(path: Path) -> str:
    """The suffix that decides how the file is read; raise `DataError` where there is no file to read."""
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


def read_large_table(
    path: Path,
    suffix: str,
    target: str | None,
    max_rows: int | None,
    *,
    memory: int | None = None,
    stream: bool = True,
) -> tuple[pd.DataFrame, tuple[str, ...], LargeFile | None]:
    """The table in a file; or a sample, where it has more rows than ``max_rows`` or than fit ``memory`` bytes.

    A sample comes with a note; or, where all rows are to be read in pieces later (``stream``), with the file.

    Raises `DataError` where the file holds no table.
    """
    if suffix not in streaming.STREAMED:
        return read_table(path, suffix), (), None
    with unreadable_told(path):
        rows, schema = streaming.shape_of(path, suffix)
        most = max_rows or streaming.rows_in_memory(schema, memory)
        if rows <= most:
            return read_table(path, suffix), (), None
        refuse_duplicate_names(schema.names, str(path))
        if target is not None and target not in schema.names:
            return pd.DataFrame(schema.empty_table().to_pandas()), (), None  # told where it is missed
        large = None
        if stream and max_rows is None and target is not None:
            large = LargeFile(path, suffix, rows)
            most = streaming.sample_size(rows, most)
        frame = streaming.sample_file(path, suffix, target, most)
    if large is not None:
        return frame, (), large
    why = "as max_rows asks" if max_rows else "all would take more than the memory for data"
    return frame, (streaming.said(len(frame), rows, why),), None


@contextmanager
def unreadable_told(path: Path) -> Iterator[None]:
    """Turn what readers of files raise into a `DataError` of one line."""
    try:
        yield
    except _UNREADABLE as error:
        raise DataError(f"{path} is not a table: {_one_line(error)}") from error


def read_table(path: Path, suffix: str) -> pd.DataFrame:
    """The table in a file of one of `TABLE_SUFFIXES`; raise `DataError` where it holds none."""
    try:
        if suffix.startswith((".csv", ".tsv")):
            return _read_text_table(path)
        return _read_parquet(path) if suffix == ".parquet" else _read_arrow(path)
    except DataError:
        raise
    except UnicodeDecodeError as error:
        byte = error.object[error.start]
        raise DataError(f"{path} is not a table in UTF-8: it holds the byte {byte:#x}; save it as UTF-8") from error
    except _UNREADABLE as error:
        raise DataError(f"{path} is not a table: {_one_line(error)}") from error


def read_arrays(path: Path) -> dict[str, NDArray[Any]]:
    """The arrays in an NPZ file by name; pickled objects are refused."""
    try:
        with path.open("rb") as file, np.load(file, allow_pickle=False) as archive:
            return {name: np.asarray(archive[name]) for name in archive.files}
    except TypeError as error:  # numpy reads a renamed .npy file as one array
        raise DataError(f"{path} is not an NPZ archive but one array; save it with numpy.savez") from error
    except (BadZipFile, *_UNREADABLE) as error:
        raise DataError(f"{path} is not an NPZ archive of plain arrays: {_one_line(error)}") from error


def refuse_duplicate_names(names: Iterable[str], where: str) -> None:
    """Raise `DataError` where two columns have one name."""
    seen: set[str] = set()
    for name in names:
        if name in seen:
            raise DataError(f"column names must differ; {where} has {name!r} more than once")
        seen.add(name)


def _read_text_table(path: Path) -> pd.DataFrame:
    with _open_text(path) as file:
        if "\0" in file.read(1 << 16):
            raise DataError(f"{path} is not a table: it holds binary data")
        file.seek(0)
        first = file.readline()
        delimiter = max(_DELIMITERS, key=first.count)
        file.seek(0)
        header = next(csv.reader(file, delimiter=delimiter, skipinitialspace=True), [])
        refuse_duplicate_names((name for name in header if name), str(path))
        file.seek(0)
        with warnings.catch_warnings():
            # Rows longer than the header would otherwise lose their last fields.
            warnings.simplefilter("error", pd.errors.ParserWarning)
            try:
                # As text, so that a cell is what it is in any other file: NA may be a country, 00501 is a code.
                frame = pd.read_csv(
                    file,
                    sep=delimiter,
                    skipinitialspace=True,
                    index_col=False,
                    dtype="str",
                    keep_default_na=False,
                    na_values=list(MISSING_TEXT),
                )
            except pd.errors.ParserWarning as error:
                fields = f"the {len(header)} of line 1"
                raise DataError(f"{path} is not a table: rows have more fields than {fields}") from error
    return pd.DataFrame({name: _typed(column) for name, column in frame.items()}, index=frame.index)


def _typed(column: pd.Series) -> pd.Series:
    numbers = plainly_numbers(column, MISSING_TEXT)
    return column if numbers is None else numbers


def _open_text(path: Path) -> TextIO:
    if path.suffix.lower() == ".gz":
        return gzip.open(path, "rt", encoding="utf-8-sig", newline="")
    return path.open(encoding="utf-8-sig", newline="")


def _read_parquet(path: Path) -> pd.DataFrame:
    from pyarrow import parquet

    refuse_duplicate_names(parquet.read_schema(path).names, str(path))
    return with_index(pd.DataFrame(parquet.ParquetFile(path).read().to_pandas()), str(path))


def _read_arrow(path: Path) -> pd.DataFrame:
    import pyarrow as pa

    with pa.OSFile(str(path)) as source:
        try:
            table = pa.ipc.open_file(source).read_all()
        except pa.ArrowInvalid:
            # The other Arrow format: a stream, which has no footer.
            source.seek(0)
            table = pa.ipc.open_stream(source).read_all()
        refuse_duplicate_names(table.column_names, str(path))
        return with_index(pd.DataFrame(table.to_pandas()), str(path))


def _one_line(error: BaseException) -> str:
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    return " ".join(str(error).split())[:200] or type(error).__name__
