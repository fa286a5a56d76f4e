"""Rivals that need the attribute at prediction: post-processors of a network's or of boosted trees' scores."""

from __future__ import annotations

import warnings
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray
from sklearn.base import BaseEstimator, ClassifierMixin

from benchmarks.fairness.front import Point, point
from benchmarks.fairness.models import scores, train_mlp, train_trees
from benchmarks.fairness.scenarios import Part, Split

BOUNDS = (0.0, 0.005, 0.01, 0.02, 0.03, 0.04, 0.05, 0.06, 0.08, 0.1, 0.12, 0.15, 0.18, 0.2, 0.25)
Scorer = Callable[[Part], NDArray[np.float64]]


def network(split: Split) -> Scorer:
    """Scores of the network."""
    model = train_mlp(split, seed=split.seed)
    return lambda part: scores(model, part)


def trees(split: Split) -> Scorer:
    """Scores of boosted trees."""
    return train_trees(split, seed=split.seed)


def threshold_optimizer(split: Split, criterion: str, score: Scorer) -> list[Point]:
    """fairlearn's ThresholdOptimizer, and the scores decided at one half."""
    from fairlearn.postprocessing import ThresholdOptimizer

    constraint = "demographic_parity" if criterion == "demographic_parity" else "equalized_odds"
    post = ThresholdOptimizer(
        estimator=_Scores(), constraints=constraint, prefit=True, predict_method="predict_proba", grid_size=400
    )
    own = _columns(split, score)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        post.fit(own[0], split.validation.labels, sensitive_features=split.validation.group)
        parts = (split.validation, split.test)
        pairs = zip(own, parts, strict=True)  # its shares have no public name
        shares = [post._pmf_predict(x, sensitive_features=part.group)[:, 1] for x, part in pairs]  # noqa: SLF001
    return [
        point(*shares, parts, split.groups, criterion),
        point(*((x[:, 0] > 0).astype(float) for x in own), parts, split.groups, criterion),
    ]


def oxonfair(split: Split, criterion: str, score: Scorer) -> list[Point]:
    """OxonFair's per-group thresholds, the front that it computes."""
    from oxonfair import DeepFairPredictor, group_metrics

    if split.groups > 4:  # its grid grows with width^groups
        return []
    own = _columns(split, score)
    gap = group_metrics.demographic_parity if criterion == "demographic_parity" else group_metrics.equalized_odds
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        fair = DeepFairPredictor(split.validation.labels, own[0], split.validation.group, use_actual_groups=True)
        if split.groups > 2:
            fair.fit(group_metrics.accuracy, gap, 0.05, grid_width=14)
        else:
            fair.fit(group_metrics.accuracy, gap, 0.05)
        offsets = np.asarray(fair.frontier[1])
    parts = (split.validation, split.test)
    offsets = offsets.reshape(*offsets.shape[:2], -1) if offsets.ndim > 2 else offsets
    found = []
    for place in range(offsets.shape[-1]):
        fair.set_threshold(offsets[..., place])
        decided = [np.asarray(fair.predict(_deep(part, x)), dtype=float) for part, x in zip(parts, own, strict=True)]
        found.append(point(*decided, parts, split.groups, criterion))
    return found


def error_parity(split: Split, criterion: str, score: Scorer) -> list[Point]:
    """error-parity's relaxed thresholds at a range of tolerances; its randomised decisions are drawn once."""
    from error_parity import RelaxedThresholdOptimizer

    constraint = "demographic_parity" if criterion == "demographic_parity" else "equalized_odds"
    own = [1 / (1 + np.exp(-x[:, 0])) for x in _columns(split, score)]
    parts = (split.validation, split.test)
    found = []
    for bound in BOUNDS:
        post = RelaxedThresholdOptimizer(
            predictor=lambda x: x[:, 0], constraint=constraint, tolerance=bound, max_roc_ticks=200, seed=split.seed
        )
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            post.fit(own[0][:, None], parts[0].labels, group=parts[0].group, y_scores=own[0])
            decided = [
                np.asarray(post(x[:, None], group=part.group), dtype=float) for x, part in zip(own, parts, strict=True)
            ]
        found.append(point(*decided, parts, split.groups, criterion))
    return found


class _Scores(ClassifierMixin, BaseEstimator):
    """An estimator whose features are its scores already."""

    classes_ = np.array([0, 1])

    def fit(self, features: NDArray[np.float64], labels: NDArray[np.int64]) -> _Scores:
        return self

    def predict_proba(self, features: NDArray[np.float64]) -> NDArray[np.float64]:
        positive = 1 / (1 + np.exp(-features[:, 0]))
        return np.stack([1 - positive, positive], 1)

    def __sklearn_is_fitted__(self) -> bool:
        return True


def _columns(split: Split, score: Scorer) -> list[NDArray[np.float64]]:
    return [np.clip(score(part), -30, 30)[:, None] for part in (split.validation, split.test)]


def _deep(part: Part, column: NDArray[np.float64]) -> object:
    from oxonfair import DeepDataDict

    return DeepDataDict(part.labels, column, part.group)
