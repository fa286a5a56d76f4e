"""Families whose best loss is known, so that a search can be told right from lucky.

The training part of each is what the family draws; the test part holds the clean value where the family has one,
so that a metric measures what was to be learned and not the noise (see `clean`).
"""

from __future__ import annotations

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from losssearch.errors import UnknownNameError

FAMILIES = ("asymmetric", "laplace", "student", "selective", "rare")
ROWS = 3_000
COLUMNS = 8
WRONG = {"low": 0.05, "high": 0.45}
"""Selective label noise: the share of wrong labels among negatives and among positives."""


def draw(family: str, rows: int, seed: int) -> tuple[NDArray[np.float32], pd.Series, str, object]:
    """Features [rows, 8], target (clean where there is noise to be added later), task and positive class.

    - ``asymmetric``: noise that grows with x, so that no shift of a mean is a quantile: the pinball loss is best.
    - ``laplace``: Laplace noise on a smooth surface: the absolute loss is maximum likelihood.
    - ``student``: Student noise with 1.5 degrees of freedom, which has no variance: a robust loss is best.
    - ``selective``: labels of positives are often wrong, of negatives seldom: weighing positives undoes it.
    - ``rare``: one positive in ten, drawn by a known probability, to be judged by unequal costs.
    """
    if family not in FAMILIES:
        raise UnknownNameError("synthetic family", family, FAMILIES)
    chance = np.random.default_rng([seed, FAMILIES.index(family)])
    features = chance.standard_normal((rows, COLUMNS)).astype(np.float32)
    surface = _surface(features)
    if family == "asymmetric":
        spread = np.exp(0.6 * features[:, 3])
        target = surface + spread * chance.gamma(2.0, 1.0, rows)
        return features, pd.Series(target, name="target"), "regression", None
    if family in ("laplace", "student"):
        return features, pd.Series(surface, name="target"), "regression", None
    known = 1 / (1 + np.exp(3.2 - 1.2 * surface))
    labels = surface > 0 if family == "selective" else chance.random(rows) < known
    return features, pd.Series(np.where(labels, "yes", "no"), name="target"), "binary", "yes"


def disturb(family: str, target: pd.Series, seed: int) -> pd.Series:
    """The target of the outer training part, with the family's noise; other families are left as they are."""
    chance = np.random.default_rng([seed, 7, FAMILIES.index(family)])
    rows = len(target)
    if family == "laplace":
        return target + chance.laplace(0.0, 1.5, rows)
    if family == "student":
        return target + 0.8 * chance.standard_t(1.5, rows)
    if family == "selective":
        positive = (target == "yes").to_numpy()
        wrong = chance.random(rows) < np.where(positive, WRONG["high"], WRONG["low"])
        return pd.Series(np.where(positive ^ wrong, "yes", "no"), name=target.name)
    return target


def _surface(features: NDArray[np.float32]) -> NDArray[np.float64]:
    x = features.astype(np.float64)
    return np.sin(1.5 * x[:, 0]) + 0.5 * x[:, 1] * x[:, 2] + 0.7 * x[:, 3] - 0.3 * x[:, 4] ** 2 + 0.3
