"""Whole groups of rows dealt to parts: each part near its share of the rows, and of every stratum of the target."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from losssearch.errors import DataError

TRIES = 8
"""Random orders of the groups, of which the best balanced assignment is taken."""

MANY = 1000
"""Groups beyond which a single random order balances well enough, and more tries would only take time."""

FewGroups = Callable[[int, int], DataError]
"""The error for a class (its id, or -1 for rows of any kind) that occurs in too few groups (their number)."""


def assign(
    counts: NDArray[np.int64],
    classes: NDArray[np.bool_],
    shares: Sequence[float],
    *,
    least: Sequence[int],
    raw: Callable[[int, int], NDArray[np.uint64]],
    few: FewGroups,
) -> NDArray[np.int64]:
    """The part of each of G groups, ``[G]``.

    Args:
        counts: Rows of each group in each stratum, ``[G, S]``.
        classes: Whether a group has rows of a class, ``[G, C]``; one column of true where the target has no classes.
        shares: Share of the rows that each part should have, ``[P]``.
        least: How many groups with rows of each class every part must have, ``[P]``.
        raw: From the number of a try and a count to as many random 64-bit numbers.
        few: Makes the error that is raised where a class occurs in fewer groups than the parts need.

    Raises:
        DataError: Where no assignment gives every part its classes.
    """
    holding = classes.sum(0)
    lacking = np.flatnonzero(holding < sum(least))
    if len(lacking):
        raise few(int(lacking[0]), int(holding[lacking[0]]))
    table = np.column_stack([counts, counts.sum(1)]).astype(np.float64)
    wanted = np.outer(shares, table.sum(0))
    best: tuple[tuple[int, float], NDArray[np.int64]] | None = None
    tries = TRIES if len(table) <= MANY else 1
    for number in range(8 * tries):
        if number >= tries and best is not None and best[0][0] == 0:
            break
        order = np.argsort(raw(number, len(table)), kind="stable")
        part = _dealt(table, classes, wanted, np.asarray(least), order)
        score = _score(part, table, classes, wanted, least)
        if best is None or score < best[0]:
            best = score, part
    assert best is not None  # noqa: S101  (there is one try at the least)
    if best[0][0]:
        rarest = int(holding.argmin())
        raise few(rarest, int(holding[rarest]))
    return best[1]


def _dealt(
    table: NDArray[np.float64],
    classes: NDArray[np.bool_],
    wanted: NDArray[np.float64],
    least: NDArray[np.int64],
    order: NDArray[np.int64],
) -> NDArray[np.int64]:
    """Each group in turn to the part that it brings nearest to what is wanted; first to those that lack its classes."""
    missing = wanted.copy()
    scale = np.maximum(wanted, 1e-9)
    needs = np.repeat(least[:, None], classes.shape[1], axis=1)
    left = classes.sum(0)
    part = np.empty(len(table), dtype=np.int64)
    for group in order:
        own, brings = table[group], classes[group]
        cost = (own * (own - 2 * missing) / scale).sum(1)
        # A class that no more groups have than the parts still need comes before balance.
        scarce = brings & (left <= needs.sum(0))
        if scarce.any():
            cost = np.where(needs[:, scarce].any(1), cost, np.inf)
        chosen = int(cost.argmin())
        part[group] = chosen
        missing[chosen] -= own
        needs[chosen] -= brings & (needs[chosen] > 0)
        left = left - brings
    return part


def _score(
    part: NDArray[np.int64],
    table: NDArray[np.float64],
    classes: NDArray[np.bool_],
    wanted: NDArray[np.float64],
    least: Sequence[int],
) -> tuple[int, float]:
    """How many groups with a class the parts lack, and how far their rows are from what is wanted."""
    parts = len(wanted)
    held = np.stack([classes[part == index].sum(0) for index in range(parts)])
    got = np.stack([table[part == index].sum(0) for index in range(parts)])
    lack = np.maximum(np.asarray(least)[:, None] - held, 0).sum()
    return int(lack), float(((got - wanted) ** 2 / np.maximum(wanted, 1e-9)).sum())
