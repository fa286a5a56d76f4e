"""Metrics of a ranking: roc_auc and average_precision. Tied scores count as tied, exactly.

Both are nan if the target holds one class only: neither is defined there.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor

from losssearch.evaluation.declaring import metric
from losssearch.evaluation.made import Oracle
from losssearch.evaluation.measure import Measure, Resampled, divide
from losssearch.evaluation.ordering import argsort
from losssearch.evaluation.threshold import ranked
from losssearch.tasks.view import LOGIT, View


def _ends(scores: Tensor) -> Tensor:
    """Where a run of tied scores ends, ``[..., N]``."""
    last = torch.ones_like(scores[..., :1], dtype=torch.bool)
    return torch.cat((scores[..., :-1] != scores[..., 1:], last), -1)


@dataclass(frozen=True)
class Ranked(Measure):
    """A metric of the true and false positives accepted so far, going down the ranking.

    ``area`` takes both counts ``[..., G]``; where they stay as they are, it must add nothing.
    """

    area: Callable[[Tensor, Tensor], Tensor]

    def plain(self, outputs: Tensor, target: Tensor) -> Tensor:
        """See `Measure.plain`."""
        scores, positive = ranked(outputs, target)
        hits = positive.cumsum(-1, dtype=torch.float64)
        accepted = torch.arange(1, scores.shape[-1] + 1, dtype=torch.float64, device=scores.device)
        ends = _ends(scores)
        if not bool(ends.all()):
            # Within a tie nothing is accepted yet: carry on the counts of the tie before.
            hits = torch.where(ends, hits, 0.0).cummax(-1).values
            accepted = torch.where(ends, accepted, 0.0).cummax(-1).values
        return self.area(hits, accepted - hits)

    def weighed(self, outputs: Tensor, target: Tensor, weight: Tensor) -> Tensor:
        """See `Measure.weighed`."""
        order = argsort(-outputs)
        scores, often = outputs.gather(-1, order), weight.double().gather(-1, order)
        ends = _ends(scores)
        hits = (often * (target.gather(-1, order) > 0)).cumsum(-1)
        accepted = often.cumsum(-1)
        # Within a tie nothing is accepted yet: carry on the counts of the tie before.
        hits, misses = (torch.where(ends, count, 0.0).cummax(-1).values for count in (hits, accepted - hits))
        return self.area(hits, misses)

    def resampled(self, outputs: Tensor, target: Tensor) -> Resampled:
        """See `Measure.resampled`."""
        order = argsort(-outputs)
        ends = _ends(outputs[order])
        positive = (target[order] > 0).double().unsqueeze(1)

        def value(weights: Tensor) -> Tensor:
            drawn = weights[order]
            hits = (drawn * positive).cumsum(0)[ends]
            return self.area(hits.T, (drawn.cumsum(0)[ends] - hits).T)

        return value


def of_ranking(area: Callable[[Tensor, Tensor], Tensor], view: View) -> Ranked:
    """The measure of an area under a curve of counts."""
    return Ranked(view.columns, area)


_ranking = partial(
    metric, direction="maximize", task=LOGIT, unit="share", low=0.0, high=1.0, computed=of_ranking, tuned="none"
)


def _steps(counts: Tensor) -> Tensor:
    return torch.diff(counts, dim=-1, prepend=torch.zeros_like(counts[..., :1]))


@_ranking(oracle=Oracle("sklearn.metrics.roc_auc_score", "scores"))
def roc_auc(hits: Tensor, misses: Tensor) -> Tensor:
    """Chance that a positive row is ranked above a negative one, a tie counting half."""
    passed = misses - _steps(misses) / 2
    won = (_steps(hits) * (misses[..., -1:] - passed)).sum(-1)
    return divide(won, hits[..., -1] * misses[..., -1], math.nan)


@_ranking(oracle=Oracle("sklearn.metrics.average_precision_score", "scores"))
def average_precision(hits: Tensor, misses: Tensor) -> Tensor:
    """Average precision: precision at each threshold, weighted by the recall gained there."""
    total = (_steps(hits) * divide(hits, hits + misses)).sum(-1)
    return torch.where(misses[..., -1] == 0, math.nan, divide(total, hits[..., -1], math.nan))
