"""Random orders of rows, with every stratum spread alike over them.

Only raw output of PCG64 is used, whose stream numpy keeps the same in every version and on every platform.
"""

from __future__ import annotations

import hashlib

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from losssearch.data.dataset import Dataset
from losssearch.data.target_kind import target_kind
from losssearch.errors import OptionError


def positions(
    dataset: Dataset, rows: NDArray[np.int64], source: np.random.SeedSequence
) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """The position in (0, 1) of each row within its shuffled stratum, and its stratum.

    Copies count as one block, positioned at its middle; it belongs to the rarest of its strata.
    """
    keys = np.arange(len(rows)) if dataset.coarse else dataset.row_keys[rows]
    block = pd.factorize(keys)[0].astype(np.int64)
    size = np.bincount(block)
    stratum = np.full(len(size), np.iinfo(np.int64).max)
    np.minimum.at(stratum, block, strata(dataset, rows))
    order = np.argsort(raw(source, len(size)), kind="stable")
    order = order[np.argsort(stratum[order], kind="stable")]
    total = np.bincount(stratum, weights=size)
    before = np.cumsum(total) - total
    middle = np.cumsum(size[order]) - size[order] / 2
    position = np.empty(len(size))
    position[order] = (middle - before[stratum[order]]) / total[stratum[order]]
    return position[block], stratum[block]


def strata(dataset: Dataset, rows: NDArray[np.int64]) -> NDArray[np.int64]:
    """The stratum of each row, numbered from the rarest."""
    values = target_kind(dataset.task).strata(dataset.target[rows])
    if dataset.group is not None:
        _, values = np.unique(values, return_inverse=True)
        values = values * (int(dataset.group.max()) + 1) + dataset.group[rows]
    _, stratum, counts = np.unique(values, return_inverse=True, return_counts=True)
    rank = np.empty(len(counts), dtype=np.int64)
    rank[np.argsort(counts, kind="stable")] = np.arange(len(counts))
    return rank[stratum]


def sequence(seed: int, purpose: str, index: int) -> np.random.SeedSequence:
    """The source of random numbers of the draw ``index`` of a purpose; raises `OptionError` for a negative seed."""
    if seed < 0:
        raise OptionError(f"a seed must not be negative, got {seed}")
    word = int.from_bytes(hashlib.sha256(purpose.encode()).digest()[:8], "big")
    return np.random.SeedSequence([seed, word, index])


def raw(source: np.random.SeedSequence, count: int) -> NDArray[np.uint64]:
    """``count`` random 64-bit numbers."""
    return np.asarray(np.random.PCG64(source).random_raw(count), dtype=np.uint64)
