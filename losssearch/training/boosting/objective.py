"""The objective of boosted trees: the gradient of a loss with respect to every score, and the diagonal of its Hessian.

A tree's leaf takes the step ``-sum(gradient) / sum(hessian)``, so the Hessian must be above zero and must not be
far too small. It is taken part by part:

- ``convex``, a loss of single samples that curves upwards: its second derivative, by a second pass of autograd.
- ``bent``, a loss of single samples that is concave or flat somewhere: ``max(|second derivative|, |gradient|)``.
- ``batch``, one value for all rows, and ``pairs``, one value over pairs of rows: ``|gradient|``.

The size of the gradient bounds the curvature of whatever sees a score through a sigmoid, since ``|s''| <= s'``; it
limits the step of a leaf to one unit of score. Parts over pairs are computed in blocks of rows, drawn anew each round.

This module imports only numpy and torch, because an exported objective contains its text.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

BLOCK = 64
"""Rows in a block of a part over pairs."""

FLOOR = 1e-6
"""The least Hessian, as a share of its mean over all rows."""

SCALAR_RATE = 0.05
"""Rate at which scalars that a loss learns are moved, by Adam, once per round."""


@dataclass(frozen=True)
class Piece:
    """One part of a loss: a module called with scores and targets that gives a scalar, and how it curves.

    ``kind`` is ``convex``, ``bent``, ``batch`` or ``pairs``; ``reads``: what the module takes by keyword, ``progress``
    fields of the batch, and ``index``, the numbers of its rows.
    """

    loss: nn.Module
    kind: str
    reads: frozenset[str] = frozenset()


class Objective:
    """Gradient and Hessian of the sum over rows of a loss, round after round.

    ``batch`` holds the rows: ``target`` ``[rows]``, and the fields ``[rows, ...]`` that pieces read. A ``weight``
    ``[rows]``, with the mean 1, is how often each row counts; gradient and Hessian of a row are then those of that many
    equal rows. ``classes`` is 0 for regression. Scores are ``[rows]``, or
    ``[rows, classes]`` for more than two classes. Both results are divided by one number such that the mean Hessian
    at the initial score is that of cross-entropy, or 1 for regression: the regularisation of the trees then means
    the same for every loss. An objective counts its rounds, so each training needs its own.
    """

    def __init__(
        self,
        pieces: Sequence[Piece],
        batch: Mapping[str, Tensor],
        *,
        classes: int,
        rounds: int,
        seed: int = 0,
    ) -> None:
        self.pieces, self.classes, self.rounds = tuple(pieces), classes, rounds
        self.batch = {**batch, "index": torch.arange(len(batch["target"]))}
        self.round, target, weight = 0, batch["target"], batch.get("weight")
        self._generator = torch.Generator().manual_seed(seed)
        scalars = [scalar for piece in pieces for scalar in piece.loss.parameters()]
        self._adam = torch.optim.Adam(scalars, lr=SCALAR_RATE) if scalars else None
        for piece in pieces:
            piece.loss.eval()
        often = None if weight is None else weight.numpy()
        start = torch.as_tensor(initial_score(target.numpy(), classes, often))
        _, curve = self._sum(start.expand(len(target), *start.shape).clone(), 0.5, learn=False)
        share = torch.softmax(start, -1) if start.dim() else torch.sigmoid(start)
        factor = classes / (classes - 1) if classes > 2 else 1.0
        usual = factor * float((share * (1 - share)).mean()) if classes else 1.0
        unit = float(curve.mean()) / max(usual, 1e-12)
        self.unit = unit if 1e-30 < unit < 1e30 else 1.0

    def __call__(self, scores: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Gradient and Hessian at ``scores``, of their shape, float64; one call a round."""
        for piece in self.pieces:
            piece.loss.train(piece.kind != "pairs")
        output = torch.from_numpy(np.array(scores, dtype=np.float64))  # a copy: the trees keep using theirs
        slope, curve = self._sum(output, min(1.0, self.round / self.rounds), learn=True)
        self.round += 1
        slope, curve = slope / self.unit, curve / self.unit
        mean = float(curve.mean())
        curve = curve.clamp_min(FLOOR * mean) if mean > 0 else torch.ones_like(curve)
        return slope.numpy(), curve.numpy()

    def learned(self) -> tuple[float, ...]:
        """The learned scalars, piece by piece."""
        return tuple(float(scalar.detach()) for piece in self.pieces for scalar in piece.loss.parameters())

    def _sum(self, output: Tensor, progress: float, *, learn: bool) -> tuple[Tensor, Tensor]:
        slope, curve = torch.zeros_like(output), torch.zeros_like(output)
        for piece in self.pieces:
            one = self._pairs if piece.kind == "pairs" else self._rows
            own_slope, own_curve = one(piece, output, progress)
            slope += own_slope
            curve += own_curve
        if learn and self._adam is not None:
            self._adam.step()
        return slope, curve

    def _rows(self, piece: Piece, output: Tensor, progress: float) -> tuple[Tensor, Tensor]:
        """A piece over all rows at once; leaves the gradient of its learned scalars with them."""
        leaf = output.detach().requires_grad_()
        scalars = list(piece.loss.parameters())
        value = piece.loss(leaf, self.batch["target"], **self._context(piece, None, progress))
        smooth = piece.kind in ("convex", "bent")
        slope, *rest = torch.autograd.grad(value, [leaf, *scalars], create_graph=smooth, materialize_grads=True)
        for scalar, gradient in zip(scalars, rest, strict=True):
            scalar.grad = gradient.detach()
        rows = len(output)
        if not smooth:
            return slope * rows, (slope * rows).abs()
        second = rows * diagonal(slope, leaf)
        slope = rows * slope.detach()
        if leaf.dim() == 2:  # shifting all scores of a row changes nothing: of C directions, C - 1 are free
            second = second * leaf.shape[1] / (leaf.shape[1] - 1)
        return slope, second.abs().maximum(slope.abs()) if piece.kind == "bent" else second.clamp_min(0)

    def _pairs(self, piece: Piece, output: Tensor, progress: float) -> tuple[Tensor, Tensor]:
        """A piece over pairs, in blocks of rows; a row that fills up the last block counts by its mean."""
        rows = len(output)
        blocks = -(-rows // BLOCK)
        order = torch.randperm(rows, generator=self._generator)
        index = order[torch.arange(blocks * min(BLOCK, rows)) % rows].view(blocks, -1)
        context = self._context(piece, index, progress)

        def value(scores: Tensor, target: Tensor, own: dict[str, Tensor]) -> Tensor:
            loss: Tensor = piece.loss(scores, target, **own)
            return loss

        split = {name: 0 if name in self.batch else None for name in context}
        leaf, target = output[index].float().requires_grad_(), self.batch["target"][index]
        values = torch.func.vmap(value, in_dims=(0, 0, split), chunk_size=64)(leaf, target, context)
        scalars = list(piece.loss.parameters())
        slope, *rest = torch.autograd.grad(values.sum(), [leaf, *scalars], materialize_grads=True)
        for scalar, gradient in zip(scalars, rest, strict=True):
            scalar.grad = gradient / blocks
        slope = slope.double() * index.shape[1]
        if "weight" in self.batch:  # a block's loss is a mean over its weight
            slope = slope * self.batch["weight"][index].mean(1).reshape(-1, *[1] * (slope.dim() - 1))
        total = torch.zeros_like(output).index_add_(0, index.flatten(), slope.flatten(0, 1))
        count = torch.bincount(index.flatten(), minlength=rows).reshape(-1, *[1] * (output.dim() - 1))
        total = total / count
        return total, total.abs()

    def _context(self, piece: Piece, rows: Tensor | None, progress: float) -> dict[str, Tensor]:
        """What the piece takes by keyword, for all rows or for blocks of them ``[blocks, rows]``."""
        context = {"progress": torch.tensor(progress)} if "progress" in piece.reads else {}
        for name in self.batch:
            if name in piece.reads or name == "weight":
                value = self.batch[name]
                context[name] = value if rows is None else value[rows].float()
        return context


def initial_score(target: np.ndarray, classes: int, weight: np.ndarray | None = None) -> np.ndarray:
    """The score that all rows start from: log-odds, log shares ``[classes]``, or the mean of the target.

    ``weight`` ``[rows]``: how often each row counts.
    """
    if not classes:
        if weight is None:
            return np.asarray(np.mean(target, dtype=np.float64))
        return np.asarray(np.average(target.astype(np.float64), weights=weight))
    total = len(target) if weight is None else weight.sum()
    share = np.bincount(np.asarray(target, dtype=np.int64), weight, minlength=classes) / total
    share = np.clip(share, 1e-15, 1.0)
    return np.asarray(np.log(share)) if classes > 2 else np.asarray(np.log(share[1] / share[0]))


def diagonal(slope: Tensor, leaf: Tensor) -> Tensor:
    """Diagonal of the Hessian of a loss of single samples, from its gradient ``slope`` at ``leaf``."""
    if not slope.requires_grad:  # piecewise linear: the gradient is constant
        return torch.zeros_like(slope)
    if leaf.dim() == 1:
        return torch.autograd.grad(slope.sum(), leaf, materialize_grads=True)[0]
    columns = [
        torch.autograd.grad(slope[:, c].sum(), leaf, retain_graph=True, materialize_grads=True)[0][:, c]
        for c in range(leaf.shape[1])
    ]
    return torch.stack(columns, dim=1)
