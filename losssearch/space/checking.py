"""From the nodes of a space file to a `SearchSpace`: checks every rule, and reports each problem with its line."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any

from losssearch.errors import InputError, UnknownNameError
from losssearch.losses.balance import SUM, balances
from losssearch.losses.domains import Domain, Float
from losssearch.losses.reduction import MEAN, reductions
from losssearch.losses.schedule import schedules
from losssearch.losses.spec import LossSpec, Part
from losssearch.losses.term import LossTerm, registry
from losssearch.losses.weighting import CONSTANT, weightings
from losssearch.space.answers import Constrained, Courses
from losssearch.space.portfolio import filled, names_metric
from losssearch.space.ranges import constrained_by, without_schedule
from losssearch.space.reading import Reader
from losssearch.space.slot import BALANCE, BASE, WEIGHT, Slot, weighting_names
from losssearch.space.source import Node, RuleError
from losssearch.space.space import MENU, SearchSpace
from losssearch.tasks import TASKS, Task

MAX_PARTS = 8
"""The most slots, and the most parts, that a space may have: as many as a spec may have parts."""
_KEYS = ("task", "max_parts", "menu", "balances", "slots", "conditions", "portfolio")
_SLOT_KEYS = ("terms", "reductions", "weight", "weighting", "required")
SCHEDULED_WEIGHT = Float(0.0, WEIGHT.high, default=WEIGHT.default)
"""Within which the levels of a slot's scheduled weight lie."""


def build(root: Node, problems: list[RuleError], *, name: str, question: str) -> SearchSpace | None:
    """The space of a file's nodes; adds what is wrong to ``problems`` and gives None if a part cannot be built."""
    return _Builder(problems).space(root, name, question)


class _Builder(Reader):
    def space(self, root: Node, name: str, question: str) -> SearchSpace | None:
        entries = self._map(root, "a space file", _KEYS)
        task = self._task(root, entries)
        slots = self._slots(root, entries, task)
        max_parts = self._max_parts(entries, len(slots))
        terms = {term for slot in slots for term in slot.terms}
        rules = self._conditions(entries, terms)
        balanced, moving = self._balances(entries.get("balances"))
        menu = self._menu(entries.get("menu"))
        for kind in (kind for kind in balanced if balances[kind].needs_nonnegative):
            for term in sorted(term for term in terms if not registry[term].nonnegative):
                self._fail(entries["balances"], f"the balance {kind} needs terms that are never below zero, got {term}")
        if self.problems or task is None:
            self._portfolio(entries, task, None)  # for what it breaks itself
            return None
        space = SearchSpace(name, task.kind, tuple(slots), max_parts, rules, (), question, (), balanced, moving, menu)
        portfolio, aimed = self._portfolio(entries, task, space)
        return replace(space, portfolio=portfolio, aimed=aimed)

    def _task(self, root: Node, entries: Mapping[str, Node]) -> Task | None:
        node = entries.get("task")
        if node is None:
            self._fail(root, f"a space file needs the key task, one of {', '.join(TASKS)}")
        elif not isinstance(node.value, str) or node.value not in TASKS:
            self._fail(node, str(UnknownNameError("task", str(node.plain()), TASKS)))
        else:
            return TASKS[node.value]
        return None

    def _balances(self, node: Node | None) -> tuple[Mapping[str, Mapping[str, Domain]], dict[str, Courses]]:
        """The balances that a loss may have with the ranges of their numbers, and what these may follow."""
        if node is None:
            return {SUM: {}}, {}
        courses: dict[str, Courses] = {}
        if not isinstance(node.value, dict):
            kinds = self._names(node, "balance", tuple(sorted(balances))) or (SUM,)
            return {kind: dict(balances[kind].domains) for kind in kinds}, courses
        found = self._map(node, "balances", tuple(sorted(balances)))
        ranges = {
            kind: self._numbers(kind, balances[kind].domains, value, courses, f"{kind}.")
            for kind, value in found.items()
            if kind in balances
        }
        return ranges or {SUM: {}}, courses

    def _max_parts(self, entries: Mapping[str, Node], slots: int) -> int:
        node = entries.get("max_parts")
        if node is None:
            return slots
        if isinstance(node.value, bool) or not isinstance(node.value, int) or not 1 <= node.value <= MAX_PARTS:
            self._fail(node, f"max_parts must be a whole number in [1, {MAX_PARTS}], got {node.plain()!r}")
            return slots
        return node.value

    def _menu(self, node: Node | None) -> float:
        if node is None:
            return MENU
        given = node.value
        if isinstance(given, bool) or not isinstance(given, int | float) or not 0 < given <= MENU:
            self._fail(node, f"menu, its share of the trials, must be above 0 and at most {MENU}, got {node.plain()!r}")
            return MENU
        return float(given)

    def _slots(self, root: Node, entries: Mapping[str, Node], task: Task | None) -> list[Slot]:
        node = entries.get("slots", root)
        found = self._map(node, "slots") if "slots" in entries else {}
        if BASE not in found:
            names = ", ".join(found) or "none"
            self._fail(node, f"slots must have one named {BASE!r}, which every loss fills; got {names}")
        if len(found) > MAX_PARTS:
            self._fail(node, f"a space has at most {MAX_PARTS} slots, got {len(found)}")
        for name, slot in found.items():
            if name == BALANCE:
                self._fail(slot, f"a slot may not be named {BALANCE!r}, as the choice among balances is")
            if not re.fullmatch("[a-z][a-z0-9_]*", name):
                self._fail(slot, f"a slot's name is made of a-z, 0-9 and _, got {name!r}")
        slots = [self._slot(name, slot, task) for name, slot in found.items()]
        slots.sort(key=lambda slot: slot.name != BASE)
        for kind in sorted({kind for slot in slots for kind in slot.weightings if kind in weightings}):
            if weightings[kind].needs_nonnegative:
                self._check_signs(node, slots, kind)
        return slots

    def _check_signs(self, node: Node, slots: list[Slot], kind: str) -> None:
        compares = weightings[kind].compares
        learned = [slot for slot in slots if kind in slot.weightings or (compares and slot.name == BASE)]
        for term in sorted({term for slot in learned for term in slot.terms if not registry[term].nonnegative}):
            self._fail(node, f"{kind} weighting needs terms that are never below zero, got {term}")

    def _slot(self, name: str, node: Node, task: Task | None) -> Slot:
        keys = _SLOT_KEYS[:2] if name == BASE else _SLOT_KEYS
        entries = self._map(node, f"slot {name}", keys)
        terms: dict[str, dict[str, Domain]] = {}
        constrained: dict[str, dict[str, Constrained]] = {}
        courses: dict[str, Courses] = {}
        found = self._map(entries["terms"], f"the terms of slot {name}") if "terms" in entries else {}
        if not found:
            self._fail(entries.get("terms", node), f"a slot has at least one term, got none in {name}")
        for term, ranges in found.items():
            if term not in registry:
                self._fail(ranges, str(UnknownNameError("term", term, registry)))
            elif term in registry[term].aliases:
                self._fail(ranges, f"{term} is another name of {registry[term].name}: a space names terms by their own")
            elif task is not None and not registry[term].fits(offers := task.with_groups().offers):
                missing = ", ".join(sorted(set(registry[term].reads) - offers))
                self._fail(ranges, f"{term} reads {missing}, which task {task.kind} does not offer")
            else:
                terms[term], constrained[term] = self._ranges(registry[term], ranges, courses)
        reductions = self._reductions(entries, terms, courses)
        if name == BASE:
            return Slot(name, terms, reductions=reductions, courses=courses)
        weight = self._weight(entries.get("weight"), courses)
        bound = {term: found for term, found in constrained.items() if found}
        required = self._required(entries)
        return Slot(name, terms, weight, self._weighting(entries), reductions, required, bound, courses)

    def _required(self, entries: Mapping[str, Node]) -> bool:
        node = entries.get("required")
        if node is not None and not isinstance(node.value, bool):
            self._fail(node, f"required is true or false, got {node.plain()!r}")
        return node is not None and node.value is True

    def _weight(self, node: Node | None, courses: dict[str, Courses]) -> Float:
        weight = self._number(WEIGHT, node, "weight", courses, "weight", SCHEDULED_WEIGHT)
        for kind, own in courses.get("weight", {}).items():
            levels = [own.get(key, weight) for key in schedules[kind].levels] if kind != CONSTANT else [weight]
            if node is not None and all(isinstance(level, Float) and level.high == 0 for level in levels):
                self._fail(node, f"weight: the schedule {kind} must not be 0 at all of its levels")
        return weight

    def _ranges(
        self, term: LossTerm, node: Node, courses: dict[str, Courses]
    ) -> tuple[dict[str, Domain], dict[str, Constrained]]:
        """The range of each hyperparameter, and what it is to a constraint; adds what it may follow to ``courses``."""
        given = {} if node.value is None else self._map(node, term.name)
        for key, value in given.items():
            if key not in term.domains:
                self._fail(value, str(UnknownNameError(f"hyperparameter of {term.name}", key, term.domains)))
        ranges = {
            key: self._number(domain, given.get(key), f"{term.name}.{key}", courses, f"{term.name}.{key}")
            for key, domain in term.domains.items()
        }
        bare = {key: without_schedule(value)[1] for key, value in given.items() if key in ranges}
        return ranges, {key: found for key, value in bare.items() if (found := constrained_by(value))}

    def _weighting(self, entries: Mapping[str, Node]) -> tuple[str, ...]:
        if "weighting" not in entries:
            return (CONSTANT,)
        return self._names(entries["weighting"], "weighting", weighting_names()) or (CONSTANT,)

    def _reductions(
        self, entries: Mapping[str, Node], terms: Iterable[str], courses: dict[str, Courses]
    ) -> dict[str, Mapping[str, Domain]]:
        if "reductions" not in entries:
            return {MEAN: {}}
        node, known = entries["reductions"], (MEAN, *sorted(set(reductions) - {MEAN}))
        found = self._map(node, "reductions", known)
        if not found:
            self._fail(node, f"reductions has at least one of {', '.join(known)}, got none")
        if MEAN not in found and (whole := [term for term in terms if not registry[term].per_sample]):
            self._fail(node, f"{whole[0]} gives one value per batch, so its reductions must be mean")
        given = (kind for kind in known if kind in found)
        return {kind: self._numbers(kind, reductions[kind].domains, found[kind], courses) for kind in given} or {
            MEAN: {}
        }

    def _conditions(self, entries: Mapping[str, Node], terms: set[str]) -> frozenset[frozenset[str]]:
        rules = []
        for node in self._list(entries.get("conditions"), "conditions"):
            for kind, names in self._map(node, "a condition", ("never_together",)).items():
                before = len(self.problems)
                rule = self._names(names, f"term of a condition ({kind})", terms)
                if len(rule) < 2 and len(self.problems) == before:
                    self._fail(names, f"{kind} names two or more terms, got {len(rule)}")
                rules.append(frozenset(rule))
        return frozenset(rules)

    def _portfolio(
        self, entries: Mapping[str, Node], task: Task | None, space: SearchSpace | None
    ) -> tuple[tuple[LossSpec, ...], tuple[Mapping[str, Any], ...]]:
        """The losses that are known, and those that name a number of the metric.

        Without a ``space``, as the rest of the file breaks rules, only what does not depend on its slots is checked.
        """
        specs: list[LossSpec] = []
        aimed: list[Mapping[str, Any]] = []
        for node in self._list(entries.get("portfolio"), "portfolio"):
            data: Any = node.plain()
            try:
                spec = LossSpec.from_json(filled(data))
            except InputError as error:
                for text in _faults(filled(data)) or [str(error)]:
                    self._fail(node, f"portfolio: {text}")
                continue
            if task is not None and (missing := sorted(spec.reads - task.with_groups().offers)):
                self._fail(
                    node,
                    f"portfolio: {spec.formula()} reads {', '.join(missing)}, which task {task.kind} does not offer",
                )
            elif space is not None and space.encode(spec) is None:
                self._fail(node, f"portfolio: slots, ranges and conditions must allow each loss, got {spec.formula()}")
            elif named := names_metric(data):
                known = frozenset() if task is None else task.numbers
                for name in sorted(named - known) if task is not None else ():
                    self._fail(node, f"portfolio: {UnknownNameError('number of a metric', name, known)}")
                aimed.append(data)
            elif spec in specs:
                self._fail(node, f"portfolio has each loss once, got {spec.formula()} again")
            else:
                specs.append(spec)
        return tuple(specs), tuple(aimed)


def _faults(data: Any) -> list[str]:
    """What is wrong with each part of a loss, and with the loss of the other parts."""
    parts = data.get("parts") if isinstance(data, Mapping) else None
    found, good = [], []
    for part in parts if isinstance(parts, list) else []:
        try:
            Part.from_json(part)
        except InputError as error:
            found.append(str(error))
        else:
            good.append(part)
    if found and good:
        try:
            LossSpec.from_json({**data, "parts": good})
        except InputError as error:
            found.append(str(error))
    return found
