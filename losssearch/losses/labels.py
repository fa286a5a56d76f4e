"""Labels as terms read them: class ids [batch], or probabilities [batch, classes].

The loss of a sample with probabilities is its expectation over labels drawn from them, ``Σ_c t_c ℓ(z, c)``, as in
PyTorch's cross-entropy. A sum over samples counts the sample in each class with its probability there.
"""

from __future__ import annotations

import torch
from torch import Tensor


def of_label(values: Tensor, labels: Tensor) -> Tensor:
    """Select each sample's entry [batch] of ``values`` [batch, classes] by its label; all of them for probabilities."""
    if labels.is_floating_point():
        return values
    return values.gather(-1, labels.unsqueeze(-1)).squeeze(-1)


def expected(losses: Tensor, labels: Tensor) -> Tensor:
    """The expectation over the labels of what was computed from `of_label`, [batch]."""
    return (labels * losses).sum(-1) if labels.is_floating_point() else losses


def each_label(logits: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
    """Logits and ids as they are; for probabilities, each class in turn: [batch, classes, classes], [batch, classes].

    For terms whose value under one label is more than a function of the entry of that label.
    """
    if not labels.is_floating_point():
        return logits, labels
    classes = torch.arange(logits.shape[-1], device=logits.device)
    return logits.unsqueeze(-2).expand(*logits.shape, logits.shape[-1]), classes.expand(labels.shape)


def positive_share(labels: Tensor, like: Tensor) -> Tensor:
    """1 or 0, or the probability of class 1, [batch], in the type of ``like``."""
    return (labels[..., 1] if labels.is_floating_point() else labels).to(like.dtype)


def class_shares(labels: Tensor, like: Tensor) -> Tensor:
    """One-hot labels, or their probabilities, [batch, classes] in the type and with the classes of ``like``."""
    if labels.is_floating_point():
        return labels.to(like.dtype)
    return (labels.unsqueeze(-1) == torch.arange(like.shape[-1], device=like.device)).to(like.dtype)
