"""An adversary that guesses the group from the model's output, and is trained together with it by its own steps.

Its weights are the term's memory, one row for each input and one column for each group. The model receives the reversed
gradient: it descends what the adversary climbs.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from losssearch.losses.domains import Choice, Float
from losssearch.losses.state import Dimensions, State
from losssearch.losses.term import loss_term

_RATE = Float(0.001, 5.0, default=0.5, log=True)


def advantage(seen: Tensor, group: Tensor, weights: Tensor, sample_weight: Tensor | None) -> Tensor:
    """Entropy of the groups in the batch less the adversary's cross-entropy, a scalar: what its guesses have learned.

    ``seen`` ``[batch, rows]``, ``weights`` ``[rows, groups]``.
    """
    share = group / group.sum(-1, keepdim=True).clamp_min(1e-6)
    counts = None if sample_weight is None else sample_weight / sample_weight.sum().clamp_min(1e-6)
    prior = share.mean(0) if counts is None else counts @ share
    entropy = -torch.where(prior > 0, prior * torch.where(prior > 0, prior, 1.0).log(), 0.0).sum()
    guessed = (share * F.log_softmax(seen @ weights, -1)).sum(-1)
    return entropy + (guessed.mean() if counts is None else counts @ guessed)


def next_adversary(seen: Tensor, group: Tensor, weights: Tensor, sample_weight: Tensor | None, rate: Tensor) -> Tensor:
    """The weights after one step down its cross-entropy."""
    share = group / group.sum(-1, keepdim=True).clamp_min(1e-6)
    wrong = torch.softmax(seen @ weights, -1) - share
    if sample_weight is None:
        slope = seen.T @ wrong / seen.shape[0]
    else:
        slope = seen.T @ (sample_weight[:, None] * wrong) / sample_weight.sum().clamp_min(1e-6)
    return (weights - rate * slope).detach()


def seen_scores(scores: Tensor) -> Tensor:
    """A constant, the scores and their squares ``[batch, 1 + 2 columns]``, about 0 and of size one."""
    return torch.cat((torch.ones_like(scores[:, :1]), scores, scores.square()), -1)


def seen_classes(logits: Tensor, labels: Tensor, sees: str) -> Tensor:
    """What an adversary of a classifier sees ``[batch, rows]``."""
    scores = seen_scores(2 * torch.softmax(logits, -1) - 1)
    if sees == "output":
        return scores
    classes = torch.arange(logits.shape[-1], device=logits.device)
    of_label = (labels.unsqueeze(-1) == classes).to(logits.dtype)
    return (of_label[:, :, None] * scores[:, None]).flatten(1)


def _class_rows(sizes: Dimensions) -> tuple[int, int]:
    return (1 + 2 * sizes.classes) * (sizes.classes if sizes.choices["sees"] == "output_and_label" else 1), sizes.groups


def _prediction_rows(sizes: Dimensions) -> tuple[int, int]:
    return 3, sizes.groups


def next_adversarial(
    logits: Tensor,
    labels: Tensor,
    group: Tensor,
    sample_weight: Tensor | None,
    *,
    memory: Tensor,
    sees: str,
    rate: Tensor,
) -> Tensor:
    """The memory of `adversarial` after a batch."""
    return next_adversary(seen_classes(logits, labels, sees), group, memory, sample_weight, rate)


@loss_term(
    reference="Zhang et al. 2018, Mitigating unwanted biases with adversarial learning; Ganin et al. 2016, eq. 9",
    shift_invariant=True,
    per_sample=False,
    nonnegative=False,
    scaled=False,
    memory=State(_class_rows, moved_by="update", update=next_adversarial),
    sees=Choice("output", "output_and_label", default="output"),
    rate=_RATE,
)
def adversarial(
    logits: Tensor,
    labels: Tensor,
    group: Tensor,
    sample_weight: Tensor | None,
    *,
    memory: Tensor,
    sees: str,
    rate: Tensor,
) -> Tensor:
    """What an adversary can infer about the group from the model's output.

    Entropy of the groups minus the adversary's cross-entropy. The adversary is a softmax regression on probabilities
    and their squares, which takes one step of ``rate`` per batch. If it sees only the output, the term leads to equal
    positive rates; if it also sees the label, to equalised odds. Shapes: logits [batch, classes], labels [batch], group
    [batch, groups] → scalar. Limits: at most 0 where output and group are independent.
    """
    return advantage(seen_classes(logits, labels, sees), group, memory, sample_weight)


def next_adversarial_regression(
    prediction: Tensor, group: Tensor, sample_weight: Tensor | None, *, memory: Tensor, rate: Tensor
) -> Tensor:
    """The memory of `adversarial_regression` after a batch."""
    return next_adversary(seen_scores(prediction.tanh()[:, None]), group, memory, sample_weight, rate)


@loss_term(
    reference="Zhang et al. 2018, Mitigating unwanted biases with adversarial learning; Ganin et al. 2016, eq. 9",
    per_sample=False,
    nonnegative=False,
    scaled=False,
    memory=State(_prediction_rows, moved_by="update", update=next_adversarial_regression),
    rate=_RATE,
)
def adversarial_regression(
    prediction: Tensor, group: Tensor, sample_weight: Tensor | None, *, memory: Tensor, rate: Tensor
) -> Tensor:
    """What an adversary can tell of the group from the prediction.

    As `adversarial`; it sees the hyperbolic tangent of the prediction and its square. Shapes: prediction [batch],
    group [batch, groups] → scalar.
    """
    return advantage(seen_scores(prediction.tanh()[:, None]), group, memory, sample_weight)
