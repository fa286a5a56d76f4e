"""What is made harder about a training part: wrong labels, outliers, a long tail. The test part stays clean."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from losssearch.errors import OptionError

FEWEST = 12
"""Rows that the rarest class of a long tail keeps at least, so that every part of a study holds it."""


def mislabel(labels: pd.Series, noise: Mapping[str, Any], seed: int) -> pd.Series:
    """Labels with a share of them wrong.

    ``{"uniform": p}``: to any other class. ``{"pair": p}``: to the class that follows, as similar classes are
    mistaken. ``{"flip": {label: p}}``: labels of these classes alone, to any other.

    Raises `OptionError` for a share outside [0, 1) or a label that there is none of.
    """
    if not noise:
        return labels
    classes = np.array(sorted(labels.unique()))
    codes = np.searchsorted(classes, labels.to_numpy())
    chance = np.random.default_rng([seed, 11])
    ((kind, how),) = noise.items()
    shares = np.zeros(len(classes))
    if kind == "flip":
        if unknown := set(how) - set(classes):
            raise OptionError(f"flip names labels; the target has no {', '.join(map(repr, sorted(unknown)))}")
        for label, share in how.items():
            shares[np.searchsorted(classes, label)] = share
    else:
        shares[:] = how
    if not ((shares >= 0) & (shares < 1)).all():
        raise OptionError(f"a share of wrong labels must lie in [0, 1), got {how}")
    step = np.ones(len(codes), dtype=int) if kind == "pair" else chance.integers(1, len(classes), len(codes))
    wrong = chance.random(len(codes)) < shares[codes]
    moved = np.where(wrong, (codes + step) % len(classes), codes)
    return pd.Series(classes[moved], index=labels.index, name=labels.name)


def add_outliers(target: pd.Series, outliers: Mapping[str, float], seed: int) -> pd.Series:
    """A share of the targets moved by up to ``size`` standard deviations, three of four upwards."""
    if not outliers:
        return target
    chance = np.random.default_rng([seed, 13])
    hit = chance.random(len(target)) < outliers["share"]
    way = np.where(chance.random(len(target)) < 0.75, 1.0, -1.0)
    moved = way * chance.uniform(0.5, 1.0, len(target)) * outliers["size"] * float(target.std())
    return target + np.where(hit, moved, 0.0)


def long_tail(labels: pd.Series, ratio: float, seed: int) -> NDArray[np.int64]:
    """Rows that stay: class sizes fall geometrically, in the order of the labels, from all to one in ``ratio``."""
    rows = np.arange(len(labels))
    if ratio <= 1:
        return rows
    classes, codes, counts = np.unique(labels.to_numpy(), return_inverse=True, return_counts=True)
    largest = counts.max()
    wanted = [max(FEWEST, round(largest * ratio ** (-i / (len(classes) - 1)))) for i in range(len(classes))]
    shuffled = np.random.default_rng([seed, 17]).permutation(rows)
    kept = [shuffled[codes[shuffled] == code][:count] for code, count in enumerate(wanted)]
    return np.sort(np.concatenate(kept))
