"""A place in a loss: which terms may stand in it, how they are weighted and reduced, and what that asks of a trial."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import Any, Literal, TypeAlias

from losssearch.losses.domains import Choice, Domain, Float, Int
from losssearch.losses.reduction import MEAN, Reduction
from losssearch.losses.schedule import Scheduled, schedules
from losssearch.losses.spec import Part
from losssearch.losses.term import Setting
from losssearch.losses.weighting import CONSTANT, Weighting, weightings
from losssearch.space.trials import Trial

BASE = "base"
BALANCE = "balance"
"""The name of the choice among balances, which no slot may have."""
SCHEDULE = "schedule"
"""The name of the choice among a constant and schedules, behind that of a hyperparameter."""
RAMPS: Mapping[str, Callable[[float], Scheduled]] = MappingProxyType(
    {
        "warm_in": lambda weight: Scheduled.of("linear", start=0.0, end=weight),
        "fade_out": lambda weight: Scheduled.of("linear", start=weight, end=0.0),
    }
)
"""Constant weightings of a weight that grows from 0 over training, or shrinks to 0."""
WEIGHT = Float(1e-3, 1e3, default=0.3, log=True)
"""The widest range that a slot's weight may have, relative to base's 1."""
UNIT = Float(1.0, 1.0, default=1.0)
"""Base's weight, to which the others are relative."""
USE = ("absent", "present")


def weighting_names() -> tuple[str, ...]:
    """What a slot's weighting may be: constant, one of `RAMPS`, or a weighting that has been declared."""
    return CONSTANT, *RAMPS, *sorted(set(weightings) - {CONSTANT})


CONSTRAINT = "$constraint."
"""How a space file names a value of the study's constraint."""
AIM = "$metric."
"""How a space file names a number of the study's metric."""
Constrained: TypeAlias = tuple[Literal["value", "high"], str]
"""What a value of the constraint is to a hyperparameter, its value or the end of its range, and the value's name."""


@dataclass(frozen=True)
class Slot:
    """A place in the loss: the terms that may stand in it, each with its ranges, and how the part is weighted."""

    name: str
    terms: Mapping[str, Mapping[str, Domain]]
    weight: Float = UNIT
    weightings: tuple[str, ...] = (CONSTANT,)
    reductions: Mapping[str, Mapping[str, Domain]] = field(default_factory=lambda: {MEAN: {}})
    """Each with the ranges of its numbers."""
    required: bool = False
    constrained: Mapping[str, Mapping[str, Constrained]] = field(default_factory=dict)
    schedules: Mapping[str, Mapping[str, tuple[str, ...]]] = field(default_factory=dict)
    """What a hyperparameter may follow: constant, schedules, or either; constant if it is not among these."""
    repeats: bool = False
    """Whether a term of an earlier slot may stand here again: it serves another constraint."""

    def part(self, trial: Trial, term: str) -> Part:
        """The part with ``term`` that the trial's answers describe."""
        prefix = f"{self.name}.{term}"
        values = {
            key: _setting(trial, f"{prefix}.{key}", domain, self._courses(term, key))
            for key, domain in self.terms[term].items()
        }
        part = Part(term, values)
        kind = choose(trial, f"{self.name}.reduction", tuple(self.reductions) if part.term.per_sample else (MEAN,))
        numbers = {key: ask(trial, f"{self.name}.{key}", domain) for key, domain in self.reductions[kind].items()}
        return replace(part, weighting=self._weighting(trial), reduction=Reduction(kind, **numbers))

    def _courses(self, term: str, key: str) -> tuple[str, ...]:
        return self.schedules.get(term, {}).get(key, (CONSTANT,))

    def _weighting(self, trial: Trial) -> Weighting:
        kind = choose(trial, f"{self.name}.weighting", self.weightings)
        if kind in RAMPS:
            return Weighting(weight=RAMPS[kind](ask(trial, f"{self.name}.weight", self.weight)))
        numbers = {
            key: ask(trial, f"{self.name}.weight", self.weight)
            if key == "weight"
            else ask(trial, f"{self.name}.{kind}.{key}", domain)
            for key, domain in weightings[kind].domains.items()
        }
        return Weighting(kind, **numbers)

    def params(self, part: Part, unit: float) -> dict[str, Any]:
        """The answers that give ``part``, where base weighs ``unit``; names that were not asked may be among them."""
        weighting = part.weighting
        weight, kind = weighting.values.get("weight"), weighting.kind
        if isinstance(weight, Scheduled):
            ramps = (name for name, made in RAMPS.items() if made(max(weight.levels)) == weight)
            kind = next(ramps, kind)
            weight = max(weight.levels)
        params: dict[str, Any] = {
            self.name: "present",
            f"{self.name}.term": part.name,
            f"{self.name}.reduction": part.reduction.kind,
            f"{self.name}.weighting": kind,
            **_setting_params(f"{self.name}.{part.name}", part.hyperparameters),
            **{f"{self.name}.{key}": number for key, number in part.reduction.numbers},
            **{f"{self.name}.{kind}.{key}": number for key, number in weighting.numbers if key != "weight"},
        }
        if weight is not None:
            # Dividing normalised weights leaves a rounding error, which must not step over the end of a range.
            weight = float(f"{weight / unit:.12g}")
            ends = (end for end in (self.weight.low, self.weight.high) if math.isclose(weight, end, rel_tol=1e-11))
            params[f"{self.name}.weight"] = next(ends, weight)
        return params

    def to_json(self) -> dict[str, Any]:
        """The slot in the form of a space file."""
        terms = {
            term: {
                k: _domain_json(d, self.constrained.get(term, {}).get(k), self._courses(term, k))
                for k, d in sorted(ranges.items())
            }
            for term, ranges in self.terms.items()
        }
        reductions = {kind: _ranges_json(ranges) for kind, ranges in self.reductions.items()}
        data = {"terms": dict(sorted(terms.items())), "reductions": reductions}
        if self.name != BASE:
            data |= {"weight": _domain_json(self.weight), "weighting": list(self.weightings)}
        if self.required:
            data["required"] = True
        return data


def choose(trial: Trial, name: str, options: Sequence[str]) -> str:
    """The trial's choice; a single option is not asked for."""
    return options[0] if len(options) == 1 else trial.suggest_categorical(name, options)


def ask(trial: Trial, name: str, domain: Domain) -> Any:
    """The trial's answer; a range of one value is not asked for."""
    if isinstance(domain, Choice):
        return choose(trial, name, domain.options)
    if domain.low == domain.high:
        return domain.low
    if isinstance(domain, Int):
        return trial.suggest_int(name, domain.low, domain.high)
    return trial.suggest_float(name, domain.low, domain.high, log=domain.log)


def _setting(trial: Trial, name: str, domain: Domain, courses: tuple[str, ...]) -> Any:
    """The trial's answer for a hyperparameter: a value, or a schedule whose levels lie in the range."""
    if not isinstance(domain, Float) or domain.low == domain.high:
        return ask(trial, name, domain)
    kind = choose(trial, f"{name}.{SCHEDULE}", courses)
    if kind == CONSTANT:
        return ask(trial, name, domain)
    record = schedules[kind]
    numbers = {
        key: ask(trial, f"{name}.{key}", domain if key in record.levels else own) for key, own in record.domains.items()
    }
    return Scheduled.of(kind, **numbers)


def _setting_params(prefix: str, settings: Mapping[str, Setting]) -> dict[str, Any]:
    """The answers that give the hyperparameters."""
    found: dict[str, Any] = {}
    for key, value in settings.items():
        name = f"{prefix}.{key}"
        if isinstance(value, Scheduled):
            found |= {f"{name}.{SCHEDULE}": value.kind, **{f"{name}.{own}": number for own, number in value.numbers}}
        else:
            found |= {f"{name}.{SCHEDULE}": CONSTANT, name: value}
    return found


def _domain_json(
    domain: Domain, constrained: Constrained | None = None, courses: tuple[str, ...] = (CONSTANT,)
) -> object:
    moving = {} if courses == (CONSTANT,) else {SCHEDULE: list(courses)}
    if constrained is not None:
        end, key = constrained
        named = f"{CONSTRAINT}{key}"
        return named if end == "value" or isinstance(domain, Choice) else {"low": domain.low, "high": named, **moving}
    if isinstance(domain, Choice):
        return list(domain.options)
    if isinstance(domain, Int):
        return {"low": domain.low, "high": domain.high}
    return {"low": domain.low, "high": domain.high, "log": domain.log, **moving}


def _ranges_json(ranges: Mapping[str, Domain]) -> object:
    """One range as it is, several by name, None if there is none."""
    written = {name: _domain_json(domain) for name, domain in ranges.items()}
    return written if len(written) > 1 else next(iter(written.values()), None)
