"""Which rows of the data are used: a sample of them, those with a target, and those of a test file behind them."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd

from losssearch.data import columnar_files
from losssearch.data.given_splits import Given, attach, split_arrays
from losssearch.data.held_file import joined, unseen_class
from losssearch.data.sources import Source, read_source
from losssearch.data.target_columns import TargetName
from losssearch.data.targets import Target, missing_values
from losssearch.data.weights import weighed
from losssearch.errors import DataError
from losssearch.option_names import option

PLACE = "place"
"""The role of the number that a row has in the data as given."""


def chosen_rows(
    source: Source,
    given: Given,
    target: TargetName | None,
    drop: tuple[str, ...],
    max_rows: int | None,
    drop_missing_target: bool,
    memory: int | None,
) -> tuple[Source, tuple[str, ...], int]:
    """The rows in use, with the values given for each; rows of a test file come last, and their number is returned."""
    asked, source = given.described(), _numbered(source)
    if asked and source.large is not None:
        raise DataError(
            f"{option(next(iter(asked)))} needs all rows in memory, and the {source.large.rows:,} rows of "
            f"{source.where} do "
            f"not fit: use {option('max_rows')} for a sample of them, or raise {option('data_memory')}"
        )
    if given.test is None:
        attached, said = weighed(attach(source, given.roles))
        source, notes = _without_missing_target(_thinned(attached, max_rows), drop_missing_target)
        return source, (*said, *notes), 0
    held = read_source(given.test, target or [str(column.name) for column in source.targets], drop, memory=memory)
    held = _numbered(held)
    rows = len(source.target)
    split_arrays(given.roles, rows, len(held.target))
    source, said = weighed(attach(source, given.roles, slice(0, rows)))
    source, notes = _without_missing_target(_thinned(source, max_rows), drop_missing_target)
    held, said_held = weighed(attach(held, given.roles, slice(rows, None)))
    held, further = _without_missing_target(held, drop_missing_target)
    notes = (*said, *notes, *(f"{note} in {held.where}" for note in (*said_held, *further, *held.notes)))
    return joined(source, held), notes, len(held.target)


def check_classes(goal: Target, held: int, where: str) -> None:
    """Raise `DataError` if one of the last ``held`` rows has a class that none of the others has."""
    if not held or not goal.classes:
        return
    known = np.unique(goal.values[:-held])
    unseen = ~np.isin(goal.values[-held:], known)
    if unseen.any():
        row = int(unseen.argmax())
        raise DataError(unseen_class(goal.classes[int(goal.values[-held:][row])], f"row {row + 1} of {where}"))


def _numbered(source: Source) -> Source:
    """The source with the number of each row in the data as given, from 0; a sample of a file has them as its index."""
    found = source.target.index.to_numpy() if _sampled(source) else np.arange(len(source.target))
    return replace(source, extra={**source.extra, PLACE: pd.Series(found.astype(np.int64), name=PLACE)})


def _sampled(source: Source) -> bool:
    return source.large is not None or any(" rows are used, " in note for note in source.notes)


def _thinned(source: Source, most: int | None) -> Source:
    """A source of at most ``most`` rows; files that can be read in pieces are already sampled."""
    rows = len(source.target)
    if most is None or rows <= most or _sampled(source):
        return source
    strata = pd.factorize(source.target, use_na_sentinel=False)[0].astype(np.int64)
    chosen = columnar_files.draw(lambda: iter([strata]), most)
    note = columnar_files.said(len(chosen), rows, "as max_rows asks")
    return replace(source.rows(chosen), notes=(note, *source.notes))


def _without_missing_target(source: Source, allowed: bool) -> tuple[Source, tuple[str, ...]]:
    found = [missing_values(column) for column in source.targets]
    missing = np.logical_or.reduce(found)
    count = int(missing.sum())
    if not count:
        return source, ()
    name = f"target {', '.join(repr(str(column.name)) for column in source.targets)} of {source.where}"
    if count == len(missing):
        raise DataError(f"a target must have values; {name} has none in {count} rows")
    if not allowed and source.large is None:  # a sample proves nothing; the whole file is still to be read
        first = int(missing.argmax()) + 1
        raise DataError(
            f"every row must have a target; {name} lacks {count} of {len(missing)}, the first in row {first}: "
            f"leave them out with {option('drop_missing_target', True)}"
        )
    kept = source.rows(~missing)
    return kept, (f"left out {count} rows without a target",) if source.large is None else ()
