"""References of terms on ranked queries: each formula in plain loops over the documents of one query.

Values of allRank are in `tests/losses/test_queries.py`.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import product
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import special, stats
from sklearn import metrics

Array = NDArray[Any]
DOCUMENTS = 5


def lists(rows: int) -> dict[str, Array]:
    """Scores and grades of the documents of queries, the last two of some queries being padding."""
    random = np.random.default_rng(10)
    present = np.ones((rows, DOCUMENTS))
    present[::3, 3:] = 0
    relevance = random.integers(4, size=(rows, DOCUMENTS)).astype(float)
    relevance[::7] = 1.0  # queries of one grade
    return {"document_scores": random.normal(size=(rows, DOCUMENTS)), "relevance": relevance, "present": present}


def each(of_query: Callable[..., float]) -> Callable[..., Array]:
    """The value of each query, of its documents alone."""

    def values(score: Array, grade: Array, present: Array, **numbers: float) -> Array:
        rows = zip(score, grade, present > 0, strict=True)
        return np.array([of_query(s[there], g[there], **numbers) for s, g, there in rows])

    return values


def pairs(grade: Array) -> list[tuple[int, int]]:
    return [(i, j) for i, j in product(range(len(grade)), repeat=2) if grade[i] > grade[j]]


def logistic(score: Array, grade: Array, steepness: float) -> float:
    cost = [np.log1p(np.exp(steepness * (score[j] - score[i]))) / steepness for i, j in pairs(grade)]
    return float(np.mean(cost)) if cost else 0.0


def ideal(grade: Array) -> float:
    return float(metrics.dcg_score((2**grade - 1)[None], grade[None]))


def swapped(score: Array, grade: Array, steepness: float) -> float:
    """Burges 2010: what swapping two documents changes in NDCG, times the logistic loss of the pair."""
    gain, discount = 2**grade - 1, 1 / np.log2(1 + stats.rankdata(-score))
    cost = [
        abs(gain[i] - gain[j])
        * abs(discount[i] - discount[j])
        * np.log1p(np.exp(steepness * (score[j] - score[i])))
        / steepness
        for i, j in pairs(grade)
    ]
    return float(sum(cost) / ideal(grade)) if cost else 0.0


def order(score: Array, grade: Array) -> float:
    """Xia et al. 2008: the documents are drawn one after another, the best grade first."""
    if not pairs(grade):
        return 0.0
    drawn = score[np.argsort(-grade, kind="stable")]
    return float(np.mean([special.logsumexp(drawn[k:]) - drawn[k] for k in range(len(drawn))]))


def shares(score: Array, grade: Array) -> float:
    gain = 2**grade - 1
    return float(-(gain / gain.sum() * special.log_softmax(score)).sum()) if pairs(grade) else 0.0


def smooth(score: Array, grade: Array, temperature: float) -> float:
    """Qin et al. 2010: a rank is one and the documents that are above, each counted softly."""
    if not pairs(grade):
        return 0.0
    others = [[score[j] - s for j in range(len(score)) if j != i] for i, s in enumerate(score)]
    rank = np.array([1 + special.expit(np.array(apart) / temperature).sum() for apart in others])
    return float(1 - ((2**grade - 1) / np.log2(1 + rank)).sum() / ideal(grade))


QUERIES: list[tuple[str, dict[str, Any], Callable[..., Any]]] = [
    ("grade_squared", {}, each(lambda s, g: float(metrics.mean_squared_error(g, s)))),
    ("pairwise_logistic", {"steepness": 1.7}, each(logistic)),
    ("lambda_loss", {"steepness": 1.7}, each(swapped)),
    ("list_net", {}, each(lambda s, g: float(stats.entropy(special.softmax(g), special.softmax(s))))),
    ("list_mle", {}, each(order)),
    ("softmax_gain", {}, each(shares)),
    ("approx_ndcg", {"temperature": 0.4}, each(smooth)),
]
"""Name, hyperparameters, and the oracle of what the term reads."""
