"""Reductions: from the losses of a batch's samples to one number."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType

from torch import Tensor

from losssearch.arguments import declaration
from losssearch.errors import SpecError, UnknownNameError, shown
from losssearch.losses.domains import Float, Int
from losssearch.losses.numbers import checked_numbers, named_formula, named_json, read_named
from losssearch.losses.record import Record, enter, facts_of
from losssearch.losses.schedule import Number

MEAN = "mean"
"""The reduction of a part that names none; it leaves every sample a loss of its own."""

_registry: dict[str, Record] = {}
reductions: Mapping[str, Record] = MappingProxyType(_registry)
"""Every reduction by name."""


@declaration("ls.reduction")
def reduction(
    *, formula: str, latex: str = "", reference: str = "", meaning: str = "", **declared: Float | Int
) -> Callable[[Callable[..., Tensor]], Record]:
    """Declare a reduction: a function of ``losses`` ``[batch]``, of ``sample_weight`` and of the ``declared`` numbers.

    ``sample_weight`` is one weight per sample ``[batch]``, or None; a sample counts as often as its weight says.
    ``progress`` may be read as well.

    Args:
        formula: How it is printed, with ``{part}`` for the part and ``{NAME}`` for a number.
        latex: The same as LaTeX; ``formula`` by default.
        reference: The paper or book that it comes from.
        meaning: The whole formula, if ``formula`` is an abbreviation.
        **declared: The domain of each number.

    Raises:
        SpecError: the name is taken, or the signature does not match the declaration.
    """

    def register(function: Callable[..., Tensor]) -> Record:
        facts = facts_of("reduction", function, ("losses", "sample_weight", "progress"), declared)
        if facts["states"] or "sample_weight" not in facts["reads"]:
            raise SpecError(f"the reduction {facts['name']} must read sample_weight and may keep no state")
        record = Record(formula=formula, latex=latex or formula, reference=reference, meaning=meaning, **facts)
        return enter(_registry, record, "reduction")

    return register


@dataclass(frozen=True, init=False)
class Reduction:
    """How one part is reduced over the samples of a batch: the reduction ``kind`` at its ``numbers``.

    Raises `UnknownNameError` for an undeclared kind, `SpecError` for a number out of its range.
    """

    kind: str
    numbers: tuple[tuple[str, Number], ...]

    def __init__(self, kind: str = MEAN, **numbers: Number) -> None:
        if not isinstance(kind, str) or kind not in _registry:
            raise UnknownNameError("reduction", shown(kind), _registry)
        object.__setattr__(self, "kind", kind)
        checked = checked_numbers(f"reduction.{kind}", _registry[kind], numbers)
        object.__setattr__(self, "numbers", tuple(checked.items()))

    def __reduce__(self) -> tuple[object, ...]:
        return _made, (self.kind, self.numbers)

    @property
    def record(self) -> Record:
        """The registry's record of the reduction."""
        return _registry[self.kind]

    @property
    def is_mean(self) -> bool:
        """Whether it is the mean, which leaves every sample a loss of its own."""
        return self.kind == MEAN

    @property
    def values(self) -> dict[str, Number]:
        """Its numbers by name."""
        return dict(self.numbers)

    @classmethod
    def from_json(cls, data: object) -> Reduction:
        """Read a reduction; raise `SpecError` for any other form."""
        kind, numbers = read_named("reduction", data, _registry)
        return cls(kind, **numbers)

    def to_json(self) -> object:
        """The inverse of `from_json`."""
        return named_json(self.kind, self.values)

    def formula(self, part: str, *, latex: bool = False) -> str:
        """The text of ``part``, reduced."""
        return named_formula(self.record, self.values, part, latex=latex)


def _made(kind: str, numbers: tuple[tuple[str, Number], ...]) -> Reduction:
    return Reduction(kind, **dict(numbers))
