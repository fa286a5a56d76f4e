"""Every decision that a threshold can make, for every member: counts of each group at each cut of the sorted scores."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from losssearch.evaluation.fairness.counts import Counts
from losssearch.evaluation.measure import Quality
from losssearch.evaluation.ordering import argsort

CHUNK = 2**18
"""Counts, members by cuts by groups, that are worked on at once: few enough to stay in a core's cache."""


@dataclass(frozen=True)
class Cuts:
    """Cut ``i`` of ``T = N - 1`` accepts the ``i + 1`` highest scores: never none, and never all.

    ``scores`` ``[M, N]`` descend. ``counts`` are of each group at each cut, ``[1, G, M, T]``. ``possible``
    ``[M, T]``: a tie of scores is accepted as a whole or not at all.
    """

    scores: Tensor
    counts: Counts
    possible: Tensor

    def quality(self, quality: Quality) -> Tensor:
        """A metric of decisions at every cut, ``[M, T]``."""
        hits, predicted = self.counts.hits[0].sum(0), self.counts.predicted[0].sum(0)
        return quality(self.scores.shape[-1], hits, predicted, self.counts.positives[0].sum(0))

    def constants(self, quality: Quality) -> Tensor:
        """The metric of deciding all rows negative, and all positive, ``[M, 2]``."""
        positives, rows = self.counts.positives[0].sum(0), self.scores.shape[-1]
        nothing, everything = torch.zeros_like(positives), torch.full_like(positives, rows)
        return quality(rows, torch.cat((nothing, positives), -1), torch.cat((nothing, everything), -1), positives)

    def threshold(self, cut: Tensor) -> Tensor:
        """The threshold of cut ``[M, ...]``: midway between the last score accepted and the first that is not."""
        flat = cut.reshape(len(cut), -1)
        upper, lower = self.scores.gather(1, flat), self.scores.gather(1, flat + 1)
        middle = lower + (upper - lower) / 2
        # Between adjacent floating-point numbers the middle may round up to the higher one.
        return torch.where((middle >= upper) | ~middle.isfinite(), lower, middle).reshape(cut.shape)


def all_cuts(scores: Tensor, target: Tensor, group: Tensor, groups: int) -> Cuts:
    """Sort and count scores ``[M, N]`` with labels ``[M, N]`` and group ids ``[M, N]``; N is at least 2."""
    order = argsort(-scores)
    scores, positive = scores.gather(1, order), (target > 0).gather(1, order)
    member = group.gather(1, order)
    predicted = torch.empty(1, groups, *scores.shape, dtype=torch.float64, device=scores.device)
    hits = torch.empty_like(predicted)
    for index in range(groups):
        held = member == index
        torch.cumsum(held, -1, dtype=torch.float64, out=predicted[0, index])
        torch.cumsum(held & positive, -1, dtype=torch.float64, out=hits[0, index])
    counts = Counts(predicted[0, ..., -1:], hits[..., -1:], predicted[..., :-1], hits[..., :-1])
    return Cuts(scores, counts, scores[:, :-1] != scores[:, 1:])


def map_cuts(
    function: Callable[[Cuts], Tensor], scores: Tensor, target: Tensor, group: Tensor, groups: int, cells: int = 1
) -> Tensor:
    """``function`` of the cuts of a few members at a time, so that memory stays bounded; results are joined.

    Args:
        function: Gives ``[m, ...]`` for the cuts of ``m`` members.
        scores: ``[M, N]``.
        target: ``[M, N]``.
        group: Ids ``[M, N]``.
        groups: How many groups there are.
        cells: How many cells the largest gap has.
    """
    return torch.cat([function(cuts) for cuts in _chunks(scores, target, group, groups, cells)])


def _chunks(scores: Tensor, target: Tensor, group: Tensor, groups: int, cells: int) -> Iterator[Cuts]:
    step = max(1, CHUNK // (scores.shape[1] * groups * cells))
    for start in range(0, len(scores), step):
        part = slice(start, start + step)
        yield all_cuts(scores[part], target[part], group[part], groups)
