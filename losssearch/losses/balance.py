"""Balances: from the values of a loss's parts to the loss."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from torch import Tensor

from losssearch.arguments import declaration
from losssearch.errors import SpecError
from losssearch.losses.numbers import Chosen
from losssearch.losses.record import Declared, Family, Record, not_by_row

SUM = "sum"
"""The balance of a spec that names none."""

_registry: dict[str, Record] = {}
FAMILY = Family("balance", ("values", "progress"), Record, not_by_row, _registry)
balances: Mapping[str, Record] = FAMILY.records
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
    return FAMILY.declare(declared, formula=formula, latex=latex, reference=reference, meaning=meaning)


class Balance(Chosen[Record]):
    """How the parts of a loss become one number."""

    family = FAMILY
    standard = SUM

    @property
    def is_sum(self) -> bool:
        """Whether the loss is the sum of its parts, so that each part is a loss of its own."""
        return self.kind == SUM


def require_sum(kind: Balance, what: str) -> None:
    """Raise `SpecError` where the loss is not the sum of its parts and ``what`` takes it apart."""
    if not kind.is_sum:
        raise SpecError(f"{what} needs a loss that is the sum of its parts; the balance of this one is {kind.kind}")
