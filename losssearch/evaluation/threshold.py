"""The best decision threshold of a binary model among all possible thresholds."""

from __future__ import annotations

import torch
from torch import Tensor

from losssearch.evaluation.measure import Quality
from losssearch.evaluation.ordering import argsort, central_best


def ranked(scores: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
    """Scores ``[..., N]`` from high to low, and whether the row of each is positive."""
    order = argsort(-scores)
    return scores.gather(-1, order), target.gather(-1, order) > 0


def fit_threshold(
    scores: Tensor, target: Tensor, *, quality: Quality, sign: float, weight: Tensor | None = None
) -> Tensor:
    """The threshold ``[M]`` at which ``score > threshold`` has the highest ``sign * quality``.

    The optimum is exact: the sorted scores give every decision that a threshold can make. Of several optima the
    median is taken, and the threshold lies midway between the neighbouring scores.

    Args:
        scores: ``[M, N]``, finite.
        target: Labels ``[M, N]``.
        quality: The metric as a function of counts.
        sign: 1 where the metric is maximised, -1 where it is minimised.
        weight: How often each row counts, ``[M, N]``, above zero.
    """
    rows = scores.shape[-1]
    if weight is not None:
        return _fit_weighted(scores, target, quality, sign, weight.double())
    scores, positive = ranked(scores, target)
    hits = torch.nn.functional.pad(positive.cumsum(-1, dtype=torch.float64), (1, 0))
    accepted = torch.arange(rows + 1, dtype=torch.float64, device=scores.device)
    value = sign * quality(rows, hits, accepted, hits[:, -1:])
    return best_cut(scores, value)


def best_cut(scores: Tensor, utility: Tensor) -> Tensor:
    """The threshold ``[M]`` that accepts as many of the descending ``scores`` ``[M, N]`` as has the best ``utility``.

    Args:
        scores: Finite, in descending order.
        utility: Of accepting none of them, the first, the first two, …: ``[M, N + 1]``; it is changed.
    """
    # A tie is accepted as a whole or not at all.
    utility[:, 1:-1].masked_fill_(scores[:, :-1] == scores[:, 1:], -torch.inf)
    return _between(scores, central_best(utility))


def _fit_weighted(scores: Tensor, target: Tensor, quality: Quality, sign: float, weight: Tensor) -> Tensor:
    order = argsort(-scores)
    scores, often = scores.gather(-1, order), weight.gather(-1, order)
    hits = torch.nn.functional.pad((often * (target.gather(-1, order) > 0)).cumsum(-1), (1, 0))
    accepted = torch.nn.functional.pad(often.cumsum(-1), (1, 0))
    value = sign * quality(accepted[:, -1:], hits, accepted, hits[:, -1:])  # type: ignore[arg-type]
    value[:, 1:-1].masked_fill_(scores[:, :-1] == scores[:, 1:], -torch.inf)
    return _between(scores, central_best(value))


def _between(scores: Tensor, cut: Tensor) -> Tensor:
    """A threshold that accepts the first ``cut`` ``[M]`` of the descending ``scores`` ``[M, N]``, and no more."""
    upper = scores.gather(1, (cut - 1).clamp(min=0).unsqueeze(1)).squeeze(1)
    lower = scores.gather(1, cut.clamp(max=scores.shape[1] - 1).unsqueeze(1)).squeeze(1)
    middle = lower + (upper - lower) / 2
    # Between adjacent floating-point numbers the middle may round up to the higher one.
    middle = torch.where((middle >= upper) | ~middle.isfinite(), lower, middle)
    above = scores[:, 0] + 1 + scores[:, 0].abs() / 100
    below = scores[:, -1] - 1 - scores[:, -1].abs() / 100
    return torch.where(cut == 0, above, torch.where(cut == scores.shape[1], below, middle))
