"""Weightings: how much a part of a loss counts."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from torch import Tensor

from losssearch.arguments import declaration
from losssearch.errors import SpecError, shown
from losssearch.losses.numbers import Chosen
from losssearch.losses.record import Declared, Family, Record, not_by_row
from losssearch.losses.schedule import Number, Scheduled, is_schedule, number_json, read_number, schedule_forms

CONSTANT = "constant"
"""The weighting that a bare number, or a schedule, stands for in a spec."""


@dataclass(frozen=True)
class WeightingRecord(Record):
    """The record of a weighting.

    ``affine``: it maps the mean of several values to the mean of what it gives for each, so that samples keep losses of
    their own. ``elementwise``: where ``value`` has several elements, it acts on each of them by itself.
    ``needs_nonnegative``: the part's term must never be below zero. ``compares``: it weighs parts against each other,
    so that a search gives it to the base part as well.
    """

    affine: bool = False
    elementwise: bool = False
    needs_nonnegative: bool = False
    compares: bool = False


_registry: dict[str, WeightingRecord] = {}
FAMILY = Family("weighting", ("value", "scale", "progress"), WeightingRecord, not_by_row, _registry)
weightings: Mapping[str, WeightingRecord] = FAMILY.records
"""Every weighting by name."""


@declaration("ls.weighting")
def weighting(
    *,
    formula: str,
    latex: str = "",
    reference: str = "",
    meaning: str = "",
    affine: bool = False,
    elementwise: bool = False,
    needs_nonnegative: bool = False,
    compares: bool = False,
    plain: bool = False,
    **declared: Declared,
) -> Callable[[Callable[..., Tensor]], WeightingRecord]:
    """Declare a weighting: a function of ``value``, the reduced and scaled value of a part, and of ``declared``.

    It may read ``scale``, by which the value was divided, and ``progress`` as well, and has numbers and states as
    keyword-only parameters.

    Args:
        formula: How it is printed, with ``{part}`` for the part and ``{NAME}`` for a number.
        latex: The same as LaTeX; ``formula`` by default.
        reference: The paper or book that it comes from.
        meaning: The whole formula, if ``formula`` is an abbreviation.
        affine: See `WeightingRecord`.
        elementwise: See `WeightingRecord`.
        needs_nonnegative: See `WeightingRecord`.
        compares: See `WeightingRecord`.
        plain: Whether it computes the same with Python's numbers in place of tensors.
        **declared: The domain of each number, and the states.

    Raises:
        SpecError: the name is taken, or the signature does not match the declaration.
    """
    return FAMILY.declare(
        declared,
        formula=formula,
        latex=latex,
        reference=reference,
        meaning=meaning,
        plain=plain,
        affine=affine,
        elementwise=elementwise,
        needs_nonnegative=needs_nonnegative,
        compares=compares,
    )


class Weighting(Chosen[WeightingRecord]):
    """How much one part counts."""

    family = FAMILY
    standard = CONSTANT

    def __init__(self, kind: str | None = None, **numbers: Number) -> None:
        super().__init__(kind, **numbers)
        if self.kind == CONSTANT:
            _check_weight(self.values["weight"])

    def _place(self) -> str:
        return "weight"

    @property
    def fixed(self) -> float | None:
        """The weight that the part has throughout the training, None where it is not one number."""
        weight = self.values["weight"] if self.kind == CONSTANT else None
        return None if weight is None or isinstance(weight, Scheduled) else weight

    @property
    def largest(self) -> float:
        """The largest value of the weight; 0 where it is not known before the training."""
        weight = self.values["weight"] if self.kind == CONSTANT else 0.0
        return max(weight.levels) if isinstance(weight, Scheduled) else weight

    def scaled(self, factor: float) -> Weighting:
        """The weighting with ``factor`` times the weight; as it is where that is not known before the training."""
        weight = self.values.get("weight")
        if self.kind != CONSTANT or weight is None:
            return self
        return Weighting(weight=weight.scaled(factor) if isinstance(weight, Scheduled) else factor * weight)

    def divided(self, total: float) -> Weighting:
        """A constant weight over ``total``."""
        assert self.fixed is not None  # noqa: S101  (asked of constant weights)
        return Weighting(weight=self.fixed / total)

    @classmethod
    def from_json(cls, data: object) -> Weighting:
        """Read a weighting; raise `SpecError` for any other form."""
        if is_schedule(data) or not isinstance(data, Mapping | str):
            return cls(weight=read_number("weight", data, weightings[CONSTANT].domains["weight"]))
        given = dict(data) if isinstance(data, Mapping) else {}
        kind = given.pop("learned", None) if "learned" in given else given.pop("weighting", None)
        if not isinstance(kind, str) or kind not in weightings or not all(isinstance(key, str) for key in given):
            known = ", ".join(sorted(weightings))
            rule = f'a weight is a number, or {schedule_forms()}, or a weighting ({known}), as in {{"weighting": NAME}}'
            raise SpecError(f"{rule}; got {shown(data)}")
        return cls(kind, **given)

    def to_json(self) -> object:
        """The inverse of `from_json`."""
        if self.kind == CONSTANT:
            return number_json(self.values["weight"])
        learns = any(state.optimised for state in self.record.states.values())
        return {
            "learned" if learns else "weighting": self.kind,
            **{name: number_json(number) for name, number in self.numbers},
        }


def _check_weight(weight: Number) -> None:
    if isinstance(weight, Scheduled):
        if all(level == 0 for level in weight.levels):
            raise SpecError("a scheduled weight must not start and end at 0")
    elif not weight > 0:
        raise SpecError(f"a constant weight must be one number above 0, got {weight:g}")
