"""Splitting rows by time: parts, and windows of training rows that are followed by their validation rows.

Rows of one time are never split, because rows of the same event would reveal each other.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

TRAINED, VALIDATED = 0.6, 0.2
"""Shares of the rows that a window trains on and validates on; it begins at a different place in each draw."""


def boundaries(time: NDArray[np.int64]) -> NDArray[np.int64]:
    """Where a new time begins in sorted times ``[N]``: places between 1 and N - 1."""
    return np.flatnonzero(np.diff(time)) + 1


def cut_in_order(time: NDArray[np.int64], shares: Sequence[float]) -> NDArray[np.int64] | None:
    """The part of each row ``[N]``, later times in later parts, cut as near to the cumulated ``shares`` as ties allow.

    None if there are fewer distinct times than parts.
    """
    order = np.argsort(time, kind="stable")
    places = boundaries(time[order])
    if len(places) < len(shares):
        return None
    cuts: list[int] = []
    for number, share in enumerate(shares):
        # Each part that is still to come needs a time of its own.
        free = places[number if not cuts else int(np.searchsorted(places, cuts[-1], side="right")) :]
        free = free[: len(free) - (len(shares) - 1 - number)]
        cuts.append(int(free[np.abs(free - share * len(time)).argmin()]))
    part = np.empty(len(time), dtype=np.int64)
    part[order] = np.searchsorted(cuts, np.arange(len(time)), side="right")
    return part


def windows(time: NDArray[np.int64], labels: NDArray[np.int64], classes: int) -> NDArray[np.int64]:
    """Cuts ``[W]`` of rows sorted by time at which a window may end its training rows and begin its validation rows.

    Training rows then hold every class that is in ``labels`` ``[N]``, and validation rows two classes or more. Cuts
    that leave room for a whole window on either side are preferred to all others. ``classes`` is 0 for regression.
    """
    rows = len(time)
    trained, validated = lengths(rows)
    places = boundaries(time)
    if classes:
        counts = np.zeros((rows + 1, classes), dtype=np.int64)
        counts[1:] = (labels[:, None] == np.arange(classes)).cumsum(0)
        before = counts[places] - counts[np.maximum(places - trained, 0)]
        after = counts[np.minimum(places + validated, rows)] - counts[places]
        whole = (before > 0).sum(1) == (counts[-1] > 0).sum()
        places = places[whole & ((after > 0).sum(1) >= 2)]
    inside = places[(places >= trained) & (places + validated <= rows)]
    return inside if len(inside) else places


def lengths(rows: int) -> tuple[int, int]:
    """Training and validation rows of a window over the rows."""
    return int(TRAINED * rows), int(VALIDATED * rows)


def window(places: NDArray[np.int64], rows: int, at: float) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Training and validation places in the order of time, cut ``at`` (in [0, 1)) of the range of ``places``."""
    trained, validated = lengths(rows)
    wanted = places[0] + at * (places[-1] - places[0])
    cut = int(places[np.abs(places - wanted).argmin()])
    return np.arange(max(0, cut - trained), cut), np.arange(cut, min(rows, cut + validated))
