"""The outcome of one candidate, and the judge that a trainer needs."""

from __future__ import annotations

from collections.abc import Callable, Generator, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol, TypeAlias

import numpy as np
import numpy.typing as npt
from torch import Tensor

from losssearch.training.trace import Trace

CUT = "cut by the time budget"
"""How the reason of an outcome begins whose training was ended by a deadline."""

UNTUNED = " untuned"
"""What is added to the name of a held-out part for the outputs as they are before anything is tuned on validation."""

NEVER_FINITE = "the metric was never finite"
"""The reason of an outcome whose metric gave no finite number on validation, after any epoch."""

HALVED = "trained in parts, as memory did not hold the whole population"
"""How the reason of an outcome ends whose population was divided."""


@dataclass(frozen=True)
class Detailed:
    """An adjustment whose judge has more to say than a utility.

    ``details`` ``[R, K, F]``: what it measured, kept from the best epoch. ``views``: other ways to read held-out
    outputs, by what is added to the name of the part; the ``validation`` part is held in these ways too.
    """

    apply: Callable[[Tensor], Tensor]
    details: Tensor
    views: Mapping[str, Callable[[Tensor], Tensor]] = field(default_factory=dict)

    def __call__(self, outputs: Tensor) -> Tensor:
        """Adjusted outputs."""
        return self.apply(outputs)


class Judge(Protocol):
    """Judges a whole population on validation.

    Called with outputs ``[R, K, N(, C)]``, target ``[R, N]`` and ``tuned`` ``[K]`` (bool); gives utilities
    ``[R, K]``, larger is better, and the tuned adjustment as a function of other outputs, which may be `Detailed`.
    """

    def __call__(self, outputs: Tensor, target: Tensor, tuned: Tensor) -> tuple[Tensor, Callable[[Tensor], Tensor]]:
        """Judge the outputs of all members."""
        ...


@dataclass(frozen=True)
class Outcome:
    """The result of training one candidate.

    ``utilities``: one per replica, at the best epoch and the best learning rate, larger is better; empty
    where the candidate failed. ``rungs``: pairs (epoch, mean utility). ``held``: adjusted outputs
    ``[R, rows(, classes)]`` by name of the held-out part; see `kept`. ``learned``: what the loss has learned,
    by name (``0_alpha``): of the replica with the best utility.
    ``details``: what else the judge measured, one tuple per replica.
    ``best_epochs``: the epoch whose weights count, one per replica; ``trained``: the epochs until training ended, by
    patience, a rung or a deadline; ``most``: how many there could have been. Empty and 0 for a user's function.
    """

    state: Literal["completed", "pruned", "failed"]
    utilities: tuple[float, ...] = ()
    rate: float | None = None
    epochs: int = 0
    rungs: tuple[tuple[int, float], ...] = ()
    learned: Mapping[str, npt.NDArray[np.floating[Any]]] = field(default_factory=dict)
    held: Mapping[str, npt.NDArray[np.floating[Any]]] = field(default_factory=dict)
    details: tuple[tuple[float, ...], ...] = ()
    best_epochs: tuple[int, ...] = ()
    trained: int = 0
    most: int = 0
    reason: str = ""
    trace: Trace | None = field(default=None, compare=False)
    """What the training went through, where its outputs are held; None for trees and a user's function."""
    seconds: float = field(default=0.0, compare=False)
    """How long its whole population took the worker; 0 where nobody measured."""


Course: TypeAlias = Generator[float, None, list[Outcome]]
"""A training under way: gives the best utility of its members whenever it has risen, and in the end the outcomes.

What it gives on the way is provisional: the member that reached it may still diverge.
"""


def kept(outputs: Tensor, classes: int) -> Tensor:
    """Adjusted outputs as an outcome carries them: float32, or float64 for regression (no ``classes``).

    Predictions are in the target's own unit, where a mean of 1.7e9 would leave float32 steps of 128.
    """
    return outputs.float() if classes else outputs.double()


def held_of(held: Mapping[str, Tensor], place: int, tuned: bool) -> dict[str, npt.NDArray[Any]]:
    """What one member's outcome carries of outputs ``[R, K, ...]``; untuned ones too where its own are ``tuned``."""
    return {name: own[:, place].numpy() for name, own in held.items() if tuned or not name.endswith(UNTUNED)}


def ended(course: Course, heard: Callable[[float], None] = lambda utility: None) -> list[Outcome]:
    """Go through the whole course; ``heard`` is told what it gives on the way."""
    while True:
        try:
            heard(next(course))
        except StopIteration as end:
            outcomes: list[Outcome] = end.value
            return outcomes
