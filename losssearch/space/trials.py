"""What a space asks of a trial, and three kinds of answers: known ones, random ones, and steps from known ones."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, Protocol

import numpy as np

from losssearch.errors import SpecError
from losssearch.losses.domains import Choice, Domain, Float, Int, Tree
from losssearch.losses.trees.variation import mutated, random_tree


class Trial(Protocol):
    """What a space asks of a trial; Optuna's ``Trial`` fits."""

    def suggest_float(self, name: str, low: float, high: float, *, log: bool = False) -> float:
        """A number in ``[low, high]``."""

    def suggest_int(self, name: str, low: int, high: int) -> int:
        """A whole number in ``[low, high]``."""

    def suggest_categorical(self, name: str, choices: Sequence[str]) -> str:
        """One of ``choices``."""


class TreeTrial(Trial, Protocol):
    """A trial of a space in which some hyperparameter is a tree; Optuna's ``Trial`` does not fit."""

    def suggest_tree(self, name: str, nodes: int) -> str:
        """A tree of at most ``nodes`` nodes, as canonical text."""


class Replay:
    """A trial that answers from known parameters, and notes in ``asked`` what was asked for and its range.

    Raises `SpecError` for a parameter that is missing or outside its range.
    """

    def __init__(self, params: Mapping[str, object]) -> None:
        self.params = params
        self.asked: dict[str, Domain] = {}

    def _answer(self, name: str, domain: Domain) -> Any:
        if name not in self.params:
            raise SpecError(f"the parameters are incomplete: {name!r} is missing")
        self.asked[name] = domain
        return domain.check(name, self.params[name])

    def suggest_float(self, name: str, low: float, high: float, *, log: bool = False) -> float:
        """The known number."""
        return float(self._answer(name, Float(low, high, default=low, log=log)))

    def suggest_int(self, name: str, low: int, high: int) -> int:
        """The known whole number."""
        return int(self._answer(name, Int(low, high, default=low)))

    def suggest_categorical(self, name: str, choices: Sequence[str]) -> str:
        """The known choice."""
        return str(self._answer(name, Choice(*choices, default=choices[0])))

    def suggest_tree(self, name: str, nodes: int) -> str:
        """The known tree."""
        return str(self._answer(name, Tree(nodes, default="output")))


class RandomTrial:
    """A trial that answers at random, evenly over each range (over its logarithm where it asks for that)."""

    def __init__(self, random: np.random.Generator) -> None:
        self.random = random

    def suggest_float(self, name: str, low: float, high: float, *, log: bool = False) -> float:
        """A number of the range."""
        return _place(float(self.random.uniform()), low, high, log)

    def suggest_int(self, name: str, low: int, high: int) -> int:
        """A whole number of the range."""
        return int(self.random.integers(low, high, endpoint=True))

    def suggest_categorical(self, name: str, choices: Sequence[str]) -> str:
        """One of the choices."""
        return choices[int(self.random.integers(len(choices)))]

    def suggest_tree(self, name: str, nodes: int) -> str:
        """A tree at random."""
        return random_tree(self.random, nodes)


class Step(RandomTrial):
    """A trial that answers near ``parent``'s parameters.

    With probability ``REDRAW`` one slot, its use included, is answered at random and all else stays; otherwise every
    number moves by a normal step of ``SIZE`` times its range, turned back at the ends, and all choices stay.
    """

    REDRAW = 0.7
    SIZE = 0.15

    def __init__(self, parent: Mapping[str, Any], random: np.random.Generator) -> None:
        super().__init__(random)
        slots = sorted({_slot(name) for name in parent})
        self.redrawn = slots[int(random.integers(len(slots)))] if random.uniform() < self.REDRAW else None
        self.parent = {name: value for name, value in parent.items() if _slot(name) != self.redrawn}

    def _move(self, name: str, low: float, high: float, *, log: bool) -> float:
        """The parent's number; moved where no slot is redrawn."""
        if self.redrawn is not None:
            return float(self.parent[name])
        share = _share(self.parent[name], low, high, log) + self.random.normal(scale=self.SIZE)
        turned = abs(share) % 2
        return _place(min(turned, 2 - turned), low, high, log)

    def suggest_float(self, name: str, low: float, high: float, *, log: bool = False) -> float:
        """A number near the parent's."""
        if name not in self.parent:
            return super().suggest_float(name, low, high, log=log)
        return self._move(name, low, high, log=log)

    def suggest_int(self, name: str, low: int, high: int) -> int:
        """A whole number near the parent's."""
        return (
            round(self._move(name, low, high, log=False))
            if name in self.parent
            else super().suggest_int(name, low, high)
        )

    def suggest_categorical(self, name: str, choices: Sequence[str]) -> str:
        """The parent's choice."""
        return str(self.parent[name]) if name in self.parent else super().suggest_categorical(name, choices)

    def suggest_tree(self, name: str, nodes: int) -> str:
        """The parent's tree after a mutation; as it is where a slot is redrawn."""
        if name not in self.parent:
            return super().suggest_tree(name, nodes)
        tree = str(self.parent[name])
        return tree if self.redrawn is not None else mutated(tree, self.random, nodes)


def _slot(name: str) -> str:
    return name.split(".", 1)[0]


def _place(share: float, low: float, high: float, log: bool) -> float:
    """The number at ``share`` of the range."""
    value = low * (high / low) ** share if log else low + share * (high - low)
    return min(max(value, low), high)


def _share(value: float, low: float, high: float, log: bool) -> float:
    """The inverse of `_place`."""
    return math.log(value / low) / math.log(high / low) if log else (value - low) / (high - low)
