"""Rows that count less, or not at all, because their loss says that their label is wrong.

Example:
    Once ``over`` of the training is done, the share of the batch with the largest losses is left out.

    >>> import torch
    >>> import losssearch as ls
    >>> loss = ls.compose({"parts": [{"term": "small_loss", "share": 0.5}]}, rows=2)
    >>> logits, labels, index = torch.tensor([[2.0, 0.0], [0.0, 1.0]]), torch.tensor([0, 0]), torch.tensor([0, 1])
    >>> loss(logits, labels, index=index, progress=0.0), loss(logits, labels, index=index, progress=1.0)
    (tensor(0.7201), tensor(0.1269))
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from losssearch.losses.domains import Float
from losssearch.losses.labels import of_label
from losssearch.losses.softmax import log_softmax
from losssearch.losses.state import State
from losssearch.losses.term import loss_term
from losssearch.losses.traits import Traits

_WINDOW = 0.9
"""The share of the running mean of `super_loss` that stays, as in the authors' code."""

_STEPS = 6
"""Halley steps: within 1e-9 of Lambert's W from any start here."""


def next_small_loss(
    plain_loss: Tensor,
    progress: Tensor,
    sample_weight: Tensor | None,
    *,
    past: Tensor,
    share: Tensor,
    over: Tensor,
    smoothing: Tensor,
) -> Tensor:
    """The running losses of `small_loss`, and the share of them that is not the start, after a batch."""
    return smoothing * past + (1 - smoothing) * torch.stack((plain_loss, torch.ones_like(plain_loss)), -1).detach()


def running_loss(past: Tensor, shares: Tensor) -> Tensor:
    """The mean losses over epochs of `small_loss`; not a number for a row that was never seen."""
    return past[..., 0] / past[..., 1]


@loss_term(
    reference="Han et al. 2018, Co-teaching, section 2: small-loss selection, of one network",
    per_sample=False,
    soft_labels=True,
    past=State((2,), moved_by="row update", update=next_small_loss, tells={"loss": running_loss}),
    share=Float(0.0, 0.8, default=0.2),
    over=Float(0.01, 1.0, default=0.3),
    smoothing=Float(0.0, 0.95, default=0.0),
    traits=Traits(problems=("label-noise",), oracle="Han et al. 2018 in NumPy"),
)
def small_loss(
    plain_loss: Tensor,
    progress: Tensor,
    sample_weight: Tensor | None,
    *,
    past: Tensor,
    share: Tensor,
    over: Tensor,
    smoothing: Tensor,
) -> Tensor:
    """The mean over the samples with the smallest losses: the others are taken for wrongly labelled.

    Of a batch, ``1 - share · min(progress / over, 1)`` is kept, by the loss of each row or, with ``smoothing``, by its
    mean over epochs; the last sample counts in part. Cross-entropy, or squared error. Shapes: plain_loss [batch],
    progress scalar → scalar. Limits: share = 0 is the mean of all.
    """
    now = next_small_loss(plain_loss, progress, sample_weight, past=past, share=share, over=over, smoothing=smoothing)
    order = (now[:, 0] / now[:, 1]).argsort(stable=True)
    weight = torch.ones_like(plain_loss) if sample_weight is None else sample_weight.to(plain_loss.dtype)
    weight = weight.gather(0, order)
    kept = (1 - share * (progress / over).clamp_max(1)).to(plain_loss.dtype)
    before = weight.cumsum(0) - weight
    counted = torch.minimum((kept * weight.sum() - before).clamp_min(0), weight)
    total = counted.sum()
    return (counted * plain_loss.gather(0, order)).sum() / torch.where(total > 0, total, 1.0)


def lambert_w(y: Tensor) -> Tensor:
    """Lambert's W on its principal branch, of y ≥ -1/e: the w with ``w e^w = y``, by Halley's method.

    It starts from the series at the branch point or, above 0, from ``log(1 + y)``.
    """
    root = (2 * (math.e * y + 1)).clamp_min(0).sqrt()
    w = torch.where(y < 0, -1 + root - root.square() / 3 + 11 / 72 * root**3, torch.log1p(y.clamp_min(0)))
    near = root < 0.01  # where the series is exact enough, and a step would divide by almost nothing
    for _ in range(_STEPS):
        grown = w.exp()
        error = w * grown - y
        slope = grown * (w + 1) - (w + 2) * error / (2 * w + 2).clamp_min(1e-6)
        w = torch.where(near, w, w - error / slope.clamp_min(1e-6))
    return w.clamp_min(-1)


def confidence(excess: Tensor, strength: Tensor) -> Tensor:
    """The weight σ of each sample by how far its loss is above the threshold; e at the most."""
    return torch.exp(-lambert_w(0.5 * (excess / strength).clamp_min(-2 / math.e)))


def _shifted(logits: Tensor, labels: Tensor, sample_weight: Tensor | None, shift: Tensor) -> tuple[Tensor, Tensor]:
    """Cross-entropy [batch], and the threshold after this batch, less log C."""
    losses = -of_label(log_softmax(logits), labels)
    apart = (losses - math.log(logits.shape[-1])).detach()
    if sample_weight is None:
        mean = apart.mean()
    else:
        weight = sample_weight.to(apart.dtype)
        total = weight.sum()
        mean = torch.where(total > 0, (weight * apart).sum() / torch.where(total > 0, total, 1.0), shift)
    return losses, _WINDOW * shift + (1 - _WINDOW) * mean


def next_super_loss(
    logits: Tensor, labels: Tensor, sample_weight: Tensor | None, *, shift: Tensor, strength: Tensor
) -> Tensor:
    """The threshold of `super_loss`, less log C, after a batch."""
    return _shifted(logits, labels, sample_weight, shift)[1]


@loss_term(
    reference="Castells et al. 2020, SuperLoss, eq. 1 to 3",
    per_sample=True,
    nonnegative=False,
    shift_invariant=True,
    shift=State((), 0.0, "update", next_super_loss, restarts=True),
    strength=Float(0.05, 10.0, default=1.0, log=True),
    traits=Traits(problems=("label-noise",), oracle="Castells et al. 2020 with scipy.special.lambertw"),
)
def super_loss(
    logits: Tensor, labels: Tensor, sample_weight: Tensor | None, *, shift: Tensor, strength: Tensor
) -> Tensor:
    """Cross-entropy whose samples weigh less the further they are above the running mean, and more below it.

    ``(ℓ - τ) σ + λ (log σ)²`` with ``σ = exp(-W(max(-2/e, (ℓ - τ) / λ) / 2))``, W Lambert's, τ the running mean of ℓ
    from log C, and λ the ``strength``; the gradient is ``σ ∇ℓ``. Shapes: logits [batch, classes], labels [batch] →
    [batch]; may be negative. Limits: λ → ∞ is ``ℓ - τ``.
    """
    losses, after = _shifted(logits, labels, sample_weight, shift)
    threshold = math.log(logits.shape[-1]) + after
    weight = confidence((losses - threshold).detach(), strength).detach()
    return (losses - threshold) * weight + strength * weight.log().square()
