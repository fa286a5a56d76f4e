"""Calls of public functions and records: what cannot be taken is told in one line, with the nearest name."""

from __future__ import annotations

import difflib
import functools
import inspect
from collections.abc import Callable, Mapping, Sequence
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
        @functools.wraps(function)
        def called(*args: Given.args, **kwargs: Given.kwargs) -> Found:
            check_call(what, function, args, kwargs)
            return function(*args, **kwargs)

        return called

    return wrap


def declaration(what: str, *, named: bool = True) -> Callable[[Callable[Given, Found]], Callable[Given, Found]]:
    """The same for a function that makes a decorator, which may be written without its parentheses by mistake.

    ``named``: whether what it stands above must have a name of its own, as a function has.
    """

    def wrap(function: Callable[Given, Found]) -> Callable[Given, Found]:
        @functools.wraps(function)
        def called(*args: Given.args, **kwargs: Given.kwargs) -> Found:
            if len(args) == 1 and not kwargs and callable(args[0]):
                needed = ", ".join(f"{name}=…" for name in _needed(function))
                raise ArgumentError(f"@{what} must be written with its arguments: @{what}({needed}), above a function")
            check_call(what, function, args, kwargs)
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
    init = record.__init__

    @functools.wraps(init)
    def checked(self: Any, *args: Any, **kwargs: Any) -> None:
        check_call(f"ls.{type(self).__name__}", functools.partial(init, self), args, kwargs, values=values)
        init(self, *args, **kwargs)

    type.__setattr__(record, "__init__", checked)
    return record


def check_call(
    what: str, function: Callable[..., Any], args: Sequence[Any], kwargs: Mapping[str, Any], *, values: bool = True
) -> None:
    """Raise `ArgumentError` where ``function`` cannot be called so; with ``values``, for a wrong type as well."""
    signature = inspect.signature(function)
    parameters = {name: one for name, one in signature.parameters.items() if one.kind not in _OPEN_ENDED}
    takes_more = any(one.kind is one.VAR_KEYWORD for one in signature.parameters.values())
    for name, value in kwargs.items():
        near = difflib.get_close_matches(name, parameters, n=1)
        if name in parameters or (takes_more and not (near and isinstance(value, _SIMPLE))):
            continue
        hint = f"did you mean {near[0]}?" if near else f"it takes {', '.join(parameters)}"
        raise ArgumentError(f"{what} got an unexpected argument {name}={shown(value)}; {hint}")
    by_place = [name for name, one in parameters.items() if one.kind is not one.KEYWORD_ONLY]
    several = any(one.kind is one.VAR_POSITIONAL for one in signature.parameters.values())
    if len(args) > len(by_place) and not several:
        most = f"at most {len(by_place)} argument{'s' * (len(by_place) > 1)}" if by_place else "no argument"
        raise ArgumentError(f"{what} takes {most} without a name, got {len(args)}; it takes {', '.join(parameters)}")
    if twice := [name for name in by_place[: len(args)] if name in kwargs]:
        raise ArgumentError(f"{what} takes each argument once, got {', '.join(twice)} twice")
    given = {**dict(zip(by_place, args, strict=False)), **kwargs}
    if missing := [name for name in _needed(function) if name not in given]:
        raise ArgumentError(f"{what} needs {', '.join(missing)}, got {', '.join(given) or 'no argument'}")
    for name, value in given.items() if values else ():
        words, fits = _CHECKED.get(str(parameters[name].annotation) if name in parameters else "", ("", None))
        if fits is not None and not fits(value):
            raise ArgumentError(f"{what}'s {name} must be {words}, got {shown(value)}")


def _needed(function: Callable[..., Any]) -> list[str]:
    """Names of the arguments that have no default."""
    found = inspect.signature(function).parameters.values()
    return [one.name for one in found if one.default is one.empty and one.kind not in _OPEN_ENDED]
