"""A threshold for each group: what it would add to a loss, for those who have the attribute at prediction."""

from __future__ import annotations

import statistics
from typing import Any

import torch

from losssearch.evaluation.fairness import (
    decision_quality,
    fit_group_thresholds,
    value,
)
from losssearch.execution.fair_judge import SCORE
from losssearch.search.context import Context
from losssearch.search.verdict import Reading

NEEDS = "the sensitive attribute at prediction"


def by_group(context: Context, reading: Reading) -> dict[str, Any]:
    """Thresholds in logits, one a group and seed, fitted on confirmation within the constraints, and what test says.

    The bounds that must keep the limits promise the gap on as many new rows as test has.
    """
    dataset, parts = context.dataset, context.partition
    assert dataset.group is not None  # noqa: S101  (a study under constraints has groups)
    groups = len(dataset.groups)
    rows = {name: getattr(parts, name) for name in ("confirmation", "test")}
    target = {name: torch.tensor(dataset.target[own]) for name, own in rows.items()}
    group = {name: torch.tensor(dataset.group[own]) for name, own in rows.items()}
    scores = {name: torch.tensor(reading.outcome.held[f"{name}{SCORE}"]) for name in rows}
    quality, sign = decision_quality(context.metric)
    fitted = fit_group_thresholds(
        scores["confirmation"],
        target["confirmation"],
        group["confirmation"],
        groups,
        constraints=[one for one in context.constraints if one.gap.counted],
        quality=quality,
        sign=sign,
        z=context.promise(len(target["confirmation"])),
    )
    decided = fitted.apply(scores["test"], group["test"])
    seeds = len(decided)
    labels, ids = target["test"].expand(seeds, -1), group["test"].expand(seeds, -1)
    found = [(one, value(one, decided, labels, ids, groups).tolist()) for one in context.constraints]
    columns = fitted.parameter.T.tolist()
    return {
        "needs": NEEDS,
        "thresholds": dict(zip(dataset.groups, columns, strict=True)),
        "test": {
            "metric": statistics.fmean(context.metric(decided, labels).tolist()),
            "constraints": [
                {
                    "name": one.name,
                    "op": one.op,
                    "limit": one.limit,
                    "test": statistics.fmean(gaps),
                    "met": one.met(statistics.fmean(gaps)),
                }
                for one, gaps in found
            ],
        },
    }
