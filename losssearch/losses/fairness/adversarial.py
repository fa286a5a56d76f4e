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
from losssearch.losses.traits import Traits

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


def seen(predicted: Tensor, goal: Tensor, sees: str) -> Tensor:
    """What an adversary sees ``[batch, rows]`` of what is predicted, and of what was to be."""
    scores = seen_scores(2 * predicted - 1 if predicted.shape[-1] > 1 else predicted.tanh())
    if sees == "output":
        return scores
    of_goal = goal if goal.shape[-1] > 1 else torch.cat((torch.ones_like(goal), goal.tanh()), -1)
    return (of_goal[:, :, None] * scores[:, None]).flatten(1)


def _rows(sizes: Dimensions) -> tuple[int, int]:
    # a number counts as two classes: a constant and the number
    blocks = sizes.classes if sizes.choices["sees"] == "output_and_label" else 1
    return (1 + 2 * (sizes.columns or sizes.classes)) * blocks, sizes.groups


def next_adversarial(
    predicted: Tensor,
    goal: Tensor,
    group: Tensor,
    sample_weight: Tensor | None,
    *,
    memory: Tensor,
    sees: str,
    rate: Tensor,
) -> Tensor:
    """The memory of `adversarial` after a batch."""
    return next_adversary(seen(predicted, goal, sees), group, memory, sample_weight, rate)


@loss_term(
    reference="Zhang et al. 2018, Mitigating unwanted biases with adversarial learning; Ganin et al. 2016, eq. 9",
    per_sample=False,
    nonnegative=False,
    scaled=False,
    for_numbers="adversarial_regression",
    fixed_for_numbers={"sees": "output"},
    memory=State(_rows, moved_by="update", update=next_adversarial, restarts=True),
    sees=Choice("output", "output_and_label", default="output"),
    rate=_RATE,
    traits=Traits(oracle="Zhang et al. 2018, its gradient steps written out"),
)
def adversarial(
    predicted: Tensor,
    goal: Tensor,
    group: Tensor,
    sample_weight: Tensor | None,
    *,
    memory: Tensor,
    sees: str,
    rate: Tensor,
) -> Tensor:
    """What an adversary can infer about the group from the model's output.

    Entropy of the groups minus the adversary's cross-entropy. The adversary is a softmax regression on probabilities,
    or the hyperbolic tangent of the prediction, and their squares, which takes one step of ``rate`` per batch. If it
    sees only the output, the term leads to equal positive rates; if it also sees the label, or the target, to equalised
    odds. Shapes: predicted [batch, columns], goal [batch, columns], group [batch, groups] → scalar. Limits: at most 0
    where output and group are independent.
    """
    return advantage(seen(predicted, goal, sees), group, memory, sample_weight)
