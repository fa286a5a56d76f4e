"""What the operators of a tree compute, on tensors.

Each is defined everywhere: a quotient is divided by ``sqrt(1 + b²)``, and nothing is taken of a negative number.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType

import torch
from torch import Tensor

from losssearch.losses.trees.tree import EXPONENT, LOGARITHM, ROOT, Node


def divided(a: Tensor, b: Tensor) -> Tensor:
    """The protected quotient a / sqrt(1 + b²)."""
    return a / (1.0 + b * b).sqrt()


OPERATORS: Mapping[str, Callable[..., Tensor]] = MappingProxyType(
    {
        "add": lambda a, b: a + b,
        "sub": lambda a, b: a - b,
        "mul": lambda a, b: a * b,
        "div": divided,
        "min": torch.minimum,
        "max": torch.maximum,
        "square": lambda a: a * a,
        "abs": torch.abs,
        "root": lambda a: (a.abs() + ROOT).sqrt(),
        "log": lambda a: (a.abs() + LOGARITHM).log(),
        "tanh": torch.tanh,
        "exp": lambda a: a.clamp(-EXPONENT, EXPONENT).exp(),
    }
)

LINES: Mapping[str, str] = MappingProxyType(
    {
        "add": "{0} + {1}",
        "sub": "{0} - {1}",
        "mul": "{0} * {1}",
        "div": "{0} / (1.0 + {1} * {1}).sqrt()",
        "min": "torch.minimum({0}, {1})",
        "max": "torch.maximum({0}, {1})",
        "square": "{0} * {0}",
        "abs": "{0}.abs()",
        "root": f"({{0}}.abs() + {ROOT!r}).sqrt()",
        "log": f"({{0}}.abs() + {LOGARITHM!r}).log()",
        "tanh": "{0}.tanh()",
        "exp": f"{{0}}.clamp({-EXPONENT!r}, {EXPONENT!r}).exp()",
    }
)
"""The same as lines of source, for an exported loss."""

_PLAIN = frozenset({"add", "sub", "mul"})
"""Those whose lines take numbers as they are."""


def evaluated(tree: Node, output: Tensor, target: Tensor) -> Tensor:
    """The value of a tree at ``output`` and ``target``, tensors of one shape; equal subtrees are computed once."""
    known: dict[Node, Tensor] = {"output": output, "target": target}

    def value(node: Node) -> Tensor:
        if node not in known:
            known[node] = (
                OPERATORS[node[0]](*map(value, node[1:]))
                if isinstance(node, tuple)
                else output.new_full((), node).expand_as(output)  # type: ignore[arg-type]
            )
        return known[node]

    return value(tree)


def source_lines(tree: Node, output: str, target: str, result: str) -> list[str]:
    """Statements that compute the tree of two variables into the variable ``result``."""
    lines: list[str] = []
    known: dict[Node, str] = {"output": output, "target": target}

    def name(node: Node) -> str:
        if node in known:
            return known[node]
        if not isinstance(node, tuple):
            known[node] = f"v{len(lines) + 1}"
            lines.append(f"{known[node]} = torch.full_like({output}, {node!r})")
            return known[node]
        plain = node[0] in _PLAIN
        given = [repr(one) if plain and isinstance(one, float) else name(one) for one in node[1:]]
        text = LINES[node[0]].format(*given)
        known[node] = result if node is tree else f"v{len(lines) + 1}"
        lines.append(f"{known[node]} = {text}")
        return known[node]

    last = name(tree)
    return lines if last == result else [*lines, f"{result} = {last}"]
