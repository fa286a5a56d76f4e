"""CSV in pieces is converted to what the whole file would have been, however it is cut."""

from __future__ import annotations

import gzip
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pyarrow import parquet

from losssearch.data.columns import MISSING_TEXT
from losssearch.data.files import read_table, text_pieces
from losssearch.data.numbers import Plainly, plainly_numbers
from losssearch.data.room import Room
from losssearch.errors import DataError
from services.uploads import text_tables
from services.uploads.limits import Limits
from services.uploads.tables import write_parquet

COLUMNS = {
    "whole": ["1", "2", "3", "4", "5", "6", "7"],
    "fraction late": ["1", "2", "3", "4", "5", "6", "7.5"],
    "gap late": ["1", "2", "3", "4", "5", "", "7"],
    "gap first": ["", "?", "", "4", "5", "6", "7"],
    "text late": ["1", "2", "3", "4", "5", "six", "7"],
    "code late": ["1", "2", "3", "4", "5", "6", "007"],
    "infinite late": ["1", "2", "3", "4", "5", "inf", "7"],
    "nan first": ["nan", "2", "3", "4", "5", "6", "7"],
    "wide": ["1.5", "2", "3", "4", "5", "12345678901234567", "7"],
    "wide whole": ["1", "2", "3", "4", "5", "12345678901234567", "7"],
    "hexadecimal": ["0x1F", "2", "3", "4", "5", "6", "7"],
    "spaces": ["  1", "2 ", " 3", "4", "5", "6", " 7"],
    "missing": ["", "", "?", "", "", "", ""],
    "quoted": ['"a, b"', '"line\nbreak"', '"say ""x"""', "d", "e", "NA", "None"],
    "exponent": ["1e3", "2E-3", ".5", "5.", "+5", "-6", "7"],
    "truth": ["true", "false", "True", "", "true", "false", "true"],
    "date": ["2021-03-01", "", "2021-03-02", "3/4/2021", "x", "", "2021"],
}


def text_of(columns: dict[str, list[str]], delimiter: str = ",") -> str:
    rows = [delimiter.join(columns), *(delimiter.join(cells) for cells in zip(*columns.values(), strict=True))]
    return "\n".join(rows) + "\n"


def as_before(path: Path, suffix: str) -> pa.Table:
    """What was written of the table when it was read as a whole."""
    return pa.Table.from_pandas(read_table(path, suffix, Room.of()).rename(columns=str), preserve_index=False)


@pytest.mark.parametrize("rows", [1, 2, 3, 100])
@pytest.mark.parametrize("kind", ["csv", "csv.gz", "tsv", "bom", "carriage returns"])
def test_pieces_make_the_table_that_the_whole_file_makes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, rows: int, kind: str
) -> None:
    suffix = f".{kind}" if kind in ("csv.gz", "tsv") else ".csv"
    text = text_of(COLUMNS, "\t" if kind == "tsv" else ",")
    content = {"bom": b"\xef\xbb\xbf", "carriage returns": b""}.get(kind, b"") + text.encode()
    if kind == "carriage returns":
        content = content.replace(b"\n", b"\r\n")
    path = tmp_path / f"table{suffix}"
    path.write_bytes(gzip.compress(content) if suffix == ".csv.gz" else content)
    monkeypatch.setattr(text_tables, "LEAST", rows)
    monkeypatch.setattr(text_tables, "MOST", rows)
    assert write_parquet(path, suffix, tmp_path / "out.parquet", Limits()) == (7, list(COLUMNS), [])
    found, expected = parquet.read_table(tmp_path / "out.parquet"), as_before(path, suffix)
    assert found.schema.equals(expected.schema, check_metadata=True)
    assert found.equals(expected)


CELL = st.sampled_from(
    ["1", "-2", "3.5", "1e400", "007", "", "?", "x", "nan", "0x10", "9" * 17, "9" * 20, " 4 ", "true"]
)


@settings(max_examples=200, deadline=None, derandomize=True)
@given(cells=st.lists(CELL, min_size=1, max_size=8), cut=st.integers(1, 8))
def test_a_column_in_pieces_is_what_it_is_as_a_whole(cells: list[str], cut: int) -> None:
    column = pd.Series(cells, dtype="str").mask(pd.Series(cells).isin(MISSING_TEXT))
    pieces = [column[first : first + cut] for first in range(0, len(column), cut)]
    plainly = Plainly(MISSING_TEXT)
    for piece in pieces:
        plainly.see(piece)
    whole = plainly_numbers(column, MISSING_TEXT)
    found = pd.concat([plainly.convert(piece) for piece in pieces])
    pd.testing.assert_series_equal(found, column if whole is None else whole)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"a,b\n1,2\n1,2,3\n", "rows have more fields than the 2 of line 1|Expected 2 fields"),
        (b"a,b\n" + b"1,2\n" * 5 + b"1,2,3\n", "rows have more fields than the 2 of line 1|Expected 2 fields"),
        (b"a,a\n1,2\n", "column names must differ"),
        (b"a,b\n", "a table must have rows"),
        (b"a,b\n1,\xff\n", "is not a table in UTF-8"),
        (b"a\0b\n1\n", "binary data"),
        (b"a" * (5 << 20), "the first line of a table names its columns"),
    ],
)
def test_what_is_no_table_is_refused_in_a_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, content: bytes, said: str
) -> None:
    (path := tmp_path / "table.csv").write_bytes(content)
    monkeypatch.setattr(text_tables, "LEAST", 2)
    monkeypatch.setattr(text_tables, "MOST", 2)
    with pytest.raises(DataError, match=said) as refused:
        write_parquet(path, ".csv", tmp_path / "out.parquet", Limits())
    assert "\n" not in str(refused.value)


def test_no_more_than_a_piece_is_held(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (path := tmp_path / "table.csv").write_text("a,b\n" + "1,x\n" * 50_000)
    monkeypatch.setattr(text_tables, "CELLS", 2_000)
    _, pieces = text_tables.pieces_of(path, Limits())
    sizes = [piece.num_rows for piece in pieces]
    assert (sum(sizes), max(sizes)) == (50_000, 1_000)
    assert [len(piece) for piece in text_pieces(path, 20_000)] == [20_000, 20_000, 10_000]
