"""A candidate loss as data: canonical, hashable, comparable, printable as a formula.

JSON form::

    {"parts": [{"term": "focal", "gamma": 1.5, "weight": 0.7, "reduction": "mean", "scale": 0.41}],
     "decision": "tuned"}

A ``weight`` is a number or a weighting, such as ``{"learned": "uncertainty"}``. A ``reduction`` is ``"mean"`` or
``{"cvar": 0.5}``, the mean of that share of the batch with the largest losses. Each of these numbers, and each real
hyperparameter, may follow a schedule: ``{"schedule": "linear", "start": 1.0, "end": 0.0}``. A ``balance``, a
key next to ``parts``, says how the parts become the loss; without one it is their sum. ``scale`` divides the part, so
that unit weights mean gradients of equal size at initialisation; it is measured, not searched, and does not count for
equality.

Example:
    >>> from losssearch.losses.spec import LossSpec
    >>> spec = LossSpec.from_json({"parts": [{"term": "focal", "gamma": 1.5}]})
    >>> spec.formula()
    '...focal...'
    >>> spec == LossSpec.from_json({"parts": [{"term": "focal", "gamma": 1.5, "weight": 3.0}]})
    True
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import Any, Literal, cast

from losssearch.errors import SpecError, UnknownNameError, shown
from losssearch.losses import (  # noqa: F401  (fills the registries)
    adaptive,
    balances,
    fairness,
    noise,
    primitives,
    reductions,
    schedules,
    weightings,
)
from losssearch.losses.balance import SUM, Balance, require_sum
from losssearch.losses.domains import SCALE
from losssearch.losses.record import Record
from losssearch.losses.reduction import Reduction
from losssearch.losses.schedule import Scheduled, number_json
from losssearch.losses.spec_formula import part_formula
from losssearch.losses.term import LossTerm, Setting, registry
from losssearch.losses.weighting import Weighting

DecisionKind = Literal["tuned", "fixed"]


def _canonical(value: object) -> object:
    """JSON with its real numbers to six digits."""
    if isinstance(value, Mapping):
        return {key: _canonical(item) for key, item in value.items()}
    return _six_digits(value) + 0.0 if isinstance(value, float) else value  # + 0.0 makes one of -0.0 and 0.0


@dataclass(frozen=True)
class Part:
    """One weighted term of a loss."""

    name: str
    hyperparameters: Mapping[str, Setting] = field(default_factory=dict)
    weighting: Weighting = field(default_factory=Weighting)
    reduction: Reduction = field(default_factory=Reduction)
    scale: float = 1.0

    def __post_init__(self) -> None:
        if self.name not in registry:
            raise UnknownNameError("term", self.name, registry)
        object.__setattr__(self, "name", registry[self.name].name)  # an alias becomes the term's own name
        checked = registry[self.name].check_settings(self.hyperparameters)
        object.__setattr__(self, "hyperparameters", MappingProxyType(checked))
        object.__setattr__(self, "scale", SCALE.check("scale", self.scale))
        if not (self.reduction.is_mean or self.term.per_sample):
            raise SpecError(f"{self.name} gives one value per batch, so its reduction must be mean")

        if twice := set(self.term.states) & set(self.weighting.record.states):
            raise SpecError(f"{self.name} and the weighting {self.weighting.kind} both have a state {min(twice)!r}")

    def __reduce__(self) -> tuple[Any, ...]:
        return _part, (self.name, dict(self.hyperparameters), self.weighting, self.reduction, self.scale)

    @property
    def term(self) -> LossTerm:
        """The registry's record of the term."""
        return registry[self.name]

    @property
    def is_mean(self) -> bool:
        """Whether the part is a mean over samples, so that each of them has a loss of its own."""
        weighting = self.weighting.record  # whose updates read the mean
        follows = any(state.update is not None for state in weighting.states.values())
        return self.term.per_sample and self.reduction.is_mean and weighting.affine and not follows

    @property
    def scheduled(self) -> dict[str, Scheduled]:
        """The hyperparameters that follow a schedule."""
        return {name: value for name, value in self.hyperparameters.items() if isinstance(value, Scheduled)}

    @property
    def reads_progress(self) -> bool:
        """Whether its value depends on how much of the training is done."""
        records = (self.weighting.record, self.reduction.record)
        settings = self.settings
        return any(isinstance(n, Scheduled) for n in settings) or any(record.reads_progress for record in records)

    @property
    def restart_at(self) -> float | None:
        """The share of the training at which its term lets the model start anew; None where it does not."""
        named = self.term.restart_at
        return cast("float", self.hyperparameters[named]) if named else None

    @property
    def settings(self) -> list[Setting]:
        """Every number and choice of the term, the weighting and the reduction."""
        return [*self.hyperparameters.values(), *self.weighting.values.values(), *self.reduction.values.values()]

    @classmethod
    def from_json(cls, data: object) -> Part:
        """Read a part; raise `SpecError` or `UnknownNameError` with the rule that it breaks."""
        if not isinstance(data, Mapping) or not isinstance(data.get("term"), str):
            raise SpecError(f'a part is an object with a "term", got {shown(data)}')
        rest = {key: value for key, value in data.items() if key not in ("term", "weight", "reduction", "scale")}
        return cls(
            name=data["term"],
            hyperparameters=rest,
            weighting=Weighting.from_json(data.get("weight", 1.0)),
            reduction=Reduction.from_json(data.get("reduction", "mean")),
            scale=SCALE.check("scale", data.get("scale", 1.0)),
        )

    def to_json(self) -> dict[str, Any]:
        """The inverse of `from_json`."""
        return {
            "term": self.name,
            **{name: _setting_json(value) for name, value in self.hyperparameters.items()},
            "weight": self.weighting.to_json(),
            "reduction": self.reduction.to_json(),
            "scale": self.scale,
        }

    def identity(self) -> str:
        """What makes this part what it is, leaving out weight and scale; parts are ordered by it."""
        hyper = {key: _canonical(_setting_json(value)) for key, value in sorted(self.hyperparameters.items())}
        return json.dumps([self.name, hyper, _canonical(self.reduction.to_json())])


def _part(*arguments: Any) -> Part:
    return Part(*arguments)


def _setting_json(value: Setting) -> object:
    return value if isinstance(value, str) else number_json(value)


@dataclass(frozen=True)
class LossSpec:
    """A sum of weighted parts, and whether threshold or temperature are tuned after training.

    Equality and hash are those of the canonical form: parts in a fixed order, constant weights summing
    to one, numbers to six digits, scales left out.
    """

    parts: tuple[Part, ...]
    decision: DecisionKind = "tuned"
    balance: Balance = field(default_factory=Balance)

    def __post_init__(self) -> None:
        if not 1 <= len(self.parts) <= 8:
            raise SpecError(f"a loss has 1 to 8 parts, got {len(self.parts)}")
        if not isinstance(self.decision, str) or self.decision not in ("tuned", "fixed"):
            raise SpecError(f'decision must be "tuned" or "fixed", got {shown(self.decision)}')
        if len(self.parts) == 1 and not self.balance.is_sum:
            kind = self.balance.kind
            raise SpecError(f"the balance {kind} weighs parts against each other: give two or more parts, got one")
        if self.balance.record.needs_nonnegative:
            for part in self.parts:
                if not part.term.nonnegative:
                    kind = self.balance.kind
                    raise SpecError(f"the balance {kind} needs terms that are never below zero, got {part.name}")
        ordered = sorted(self.parts, key=Part.identity)
        if len({part.identity() for part in ordered}) < len(ordered):
            raise SpecError("the parts of a loss must differ; merge equal parts into one weight")
        read = {name for part in ordered for name in part.term.reads}
        if "target" in read and "labels" in read:
            names = ", ".join(part.name for part in ordered)
            raise SpecError(f"the terms of one loss must fit one kind of task, got {names}")
        total = _total_weight(ordered)
        if total is not None and not math.isclose(total, 1, rel_tol=1e-12):  # else reading what was written moves it
            ordered = [replace(part, weighting=part.weighting.divided(total)) for part in ordered]
        object.__setattr__(self, "parts", tuple(ordered))

    @classmethod
    def from_json(cls, data: object) -> LossSpec:
        """Read a spec from parsed JSON; raise `SpecError` with the rule that it breaks."""
        if not isinstance(data, Mapping) or not isinstance(data.get("parts"), list):
            raise SpecError(f'a loss spec is an object with a list "parts", got {shown(data)}')
        if unknown := set(data) - {"parts", "decision", "balance"}:
            found = ", ".join(sorted(map(str, unknown)))
            raise SpecError(f"a loss spec has the keys parts, decision and balance, got {found}")
        balance = Balance.from_json(data.get("balance", SUM))
        return cls(tuple(Part.from_json(part) for part in data["parts"]), data.get("decision", "tuned"), balance)

    def to_json(self) -> dict[str, Any]:
        """The inverse of `from_json`."""
        data = {"parts": [part.to_json() for part in self.parts], "decision": self.decision}
        return data if self.balance.is_sum else {**data, "balance": self.balance.to_json()}

    @property
    def key(self) -> str:
        """Sixteen hexadecimal digits that stay the same between runs, platforms and versions."""
        weights = [json.loads(json.dumps(part.weighting.to_json()), parse_float=_six_digits) for part in self.parts]
        identity: list[object] = [[part.identity() for part in self.parts], weights, self.decision]
        if not self.balance.is_sum:
            identity.append(_canonical(self.balance.to_json()))
        text = json.dumps(identity, sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()[:16]

    def __eq__(self, other: object) -> bool:
        return isinstance(other, LossSpec) and self.key == other.key

    def __hash__(self) -> int:
        return hash(self.key)

    @property
    def reads(self) -> frozenset[str]:
        """The tensors that its terms read, and ``progress`` where a number follows a schedule."""
        named = {name for part in self.parts for name in part.term.reads}
        moving = any(part.reads_progress for part in self.parts) or self.balance.reads_progress
        return frozenset(named | {"progress"} if moving else named)

    @property
    def records(self) -> tuple[Record, ...]:
        """The weightings, reductions, schedules and the balance that it is made with, each once."""
        found: list[Record] = []
        for part in self.parts:
            found += [part.weighting.record, part.reduction.record, *_schedules(part.settings)]
        found += [self.balance.record, *_schedules(self.balance.values.values())]
        return tuple(record for place, record in enumerate(found) if record not in found[:place])

    @property
    def scheduled(self) -> list[Scheduled]:
        """The schedules that its numbers follow."""
        settings = [setting for part in self.parts for setting in part.settings]
        return [own for own in (*settings, *self.balance.values.values()) if isinstance(own, Scheduled)]

    @property
    def restart_at(self) -> tuple[float, ...]:
        """The shares of the training at which the model starts anew, while the loss keeps what it has; in order."""
        return tuple(sorted({at for part in self.parts if (at := part.restart_at) is not None}))

    @property
    def batch_level(self) -> str:
        """The first part that is no mean over samples, in words; empty where all are, and samples have losses."""
        for part in self.parts:
            if not part.is_mean:
                return part.name if not part.term.per_sample else _level(part)
        return "" if self.balance.is_sum else f"the balance {self.balance.kind}"

    @property
    def needs_ids(self) -> str:
        """The first term that reads class ids and no probabilities; empty where none does."""
        return next((part.name for part in self.parts if part.term.needs_ids), "")

    def alone(self, *places: int) -> LossSpec:
        """The sum of the parts at ``places``, each worth exactly what it is worth in the whole loss.

        Constant weights of a spec sum to one, so those of some parts alone would be normalised anew; what they sum to
        goes into the scales instead. The values of ``alone(0)``, ``alone(1)``, … add up to the value of the loss.

        Raises:
            SpecError: without a place, or where the loss is not the sum of its parts.
        """
        if len(set(places)) < len(self.parts):
            require_sum(self.balance, "what looks at the parts one by one")
        parts = [self.parts[place] for place in sorted(places)]
        total = _total_weight(parts)
        if total is not None:
            parts = [replace(part, scale=min(part.scale / total, SCALE.high)) for part in parts]
        return replace(self, parts=tuple(parts))

    def formula(self, *, latex: bool = False) -> str:
        """The loss as a sum, for people: plain text, or LaTeX."""
        total = " + ".join(part_formula(part, len(self.parts) == 1, latex) for part in self.parts)
        return self.balance.formula(total, latex=latex)


def _six_digits(number: str | float) -> float:
    return float(f"{float(number):.6g}")


def _schedules(settings: Iterable[Setting]) -> list[Record]:
    return [setting.record for setting in settings if isinstance(setting, Scheduled)]


def _total_weight(parts: Sequence[Part]) -> float | None:
    """What the weights of ``parts`` sum to, None where there are none or one of them is not a constant."""
    weights = [weight for part in parts if (weight := part.weighting.fixed) is not None]
    return math.fsum(weights) if parts and len(weights) == len(parts) else None


def _level(part: Part) -> str:
    if part.reduction.is_mean:
        return f"{part.name} with the weighting {part.weighting.kind}"
    return f"{part.reduction.record.meaning or f'the {part.reduction.kind}'} of {part.name}"
