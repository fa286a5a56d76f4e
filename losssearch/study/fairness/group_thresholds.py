"""A threshold for each group: what it would add to a loss, for those who have the attribute at prediction."""

from __future__ import annotations

import statistics
from typing import Any

import torch

from losssearch.evaluation.fairness import bound, decision_quality, fit_group_thresholds, value
from losssearch.study.context import Context
from losssearch.study.fairness.cross_fitting import SCORE, CrossFitted, CrossFitting
from losssearch.study.selecting.verdict import Reading

NEEDS = "the sensitive attribute at prediction"


def by_group(context: Context, fitting: CrossFitting, fitted: CrossFitted, reading: Reading) -> dict[str, Any]:
    """Thresholds in logits, one per group, fitted on all rows outside test within the constraints; and the test result.

    Each row is scored by a model that did not train on it. The bounds that must satisfy the limits promise the gap on
    as many new rows as test has; ``promised`` says whether they do.
    """
    dataset, rows = context.dataset, context.partition.test
    assert dataset.group is not None  # noqa: S101  (a study under constraints has groups)
    groups, limiting = len(dataset.groups), [one for one in context.constraints if one.gap.counted]
    scores, (quality, sign) = fitted.fitted.adjustment.scores(fitted.scored.pool), decision_quality(context.metric)
    found = fit_group_thresholds(
        scores,
        fitting.target,
        fitting.group,
        groups,
        constraints=limiting,
        quality=quality,
        sign=sign,
        z=fitting.needed,
    )
    decided = found.apply(scores, fitting.group)
    reached = [bound(one, decided, fitting.target, fitting.group, groups, z=fitting.needed) for one in limiting]
    shown = torch.tensor(reading.outcome.held[f"test{SCORE}"])
    labels, ids = (torch.tensor(values[rows]).expand(len(shown), -1) for values in (dataset.target, dataset.group))
    decided = found.apply(shown, ids)
    gaps = [(one, value(one, decided, labels, ids, groups).mean().item()) for one in context.constraints]
    return {
        "needs": NEEDS,
        "thresholds": {name: [own] for name, own in zip(dataset.groups, found.parameter.tolist(), strict=True)},
        "rows": len(scores),
        "promised": all(one.met(float(least)) for one, least in zip(limiting, reached, strict=True)),
        "test": {
            "metric": statistics.fmean(context.metric(decided, labels).tolist()),
            "constraints": [
                {"name": one.name, "op": one.op, "limit": one.limit, "test": gap, "met": one.met(gap)}
                for one, gap in gaps
            ],
        },
    }
