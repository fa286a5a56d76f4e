"""What a trainer asks of a library of boosted trees."""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from typing import Any, Protocol, TypeAlias

import numpy as np
from numpy.typing import NDArray

Floats: TypeAlias = NDArray[np.floating[Any]]

Slopes: TypeAlias = Callable[[Floats], tuple[Floats, Floats]]
"""From the scores of the training rows to gradient and Hessian by them."""


class Forest(Protocol):
    """Trees in growth. Scores are ``[rows]``, or ``[rows, classes]`` for more than two classes."""

    @property
    def rounds(self) -> int:
        """How many rounds have left trees; fewer than were grown where a round found nothing to split."""
        ...

    def grow(self, slopes: Slopes) -> None:
        """One round: a tree, or a tree a class."""
        ...

    def predict(self, features: Floats, first: int, last: int) -> Floats:
        """What the trees of rounds ``first`` to ``last`` (without it) add to the initial score, for other rows."""
        ...


class Soil(Protocol):
    """Training rows, binned once and shared by all the forests that grow on them."""

    def forest(self, rate: float) -> Forest:
        """A new forest with this learning rate."""
        ...


def new_soil(library: str, features: Floats, start: Floats, classes: int, seed: int) -> Soil:
    """Bin ``features`` ``[rows, columns]`` for ``library``; every row starts from the score ``start``."""
    module = import_module(f"losssearch.training.boosting.{library}_trees")
    soil: Soil = module.new_soil(features, start, classes, seed)
    return soil
