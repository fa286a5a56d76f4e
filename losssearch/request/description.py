"""A whole request: the options of every group in one record, which can be kept and sent as JSON."""

from __future__ import annotations

import dataclasses
import os
import shlex
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from losssearch.errors import OptionError, UnknownNameError
from losssearch.option_names import ANY, in_python, option, spelled
from losssearch.request.duration import parse_duration
from losssearch.request.groups import Budget, Compute, Fairness, Output, Privacy, Question, Splits
from losssearch.request.option import Option, defaults_of, options_of

_SIMPLE = (str, bool, int, float)


@dataclass(frozen=True, kw_only=True)
class AllOptions(Output, Compute, Privacy, Fairness, Budget, Splits, Question):
    """The options of every group; a dataclass has the fields of its last base first."""


@dataclass(frozen=True, kw_only=True)
class Request(AllOptions):
    """What a search was asked for: every option of `losssearch.search`. Either ``data`` or ``train`` is given.

    ``started`` is when the clock of a time budget began, by ``time.monotonic``; the start of the search if left out.
    ``explicit`` names the options that were given; if left out, those that differ from their defaults.
    ``data_name`` is what people call the data, where that is not the name of their file.
    """

    started: float | None = None
    explicit: frozenset[str] | None = None
    data_name: str | None = None

    def check(self) -> None:
        """Raise `OptionError` for the first option that is of the wrong type or out of its range."""
        defaults = defaults_of(self)
        for name, one in options_of(self).items():
            one.check(name, getattr(self, name), defaults[name])

    def plain(self) -> Self:
        """The same with Python's own numbers in place of NumPy's, tuples of texts, and seconds; imports as texts."""
        changed: dict[str, Any] = {}
        for name in OPTIONS:
            value = getattr(self, name)
            if type(value).__module__ == "numpy" and not hasattr(value, "__len__"):
                changed[name] = value.item()
        if isinstance(self.constraints, str):
            changed["constraints"] = (self.constraints,)
        imports = [self.imports] if isinstance(self.imports, str | os.PathLike) else self.imports
        changed["imports"] = tuple(map(os.fspath, imports))
        if isinstance(self.time_budget, str):
            changed["time_budget"] = parse_duration(self.time_budget)
        return dataclasses.replace(self, **changed)

    @property
    def seconds(self) -> float | None:
        """The time budget in seconds; None without one."""
        return parse_duration(self.time_budget) if isinstance(self.time_budget, str) else self.time_budget

    def to_json(self) -> dict[str, Any]:
        """The options that differ from their defaults, as JSON.

        Raises `OptionError` for one that has no form there, such as a function or an array.
        """
        defaults = defaults_of(self)
        return {
            name: _json(name, value)
            for name in OPTIONS
            if (value := getattr(self, name)) is not defaults[name] and not _equal(value, defaults[name])
        }

    @classmethod
    def from_json(cls, content: Mapping[str, Any], *, local: bool = True) -> Self:
        """The request that ``content`` describes, checked.

        Args:
            content: options by their names in Python.
            local: whether it comes from who runs the study; if not, options that say something of the machine that
                runs it are refused, and so are functions and imports.

        Raises:
            UnknownNameError: there is no option of a name.
            OptionError: an option is of the wrong type, out of its range, or not for others to say.
        """
        for name in content:
            if name not in OPTIONS:
                raise UnknownNameError("option", str(name), OPTIONS)
            if OPTIONS[name].local_only and not local:
                raise OptionError(f"{option(name)} is for whoever runs the study to say: leave it out")
        if not local and ":" in str(content.get("model", "")):
            raise OptionError(f"{option('model')} must be the name of a model that comes with losssearch")
        values: dict[str, Any] = {n: tuple(value) if isinstance(value, list) else value for n, value in content.items()}
        made = cls(**values)
        made.check()
        return made


OPTIONS: dict[str, Option] = options_of(Request)
"""Every option by its name in Python, in the order of help and documentation."""


DEFAULTS: Mapping[str, Any] = defaults_of(Request)
"""What each option is if it is left out."""


def check_range(name: str, value: float) -> None:
    """Raise `OptionError` for a number that is out of its option's range."""
    allowed = OPTIONS[name].range
    if allowed is not None and value not in allowed:
        raise OptionError(f"{option(name)} must {allowed}, got {value}")


def json_schema(*, local: bool = False) -> dict[str, Any]:
    """The JSON Schema of a request.

    Args:
        local: whether to include the options that only whoever runs the study may give, marked ``x-local-only``.

    Returns:
        A schema of draft 2020-12; options that have no form in JSON are left out.
    """
    properties = {
        name: property_of(name)
        for name, one in OPTIONS.items()
        if one.kind.schema is not None and (local or not one.local_only)
    }
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "A search for a loss",
        "type": "object",
        "properties": properties,
        "additionalProperties": False,
    }


def property_of(name: str, value: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """The JSON Schema of an option: of its ``value``, by default that of its kind and range, with default and help."""
    one, default = OPTIONS[name], DEFAULTS[name]
    found = {**(one.kind.schema or {}), **(one.range.schema() if one.range else {})} if value is None else dict(value)
    if default is None:
        found = {"anyOf": [found, {"type": "null"}]}
    found = {"description": spelled(one.help, in_python), **found}
    found["default"] = list(default) if isinstance(default, tuple) else default
    if one.local_only:
        found["x-local-only"] = True
    if one.names_file:
        found["x-names-file"] = True
    return found


def flag(name: str, value: Any = ANY) -> str:
    """Spell an option as the command line has it; see `losssearch.option_names`."""
    one = OPTIONS.get(name)
    if one is None:
        return f"--{name.replace('_', '-')}"
    if name == "data":
        return "DATA"
    if one.python_only and not one.flag:
        return name if value is ANY else f"{name}={value!r}"
    written = one.flag or name.replace("_", "-")
    if isinstance(value, bool) and written.startswith("no-") and value:
        written = written.removeprefix("no-")
    if value is ANY or isinstance(value, bool):
        return f"--{written}"
    return f"--{written} {shlex.quote(str(value))}"


def _json(name: str, value: Any) -> Any:
    if isinstance(value, Path):
        return str(value)
    if isinstance(value, list | tuple) and all(isinstance(one, _SIMPLE) for one in value):
        return list(value)
    if isinstance(value, Mapping):
        return dict(value)
    if not isinstance(value, _SIMPLE):
        raise OptionError(f"{option(name)} must be text or numbers to be written as JSON, got a {type(value).__name__}")
    return value


def _equal(value: Any, default: Any) -> bool:
    return type(value) is type(default) and isinstance(value, (*_SIMPLE, tuple)) and bool(value == default)
