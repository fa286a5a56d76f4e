"""A part of a loss, printed for people."""

from __future__ import annotations

from typing import TYPE_CHECKING

from losssearch.losses.domains import Array, Tree
from losssearch.losses.schedule import number_text
from losssearch.losses.trees.display import shown_formula

if TYPE_CHECKING:
    from losssearch.losses.spec import Part

FEW = 3
"""Hyperparameters that a formula shows all of; of more, those that are not at their defaults."""

_TELLING = frozenset({"statistic", "violation"})
"""Shown always."""


def part_formula(part: Part, alone: bool, latex: bool) -> str:
    """Plain text, or LaTeX; ``alone``: the loss has no other part, so a constant weight says nothing."""
    if trees := [part.hyperparameters[name] for name, domain in part.term.domains.items() if isinstance(domain, Tree)]:
        body = f"[{', '.join(shown_formula(str(tree), latex=latex) for tree in trees)}]"
        return _weighed_formula(part, body, alone, latex)
    defaults = part.term.defaults if len(part.hyperparameters) > FEW else {}
    values = [
        f"{name}={_shown(part, name, value)}" if isinstance(value, str) else f"{name}={number_text(value, latex=latex)}"
        for name, value in part.hyperparameters.items()
        if defaults.get(name) != value or name in _TELLING
    ]
    if latex:
        name = rf"\mathrm{{{part.name}}}".replace("_", r"\_")
        body = name + (rf"_{{{', '.join(values)}}}".replace("_", r"\_").replace(r"\_{", "_{", 1) if values else "")
    else:
        body = part.name + (f"({', '.join(values)})" if values else "")
    return _weighed_formula(part, body, alone, latex)


def _shown(part: Part, name: str, choice: str) -> str:
    """A choice as a formula has it: of an array, the first digits of its name."""
    return choice[:8] if isinstance(part.term.domains.get(name), Array) else choice


def _weighed_formula(part: Part, body: str, alone: bool, latex: bool) -> str:
    body = part.reduction.formula(body, latex=latex)
    single = alone and part.weighting.fixed is not None
    return body if single else part.weighting.formula(body, latex=latex)
