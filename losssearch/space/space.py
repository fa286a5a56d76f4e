"""A search space as data: which terms may stand where, in which ranges, and what may not stand together.

A loss is one part for the slot ``base`` and at most one for each further slot. A space turns the answers of a trial
(Optuna's, or anything with its three ``suggest_`` methods) into a `LossSpec`, and nothing else enters: the same answers
give the same spec, so a study can be resumed and a result rebuilt from its parameters.

The parameters of a trial, for slots ``base`` and ``auxiliary``::

    base.term            "focal"                a term of the slot; asked only where there is a choice
    base.focal.gamma     1.5                    one for each hyperparameter whose range is not a single value
    base.focal.gamma.schedule "linear"          where it may follow schedules, and "constant" where it follows none; its
                                                numbers are base.focal.gamma.start and base.focal.gamma.end
    base.reduction       "mean" | "cvar"        with a parameter for each of its numbers, base.share for the latter
    auxiliary            "absent" | "present"   whether the slot is used, not asked where it always is; the following
                                                only where it is
    auxiliary.term, auxiliary.<term>.<hyperparameter>, auxiliary.reduction, auxiliary.share
    auxiliary.weighting  one of `weighting_names`
    balance              "sum"                  asked only where there is a choice and the loss has several parts, with
                                                balance.<name>.<number>
    auxiliary.weight     0.3                    relative to base's 1; other numbers of a weighting are
                                                auxiliary.<weighting>.<number>
"""

from __future__ import annotations

import hashlib
import itertools
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from losssearch.errors import SpecError
from losssearch.losses.balance import SUM, Balance, balances
from losssearch.losses.domains import Domain, Tree
from losssearch.losses.spec import LossSpec, Part
from losssearch.losses.term import registry
from losssearch.space.answers import Courses, choose, ranges_json, setting, settings_params
from losssearch.space.slot import BALANCE, BASE, USE, Slot
from losssearch.space.trials import Replay, Trial

MENU = 0.5
"""Share of a study's trials that the menu has, so that a searched loss does not win by how often it was tried."""


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
    balances: Mapping[str, Mapping[str, Domain]] = field(default_factory=lambda: {SUM: {}})
    """How several parts may become the loss: balances by name, each with the ranges of its numbers."""
    courses: Mapping[str, Courses] = field(default_factory=dict)
    """What a number of a balance, ``BALANCE.NAME``, may follow where it need not be constant."""
    menu: float = MENU
    """Share of a study's trials that the menu has; less where most proposals are turned away before any training."""

    @property
    def reads(self) -> frozenset[str]:
        """The tensors that some term reads."""
        return frozenset(read for term in self.terms for read in registry[term].reads)

    @property
    def constrained(self) -> bool:
        """Whether some range is that of a constraint, which `bind` fills in."""
        return any(slot.constrained for slot in self.slots)

    @property
    def has_trees(self) -> bool:
        """Whether some hyperparameter is a tree, which is bred from others and not sampled."""
        return any(isinstance(one, Tree) for slot in self.slots for own in slot.terms.values() for one in own.values())

    @property
    def learns_by_validation(self) -> bool:
        """Whether the validation loss moves something of some term, so that a finalist is trained twice."""
        return any(state.by_validation for term in self.terms for state in registry[term].states.values())

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
            term = choose(trial, f"{slot.name}.term", tuple(sorted(slot.terms)))
            if self._allows(slot, term, parts):
                parts.append(slot.part(trial, term))
        if comparing := [part.weighting for part in parts if part.weighting.record.compares]:
            parts[0] = replace(parts[0], weighting=comparing[0])
        return LossSpec(tuple(parts), "tuned", self._balance(trial) if len(parts) > 1 else Balance())

    def _balance(self, trial: Trial) -> Balance:
        kind = choose(trial, BALANCE, tuple(self.balances))
        numbers = {
            key: setting(trial, f"{BALANCE}.{kind}.{key}", domain, self.courses.get(f"{kind}.{key}"))
            for key, domain in self.balances[kind].items()
        }
        return Balance(kind, **numbers)

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
            params |= settings_params(f"{BALANCE}.{spec.balance.kind}", spec.balance.values)
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
        balanced = {} if list(self.balances) == [SUM] else {"balances": self._balances_json()}
        return {
            "task": self.task,
            "max_parts": self.max_parts,
            **({} if self.menu == MENU else {"menu": self.menu}),
            **balanced,
            "slots": {slot.name: slot.to_json() for slot in self.slots},
            "conditions": [{"never_together": names} for names in sorted(map(sorted, self.never_together))],
            "portfolio": [*self.aimed, *(_without_scale(spec.to_json()) for spec in self.portfolio)],
        }

    def _balances_json(self) -> object:
        if not self.courses and all(ranges == balances[kind].domains for kind, ranges in self.balances.items()):
            return list(self.balances)
        return {
            kind: ranges_json(ranges, {key: self.courses.get(f"{kind}.{key}", {}) for key in ranges})
            for kind, ranges in self.balances.items()
        }

    @property
    def hash(self) -> str:
        """Sixteen hexadecimal digits of what the space means; comments, layout and order of terms do not enter."""
        data = self.to_json()
        data["slots"] = list(data["slots"].items())  # the order of slots has a meaning, that of keys has none
        data["portfolio"] = [*self.aimed, *(spec.key for spec in self.portfolio)]
        return hashlib.sha256(json.dumps(data, sort_keys=True).encode()).hexdigest()[:16]


def _used(trial: Trial, slot: Slot) -> bool:
    return slot.required or choose(trial, slot.name, USE) == "present"


def _without_scale(data: dict[str, Any]) -> dict[str, Any]:
    parts = [{key: value for key, value in part.items() if key != "scale"} for part in data["parts"]]
    return {**data, "parts": parts}
