"""What a client may ask of a service that runs searches: the options that name no code, file, address or machine.

Nothing here imports torch or opens a file, so that a web server can check a body before it keeps it. Whatever needs
the data, or the catalogue of losses, is checked by the study itself.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from losssearch.errors import OptionError, UnknownNameError, shown
from losssearch.option_names import option
from losssearch.request.bundled import MODEL_NAMES, TASK_NAMES, bundled_spaces
from losssearch.request.description import OPTIONS, Request, property_of
from losssearch.request.duration import parse_duration

DEFAULT_TRIALS = 128
"""Trials of a study that asks for no number; a test compares it with `losssearch.study.budget`."""


@dataclass(frozen=True, kw_only=True)
class Limits:
    """The most that a client may ask for.

    Args:
        trials: losses to try.
        time_budget: seconds of a search.
        epochs: epochs of each training.
        confirm_seeds: seeds of the verdict.
        draws: draws of rows that judge each loss.
        max_rows: rows of a sample.
        rates: learning rates.
        names: entries of a list of columns, constraints or objectives.
        characters: length of a name, a constraint or another short text.
        space_bytes: size of a space that is given as text.
    """

    trials: int = 5_000
    time_budget: float = 86_400.0
    epochs: int = 1_000
    confirm_seeds: int = 50
    draws: int = 50
    max_rows: int = 100_000_000
    rates: int = 8
    names: int = 200
    characters: int = 300
    space_bytes: int = 64 * 1024


LIMITS = Limits()
"""Limits for a service that sets none of its own."""

_COUNTED = ("trials", "epochs", "confirm_seeds", "draws", "max_rows")


def remote_names() -> tuple[str, ...]:
    """The options that a client may give."""
    return tuple(name for name, one in OPTIONS.items() if not one.local_only)


def remote_schema(limits: Limits = LIMITS) -> dict[str, Any]:
    """The JSON Schema (draft 2020-12) of what a client may ask for.

    Args:
        limits: the most that it may ask for.

    Returns:
        The schema of an object with a property for each option: type, names to choose from, range, default, and a
        description; ``x-panel`` is a heading under which a form may show it.

    Example:
        >>> from losssearch.request.remote import Limits, remote_schema
        >>> remote_schema(Limits(trials=64))["properties"]["trials"]["anyOf"][0]
        {'type': 'integer', 'minimum': 2, 'maximum': 64}
    """
    properties = {}
    for name in remote_names():
        properties[name] = property_of(name, _value_schema(name, limits))
        properties[name].pop("x-names-file", None)
        properties[name]["x-panel"] = OPTIONS[name].panel
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "A search for a loss",
        "type": "object",
        "properties": properties,
        "additionalProperties": False,
    }


def remote_request(content: Mapping[str, Any], limits: Limits = LIMITS) -> Request:
    """The request that a client's JSON object describes; whoever runs the study adds data, folder and workers.

    Args:
        content: options by their names in Python, as `remote_schema` describes them.
        limits: the most that it may ask for.

    Returns:
        A request without data.

    Raises:
        UnknownNameError: there is no option of a name, or no built-in model, space or kind of task.
        OptionError: an option is of the wrong type, out of its range, or not for a client to give; the message and
            `losssearch.LossSearchError.options` name it.

    Example:
        >>> from losssearch.request.remote import remote_request
        >>> remote_request({"target": "income", "trials": 64}).trials
        64
        >>> remote_request({"task": "os:system"})
        Traceback (most recent call last):
        ...
        losssearch.errors.OptionError: task must be one of binary, multiclass, regression, got 'os:system'
    """
    if not isinstance(content, Mapping):
        raise OptionError(f"a request must be an object of options by name, got a {type(content).__name__}")
    names = remote_names()
    for name in content:
        if name not in OPTIONS:
            raise UnknownNameError("option", f"{name!s:.80}", names)
        if OPTIONS[name].local_only:
            raise OptionError(f"{option(name)} is for whoever runs the study to say: leave it out")
    for name, value in content.items():
        _check(name, value, limits)
    request = Request.from_json({n: value for n, value in content.items() if value is not None}, local=False).plain()
    if request.space is not None and request.space_text is not None:
        raise OptionError(f"give {option('space')} or {option('space_text')}, not both")
    if request.trials is None and request.time_budget is None and limits.trials < DEFAULT_TRIALS:
        raise OptionError(f"{option('trials')} must be given, at most {limits.trials} here")
    return request


def _value_schema(name: str, limits: Limits) -> dict[str, Any]:
    """The schema of an option's value, narrower than for who runs a study themselves."""
    one = OPTIONS[name]
    if names := _choices(name):
        return {"type": "string", "enum": list(names)}
    if name == "space_text":
        return {"type": "string", "minLength": 1, "maxLength": limits.space_bytes}
    if name == "time_budget":
        return {"type": ["string", "number"], "exclusiveMinimum": 0, "maximum": limits.time_budget, "maxLength": 40}
    if name == "positive":
        return {"type": ["string", "number", "boolean"], "minLength": 1, "maxLength": limits.characters}
    text = {"type": "string", "minLength": 1, "maxLength": limits.characters}
    found = dict(one.kind.schema or {})
    if found == {"type": "string"}:
        return text
    if found.get("type") == "array":
        items = text if found["items"] == {"type": "string"} else found["items"]
        return {**found, "items": items, "maxItems": limits.rates if name == "rates" else limits.names}
    if "anyOf" in found:
        return {"anyOf": [text, {"type": "array", "items": text, "maxItems": limits.names}]}
    found |= one.range.schema() if one.range else {}
    return found | ({"maximum": getattr(limits, name)} if name in _COUNTED else {})


def _choices(name: str) -> tuple[str, ...]:
    return {"model": MODEL_NAMES, "task": TASK_NAMES, "space": bundled_spaces()}.get(name, ())


def _check(name: str, value: Any, limits: Limits) -> None:
    """Raise `OptionError`, naming the option, for a value that `remote_schema` does not allow."""
    one = OPTIONS[name]
    if value is None:
        one.check(name, value, Request.__dataclass_fields__[name].default)
        return
    words = one.kind.words or "a text, a number or a truth value"
    listed = isinstance(value, list)
    if listed and not _takes_list(name):
        raise OptionError(f"{option(name)} must be {words}, got {_found(value)}")
    entries = value if listed else [value]
    most = limits.rates if name == "rates" else limits.names
    if len(entries) > most:
        raise OptionError(f"{option(name)} must have at most {most} entries, got {len(entries)}")
    for entry in entries:
        _check_entry(name, entry, words, limits)
    if (names := _choices(name)) and value not in names:
        raise OptionError(f"{option(name)} must be one of {', '.join(names)}, got {shown(value)}")
    one.check(name, value, None)
    if name in _COUNTED and value > getattr(limits, name):
        raise OptionError(f"{option(name)} must be at most {getattr(limits, name)} here, got {shown(value)}")
    if name == "time_budget":
        _check_duration(value, limits.time_budget)
    if name == "rates" and min(value, default=1) <= 0:
        raise OptionError(f"{option(name)} must be above 0, got {_found(value)}")


def _check_entry(name: str, entry: Any, words: str, limits: Limits) -> None:
    """The same for a value, or one entry of a list: text, a number or a truth value."""
    if isinstance(entry, str):
        _check_text(name, entry, limits)
    elif not isinstance(entry, bool | int | float):
        raise OptionError(f"{option(name)} must be {words}, got {_found(entry)}")
    elif not (abs(entry) < 1 << 63):  # NaN is not either
        raise OptionError(f"{option(name)} must be a number within 64 bits, got {shown(entry)}")


def _check_text(name: str, text: str, limits: Limits) -> None:
    size, most, unit = len(text), limits.characters, "characters"
    if name == "space_text":
        size, most, unit = len(text.encode(errors="replace")), limits.space_bytes, "bytes"
    if not 0 < size <= most:
        raise OptionError(f"{option(name)} must have 1 to {most} {unit}, got {size}")
    # Databases, terminals and our own messages give such characters another meaning.
    for character in text:
        if character not in "\n\r\t" and unicodedata.category(character) in ("Cc", "Cs", "Co"):
            raise OptionError(f"{option(name)} must have no control characters, got {character!a}")


def _check_duration(value: str | float, most: float) -> None:
    try:
        seconds = parse_duration(value) if isinstance(value, str) else value
    except OptionError as error:
        raise OptionError(f"{option('time_budget')}: {error}") from None
    if not 0 < seconds <= most:
        raise OptionError(f"{option('time_budget')} must be above 0 and at most {most:g} s here, got {shown(value)}")


def _takes_list(name: str) -> bool:
    schema = OPTIONS[name].kind.schema or {}
    return schema.get("type") == "array" or "anyOf" in schema


def _found(value: Any) -> str:
    return f"{shown(value)}, which is a {type(value).__name__}"
