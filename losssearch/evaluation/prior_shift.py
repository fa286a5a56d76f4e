"""Tuning the shift of logits against the class prior: ``logits - tau * log prior`` (Menon et al. 2021, post hoc).

At ``tau = 0`` the most likely class is predicted, at ``tau = 1`` the one that gains most over its prior.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import combinations
from typing import TypeAlias

import torch
from torch import Tensor

from losssearch.evaluation.ordering import central_best

LOW, HIGH, STEP = -0.5, 2.5, 0.025
POINTS = round((HIGH - LOW) / STEP) + 1
"""The grid of ``tau``."""

ClassQuality: TypeAlias = Callable[..., Tensor]
"""From the number of rows and counts by class ``[..., C]`` to a value ``[...]``, the higher the better."""


def log_prior(class_prior: Tensor) -> Tensor:
    """The logarithm of a prior ``[..., C]``, float64; a class without rows counts as rare as the rarest with rows."""
    prior = class_prior.double()
    rarest = prior.masked_fill(prior <= 0, torch.inf).amin(-1, keepdim=True)
    return torch.maximum(prior, rarest).log()


def fit_by_recalls(
    logits: Tensor, target: Tensor, class_prior: Tensor, *, quality: ClassQuality, weight: Tensor | None = None
) -> Tensor:
    """The ``tau`` ``[M]`` that is best for a function of rows, right predictions and rows of each class.

    Logits are ``[M, N, C]``.
    """
    return best_tau(quality(0, *_recalls(logits, target, class_prior, weight)))


def fit_by_predictions(
    logits: Tensor, target: Tensor, class_prior: Tensor, *, quality: ClassQuality, weight: Tensor | None = None
) -> Tensor:
    """The same for a function that also takes the rows predicted to be of each class."""
    classes, target = logits.shape[-1], target.long()
    # At every tau: rows predicted to be of the class, and those of them that are.
    predicted, hits = [], []
    for index, (first, last) in enumerate(_all_winning(logits, log_prior(class_prior))):
        held = first <= last
        predicted.append(_points_in(first, last, held, weight))
        hits.append(_points_in(first, last, held & (target == index), weight))
    support = _support(target, classes, weight)
    return best_tau(quality(0, torch.stack(hits, -1), support, torch.stack(predicted, -1)))


def best_tau(quality: Tensor) -> Tensor:
    """The ``tau`` ``[M]`` with the best ``quality`` ``[M, POINTS]``."""
    return LOW + STEP * central_best(quality).double()


def _recalls(logits: Tensor, target: Tensor, class_prior: Tensor, weight: Tensor | None) -> tuple[Tensor, Tensor]:
    """Right predictions at every ``tau`` ``[M, POINTS, C]``, and rows ``[M, 1, C]``, of each class."""
    classes, target = logits.shape[-1], target.long()
    first, last = _winning(logits, target, log_prior(class_prior))
    held = first <= last
    hits = [_points_in(first, last, held & (target == index), weight) for index in range(classes)]
    return torch.stack(hits, -1), _support(target, classes, weight)


def hits_by_cell(logits: Tensor, cell: Tensor, class_prior: Tensor, weight: Tensor | None) -> tuple[Tensor, Tensor]:
    """Right predictions at every ``tau`` and rows of each cell, ``[M, POINTS or 1, groups, classes]``.

    ``cell`` ``[M, N]``: ``label + classes · group``. With ``weight`` ``[M, N]``, how much they weigh.
    """
    classes = logits.shape[-1]
    first, last = _winning(logits, cell % classes, log_prior(class_prior))
    held = first <= last
    count = classes * (int(cell.max()) // classes + 1)
    hits = torch.stack([_points_in(first, last, held & (cell == index), weight) for index in range(count)], -1)
    return hits.unflatten(-1, (-1, classes)), _support(cell, count, weight).unflatten(-1, (-1, classes))


def _support(target: Tensor, classes: int, weight: Tensor | None = None) -> Tensor:
    support = torch.zeros(len(target), classes, dtype=torch.float64, device=target.device)
    often = torch.ones_like(target, dtype=torch.float64) if weight is None else weight.double()
    return support.scatter_add_(1, target, often).unsqueeze(1)


# Shifted logits are lines in ``tau``, so a class wins on one interval of the grid, and all of it comes from comparing
# the lines in pairs instead of a prediction at every grid point. Lines lie classes first, ``[C, M, N]``: what is done
# to a pair is then done to long rows.


def _winning(logits: Tensor, chosen: Tensor, slopes: Tensor) -> tuple[Tensor, Tensor]:
    """First and last grid point ``[M, N]`` at which the ``chosen`` class ``[M, N]`` has the highest shifted logit."""
    lines, slopes = logits.movedim(-1, 0).contiguous(), slopes.to(logits.dtype)
    own, own_slope = lines.gather(0, chosen.unsqueeze(0)).squeeze(0), slopes.gather(-1, chosen)
    lower, upper, behind = _open(own)
    for index, line in enumerate(lines):
        # A tie goes to the class that comes first, as argmax has it: over those the lead must be above a hair.
        lead = own - line - _hair(logits) * (index < chosen)
        slope = own_slope - slopes[:, index, None]
        # The chosen class stays ahead of the other while lead - tau * slope >= 0.
        crossing = lead / torch.where(slope == 0, 1.0, slope)
        upper = torch.minimum(upper, torch.where(slope > 0, crossing, torch.inf))
        lower = torch.maximum(lower, torch.where(slope < 0, crossing, -torch.inf))
        behind |= (slope == 0) & (lead < 0)
    return _on_grid(lower, upper, behind)


def _all_winning(logits: Tensor, slopes: Tensor) -> Iterator[tuple[Tensor, Tensor]]:
    """For each class in turn what `_winning` gives where it is the chosen one, from one pass over the pairs."""
    lines, slopes = logits.movedim(-1, 0).contiguous(), slopes.to(logits.dtype)
    bounds = [_open(line) for line in lines]
    above = slopes[:, :, None] > slopes[:, None, :]
    ordered = above.all(0).cpu().tolist()  # of all pairs at once, as reading waits for a device
    for a, b in combinations(range(len(lines)), 2):
        slope = (slopes[:, a] - slopes[:, b]).unsqueeze(1)
        lead = lines[a] - lines[b]
        safe = torch.where(slope == 0, 1.0, slope)
        of_a, of_b = lead / safe, (lead + _hair(logits)) / safe
        (low_a, high_a, behind_a), (low_b, high_b, behind_b) = bounds[a], bounds[b]
        rising, falling = slope > 0, slope < 0
        if ordered[a][b]:  # as in most pairs: then nothing is to be told apart
            torch.minimum(high_a, of_a, out=high_a)
            torch.maximum(low_b, of_b, out=low_b)
        elif ordered[b][a]:
            torch.maximum(low_a, of_a, out=low_a)
            torch.minimum(high_b, of_b, out=high_b)
        else:
            torch.minimum(high_a, torch.where(rising, of_a, torch.inf), out=high_a)
            torch.maximum(low_b, torch.where(rising, of_b, -torch.inf), out=low_b)
            torch.maximum(low_a, torch.where(falling, of_a, -torch.inf), out=low_a)
            torch.minimum(high_b, torch.where(falling, of_b, torch.inf), out=high_b)
            behind_a |= (slope == 0) & (lead < 0)
            behind_b |= (slope == 0) & (-lead - _hair(logits) < 0)
    return (_on_grid(*own) for own in bounds)


def _hair(logits: Tensor) -> float:
    return 32 * torch.finfo(logits.dtype).eps


def _open(line: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Bounds of ``tau`` that nothing narrows yet, and nowhere behind."""
    return torch.full_like(line, -torch.inf), torch.full_like(line, torch.inf), torch.zeros_like(line, dtype=torch.bool)


def _on_grid(lower: Tensor, upper: Tensor, behind: Tensor) -> tuple[Tensor, Tensor]:
    """First and last grid point between bounds of ``tau``, as floats; first > last where there is none."""
    first = ((lower - LOW) / STEP).ceil_().clamp_(0, POINTS)
    last = ((upper - LOW) / STEP).floor_().clamp_(-1, POINTS - 1)
    return first.masked_fill_(behind, POINTS), last


def _points_in(first: Tensor, last: Tensor, held: Tensor, weight: Tensor | None = None) -> Tensor:
    """How many of the intervals ``[M, N]`` that are ``held`` cover each grid point: ``[M, POINTS]``, float64.

    With ``weight`` ``[M, N]``, how much they weigh.
    """
    width = POINTS + 1
    if held.device.type != "cpu":
        return _points_in_place(first, last, held, weight, width)
    member, row = held.nonzero(as_tuple=True)
    often = None if weight is None else weight.double()[member, row]
    begins = torch.bincount(member * width + first[member, row].long(), often, minlength=len(first) * width)
    ends = torch.bincount(member * width + last[member, row].long() + 1, often, minlength=len(first) * width)
    return (begins - ends).reshape(len(first), width).cumsum(1)[:, :-1].double()


def _points_in_place(first: Tensor, last: Tensor, held: Tensor, weight: Tensor | None, width: int) -> Tensor:
    """As `_points_in`, of all rows, so that a device need not be waited for: those that are not held add nothing."""
    often = held.double() if weight is None else held * weight.double()
    empty = torch.zeros(len(first), width, dtype=torch.float64, device=held.device)
    begins = empty.scatter_add(1, first.long(), often)
    ends = empty.scatter_add(1, last.long() + 1, often)
    return (begins - ends).cumsum(1)[:, :-1]
