"""Heads: the named column ranges of what a model puts out.

The heads of a kind stand side by side, or, where the kind says so, they are alternatives that share the columns from
the first on: a mean is one column, a mean and a scale are two. A model is then as wide as the widest head that a study
uses, and a loss reads one of them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias

from torch import Tensor

from losssearch.errors import SpecError

Predict: TypeAlias = Callable[[Tensor, Mapping[str, Tensor]], Tensor]
"""From the outputs of a head ``[..., N, width]`` and facts that broadcast to ``[..., N]`` (with axes of their own at
the end) to what metrics read, ``[..., N]`` or ``[..., N, columns]``, before the target's own unit."""


@dataclass(frozen=True)
class Head:
    """A range of a model's output columns with a name.

    A loss reads the head by its name: ``[batch]`` where its width is 1, otherwise ``[batch, width]``.

    Args:
        name: Its name.
        width: How many columns it has.
        gives: Of a head that shares its columns with others, the tensors that losses may read of it, by name. A name is
            made of the same columns in every head that gives it.
        predict: Of such a head, how metrics read its outputs.
        columns: What each column means, for the text of an exported loss.
    """

    name: str
    width: int
    gives: tuple[str, ...] = ()
    predict: Predict | None = None
    columns: tuple[str, ...] = ()

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


def narrowest(heads: Sequence[Head], reads: frozenset[str]) -> Head:
    """Of heads that share columns, the narrowest that gives all that a loss reads of any of them.

    Raises:
        SpecError: No head gives all of it.
    """
    wanted = reads & {name for head in heads for name in head.gives}
    fitting = [head for head in heads if wanted <= set(head.gives)]
    if not fitting:
        known = "; ".join(f"{head.name} gives {', '.join(head.gives)}" for head in heads)
        raise SpecError(
            f"the terms of a loss must read one head of the model, and no head gives {', '.join(sorted(wanted))} "
            f"together: {known}"
        )
    return min(fitting, key=lambda head: head.width)
