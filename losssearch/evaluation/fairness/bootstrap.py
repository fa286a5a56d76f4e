"""The joint variation of groups' rates between samples, by a bootstrap over rows."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from losssearch.evaluation.fairness.counts import counts_of_tables, tables_of
from losssearch.evaluation.fairness.gaps import Gap
from losssearch.evaluation.fairness.rates import Rates, rates, rates_of_counts
from losssearch.evaluation.measure import divide


def bootstrap_z(
    gap: Gap,
    outputs: Tensor,
    target: Tensor,
    group: Tensor,
    groups: int,
    *,
    level: float,
    resamples: int = 2000,
    seed: int = 0,
) -> float:
    """Standard errors at which the bounds of all pairs hold at once, with confidence ``level``.

    The ``level`` quantile, over resamples, of the largest studentised move of a pair: what Bonferroni's rule
    replaces by its worst case, for pairs that share a group move together. A resample of rows is a multinomial
    draw of their counts by label, decision and group (one of each added, as in the bound of a share); means are
    drawn from their normal limit.

    Args:
        gap: What is compared.
        outputs: Of one model, ``[N]`` or ``[N, C]``: adjusted, or scores, as the gap reads.
        target: ``[N]``.
        group: Ids ``[N]``.
        groups: How many groups there are.
        level: Confidence, in (0, 1).
        resamples: How many draws.
        seed: Of the draws.
    """
    generator = np.random.default_rng(seed)
    if gap.counted:
        table = (tables_of(outputs, target, group, groups) + 1).numpy(force=True)
        total = table.sum()
        drawn = generator.multinomial(round(total), table.reshape(-1) / total, size=resamples).astype(np.float64)
        found = rates_of_counts(gap, counts_of_tables(torch.from_numpy(table).unsqueeze(-1)))
        moved = rates_of_counts(
            gap, counts_of_tables(torch.from_numpy(drawn.reshape(resamples, *table.shape)).movedim(0, -1))
        )
    else:
        found = rates(gap, outputs[None], target[None], group[None], groups)
        noise = torch.from_numpy(generator.standard_normal((*found.rate.shape[:2], resamples))).to(found.rate)
        rows = found.rows.expand_as(noise)
        moved = Rates(found.rate + noise * found.variance.sqrt(), found.variance.expand_as(noise), rows)
    moves = _moves(gap, found, moved)
    return float(torch.quantile(moves, level))


def _moves(gap: Gap, found: Rates, moved: Rates) -> Tensor:
    """The largest studentised move of each resample, ``[B]``, in the direction that a bound must cover."""
    known = found.known & moved.known
    if gap.compare == "worst":
        step = (found.rate - moved.rate) * (1.0 if gap.operator == ">=" else -1.0)
        step = torch.where(known, divide(step, found.variance.sqrt()), -torch.inf)
        return step.amax(1).amax(0)
    before, after, spread = found.rate, moved.rate, found.variance
    if gap.compare == "ratio":
        known = known & (before > 0) & (after > 0)
        spread = divide(spread, before.square())
        before, after = before.clamp(min=1e-12).log(), after.clamp(min=1e-12).log()
    step = after - before
    worst = torch.zeros(step.shape[-1], dtype=torch.float64)
    for a in range(step.shape[1]):
        for b in range(a + 1, step.shape[1]):
            error = (spread[:, a] + spread[:, b]).sqrt()
            move = divide((step[:, a] - step[:, b]).abs(), error.expand_as(step[:, a]))
            move = torch.where(known[:, a] & known[:, b], move, 0.0)
            worst = torch.maximum(worst, move.amax(0))
    return worst
