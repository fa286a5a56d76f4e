"""Terms on the group that a model serves worst."""

from __future__ import annotations

import torch
from torch import Tensor

from losssearch.losses.domains import Float
from losssearch.losses.fairness.window import group_rates, next_window, window_rows, window_sums
from losssearch.losses.state import Dimensions, State
from losssearch.losses.term import loss_term
from losssearch.losses.traits import Traits

_STEP = Float(1e-4, 1.0, default=0.01, log=True)
_LIMIT = Float(0.0, 10.0, default=0.3)
_DECAY = Float(0.0, 0.999, default=0.9)


def group_means(losses: Tensor, group: Tensor) -> tuple[Tensor, Tensor]:
    """Mean loss ``[groups]`` of the samples of each group, 0 for an empty one, and which groups have samples."""
    size = group.sum(0)
    present = size > 0
    return torch.where(present, losses @ group / torch.where(present, size, 1.0), 0.0), present


def adversarial_mixture(losses: Tensor, group: Tensor, memory: Tensor) -> Tensor:
    """Group losses under the weights that the batches so far have led to; a scalar."""
    means, _ = group_means(losses, group)
    return (torch.softmax(memory[0], -1) * means).sum()


def next_mixture(losses: Tensor, group: Tensor, memory: Tensor, step: Tensor) -> Tensor:
    """The logarithm of the weights ``[1, groups]``, normalised, after a step of exponentiated gradient ascent."""
    means, _ = group_means(losses, group)
    return torch.log_softmax(memory + step * means, -1).detach()


def worst_beyond(losses: Tensor, group: Tensor, memory: Tensor, decay: Tensor, limit: Tensor) -> Tensor:
    """Largest mean loss of a group in the window, beyond ``limit``; a scalar."""
    numerator, denominator, _ = window_sums(_forms(losses), group, memory, decay)
    rates, _, _ = group_rates(numerator, denominator, torch.zeros_like(limit))
    return torch.relu(rates.amax() - limit.to(rates.dtype))


def _forms(losses: Tensor) -> tuple[Tensor, Tensor]:
    return losses[None], torch.ones_like(losses)[None]


def _one_row(sizes: Dimensions) -> tuple[int, int]:
    return 1, sizes.groups


def _window_of_losses(sizes: Dimensions) -> tuple[int, int]:
    return window_rows(1), sizes.groups


def next_group_dro(plain_loss: Tensor, group: Tensor, *, memory: Tensor, step: Tensor) -> Tensor:
    """The memory of `group_dro` after a batch."""
    return next_mixture(plain_loss, group, memory, step)


@loss_term(
    reference="Sagawa et al. 2020, algorithm 1",
    soft_labels=True,
    per_sample=False,
    for_numbers="group_dro_regression",
    memory=State(_one_row, moved_by="update", update=next_group_dro, restarts=True),
    weighs_group=True,
    step=_STEP,
    traits=Traits(oracle="Sagawa et al. 2020 in NumPy"),
)
def group_dro(plain_loss: Tensor, group: Tensor, *, memory: Tensor, step: Tensor) -> Tensor:
    """Cross-entropy, or squared error, of the groups under weights that grow where it is large.

    ``Σ_g q_g L_g``, and every batch multiplies ``q_g`` by ``exp(step · L_g)``. Shapes: plain_loss [batch], group
    [batch, groups] → scalar. Limits: step → 0 is the mean over groups of their loss.
    """
    return adversarial_mixture(plain_loss, group, memory)


def next_bounded_group_loss(
    plain_loss: Tensor, group: Tensor, *, memory: Tensor, limit: Tensor, decay: Tensor
) -> Tensor:
    """The memory of `bounded_group_loss` after a batch."""
    return next_window(_forms(plain_loss), group, memory, decay)


@loss_term(
    reference="Agarwal et al. 2019, definition 2",
    soft_labels=True,
    per_sample=False,
    scaled=False,
    for_numbers="bounded_group_loss_regression",
    memory=State(_window_of_losses, moved_by="update", update=next_bounded_group_loss, restarts=True),
    weighs_group=True,
    limit=_LIMIT,
    decay=_DECAY,
    traits=Traits(oracle="fairlearn.reductions.BoundedGroupLoss, its constraint, in NumPy"),
)
def bounded_group_loss(plain_loss: Tensor, group: Tensor, *, memory: Tensor, limit: Tensor, decay: Tensor) -> Tensor:
    """Cross-entropy, or squared error, of the worst group, beyond a limit.

    ``max(max_g L_g - limit, 0)`` over an exponential window of mini-batches. Shapes: plain_loss [batch], group
    [batch, groups] → scalar. Limits: 0 while every group satisfies the limit.
    """
    return worst_beyond(plain_loss, group, memory, decay, limit)
