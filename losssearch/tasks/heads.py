"""Heads: the named column ranges of what a model puts out."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TypeAlias

from losssearch.errors import SpecError


@dataclass(frozen=True)
class Head:
    """A range of a model's output columns with a name.

    A loss reads the head by its name: ``[batch]`` where its width is 1, otherwise ``[batch, width]``.
    """

    name: str
    width: int

    def __post_init__(self) -> None:
        if not self.name.isidentifier():
            raise SpecError(f"a head's name must be an identifier, got {self.name!r}")
        if isinstance(self.width, bool) or not isinstance(self.width, int) or self.width < 1:
            raise SpecError(
                f"the head {self.name} must have a whole number of columns of at least 1, got {self.width!r}"
            )


Heads: TypeAlias = Callable[[int], tuple[Head, ...]]
"""From the number of classes, 0 where the target is numbers, to the heads in the order of their columns."""


def ranges(heads: Sequence[Head]) -> Iterator[tuple[Head, slice]]:
    """Each head with the columns that are its own."""
    begin = 0
    for head in heads:
        yield head, slice(begin, begin + head.width)
        begin += head.width
