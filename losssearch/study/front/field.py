"""Which losses a front trains again: what leads as it was tried, and its penalties at every strength.

What moves a model along the front is the strength of its penalty, and forms that differ reach different places. So each
side sweeps the strength of its leading forms: as many models of several forms reach a better front than of one.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from dataclasses import replace

from losssearch.losses.spec import LossSpec, Part
from losssearch.storage.records import TrialRecord
from losssearch.study.context import FRONT_LIMITS
from losssearch.study.selecting.selection import Contender

MOST = 3
"""Candidates of either side that are trained again as they were tried."""

FORMS = 3
"""Penalised losses of either side whose strength is swept: of one form the sweep is denser, not smaller."""

STRENGTHS = tuple(float(f"{0.05 * 120 ** (step / 15):.3g}") for step in range(16))
"""Weights of a penalty relative to a base loss of weight 1, from a very weak to a very strong penalty."""


def field(trials: Sequence[TrialRecord], plain: str) -> list[Contender]:
    """What is trained again: of either side the best as they were tried, and its penalties at all `STRENGTHS`.

    Both sides have as many, so that the comparison of their fronts is one of losses.
    """
    chosen: dict[str, Contender] = {}
    for origin in ("baseline", "searched"):
        own = entrants([trial for trial in trials if trial.origin == origin], plain)
        for contender in [*own[:MOST], *swept([one.trial for one in own])]:
            chosen.setdefault(contender.spec.key, contender)
    return list(chosen.values())


def entrants(trials: Sequence[TrialRecord], plain: str) -> list[Contender]:
    """Trained candidates in the order in which each adds most to what those before it reach; the plain loss first."""
    able = [t for t in trials if t.twin is None and t.details and t.value is not None]
    profiles = {t.number: [statistics.fmean(column) for column in zip(*t.details, strict=True)] for t in able}
    first = next((t for t in able if t.name == plain), None)
    chosen = [] if first is None else [first]
    best = profiles[first.number] if first else [-math.inf] * len(FRONT_LIMITS)
    left = [t for t in able if t is not first]

    def worth(trial: TrialRecord) -> tuple[float, float, int]:
        """What it adds to the others; where nothing, what it reaches by itself."""
        own = profiles[trial.number]
        added = sum(max(0.0, p - b) if math.isfinite(b) else p for p, b in zip(own, best, strict=True))
        return added, sum(own), -trial.number

    while left:
        top = max(left, key=worth)
        chosen.append(top)
        left.remove(top)
        best = [max(b, p) for b, p in zip(best, profiles[top.number], strict=True)]
    return [Contender(trial) for trial in chosen]


def swept(trials: Sequence[TrialRecord]) -> list[Contender]:
    """The first `FORMS` penalised losses that differ by more than strength, at all `STRENGTHS` between them."""
    forms: dict[str, TrialRecord] = {}
    for trial in trials:
        if _penalised(trial) and len(forms) < FORMS:
            forms.setdefault(_strengthened(LossSpec.from_json(trial.spec), 1.0).key, trial)
    found = []
    for place, trial in enumerate(forms.values()):
        for strength in STRENGTHS[place :: len(forms)]:
            spec = _strengthened(LossSpec.from_json(trial.spec), strength)
            found.append(Contender(replace(trial, spec=spec.to_json(), key=spec.key)))
    return found


def _penalised(trial: TrialRecord) -> bool:
    parts = LossSpec.from_json(trial.spec).parts
    return 0 < sum(not part.term.scaled for part in parts) < len(parts)


def _strengthened(spec: LossSpec, strength: float) -> LossSpec:
    """The loss with the base parts' weights summing to 1, and the largest of its penalties' being ``strength``."""

    def scaled(part: Part, factor: float) -> Part:
        return replace(part, weighting=part.weighting.scaled(factor))

    def largest(part: Part) -> float:
        return part.weighting.largest

    base = sum(largest(part) for part in spec.parts if part.term.scaled) or 1.0
    penalty = max((largest(part) for part in spec.parts if not part.term.scaled), default=0.0) or 1.0
    parts = (scaled(p, 1 / base if p.term.scaled else strength / penalty) for p in spec.parts)
    return replace(spec, parts=tuple(parts))
