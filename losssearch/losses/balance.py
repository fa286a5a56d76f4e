"""Balances: from the values of a loss's parts to the loss."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType

from torch import Tensor

from losssearch.arguments import declaration
from losssearch.errors import SpecError, UnknownNameError, shown
from losssearch.losses.numbers import checked_numbers, named_formula, named_json, read_named
from losssearch.losses.record import Declared, Record, enter, facts_of, not_by_row
from losssearch.losses.schedule import Number, Scheduled

SUM = "sum"
"""The balance of a spec that names none."""

_registry: dict[str, Record] = {}
balances: Mapping[str, Record] = MappingProxyType(_registry)
"""Every balance by name."""


@declaration("ls.balance")
def balance(
    *, formula: str, latex: str = "", reference: str = "", meaning: str = "", **declared: Declared
) -> Callable[[Callable[..., Tensor]], Record]:
    """Declare a balance: a function of ``values`` ``[parts]``, weighted and scaled, that gives a scalar.

    It may read ``progress`` as well, and has the ``declared`` numbers and states as keyword-only parameters; the shape
    of a state may depend on ``sizes.parts``. An update function takes what the balance takes.

    Args:
        formula: How it is printed, with ``{part}`` for the sum of the parts and ``{NAME}`` for a number.
        latex: The same as LaTeX; ``formula`` by default.
        reference: The paper or book that it comes from.
        meaning: The whole formula, if ``formula`` is an abbreviation.
        **declared: The domain of each number, and the states.

    Raises:
        SpecError: the name is taken, or the signature does not match the declaration.
    """

    def register(function: Callable[..., Tensor]) -> Record:
        facts = facts_of("balance", function, ("values", "progress"), declared)
        not_by_row("balance", facts)
        record = Record(formula=formula, latex=latex or formula, reference=reference, meaning=meaning, **facts)
        return enter(_registry, record, "balance")

    return register


@dataclass(frozen=True, init=False)
class Balance:
    """How the parts of a loss become one number: the balance ``kind`` at its ``numbers``.

    Raises `UnknownNameError` for an undeclared kind, `SpecError` for a number out of its range.
    """

    kind: str
    numbers: tuple[tuple[str, Number], ...]

    def __init__(self, kind: str = SUM, **numbers: Number) -> None:
        if not isinstance(kind, str) or kind not in _registry:
            raise UnknownNameError("balance", shown(kind), _registry)
        object.__setattr__(self, "kind", kind)
        checked = checked_numbers(f"balance.{kind}", _registry[kind], numbers)
        object.__setattr__(self, "numbers", tuple(checked.items()))

    def __reduce__(self) -> tuple[object, ...]:
        return _made, (self.kind, self.numbers)

    @property
    def record(self) -> Record:
        """The registry's record of the balance."""
        return _registry[self.kind]

    @property
    def is_sum(self) -> bool:
        """Whether the loss is the sum of its parts, so that each part is a loss of its own."""
        return self.kind == SUM

    @property
    def reads_progress(self) -> bool:
        """Whether it depends on how much of the training is done."""
        return self.record.reads_progress or any(isinstance(number, Scheduled) for _, number in self.numbers)

    @property
    def values(self) -> dict[str, Number]:
        """Its numbers by name."""
        return dict(self.numbers)

    @classmethod
    def from_json(cls, data: object) -> Balance:
        """Read a balance; raise `SpecError` for any other form."""
        kind, numbers = read_named("balance", data, _registry)
        return cls(kind, **numbers)

    def to_json(self) -> object:
        """The inverse of `from_json`."""
        return named_json(self.kind, self.values)

    def formula(self, parts: str, *, latex: bool = False) -> str:
        """The text of the sum ``parts``, balanced."""
        return named_formula(self.record, self.values, parts, latex=latex)


def _made(kind: str, numbers: tuple[tuple[str, Number], ...]) -> Balance:
    return Balance(kind, **dict(numbers))


def require_sum(kind: Balance, what: str) -> None:
    """Raise `SpecError` where the loss is not the sum of its parts and ``what`` takes it apart."""
    if not kind.is_sum:
        raise SpecError(f"{what} needs a loss that is the sum of its parts; the balance of this one is {kind.kind}")
