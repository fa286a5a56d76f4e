"""Trees at random, and trees made of others: crossover and mutations of genetic programming.

Every result is canonical and of the nodes allowed; where an attempt is not, it is made again, and at last a parent
comes back. All depends on the generator alone.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from losssearch.errors import SpecError
from losssearch.losses.trees.tree import BINARY, UNARY, Node, canonical, read, size, subtrees, written

_ATTEMPTS = 16
_DEPTH = 4
_OPERATORS = (*BINARY, *UNARY)
_LIKELY = np.array([2.0] * len(BINARY) + [1.0] * len(UNARY))
_LEAF = ("output", "target", 1.0, -1.0)


def random_tree(random: np.random.Generator, nodes: int) -> str:
    """A tree at random: of depth 2 to 4, half of them full and half ragged."""
    return _first_good(lambda: _grown(random, int(random.integers(2, _DEPTH + 1)), bool(random.integers(2))), nodes)


def crossed(mother: str, father: str, random: np.random.Generator, nodes: int) -> str:
    """``mother`` with a subtree of ``father`` in place of one of hers."""
    one, other = read(mother), read(father)
    return _first_good(lambda: _with(one, _place(one, random), _subtree(other, random)), nodes, mother)


def mutated(text: str, random: np.random.Generator, nodes: int) -> str:
    """A tree after one mutation: a subtree drawn anew, constants moved, or a smaller tree (hoist, shrink)."""
    tree = read(text)

    def attempt() -> Node:
        kind = random.uniform()
        if kind < 0.4:
            return _with(tree, _place(tree, random), _grown(random, 2, full=False))
        if kind < 0.7:
            return _moved(tree, random, 0.3)
        place = _place(tree, random)
        below = list(subtrees(tree))[place]
        if kind < 0.85:
            return _with(tree, place, _subtree(below, random))
        return _with(tree, place, _leaf(random))

    return _first_good(attempt, nodes, text)


def tuned(text: str, random: np.random.Generator, nodes: int) -> str:
    """The tree with its constants moved a little; one without constants is given a factor in front of a subtree."""
    tree = read(text)

    def attempt() -> Node:
        if any(isinstance(node, float) for node in subtrees(tree)) and random.uniform() < 0.8:
            return _moved(tree, random, 0.15)
        place = _place(tree, random)
        return _with(
            tree, place, ("mul", _rounded(float(np.exp(random.normal(scale=0.5)))), list(subtrees(tree))[place])
        )

    return _first_good(attempt, nodes, text)


def _first_good(attempt: Callable[[], Node], nodes: int, otherwise: str = "output") -> str:
    for _ in range(_ATTEMPTS):
        tree = attempt()
        if size(tree) > nodes:
            continue
        try:
            found = canonical(written(tree), nodes)
        except SpecError:  # the output cancels, or a constant is too large
            continue
        if found != otherwise:
            return found
    return otherwise


def _grown(random: np.random.Generator, depth: int, full: bool) -> Node:
    if depth == 0 or (not full and random.uniform() < 0.25):
        return _leaf(random)
    name = _OPERATORS[int(random.choice(len(_OPERATORS), p=_LIKELY / _LIKELY.sum()))]
    arguments = [_grown(random, depth - 1, full) for _ in range(2 if name in BINARY else 1)]
    return (name, *arguments)  # type: ignore[return-value]


def _leaf(random: np.random.Generator) -> Node:
    """The output twice as often as the target, a constant, 1 or -1."""
    kind = int(random.integers(6))
    return "output" if kind == 5 else _LEAF[kind] if kind < 4 else _rounded(float(random.normal()))


def _rounded(value: float) -> float:
    return float(f"{value:.4g}")


def _place(tree: Node, random: np.random.Generator) -> int:
    return int(random.integers(size(tree)))


def _subtree(tree: Node, random: np.random.Generator) -> Node:
    return list(subtrees(tree))[_place(tree, random)]


def _with(tree: Node, place: int, other: Node) -> Node:
    """The tree with ``other`` in place of its node number ``place``, in the order of `subtrees`."""
    if place == 0:
        return other
    assert isinstance(tree, tuple)  # noqa: S101  (a leaf has the place 0 alone)
    made: list[Node] = []
    first = 1
    for argument in tree[1:]:
        own = size(argument)
        inside = first <= place < first + own
        made.append(_with(argument, place - first, other) if inside else argument)
        first += own
    return (tree[0], *made)  # type: ignore[return-value]


def _moved(tree: Node, random: np.random.Generator, spread: float) -> Node:
    """Every constant multiplied by a factor near 1 and moved a little."""
    if isinstance(tree, float):
        return _rounded(tree * float(np.exp(random.normal(scale=spread))) + float(random.normal(scale=spread / 10)))
    if isinstance(tree, tuple):
        return (tree[0], *(_moved(argument, random, spread) for argument in tree[1:]))  # type: ignore[return-value]
    return tree
