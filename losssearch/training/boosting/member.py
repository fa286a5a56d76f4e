"""One member of a population of boosted trees: a candidate at one learning rate, a forest in every replica."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch

from losssearch.losses.compose import ComposedLoss
from losssearch.training.boosting.forest import Floats, Forest
from losssearch.training.boosting.objective import Objective
from losssearch.training.boosting.plan import ROUNDS


class DivergedError(Exception):
    """A gradient or Hessian is not finite; never leaves the trainer."""


class Tree:
    """A forest of one member in one replica, with its objective, and what it was at its best epoch."""

    def __init__(self, forest: Forest, objective: Objective, start: Floats, validation: Floats) -> None:
        self.forest, self.objective, self._start, self._validation = forest, objective, start, validation
        self.scores = np.broadcast_to(start, (len(validation), *start.shape)).astype(np.float64)
        """On validation, ``[rows(, classes)]``."""
        self.best, self.best_epoch, self.best_rounds = -np.inf, 0, 0
        self.best_learned: dict[str, Floats] = {}
        self.details: tuple[float, ...] = ()
        self.diverged = False

    def stopped(self, epoch: int, patience: int) -> bool:
        """Whether it would not improve any more."""
        return self.diverged or epoch - self.best_epoch >= patience

    def grow(self) -> None:
        """An epoch of rounds, and the scores after it."""
        before = self.forest.rounds
        try:
            for _ in range(ROUNDS):
                self.forest.grow(self._slopes)
        except DivergedError:
            self.diverged = True
        self.scores = self.scores + self.forest.predict(self._validation, before, self.forest.rounds)

    def record(self, utility: float, epoch: int, details: tuple[float, ...] = ()) -> None:
        """Take in the utility on validation after an epoch, and what else the judge measured."""
        if not self.details:
            self.details = details
        if utility > self.best and not self.diverged:
            self.details = details
            self.best, self.best_epoch, self.best_rounds = utility, epoch, self.forest.rounds
            self.best_learned = _handed_over(self.objective)

    def outputs(self, features: Floats) -> Floats:
        """Scores of other rows at the best epoch."""
        return self._start + self.forest.predict(features, 0, self.best_rounds)

    def _slopes(self, scores: Floats) -> tuple[Floats, Floats]:
        slope, curve = self.objective(scores)
        if not (np.isfinite(slope).all() and np.isfinite(curve).all()):
            raise DivergedError
        return slope, curve


class Member:
    """A candidate at one rate. ``number`` is the candidate's place; ``trees``: one per replica."""

    def __init__(self, number: int, rate: float, trees: Sequence[Tree]) -> None:
        self.number, self.rate, self.trees = number, rate, tuple(trees)

    @property
    def diverged(self) -> bool:
        """Whether a replica diverged."""
        return any(tree.diverged for tree in self.trees)

    @property
    def score(self) -> float:
        """Mean utility over replicas; minus infinity where a replica diverged or never had a value."""
        return -np.inf if self.diverged else float(np.mean([tree.best for tree in self.trees]))

    def learned(self) -> dict[str, Floats]:
        """What the loss hands over, by name, in the replica with the best utility."""
        return max(self.trees, key=lambda tree: tree.best).best_learned


def _handed_over(objective: Objective) -> dict[str, Floats]:
    """What the loss hands over at present, by its name in the whole loss."""
    return {
        f"{place}_{name.split('_', 1)[1]}": value.numpy()
        for place, piece in enumerate(objective.pieces)
        if isinstance(piece.loss, ComposedLoss)
        for name, value in piece.loss.found().items()
    }


def stacked(members: Sequence[Member]) -> torch.Tensor:
    """Validation scores ``[R, K, rows(, classes)]`` of all members, float32."""
    scores = [np.stack([member.trees[r].scores for member in members]) for r in range(len(members[0].trees))]
    return torch.from_numpy(np.stack(scores)).float()
