"""The options of ``losssearch search``, made of `losssearch.request`: flags, help, and what was given as a request."""

from __future__ import annotations

import inspect
import re
from pathlib import Path
from typing import Annotated, Any

import typer

from losssearch.option_names import option, spelled
from losssearch.request import DEFAULTS, OPTIONS, Option, flag, kinds

_ALONE = "true"
_PART = re.compile(r'(?:"[^"]*"|\((?:[^()]|\([^()]*\))*\)|[^,])+')


def parameters() -> list[inspect.Parameter]:
    """The parameters of the command, as Typer reads them: one per option that the command line has."""
    return [_parameter(name, one) for name, one in OPTIONS.items() if not one.python_only]


def read(given: dict[str, Any]) -> dict[str, Any]:
    """The values of the options, as `losssearch.request.Request` has them, of what stands on the command line."""
    return {name: _read(name, OPTIONS[name], value) for name, value in given.items()}


def _parameter(name: str, one: Option) -> inspect.Parameter:
    default, help_text = DEFAULTS[name], spelled(one.help, flag)
    if name == "data":
        info: Any = typer.Argument(metavar=one.metavar, show_default=False, help=help_text)
    else:
        info = typer.Option(
            flag(name), metavar=one.metavar or None, help=_negated(name, help_text), rich_help_panel=one.panel
        )
    written: Any = list[str] if one.kind.several else one.kind.written
    if one.kind.written is bool:
        default = False
    elif one.kind.several or one.kind.after_flag or default is None:
        default, written = None, written | None
    return inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=Annotated[written, info])


def complete(arguments: list[str]) -> list[str]:
    """The arguments with a value for each flag that may stand alone or before one of few texts."""
    flags = {flag(name): one.kind.after_flag for name, one in OPTIONS.items() if one.kind.after_flag}
    found: list[str] = []
    rest = list(arguments)
    while rest:
        first = rest.pop(0)
        if first == "--":
            return [*found, first, *rest]
        if first in flags:
            first += f"={rest.pop(0) if rest[:1] and rest[0] in flags[first] else _ALONE}"
        found.append(first)
    return found


def _alone_or_text(name: str, one: Option, value: str) -> bool | str:
    from losssearch.errors import OptionError

    if value not in (_ALONE, *one.kind.after_flag):
        raise OptionError(
            f"{option(name)} must stand alone or before {' or '.join(one.kind.after_flag)}, got {value!r:.40}"
        )
    return True if value == _ALONE else value


def _negated(name: str, text: str) -> str:
    """The help of a flag that switches off what is on by default."""
    return f"Do not {text[0].lower()}{text[1:]}" if DEFAULTS[name] is True else text


def _read(name: str, one: Option, value: Any) -> Any:
    if one.kind.written is bool:
        return value is not DEFAULTS[name]
    if value is not None and one.kind.after_flag:
        return _alone_or_text(name, one, value)
    if value is None:
        return DEFAULTS[name]
    if not one.kind.several:
        return Path(value) if one.kind is kinds.PATH else value
    if one.kind.several == "again":
        return tuple(value)
    return _numbers(name, value) if one.kind.written is float else tuple(_listed(value)) or DEFAULTS[name]


def _listed(entries: list[str]) -> list[str]:
    """Names that may come one by one or split by commas; not by those within parentheses or double quotes."""
    parts = [part.strip() for entry in entries for part in _PART.findall(entry)]
    return [name for part in parts if (name := part[1:-1] if part[:1] == part[-1:] == '"' else part)]


def _numbers(name: str, entries: list[str]) -> list[float]:
    """Numbers that come one by one or separated by commas."""
    from losssearch.errors import OptionError

    try:
        return [float(part) for entry in entries for part in entry.split(",")]
    except ValueError:
        raise OptionError(
            f"{option(name)} must be numbers separated by commas, such as 0.001,0.01, got {','.join(entries)!r:.80}"
        ) from None
