"""Metrics of decided grades, classes in an order."""

from __future__ import annotations

from functools import partial

import torch
from torch import Tensor

from losssearch.evaluation.declaring import metric
from losssearch.evaluation.grade_cuts import fit_cuts
from losssearch.evaluation.made import Oracle, always, of_sums
from losssearch.evaluation.measure import Addend, divide
from losssearch.tasks.view import GRADES


def decided_and_true(outputs: Tensor, target: Tensor) -> tuple[Addend, ...]:
    """How many rows of each grade are decided to be of each: ``[K * K]``, the label first."""
    grades = outputs.shape[-1]
    decided = outputs.argmax(-1)
    return (Addend(torch.ones_like(decided), target.long() * grades + decided, grades * grades),)


def _table(counts: Tensor) -> Tensor:
    grades = round(counts.shape[-1] ** 0.5)
    return counts.reshape(*counts.shape[:-1], grades, grades)


def _apart(table: Tensor) -> Tensor:
    grades = torch.arange(table.shape[-1], dtype=torch.float64, device=table.device)
    return (grades[:, None] - grades).abs()


def _squared(apart: Tensor) -> Tensor:
    return apart.square()


def _plain(apart: Tensor) -> Tensor:
    return apart


@metric(
    direction="maximize",
    task=GRADES,
    unit="agreement beyond chance",
    high=1.0,
    computed=of_sums(decided_and_true),
    tuned=always("grade_cuts", partial(fit_cuts, cost=_squared, by_chance=True)),
    oracle=Oracle("sklearn.metrics.cohen_kappa_score", "decisions", {"weights": "quadratic"}),
)
def quadratic_kappa(rows: int, counts: Tensor) -> Tensor:
    """Agreement of decided and true grades beyond chance, by squared distances; 0 where all rows have one grade."""
    table = _table(counts)
    cost = _apart(table).square()
    chance = (table.sum(-1).unsqueeze(-1) * table.sum(-2).unsqueeze(-2) * cost).sum((-1, -2))
    total = table.sum((-1, -2))
    return 1 - divide((table * cost).sum((-1, -2)) * total, chance, 1.0)


@metric(
    direction="minimize",
    task=GRADES,
    unit="grades",
    low=0.0,
    computed=of_sums(decided_and_true),
    tuned=always("grade_cuts", partial(fit_cuts, cost=_plain, by_chance=False)),
    oracle=Oracle("sklearn.metrics.mean_absolute_error", "decisions"),
)
def mae_grade(rows: int, counts: Tensor) -> Tensor:
    """How many grades a decision is off, on average."""
    table = _table(counts)
    return (table * _apart(table)).sum((-1, -2)) / rows
