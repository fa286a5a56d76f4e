"""Weightings: how much a part of a loss counts."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType

from torch import Tensor

from losssearch.arguments import declaration
from losssearch.errors import SpecError, UnknownNameError, shown
from losssearch.losses.numbers import checked_numbers, named_formula
from losssearch.losses.record import Declared, Record, enter, facts_of, not_by_row
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
weightings: Mapping[str, WeightingRecord] = MappingProxyType(_registry)
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

    It may read ``progress`` as well, and has numbers and states as keyword-only parameters.

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

    def register(function: Callable[..., Tensor]) -> WeightingRecord:
        facts = facts_of("weighting", function, ("value", "progress"), declared)
        not_by_row("weighting", facts)
        record = WeightingRecord(
            formula=formula,
            latex=latex or formula,
            reference=reference,
            meaning=meaning,
            plain=plain,
            affine=affine,
            elementwise=elementwise,
            needs_nonnegative=needs_nonnegative,
            compares=compares,
            **facts,
        )
        return enter(_registry, record, "weighting")

    return register


@dataclass(frozen=True, init=False)
class Weighting:
    """How much one part counts: the weighting ``kind`` at its ``numbers``.

    Raises `UnknownNameError` for an undeclared kind, `SpecError` for a number out of its range.
    """

    kind: str
    numbers: tuple[tuple[str, Number], ...]

    def __init__(self, kind: str = CONSTANT, **numbers: Number) -> None:
        if not isinstance(kind, str) or kind not in _registry:
            raise UnknownNameError("weighting", shown(kind), _registry)
        checked = checked_numbers("weight", _registry[kind], numbers)
        object.__setattr__(self, "kind", kind)
        object.__setattr__(self, "numbers", tuple(checked.items()))
        if kind == CONSTANT:
            _check_weight(checked["weight"])

    def __reduce__(self) -> tuple[object, ...]:
        return _made, (self.kind, self.numbers)

    @property
    def record(self) -> WeightingRecord:
        """The registry's record of the weighting."""
        return _registry[self.kind]

    @property
    def values(self) -> dict[str, Number]:
        """Its numbers by name."""
        return dict(self.numbers)

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
            return cls(weight=read_number("weight", data, _registry[CONSTANT].domains["weight"]))
        given = dict(data) if isinstance(data, Mapping) else {}
        kind = given.pop("learned", None) if "learned" in given else given.pop("weighting", None)
        if not isinstance(kind, str) or kind not in _registry or not all(isinstance(key, str) for key in given):
            known = ", ".join(sorted(_registry))
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

    def formula(self, part: str, *, latex: bool = False) -> str:
        """The text of ``part`` with its weight."""
        return named_formula(self.record, self.values, part, latex=latex)


def _made(kind: str, numbers: tuple[tuple[str, Number], ...]) -> Weighting:
    return Weighting(kind, **dict(numbers))


def _check_weight(weight: Number) -> None:
    if isinstance(weight, Scheduled):
        if all(level == 0 for level in weight.levels):
            raise SpecError("a scheduled weight must not start and end at 0")
    elif not weight > 0:
        raise SpecError(f"a constant weight must be one number above 0, got {weight:g}")
