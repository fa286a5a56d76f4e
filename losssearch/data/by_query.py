"""A dataset of documents as one of queries."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from losssearch.data.documents import gathered
from losssearch.data.given_splits import GivenSplit
from losssearch.data.target_kind import Values, target_kind
from losssearch.data.targets import MINIMUM_ROWS
from losssearch.errors import DataError, OptionError
from losssearch.option_names import option

if TYPE_CHECKING:
    from losssearch.data.dataset import Dataset


def by_query(dataset: Dataset) -> Dataset:
    """The dataset with a row per query, where its kind of task judges whole queries; otherwise as it is.

    Raises:
        OptionError: Something was given that is of single documents alone.
        DataError: There are too few queries, or a query lies in two of the given groups, times or parts.
    """
    kind = target_kind(dataset.task)
    if not (isinstance(kind, Values) and kind.lists):
        return dataset
    for name, given in (("weight", dataset.weight), ("sensitive", dataset.group)):
        if given is not None:
            raise OptionError(f"task {dataset.task} judges whole queries and reads no {option(name)}: leave it out")
    if not isinstance(dataset.features, pd.DataFrame):
        raise OptionError(f"task {dataset.task} needs a table of documents; {dataset.name} holds arrays")
    query = pd.Series(dataset.fields["query"])
    documents, grades, notes = gathered(dataset.features, dataset.target, query, dataset.name)
    if len(documents) < MINIMUM_ROWS:
        raise DataError(
            f"the splits need at least {MINIMUM_ROWS} queries with a relevant document; {dataset.name} has "
            f"{len(documents)}"
        )
    return replace(
        dataset,
        features=documents,
        target=grades,
        fields={},
        given=None if dataset.given is None else _whole(dataset.given, documents.place, dataset.name),
        places=None if dataset.places is None else dataset.places[documents.place[:, 0]],
        notes=(*dataset.notes, *notes),
    )


def _whole(given: GivenSplit, place: NDArray[np.int64], name: str) -> GivenSplit:
    """What was given of documents, of queries; each must hold for the whole query."""
    found: dict[str, Any] = {}
    for role in ("cluster", "time", "side"):
        values = getattr(given, role)
        if values is None:
            continue
        each = np.where(place >= 0, values[place], values[place[:, :1]])
        if (each != each[:, :1]).any():
            query = int((each != each[:, :1]).any(axis=1).argmax())
            row = int(place[query, 0]) + 1
            if role == "side" and given.facts.get("how") == "test file":
                raise DataError(
                    f"a query must be in one file; that of row {row} of {name} is also in the file of "
                    f"{option('test')}: give queries of their own names to test on"
                )
            named = {"cluster": "group", "time": "time", "side": "split"}[role]
            raise DataError(
                f"all documents of a query must have one {named}; the query of row {row} of {name} has several: leave "
                f"out {option(named)}, or give one per query"
            )
        found[role] = each[:, 0]
    return replace(given, **found)
