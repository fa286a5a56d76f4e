"""References of terms on counts: likelihoods of SciPy and losses of scikit-learn."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import special, stats
from sklearn._loss import HalfGammaLoss, HalfTweedieLoss

Array = NDArray[Any]


def observed(rows: int) -> dict[str, Array]:
    """What a model of counts puts out, and how long each row was observed."""
    random = np.random.default_rng(9)
    log_rate = random.normal(size=rows)
    return {
        "rate": random.exponential(size=rows),
        "log_rate": log_rate,
        "zero_logit": random.normal(size=rows),
        "exposure": random.uniform(0.2, 3, rows),
        "count": random.poisson(2 * np.exp(log_rate)).astype(float),
    }


def poisson(log_rate: Array, exposure: Array, count: Array) -> Array:
    constant = special.gammaln(count + 1) - count * np.log(exposure)
    return np.asarray(-stats.poisson.logpmf(count, exposure * np.exp(log_rate)) - constant)


def inflated(log_rate: Array, zero_logit: Array, exposure: Array, count: Array) -> Array:
    """Lambert 1992, eq. 1."""
    never, mean = special.expit(zero_logit), exposure * np.exp(log_rate)
    return np.asarray(-np.log(never * (count == 0) + (1 - never) * stats.poisson.pmf(count, mean)))


def dispersed(log_rate: Array, exposure: Array, count: Array, log_r: float) -> Array:
    size = np.exp(log_r)
    return np.asarray(-stats.nbinom.logpmf(count, size, size / (size + exposure * np.exp(log_rate))))


def of_sklearn(loss: Any) -> Callable[[Array, Array, Array], Array]:
    return lambda log_rate, exposure, count: np.asarray(loss.loss(count, log_rate + np.log(exposure)))


COUNTS: list[tuple[str, dict[str, Any], Callable[..., Any]]] = [
    ("rate_squared", {}, lambda m, e, y: e * (m - y / e) ** 2),
    ("poisson_log_rate", {}, poisson),
    ("zero_inflated_poisson", {}, inflated),
    ("negative_binomial", {"log_r": 0.4}, dispersed),
    ("tweedie", {"power": 1.3}, lambda *given, power: of_sklearn(HalfTweedieLoss(power=power))(*given)),
    ("gamma_log_rate", {}, of_sklearn(HalfGammaLoss())),
]
"""Name, hyperparameters, and the oracle of what the term reads."""
