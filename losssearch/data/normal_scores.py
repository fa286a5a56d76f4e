"""Normal scores: the rank of a value among the training rows, as a quantile of the normal distribution."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.stats import norm
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.utils import resample

TAIL = 1e-7
"""Share of the distribution that is cut off at either end: scores lie within 5.2."""


class NormalScores(TransformerMixin, BaseEstimator):  # type: ignore[misc]  # scikit-learn has no types
    """Map each column to a standard normal distribution by the quantiles of the rows that it was fitted on.

    The scores of scikit-learn's ``QuantileTransformer(output_distribution="normal")``, but independent of the
    column's unit: that one takes values within 1e-7 of the least (largest) for the least (largest), which makes a
    column of amounts around 1e-9 constant.
    """

    def __init__(self, quantiles: int = 1000, most_rows: int = 10_000) -> None:
        """Read ``quantiles`` quantiles off a seeded sample of at most ``most_rows`` rows."""
        self.quantiles = quantiles
        self.most_rows = most_rows

    def fit(self, values: NDArray[Any], y: object = None) -> NormalScores:
        """Learn the quantiles of ``values`` [rows, columns], which have no gaps; return itself."""
        table = np.asarray(values, dtype=np.float64)
        if len(table) > self.most_rows:
            table = resample(table, replace=False, n_samples=self.most_rows, random_state=0)
        self.references_ = np.linspace(0, 1, max(1, min(self.quantiles, len(values))))
        # Interpolation may round a quantile below the one before it.
        self.quantiles_ = np.maximum.accumulate(np.percentile(table, 100 * self.references_, axis=0), axis=0)
        return self

    def transform(self, values: NDArray[Any]) -> NDArray[np.float64]:
        """The scores of ``values`` [rows, columns]."""
        table = np.asarray(values, dtype=np.float64)
        scores = np.empty_like(table)
        for column, known in enumerate(self.quantiles_.T):
            scores[:, column] = self._share(table[:, column], known)
        limit = float(norm.ppf(1 - TAIL))
        clipped: NDArray[np.float64] = np.clip(norm.ppf(scores), -limit, limit)
        return clipped

    def _share(self, values: NDArray[np.float64], known: NDArray[np.float64]) -> NDArray[np.float64]:
        # The mean of both directions is the middle of a run of equal quantiles.
        upward = np.interp(values, known, self.references_)
        downward = -np.interp(-values, -known[::-1], -self.references_[::-1])
        share = np.clip(np.nan_to_num((upward + downward) / 2, nan=0.5), 0, 1)
        share[values >= known[-1]] = 1
        share[values <= known[0]] = 0
        return share
