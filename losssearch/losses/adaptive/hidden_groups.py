"""Terms for groups that nobody knows: rows that a first model gets wrong, or finds hard, count more for a second.

Both models are the same one, which starts anew at the share ``at`` of the training; what the first has made of each
training row is kept. A search starts it anew by itself. A loop of your own does it when ``loss.restart_at`` says so.

Example:
    >>> import torch
    >>> import losssearch as ls
    >>> loss = ls.compose({"parts": [{"term": "identify", "at": 0.5, "factor": 4.0}]}, rows=2)
    >>> logits, labels, index = torch.tensor([[2.0, 0.0], [0.0, 1.0]]), torch.tensor([0, 0]), torch.tensor([0, 1])
    >>> loss(logits, labels, index=index, progress=0.0)  # the second row is wrong
    tensor(0.7201)
    >>> loss.restart_at
    (0.5,)
    >>> loss(logits, labels, index=index, progress=0.5)  # by a new model, in practice
    tensor(2.6900)
"""

from __future__ import annotations

import torch
from torch import Tensor

from losssearch.losses.domains import Float
from losssearch.losses.labels import class_shares, expected, of_label
from losssearch.losses.softmax import log_softmax
from losssearch.losses.state import State
from losssearch.losses.term import loss_term
from losssearch.losses.traits import Traits

_AT = Float(0.05, 0.7, default=0.3)
"""When the model starts anew: late enough to have seen every row, early enough for the second to learn."""


def next_identify(
    logits: Tensor, labels: Tensor, progress: Tensor, *, wrong: Tensor, at: Tensor, factor: Tensor
) -> Tensor:
    """How far each row of a batch is wrong, 0 or 1 for class ids; once ``progress`` has reached ``at``, as it was."""
    decided = logits.argmax(-1, keepdim=True)
    missed = 1 - class_shares(labels, logits).gather(-1, decided).squeeze(-1)
    return torch.where(progress >= at, wrong, missed)


@loss_term(
    reference="Liu et al. 2021, Just train twice, algorithm 1",
    soft_labels=True,
    shift_invariant=True,
    wrong=State((), 0.0, "row update", next_identify),
    at=_AT,
    factor=Float(1.0, 100.0, default=20.0, log=True),
    restart_at="at",
    traits=Traits(oracle="Liu et al. 2021, algorithm 1, in loops over rows"),
)
def identify(logits: Tensor, labels: Tensor, progress: Tensor, *, wrong: Tensor, at: Tensor, factor: Tensor) -> Tensor:
    """Cross-entropy, in which rows that a first model got wrong count several times for a second one.

    ``-log p_y`` until ``progress`` reaches ``at``; then the model starts anew, and a row counts ``factor`` times if the
    first model was wrong when it last saw it. Shapes: logits [batch, classes], labels [batch], progress scalar →
    [batch]. Limits: factor = 1 is cross-entropy.
    """
    losses = -expected(of_label(log_softmax(logits), labels), labels)
    return torch.where(progress >= at, 1 + (factor - 1) * wrong, 1.0) * losses


def next_biased_twin(
    logits: Tensor, labels: Tensor, progress: Tensor, *, biased: Tensor, q: Tensor, at: Tensor
) -> Tensor:
    """The cross-entropy of each row of a batch; once ``progress`` has reached ``at``, as it was."""
    losses = -expected(of_label(log_softmax(logits), labels), labels)
    return torch.where(progress >= at, biased, losses.detach())


@loss_term(
    reference="Nam et al. 2020, Learning from failure, eq. 3, with the biased model trained first",
    soft_labels=True,
    shift_invariant=True,
    biased=State((), -1.0, "row update", next_biased_twin),
    q=Float(0.1, 1.0, default=0.7),
    at=_AT,
    restart_at="at",
    traits=Traits(oracle="Nam et al. 2020, eq. 1 and 3, in loops over rows"),
)
def biased_twin(logits: Tensor, labels: Tensor, progress: Tensor, *, biased: Tensor, q: Tensor, at: Tensor) -> Tensor:
    """Cross-entropy by relative difficulty: rows count that a biased model finds hard and this one does not.

    ``(1 - p_y^q) / q`` until ``progress`` reaches ``at``, which the easy rows govern; then the model starts anew, and
    its loss is ``w ℓ`` with ``ℓ = -log p_y`` and ``w = ℓ_b / (ℓ_b + ℓ)``, nothing differentiated through w, where ℓ_b
    is what the first model lost on the row when it last saw it; w is 1/2 for a row that it did not see. Shapes: logits
    [batch, classes], labels [batch], progress scalar → [batch]. Limits: before ``at`` it is
    `generalised_cross_entropy`.
    """
    log_p = of_label(log_softmax(logits), labels)
    losses = -expected(log_p, labels)
    total = biased + losses.detach()
    known = (biased >= 0) & (total > 0)
    weight = torch.where(known, biased / torch.where(known, total, 1.0), 0.5)
    return torch.where(progress >= at, weight * losses, expected(-torch.expm1(q * log_p) / q, labels))
