"""What stands in the nodes of a space file: maps, lists, names, ranges and schedules; each problem with its line."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TypeVar, cast

from losssearch.errors import UnknownNameError
from losssearch.losses.domains import Choice, Domain, Float, Tree
from losssearch.losses.schedule import WINDOW, schedules
from losssearch.losses.weighting import CONSTANT
from losssearch.space.answers import SCHEDULE, Courses, course_ranges
from losssearch.space.ranges import constrained_by, narrow, without_schedule
from losssearch.space.source import Node, RuleError

D = TypeVar("D", bound=Domain)


class Reader:
    """Reads nodes, and adds what is wrong to ``problems``."""

    def __init__(self, problems: list[RuleError]) -> None:
        self.problems = problems

    def _fail(self, node: Node, text: str) -> None:
        self.problems.append(RuleError(node.line, text))

    def _map(self, node: Node, what: str, keys: Iterable[str] | None = None) -> dict[str, Node]:
        """The entries of a map whose keys must be among ``keys``."""
        if not isinstance(node.value, dict):
            self._fail(node, f"{what} is a map, got {kind_of(node)}")
            return {}
        for key, value in node.value.items():
            if keys is not None and key not in keys:
                self._fail(value, f"{what}: {UnknownNameError('key', key, keys)}")
        return node.value

    def _list(self, node: Node | None, what: str) -> list[Node]:
        if node is None:
            return []
        if not isinstance(node.value, list):
            self._fail(node, f"{what} is a list, got {kind_of(node)}")
            return []
        return node.value

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

    def _numbers(
        self, kind: str, domains: Mapping[str, Domain], node: Node, courses: dict[str, Courses], prefix: str = ""
    ) -> dict[str, Domain]:
        """The ranges of the numbers of a reduction or a balance: of a single one as it is, of several by name.

        What they may follow is added to ``courses``, by their names behind ``prefix``.
        """
        if not domains and node.value is not None:
            self._fail(node, f"{kind} takes no range, got {node.plain()!r}")
        if len(domains) == 1:
            return {key: self._number(own, node, kind, courses, prefix + key) for key, own in domains.items()}
        given = {} if node.value is None or not domains else self._map(node, kind, tuple(domains))
        return {
            key: self._number(own, given.get(key), f"{kind}.{key}", courses, prefix + key)
            for key, own in domains.items()
        }

    def _number(
        self,
        domain: D,
        node: Node | None,
        label: str,
        courses: dict[str, Courses],
        key: str,
        reach: Float | None = None,
    ) -> D:
        """The range of a number; adds what it may follow to ``courses``, where it need not be constant.

        ``reach``: where the levels of its schedules may lie, its whole domain by default.
        """
        if node is None:
            return domain
        moving, node = without_schedule(node)
        found = self._narrow(domain, node, label)
        if moving is not None:
            own = self._courses(moving, found, reach or domain, label)
            if own and list(own) != [CONSTANT]:
                courses[key] = own
        return found

    def _courses(self, node: Node, domain: Domain, reach: Domain, label: str) -> Courses:
        """What a number may follow, with the ranges that the file names."""
        known = (CONSTANT, *sorted(set(schedules) - {CONSTANT}))
        given = self._map(node, SCHEDULE, known) if isinstance(node.value, dict) else None
        found = self._names(node, SCHEDULE, known) if given is None else tuple(kind for kind in given if kind in known)
        if not isinstance(domain, Float) or not isinstance(reach, Float):
            what = {Choice: "a choice", Tree: "a tree"}.get(type(domain), "a whole number")
            self._fail(node, f"{label} is {what} and can follow no schedule")
            return {}
        courses = {kind: self._course(kind, given[kind], reach, label) if given else {} for kind in found}
        if domain.low == domain.high and not any(courses.values()):
            self._fail(node, f"{label} needs a range to follow a schedule, got {domain.low:g}")
        return courses

    def _course(self, kind: str, node: Node, reach: Float, label: str) -> dict[str, Domain]:
        """The ranges of a schedule's numbers that the file names."""
        if node.value is None:
            return {}
        if kind == CONSTANT:
            self._fail(node, f"{label}: {CONSTANT} has the range of the number, got {node.plain()!r}")
            return {}
        whole = {**course_ranges(kind, reach, {}), **WINDOW}
        given = self._map(node, f"{label}: the schedule {kind}", tuple(whole))
        for key, value in given.items():
            if constrained_by(value):
                self._fail(value, f"{label}.{key} is a number or a range, got {value.plain()!r}")
        found = {key: self._narrow(whole[key], value, f"{label}.{key}") for key, value in given.items() if key in whole}
        fixed = {key: Float(own.default, own.default, default=own.default) for key, own in WINDOW.items()}
        first, last = ({**fixed, **found}[key] for key in WINDOW)
        if isinstance(first, Float) and isinstance(last, Float) and not first.high < last.low:
            rule = f"`from < to` must hold of a schedule, got from={first.high:g}, to={last.low:g}"
            self._fail(node, f"{label}: {rule}")
        return found

    def _narrow(self, domain: D, node: Node | None, label: str) -> D:
        try:
            return domain if node is None else cast("D", narrow(domain, node, label))
        except RuleError as problem:
            self.problems.append(problem)
            return domain


def kind_of(node: Node) -> str:
    """What a node holds, for messages."""
    names = {dict: "a map", list: "a list", type(None): "nothing"}
    return names.get(type(node.value), repr(node.value))
