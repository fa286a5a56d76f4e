"""Losses that are a curve of one number: the margin of a sample's label, or how far a prediction is off.

A curve is piecewise linear and monotone, and its ends are fixed; what is searched or learned is how the way between
them is divided among its segments. So every set of numbers is a loss: convex or not, steep for the worst samples or
for those that are almost right.

Example:
    The steeper a segment, the more the samples in it count. This curve counts only those beyond one standard deviation:

    >>> import torch
    >>> import losssearch as ls
    >>> flat = dict.fromkeys(("rise_1", "rise_2"), -4.0) | dict.fromkeys(("rise_3", "rise_4", "rise_5", "rise_6"), 1.0)
    >>> loss = ls.terms["residual_curve"].module(reduction="none", **flat)
    >>> loss(torch.tensor([0.0, 1.0, 2.0, 3.0]), torch.zeros(4))
    tensor([0.0000, 0.0206, 1.5103, 3.0000])
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from losssearch.losses.domains import Choice, Float
from losssearch.losses.labels import each_label, expected
from losssearch.losses.state import Dimensions, State
from losssearch.losses.term import loss_term
from losssearch.losses.traits import Traits

KNOTS = ("6", "12", "24")
"""How many segments a curve that the validation loss moves may have."""


def margin(logits: Tensor, labels: Tensor) -> Tensor:
    """The log-odds of the label, ``z_y - ln Σ_{c≠y} exp z_c`` [...]: above 0 where it is likelier than not."""
    is_label = labels.unsqueeze(-1) == torch.arange(logits.shape[-1], device=logits.device)
    others = torch.logsumexp(logits.masked_fill(is_label, -torch.inf), -1)
    return logits.gather(-1, labels.unsqueeze(-1)).squeeze(-1) - others


def steepness(rises: Tensor) -> Tensor:
    """The slopes of segments of equal width, positive and 1 on average, of any numbers; both [segments]."""
    slopes = F.softplus(rises)
    return slopes / slopes.mean()


def falling_curve(x: Tensor, rises: Tensor) -> Tensor:
    """From 8 at -4 down to 0 at 4 in segments of equal width; 0 above, and below as steep as the first segment."""
    edge, slopes = 4.0, steepness(rises.to(x.dtype))
    width = 2 * edge / slopes.shape[0]
    ends = edge - width * torch.arange(slopes.shape[0] - 1, -1, -1, dtype=x.dtype, device=x.device)
    below = (ends - x.unsqueeze(-1)).clamp_min(0)
    inside = torch.cat((below[..., :1], below[..., 1:].clamp_max(width)), -1)
    return (inside * slopes).sum(-1)


def rising_curve(x: Tensor, rises: Tensor) -> Tensor:
    """From 0 at 0 up to 3 at 3 in segments of equal width, for ``x >= 0``; above as steep as the last segment."""
    edge, slopes = 3.0, steepness(rises.to(x.dtype))
    width = edge / slopes.shape[0]
    starts = width * torch.arange(slopes.shape[0], dtype=x.dtype, device=x.device)
    above = (x.unsqueeze(-1) - starts).clamp_min(0)
    inside = torch.cat((above[..., :-1].clamp_max(width), above[..., -1:]), -1)
    return (inside * slopes).sum(-1)


def _segments(sizes: Dimensions) -> tuple[int, ...]:
    return (int(sizes.choices.get("segments", "12")),)


def _like_cross_entropy(shape: tuple[int, ...], generator: torch.Generator) -> Tensor:
    """The chords of the logistic loss."""
    knots = torch.linspace(-4.0, 4.0, shape[0] + 1, dtype=torch.float64)
    values = F.softplus(-knots)
    return torch.log(torch.expm1((values[:-1] - values[1:]) * shape[0] / 8))


def _like_squared(shape: tuple[int, ...], generator: torch.Generator) -> Tensor:
    """The chords of half the square."""
    middles = (torch.arange(shape[0], dtype=torch.float64) + 0.5) * 3.0 / shape[0]
    return torch.log(torch.expm1(middles))


@loss_term(
    reference="piecewise-linear, after the curves of Li et al. 2019 (AM-LFS); every increment is positive",
    soft_labels=True,
    shift_invariant=True,
    rise_1=Float(-4.0, 4.0, default=0.5),
    rise_2=Float(-4.0, 4.0, default=0.35),
    rise_3=Float(-4.0, 4.0, default=-0.1),
    rise_4=Float(-4.0, 4.0, default=-0.9),
    rise_5=Float(-4.0, 4.0, default=-2.0),
    rise_6=Float(-4.0, 4.0, default=-3.3),
    traits=Traits(argmin="smoothed probabilities", convex=True, bounded=True, oracle="numpy.interp"),
)
def curve(
    logits: Tensor,
    labels: Tensor,
    *,
    rise_1: Tensor,
    rise_2: Tensor,
    rise_3: Tensor,
    rise_4: Tensor,
    rise_5: Tensor,
    rise_6: Tensor,
) -> Tensor:
    """A falling curve of the margin, in six segments whose steepness is searched.

    ``Σ_j s_j`` times the way that the margin ``m`` has left in segment ``j`` of [-4, 4], where ``s`` is the softplus of
    the increments over its mean: 8 at ``m = -4`` and 0 at ``m = 4``, whatever they are. Below -4 the first segment
    continues. Shapes: logits [batch, classes], labels [batch] → [batch]. At its defaults it is close to cross-entropy.
    """
    logits, labels_, rises = *each_label(logits, labels), torch.stack((rise_1, rise_2, rise_3, rise_4, rise_5, rise_6))
    return expected(falling_curve(margin(logits, labels_), rises), labels)


@loss_term(
    reference="piecewise-linear, after Li et al. 2019 (AM-LFS); learned as by Li et al. 2021",
    soft_labels=True,
    shift_invariant=True,
    segments=Choice(*KNOTS, default="12"),
    rises=State(_segments, _like_cross_entropy, "validation", within=(-6.0, 6.0), rate=0.05),
    traits=Traits(oracle="numpy.interp"),
)
def learned_curve(logits: Tensor, labels: Tensor, *, segments: str, rises: Tensor) -> Tensor:
    """A falling curve of the margin, as `curve`, whose segments are learned by the validation loss.

    It starts close to cross-entropy. Shapes: logits [batch, classes], labels [batch] → [batch].
    """
    logits, labels_ = each_label(logits, labels)
    return expected(falling_curve(margin(logits, labels_), rises), labels)


@loss_term(
    reference="piecewise-linear, after Li et al. 2019 (AM-LFS); every increment is positive",
    rise_1=Float(-4.0, 4.0, default=-1.3),
    rise_2=Float(-4.0, 4.0, default=0.1),
    rise_3=Float(-4.0, 4.0, default=0.9),
    rise_4=Float(-4.0, 4.0, default=1.6),
    rise_5=Float(-4.0, 4.0, default=2.1),
    rise_6=Float(-4.0, 4.0, default=2.7),
    traits=Traits(argmin="centre", convex=True, bounded=True, probabilistic=True, oracle="numpy.interp"),
)
def residual_curve(
    prediction: Tensor,
    target: Tensor,
    *,
    rise_1: Tensor,
    rise_2: Tensor,
    rise_3: Tensor,
    rise_4: Tensor,
    rise_5: Tensor,
    rise_6: Tensor,
) -> Tensor:
    """A rising curve of the absolute error, in six segments whose steepness is searched.

    ``Σ_j s_j`` times the way of the error in segment ``j`` of [0, 3] standard deviations, where ``s`` is the softplus
    of the increments over its mean: 0 at no error and 3 at three, whatever they are. Above, the last segment continues.
    Shapes: prediction [batch], target [batch] → [batch]. At its defaults it is close to the squared error below 3.
    """
    rises = torch.stack((rise_1, rise_2, rise_3, rise_4, rise_5, rise_6))
    return rising_curve((prediction - target).abs(), rises)


@loss_term(
    reference="piecewise-linear, after Li et al. 2019 (AM-LFS); learned as by Li et al. 2021",
    segments=Choice(*KNOTS, default="12"),
    rises=State(_segments, _like_squared, "validation", within=(-6.0, 6.0), rate=0.05),
    traits=Traits(oracle="numpy.interp"),
)
def learned_residual_curve(prediction: Tensor, target: Tensor, *, segments: str, rises: Tensor) -> Tensor:
    """A rising curve of the absolute error, as `residual_curve`, whose segments are learned by the validation loss.

    It starts close to the squared error. Shapes: prediction [batch], target [batch] → [batch].
    """
    return rising_curve((prediction - target).abs(), rises)
