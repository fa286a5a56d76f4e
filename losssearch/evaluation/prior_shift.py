"""How far to shift logits against the class prior: ``logits - tau * log prior`` (Menon et al. 2021, post hoc).

At ``tau = 0`` the most likely class is predicted, at ``tau = 1`` the one that gains most over its prior.
"""

from __future__ import annotations

import torch
from torch import Tensor

from losssearch.evaluation.multiclass import balanced_accuracy, macro_f1, worst_class_recall
from losssearch.evaluation.ordering import central_best

LOW, HIGH, STEP = -0.5, 2.5, 0.025
POINTS = round((HIGH - LOW) / STEP) + 1
"""The grid of ``tau``."""


def log_prior(class_prior: Tensor) -> Tensor:
    """The logarithm of a prior ``[..., C]``, float64; a class without rows counts as rare as the rarest with rows."""
    prior = class_prior.double()
    rarest = prior.masked_fill(prior <= 0, torch.inf).amin(-1, keepdim=True)
    return torch.maximum(prior, rarest).log()


def fit_balanced_accuracy(logits: Tensor, target: Tensor, class_prior: Tensor) -> Tensor:
    """The ``tau`` ``[M]`` with the highest mean recall of logits ``[M, N, C]``."""
    return _best(balanced_accuracy(0, *_recalls(logits, target, class_prior)))


def fit_worst_class_recall(logits: Tensor, target: Tensor, class_prior: Tensor) -> Tensor:
    """The ``tau`` ``[M]`` with the highest recall of the worst class of logits ``[M, N, C]``."""
    return _best(worst_class_recall(0, *_recalls(logits, target, class_prior)))


def fit_macro_f1(logits: Tensor, target: Tensor, class_prior: Tensor) -> Tensor:
    """The ``tau`` ``[M]`` with the highest macro F1 of logits ``[M, N, C]``."""
    slopes = log_prior(class_prior)
    predicted = []
    for index in range(logits.shape[-1]):
        first, last = _winning(logits, torch.full_like(target, index).long(), slopes)
        predicted.append(_covered(first, last, torch.zeros_like(first), 1))
    return _best(macro_f1(0, *_recalls(logits, target, class_prior), torch.cat(predicted, -1)))


def _best(quality: Tensor) -> Tensor:
    return LOW + STEP * central_best(quality).double()


def _recalls(logits: Tensor, target: Tensor, class_prior: Tensor) -> tuple[Tensor, Tensor]:
    """Right predictions at every ``tau`` ``[M, POINTS, C]``, and rows ``[M, 1, C]``, of each class."""
    target = target.long()
    first, last = _winning(logits, target, log_prior(class_prior))
    support = torch.zeros(len(target), logits.shape[-1], dtype=torch.float64, device=logits.device)
    support.scatter_add_(1, target, torch.ones_like(target, dtype=torch.float64))
    return _covered(first, last, target, logits.shape[-1]), support.unsqueeze(1)


def _winning(logits: Tensor, chosen: Tensor, slopes: Tensor) -> tuple[Tensor, Tensor]:
    """The first and last grid point at which the ``chosen`` class ``[M, N]`` has the highest shifted logit.

    Shifted logits are lines in ``tau``, so a class wins on one interval: all of it comes from one pass over
    the classes instead of a prediction at every grid point. An empty interval has first > last.
    """
    index = chosen.unsqueeze(-1)
    # A tie goes to the class that comes first, as argmax has it: over those the lead must be above a hair.
    earlier = torch.arange(logits.shape[-1], device=logits.device) < index
    lead = logits.gather(-1, index) - logits - 32 * torch.finfo(logits.dtype).eps * earlier
    slopes = slopes.to(logits.dtype)
    slope = slopes.gather(-1, chosen).unsqueeze(-1) - slopes.unsqueeze(1)
    # The chosen class stays ahead of another while lead - tau * slope >= 0.
    crossing = lead / torch.where(slope == 0, 1.0, slope)
    upper = torch.where(slope > 0, crossing, torch.inf).amin(-1)
    lower = torch.where(slope < 0, crossing, -torch.inf).amax(-1)
    behind = ((slope == 0) & (lead < 0)).any(-1)
    first = ((lower - LOW) / STEP).ceil().clamp(0, POINTS).long()
    last = ((upper - LOW) / STEP).floor().clamp(-1, POINTS - 1).long()
    return torch.where(behind, POINTS, first), last


def _covered(first: Tensor, last: Tensor, groups: Tensor, count: int) -> Tensor:
    """How many intervals ``[M, N]`` of each group hold each grid point: ``[M, POINTS, count]``."""
    held = (first <= last).double()
    changes = torch.zeros(len(first), (POINTS + 1) * count, dtype=torch.float64, device=first.device)
    changes.scatter_add_(1, first * count + groups, held)
    changes.scatter_add_(1, (last + 1) * count + groups, -held)
    return changes.reshape(len(first), POINTS + 1, count).cumsum(1)[:, :-1]
