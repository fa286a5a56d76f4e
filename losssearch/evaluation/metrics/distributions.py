"""Metrics of predicted quantiles at 0.05, 0.10, …, 0.95, in the target's own unit."""

from __future__ import annotations

from functools import partial

import torch
from torch import Tensor

from losssearch.errors import OptionError
from losssearch.evaluation.declaring import metric
from losssearch.evaluation.made import Tuning, always, mean_of, of_sums
from losssearch.evaluation.measure import Addend
from losssearch.evaluation.several import fit_residual_quantiles
from losssearch.losses.domains import Float
from losssearch.tasks.view import QUANTILES

_CALIBRATED: Tuning = always("residual_quantiles", fit_residual_quantiles)

_of_quantiles = partial(metric, task=QUANTILES, direction="minimize", tuned=_CALIBRATED)

LEAST_WIDTH = 1e-9
"""The least distance of neighbouring quantiles, in units of the largest, for a density."""


def _levels(quantiles: Tensor) -> Tensor:
    count = quantiles.shape[-1]
    return torch.arange(1, count + 1, dtype=torch.float64, device=quantiles.device) / (count + 1)


@_of_quantiles(computed=mean_of, unit="units of the target", low=0.0)
def crps(outputs: Tensor, target: Tensor) -> tuple[Addend, ...]:
    """The continuous ranked probability score, by twice the mean pinball loss over the quantiles."""
    residual, level = target.double().unsqueeze(-1) - outputs.double(), _levels(outputs)
    return (Addend(2 * torch.maximum(level * residual, (level - 1) * residual).mean(-1)),)


def _ends(quantiles: Tensor, level: float) -> tuple[Tensor, Tensor]:
    """The ends ``[..., N]`` of the central interval that is to hold the target with this probability."""
    count = quantiles.shape[-1]
    place = round((1 - level) / 2 * (count + 1)) - 1
    return quantiles[..., place].double(), quantiles[..., count - 1 - place].double()


def _check_level(level: float) -> None:
    if not any(abs(level - step / 10) < 1e-9 for step in range(1, 10)):
        raise OptionError(f"the level of an interval is one of 0.1, 0.2, …, 0.9, got {level:g}")


_of_interval = partial(_of_quantiles, check=_check_level, level=Float(0.1, 0.9, default=0.9))


@_of_interval(computed=mean_of, unit="units of the target", low=0.0)
def interval_score(outputs: Tensor, target: Tensor, *, level: float) -> tuple[Addend, ...]:
    """The width of the central interval, and what targets outside of it miss it by, times ``2 / (1 - level)``."""
    (lower, upper), goal = _ends(outputs, level), target.double()
    missed = (lower - goal).clamp(min=0) + (goal - upper).clamp(min=0)
    return (Addend(upper - lower + 2 / (1 - level) * missed),)


def _inside(outputs: Tensor, target: Tensor, *, level: float) -> tuple[Addend, ...]:
    (lower, upper), goal = _ends(outputs, level), target.double()
    return (Addend((goal >= lower) & (goal <= upper)),)


def _coverage_of(value: partial[Tensor], view: object) -> object:
    return of_sums(partial(_inside, level=value.keywords["level"]))(value, QUANTILES)


@_of_interval(computed=_coverage_of, unit="share of the rows", low=0.0, high=1.0)
def coverage(rows: int, inside: Tensor, *, level: float) -> Tensor:
    """How far the share of targets inside the central interval is from its level."""
    return (inside / rows - level).abs()


@_of_quantiles(computed=mean_of, unit="nats")
def nll(outputs: Tensor, target: Tensor) -> tuple[Addend, ...]:
    """Negative logarithm of the density at the target.

    Each distance of neighbouring quantiles holds its share evenly. Beyond the outermost, the density falls
    exponentially from the one next to it.
    """
    quantiles, goal = outputs.double().sort(-1).values, target.double().unsqueeze(-1)
    share = 1 / (quantiles.shape[-1] + 1)
    size = quantiles.abs().amax(-1, keepdim=True).clamp(min=torch.finfo(torch.float64).tiny)
    width = torch.maximum(quantiles.diff(dim=-1), LEAST_WIDTH * size)
    place = (torch.searchsorted(quantiles, goal).squeeze(-1) - 1).clamp(0, width.shape[-1] - 1)
    near = width.gather(-1, place.unsqueeze(-1)).squeeze(-1)
    # An exponential tail of this share whose density joins that inside has the width as its mean.
    outside = torch.maximum(quantiles[..., 0] - goal[..., 0], goal[..., 0] - quantiles[..., -1]).clamp(min=0)
    return (Addend(near.log() - torch.log(torch.tensor(share, dtype=torch.float64)) + outside / near),)
