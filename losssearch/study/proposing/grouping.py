"""Which losses of the menu are trained together: a pure function of their places among those that are trained.

So a study that was killed, whatever populations had ended by then, trains the rest in the same company.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TypeVar

T = TypeVar("T")

EARLY = 4
"""The first populations of a study are half as large, so the first values come sooner; this is their number."""


def population_of(place: int, chunk: int) -> int:
    """The number of the population that the loss at ``place`` (from 0) is trained in; ``chunk`` are in most."""
    half = -(-chunk // 2)
    early = EARLY * half
    return place // half if place < early else EARLY + (place - early) // chunk


def grouped(placed: Iterable[tuple[int, T]], chunk: int) -> Iterator[list[T]]:
    """What has places, in populations, each given as soon as its last is there; places ascend and may have gaps."""
    held: list[T] = []
    current = -1
    for place, item in placed:
        population = population_of(place, chunk)
        if held and population != current:
            yield held
            held = []
        current = population
        held.append(item)
        if population_of(place + 1, chunk) != population:
            yield held
            held = []
    if held:
        yield held
