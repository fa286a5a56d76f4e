"""Balances: from the values of a loss's parts to the loss."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from torch import Tensor

from losssearch.arguments import declaration
from losssearch.errors import SpecError
from losssearch.losses.numbers import Chosen
from losssearch.losses.record import Declared, Family, Record, not_by_row
from losssearch.losses.state import Dimensions

SUM = "sum"
"""The balance of a spec that names none."""


@dataclass(frozen=True)
class BalanceRecord(Record):
    """The record of a balance; ``needs_nonnegative``: no part's term may be below zero."""

    needs_nonnegative: bool = False

    @property
    def reads_norms(self) -> bool:
        """Whether it depends on the gradients of the parts at the outputs."""
        return "norms" in self.reads


_registry: dict[str, BalanceRecord] = {}
FAMILY = Family("balance", ("values", "norms", "progress"), BalanceRecord, not_by_row, _registry)
balances: Mapping[str, BalanceRecord] = FAMILY.records
"""Every balance by name."""


@declaration("ls.balance")
def balance(
    *,
    formula: str,
    latex: str = "",
    reference: str = "",
    meaning: str = "",
    needs_nonnegative: bool = False,
    **declared: Declared,
) -> Callable[[Callable[..., Tensor]], BalanceRecord]:
    """Declare a balance: a function of ``values`` ``[parts]``, weighted and scaled, of two or more parts.

    It gives the loss, a scalar; or a weight for each part ``[parts]``, through which nothing is differentiated: the
    loss is then the weighted sum of the values. It may read ``norms`` ``[parts]`` as well, the norm of each value's
    gradient at the outputs, and ``progress``, and has the ``declared`` numbers and states as keyword-only parameters;
    the shape of a state may depend on ``sizes.parts``. An update function takes what the balance takes.

    Args:
        formula: How it is printed, with ``{part}`` for the sum of the parts and ``{NAME}`` for a number.
        latex: The same as LaTeX; ``formula`` by default.
        reference: The paper or book that it comes from.
        meaning: The whole formula, if ``formula`` is an abbreviation.
        needs_nonnegative: Whether no part's term may be below zero.
        **declared: The domain of each number, and the states.

    Raises:
        SpecError: the name is taken, or the signature does not match the declaration.
    """
    facts = {"reference": reference, "meaning": meaning, "needs_nonnegative": needs_nonnegative}
    return FAMILY.declare(declared, formula=formula, latex=latex, **facts)


def per_part(sizes: Dimensions) -> tuple[int, ...]:
    """The shape of a state with one number for each part."""
    return (sizes.parts,)


class Balance(Chosen[BalanceRecord]):
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
