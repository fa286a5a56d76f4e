"""A search space as data: which terms may stand where, in which ranges, and what may not stand together.

A loss is one part for the slot ``base`` and at most one for each further slot. A space turns the answers of a trial
(Optuna's, or anything with its three ``suggest_`` methods) into a `LossSpec`, and nothing else enters: the same answers
give the same spec, so a study can be resumed and a result rebuilt from its parameters.

The parameters of a trial, for slots ``base`` and ``auxiliary``::

    base.term            "focal"                a term of the slot; asked only where there is a choice
    base.focal.gamma     1.5                    one for each hyperparameter whose range is not a single value
    base.reduction       "mean" | "cvar"        with a parameter for each of its numbers, base.share for the latter
    auxiliary            "absent" | "present"   whether the slot is used, not asked where it always is; the following
                                                only where it is
    auxiliary.term, auxiliary.<term>.<hyperparameter>, auxiliary.reduction, auxiliary.share
    auxiliary.weighting  one of `weighting_names`
    balance              "sum"                  asked only where there is a choice, with balance.<name>.<number>
    auxiliary.weight     0.3                    relative to base's 1; other numbers of a weighting are
                                                auxiliary.<weighting>.<number>
"""

from __future__ import annotations

import hashlib
import itertools
import json
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import Any, Literal, TypeAlias

from losssearch.errors import SpecError
from losssearch.losses.balance import SUM, Balance, balances
from losssearch.losses.domains import Choice, Domain, Float, Int
from losssearch.losses.reduction import MEAN, Reduction
from losssearch.losses.schedule import Scheduled
from losssearch.losses.spec import LossSpec, Part
from losssearch.losses.term import registry
from losssearch.losses.weighting import CONSTANT, Weighting, weightings
from losssearch.space.trials import Replay, Trial

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
    repeats: bool = False
    """Whether a term of an earlier slot may stand here again: it serves another constraint."""

    def part(self, trial: Trial, term: str) -> Part:
        """The part with ``term`` that the trial's answers describe."""
        prefix = f"{self.name}.{term}"
        values = {key: _ask(trial, f"{prefix}.{key}", domain) for key, domain in self.terms[term].items()}
        part = Part(term, values)
        kind = _choose(trial, f"{self.name}.reduction", tuple(self.reductions) if part.term.per_sample else (MEAN,))
        numbers = {key: _ask(trial, f"{self.name}.{key}", domain) for key, domain in self.reductions[kind].items()}
        return replace(part, weighting=self._weighting(trial), reduction=Reduction(kind, **numbers))

    def _weighting(self, trial: Trial) -> Weighting:
        kind = _choose(trial, f"{self.name}.weighting", self.weightings)
        if kind in RAMPS:
            return Weighting(weight=RAMPS[kind](_ask(trial, f"{self.name}.weight", self.weight)))
        numbers = {
            key: _ask(trial, f"{self.name}.weight", self.weight)
            if key == "weight"
            else _ask(trial, f"{self.name}.{kind}.{key}", domain)
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
            **{f"{self.name}.{part.name}.{key}": value for key, value in part.hyperparameters.items()},
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
            term: {k: _domain_json(d, self.constrained.get(term, {}).get(k)) for k, d in sorted(ranges.items())}
            for term, ranges in self.terms.items()
        }
        reductions = {kind: _ranges_json(ranges) for kind, ranges in self.reductions.items()}
        data = {"terms": dict(sorted(terms.items())), "reductions": reductions}
        if self.name != BASE:
            data |= {"weight": _domain_json(self.weight), "weighting": list(self.weightings)}
        if self.required:
            data["required"] = True
        return data


@dataclass(frozen=True)
class SearchSpace:
    """What a study may try. ``slots`` begins with base; of each set in ``never_together`` a loss has one term at most.

    ``portfolio`` holds the specs that a study tries first; ``aimed``, in the form of the file, those that name a number
    of the metric, which `losssearch.space.portfolio.aim` fills in. A slot stays empty if its term would break a
    condition, repeat a term of an earlier slot, or be one part too many; such answers give the spec of simpler ones.
    """

    name: str
    task: str
    slots: tuple[Slot, ...]
    max_parts: int
    never_together: frozenset[frozenset[str]] = frozenset()
    portfolio: tuple[LossSpec, ...] = ()
    question: str = field(default="", compare=False)
    aimed: tuple[Mapping[str, Any], ...] = ()
    balances: tuple[str, ...] = (SUM,)
    """How the parts may become the loss: balances by name."""

    @property
    def reads(self) -> frozenset[str]:
        """The tensors that some term reads."""
        return frozenset(read for term in self.terms for read in registry[term].reads)

    @property
    def constrained(self) -> bool:
        """Whether some range is that of a constraint, which `bind` fills in."""
        return any(slot.constrained for slot in self.slots)

    @property
    def terms(self) -> frozenset[str]:
        """The names of all terms that may stand in a slot."""
        return frozenset(term for slot in self.slots for term in slot.terms)

    def sample(self, trial: Trial) -> LossSpec:
        """The spec that the trial's answers describe."""
        parts: list[Part] = []
        for slot in self.slots:
            if slot.name != BASE and (len(parts) == self.max_parts or not _used(trial, slot)):
                continue
            term = _choose(trial, f"{slot.name}.term", tuple(sorted(slot.terms)))
            if self._allows(slot, term, parts):
                parts.append(slot.part(trial, term))
        if comparing := [part.weighting for part in parts if part.weighting.record.compares]:
            parts[0] = replace(parts[0], weighting=comparing[0])
        return LossSpec(tuple(parts), "tuned", self._balance(trial))

    def _balance(self, trial: Trial) -> Balance:
        kind = _choose(trial, BALANCE, self.balances)
        domains = balances[kind].domains
        return Balance(kind, **{key: _ask(trial, f"{BALANCE}.{kind}.{key}", domain) for key, domain in domains.items()})

    def _allows(self, slot: Slot, term: str, parts: Sequence[Part]) -> bool:
        present = {part.name for part in parts}
        return (slot.repeats or term not in present) and not any(
            term in rule and rule & present for rule in self.never_together
        )

    def spec(self, params: Mapping[str, object]) -> LossSpec:
        """Rebuild the spec from a trial's parameters; raises `SpecError` if one is missing or out of its range.

        Parameters that the space does not ask for are left aside.
        """
        return self.sample(Replay(params))

    def encode(self, spec: LossSpec) -> dict[str, Any] | None:
        """The parameters that give ``spec``, or None if the space cannot express it.

        ``space.spec(space.encode(spec)) == spec``; of several sets of parameters with one spec it gives one.
        """
        for placed in self._placements(spec.parts):
            base = placed[BASE].weighting
            params: dict[str, Any] = {slot.name: "absent" for slot in self.slots[1:]}
            params[BALANCE] = spec.balance.kind
            params |= {f"{BALANCE}.{spec.balance.kind}.{key}": number for key, number in spec.balance.numbers}
            for slot in self.slots:
                if slot.name in placed:
                    params |= slot.params(placed[slot.name], base.fixed or 1.0)
            replay = Replay(params)
            try:
                if self.sample(replay) == spec:
                    return {name: params[name] for name in replay.asked}
            except SpecError:
                continue
        return None

    def _placements(self, parts: Sequence[Part]) -> Iterator[dict[str, Part]]:
        for slots in itertools.permutations(self.slots, len(parts)):
            if self.slots[0] in slots and all(p.name in s.terms for p, s in zip(parts, slots, strict=True)):
                yield {slot.name: part for slot, part in zip(slots, parts, strict=True)}

    def to_json(self) -> dict[str, Any]:
        """The space in the form of its file, with every range spelled out; loading it gives the same space."""
        balanced = {} if self.balances == (SUM,) else {"balances": list(self.balances)}
        return {
            "task": self.task,
            "max_parts": self.max_parts,
            **balanced,
            "slots": {slot.name: slot.to_json() for slot in self.slots},
            "conditions": [{"never_together": names} for names in sorted(map(sorted, self.never_together))],
            "portfolio": [*self.aimed, *(_without_scale(spec.to_json()) for spec in self.portfolio)],
        }

    @property
    def hash(self) -> str:
        """Sixteen hexadecimal digits of what the space means; comments, layout and order of terms do not enter."""
        data = self.to_json()
        data["slots"] = list(data["slots"].items())  # the order of slots has a meaning, that of keys has none
        data["portfolio"] = [*self.aimed, *(spec.key for spec in self.portfolio)]
        return hashlib.sha256(json.dumps(data, sort_keys=True).encode()).hexdigest()[:16]


def _used(trial: Trial, slot: Slot) -> bool:
    return slot.required or _choose(trial, slot.name, USE) == "present"


def _choose(trial: Trial, name: str, options: Sequence[str]) -> str:
    return options[0] if len(options) == 1 else trial.suggest_categorical(name, options)


def _ask(trial: Trial, name: str, domain: Domain) -> Any:
    """The trial's answer; a range of one value is not asked for."""
    if isinstance(domain, Choice):
        return _choose(trial, name, domain.options)
    if domain.low == domain.high:
        return domain.low
    if isinstance(domain, Int):
        return trial.suggest_int(name, domain.low, domain.high)
    return trial.suggest_float(name, domain.low, domain.high, log=domain.log)


def _domain_json(domain: Domain, constrained: Constrained | None = None) -> object:
    if constrained is not None:
        end, key = constrained
        named = f"{CONSTRAINT}{key}"
        return named if end == "value" or isinstance(domain, Choice) else {"low": domain.low, "high": named}
    if isinstance(domain, Choice):
        return list(domain.options)
    if isinstance(domain, Int):
        return {"low": domain.low, "high": domain.high}
    return {"low": domain.low, "high": domain.high, "log": domain.log}


def _ranges_json(ranges: Mapping[str, Domain]) -> object:
    """One range as it is, several by name, None if there is none."""
    written = {name: _domain_json(domain) for name, domain in ranges.items()}
    return written if len(written) > 1 else next(iter(written.values()), None)


def _without_scale(data: dict[str, Any]) -> dict[str, Any]:
    parts = [{key: value for key, value in part.items() if key != "scale"} for part in data["parts"]]
    return {**data, "parts": parts}
