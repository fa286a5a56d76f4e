"""A candidate loss as data: canonical, hashable, comparable, printable as a formula.

JSON form::

    {"parts": [{"term": "focal", "gamma": 1.5, "weight": 0.7, "reduction": "mean", "scale": 0.41}],
     "decision": "tuned"}

A ``weight`` is a number, ``{"schedule": "linear", "start": 1.0, "end": 0.0}`` over training progress, or
``{"learned": "uncertainty"}``. A ``reduction`` is ``"mean"`` or ``{"cvar": 0.5}``, the mean of that share of
the batch with the largest losses. ``scale`` divides the part, so that unit weights mean gradients of
equal size at initialisation; it is measured, not searched, and takes no part in identity.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import Any, Literal

from losssearch.errors import SpecError, UnknownNameError, shown
from losssearch.losses import adaptive, fairness, primitives  # noqa: F401  (fills the registry)
from losssearch.losses.domains import SCALE, SHARE, WEIGHT
from losssearch.losses.term import LossTerm, registry

Decision = Literal["tuned", "fixed"]

FEW = 3
"""Hyperparameters that a formula shows all of; of more, those that are not at their defaults."""

_TELLING = frozenset({"statistic", "violation"})
"""Shown always."""


def _canonical_number(value: object) -> object:
    return _six_digits(value) + 0.0 if isinstance(value, float) else value  # + 0.0 makes one of -0.0 and 0.0


@dataclass(frozen=True)
class Weighting:
    """How much a part counts: constant, linear in training progress, or learned.

    ``uncertainty`` is Kendall et al. 2018, eq. 10: ``exp(-s) * loss + s / 2`` with a learned ``s``, from 0.
    """

    kind: Literal["constant", "linear", "uncertainty"] = "constant"
    start: float = 1.0
    end: float = 1.0

    def __post_init__(self) -> None:
        if self.kind not in ("constant", "linear", "uncertainty"):
            raise SpecError(f"a weighting is constant, linear or uncertainty, got {shown(self.kind)}")
        for name in ("start", "end"):
            object.__setattr__(self, name, WEIGHT.check(f"weight.{name}", getattr(self, name)))
        if self.kind == "constant" and not 0 < self.start == self.end:
            raise SpecError(f"a constant weight must be one number above 0, got {self.start:g} and {self.end:g}")
        if self.start == self.end == 0:
            raise SpecError("a linear weight must not start and end at 0")

    @classmethod
    def from_json(cls, data: object) -> Weighting:
        """Read a weighting; raise `SpecError` for any other form."""
        if isinstance(data, Mapping):
            if set(data) == {"schedule", "start", "end"} and data["schedule"] == "linear":
                start, end = (WEIGHT.check(f"weight.{key}", data[key]) for key in ("start", "end"))
                return cls("linear", start, end)
            if dict(data) == {"learned": "uncertainty"}:
                return cls("uncertainty")
            raise SpecError(f"a weight is a number, a linear schedule or learned uncertainty, got {shown(dict(data))}")
        value = WEIGHT.check("weight", data)
        return cls("constant", value, value)

    def to_json(self) -> object:
        """The inverse of `from_json`."""
        if self.kind == "constant":
            return self.start
        if self.kind == "linear":
            return {"schedule": "linear", "start": self.start, "end": self.end}
        return {"learned": "uncertainty"}


@dataclass(frozen=True)
class Reduction:
    """From per-sample losses to one number: the mean, or the mean of the largest ``share`` (CVaR)."""

    kind: Literal["mean", "cvar"] = "mean"
    share: float = 1.0

    def __post_init__(self) -> None:
        if self.kind not in ("mean", "cvar"):
            raise SpecError(f"a reduction is mean or cvar, got {shown(self.kind)}")
        object.__setattr__(self, "share", SHARE.check("reduction.cvar", self.share))

    @classmethod
    def from_json(cls, data: object) -> Reduction:
        """Read a reduction; raise `SpecError` for any other form."""
        if isinstance(data, str) and data == "mean":
            return cls()
        if isinstance(data, Mapping) and set(data) == {"cvar"}:
            return cls("cvar", SHARE.check("reduction.cvar", data["cvar"]))
        raise SpecError(f'a reduction is "mean" or {{"cvar": share}}, got {shown(data)}')

    def to_json(self) -> object:
        """The inverse of `from_json`."""
        return "mean" if self.kind == "mean" else {"cvar": self.share}


@dataclass(frozen=True)
class Part:
    """One weighted term of a loss."""

    name: str
    hyperparameters: Mapping[str, float | int | str] = field(default_factory=dict)
    weighting: Weighting = Weighting()
    reduction: Reduction = Reduction()
    scale: float = 1.0

    def __post_init__(self) -> None:
        if self.name not in registry:
            raise UnknownNameError("term", self.name, registry)
        checked = registry[self.name].check(self.hyperparameters)
        object.__setattr__(self, "hyperparameters", MappingProxyType(checked))
        object.__setattr__(self, "scale", SCALE.check("scale", self.scale))
        if self.reduction.kind == "cvar" and not self.term.per_sample:
            raise SpecError(f"{self.name} gives one value a batch, so its reduction must be mean")

    def __reduce__(self) -> tuple[Any, ...]:
        return _part, (self.name, dict(self.hyperparameters), self.weighting, self.reduction, self.scale)

    @property
    def term(self) -> LossTerm:
        """The registry's record of the term."""
        return registry[self.name]

    @property
    def is_mean(self) -> bool:
        """Whether the part is a mean over samples, so that each of them has a loss of its own."""
        return self.term.per_sample and self.reduction.kind == "mean"

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
            **self.hyperparameters,
            "weight": self.weighting.to_json(),
            "reduction": self.reduction.to_json(),
            "scale": self.scale,
        }

    def identity(self) -> str:
        """What makes this part what it is, leaving out weight and scale; parts are ordered by it."""
        hyper = {key: _canonical_number(value) for key, value in sorted(self.hyperparameters.items())}
        reduction = replace(self.reduction, share=_six_digits(self.reduction.share))
        return json.dumps([self.name, hyper, reduction.to_json()])


def _part(*arguments: Any) -> Part:
    return Part(*arguments)


@dataclass(frozen=True)
class LossSpec:
    """A sum of weighted parts, and whether threshold or temperature are tuned after training.

    Equality and hash are those of the canonical form: parts in a fixed order, constant weights summing
    to one, numbers to six digits, scales left out.
    """

    parts: tuple[Part, ...]
    decision: Decision = "tuned"

    def __post_init__(self) -> None:
        if not 1 <= len(self.parts) <= 8:
            raise SpecError(f"a loss has 1 to 8 parts, got {len(self.parts)}")
        if not isinstance(self.decision, str) or self.decision not in ("tuned", "fixed"):
            raise SpecError(f'decision must be "tuned" or "fixed", got {shown(self.decision)}')
        ordered = sorted(self.parts, key=Part.identity)
        if len({part.identity() for part in ordered}) < len(ordered):
            raise SpecError("the parts of a loss must differ; merge equal parts into one weight")
        read = {name for part in ordered for name in part.term.reads}
        if "target" in read and "labels" in read:
            names = ", ".join(part.name for part in ordered)
            raise SpecError(f"the terms of one loss must fit one kind of task, got {names}")
        total = math.fsum(part.weighting.start for part in ordered)
        constant = all(part.weighting.kind == "constant" for part in ordered)
        if constant and not math.isclose(total, 1, rel_tol=1e-12):  # else reading what was written would move it
            ordered = [
                replace(part, weighting=Weighting("constant", w, w))
                for part, w in ((part, part.weighting.start / total) for part in ordered)
            ]
        object.__setattr__(self, "parts", tuple(ordered))

    @classmethod
    def from_json(cls, data: object) -> LossSpec:
        """Read a spec from parsed JSON; raise `SpecError` with the rule that it breaks."""
        if not isinstance(data, Mapping) or not isinstance(data.get("parts"), list):
            raise SpecError(f'a loss spec is an object with a list "parts", got {shown(data)}')
        if unknown := set(data) - {"parts", "decision"}:
            raise SpecError(f"a loss spec has the keys parts and decision, got {', '.join(sorted(map(str, unknown)))}")
        return cls(tuple(Part.from_json(part) for part in data["parts"]), data.get("decision", "tuned"))

    def to_json(self) -> dict[str, Any]:
        """The inverse of `from_json`."""
        return {"parts": [part.to_json() for part in self.parts], "decision": self.decision}

    @property
    def key(self) -> str:
        """Sixteen hexadecimal digits that stay the same between runs, platforms and versions."""
        weights = [json.loads(json.dumps(part.weighting.to_json()), parse_float=_six_digits) for part in self.parts]
        text = json.dumps([[part.identity() for part in self.parts], weights, self.decision], sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()[:16]

    def __eq__(self, other: object) -> bool:
        return isinstance(other, LossSpec) and self.key == other.key

    def __hash__(self) -> int:
        return hash(self.key)

    @property
    def reads(self) -> frozenset[str]:
        """The tensors that its terms read, and ``progress`` where a weight follows a schedule."""
        named = {name for part in self.parts for name in part.term.reads}
        return frozenset(named | {"progress"} if any(p.weighting.kind == "linear" for p in self.parts) else named)

    @property
    def batch_level(self) -> str:
        """The first part that is no mean over samples, in words; empty where all are, and samples have losses."""
        for part in self.parts:
            if not part.is_mean:
                return f"the worst share of {part.name}" if part.term.per_sample else part.name
        return ""

    @property
    def needs_ids(self) -> str:
        """The first term that reads class ids and no probabilities; empty where none does."""
        return next((part.name for part in self.parts if part.term.needs_ids), "")

    def alone(self, *places: int) -> LossSpec:
        """The sum of the parts at ``places``, each worth exactly what it is worth in the whole loss.

        Constant weights of a spec sum to one, so those of some parts alone would be normalised anew; what they sum to
        goes into the scales instead. The values of ``alone(0)``, ``alone(1)``, … add up to the value of the loss.

        Raises:
            SpecError: without a place.
        """
        parts = [self.parts[place] for place in sorted(places)]
        if parts and all(part.weighting.kind == "constant" for part in parts):
            total = math.fsum(part.weighting.start for part in parts)
            parts = [replace(part, scale=min(part.scale / total, SCALE.high)) for part in parts]
        return replace(self, parts=tuple(parts))

    def formula(self, *, latex: bool = False) -> str:
        """The loss as a sum, for people: plain text, or LaTeX."""
        return " + ".join(_part_formula(part, len(self.parts) == 1, latex) for part in self.parts)


def _six_digits(number: str | float) -> float:
    return float(f"{float(number):.6g}")


def _part_formula(part: Part, alone: bool, latex: bool) -> str:
    defaults = part.term.defaults if len(part.hyperparameters) > FEW else {}
    values = [
        f"{name}={value:.3g}" if isinstance(value, float) else f"{name}={value}"
        for name, value in part.hyperparameters.items()
        if defaults.get(name) != value or name in _TELLING
    ]
    weighting = part.weighting
    if latex:
        name = rf"\mathrm{{{part.name}}}".replace("_", r"\_")
        body = name + (rf"_{{{', '.join(values)}}}".replace("_", r"\_").replace(r"\_{", "_{", 1) if values else "")
        if part.reduction.kind == "cvar":
            body = rf"\mathrm{{CVaR}}_{{{part.reduction.share:.3g}}}\left[{body}\right]"
        weight = {
            "constant": "" if alone else rf"{weighting.start:.3g}\,",
            "linear": rf"({weighting.start:.3g} \to {weighting.end:.3g})\,",
            "uncertainty": r"e^{-s}\,",
        }[weighting.kind]
        return weight + body
    body = part.name + (f"({', '.join(values)})" if values else "")
    if part.reduction.kind == "cvar":
        body = f"CVaR[{part.reduction.share:.3g}]({body})"
    weight = {
        "constant": "" if alone else f"{weighting.start:.3g}·",
        "linear": f"({weighting.start:.3g}→{weighting.end:.3g})·",
        "uncertainty": "exp(-s)·",
    }[weighting.kind]
    return weight + body
