"""The record of a small function of a loss (a weighting, schedule, reduction or balance), and how it is declared.

As for a term: positional parameters are what the function reads, keyword-only ones are its numbers and states, and the
declaration states a domain for each. The function must work under ``torch.func.vmap`` and be pure.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, Generic, TypeAlias, TypeVar

from torch import Tensor

from losssearch.errors import SpecError, UnknownNameError, shown
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


def signature_of(function: Callable[..., Any], declared: Iterable[str]) -> tuple[tuple[str, ...], list[str]]:
    """The names of a function's positional and of its keyword-only parameters.

    Raises `SpecError` where they are not named one by one, or the keyword-only ones are not those ``declared``.
    """
    name, parameters = function.__name__, list(inspect.signature(function).parameters.values())
    open_ended = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)
    if odd := [p.name for p in parameters if p.kind in open_ended or p.default is not p.empty]:
        raise SpecError(f"{name}'s parameters must be named one by one, without defaults; got {', '.join(odd)}")
    keywords = [p.name for p in parameters if p.kind is p.KEYWORD_ONLY]
    if sorted(keywords) != sorted(declared):
        raise SpecError(f"{name}'s keyword-only parameters {keywords} must equal the declared {sorted(declared)}")
    return tuple(p.name for p in parameters if p.kind is not p.KEYWORD_ONLY), keywords


def facts_of(
    what: str, function: Callable[..., Any], readable: Iterable[str], declared: Mapping[str, object]
) -> dict[str, Any]:
    """The fields of a `Record` that a function and its declaration give.

    Raises `SpecError` on a missing docstring, an unknown parameter, or a signature that does not fit the declaration.
    """
    name = function.__name__
    reads, keywords = signature_of(function, declared)
    known = tuple(readable)
    if unknown := set(reads) - set(known):
        raise SpecError(f"the {what} {name} may read {', '.join(known)}; got {', '.join(sorted(unknown))}")
    if known[0] not in reads:
        raise SpecError(f"the {what} {name} must read {known[0]}, got {', '.join(reads) or 'nothing'}")
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


@dataclass(frozen=True, eq=False)
class Family(Generic[R]):
    """The records of one family, such as the weightings: what their functions may read, and all that are declared.

    Args:
        what: What one of them is called in messages.
        readable: The positional parameters that a function may have; the first it must have.
        make: The class of the records.
        rule: Raises `SpecError` where a declaration breaks a rule of this family.
        registry: Every record by name.
    """

    what: str
    readable: tuple[str, ...]
    make: type[R]
    rule: Callable[[str, Mapping[str, Any]], None]
    registry: dict[str, R]

    @property
    def records(self) -> Mapping[str, R]:
        """Every record by name; those that are declared later join it."""
        return MappingProxyType(self.registry)

    def __getitem__(self, name: object) -> R:
        """The record of this name; raises `UnknownNameError` where nobody declared it."""
        if not isinstance(name, str) or name not in self.registry:
            raise UnknownNameError(self.what, name if isinstance(name, str) else shown(name), self.registry)
        return self.registry[name]

    def declare(
        self, declared: Mapping[str, object], *, formula: str, latex: str, **own: Any
    ) -> Callable[[Callable[..., Tensor]], R]:
        """A decorator that makes a record of a function and enters it.

        Args:
            declared: The domain of each number, and the states.
            formula: How it is printed.
            latex: The same as LaTeX; ``formula`` where it is empty.
            **own: Further fields of the record.

        Raises:
            SpecError: the name is taken, or the signature does not match the declaration.
        """

        def register(function: Callable[..., Tensor]) -> R:
            facts = facts_of(self.what, function, self.readable, declared)
            self.rule(self.what, facts)
            record = self.make(formula=formula, latex=latex or formula, **own, **facts)
            if record.name in self.registry and (self.what, record.name) not in _adopted:
                raise SpecError(f"the names of {self.what}s must be unique, got a second {record.name!r}")
            self.registry[record.name] = record
            return record

        return register


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
