"""A space for the constraints of one study: the ranges that name a constraint are filled in, once for each."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from losssearch.errors import SpaceError
from losssearch.losses.domains import Choice, Domain, Float, Int, Tree
from losssearch.losses.spec import LossSpec, Part
from losssearch.losses.term import registry
from losssearch.space.slot import Slot
from losssearch.space.space import SearchSpace

Values = Mapping[str, float | str]
"""A constraint as the terms see it: ``{"statistic": "positive_rate", "limit": 0.05}``."""


def bind(space: SearchSpace, constraints: Sequence[Values]) -> SearchSpace:
    """The space with a slot for each constraint in place of one whose ranges name a constraint.

    Whatever else a constraint has, such as ``violation``, fixes that hyperparameter of the slot's terms. Slots for
    a second and further constraint are named ``fairness_2`` and so on. Raises `SpaceError` if a value that the space
    names is not given, and `SpecError` if it lies outside the term's range.
    """
    if not constraints or not space.constrained:
        return space
    slots = []
    for slot in space.slots:
        if not slot.constrained:
            slots.append(slot)
            continue
        for number, values in enumerate(constraints):
            name = slot.name if number == 0 else f"{slot.name}_{number + 1}"
            terms = {term: _fixed(space, slot, term, values) for term in slot.terms}
            slots.append(replace(slot, name=name, terms=terms, constrained={}, repeats=number > 0))
    portfolio = tuple(_bound_spec(space, spec, constraints) for spec in space.portfolio)
    more = (len(constraints) - 1) * sum(bool(slot.constrained) for slot in space.slots)
    return replace(space, slots=tuple(slots), max_parts=space.max_parts + more, portfolio=portfolio)


def _fixed(space: SearchSpace, slot: Slot, term: str, values: Values) -> dict[str, Domain]:
    bound = slot.constrained.get(term, {})
    if missing := {key for _, key in bound.values()} - set(values):
        raise SpaceError(f"space {space.name} needs a constraint with {', '.join(sorted(missing))}")
    ranges = dict(slot.terms[term])
    for name, domain in ranges.items() if bound else ():
        end, key = bound.get(name, ("value", name))
        if key in values:
            value = registry[term].domains[name].check(f"{term}.{name}", values[key])
            ranges[name] = _narrowed(domain, end, value)
    return ranges


def _narrowed(domain: Domain, end: str, value: float | str) -> Domain:
    if isinstance(domain, Tree):
        raise SpaceError("a tree is searched and not filled in from a constraint or metric")
    if isinstance(domain, Choice):
        return Choice(str(value), default=str(value))
    low = domain.low if end == "high" else value
    if isinstance(domain, Int):
        return Int(int(low), int(value), default=int(value))
    return Float(float(low), float(value), default=float(value), log=domain.log)


def _bound_spec(space: SearchSpace, spec: LossSpec, constraints: Sequence[Values]) -> LossSpec:
    parts: list[Part] = []
    for part in spec.parts:
        bound = next((slot.constrained[part.name] for slot in space.slots if part.name in slot.constrained), None)
        if bound is None:
            parts.append(part)
            continue
        for values in constraints:
            given = {name: values[key] for name, (_, key) in bound.items()}
            fixed = {name: value for name, value in values.items() if name in part.hyperparameters}
            parts.append(replace(part, hyperparameters={**part.hyperparameters, **fixed, **given}))
    return replace(spec, parts=tuple(parts))
