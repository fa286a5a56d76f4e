"""The documents of queries: one row of features per document, in a list per query.

A task of ranking judges whole queries, so a query with its documents is one row of the dataset. Lists are padded to the
longest; targets there are `ABSENT`.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from losssearch.errors import DataError
from losssearch.option_names import option

ABSENT = -1.0
"""The grade of padding."""

MOST_GRADE = 30.0
"""Beyond this grade, gains of ``2^grade`` lose digits."""


@dataclass(frozen=True, eq=False)
class Documents:
    """Features of documents, in lists.

    ``frame``: a row per document. ``place`` ``[queries, longest]``: the row of each document of a query in ``frame``,
    and -1 for padding.
    """

    frame: pd.DataFrame
    place: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.place)

    @property
    def longest(self) -> int:
        """How many documents the longest list has."""
        return int(self.place.shape[1])

    @property
    def present(self) -> NDArray[np.bool_]:
        """Where there is a document and no padding ``[queries, longest]``."""
        return self.place >= 0

    def at(self, rows: NDArray[np.int64]) -> Documents:
        """The queries of these numbers."""
        return Documents(self.frame, self.place[rows])

    def listed(self) -> pd.DataFrame:
        """The documents of these queries, one after another."""
        return self.frame.iloc[self.place[self.present]]

    def keys(self, own: NDArray[np.uint64]) -> NDArray[np.uint64]:
        """A number for each query ``[queries]``, from those of its documents ``[rows of frame]``, in any order of
        them.
        """
        each = np.where(self.present, own[self.place], np.uint64(0))
        each.sort(axis=1)
        digests = b"".join(hashlib.blake2b(row.tobytes(), digest_size=8).digest() for row in each)
        return np.frombuffer(digests, dtype="<u8").astype(np.uint64)

    def spread(self, values: NDArray[np.float32]) -> NDArray[np.float32]:
        """Encoded documents ``[documents, width]`` as one row per query ``[queries, longest * width]``, padded by 0."""
        wide = np.zeros((*self.place.shape, values.shape[1]), dtype=np.float32)
        wide[self.present] = values
        return wide.reshape(len(self), -1)


def gathered(
    frame: pd.DataFrame, grades: NDArray[np.float64], query: pd.Series, where: str
) -> tuple[Documents, NDArray[np.float64], tuple[str, ...]]:
    """The queries of a table of documents.

    Args:
        frame: The features of each document.
        grades: Its grade.
        query: The query that it belongs to.
        where: What the table is called in messages.

    Returns:
        The documents by query; grades ``[queries, longest]``; and notes.

    Raises:
        DataError: A grade is negative, no whole number or beyond `MOST_GRADE`; a query is missing; no query has
            documents of two grades.
    """
    odd = (grades < 0) | (grades != np.floor(grades)) | (grades > MOST_GRADE)
    if odd.any():
        row = int(odd.argmax())
        raise DataError(
            f"grades of relevance must be whole numbers from 0 to {MOST_GRADE:g}; {where} has {grades[row]:g} in row "
            f"{row + 1}"
        )
    if query.isna().any():
        row = int(query.isna().to_numpy().argmax())
        raise DataError(f"every document must belong to a query; {where} has none in row {row + 1}")
    ids, names = pd.factorize(query)
    size = np.bincount(ids)
    best = np.full(len(names), -np.inf)
    np.maximum.at(best, ids, grades)
    least = np.full(len(names), np.inf)
    np.minimum.at(least, ids, grades)
    kept = (size > 1) & (best > 0)
    notes = [f"{len(names):,} queries, of {int(np.median(size))} documents at the median and {size.max()} at most"]
    if alone := int((size == 1).sum()):
        notes.append(f"left out {alone:,} queries of one document: there is nothing to order")
    if irrelevant := int(((size > 1) & (best <= 0)).sum()):
        notes.append(f"left out {irrelevant:,} queries without a relevant document: no order of them is better")
    if not (best > least)[kept].any():
        raise DataError(
            f"ranking needs queries with documents of two grades or more; {where} has none: is {query.name!r} the "
            f"column that {option('query')} should name?"
        )
    number = np.cumsum(kept) - 1
    chosen = np.flatnonzero(kept[ids])
    order = chosen[np.argsort(ids[chosen], kind="stable")]
    of = number[ids[order]]
    starts = np.searchsorted(of, np.arange(kept.sum()))
    within = np.arange(len(order)) - starts[of]
    place = np.full((int(kept.sum()), int(size[kept].max())), -1, dtype=np.int64)
    place[of, within] = order
    wide = np.where(place >= 0, grades[place], ABSENT)
    return Documents(frame, place), wide, tuple(notes)
