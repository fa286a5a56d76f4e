"""Calls of public functions and records: what cannot be taken is told in one line, with the nearest name."""

from __future__ import annotations

import difflib
import functools
import inspect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from numbers import Real
from typing import Any, ParamSpec, TypeVar

from losssearch.errors import ArgumentError, shown

Given = ParamSpec("Given")
Found = TypeVar("Found")
Made = TypeVar("Made")

_SIMPLE = (str, bool, int, float, type(None))
_OPEN_ENDED = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)


def _is_number(value: object) -> bool:
    return isinstance(value, Real) and not isinstance(value, bool)


_CHECKED: Mapping[str, tuple[str, Callable[[object], bool]]] = {
    "str": ("a text", lambda value: isinstance(value, str)),
    "bool": ("True or False", lambda value: isinstance(value, bool)),
    "float": ("a number", _is_number),
    "float | None": ("a number or None", lambda value: value is None or _is_number(value)),
}
"""Which arguments are checked here, by their annotation; others are checked by what they are given to."""


def named_arguments(what: str) -> Callable[[Callable[Given, Found]], Callable[Given, Found]]:
    """Let a function, called ``what`` in messages, raise `ArgumentError` for a call that it cannot take."""

    def wrap(function: Callable[Given, Found]) -> Callable[Given, Found]:
        accepted = Accepted.by(function)

        @functools.wraps(function)
        def called(*args: Given.args, **kwargs: Given.kwargs) -> Found:
            check_call(what, accepted, args, kwargs)
            return function(*args, **kwargs)

        return called

    return wrap


def declaration(what: str, *, named: bool = True) -> Callable[[Callable[Given, Found]], Callable[Given, Found]]:
    """The same for a function that makes a decorator, which may be written without its parentheses by mistake.

    ``named``: whether what it stands above must have a name of its own, as a function has.
    """

    def wrap(function: Callable[Given, Found]) -> Callable[Given, Found]:
        accepted = Accepted.by(function)

        @functools.wraps(function)
        def called(*args: Given.args, **kwargs: Given.kwargs) -> Found:
            if len(args) == 1 and not kwargs and callable(args[0]):
                needed = ", ".join(f"{name}=…" for name in accepted.needed)
                raise ArgumentError(f"@{what} must be written with its arguments: @{what}({needed}), above a function")
            check_call(what, accepted, args, kwargs)
            declare: Any = function(*args, **kwargs)

            def above(decorated: Any) -> Any:
                if not callable(decorated) or (named and not hasattr(decorated, "__name__")):
                    raise ArgumentError(f"@{what}(…) must stand above a function, got {shown(decorated)}")
                return declare(decorated)

            return above  # type: ignore[return-value]

        return called

    return wrap


def checked_fields(record: type[Made]) -> type[Made]:
    """As `named_fields`; texts and numbers are checked as well."""
    return named_fields(record, values=True)


def named_fields(record: type[Made], *, values: bool = False) -> type[Made]:
    """Let a public record, such as a dataclass, raise `ArgumentError` for arguments that it does not have."""
    init, accepted = record.__init__, Accepted.by(record)

    @functools.wraps(init)
    def checked(self: Any, *args: Any, **kwargs: Any) -> None:
        check_call(f"ls.{type(self).__name__}", accepted, args, kwargs, values=values)
        init(self, *args, **kwargs)

    type.__setattr__(record, "__init__", checked)
    return record


@dataclass(frozen=True)
class Accepted:
    """What a function can be called with, looked up once: spaces make records by the thousand."""

    names: tuple[str, ...]
    by_place: tuple[str, ...]
    needed: tuple[str, ...]
    checks: Mapping[str, tuple[str, Callable[[object], bool]]]
    more_places: bool
    more_names: bool

    @classmethod
    def by(cls, function: Callable[..., Any]) -> Accepted:
        """What ``function`` can be called with; a class without its ``self``."""
        every = inspect.signature(function).parameters.values()
        own = [one for one in every if one.kind not in _OPEN_ENDED]
        return cls(
            tuple(one.name for one in own),
            tuple(one.name for one in own if one.kind is not one.KEYWORD_ONLY),
            tuple(one.name for one in own if one.default is one.empty),
            {one.name: _CHECKED[str(one.annotation)] for one in own if str(one.annotation) in _CHECKED},
            any(one.kind is one.VAR_POSITIONAL for one in every),
            any(one.kind is one.VAR_KEYWORD for one in every),
        )


def check_call(
    what: str, accepted: Accepted, args: Sequence[Any], kwargs: Mapping[str, Any], *, values: bool = True
) -> None:
    """Raise `ArgumentError` for a call that cannot be; with ``values``, for a wrong type as well."""
    for name, value in kwargs.items():
        if name in accepted.names:
            continue
        near = difflib.get_close_matches(name, accepted.names, n=1)
        if accepted.more_names and not (near and isinstance(value, _SIMPLE)):
            continue
        hint = f"did you mean {near[0]}?" if near else f"it takes {', '.join(accepted.names)}"
        raise ArgumentError(f"{what} got an unexpected argument {name}={shown(value)}; {hint}")
    by_place = accepted.by_place
    if len(args) > len(by_place) and not accepted.more_places:
        most = f"at most {len(by_place)} argument{'s' * (len(by_place) > 1)}" if by_place else "no argument"
        takes = ", ".join(accepted.names)
        raise ArgumentError(f"{what} takes {most} without a name, got {len(args)}; it takes {takes}")
    if twice := [name for name in by_place[: len(args)] if name in kwargs]:
        raise ArgumentError(f"{what} takes each argument once, got {', '.join(twice)} twice")
    given = {**dict(zip(by_place, args, strict=False)), **kwargs}
    if missing := [name for name in accepted.needed if name not in given]:
        raise ArgumentError(f"{what} needs {', '.join(missing)}, got {', '.join(given) or 'no argument'}")
    for name, (words, fits) in accepted.checks.items() if values else ():
        if name in given and not fits(given[name]):
            raise ArgumentError(f"{what}'s {name} must be {words}, got {shown(given[name])}")
