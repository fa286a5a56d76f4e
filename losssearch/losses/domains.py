"""The ranges that a hyperparameter may take, stated in the declaration of its term.

A domain is a frozen value object that validates itself. The registry, the default search space,
the catalogue and the contract tests all read it; none of them repeats it.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np

from losssearch.arguments import checked_fields
from losssearch.errors import SpecError, UnknownNameError, shown
from losssearch.losses.trees.tree import MOST_NODES, canonical


@checked_fields
@dataclass(frozen=True)
class Float:
    """A real number in ``[low, high]``.

    Args:
        low: the smallest allowed value.
        high: the largest allowed value.
        default: the value used if none is given, within the range.
        log: sample on a logarithmic scale; needs ``low > 0``.

    Raises:
        SpecError: ``low <= default <= high`` does not hold, a number is not finite, or ``log`` with ``low <= 0``.

    Example:
        >>> from losssearch.losses.domains import Float
        >>> Float(0.01, 10.0, default=1.0, log=True).check("temperature", 2)
        2.0
    """

    low: float
    high: float
    default: float
    log: bool = False

    def __init__(self, low: float, high: float, *, default: float, log: bool = False) -> None:
        for name, value in (("low", float(low)), ("high", float(high)), ("default", float(default)), ("log", log)):
            object.__setattr__(self, name, value)
        if not (math.isfinite(low) and math.isfinite(high) and low <= default <= high):
            raise SpecError(f"`low <= default <= high`, all finite, must hold, got {low}, {default}, {high}")
        if log and low <= 0:
            raise SpecError(f"`low > 0` must hold where log=True, got low={low}")

    def check(self, name: str, value: object) -> float:
        """Return ``value`` as a float in the range; raise `SpecError` otherwise."""
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise SpecError(f"{name} must be a number, got {shown(value)}")
        if not self.low <= value <= self.high:
            raise SpecError(f"{name} must lie in [{self.low:g}, {self.high:g}], got {shown(value)}")
        return float(value)

    def nearest(self, value: float) -> float:
        """Return ``value`` clipped to the range."""
        return min(max(float(value), self.low), self.high)


@checked_fields
@dataclass(frozen=True)
class Int:
    """A whole number in ``[low, high]``.

    Args:
        low: the smallest allowed value.
        high: the largest allowed value.
        default: the value used if none is given, within the range.

    Raises:
        SpecError: ``low <= default <= high`` does not hold.

    Example:
        >>> from losssearch.losses.domains import Int
        >>> Int(1, 8, default=2).check("layers", 4.0)
        4
    """

    low: int
    high: int
    default: int

    def __init__(self, low: int, high: int, *, default: int) -> None:
        for name, value in (("low", low), ("high", high), ("default", default)):
            object.__setattr__(self, name, value)
        if not low <= default <= high:
            raise SpecError(f"`low <= default <= high` must hold, got {low}, {default}, {high}")

    def check(self, name: str, value: object) -> int:
        """Return ``value`` as an int in the range; raise `SpecError` otherwise."""
        if isinstance(value, bool) or not isinstance(value, int | float | np.integer):
            raise SpecError(f"{name} must be a whole number, got {shown(value)}")
        if not self.low <= value <= self.high:
            raise SpecError(f"{name} must lie in [{self.low}, {self.high}], got {shown(value)}")
        if value != int(value):
            raise SpecError(f"{name} must be a whole number, got {shown(value)}")
        return int(value)


@checked_fields
@dataclass(frozen=True)
class Choice:
    """One of a few names.

    A choice is static: a population groups its members by it, so the term's function receives it as a string.

    Args:
        options: the names, all different.
        default: the name used if none is given, one of ``options``.

    Raises:
        SpecError: an option appears twice, or ``default`` is not an option.

    Example:
        >>> from losssearch.losses.domains import Choice
        >>> Choice("logistic", "squared_hinge", default="logistic").default
        'logistic'
    """

    options: tuple[str, ...]
    default: str

    def __init__(self, *options: str, default: str) -> None:
        object.__setattr__(self, "options", tuple(options))
        object.__setattr__(self, "default", default)
        if default not in options or len(set(options)) != len(options):
            raise SpecError(f"`default` must be one of distinct options, got {default!r} of {options}")

    def check(self, name: str, value: object) -> str:
        """Return ``value`` if it is an option; raise `SpecError` otherwise."""
        if value not in self.options:
            raise SpecError(f"{name} must be one of {', '.join(self.options)}, got {shown(value)}")
        return str(value)


@checked_fields
@dataclass(frozen=True)
class Array(Choice):
    """The name of an array of the library, its SHA-256; see `losssearch.losses.arrays`.

    Args:
        size: how many numbers such an array has.
        default: the array used if none is given, one that comes with losssearch.
    """

    size: int

    def __init__(self, size: int, *, default: str) -> None:
        object.__setattr__(self, "options", (default,))
        object.__setattr__(self, "default", default)
        object.__setattr__(self, "size", size)

    def check(self, name: str, value: object) -> str:
        """Return ``value`` if it names an array of this size that is known here; raise `SpecError` otherwise."""
        if value in self.options:
            return str(value)
        from losssearch.losses.arrays import array_named, checked_name  # brings PyTorch, which ranges do without

        found = array_named(checked_name(name, value))
        if found.numel() != self.size:
            raise SpecError(f"{name} must be an array of {self.size} numbers, got {found.numel()} in {shown(value)}")
        return str(value)


@checked_fields
@dataclass(frozen=True)
class Tree:
    """A formula of output and target, written as in ``square(sub(output, target))``; see `losssearch.losses.trees`.

    Args:
        nodes: how many nodes it may have.
        default: the tree used if none is given.

    Raises:
        SpecError: ``1 <= nodes <= 31`` does not hold, or ``default`` is no such tree.

    Example:
        >>> from losssearch.losses.domains import Tree
        >>> Tree(default="abs(sub(output, target))").check("tree", "square( sub(target,output) )")
        'square(sub(output, target))'
    """

    nodes: int
    default: str

    def __init__(self, nodes: int = MOST_NODES, *, default: str) -> None:
        if not 1 <= nodes <= MOST_NODES:
            raise SpecError(f"`1 <= nodes <= {MOST_NODES}` must hold, got {nodes}")
        object.__setattr__(self, "nodes", nodes)
        object.__setattr__(self, "default", canonical(default, nodes))

    def check(self, name: str, value: object) -> str:
        """Return the canonical text of a tree; raise `SpecError` otherwise."""
        if not isinstance(value, str):
            raise SpecError(f"{name}: a tree is text such as {self.default}, got {shown(value)}")
        try:
            return canonical(value, self.nodes)
        except (SpecError, UnknownNameError) as error:
            raise SpecError(f"{name}: {error}") from None


Domain: TypeAlias = Float | Int | Choice | Tree
"""What a search may tune. A `State` is not one: training moves it, not the search."""

WEIGHT = Float(0.0, 1e6, default=1.0)

SCALE = Float(1e-30, 1e30, default=1.0)
"""Of a part. A weight divided by a scale is then a number that float32 holds."""

SHARE = Float(0.01, 1.0, default=1.0)
"""Of the samples that a CVaR is the mean of."""

CLASSES = Int(2, 100_000, default=2)
GROUPS = Int(0, 10_000, default=0)
"""How many classes and sensitive groups a loss may be told of."""

MOST_MEMORY = 10_000_000
"""Numbers that a loss may carry from mini-batch to mini-batch: 40 MB."""

TABLES = 0.25
"""Share of the memory that what is kept for each training row may take."""

LEARNED = Float(-1e30, 1e30, default=0.0)
"""A learned scalar."""

TARGET_MEAN = Float(-1e100, 1e100, default=0.0)
TARGET_SCALE = Float(1e-100, 1e100, default=1.0)
"""What a regression target was standardised by."""
