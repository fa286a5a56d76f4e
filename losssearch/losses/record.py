"""The record of a small function of a loss (a weighting, schedule, reduction or balance), and how it is declared.

As for a term: positional parameters are what the function reads, keyword-only ones are its numbers and states, and the
declaration states a domain for each. The function must work under ``torch.func.vmap`` and be pure.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, TypeAlias, TypeVar

from torch import Tensor

from losssearch.errors import SpecError
from losssearch.losses.domains import Float, Int
from losssearch.losses.state import State, check_updates

Declared: TypeAlias = Float | Int | State


@dataclass(frozen=True)
class Record:
    """What is known of one such function.

    ``reads``: its positional parameters. ``domains``: its numbers; ``states``: what it keeps. ``formula`` and ``latex``
    print it, ``{part}`` standing for what it acts on and ``{NAME}`` for a number; ``meaning`` writes it out where the
    formula abbreviates. ``plain``: whether it computes the same where its numbers are Python's and not tensors.
    """

    name: str
    function: Callable[..., Tensor]
    reads: tuple[str, ...]
    domains: Mapping[str, Float | Int]
    states: Mapping[str, State]
    formula: str
    latex: str
    reference: str = ""
    meaning: str = ""
    plain: bool = False
    summary: str = field(default="", compare=False)

    @property
    def reads_progress(self) -> bool:
        """Whether it depends on how much of the training is done."""
        return "progress" in self.reads


R = TypeVar("R", bound=Record)


def facts_of(
    what: str, function: Callable[..., Any], readable: Iterable[str], declared: Mapping[str, object]
) -> dict[str, Any]:
    """The fields of a `Record` that a function and its declaration give.

    Raises `SpecError` on a missing docstring, an unknown parameter, or a signature that does not fit the declaration.
    """
    name = function.__name__
    parameters = list(inspect.signature(function).parameters.values())
    open_ended = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)
    if odd := [p.name for p in parameters if p.kind in open_ended or p.default is not p.empty]:
        raise SpecError(f"{name}'s parameters must be named one by one, without defaults; got {', '.join(odd)}")
    reads = tuple(p.name for p in parameters if p.kind is not p.KEYWORD_ONLY)
    known = tuple(readable)
    if unknown := set(reads) - set(known):
        raise SpecError(f"the {what} {name} may read {', '.join(known)}; got {', '.join(sorted(unknown))}")
    if known[0] not in reads:
        raise SpecError(f"the {what} {name} must read {known[0]}, got {', '.join(reads) or 'nothing'}")
    keywords = [p.name for p in parameters if p.kind is p.KEYWORD_ONLY]
    if sorted(keywords) != sorted(declared):
        raise SpecError(f"{name}'s keyword-only parameters {keywords} must equal the declared {sorted(declared)}")
    if wrong := [key for key, value in declared.items() if not isinstance(value, Float | Int | State)]:
        raise SpecError(f"the {what} {name} must declare each of {', '.join(wrong)} as Float, Int or State")
    check_updates(name, declared, [*reads, *keywords])
    if not function.__doc__:
        raise SpecError(f"the {what} {name} needs a docstring")
    return {
        "name": name,
        "function": function,
        "reads": reads,
        "domains": MappingProxyType({k: v for k, v in declared.items() if not isinstance(v, State)}),
        "states": MappingProxyType({k: v for k, v in declared.items() if isinstance(v, State)}),
        "summary": function.__doc__.strip().splitlines()[0],
    }


def not_by_row(what: str, facts: Mapping[str, Any]) -> None:
    """Raise `SpecError` where a function that sees no rows declares a state for each of them."""
    if rows := [name for name, state in facts["states"].items() if state.moved_by == "row update"]:
        raise SpecError(f"the {what} {facts['name']} sees no rows and can keep no {rows[0]} for each of them")


_adopted: set[tuple[str, str]] = set()
"""What another process declared and this one has taken over, by what it is and its name."""


def enter(registry: dict[str, R], record: R, what: str) -> R:
    """Put a record into its registry; raises `SpecError` where the name is taken."""
    if record.name in registry and (what, record.name) not in _adopted:
        raise SpecError(f"the names of {what}s must be unique, got a second {record.name!r}")
    registry[record.name] = record
    return record


def adopt(declare: Callable[..., Any], what: str, function: Callable[..., Any], declared: Mapping[str, Any]) -> None:
    """Declare with ``declare`` what another process declared.

    Where this process imports its module later on, the declaration there takes the place of this one.
    """
    declare(**declared)(function)
    _adopted.add((what, function.__name__))


def filled(template: str, texts: Mapping[str, str]) -> str:
    """``template`` with the texts in place of their names in braces; other braces stay, as LaTeX needs them."""
    for name, text in texts.items():
        template = template.replace(f"{{{name}}}", text)
    return template
