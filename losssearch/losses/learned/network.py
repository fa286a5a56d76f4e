"""Losses that are a small network: of a sample's output, its target and the progress of the training.

Two layers of 40 smooth units and a softplus at the end: 1,841 numbers, and a value that is never negative. Either these
numbers are frozen, an array of the library that was meta-learned beforehand (`losssearch.training.meta_learning`), or
they start as such an array and the validation loss moves them while a model trains. Nothing makes such a loss least at
its target: what it asks of a model is what it was taught, and a search screens it as any other.

Example:
    The array that comes with losssearch, on samples that are right by far, undecided, and wrong by far:

    >>> import torch
    >>> import losssearch as ls
    >>> loss = ls.compose({"parts": [{"term": "network"}]}, reduction="none")
    >>> values = loss(torch.tensor([4.0, 0.0, -4.0]), torch.tensor([1, 1, 1]))
    >>> bool(values[0] < values[1] < values[2])
    True
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from losssearch.losses.domains import Array
from losssearch.losses.labels import each_label, expected
from losssearch.losses.learned.curve import margin
from losssearch.losses.state import State, Stored
from losssearch.losses.term import loss_term
from losssearch.losses.traits import Traits

SIZE = 3 * 40 + 40 + 40 * 40 + 40 + 40 + 1
"""How many numbers a network has."""

OF_CLASSES = "7a75f1e4d6e4fbe30125e6a92af134c8f34460ad9b487a62193df946d1990d69"
OF_NUMBERS = "29403369d6a0990295a42857a579c1109540d05a8fcfe16a465cf90fb2fda8bf"
"""The arrays for classes and for numbers that come with losssearch (``python -m benchmarks.meta_learning``)."""


def smooth_leaky(x: Tensor) -> Tensor:
    """``φ(x) = 0.99 · ln(1 + exp 10x) / 10 + 0.01 x``: a leaky rectifier with derivatives of every order."""
    return 0.99 * F.softplus(x, beta=10.0) + 0.01 * x


def network_loss(output: Tensor, target: Tensor, progress: Tensor, parameters: Tensor) -> Tensor:
    """The value of a network for each sample; ``parameters`` [1841] are weights and biases of its layers in turn."""
    inputs = torch.stack((output, target, progress.to(output.dtype).expand_as(output)), -1)
    first, bias_1, second, bias_2, last, bias_3 = parameters.to(output.dtype).split((120, 40, 1600, 40, 40, 1))
    hidden = smooth_leaky(inputs @ first.view(3, 40) + bias_1)
    hidden = smooth_leaky(hidden @ second.view(40, 40) + bias_2)
    return F.softplus((hidden @ last.view(40, 1) + bias_3).squeeze(-1))


def network_leaves(logits: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
    """What a network of classes reads of ids [...]: the log-odds of the label, and 1, or -1 for class 0 of two."""
    odds = margin(logits, labels)
    if logits.shape[-1] > 2:
        return odds, torch.ones_like(odds)
    return odds, 2 * labels.to(odds.dtype) - 1


@loss_term(
    reference="Bechtle et al. 2021 (ML3), learned beforehand; the units of Raymond et al. 2023 (AdaLFL)",
    soft_labels=True,
    shift_invariant=True,
    traits=Traits(oracle="two layers in NumPy"),
    array=Array(SIZE, default=OF_CLASSES),
    parameters=State((SIZE,), Stored("array"), "frozen"),
)
def network(logits: Tensor, labels: Tensor, progress: Tensor, *, array: str, parameters: Tensor) -> Tensor:
    """A network of the log-odds of the label, learned beforehand on other data and frozen.

    ``array`` is the SHA-256 of its numbers: by default the array that comes with losssearch, else one that
    `ls.add_array` has read. The network reads the log-odds, 1 (or -1 for class 0 of two) and the progress.
    Shapes: logits [batch, classes], labels [batch] → [batch].
    """
    return expected(_of_classes(logits, labels, progress, parameters), labels)


@loss_term(
    reference="Raymond et al. 2023 (AdaLFL); it begins as ML3 of Bechtle et al. 2021 leaves it",
    soft_labels=True,
    shift_invariant=True,
    traits=Traits(oracle="two layers in NumPy"),
    parameters=State((SIZE,), Stored(OF_CLASSES), "validation", within=(-4.0, 4.0), rate=0.002),
)
def learned_network(logits: Tensor, labels: Tensor, progress: Tensor, *, parameters: Tensor) -> Tensor:
    """A network of the log-odds of the label, as `network`, that the validation loss teaches further.

    Shapes: logits [batch, classes], labels [batch] → [batch].
    """
    return expected(_of_classes(logits, labels, progress, parameters), labels)


def _of_classes(logits: Tensor, labels: Tensor, progress: Tensor, parameters: Tensor) -> Tensor:
    output, target = network_leaves(*each_label(logits, labels))
    return network_loss(output, target, progress, parameters)


@loss_term(
    reference="Bechtle et al. 2021 (ML3), learned beforehand; the units of Raymond et al. 2023 (AdaLFL)",
    traits=Traits(oracle="two layers in NumPy"),
    array=Array(SIZE, default=OF_NUMBERS),
    parameters=State((SIZE,), Stored("array"), "frozen"),
)
def residual_network(prediction: Tensor, target: Tensor, progress: Tensor, *, array: str, parameters: Tensor) -> Tensor:
    """A network of prediction and target, learned beforehand on other data and frozen.

    ``array`` is the SHA-256 of its numbers, as for `network`. Targets are standardised. Shapes: prediction [batch],
    target [batch] → [batch].
    """
    return network_loss(prediction, target, progress, parameters)


@loss_term(
    reference="Raymond et al. 2023 (AdaLFL); it begins as ML3 of Bechtle et al. 2021 leaves it",
    traits=Traits(oracle="two layers in NumPy"),
    parameters=State((SIZE,), Stored(OF_NUMBERS), "validation", within=(-4.0, 4.0), rate=0.002),
)
def learned_residual_network(prediction: Tensor, target: Tensor, progress: Tensor, *, parameters: Tensor) -> Tensor:
    """A network of prediction and target, as `residual_network`, that the validation loss teaches further.

    Shapes: prediction [batch], target [batch] → [batch].
    """
    return network_loss(prediction, target, progress, parameters)
