"""Which rows stand for all: a few that hold every class, group and range of the target, as far as the rows do."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

LEAST = 8
"""Rows of every stratum that a selection should hold."""

BANDS = 8
"""Bands of equally many distinct values that a number is divided into."""


def probe_order(strata: Sequence[NDArray[np.int64]], sizes: Sequence[int]) -> NDArray[np.int64]:
    """Row numbers, such that the first ``n`` for every ``n`` of ``sizes`` hold every stratum; the largest size of them.

    Args:
        strata: ids of shape [rows]; each array divides the rows in its own way, such as by class and by group. Where a
            selection cannot hold all, the first divisions come first.
        sizes: how many of the first rows will be used, smallest first.

    Of each stratum, a selection of ``n`` rows holds `LEAST` rows, fewer where the stratum has fewer or where strata are
    many. Where the first ``n`` rows do so as they come, they stay as they are.
    """
    rows = len(strata[0])
    ranked = [(_ranks(ids), len(np.unique(ids))) for ids in strata]
    chosen = np.zeros(rows, dtype=bool)
    order: list[NDArray[np.int64]] = []
    for size in sizes:
        # What was chosen for a smaller selection stays; then what each division needs; then the rows as they come.
        priority = np.full(rows, len(strata) + 1)
        for place, (ranks, count) in reversed(list(enumerate(ranked, start=1))):
            priority[ranks < max(1, min(LEAST, size // (2 * len(strata) * count)))] = place
        priority[chosen] = 0
        picked = np.sort(np.argsort(priority, kind="stable")[: min(size, rows)])
        order.append(picked[~chosen[picked]])
        chosen[picked] = True
    return np.concatenate(order)


def joint(first: NDArray[np.int64], second: NDArray[np.int64]) -> NDArray[np.int64]:
    """The strata of two divisions together: one per pair that occurs."""
    _, pairs = np.unique(np.stack([first, second]), axis=1, return_inverse=True)
    return pairs.reshape(-1).astype(np.int64)


def banded(values: NDArray[np.floating]) -> NDArray[np.int64]:
    """Strata of a number: `BANDS` ranges with equally many distinct values, so that rare ones get their own."""
    distinct, places = np.unique(values, return_inverse=True)
    bands: NDArray[np.int64] = places.reshape(-1).astype(np.int64) * BANDS // max(1, len(distinct))
    return bands


def representative(strata: NDArray[np.int64], chosen: NDArray[np.int64]) -> NDArray[np.float64]:
    """Weights [chosen], with which the chosen rows show every stratum as often as all rows do; their mean is 1."""
    _, ids = np.unique(strata, return_inverse=True)
    everyone = np.bincount(ids.reshape(-1)) / len(strata)
    own = ids.reshape(-1)[chosen]
    share = np.bincount(own, minlength=len(everyone)) / len(chosen)
    weights: NDArray[np.float64] = everyone[own] / share[own]
    weights /= weights.mean()
    return weights


def _ranks(ids: NDArray[np.int64]) -> NDArray[np.int64]:
    """For each row, how many rows of its stratum come before it."""
    order = np.argsort(ids, kind="stable")
    grouped = ids[order]
    starts = np.flatnonzero(np.r_[True, grouped[1:] != grouped[:-1]])
    within = np.arange(len(ids)) - np.repeat(starts, np.diff(np.r_[starts, len(ids)]))
    ranks = np.empty(len(ids), dtype=np.int64)
    ranks[order] = within
    return ranks
