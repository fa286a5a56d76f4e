"""What is told of an uploaded table before a search: the kind of each column as losssearch reads it, and examples."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd

from losssearch.data import columnar_files
from losssearch.data.columns import read_columns

SAMPLE, CELLS = 20_000, 4_000_000
"""Rows that are looked at, and cells."""

MOST_VALUES, EXAMPLES, LONGEST = 20, 5, 80
"""Values of a column that are counted, or else shown as examples, and characters of each."""


def preview(path: Path, columns: int) -> dict[str, Any]:
    """Describe the Parquet file ``path``.

    Args:
        path: a Parquet file with ``columns`` columns.
        columns: how many.

    Returns:
        ``rows_seen``; ``columns``, each with ``name``, ``kind`` (numeric, categorical, boolean, date, or ignored),
        ``missing`` and ``distinct`` among the rows seen, ``examples``, and ``values`` with their ``count`` where there
        are few; and ``notes``, in the words of a study.
    """
    most = max(100, min(SAMPLE, CELLS // columns))
    frame = columnar_files.sample_file(path, ".parquet", None, most).reset_index(drop=True).rename(columns=str)
    _, schema, notes = read_columns(frame, "the table")
    kinds = {column.name: column.kind for column in schema.columns}
    return {
        "rows_seen": len(frame),
        "columns": [_column(str(name), values, kinds.get(str(name), "ignored")) for name, values in frame.items()],
        "notes": [_printable(note, 400) for note in notes],
    }


def _column(name: str, values: pd.Series, kind: str) -> dict[str, Any]:
    present = values.dropna()
    counts = present.value_counts()
    few = len(counts) <= MOST_VALUES
    return {
        "name": name,
        "kind": kind,
        "missing": int(len(values) - len(present)),
        "distinct": len(counts),
        "examples": [_printable(value) for value in counts.index[:EXAMPLES]],
        "values": [{"value": _printable(v), "count": int(count)} for v, count in counts.items()] if few else [],
    }


def _printable(value: object, longest: int = LONGEST) -> str:
    """A cell as text that any database and page can hold."""
    text = str(value)
    text = text if len(text) <= longest else text[: longest - 1] + "…"
    return "".join(letter if letter.isprintable() else "\N{REPLACEMENT CHARACTER}" for letter in text)
