"""The range of a hyperparameter as a space file writes it, within the term's own.

A number fixes the hyperparameter; ``[low, high]`` and ``{low: , high: , log: }`` narrow it, and what is left out stays
the term's. ``schedule: [constant, linear]`` next to them lets a real hyperparameter follow a schedule, whose levels lie
in the range. Of a choice, a name fixes it and a list of names narrows it. ``$constraint.limit`` in place of a value, or
as the upper end of a range, means the value of the study's constraint.
"""

from __future__ import annotations

from losssearch.errors import SpecError, UnknownNameError
from losssearch.losses.domains import Choice, Domain, Float, Int, Tree
from losssearch.losses.trees.tree import read, size
from losssearch.space.answers import CONSTRAINT, SCHEDULE, Constrained
from losssearch.space.source import Node, RuleError


def narrow(domain: Domain, node: Node, label: str) -> Domain:
    """The domain that ``node`` asks for within ``domain``; raises `RuleError` with the line and the rule.

    ``label`` names the hyperparameter in messages. Its default moves to the nearest end where it falls outside.
    """
    constrained = constrained_by(node)
    if node.value is None or (constrained and constrained[0] == "value"):
        return domain
    if constrained and isinstance(domain, Float):
        low, _, log = _ends(domain, node, label)
        return Float(domain.check(label, low), domain.default, default=domain.default, log=log)
    try:
        if isinstance(domain, Tree):
            return _tree(domain, node, label)
        return _choice(domain, node, label) if isinstance(domain, Choice) else _numbers(domain, node, label)
    except SpecError as error:
        raise RuleError(node.line, str(error)) from None


def constrained_by(node: Node) -> Constrained | None:
    """What of the study's constraint the range is, if anything."""
    value = node.plain()
    for end, found in (("value", value), ("high", _upper(value))):
        if isinstance(found, str) and found.startswith(CONSTRAINT):
            return ("value" if end == "value" else "high"), found.removeprefix(CONSTRAINT)
    return None


def without_schedule(node: Node) -> tuple[Node | None, Node]:
    """What a range says of schedules, if anything, and the range without it."""
    if not isinstance(node.value, dict) or SCHEDULE not in node.value:
        return None, node
    rest = {key: value for key, value in node.value.items() if key != SCHEDULE}
    return node.value[SCHEDULE], Node(node.line, rest or None)


def _upper(value: object) -> object:
    if isinstance(value, list):
        return value[-1] if len(value) == 2 else None
    return value.get("high") if isinstance(value, dict) else None


def _choice(domain: Choice, node: Node, label: str) -> Choice:
    given = node.plain()
    options = given if isinstance(given, list) else [given]
    names = [domain.check(label, option) for option in options]
    if not names or len(set(names)) < len(names):
        raise RuleError(node.line, f"{label} has one or more distinct options, got {given!r}")
    if tuple(names) == domain.options:
        return domain  # an array of the library keeps its size
    return Choice(*names, default=domain.default if domain.default in names else names[0])


def _tree(domain: Tree, node: Node, label: str) -> Tree:
    given = node.value
    if not isinstance(given, dict) or set(given) != {"nodes"}:
        raise RuleError(node.line, f"{label}: the range of a tree is {{nodes: N}}, got {node.plain()!r}")
    nodes = Int(1, domain.nodes, default=domain.nodes).check(f"{label}.nodes", given["nodes"].plain())
    return Tree(nodes, default=domain.default if size(read(domain.default)) <= nodes else "output")


def _numbers(domain: Float | Int, node: Node, label: str) -> Float | Int:
    low, high, log = _ends(domain, node, label)
    low, high = domain.check(label, low), domain.check(label, high)
    if low > high:
        raise RuleError(node.line, f"{label}: `low <= high` must hold, got low={low:g}, high={high:g}")
    default = min(max(domain.default, low), high)
    if isinstance(domain, Int):
        return Int(int(low), int(high), default=int(default))
    return Float(low, high, default=default, log=log)


def _ends(domain: Float | Int, node: Node, label: str) -> tuple[object, object, bool]:
    own_log = isinstance(domain, Float) and domain.log
    if isinstance(node.value, list):
        if len(node.value) != 2:
            raise RuleError(node.line, f"{label}: a range is [low, high], got {node.plain()!r}")
        return node.value[0].plain(), node.value[1].plain(), own_log
    if not isinstance(node.value, dict):
        return node.value, node.value, own_log
    known = ("low", "high", "log") if isinstance(domain, Float) else ("low", "high")
    for key, value in node.value.items():
        if key not in known:
            raise RuleError(value.line, f"{label}: {UnknownNameError('key', key, known)}")
    given = {key: value.plain() for key, value in node.value.items()}
    log = given.get("log", own_log)
    if not isinstance(log, bool):
        raise RuleError(node.value["log"].line, f"{label}: log is true or false, got {log!r}")
    return given.get("low", domain.low), given.get("high", domain.high), log
