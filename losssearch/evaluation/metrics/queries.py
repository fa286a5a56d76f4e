"""Metrics of ranked queries: how well the scores of a query's documents order them by their grades.

Outputs and targets are ``[..., queries, documents]``; a target below zero is padding. Each is a mean over queries.
Documents with tied scores share their places, so the order of the data never counts.
"""

from __future__ import annotations

from functools import partial

import torch
from torch import Tensor

from losssearch.errors import OptionError
from losssearch.evaluation.declaring import metric
from losssearch.evaluation.made import Oracle, mean_of
from losssearch.evaluation.measure import Addend, divide
from losssearch.losses.domains import Float
from losssearch.tasks.view import RANKED

_quality = partial(metric, direction="maximize", task=RANKED, computed=mean_of, low=0.0, high=1.0)


def _sorted(outputs: Tensor, target: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Grades and presence from the highest score down, and the number of each run of tied scores from 0."""
    present = target >= 0
    score, order = torch.where(present, outputs.double(), -torch.inf).sort(dim=-1, descending=True)
    changes = torch.zeros_like(order)
    changes[..., 1:] = score[..., 1:] != score[..., :-1]
    return target.double().clamp(min=0).gather(-1, order), present.gather(-1, order), changes.cumsum(-1)


def _by_run(values: Tensor, run: Tensor) -> Tensor:
    """The sum of the values of each run, at every place of the run."""
    return torch.zeros_like(values).scatter_add_(-1, run, values).gather(-1, run)


def _discounts(places: int, k: float, like: Tensor) -> Tensor:
    """``1 / log2(1 + place)`` down to place ``k``, then 0."""
    place = torch.arange(1, places + 1, dtype=torch.float64, device=like.device)
    return torch.where(place <= k, 1 / torch.log2(1 + place), 0.0)


def _whole(k: float) -> None:
    if not float(k).is_integer():
        raise OptionError(f"ndcg counts the first k places, so k must be a whole number; got k={k:g}")


@_quality(
    oracle=Oracle("sklearn.metrics.ndcg_score", "scores", numbers={"k": "k"}),
    check=_whole,
    k=Float(1.0, 1000.0, default=10.0),
)
def ndcg(outputs: Tensor, target: Tensor, *, k: float) -> tuple[Addend, ...]:
    """Discounted gain of the first ``k`` places over that of the best order; the gain of a grade is ``2^grade - 1``."""
    grade, present, run = _sorted(outputs, target)
    gain = (torch.exp2(grade) - 1) * present
    discount = _discounts(grade.shape[-1], k, grade)
    size = _by_run(torch.ones_like(gain), run)
    found = (_by_run(gain, run) / size * discount).sum(-1)
    ideal = (gain.sort(dim=-1, descending=True).values * discount).sum(-1)
    return (Addend(divide(found, ideal)),)


@_quality(name="map", oracle=Oracle("sklearn.metrics.average_precision_score", "scores"))
def mean_average_precision(outputs: Tensor, target: Tensor) -> tuple[Addend, ...]:
    """Average precision of each query, where a document is relevant if its grade is above 0."""
    grade, _, run = _sorted(outputs, target)
    relevant = (grade > 0).double()
    place = torch.arange(1, grade.shape[-1] + 1, dtype=torch.float64, device=grade.device).expand_as(grade)
    last = torch.zeros_like(grade).scatter_reduce_(-1, run, place, "amax").gather(-1, run)
    hits = relevant.cumsum(-1).gather(-1, (last - 1).long())
    return (Addend(divide((relevant * hits / last).sum(-1), relevant.sum(-1))),)


@_quality(oracle=Oracle("sklearn.metrics.label_ranking_average_precision_score", "scores"))
def mrr(outputs: Tensor, target: Tensor) -> tuple[Addend, ...]:
    """One over the place of the first relevant document; one that is tied with others stands at their last place."""
    grade, _, run = _sorted(outputs, target)
    place = torch.arange(1, grade.shape[-1] + 1, dtype=torch.float64, device=grade.device).expand_as(grade)
    last = torch.zeros_like(grade).scatter_reduce_(-1, run, place, "amax").gather(-1, run)
    return (Addend(torch.where(grade > 0, 1 / last, 0.0).amax(-1)),)
