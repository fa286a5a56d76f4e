"""The target of a table that is read in pieces: each piece as the sample of the whole table was read."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeAlias

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from losssearch.data.columns import LARGEST_JUDGED, read_column, read_text, spells
from losssearch.data.target_kind import Numbers
from losssearch.data.target_text import number_text
from losssearch.data.targets import Target, missing_values
from losssearch.data.text_forms import TextForm, find_form
from losssearch.data.wide_integers import distances
from losssearch.errors import DataError
from losssearch.option_names import option

ReadTarget: TypeAlias = Callable[[pd.Series, int], tuple[NDArray[np.float64], NDArray[np.bool_]]]
"""From a piece's target and the row that it begins at to class ids or numbers, and where it has no value."""


def target_reader(labels: pd.Series, goal: Target, where: str) -> ReadTarget:
    """Make the reader of pieces of a target, given a sample of its ``labels`` and how that was read, ``goal``.

    The reader raises `DataError` for a class that the sample does not have, for text where the sample has numbers,
    and for numbers that are not finite.
    """
    name = f"target {str(labels.name)!r} of {where}"
    if not goal.classes:
        form = find_form(read_text(labels)) if spells(labels.dtype) else None
        return lambda piece, begin: _numbers(piece, begin, name, goal.origin, form)
    first = ~labels.duplicated().to_numpy()
    known = dict(zip(labels[first].tolist(), goal.values[first].tolist(), strict=True))
    return lambda piece, begin: _ids(piece, begin, known, name)


def _numbers(
    piece: pd.Series, begin: int, name: str, origin: int, form: TextForm | None
) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    if origin:
        exact = distances(piece, origin).to_numpy(dtype=np.float64)
        return exact, np.isnan(exact)
    if spells(piece.dtype):
        piece = piece.set_axis(range(begin, begin + len(piece)))
        piece = number_text(piece, name, Numbers(), form)
    values, kind = read_column(piece.reset_index(drop=True), name)
    if kind not in ("numeric", "boolean"):
        raise DataError(f"regression needs numbers; {name} holds other values from row {begin + 1} on")
    numbers = values.to_numpy(dtype=np.float64)
    large = np.abs(numbers) > LARGEST_JUDGED
    if large.any():
        row = int(large.argmax())
        raise DataError(
            f"a target must be finite and at most {LARGEST_JUDGED:g} in size; {name} has {numbers[row]:g} in row "
            f"{begin + row + 1}"
        )
    return numbers, np.isnan(numbers)


def _ids(
    piece: pd.Series, begin: int, known: dict[Any, int], name: str
) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    codes, distinct = pd.factorize(piece)
    values = pd.Series(distinct)
    absent = missing_values(values) if len(values) else np.zeros(0, dtype=bool)
    ids = []
    for place, (value, missing) in enumerate(zip(values.tolist(), absent.tolist(), strict=True)):
        if not missing and value not in known:
            row = begin + int((codes == place).argmax()) + 1
            raise DataError(
                f"a target with this many classes cannot be streamed: {name} has {value!r:.80} in row {row}, which a "
                f"sample of the table does not have; use {option('max_rows')}"
            )
        ids.append(-1 if missing else known[value])
    # Code -1, of a missing value, takes the last.
    found = np.array([*ids, -1], dtype=np.float64)[codes]
    return found, found < 0
