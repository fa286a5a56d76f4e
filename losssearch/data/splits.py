"""How rows are split: search, confirmation and test parts, and draws of training and validation rows.

Rows with equal features are taken for copies and stay in the same part, unless many are equal but differ in their
targets, which makes them different cases: a table of few coarse columns describes many people in the same way, and new
rows will be like old ones. If the user gives groups, times or parts, those decide instead. Every class (for regression,
every tenth of the target's ranks) of every sensitive group is split in equal shares.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from losssearch.data import grouped_rows, ordered_rows
from losssearch.data.dataset import Dataset
from losssearch.data.named_parts import CONFIRMATION, PARTS, SEARCH, TEST
from losssearch.data.shuffling import positions, raw, sequence, strata
from losssearch.data.units import split_groups
from losssearch.errors import DataError, OptionError
from losssearch.option_names import option

SMALL = 1000
"""Below this number of rows, draws are the folds of a repeated stratified k-fold."""

FOLDS = 5

GOLDEN = (5**0.5 - 1) / 2

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
    """Split the rows 60 : 20 : 20, or as given by the user.

    Raises `DataError` if equal rows, groups or times leave a part without one of the classes, or leave no draws of
    training and validation rows; `OptionError` for a negative seed.
    """
    if dataset.given is not None:
        return _given_partition(dataset, seed)
    rows = np.arange(dataset.rows)
    position, _ = positions(dataset, rows, sequence(seed, "partition", 0))
    part = np.searchsorted([0.6, 0.8], position, side="right")
    parts = Partition(rows[part == 0], rows[part == 1], rows[part == 2])
    for name, members in (("search", parts.search), ("confirmation", parts.confirmation), ("test", parts.test)):
        held = set(dataset.target[members].tolist()) if dataset.classes else set()
        if lacking := set(range(len(dataset.classes))) - held:
            label = dataset.classes[min(lacking)]
            raise DataError(
                f"every part of the data must hold every class; the {name} part of {dataset.name} has no {label!r}, "
                "because too many of its rows have equal features"
            )
        if not len(members):
            raise DataError(f"too many rows of {dataset.name} have equal features; its {name} part would be empty")
    _probe(dataset, parts.search, seed)
    return parts


def draws(
    dataset: Dataset, rows: Rows, *, seed: int, count: int, purpose: str, folded: bool = False
) -> tuple[Draw, ...]:
    """Draw training and validation rows out of ``rows``, ``count`` times.

    From 1,000 rows in the dataset on, each draw is a new split 75 : 25; below, or where they are to be ``folded``, the
    draws are the folds of repeated stratified 5-fold cross-validation. Groups stay whole in both. Where rows have a
    time, each draw is a window of 60 % of the rows to train on and of the next 20 % to validate on, which begins at a
    place of its own. ``purpose`` (search, reevaluation, confirmation) sets the draws and seeds of a stage apart from
    those of the others. The first k draws do not depend on ``count``.

    Raises `OptionError` for a negative seed or a count below 1; `DataError` where equal rows leave a draw without
    training or validation rows, or training rows of a single class.
    """
    if count < 1:
        raise OptionError(f"there must be at least one draw, got {count}")
    made = _drawn(dataset, rows, seed, count, purpose, folded)
    for draw in made:
        _require_rows(dataset, rows, draw)
    return made


def _drawn(dataset: Dataset, rows: Rows, seed: int, count: int, purpose: str, folded: bool) -> tuple[Draw, ...]:
    if dataset.given is not None and dataset.given.time is not None:
        return tuple(_window(dataset, dataset.given.time, rows, seed, purpose, index) for index in range(count))
    folded = folded or dataset.rows < SMALL
    if (cluster := split_groups(dataset)) is not None:
        folded = folded and _foldable(dataset, cluster, rows)
        return tuple(_grouped(dataset, cluster, rows, seed, purpose, index, folded=folded) for index in range(count))
    return tuple(
        _fold(dataset, rows, seed, purpose, index) if folded else _split(dataset, rows, seed, purpose, index)
        for index in range(count)
    )


def _split(dataset: Dataset, rows: Rows, seed: int, purpose: str, index: int) -> Draw:
    source = sequence(seed, purpose, index)
    position, _ = positions(dataset, rows, source)
    return _draw(rows, position >= 0.75, source)


def _fold(dataset: Dataset, rows: Rows, seed: int, purpose: str, index: int) -> Draw:
    repeat, fold = divmod(index, FOLDS)
    position, stratum = positions(dataset, rows, sequence(seed, purpose, repeat))
    # Each stratum starts at another fold, or the same fold would get every remainder.
    start = raw(sequence(seed, f"{purpose}/start", repeat), int(stratum.max()) + 1) % FOLDS
    held = (position * FOLDS).astype(np.int64) + start[stratum].astype(np.int64)
    return _draw(rows, held % FOLDS == fold, sequence(seed, f"{purpose}/fold", index))


def trained_share(dataset: Dataset) -> float:
    """The share of the search part that a draw trains on."""
    if dataset.given is not None and dataset.given.time is not None:
        return ordered_rows.TRAINED
    return 1 - 1 / FOLDS if dataset.rows < SMALL else 0.75


def _given_partition(dataset: Dataset, seed: int) -> Partition:
    """The parts as given; what is not, by group, by time, or by chance."""
    given = dataset.given
    assert given is not None  # noqa: S101  (the caller looked)
    side = np.full(dataset.rows, -1) if given.side is None else given.side.copy()
    open_rows = np.flatnonzero(side < 0)
    if len(open_rows):
        shares = (0.6, 0.2, 0.2) if given.side is None else (0.75, 0.25)
        side[open_rows] = _divided(dataset, open_rows, shares, seed)
    parts = Partition(*(np.flatnonzero(side == part) for part in (SEARCH, CONFIRMATION, TEST)))
    for name, members in zip(PARTS, (parts.search, parts.confirmation, parts.test), strict=True):
        _require_kinds(dataset, members, name, len(dataset.classes) if name == "search" else 2)
    _probe(dataset, parts.search, seed)
    return parts


def _probe(dataset: Dataset, search: Rows, seed: int) -> None:
    """Draw once, every fold of it, so that what cannot be drawn is told before a study begins."""
    for purpose in ("search", "reevaluation", "confirmation"):
        draws(dataset, search, seed=seed, count=FOLDS if dataset.rows < SMALL else 1, purpose=purpose)


def _divided(dataset: Dataset, rows: Rows, shares: tuple[float, ...], seed: int) -> NDArray[np.int64]:
    """The number of the part of each of ``rows``."""
    given = dataset.given
    assert given is not None  # noqa: S101  (the caller looked)
    if given.time is not None:
        part = ordered_rows.cut_in_order(given.time[rows], np.cumsum(shares)[:-1].tolist())
        if part is None:
            raise DataError(
                f"{option('time')} needs a distinct time for each of {len(shares)} parts; {dataset.name} has "
                f"{len(np.unique(given.time[rows]))}"
            )
        return part
    if (cluster := split_groups(dataset)) is not None:
        least = (2, *[1] * (len(shares) - 1))
        return _dealt(dataset, cluster, rows, shares, least, sequence(seed, "partition", 0))
    position, _ = positions(dataset, rows, sequence(seed, "partition", 0))
    return np.searchsorted(np.cumsum(shares)[:-1], position, side="right")


def _dealt(
    dataset: Dataset,
    cluster: NDArray[np.int64],
    rows: Rows,
    shares: tuple[float, ...],
    least: tuple[int, ...],
    source: np.random.SeedSequence,
) -> NDArray[np.int64]:
    """The part of each of ``rows``, groups whole and targets spread alike as far as whole groups can be."""
    _, group = np.unique(cluster[rows], return_inverse=True)
    groups, stratum = int(group.max()) + 1, strata(dataset, rows)
    counts = np.zeros((groups, int(stratum.max()) + 1), dtype=np.int64)
    np.add.at(counts, (group, stratum), 1)
    holds = np.ones((groups, 1), dtype=bool)
    if dataset.classes:
        holds = np.zeros((groups, len(dataset.classes)), dtype=bool)
        holds[group, dataset.target[rows]] = True
    tries: list[np.random.SeedSequence] = []

    def raw_of(number: int, count: int) -> NDArray[np.uint64]:
        while len(tries) <= number:
            tries.extend(source.spawn(1))
        return raw(tries[number], count)

    def few(label: int, found: int) -> DataError:
        held = f"class {dataset.classes[label]!r}" if dataset.classes else "the target"
        return DataError(
            f"{option('group')} needs {sum(least)} groups or more with rows of each class, so that every part "
            f"has some; "
            f"{held} occurs in {found} of {groups} groups of {dataset.name}: bring more groups, or merge classes"
        )

    parts = grouped_rows.assign(counts, holds, shares, least=least, raw=raw_of, few=few)
    found: NDArray[np.int64] = parts[group]
    return found


def _grouped(
    dataset: Dataset, cluster: NDArray[np.int64], rows: Rows, seed: int, purpose: str, index: int, *, folded: bool
) -> Draw:
    """A fold, or a split 75 : 25; of whole groups."""
    if folded:
        repeat, fold = divmod(index, FOLDS)
        source = sequence(seed, purpose, repeat)
        part = _dealt(dataset, cluster, rows, (1 / FOLDS,) * FOLDS, (1,) * FOLDS, source)
        return _draw(rows, part == fold, sequence(seed, f"{purpose}/fold", index))
    part = _dealt(dataset, cluster, rows, (0.75, 0.25), (1, 1), sequence(seed, purpose, index))
    return _draw(rows, part == 1, sequence(seed, f"{purpose}/draw", index))


def _foldable(dataset: Dataset, cluster: NDArray[np.int64], rows: Rows) -> bool:
    own, labels = cluster[rows], dataset.target[rows]
    kinds = np.unique(labels) if dataset.classes else ()
    least = min([len(np.unique(own[labels == kind])) for kind in kinds] or [len(np.unique(own))])
    return least >= 2 * FOLDS


def _window(dataset: Dataset, time: NDArray[np.int64], rows: Rows, seed: int, purpose: str, index: int) -> Draw:
    """A window of training rows and of the validation rows that follow; windows of one purpose lie spread evenly."""
    order = np.argsort(time[rows], kind="stable")
    ordered = rows[order]
    labels = dataset.target[ordered] if dataset.classes else np.zeros(len(rows), dtype=np.int64)
    places = ordered_rows.windows(time[ordered], labels, len(dataset.classes))
    if not len(places):
        raise DataError(
            f"{option('time')} needs earlier rows to train on and later ones to validate on, with every class in "
            f"the earlier; "
            f"the search part of {dataset.name} has no such cut: it has {len(np.unique(time[rows]))} distinct times"
        )
    # Fractions of the golden ratio lie evenly whatever their number; each purpose begins at a place of its own.
    begin = int(raw(sequence(seed, purpose, 0), 1)[0]) / 2**64
    before, after = ordered_rows.window(places, len(rows), (begin + index * GOLDEN) % 1)
    used = np.concatenate([ordered[before], ordered[after]])
    return _draw(used, np.arange(len(used)) >= len(before), sequence(seed, f"{purpose}/draw", index))


def _require_kinds(dataset: Dataset, members: Rows, name: str, least: int) -> None:
    """Raise `DataError` if a part is empty, or holds fewer classes than it needs."""
    if not len(members):
        raise DataError(f"every part of the data must have rows; the {name} part of {dataset.name} has none")
    held = set(dataset.target[members].tolist()) if dataset.classes else set()
    if dataset.classes and len(held) < least:
        lacking = dataset.classes[min(set(range(len(dataset.classes))) - held)]
        rule = "every class" if name == "search" else "two classes or more"
        raise DataError(
            f"the {name} part must hold {rule}; that of {dataset.name}, as the split is given, has {len(members)} rows "
            f"and no {lacking!r}"
        )


def _require_rows(dataset: Dataset, rows: Rows, draw: Draw) -> None:
    """Raise `DataError` where nothing can be learned or validated in a draw, because whole sets of equal rows moved."""
    trained = draw.train if len(draw.validation) else draw.validation
    if len(trained) and not (dataset.classes and len(np.unique(dataset.target[trained])) < 2):
        return
    distinct = len(np.unique(dataset.row_keys[rows]))
    needed = "rows" + (" of two classes or more" if dataset.classes else "")
    raise DataError(
        f"each draw must have training {needed}, and validation rows; equal rows of {dataset.name} stay together, and "
        f"its {len(rows)} rows of the search part are only {distinct} distinct ones: bring more distinct rows, or "
        "more columns"
    )


def _draw(rows: Rows, held: NDArray[np.bool_], source: np.random.SeedSequence) -> Draw:
    order, seed = source.spawn(2)
    shuffled = np.argsort(raw(order, len(rows)), kind="stable")
    rows, held = rows[shuffled], held[shuffled]
    return Draw(rows[~held], rows[held], int(seed.generate_state(1)[0]))
