"""Rivals that do not see the attribute at prediction: reductions, penalties, a Lagrangian, and the control."""

from __future__ import annotations

import time
import warnings

import numpy as np
import torch
from torch import Tensor, nn

from benchmarks.fairness.front import Point, point, threshold_points
from benchmarks.fairness.models import Penalty, scores, train_mlp
from benchmarks.fairness.scenarios import Split

PENALTIES = (0.03, 0.06, 0.1, 0.15, 0.2, 0.3, 0.4, 0.55, 0.75, 1.0, 1.5, 2.5)
BOUNDS = (0.005, 0.01, 0.02, 0.04, 0.06, 0.08, 0.1, 0.13, 0.16, 0.2)


def plain(split: Split, criterion: str, seconds: float) -> list[Point]:
    """Cross-entropy, decided at one half."""
    model = train_mlp(split, seed=split.seed)
    return [_at_zero(split, model, criterion)]


def plain_threshold(split: Split, criterion: str, seconds: float) -> list[Point]:
    """Cross-entropy at every threshold."""
    return _at_all(split, train_mlp(split, seed=split.seed), criterion)


def fairret_norm(split: Split, criterion: str, seconds: float) -> list[Point]:
    """fairret's norm penalty at a range of strengths, decided at one half, as its documentation shows it."""
    return [p for model in _penalised(split, _fairret(criterion), seconds) for p in [_at_zero(split, model, criterion)]]


def fairret_threshold(split: Split, criterion: str, seconds: float) -> list[Point]:
    """fairret's norm penalty at a range of strengths, each at every threshold."""
    return [p for m in _penalised(split, _fairret(criterion), seconds) for p in _at_all(split, m, criterion)]


def control(split: Split, criterion: str, seconds: float) -> list[Point]:
    """The control of equal budget: one fixed penalty (largest pairwise gap of sigmoid rates), every threshold."""

    def gap(logits: Tensor, labels: Tensor, group: Tensor) -> Tensor:
        return torch.stack([_rates(logits, cell, group) for cell in _cells(labels, criterion)]).amax()

    return [p for model in _penalised(split, gap, seconds) for p in _at_all(split, model, criterion)]


def lagrangian(split: Split, criterion: str, seconds: float) -> list[Point]:
    """A proxy-Lagrangian in the manner of cooper: a multiplier a cell, dual ascent on the hard gap less its bound."""
    found, begun = [], time.monotonic()
    for done, bound in enumerate(BOUNDS):
        if done and (time.monotonic() - begun) * (done + 1) / done > seconds:
            break
        multiplier = torch.zeros(1 if criterion == "demographic_parity" else 2)

        def penalty(
            logits: Tensor, labels: Tensor, group: Tensor, own: Tensor = multiplier, most: float = bound
        ) -> Tensor:
            cells = _cells(labels, criterion)
            hard = torch.stack([_rates(torch.where(logits > 0, 50.0, -50.0), cell, group) for cell in cells])
            own.add_(0.02 * (hard.detach() - most)).clamp_(min=0)
            return (own * torch.stack([_rates(logits, cell, group) for cell in cells])).sum()

        found.append(_at_zero(split, train_mlp(split, penalty, seed=split.seed), criterion))
    return found


def exponentiated_gradient(split: Split, criterion: str, seconds: float) -> list[Point]:
    """fairlearn's ExponentiatedGradient over logistic regression; its randomised predictions are counted as shares."""
    from fairlearn.reductions import ExponentiatedGradient

    found, begun = [], time.monotonic()
    for done, bound in enumerate((0.02, 0.1, 0.005, 0.05, 0.15, 0.01, 0.08, 0.03)):
        if done and (time.monotonic() - begun) * (done + 1) / done > seconds:
            break
        reduction = ExponentiatedGradient(_logistic(), _moment(criterion, bound), eps=bound, max_iter=30)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            reduction.fit(split.train.features, split.train.labels, sensitive_features=split.train.group)
        parts = (split.validation, split.test)
        shares = [reduction._pmf_predict(part.features)[:, 1] for part in parts]  # noqa: SLF001  (it has no public name)
        found.append(point(*shares, parts, split.groups, criterion))
    return found


def grid_search(split: Split, criterion: str, seconds: float) -> list[Point]:
    """fairlearn's GridSearch over logistic regression; for few groups, since its grid has a dimension a group."""
    return _grid(split, criterion, _logistic(), 40)


def grid_search_mlp(split: Split, criterion: str, seconds: float) -> list[Point]:
    """fairlearn's GridSearch over a network of the same size."""
    from sklearn.neural_network import MLPClassifier

    network = MLPClassifier((64, 64), batch_size=512, learning_rate_init=2e-3, max_iter=15, random_state=split.seed)
    return _grid(split, criterion, network, 10)


def _grid(split: Split, criterion: str, estimator: object, size: int) -> list[Point]:
    from fairlearn.reductions import GridSearch

    if split.groups > 4:
        return []
    search = GridSearch(estimator, _moment(criterion, 0.0), grid_size=size)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        search.fit(split.train.features, split.train.labels, sensitive_features=split.train.group)
        parts = (split.validation, split.test)
        return [
            point(*(p.predict(part.features) for part in parts), parts, split.groups, criterion)
            for p in search.predictors_
        ]


def _logistic() -> object:
    from sklearn.linear_model import LogisticRegression

    return LogisticRegression(max_iter=300, solver="lbfgs")


def _moment(criterion: str, bound: float) -> object:
    from fairlearn.reductions import DemographicParity, EqualizedOdds

    kind = DemographicParity if criterion == "demographic_parity" else EqualizedOdds
    return kind(difference_bound=bound)


def _penalised(split: Split, penalty: Penalty, seconds: float) -> list[nn.Module]:
    models, begun = [], time.monotonic()
    for done, strength in enumerate(PENALTIES):
        if done and (time.monotonic() - begun) * (done + 1) / done > seconds:
            break
        models.append(train_mlp(split, lambda z, y, g, s=strength: s * penalty(z, y, g), seed=split.seed))  # type: ignore[misc]
    return models


def _fairret(criterion: str) -> Penalty:
    from fairret.loss import NormLoss
    from fairret.statistic import FalsePositiveRate, PositiveRate, TruePositiveRate

    if criterion == "demographic_parity":
        norm = NormLoss(PositiveRate())
        return lambda logits, labels, group: norm(logits[:, None], group)
    norms = NormLoss(TruePositiveRate()), NormLoss(FalsePositiveRate())
    return lambda logits, labels, group: sum(norm(logits[:, None], group, labels[:, None]) for norm in norms)


def _cells(labels: Tensor, criterion: str) -> list[Tensor]:
    return [torch.ones_like(labels)] if criterion == "demographic_parity" else [labels, 1 - labels]


def _rates(logits: Tensor, cell: Tensor, group: Tensor) -> Tensor:
    count = cell @ group
    rates = (torch.sigmoid(2 * logits) * cell) @ group / count.clamp_min(1)
    high, low = (torch.where(count > 0, rates, fill) for fill in (-torch.inf, torch.inf))
    return high.amax() - low.amin()


def _at_zero(split: Split, model: nn.Module, criterion: str) -> Point:
    parts = (split.validation, split.test)
    return point(*((scores(model, part) > 0).astype(float) for part in parts), parts, split.groups, criterion)


def _at_all(split: Split, model: nn.Module, criterion: str) -> list[Point]:
    parts = (split.validation, split.test)
    own = [scores(model, part) for part in parts]
    return threshold_points(np.asarray(own[0]), np.asarray(own[1]), parts, split.groups, criterion)
