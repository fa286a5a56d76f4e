"""From the nodes of a space file to a `SearchSpace`: checks every rule, and reports each problem with its line."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any, TypeVar, cast

from losssearch.errors import InputError, UnknownNameError
from losssearch.losses.balance import SUM, balances
from losssearch.losses.domains import Choice, Domain, Float
from losssearch.losses.reduction import MEAN, reductions
from losssearch.losses.schedule import schedules
from losssearch.losses.spec import LossSpec, Part
from losssearch.losses.term import LossTerm, registry
from losssearch.losses.weighting import CONSTANT, weightings
from losssearch.space.portfolio import filled, names_metric
from losssearch.space.ranges import constrained_by, narrow, without_schedule
from losssearch.space.slot import BALANCE, BASE, SCHEDULE, WEIGHT, Constrained, Slot, weighting_names
from losssearch.space.source import Node, RuleError
from losssearch.space.space import SearchSpace
from losssearch.tasks import TASKS, Task

MAX_PARTS = 8
"""The most slots, and the most parts, that a space may have: as many as a spec may have parts."""
_KEYS = ("task", "max_parts", "balances", "slots", "conditions", "portfolio")
_SLOT_KEYS = ("terms", "reductions", "weight", "weighting", "required")
D = TypeVar("D", bound=Domain)


def build(root: Node, problems: list[RuleError], *, name: str, question: str) -> SearchSpace | None:
    """The space of a file's nodes; adds what is wrong to ``problems`` and gives None if a part cannot be built."""
    return _Builder(problems).space(root, name, question)


class _Builder:
    def __init__(self, problems: list[RuleError]) -> None:
        self.problems = problems

    def space(self, root: Node, name: str, question: str) -> SearchSpace | None:
        entries = self._map(root, "a space file", _KEYS)
        task = self._task(root, entries)
        slots = self._slots(root, entries, task)
        max_parts = self._max_parts(entries, len(slots))
        terms = {term for slot in slots for term in slot.terms}
        rules = self._conditions(entries, terms)
        balanced: tuple[str, ...] = (SUM,)
        if "balances" in entries:
            balanced = self._names(entries["balances"], "balance", tuple(sorted(balances))) or balanced
        if self.problems or task is None:
            self._portfolio(entries, task, None)  # for what it breaks itself
            return None
        space = SearchSpace(name, task.kind, tuple(slots), max_parts, rules, (), question, (), balanced)
        portfolio, aimed = self._portfolio(entries, task, space)
        return replace(space, portfolio=portfolio, aimed=aimed)

    def _fail(self, node: Node, text: str) -> None:
        self.problems.append(RuleError(node.line, text))

    def _map(self, node: Node, what: str, keys: Iterable[str] | None = None) -> dict[str, Node]:
        """The entries of a map whose keys must be among ``keys``."""
        if not isinstance(node.value, dict):
            self._fail(node, f"{what} is a map, got {_kind(node)}")
            return {}
        for key, value in node.value.items():
            if keys is not None and key not in keys:
                self._fail(value, f"{what}: {UnknownNameError('key', key, keys)}")
        return node.value

    def _list(self, node: Node | None, what: str) -> list[Node]:
        if node is None:
            return []
        if not isinstance(node.value, list):
            self._fail(node, f"{what} is a list, got {_kind(node)}")
            return []
        return node.value

    def _task(self, root: Node, entries: Mapping[str, Node]) -> Task | None:
        node = entries.get("task")
        if node is None:
            self._fail(root, f"a space file needs the key task, one of {', '.join(TASKS)}")
        elif not isinstance(node.value, str) or node.value not in TASKS:
            self._fail(node, str(UnknownNameError("task", str(node.plain()), TASKS)))
        else:
            return TASKS[node.value]
        return None

    def _max_parts(self, entries: Mapping[str, Node], slots: int) -> int:
        node = entries.get("max_parts")
        if node is None:
            return slots
        if isinstance(node.value, bool) or not isinstance(node.value, int) or not 1 <= node.value <= MAX_PARTS:
            self._fail(node, f"max_parts must be a whole number in [1, {MAX_PARTS}], got {node.plain()!r}")
            return slots
        return node.value

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
        courses: dict[str, dict[str, tuple[str, ...]]] = {}
        found = self._map(entries["terms"], f"the terms of slot {name}") if "terms" in entries else {}
        if not found:
            self._fail(entries.get("terms", node), f"a slot has at least one term, got none in {name}")
        for term, ranges in found.items():
            if term not in registry:
                self._fail(ranges, str(UnknownNameError("term", term, registry)))
            elif task is not None and not registry[term].fits(offers := task.with_groups().offers):
                missing = ", ".join(sorted(set(registry[term].reads) - offers))
                self._fail(ranges, f"{term} reads {missing}, which task {task.kind} does not offer")
            else:
                terms[term], constrained[term], courses[term] = self._ranges(registry[term], ranges)
        reductions = self._reductions(entries, terms)
        moving = {term: own for term, own in courses.items() if own}
        if name == BASE:
            return Slot(name, terms, reductions=reductions, schedules=moving)
        weight = self._narrow(WEIGHT, entries.get("weight"), "weight")
        bound = {term: found for term, found in constrained.items() if found}
        required = self._required(entries)
        return Slot(name, terms, weight, self._weighting(entries), reductions, required, bound, moving)

    def _required(self, entries: Mapping[str, Node]) -> bool:
        node = entries.get("required")
        if node is not None and not isinstance(node.value, bool):
            self._fail(node, f"required is true or false, got {node.plain()!r}")
        return node is not None and node.value is True

    def _ranges(
        self, term: LossTerm, node: Node
    ) -> tuple[dict[str, Domain], dict[str, Constrained], dict[str, tuple[str, ...]]]:
        """The range of each hyperparameter, what it is to a constraint, and the schedules that it may follow."""
        given = {} if node.value is None else self._map(node, term.name)
        for key, value in given.items():
            if key not in term.domains:
                self._fail(value, str(UnknownNameError(f"hyperparameter of {term.name}", key, term.domains)))
        divided = {key: without_schedule(value) for key, value in given.items()}
        given = {key: value for key, (_, value) in divided.items()}
        constrained = {key: found for key, value in given.items() if (found := constrained_by(value))}
        ranges = {
            key: self._narrow(domain, given.get(key), f"{term.name}.{key}") for key, domain in term.domains.items()
        }
        moving = {
            key: self._courses(node, ranges[key], f"{term.name}.{key}")
            for key, (node, _) in divided.items()
            if node is not None and key in ranges
        }
        bound = {key: found for key, found in constrained.items() if key in ranges}
        return ranges, bound, {key: found for key, found in moving.items() if found}

    def _courses(self, node: Node, domain: Domain, label: str) -> tuple[str, ...]:
        """What a hyperparameter may follow; nothing where it is a constant."""
        found = self._names(node, SCHEDULE, (CONSTANT, *sorted(set(schedules) - {CONSTANT})))
        if not isinstance(domain, Float):
            what = "a choice" if isinstance(domain, Choice) else "a whole number"
            self._fail(node, f"{label} is {what} and can follow no schedule")
        elif domain.low == domain.high:
            self._fail(node, f"{label} needs a range to follow a schedule, got {domain.low:g}")
        return () if found == (CONSTANT,) else found

    def _narrow(self, domain: D, node: Node | None, label: str) -> D:
        try:
            return domain if node is None else cast("D", narrow(domain, node, label))
        except RuleError as problem:
            self.problems.append(problem)
            return domain

    def _weighting(self, entries: Mapping[str, Node]) -> tuple[str, ...]:
        if "weighting" not in entries:
            return (CONSTANT,)
        return self._names(entries["weighting"], "weighting", weighting_names()) or (CONSTANT,)

    def _reductions(self, entries: Mapping[str, Node], terms: Iterable[str]) -> dict[str, Mapping[str, Domain]]:
        if "reductions" not in entries:
            return {MEAN: {}}
        node, known = entries["reductions"], (MEAN, *sorted(set(reductions) - {MEAN}))
        found = self._map(node, "reductions", known)
        if not found:
            self._fail(node, f"reductions has at least one of {', '.join(known)}, got none")
        if MEAN not in found and (whole := [term for term in terms if not registry[term].per_sample]):
            self._fail(node, f"{whole[0]} gives one value per batch, so its reductions must be mean")
        return {kind: self._reduction(kind, found[kind]) for kind in known if kind in found} or {MEAN: {}}

    def _reduction(self, kind: str, node: Node) -> dict[str, Domain]:
        """The ranges of a reduction's numbers: of a single one as it is, of several by name."""
        domains = reductions[kind].domains
        if not domains and node.value is not None:
            self._fail(node, f"{kind} takes no range, got {node.plain()!r}")
        if len(domains) == 1:
            return {name: self._narrow(domain, node, kind) for name, domain in domains.items()}
        given = {} if node.value is None or not domains else self._map(node, kind, tuple(domains))
        return {name: self._narrow(domain, given.get(name), f"{kind}.{name}") for name, domain in domains.items()}

    def _names(self, node: Node, what: str, known: Iterable[str]) -> tuple[str, ...]:
        """A list of distinct names out of ``known``."""
        names = []
        for item in self._list(node, what):
            if not isinstance(item.value, str) or item.value not in known:
                self._fail(item, str(UnknownNameError(what, str(item.plain()), known)))
            elif item.value in names:
                self._fail(item, f"{what} has each name once, got {item.value} again")
            else:
                names.append(item.value)
        return tuple(names)

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


def _kind(node: Node) -> str:
    names = {dict: "a map", list: "a list", type(None): "nothing"}
    return names.get(type(node.value), repr(node.value))
