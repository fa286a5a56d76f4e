"""Tables that do not fit memory: all rows encoded once, to disk, and a part of them held in memory.

The rows in memory are what a study validates on, confirms on and tests on; all others train, and so do those in memory
that a draw does not hold out. Rows with equal features serve one purpose, wherever they lie.
"""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from losssearch.data import columnar_files
from losssearch.data.encoding import Encoder
from losssearch.data.files import LargeFile, unreadable_told
from losssearch.data.index_columns import with_index
from losssearch.data.room import in_units
from losssearch.data.schema import Schema
from losssearch.data.streamed.conforming import conform, text_forms
from losssearch.data.streamed.groups import GroupReader
from losssearch.data.streamed.rowfile import Layout, Records, RowFile, write_rows
from losssearch.data.streamed.scratch import Scratch
from losssearch.data.streamed.target import ReadTarget, target_reader
from losssearch.data.targets import Target
from losssearch.data.text_forms import TextForm
from losssearch.errors import DataError
from losssearch.option_names import option

RESIDENT_SHARE = 2 / 3
"""Share of the sample that stays in memory; the rest of it, which only trains, is what the encoder is fitted on."""

_PIECE = 1 << 15


@dataclass(frozen=True, eq=False)
class Stored:
    """All rows of a table on disk, and what links them to those in memory."""

    file: RowFile
    encoded: NDArray[np.float32]
    """[rows in memory, D]: the rows in memory, encoded as those on disk."""
    place: NDArray[np.int64]
    """[rows in memory]: the position of each row's key among the distinct keys."""
    scratch: Scratch
    """The folder of the file; gone with this object."""

    @property
    def keys(self) -> int:
        """How many distinct keys the rows in memory have."""
        return int(self.place.max()) + 1


def resident(target: pd.Series) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Rows of a sample that stay in memory, and the rest; classes keep their shares."""
    strata = pd.factorize(target, use_na_sentinel=False)[0].astype(np.int64)
    chosen = columnar_files.draw(
        lambda: iter([strata]), max(columnar_files.LEAST_SAMPLE, int(RESIDENT_SHARE * len(target)))
    )
    others = np.ones(len(target), dtype=bool)
    others[chosen] = False
    return chosen, np.flatnonzero(others) if others.any() else chosen


def row_keys(features: pd.DataFrame) -> NDArray[np.uint64]:
    """A number for each row; rows with equal features have equal numbers."""
    return np.asarray(pd.util.hash_pandas_object(features, index=False), dtype=np.uint64)


def store(
    large: LargeFile,
    raw: pd.DataFrame,
    features: pd.DataFrame,
    labels: pd.Series,
    goal: Target,
    schema: Schema,
    *,
    drop_missing_target: bool,
    group: GroupReader | None = None,
) -> tuple[Stored, NDArray[np.int64], str, tuple[str, ...]]:
    """Encode every row of the file to disk.

    ``raw``, ``features``, ``labels`` and ``goal`` are those of one sample of it: as it came, as read, and the target
    in both forms; ``group`` reads the groups, where there is a sensitive attribute. Gives the rows on disk, which rows
    of the sample stay in memory, a fingerprint of the whole table, and notes.

    Raises `DataError` for rows without a target, for a target that the sample did not foretell, and where the disk is
    full.
    """
    kept, fitted = resident(labels)
    encoder = Encoder(schema).fit(features.iloc[fitted])
    inside = features.iloc[kept]
    keys, place = np.unique(row_keys(inside), return_inverse=True)
    encoded = encoder.transform(inside)
    layout = _layout(schema, encoded.shape[1], grouped=group is not None)
    scratch = Scratch()
    try:
        writer = _Pieces(large, schema, encoder, layout, keys, text_forms(raw, schema), group)
        pieces = writer.records(str(labels.name), target_reader(labels, goal, str(large.path)), drop_missing_target)
        file = write_rows(scratch.folder / "rows", layout, pieces, large.rows)
    except BaseException:
        scratch.close()
        raise
    said = (
        f"{file.rows:,} rows are streamed from disk, where they take {in_units(file.size)} encoded; {len(kept):,} of "
        f"them, the target's classes in their shares, serve validation, confirmation and test, and {len(fitted):,} "
        "others gave quantiles and categories"
    )
    notes = [said, *writer.notes(str(labels.name))]
    header = [[c.name, c.kind] for c in schema.columns], goal.classes, goal.task, "streamed"
    return Stored(file, encoded, place, scratch), kept, writer.fingerprint(json.dumps(header)), tuple(notes)


class _Pieces:
    """The file, piece by piece, as records."""

    def __init__(
        self,
        large: LargeFile,
        schema: Schema,
        encoder: Encoder,
        layout: Layout,
        keys: NDArray[np.uint64],
        forms: dict[str, TextForm],
        group: GroupReader | None,
    ) -> None:
        self._large, self._schema, self._encoder = large, schema, encoder
        self._layout, self._keys, self._forms, self._group = layout, keys, forms, group
        self._digests = (
            hashlib.sha256(),
            hashlib.sha256(),
            hashlib.sha256(),
        )  # several, so that the cut into pieces leaves no trace
        self._odd: Counter[str] = Counter()
        self._missing = 0

    def records(self, target: str, read: ReadTarget, drop_missing: bool) -> Iterator[Records]:
        grouped = () if self._group is None else self._group.columns
        names = list(dict.fromkeys([*(column.name for column in self._schema.columns), *grouped, target]))
        begin = 0
        for piece in self._frames(names):
            values, missing = read(piece[target], begin)
            if missing.any():
                if not drop_missing:
                    raise DataError(
                        f"every row must have a target; target {target!r} of {self._large.path} lacks that of row "
                        f"{begin + int(missing.argmax()) + 1}: leave such rows out with "
                        f"{option('drop_missing_target', True)}"
                    )
                self._missing += int(missing.sum())
                values, present = values[~missing], piece[~missing]
            else:
                present = piece
            begin += len(piece)
            if len(present):
                yield self._encoded(present, values)

    def _frames(self, names: Sequence[str]) -> Iterator[pd.DataFrame]:
        large = self._large
        with (
            unreadable_told(large.path),
            columnar_files.batches(large.path, large.suffix, list(names), large.at_once) as batches,
        ):
            for batch in batches:
                for first in range(0, batch.num_rows, _PIECE):
                    yield with_index(batch.slice(first, _PIECE).to_pandas(), str(large.path))

    def _encoded(self, piece: pd.DataFrame, target: NDArray[np.float64]) -> Records:
        frame, odd = conform(piece, self._schema, self._forms, str(self._large.path))
        self._odd += odd
        keys = row_keys(frame)
        self._digests[0].update(keys.astype("<u8").tobytes())
        self._digests[1].update(target.astype("<f8").tobytes())
        records = np.empty(len(frame), dtype=self._layout.record)
        records["target"] = target
        if self._group is not None:
            ids = self._group(piece)
            self._digests[2].update(ids.astype("<i4").tobytes())
            records["group"] = ids
        found = np.searchsorted(self._keys, keys)
        found[found == len(self._keys)] = 0
        records["place"] = np.where(self._keys[found] == keys, found, -1)
        self._layout.fill(records, self._encoder.transform(frame))
        return records

    def fingerprint(self, header: str) -> str:
        used = self._digests if self._group is not None else self._digests[:2]
        parts = b"".join(digest.digest() for digest in used)
        return hashlib.sha256(header.encode() + parts).hexdigest()[:16]

    def notes(self, target: str) -> list[str]:
        told = [
            f"{count} values of column {name!r} are of another kind than in the sample and count as missing"
            for name, count in self._odd.items()
        ]
        if self._group is not None and self._group.unknown:
            told.append(f"{self._group.unknown} rows are of groups that the sample does not have, and count in none")
        return told + ([f"left out {self._missing} rows without a target {target!r}"] if self._missing else [])


def _layout(schema: Schema, width: int, *, grouped: bool) -> Layout:
    """Where `Encoder` puts its columns: numbers, booleans, four of each date, categories, gaps."""
    numeric, boolean, date = (len(schema.positions(kind)) for kind in ("numeric", "boolean", "date"))
    dates = range(numeric + boolean, numeric + boolean + 4 * date)
    numbers = (*range(numeric), *dates)
    return Layout(numbers, tuple(sorted(set(range(width)) - set(numbers))), grouped)


def row_numbers(frame: pd.DataFrame, rows: int) -> list[str]:
    """Columns of a sample that number the rows of its table: distinct whole numbers within the table's length.

    A sample of this size would contain some other whole numbers of this range twice.
    """
    named = []
    for name, column in frame.items():
        if (
            not pd.api.types.is_integer_dtype(column.dtype)
            or len(column) < columnar_files.LEAST_SAMPLE
            or len(column) ** 2 < 40 * rows
        ):
            continue
        if column.is_unique and column.max() - column.min() < 2 * rows:
            named.append(str(name))
    return named
