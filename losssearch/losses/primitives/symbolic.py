"""Losses that a search writes: a formula of what a model says of a sample and of what it should say."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import torch
from torch import Tensor
from torch.func import vmap

from losssearch.losses.domains import Tree
from losssearch.losses.term import loss_term
from losssearch.losses.traits import Traits
from losssearch.losses.trees.operators import evaluated, source_lines
from losssearch.losses.trees.program import Program
from losssearch.losses.trees.tree import read


def tree_leaves(scores: Tensor, goal: Tensor) -> tuple[Tensor, Tensor]:
    """What a tree calls output and target, both [batch]; scores and goal are [batch, columns].

    One column: the prediction and the target. Two classes: the logit of class 1 and the label as -1 or 1. More: the
    probability of the label and 1.
    """
    if scores.shape[-1] == 1:
        return scores[:, 0], goal[:, 0]
    if scores.shape[-1] == 2:
        return scores[:, 1] - scores[:, 0], 2 * goal[:, 1] - 1
    return (torch.softmax(scores, -1) * goal).sum(-1), goal.sum(-1)


def _together(choices: Sequence[Mapping[str, str]]) -> Callable[..., Tensor]:
    """The trees of many members at once."""
    program = Program([read(own["tree"]) for own in choices], rows=range(len(choices)))

    def values(scores: Tensor, goal: Tensor) -> Tensor:
        return program(*vmap(tree_leaves)(scores, goal))

    return values


def _written(choices: Mapping[str, str], result: str) -> tuple[list[str], list[Callable[..., object]]]:
    """The tree as plain lines of torch."""
    lines = source_lines(read(choices["tree"]), "x", "y", result)
    return ["x, y = tree_leaves(scores, goal)", *lines], [tree_leaves]


@loss_term(
    reference="Koza 1992; losses: Raymond et al. 2023 (EvoMAL)",
    nonnegative=False,
    together=_together,
    written=_written,
    tree=Tree(default="square(sub(output, target))"),
    traits=Traits(oracle="NumPy"),
)
def symbolic(scores: Tensor, goal: Tensor, *, tree: str) -> Tensor:
    """A formula that the search writes itself, such as ``log(add(1, square(sub(output, target))))``.

    ``output`` is the prediction and ``target`` the standardised target; of two classes, the logit of class 1 and the
    label as -1 or 1; of more classes, the probability of the label and 1. Operators: ``add``, ``sub``, ``mul``, ``div``
    (``a / sqrt(1 + b²)``), ``square``, ``abs``, ``root`` (``sqrt(|a| + 1e-6)``), ``log`` (``ln(|a| + 1e-7)``),
    ``tanh``, ``exp`` (of an exponent within ±30), ``min`` and ``max``; a tree has at most 31 nodes. What a formula asks
    of a model is up to it; a search screens it before any training. Shapes: scores and goal [batch, columns] → [batch].
    ``square(sub(output, target))`` is the squared error.

    Example:
        >>> import torch
        >>> import losssearch as ls
        >>> loss = ls.terms["symbolic"].module(tree="log(add(1, square(sub(output, target))))")
        >>> loss(torch.tensor([[1.0]]), torch.tensor([[3.0]]))
        tensor(1.6094)
    """
    return evaluated(read(tree), *tree_leaves(scores, goal))
