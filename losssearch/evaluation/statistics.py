"""Comparing two models: differences with intervals and bounds that are valid for few seeds."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from scipy.special import stdtrit
from torch import Tensor

from losssearch.errors import OptionError
from losssearch.evaluation.measure import Measure
from losssearch.evaluation.record import Metric

TEST = "paired two-level bootstrap over seeds and rows"
CHUNK = 2**20
"""Row weights that are worked on at once."""


@dataclass(frozen=True)
class Difference:
    """The difference between two models in the metric's unit; positive is better.

    ``interval`` is the ``level`` confidence interval. Where the metric is not defined, on all rows or on nearly
    every resample of them, the numbers are nan.
    """

    difference: float
    interval: tuple[float, float]
    standard_error: float
    level: float
    test: str = TEST


def paired_difference(
    metric: Metric,
    outputs_a: Tensor,
    outputs_b: Tensor,
    target: Tensor,
    *,
    level: float = 0.95,
    resamples: int = 500,
    seed: int,
    clusters: Tensor | None = None,
    weight: Tensor | None = None,
) -> Difference:
    """The difference in utility of two models, averaged over seeds, with an interval over seeds and rows.

    Rows are resampled with replacement, the same ones for both models and all seeds, so that position ``i`` must
    be the same row for every seed, or unrelated rows. The seed level needs no resampling: the variance that it
    gives has a closed form. It is taken with ``S - 1`` in its denominator, for a plain bootstrap over few seeds
    makes it too small by ``(S - 1) / S``. Variance that comes from rows and seeds together is in both levels, and
    is taken out of one (the two-way random-effects decomposition; Owen 2007 on bootstrapping both at once).
    The interval is Student's t with Satterthwaite's degrees of freedom, near ``S - 1`` where seeds dominate.
    With one seed it speaks of rows alone.

    Args:
        metric: Its sign is turned so that a positive difference means that ``a`` is better.
        outputs_a: ``[S, N]`` or ``[S, N, C]``, after any adjustment.
        outputs_b: As ``outputs_a``.
        target: ``[S, N]``, or ``[N]`` for all seeds; with an axis of columns at the end where the task has several.
        level: Confidence level, in (0, 1).
        resamples: Number of bootstrap resamples; 500 give the standard error to about 3 %.
        seed: Makes the result repeatable.
        clusters: Ids ``[N]`` of rows that belong together, such as those of one patient: whole clusters are then
            resampled, and the interval is that of the clusters.
        weight: Sample weights ``[N]``, above zero; rows are drawn as before, and then count by their weight.

    Raises:
        OptionError: For shapes that do not fit, fewer than two resamples or a level outside (0, 1).
    """
    _check_level(level)
    measure = metric.function
    if outputs_a.shape != outputs_b.shape or outputs_a.dim() != 2 + measure.class_axis:
        found = f"{list(outputs_a.shape)} and {list(outputs_b.shape)}"
        raise OptionError(f"both models' outputs must have one shape, [S, N] or [S, N, C]; got {found}")
    if resamples < 2:
        raise OptionError(f"`resamples >= 2` must hold, got {resamples}")
    by_seed = metric.utility(measure(outputs_a, target, weight)) - metric.utility(measure(outputs_b, target, weight))
    difference = float(by_seed.mean())
    if not math.isfinite(difference):
        return Difference(math.nan, (math.nan, math.nan), math.nan, level)
    seeds, rows = outputs_a.shape[:2]
    target = target.expand(seeds, rows, *target.shape[target.dim() - measure.target_columns :])
    units = None if clusters is None else clusters.unique(return_inverse=True)[1]
    drawn = metric.utility(
        _resample(measure, outputs_a, target, resamples, seed, units, weight)
        - _resample(measure, outputs_b, target, resamples, seed, units, weight)
    )
    drawn = drawn[:, drawn.isfinite().all(0)]
    if drawn.shape[1] < 2:
        return Difference(difference, (math.nan, math.nan), math.nan, level)
    of_rows, independent = float(drawn.mean(0).var()), rows if units is None else int(units.max()) + 1
    if seeds == 1:
        variance, freedom = of_rows, independent - 1.0
    else:
        of_seeds = float(by_seed.var()) / seeds
        of_both = max(0.0, (float(drawn.var(1).mean()) - of_rows) / (seeds - 1))
        variance = max(of_rows + of_seeds - of_both, of_rows, of_seeds)
        freedom = _satterthwaite((of_seeds, seeds - 1), (variance - of_seeds, independent - 1))
    error = math.sqrt(variance)
    return Difference(difference, _interval(difference, error, freedom, level), error, level)


def mean_interval(values: Tensor, level: float = 0.95) -> tuple[float, float]:
    """Student's t interval of the mean of ``values`` ``[R]``; unbounded for a single one.

    Raises:
        OptionError: For no values, or a level outside (0, 1).
    """
    _check_level(level)
    values = values.double().flatten()
    if len(values) == 0:
        raise OptionError("an interval needs at least one value")
    if len(values) == 1:
        return -math.inf, math.inf
    error = float(values.std()) / math.sqrt(len(values))
    return _interval(float(values.mean()), error, len(values) - 1, level)


def _resample(
    measure: Measure,
    outputs: Tensor,
    target: Tensor,
    resamples: int,
    seed: int,
    units: Tensor | None,
    weight: Tensor | None,
) -> Tensor:
    """The metric of each seed on each resample of rows, or of the ``units`` ``[N]`` they belong to: ``[S, B]``."""
    generator = torch.Generator().manual_seed(seed)
    rows = target.shape[1]
    prepared = [measure.resampled(*pair) for pair in zip(outputs.detach(), target, strict=True)]
    values = []
    step = max(1, CHUNK // rows)
    for start in range(0, resamples, step):
        weights = row_weights(rows, min(step, resamples - start), generator, units).to(outputs.device)
        if weight is not None:
            weights = weights * weight.double()[:, None]
        values.append(torch.stack([value(weights) for value in prepared]))
    return torch.cat(values, 1)


def row_weights(rows: int, resamples: int, generator: torch.Generator, units: Tensor | None = None) -> Tensor:
    """How often each row is drawn in each resample, ``[N, B]``; with ``units``, ids from 0 on, as often as its unit."""
    if units is not None:
        return row_weights(int(units.max()) + 1, resamples, generator)[units]
    picks = torch.randint(rows, (resamples, rows), generator=generator)
    one = torch.ones((), dtype=torch.float64).expand(resamples, rows)
    return torch.zeros(resamples, rows, dtype=torch.float64).scatter_add_(1, picks, one).T.contiguous()


def _satterthwaite(*parts: tuple[float, float]) -> float:
    """Degrees of freedom of a sum of variances, each with its own; infinite where all are zero."""
    total = sum(variance for variance, _ in parts)
    spread = sum(variance**2 / max(freedom, 1) for variance, freedom in parts)
    return total**2 / spread if spread > 0 else math.inf


def _interval(centre: float, error: float, freedom: float, level: float) -> tuple[float, float]:
    half = float(stdtrit(freedom, (1 + level) / 2)) * error
    return centre - half, centre + half


def _check_level(level: float) -> None:
    if not 0 < level < 1:
        raise OptionError(f"`0 < level < 1` must hold, got {level}")
