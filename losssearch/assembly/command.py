"""The command of a study, kept in its folder, so that a resume needs to name the folder alone."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Any

import numpy as np

from losssearch.errors import DataError, InputError, OptionError, shown
from losssearch.option_names import option
from losssearch.plugins import module_name
from losssearch.redaction import redact_url
from losssearch.request import DEFAULTS, OPTIONS, Request, kinds

NEVER = frozenset(
    {"started", "explicit", "data_name"} | {name for name, one in OPTIONS.items() if one.resumed == "not kept"}
)
"""Options that say nothing of how a study is run."""

_SIMPLE = (str, bool, int, float, type(None), Path)


@dataclass(frozen=True)
class Command:
    """The options of a study that were not left out, as JSON.

    ``hidden``: URLs that are kept without their secrets. ``unkept``: names of what has no form in JSON, such as a data
    frame or a function.
    """

    options: dict[str, Any] = field(default_factory=dict)
    hidden: tuple[str, ...] = ()
    unkept: tuple[str, ...] = ()


def command_of(options: Request) -> Command:
    """What to keep of the options of a new study."""
    kept: dict[str, Any] = {}
    hidden, unkept = [], []
    differing = explicit_in(replace(options, explicit=None))
    for name in sorted((explicit_in(options) | differing) - NEVER):
        try:
            value = _json(name, getattr(options, name))
        except TypeError:
            unkept.append(name)
            continue
        if name == "sensitive" and not isinstance(options.data, str | Path):
            unkept.append(name)  # it may hold the label of every row
            continue
        if OPTIONS[name].kind is kinds.URL and (open_part := _without_secrets(value)) != value:
            hidden.append(name)
            value = open_part
        kept[_one_name(name)] = value
    return Command(kept, tuple(hidden), tuple(unkept))


def explicit_in(options: Request) -> set[str]:
    """Names of the options that the user gave; of a call in Python, those that differ from their defaults."""
    if options.explicit is not None:
        return set(options.explicit)
    return {one.name for one in fields(options) if not _equal(getattr(options, one.name), one.default)}


def recalled(options: Request, command: Command, study: str) -> Request:
    """The options of a resume: those that were given, the others as the study was started with.

    Raises `OptionError` for one that is not what it was, and for one that cannot be kept and was not given again.
    """
    given = explicit_in(options) - NEVER
    if missing := [name for name in command.unkept if name not in given]:
        told = ", ".join(map(option, missing))
        again = ", ".join(f"{name}=…" for name in missing)
        by_name = (
            f"; or, for a metric that @ls.metric declares in a file, give {option('imports')} FILE.py and "
            f"{option('metric')} by its name"
        )
        raise OptionError(
            f"{option('resume', True)} needs {told} again: a study's folder keeps no data, arrays and functions, and "
            f"{study!r} was started with them; give them in Python, as in ls.search(…, resume=True, {again})"
            f"{by_name if 'metric' in missing else ''}"
        )
    if missing := [name for name in command.hidden if name not in given]:
        raise OptionError(
            f"{option('resume', True)} needs {option(missing[0])} again: a study's folder keeps no passwords, "
            f"and study {study!r} was "
            f"started with {command.options[missing[0]]}"
        )
    defaults = {one.name: one.default for one in fields(options)}
    for name in sorted(given - set(command.unkept)):
        if OPTIONS[name].resumed != "same":
            continue
        if OPTIONS[name].inferred and name not in command.options:
            continue
        before = command.options.get(_one_name(name), _json(name, defaults[name]))
        try:
            now = _json(name, getattr(options, name))
        except TypeError:
            continue  # arrays in place of what was a column: the study's record compares the splits
        if now != before:
            raise OptionError(
                f"{option('resume', True)} continues a study with its own options: {study!r} was started with "
                f"{option(name)} {_told(before)}, got {_told(now)}; leave {option(name)} out, or start another study "
                f"with another {option('out')}"
            )
    kept = {name: value for name, value in command.options.items() if name not in given}
    if "sample_weight" in given:
        kept.pop("weight", None)
    if "tracking_uri" in given:
        kept.pop("mlflow", None)
    if "train" in given or "data" in given:
        kept = {name: value for name, value in kept.items() if name not in ("train", "data")}
    if unknown := set(kept) - set(defaults):
        raise DataError(
            f"the record of study {study!r} holds options that are none: {', '.join(sorted(unknown))!r:.80}"
        )
    filled: dict[str, Any] = {name: tuple(v) if isinstance(v, list) else v for name, v in kept.items()}
    found = replace(options, **filled)
    Request.check(replace(found, **{name: DEFAULTS[name] for name in given & set(DEFAULTS)}))
    return found


def repeated(options: Request, command: Command, study: str) -> Request:
    """The options of a study that is resumed by the command which would also have started it: those of that command.

    A number of trials and a time budget that are the same as before do not ask for more.

    Raises `OptionError` for an option that is not what it was, be it that it is left out now.
    """
    now, defaults = command_of(options).options, {one.name: one.default for one in fields(options)}
    for name in sorted((now.keys() | command.options.keys()) - set(command.unkept)):
        if name not in OPTIONS or OPTIONS[name].resumed != "same":
            continue
        if OPTIONS[name].inferred and not (name in now and name in command.options):
            continue
        _refuse_another(name, command.options, now, defaults, study)
    if options.storage is None:
        _refuse_another("storage", command.options, now, defaults, study)
    more = {name for name in ("trials", "time_budget") if now.get(name) != command.options.get(name)}
    return replace(options, explicit=frozenset(explicit_in(options) - {"trials", "time_budget"} | more))


def _refuse_another(
    name: str, before: Mapping[str, Any], now: Mapping[str, Any], defaults: Mapping[str, Any], study: str
) -> None:
    """Raise `OptionError` where an option is not what it was."""
    was, found = (given.get(name, _json(name, defaults[name])) for given in (before, now))
    if was != found:
        raise OptionError(
            f"{option('resume', 'auto')} continues a study with the options that it was started with: {study!r} was "
            f"started with {option(name)} {_told(was)}, got {_told(found)}; repeat the first command, or start another "
            f"study with another {option('out')}"
        )


@contextmanager
def naming_imports(command: Command | None) -> Iterator[None]:
    """Say which modules a study was started with, where it cannot be read without them.

    Nothing that a folder names is imported unasked: only a resume, which trains anew, imports them by itself.
    """
    try:
        yield
    except InputError as error:
        named = command.options.get("imports", ()) if command else ()
        if absent := [name for name in named if module_name(name) not in sys.modules]:
            raise OptionError(
                f"{error}; the study was started with {option('imports')} {absent[0]}: give it again"
            ) from error
        raise


def _one_name(name: str) -> str:
    return "weight" if name == "sample_weight" else name


def _json(name: str, value: Any) -> Any:
    """An option as JSON; raise `TypeError` where it has no form there."""
    if isinstance(value, np.ndarray) and name in ("class_prior", "rates"):
        value = value.tolist()
    if isinstance(value, Path):
        value = str(value)
    if name == "imports":
        named = [value] if isinstance(value, str) else value
        return [_anchored(one) if one.endswith(".py") else one for one in named]
    if name != "imports" and name in OPTIONS and OPTIONS[name].names_file and isinstance(value, str):
        return _anchored(value)
    if name in OPTIONS and OPTIONS[name].kind is kinds.URL and isinstance(value, str):
        return _anchored_url(value)
    if isinstance(value, list | tuple) and not (name in OPTIONS and OPTIONS[name].may_hold_rows):
        return [_json("", item) for item in value]
    if isinstance(value, Mapping):
        return {str(key): _json("", item) for key, item in value.items()}
    if name in ("drop", "sensitive", "constraints", "objectives") and isinstance(value, str):
        return [value]
    if not isinstance(value, _SIMPLE):
        raise TypeError(name)
    return value


def _anchored(path: str) -> str:
    """A path that does not depend on the folder in which the command is given; other names as they are."""
    place = Path(path).expanduser()
    return str(place.absolute()) if place.exists() else path


def _anchored_url(url: str) -> str:
    """The same for the file of an SQLite database."""
    scheme, mark, file = url.partition(":///")
    if mark and scheme.startswith("sqlite") and file and not file.startswith("/"):
        return f"{scheme}:///{os.path.abspath(file)}"
    return _anchored(url) if "://" not in url else url


def _without_secrets(url: str) -> str:
    """A URL as it may be kept; the name of a database's role alone is no secret."""
    scheme, _, rest = url.partition("://")
    user, at, where = rest.partition("@")
    if at and scheme.startswith("postgres") and user.isidentifier() and redact_url(where) == where and "?" not in where:
        return url
    return redact_url(url)


def _equal(value: Any, default: Any) -> bool:
    if not isinstance(value, (*_SIMPLE, list, tuple)):
        return value is default
    return bool(type(value) is type(default) and value == default) or (value in ((), []) and default == ())


def _told(value: Any) -> str:
    """A value in one line: as the command line takes it, or none for an option that was left out."""
    if value is None or value == []:
        return "left out"
    return ",".join(map(str, value)) if isinstance(value, list) else shown(value)
