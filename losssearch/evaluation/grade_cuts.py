"""Grades that are decided by cuts of the expected grade, and the cuts that are best for a metric.

Outputs are logits of each grade, ``[..., N, K]``. There are K numbers per member: K - 1 cuts, and one that is not used;
a first cut below 0 leaves a decision with the likeliest grade.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

import torch
import torch.nn.functional as F
from torch import Tensor

LIKELIEST = -1.0
"""What stands for a decision without cuts."""

BINS = 64
"""Between how many groups of rows, by their expected grade, a cut may lie."""

ROUNDS = 5
"""How often the price of agreement by chance is set anew."""

SURE = 40.0
"""The logit of a decided grade; that of the others is 0."""

Cost: TypeAlias = Callable[[Tensor], Tensor]
"""From the distance of two grades to the cost of deciding one for the other."""


def expected_grade(outputs: Tensor) -> Tensor:
    """The mean ``[..., N]`` of the grades by their probabilities."""
    grades = torch.arange(outputs.shape[-1], dtype=torch.float64, device=outputs.device)
    return outputs.double().softmax(-1) @ grades


def decided_by_cuts(outputs: Tensor, numbers: Tensor) -> Tensor:
    """Logits of decided grades; those of members without cuts as they are."""
    cuts = numbers[..., None, :-1].double()
    grade = (expected_grade(outputs).unsqueeze(-1) > cuts).sum(-1)
    sure = SURE * F.one_hot(grade, outputs.shape[-1]).to(outputs.dtype)
    return torch.where((numbers[..., 0] < 0)[..., None, None], outputs, sure)


def fit_cuts(outputs: Tensor, target: Tensor, *, cost: Cost, by_chance: bool, weight: Tensor | None = None) -> Tensor:
    """The best cuts ``[M, K]`` of outputs ``[M, N, K]`` for grades ``target`` ``[M, N]``.

    The mean cost of decisions, or ``by_chance`` its ratio to that of decisions by chance (Dinkelbach 1967), is least
    among all cuts between groups of rows: an exact search over ordered decisions of the groups.
    """
    members, _, grades = outputs.shape
    known = torch.arange(grades, dtype=torch.float64, device=outputs.device)
    apart = cost((known[:, None] - known).abs())
    often = torch.ones(target.shape, dtype=torch.float64, device=target.device) if weight is None else weight.double()
    expected = expected_grade(outputs)
    shares = torch.linspace(0, 1, BINS + 1, dtype=torch.float64, device=outputs.device)[1:-1]
    ordered = expected.sort(-1).values
    places = (shares * (ordered.shape[-1] - 1)).floor().long()
    edges = (ordered[:, places] + ordered[:, places + 1]) / 2
    group = torch.searchsorted(edges, expected.contiguous())  # above as many edges
    table = torch.zeros(members, BINS * grades, dtype=torch.float64, device=outputs.device)
    table = table.scatter_add(-1, group * grades + target.long(), often).reshape(members, BINS, grades)
    if not by_chance:
        best = _ordered_decisions(table @ apart)
        found, untouched = _mean_cost(table, best, apart), _cost_of(outputs, target, often, apart)
    else:
        truth = table.sum(1) / table.sum((1, 2))[:, None]
        chance = table.sum(-1, keepdim=True) * (truth @ apart)[:, None]
        price = torch.ones(members, 1, 1, dtype=torch.float64, device=outputs.device)
        for _ in range(ROUNDS):
            best = _ordered_decisions(table @ apart - price * chance)
            by_luck = chance.gather(-1, best.unsqueeze(-1)).sum((1, 2))
            found = _mean_cost(table, best, apart) / by_luck.clamp_min(1e-12)
            price = torch.minimum(found, price[:, 0, 0])[:, None, None]
        untouched = _cost_of(outputs, target, often, apart, truth)
    # The cut above a grade is the first edge whose group is decided beyond it; without one, no row is.
    inner = torch.cat((edges[:, :1] - 1, edges, edges[:, -1:] * 0 + grades), -1)  # edge b is below group b
    below = (best.unsqueeze(-1) <= torch.arange(grades - 1, device=outputs.device)).sum(1)
    cuts = inner.gather(-1, below).clamp_min(0.0)
    cuts = F.pad(cuts, (0, 1), value=float(grades))
    return torch.where((found < untouched)[:, None], cuts, torch.full_like(cuts, LIKELIEST))


def _mean_cost(table: Tensor, best: Tensor, apart: Tensor) -> Tensor:
    return (table @ apart).gather(-1, best.unsqueeze(-1)).sum((1, 2))


def _cost_of(outputs: Tensor, target: Tensor, often: Tensor, apart: Tensor, truth: Tensor | None = None) -> Tensor:
    """The cost of the likeliest grades, as a ratio to that by chance where the shares of the grades are given."""
    decided = outputs.argmax(-1)
    cost = (often * apart[target.long(), decided]).sum(-1)
    if truth is None:
        return cost
    return cost / (often * (truth @ apart).gather(-1, decided)).sum(-1).clamp_min(1e-12)


def _ordered_decisions(costs: Tensor) -> Tensor:
    """Grades ``[M, BINS]`` that do not fall from group to group, of the least total of ``costs`` ``[M, BINS, K]``."""
    total, best = costs[:, 0], []
    for group in range(1, costs.shape[1]):
        least, place = total.cummin(-1)
        best.append(place)
        total = least + costs[:, group]
    chosen = [total.argmin(-1)]
    for place in reversed(best):
        chosen.append(place.gather(-1, chosen[-1][:, None])[:, 0])
    return torch.stack(chosen[::-1], -1)
