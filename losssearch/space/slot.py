"""A place in a loss: which terms may stand in it, how they are weighted and reduced, and what that asks of a trial."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import Any

from losssearch.losses.domains import Domain, Float
from losssearch.losses.reduction import MEAN, Reduction
from losssearch.losses.schedule import Scheduled
from losssearch.losses.spec import Part
from losssearch.losses.weighting import CONSTANT, Weighting, weightings
from losssearch.space.answers import (
    SCHEDULE,
    Constrained,
    Courses,
    ask,
    choose,
    domain_json,
    ranges_json,
    setting,
    setting_params,
    settings_params,
)
from losssearch.space.trials import Trial

BASE = "base"
BALANCE = "balance"
"""The name of the choice among balances, which no slot may have."""
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
    courses: Mapping[str, Courses] = field(default_factory=dict)
    """What a number may follow where it need not be constant: a hyperparameter by ``TERM.NAME``, that of a reduction by
    its name, and ``weight``."""
    repeats: bool = False
    """Whether a term of an earlier slot may stand here again: it serves another constraint."""

    def part(self, trial: Trial, term: str) -> Part:
        """The part with ``term`` that the trial's answers describe."""
        prefix = f"{self.name}.{term}"
        values = {
            key: setting(trial, f"{prefix}.{key}", domain, self.courses.get(f"{term}.{key}"))
            for key, domain in self.terms[term].items()
        }
        part = Part(term, values)
        kind = choose(trial, f"{self.name}.reduction", tuple(self.reductions) if part.term.per_sample else (MEAN,))
        numbers = {
            key: setting(trial, f"{self.name}.{key}", domain, self.courses.get(key))
            for key, domain in self.reductions[kind].items()
        }
        return replace(part, weighting=self._weighting(trial), reduction=Reduction(kind, **numbers))

    def _weighting(self, trial: Trial) -> Weighting:
        kind = choose(trial, f"{self.name}.weighting", self.weightings)
        if kind in RAMPS:
            return Weighting(weight=RAMPS[kind](ask(trial, f"{self.name}.weight", self.weight)))
        numbers = {
            key: setting(trial, f"{self.name}.weight", self.weight, self.courses.get("weight"))
            if key == "weight"
            else ask(trial, f"{self.name}.{kind}.{key}", domain)
            for key, domain in weightings[kind].domains.items()
        }
        return Weighting(kind, **numbers)

    def params(self, part: Part, unit: float) -> dict[str, Any]:
        """The answers that give ``part``, where base weighs ``unit``; names that were not asked may be among them."""
        weighting = part.weighting
        weight, kind = weighting.values.get("weight"), weighting.kind
        moving: dict[str, Any] = {}
        if isinstance(weight, Scheduled):
            ramps = (name for name in self.weightings if name in RAMPS and RAMPS[name](max(weight.levels)) == weight)
            kind = next(ramps, kind)
            moving = setting_params(f"{self.name}.weight", weight.scaled(1 / unit))
            weight = max(weight.levels)
        params: dict[str, Any] = {
            self.name: "present",
            f"{self.name}.term": part.name,
            f"{self.name}.reduction": part.reduction.kind,
            f"{self.name}.weighting": kind,
            **settings_params(f"{self.name}.{part.name}", part.hyperparameters),
            **settings_params(self.name, part.reduction.values),
            **{f"{self.name}.{kind}.{key}": number for key, number in weighting.numbers if key != "weight"},
            f"{self.name}.weight.{SCHEDULE}": CONSTANT,
            **moving,
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
                k: domain_json(d, self.constrained.get(term, {}).get(k), self.courses.get(f"{term}.{k}"))
                for k, d in sorted(ranges.items())
            }
            for term, ranges in self.terms.items()
        }
        reductions = {kind: ranges_json(ranges, self.courses) for kind, ranges in self.reductions.items()}
        data = {"terms": dict(sorted(terms.items())), "reductions": reductions}
        if self.name != BASE:
            weight = domain_json(self.weight, None, self.courses.get("weight"))
            data |= {"weight": weight, "weighting": list(self.weightings)}
        if self.required:
            data["required"] = True
        return data
