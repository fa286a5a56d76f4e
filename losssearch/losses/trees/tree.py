"""A formula as a tree: its text, its canonical form, and the rules that it must satisfy.

A tree is written as calls: ``square(sub(output, target))``. Leaves are ``output``, ``target`` and numbers. In Python a
tree is a nested tuple: ``("square", ("sub", "output", "target"))``. Reading never evaluates text, and stops at the
first node too many, so that no text exhausts the stack.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from functools import lru_cache
from typing import TypeAlias

from losssearch.errors import SpecError, UnknownNameError, shown

Node: TypeAlias = "str | float | tuple[str, Node] | tuple[str, Node, Node]"

MOST_NODES = 31
"""Nodes of a tree at most."""
LARGEST = 1e6
"""Size of a constant at most."""

LEAVES = ("output", "target")
UNARY = ("square", "abs", "root", "log", "tanh", "exp")
BINARY = ("add", "sub", "mul", "div", "min", "max")
ARITY = dict.fromkeys(UNARY, 1) | dict.fromkeys(BINARY, 2)
_SYMMETRIC = frozenset({"add", "mul", "min", "max"})

_TOKEN = re.compile(r"\s*(?:([A-Za-z_]\w*)|([-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?)|([(),])|(\S))")


def parse(text: str, nodes: int = MOST_NODES) -> Node:
    """Read a tree as it is written; raise `SpecError` with the rule that the text breaks."""
    reader = _Reader(text, nodes)
    for token in _TOKEN.finditer(text):
        name, number, mark, other = (found or "" for found in token.groups())
        if other:
            raise SpecError(f"a tree is made of names, numbers, brackets and commas, got {other!r} in {shown(text)}")
        if mark:
            reader.mark(mark)
        else:
            reader.node(name, number)
    if reader.expected != "end" or reader.done is None:
        raise SpecError(f"brackets of a tree must match and none may be left open, got {shown(text)}")
    return reader.done


class _Reader:
    """What has been read of a tree: the calls that are open, with the arguments of each, and what may come next."""

    def __init__(self, text: str, nodes: int) -> None:
        self.text, self.nodes, self.count = text, nodes, 0
        self.calls: list[tuple[str, list[Node]]] = []
        self.done: Node | None = None
        self.expected = "node"

    def node(self, name: str, number: str) -> None:
        """Take an operator or a leaf."""
        if self.expected != "node":
            raise self._unmatched()
        self.count += 1
        if self.count > self.nodes:
            raise SpecError(f"a tree has at most {self.nodes} nodes, got more in {shown(self.text)}")
        if name in ARITY:
            self.calls.append((name, []))
            self.expected = "("
        else:
            self._finish(_leaf(name, number))

    def mark(self, mark: str) -> None:
        """Take a bracket or a comma."""
        if not self.calls:
            raise self._unmatched()
        name, arguments = self.calls[-1]
        comma = self.expected == "more" and len(arguments) < ARITY[name]
        if (mark == "(" and self.expected == "(") or (mark == "," and comma):
            self.expected = "node"
        elif mark != ")" or self.expected != "more":
            raise self._unmatched()
        elif len(arguments) != ARITY[name]:
            raise SpecError(f"{name} takes {ARITY[name]} arguments, got {len(arguments)}")
        else:
            self.calls.pop()
            self._finish((name, *arguments))  # type: ignore[arg-type]

    def _finish(self, node: Node) -> None:
        if self.calls:
            self.calls[-1][1].append(node)
        else:
            self.done = node
        self.expected = "more" if self.calls else "end"

    def _unmatched(self) -> SpecError:
        if self.expected == "(":
            name = self.calls[-1][0]
            example = f"{name}({', '.join(LEAVES[: ARITY[name]])})"
            return SpecError(f"{name} is an operator and needs brackets, as in {example}")
        return SpecError(f"brackets and commas of a tree must match, as in sub(output, target); got {shown(self.text)}")


def _leaf(name: str, number: str) -> Node:
    if number:
        value = float(number)
        if abs(value) > LARGEST:
            raise SpecError(f"a constant of a tree must lie in [-{LARGEST:g}, {LARGEST:g}], got {number:.20}")
        return value
    if name not in LEAVES:
        raise UnknownNameError("operator or leaf of a tree", name[:40], (*ARITY, *LEAVES))
    return name


@lru_cache(maxsize=65536)
def canonical(text: str, nodes: int = MOST_NODES) -> str:
    """The one text of all trees that are the same by simple rules.

    Raises:
        SpecError: the text is no tree, or the output has no influence on its value.

    Example:
        >>> canonical("mul(1, square(sub(target, output)))")
        'square(sub(output, target))'
    """
    tree = simplified(parse(text, nodes))
    if "output" not in leaves(tree):
        raise SpecError(f"a tree must depend on output, got {shown(text)}")
    return written(tree)


@lru_cache(maxsize=65536)
def read(text: str) -> Node:
    """The tree of a canonical text."""
    return parse(text)


def written(tree: Node) -> str:
    """The text of a tree; the inverse of `parse`."""
    if isinstance(tree, tuple):
        return f"{tree[0]}({', '.join(map(written, tree[1:]))})"
    return tree if isinstance(tree, str) else f"{tree:.6g}"


def subtrees(tree: Node) -> Iterator[Node]:
    """All nodes, each before what it is made of."""
    yield tree
    if isinstance(tree, tuple):
        for argument in tree[1:]:
            yield from subtrees(argument)


def size(tree: Node) -> int:
    """The number of nodes."""
    return sum(1 for _ in subtrees(tree))


def leaves(tree: Node) -> set[Node]:
    """The leaves, each once."""
    return {node for node in subtrees(tree) if not isinstance(node, tuple)}


def simplified(tree: Node) -> Node:
    """The tree by simple rules: numbers folded, symmetric arguments in order, nothing added or multiplied in vain."""
    if not isinstance(tree, tuple):
        return tree if isinstance(tree, str) else float(f"{tree:.6g}") + 0.0
    operator, *arguments = tree
    given = [simplified(argument) for argument in arguments]
    if operator in _SYMMETRIC:
        given.sort(key=_order)
    numbers = [one for one in given if isinstance(one, float)]
    if len(numbers) == len(given):
        value = _value(operator, numbers)
        if math.isfinite(value) and abs(value) <= LARGEST:
            return float(f"{value:.6g}") + 0.0
    return _one(operator, given[0]) if len(given) == 1 else _two(operator, given[0], given[1])


def _order(tree: Node) -> tuple[bool, str]:
    """Numbers first, then by text."""
    return not isinstance(tree, float), written(tree)


def _one(operator: str, argument: Node) -> Node:
    if not isinstance(argument, tuple):
        return (operator, argument)
    inner, first, last = argument[0], argument[1], argument[-1]
    if operator in ("square", "abs", "root", "log"):  # which do not see a sign
        if inner == "abs" or (inner == "mul" and first == -1.0):
            return _one(operator, last)
        if inner == "sub" and _order(last) < _order(first):
            argument = ("sub", last, first)
    return argument if operator == "abs" and inner in ("square", "root", "exp") else (operator, argument)


def _two(operator: str, left: Node, right: Node) -> Node:
    if left == right and operator in ("sub", "min", "max", "mul"):
        return {"sub": 0.0, "mul": _one("square", left)}.get(operator, left)
    if operator in ("add", "mul") and left == (0.0 if operator == "add" else 1.0):
        return right
    if operator == "sub" and right == 0.0:
        return left
    if (operator == "mul" and left == 0.0) or (operator == "div" and left == 0.0):
        return 0.0
    if operator == "div" and right == 0.0:
        return left
    return (operator, left, right)


def _value(operator: str, numbers: list[float]) -> float:
    a, b = numbers[0], numbers[-1]
    if operator in BINARY:
        values = {"add": a + b, "sub": a - b, "mul": a * b, "div": a / math.hypot(1.0, b)}
        return values[operator] if operator in values else (min(a, b) if operator == "min" else max(a, b))
    if operator == "square":
        return a * a
    if operator == "exp":
        return math.exp(min(max(a, -EXPONENT), EXPONENT))
    return {
        "abs": abs(a),
        "root": math.sqrt(abs(a) + ROOT),
        "log": math.log(abs(a) + LOGARITHM),
        "tanh": math.tanh(a),
    }[operator]


ROOT = 1e-6
"""Added under a square root, whose slope at 0 would be infinite."""
LOGARITHM = 1e-7
"""Added under a logarithm."""
EXPONENT = 30.0
"""Exponents are clamped to this size."""
