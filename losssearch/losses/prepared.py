"""A part of a composed loss, with all that can be looked up before the first batch."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from torch import Tensor

from losssearch.losses.direct import direct_of, takes_floats
from losssearch.losses.part import (
    part_choices,
    part_numbers,
    part_states,
    reduce,
    term_arguments,
    term_inputs,
    updated,
    weighted,
)
from losssearch.losses.schedule import Scheduled
from losssearch.losses.spec import Part
from losssearch.losses.term_rules import SAMPLE_WEIGHT
from losssearch.losses.weights import weighted_mean


class Prepared:
    """A part with all that can be looked up before the first batch; its value is that of `part.part_value`."""

    def __init__(self, part: Part) -> None:
        self.part, self.term = part, part.term
        direct = direct_of(part)
        self.direct = direct.of(part) if direct and part.reduction.is_mean else None
        self.direct_each = direct.each(part) if direct else None
        self.states = part_states(part)
        self.follows = bool(updated(self.states))
        self.mean = part.reduction.is_mean
        fixed = part.weighting.fixed
        self.factor = None if fixed is None else fixed / part.scale
        numbers = part_numbers(part)
        as_floats = {"scale", *(name for name in numbers if self._is_float(name))}
        self.floats: dict[str, Any] = {name: value for name, value in numbers.items() if name in as_floats}
        unused = {name for name in numbers if direct and name.startswith("hyper.")}
        self.tensors = {name: value for name, value in numbers.items() if name not in as_floats | unused}
        self.moves = bool(part.scheduled or part.term.states or any(n.startswith("hyper.") for n in self.tensors))
        plain = {k: float(v) for k, v in part.hyperparameters.items() if isinstance(v, int | float)}
        self.given: dict[str, Any] = part_choices(part) | plain
        """What the term takes by keyword, where nothing of it moves."""

    def _is_float(self, name: str) -> bool:
        """Whether the function that takes a number computes the same where it is Python's."""
        if name.startswith("hyper."):
            return takes_floats(self.part)
        own = self.part.weighting
        schedules = [number.record for _, number in own.numbers if isinstance(number, Scheduled)]
        return name.startswith("weight.") and own.record.plain and all(record.plain for record in schedules)

    def value(
        self,
        named: Mapping[str, Tensor],
        numbers: Mapping[str, Any],
        states: Mapping[str, Tensor],
        each: bool = False,
    ) -> Tensor:
        """Weighted, reduced and scaled; with ``each`` the samples are not reduced, [batch]."""
        value = self._reduced(named, numbers, states, each)
        if self.factor is None:
            return weighted(self.part, value, named["progress"], numbers, states)
        return value if self.factor == 1.0 else self.factor * value

    def own_numbers(self, numbers: Iterator[Tensor]) -> dict[str, Any]:
        """All numbers of the part; takes its own from the iterator of ``numbers``."""
        return self.floats | {name: next(numbers) for name in self.tensors} if self.tensors else self.floats

    def _reduced(
        self, named: Mapping[str, Tensor], numbers: Mapping[str, Any], states: Mapping[str, Tensor], each: bool
    ) -> Tensor:
        weight = named.get(SAMPLE_WEIGHT)
        if self.direct and weight is None and not each:
            return self.direct(*(named[name] for name in self.term.reads))
        losses = self._losses(named, numbers, states)
        if each or not self.term.per_sample:
            return losses
        if self.mean:
            return losses.mean() if weight is None else weighted_mean(losses, weight)
        return reduce(self.part, losses, weight, numbers, named["progress"])

    def _losses(self, named: Mapping[str, Tensor], numbers: Mapping[str, Any], states: Mapping[str, Tensor]) -> Tensor:
        """What the term gives: [batch], or a scalar of a batch-level one."""
        read = term_inputs(self.term, named)
        if self.direct_each:
            return self.direct_each(*read)
        given = term_arguments(self.part, named, numbers, states) if self.moves else self.given
        return self.term(*read, **given)
