"""Reductions: from the losses of a batch's samples to one number."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from torch import Tensor

from losssearch.arguments import declaration
from losssearch.errors import SpecError
from losssearch.losses.domains import Float, Int
from losssearch.losses.numbers import Chosen
from losssearch.losses.record import Family, Record

MEAN = "mean"
"""The reduction of a part that names none; it leaves every sample a loss of its own."""


def _weighs_samples(what: str, facts: Mapping[str, Any]) -> None:
    if facts["states"] or "sample_weight" not in facts["reads"]:
        raise SpecError(f"the {what} {facts['name']} must read sample_weight and may keep no state")


_registry: dict[str, Record] = {}
FAMILY = Family("reduction", ("losses", "sample_weight", "progress"), Record, _weighs_samples, _registry)
reductions: Mapping[str, Record] = FAMILY.records
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
    return FAMILY.declare(declared, formula=formula, latex=latex, reference=reference, meaning=meaning)


class Reduction(Chosen[Record]):
    """How one part is reduced over the samples of a batch."""

    family = FAMILY
    standard = MEAN

    @property
    def is_mean(self) -> bool:
        """Whether it is the mean, which leaves every sample a loss of its own."""
        return self.kind == MEAN
