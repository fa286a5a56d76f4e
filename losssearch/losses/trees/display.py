"""Trees for people, simplified by SymPy, and as exact expressions of SymPy's."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

from losssearch.losses.trees.tree import EXPONENT, LOGARITHM, ROOT, Node, read


@lru_cache(maxsize=4096)
def shown_formula(text: str, *, latex: bool = False) -> str:
    """A tree as a short formula: numbers to three digits, without what keeps roots, logarithms and exponents finite.

    Example:
        >>> shown_formula("div(square(sub(output, target)), 0)")
        '(output - target)^2'
    """
    expression = expression_of(read(text), exact=False)
    import sympy  # half a second, which only symbolic losses need

    return str(sympy.latex(expression)) if latex else str(expression).replace("**", "^")


def expression_of(tree: Node, *, exact: bool = True) -> Any:
    """The tree as an expression of SymPy's in the real symbols ``output`` and ``target``.

    SymPy simplifies as it builds: sums, products and powers are collected, and numbers folded. With ``exact`` the value
    is the tree's own; without, protections are left out and numbers have three digits.
    """
    import sympy

    symbols = {name: sympy.Symbol(name, real=True) for name in ("output", "target")}

    # SymPy's own compare their arguments at length, which is of no use to a reader.
    least, most = (sympy.Min, sympy.Max) if exact else (sympy.Function("min"), sympy.Function("max"))

    def number(value: float) -> Any:
        return sympy.Integer(int(value)) if value.is_integer() else sympy.Float(value, 17 if exact else 3)

    def of(node: Node) -> Any:
        if isinstance(node, str):
            return symbols[node]
        if not isinstance(node, tuple):
            return number(node)
        operator, *given = node[0], *map(of, node[1:])
        a, b = given[0], given[-1]
        simple = {
            "add": lambda: a + b,
            "sub": lambda: a - b,
            "mul": lambda: a * b,
            "div": lambda: a / sympy.sqrt(1 + b**2),
            "min": lambda: least(a, b),
            "max": lambda: most(a, b),
            "square": lambda: a**2,
            "abs": lambda: sympy.Abs(a),
            "root": lambda: sympy.sqrt(sympy.Abs(a) + (number(ROOT) if exact else 0)),
            "log": lambda: sympy.log(sympy.Abs(a) + (number(LOGARITHM) if exact else 0)),
            "tanh": lambda: sympy.tanh(a),
            "exp": lambda: sympy.exp(most(-EXPONENT, least(EXPONENT, a)) if exact else a),
        }
        return simple[operator]()

    return of(tree)
