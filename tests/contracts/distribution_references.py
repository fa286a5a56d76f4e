"""References of terms that forecast a distribution: densities and integrals of SciPy, and scikit-learn."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from scipy import special, stats
from scipy.integrate import quad
from sklearn import metrics

Array = NDArray[Any]


def forecasts(rows: int) -> dict[str, Array]:
    """What heads of distributions put out."""
    random = np.random.default_rng(8)
    return {
        "mean": random.normal(size=rows),
        "scale": random.uniform(0.3, 2, rows),
        "spread": random.uniform(0.3, 2, rows),
        "freedom": random.uniform(2, 9, rows),
        "quantiles": np.sort(random.normal(size=(rows, 19)), 1),
        "component_means": random.normal(size=(rows, 3)),
        "component_scales": random.uniform(0.3, 2, (rows, 3)),
        "component_logits": random.normal(size=(rows, 3)),
    }


def gaussian(mean: Array, scale: Array, target: Array) -> Array:
    given = (torch.from_numpy(np.asarray(own)) for own in (mean, target, scale**2))
    found: Array = F.gaussian_nll_loss(*given, reduction="none").numpy()
    return found


def crps(mean: Array, scale: Array, target: Array) -> list[float]:
    """Gneiting et al. 2005, eq. 1: the integral of the squared distance of two distribution functions."""
    found = []
    for m, s, t in zip(mean, scale, target, strict=True):
        below = quad(lambda x, m=m, s=s: stats.norm.cdf(x, m, s) ** 2, min(t, m) - 12 * s, t, points=[m], epsabs=1e-12)
        above = quad(lambda x, m=m, s=s: stats.norm.sf(x, m, s) ** 2, t, max(t, m) + 12 * s, points=[m], epsabs=1e-12)
        found.append(below[0] + above[0])
    return found


def pinball(quantiles: Array, target: Array) -> list[float]:
    levels = np.arange(1, 20) / 20
    return [
        float(np.mean([metrics.mean_pinball_loss([t], [q], alpha=a) for q, a in zip(row, levels, strict=True)]))
        for row, t in zip(quantiles, target, strict=True)
    ]


def mixture(means: Array, scales: Array, logits: Array, target: Array) -> Array:
    density = (special.softmax(logits, 1) * stats.norm.pdf(target[:, None], means, scales)).sum(1)
    return np.asarray(-np.log(density) - np.log(2 * np.pi) / 2)


DISTRIBUTIONS: list[tuple[str, dict[str, Any], Callable[..., Any]]] = [
    ("gaussian_nll", {}, gaussian),
    ("beta_nll", {"beta": 0.3}, lambda m, s, t, beta: s ** (2 * beta) * gaussian(m, s, t)),
    ("gaussian_crps", {}, crps),
    ("laplace_nll", {}, lambda m, b, t: -stats.laplace.logpdf(t, m, b) - np.log(2)),
    ("student_nll", {}, lambda m, s, f, t: -stats.t.logpdf(t, f, m, s)),
    ("pinball_grid", {}, pinball),
    ("gaussian_mixture_nll", {}, mixture),
]
"""Name, hyperparameters, and the oracle of what the term reads."""
