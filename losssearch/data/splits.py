"""Which rows serve what: search, confirmation and test parts, and draws of training and validation rows.

Rows with equal features are taken for copies and fall on one side, unless so many are equal, and differ in their
targets, that they must be different cases: a table of few coarse columns describes many people alike, and new rows will
be like old ones. Every class (for regression, every tenth of the target's range of ranks) of every sensitive group
falls on the sides in equal shares. Only raw output of PCG64 is used, whose stream numpy keeps the same in every version
and on every platform.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from losssearch.data.dataset import Dataset
from losssearch.errors import DataError, OptionError

SMALL = 1000
"""Below so many rows in total, draws are the folds of a repeated stratified k-fold."""

FOLDS = 5

Rows = NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Partition:
    """The three parts of a dataset, each as sorted row numbers.

    A study picks losses on ``search`` (60 %), decides on ``confirmation`` (20 %) and reads ``test`` (20 %) once.
    """

    search: Rows
    confirmation: Rows
    test: Rows


@dataclass(frozen=True, eq=False)
class Draw:
    """One draw of training and validation rows, in random order, and the seed of its training."""

    train: Rows
    validation: Rows
    seed: int


def partition(dataset: Dataset, seed: int) -> Partition:
    """Part the rows 60 : 20 : 20.

    Raises `DataError` where equal rows leave a part without one of the classes, `OptionError` for a
    negative seed.
    """
    rows = np.arange(dataset.rows)
    position, _ = _positions(dataset, rows, _sequence(seed, "partition", 0))
    part = np.searchsorted([0.6, 0.8], position, side="right")
    parts = Partition(rows[part == 0], rows[part == 1], rows[part == 2])
    for name, members in (("search", parts.search), ("confirmation", parts.confirmation), ("test", parts.test)):
        if lacking := set(range(len(dataset.classes))) - set(dataset.target[members].tolist()):
            label = dataset.classes[min(lacking)]
            raise DataError(
                f"every part of the data must hold every class; the {name} part of {dataset.name} has no {label!r}, "
                "because too many of its rows have equal features"
            )
        if not len(members):
            raise DataError(f"too many rows of {dataset.name} have equal features; its {name} part would be empty")
    return parts


def draws(dataset: Dataset, rows: Rows, *, seed: int, count: int, purpose: str) -> tuple[Draw, ...]:
    """Draw training and validation rows out of ``rows``, ``count`` times.

    From 1,000 rows in the dataset on, each draw is a new split 75 : 25; below, the draws are the folds of
    repeated stratified 5-fold cross-validation. ``purpose`` (search, reevaluation, confirmation) sets the
    draws and seeds of a stage apart from those of the others. The first k draws do not depend on ``count``.

    Raises `OptionError` for a negative seed or a count below 1.
    """
    if count < 1:
        raise OptionError(f"there must be at least one draw, got {count}")
    folded = dataset.rows < SMALL
    return tuple(
        _fold(dataset, rows, seed, purpose, index) if folded else _split(dataset, rows, seed, purpose, index)
        for index in range(count)
    )


def _split(dataset: Dataset, rows: Rows, seed: int, purpose: str, index: int) -> Draw:
    sequence = _sequence(seed, purpose, index)
    position, _ = _positions(dataset, rows, sequence)
    return _draw(rows, position >= 0.75, sequence)


def _fold(dataset: Dataset, rows: Rows, seed: int, purpose: str, index: int) -> Draw:
    repeat, fold = divmod(index, FOLDS)
    position, stratum = _positions(dataset, rows, _sequence(seed, purpose, repeat))
    # Each stratum starts at another fold, or the same fold would get every remainder.
    start = _raw(_sequence(seed, f"{purpose}/start", repeat), int(stratum.max()) + 1) % FOLDS
    held = (position * FOLDS).astype(np.int64) + start[stratum].astype(np.int64)
    return _draw(rows, held % FOLDS == fold, _sequence(seed, f"{purpose}/fold", index))


def _draw(rows: Rows, held: NDArray[np.bool_], sequence: np.random.SeedSequence) -> Draw:
    order, seed = sequence.spawn(2)
    shuffled = np.argsort(_raw(order, len(rows)), kind="stable")
    rows, held = rows[shuffled], held[shuffled]
    return Draw(rows[~held], rows[held], int(seed.generate_state(1)[0]))


def _positions(
    dataset: Dataset, rows: Rows, sequence: np.random.SeedSequence
) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Where each row stands in (0, 1) within its shuffled stratum, and its stratum.

    Copies count as one block, which stands where its middle does; it belongs to the rarest of its strata.
    """
    keys = np.arange(len(rows)) if dataset.coarse else dataset.row_keys[rows]
    block = pd.factorize(keys)[0].astype(np.int64)
    size = np.bincount(block)
    stratum = np.full(len(size), np.iinfo(np.int64).max)
    np.minimum.at(stratum, block, _strata(dataset, rows))
    order = np.argsort(_raw(sequence, len(size)), kind="stable")
    order = order[np.argsort(stratum[order], kind="stable")]
    total = np.bincount(stratum, weights=size)
    before = np.cumsum(total) - total
    middle = np.cumsum(size[order]) - size[order] / 2
    position = np.empty(len(size))
    position[order] = (middle - before[stratum[order]]) / total[stratum[order]]
    return position[block], stratum[block]


def _strata(dataset: Dataset, rows: Rows) -> NDArray[np.int64]:
    """The stratum of each row, numbered from the rarest."""
    values: NDArray[Any] = dataset.target[rows]
    if dataset.task == "regression":
        bins = int(np.clip(len(rows) // 20, 2, 10))
        edges = np.quantile(values, np.arange(1, bins) / bins)
        values = np.searchsorted(edges, values, side="right")
    if dataset.group is not None:
        _, values = np.unique(values, return_inverse=True)
        values = values * (int(dataset.group.max()) + 1) + dataset.group[rows]
    _, stratum, counts = np.unique(values, return_inverse=True, return_counts=True)
    rank = np.empty(len(counts), dtype=np.int64)
    rank[np.argsort(counts, kind="stable")] = np.arange(len(counts))
    return rank[stratum]


def _sequence(seed: int, purpose: str, index: int) -> np.random.SeedSequence:
    if seed < 0:
        raise OptionError(f"a seed must not be negative, got {seed}")
    word = int.from_bytes(hashlib.sha256(purpose.encode()).digest()[:8], "big")
    return np.random.SeedSequence([seed, word, index])


def _raw(sequence: np.random.SeedSequence, count: int) -> NDArray[np.uint64]:
    return np.asarray(np.random.PCG64(sequence).random_raw(count), dtype=np.uint64)
