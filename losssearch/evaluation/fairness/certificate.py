"""Certifying a constraint on rows that were used for nothing else."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

import torch
from torch import Tensor

from losssearch.evaluation.fairness.bootstrap import bootstrap_z
from losssearch.evaluation.fairness.bound import comparisons, gap_bound, promise_factor, z_value
from losssearch.evaluation.fairness.clustered import clustered
from losssearch.evaluation.fairness.constraint import Constraint
from losssearch.evaluation.fairness.counts import check_groups
from losssearch.evaluation.fairness.rates import alike, gap_value, rates
from losssearch.evaluation.measure import divide

Status = Literal["met", "not met", "not certifiable"]


@dataclass(frozen=True)
class Certificate:
    """The result of testing one constraint on fresh rows.

    ``value`` is the gap, ``bound`` its confidence bound at ``level``, ``z`` standard errors wide. ``met``: the bound
    satisfies the limit. ``not certifiable``: it does not, but with this number of rows neither would that of groups
    treated equally, and the gap is no larger than such groups may show: ``smallest_limit``, the tightest limit that
    they could satisfy. ``rows``: of each group.
    """

    constraint: Constraint
    status: Status
    value: float
    bound: float
    z: float
    level: float
    smallest_limit: float
    rows: tuple[int, ...]
    new_rows: int | None = None

    @property
    def text(self) -> str:
        """One sentence for a report."""
        to = f" on {self.new_rows} new rows" if self.new_rows else ""
        figures = f"{self.value:.4g} on {sum(self.rows)} rows, {self.level:.0%} bound {self.bound:.4g}{to}"
        if self.status == "not certifiable":
            return (
                f"{self.constraint}: not certifiable on this many rows ({figures}); "
                f"groups of these sizes allow {self.smallest_limit:.4g} at best"
            )
        return f"{self.constraint}: {self.status} ({figures})"


def certificate(
    constraints: Sequence[Constraint],
    decisions: Tensor,
    target: Tensor,
    group: Tensor,
    groups: int,
    *,
    scores: Tensor | None = None,
    level: float = 0.95,
    new_rows: int | None = None,
    method: Literal["pairs", "bootstrap"] = "pairs",
    seed: int = 0,
    clusters: Tensor | None = None,
) -> list[Certificate]:
    """Certify one model on rows that no choice was made on.

    Args:
        constraints: What must hold.
        decisions: Adjusted outputs ``[N]`` or ``[N, C]``.
        target: ``[N]``.
        group: Ids ``[N]``, int64, in ``[0, groups)``.
        groups: How many groups there are.
        scores: What gaps of probabilities and predictions read; ``decisions`` by default.
        level: Confidence, in [0.5, 1).
        new_rows: Promise the gap that will be *observed* on this number of new rows, for all pairs of groups; None
            promises the true gap.
        method: For a promise on new rows: Bonferroni over pairs, or the bootstrap of their maximum.
        seed: Of the bootstrap.
        clusters: Ids ``[N]`` of rows that belong together, such as those of one patient: bounds are then as wide as
            whole clusters, resampled, make them.

    Raises:
        OptionError: Where ids, shapes or the level do not fit.
    """
    check_groups(group, groups, target.shape[-1])
    numeric = group.is_floating_point()
    sizes = torch.tensor([len(target)]) if numeric else torch.bincount(group, minlength=groups)
    found = []
    for constraint in constraints:
        gap = constraint.gap
        outputs = decisions if gap.reads == "decision" or scores is None else scores
        seen = independent = rates(gap, outputs[None], target[None], group[None], groups)
        if clusters is not None:
            seen = clustered(gap, seen, outputs, target, group, groups, clusters, seed=seed)
        if new_rows is None:
            z = z_value(level)
        elif method == "bootstrap":
            z = max(z_value(level), bootstrap_z(gap, outputs, target, group, groups, level=level, seed=seed))
        else:
            z = z_value(level, comparisons(gap, seen))
        z *= promise_factor(len(target), new_rows)
        value, reached = gap_value(gap, seen).item(), gap_bound(gap, seen, z).item()
        fair = alike(gap, seen)
        if clusters is not None:
            widened = divide(seen.variance, independent.variance, 1.0)
            fair = replace(fair, variance=alike(gap, independent).variance * widened)
        smallest = gap_bound(gap, fair, z).item()
        status: Status = "met" if constraint.met(reached) else "not met"
        apparent = value > smallest if constraint.op == "<=" else value < smallest
        if status == "not met" and not constraint.met(smallest) and not apparent:
            status = "not certifiable"
        rows = tuple(sizes.tolist())
        found.append(Certificate(constraint, status, value, reached, z, level, smallest, rows, new_rows))
    return found
