"""Many trees at once: straight-line programs whose equal instructions are one call.

Nodes are sorted by level, a leaf being of level 0, and within a level by operator. All nodes of one level and one
operator are evaluated by one tensor call, each together with its derivative by the output: a tree has one output per
sample, so that derivatives forward cost little more than values, and trees that share a subtree share both.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, TypeAlias

import torch
from torch import Tensor

from losssearch.losses.trees.tree import BINARY, EXPONENT, LOGARITHM, ROOT, UNARY, Node

Dual: TypeAlias = tuple[Tensor, Tensor]
"""Values and their derivatives by the output."""

_ORDER = {name: place for place, name in enumerate((*UNARY, *BINARY))}


@dataclass(frozen=True)
class _Instruction:
    operator: str
    arguments: tuple[Tensor, ...]
    """Places of the first (and second) arguments among all nodes so far."""


@dataclass(frozen=True)
class _Placed:
    """Constants, the nodes that are the trees, and the instructions of each level, on one device."""

    constants: Tensor
    tops: Tensor
    levels: list[list[_Instruction]]


class Program:
    """The trees of a population.

    Args:
        trees: the trees.
        rows: the row of outputs and targets that each tree reads. Trees that read one row share what is equal in them.

    Calling it with ``output`` and ``target`` ``[rows, batch]``, one row per tree, gives values ``[trees, batch]`` that
    can be differentiated once by the output. A tree's values do not depend on the other trees.
    """

    def __init__(self, trees: Sequence[Node], rows: Sequence[int]) -> None:
        self._rows = 1 + max(rows, default=0)
        found = _Nodes(self._rows)
        tops = [found.place(tree, row) for tree, row in zip(trees, rows, strict=True)]
        self._constants = torch.tensor(found.constants, dtype=torch.float64)
        placed, self._levels = found.levels()
        self._tops = torch.tensor([placed[top] for top in tops])
        self.nodes = len(placed)
        self._elsewhere: dict[tuple[torch.device, torch.dtype], _Placed] = {}

    def __call__(self, output: Tensor, target: Tensor) -> Tensor:
        """The values ``[trees, batch]``."""
        assert len(self._tops) == len(output)  # noqa: S101  (each tree has a row of its own)
        values: Tensor = _Values.apply(self, output, target)  # type: ignore[no-untyped-call]
        return values

    def with_slopes(self, output: Tensor, target: Tensor) -> Dual:
        """Values and their derivatives by the output, both ``[trees, batch]``."""
        there = self._there(output)
        constants = there.constants[:, None].expand(-1, output.shape[1])
        values = torch.cat((output, target.expand_as(output), constants))
        slopes = torch.cat((torch.ones_like(output), torch.zeros_like(values[len(output) :])))
        for level in there.levels:
            found = [_evaluated(one, values, slopes) for one in level]
            values = torch.cat((values, *(value for value, _ in found)))
            slopes = torch.cat((slopes, *(slope for _, slope in found)))
        return values.index_select(0, there.tops), slopes.index_select(0, there.tops)

    def _there(self, output: Tensor) -> _Placed:
        """What the program computes with, on the device of the outputs; one that is waited for gets it once."""
        if output.device.type == "cpu":
            return _Placed(self._constants.to(output), self._tops, self._levels)
        key = (output.device, output.dtype)
        if key not in self._elsewhere:
            places = [self._tops, *(own for level in self._levels for one in level for own in one.arguments)]
            own = iter(torch.cat(places).to(output.device).split([len(one) for one in places]))
            tops = next(own)
            levels = [
                [_Instruction(one.operator, tuple(next(own) for _ in one.arguments)) for one in level]
                for level in self._levels
            ]
            self._elsewhere[key] = _Placed(self._constants.to(output), tops, levels)
        return self._elsewhere[key]


class _Values(torch.autograd.Function):
    """Values of a program; their derivatives by the outputs are known with them."""

    @staticmethod
    def forward(ctx: Any, program: Program, output: Tensor, target: Tensor) -> Tensor:
        values, slopes = program.with_slopes(output, target)
        ctx.save_for_backward(slopes)
        return values

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[None, Tensor, None]:
        (slopes,) = ctx.saved_tensors
        return None, gradient * slopes, None


class _Nodes:
    """The nodes of trees, equal ones once, numbered as they are met after the leaves of all rows."""

    def __init__(self, rows: int) -> None:
        self._leaves = {"output": 0, "target": rows}
        self._known: dict[tuple[object, ...], int] = {}
        self._level = [0] * (2 * rows)
        self._made: list[tuple[str, tuple[int, ...]]] = [("", ())] * (2 * rows)
        self.constants: list[float] = []

    def place(self, tree: Node, row: int) -> int:
        """The number of a tree's node on a row of leaves."""
        if isinstance(tree, str):
            return self._leaves[tree] + row
        if isinstance(tree, tuple):
            arguments = tuple([self.place(argument, row) for argument in tree[1:]])
            key: tuple[object, ...] = (tree[0], *arguments)
        else:
            arguments, key = (), (tree,)
        number = self._known.setdefault(key, len(self._made))
        if number == len(self._made):
            self._made.append((key[0], arguments) if arguments else ("", ()))  # type: ignore[arg-type]
            self._level.append(1 + max(map(self._level.__getitem__, arguments)) if arguments else 0)
            if not arguments:
                self.constants.append(tree)  # type: ignore[arg-type]
        return number

    def levels(self) -> tuple[list[int], list[list[_Instruction]]]:
        """The place of every node when sorted by level and operator, and the instructions of each level."""
        order = sorted(
            range(len(self._made)), key=lambda one: (self._level[one], _ORDER.get(self._made[one][0], -1), one)
        )
        placed = [0] * len(order)
        for place, one in enumerate(order):
            placed[one] = place
        grouped: dict[int, dict[str, list[tuple[int, ...]]]] = {}
        for one in order:
            operator, arguments = self._made[one]
            if arguments:
                own = grouped.setdefault(self._level[one], {}).setdefault(operator, [])
                own.append(tuple(placed[argument] for argument in arguments))
        return placed, [
            [
                _Instruction(operator, tuple(torch.tensor(zipped) for zipped in zip(*own, strict=True)))
                for operator, own in level.items()
            ]
            for level in grouped.values()
        ]


def _evaluated(one: _Instruction, values: Tensor, slopes: Tensor) -> Dual:
    given = [(values.index_select(0, place), slopes.index_select(0, place)) for place in one.arguments]
    return _DUALS[one.operator](*(tensor for pair in given for tensor in pair))


def _mul(a: Tensor, da: Tensor, b: Tensor, db: Tensor) -> Dual:
    return a * b, da * b + a * db


def _div(a: Tensor, da: Tensor, b: Tensor, db: Tensor) -> Dual:
    length = (1.0 + b * b).sqrt()
    value = a / length
    return value, (da - value * (b / length) * db) / length


def _square(a: Tensor, da: Tensor) -> Dual:
    return a * a, 2.0 * a * da


def _root(a: Tensor, da: Tensor) -> Dual:
    value = (a.abs() + ROOT).sqrt()
    return value, 0.5 * a.sign() * da / value


def _log(a: Tensor, da: Tensor) -> Dual:
    inner = a.abs() + LOGARITHM
    return inner.log(), a.sign() * da / inner


def _tanh(a: Tensor, da: Tensor) -> Dual:
    value = a.tanh()
    return value, (1.0 - value * value) * da


def _exp(a: Tensor, da: Tensor) -> Dual:
    value = a.clamp(-EXPONENT, EXPONENT).exp()
    return value, torch.where(a.abs() <= EXPONENT, value * da, 0.0)


def _chosen(left: Tensor, a: Tensor, da: Tensor, b: Tensor, db: Tensor) -> Tensor:
    """The derivative of the smaller or larger; of equal ones their mean, as in PyTorch."""
    return torch.where(a == b, 0.5 * (da + db), torch.where(left, da, db))


_DUALS: Mapping[str, Callable[..., Dual]] = MappingProxyType(
    {
        "add": lambda a, da, b, db: (a + b, da + db),
        "sub": lambda a, da, b, db: (a - b, da - db),
        "mul": _mul,
        "div": _div,
        "min": lambda a, da, b, db: (torch.minimum(a, b), _chosen(a < b, a, da, b, db)),
        "max": lambda a, da, b, db: (torch.maximum(a, b), _chosen(a > b, a, da, b, db)),
        "square": _square,
        "abs": lambda a, da: (a.abs(), a.sign() * da),
        "root": _root,
        "log": _log,
        "tanh": _tanh,
        "exp": _exp,
    }
)
"""Each operator with the derivative of what it computes; see `losssearch.losses.trees.operators`."""
