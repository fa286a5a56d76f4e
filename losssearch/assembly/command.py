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

from losssearch.assembly.arguments import check_types
from losssearch.assembly.options import Options
from losssearch.errors import DataError, InputError, OptionError, shown
from losssearch.plugins import module_name
from losssearch.redaction import redact_url

NEVER = frozenset({"resume", "started", "explicit", "out", "study"})
"""Options that say nothing of how a study is run."""

CHANGEABLE = frozenset(
    [
        "trials",
        "time_budget",
        "workers",
        "ray_address",
        "cpus_per_worker",
        "gpus_per_worker",
        "memory_per_worker",
        "resources",
        "device",
        "data_memory",
        "storage",
        "tracking_uri",
        "mlflow",
        "imports",
    ]
)
"""Options that a resume may change; the others must be what they were."""

BY_CONTENT = frozenset({"data", "test", "space", "train"})
"""Options of which the content counts, which the study's record compares, and not the name or the place."""

INFERRED = frozenset({"metric", "task", "epochs"})
"""Options that the data decide where they are left out; the study's record knows what was decided."""

URLS = frozenset({"storage", "tracking_uri"})
PATHS = frozenset({"data", "test", "space"})

ONE_PER_ROW = frozenset({"data", "test", "group", "time", "split", "weight", "sample_weight"})
"""Options that may hold rows of the data, which are kept nowhere."""

FLAGS = {
    "data": "DATA",
    "constraints": "--constraint",
    "objectives": "--objective",
    "references": "--no-references",
    "mlflow": "--no-mlflow",
    "imports": "--import",
    "sample_weight": "--weight",
}

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


def flag(name: str) -> str:
    """An option as the command line has it."""
    return FLAGS.get(name, f"--{name.replace('_', '-')}")


def command_of(options: Options) -> Command:
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
        if name in URLS and (open_part := _without_secrets(value)) != value:
            hidden.append(name)
            value = open_part
        kept[_one_name(name)] = value
    return Command(kept, tuple(hidden), tuple(unkept))


def explicit_in(options: Options) -> set[str]:
    """Names of the options that the user gave; of a call in Python, those that differ from their defaults."""
    if options.explicit is not None:
        return set(options.explicit)
    return {one.name for one in fields(options) if not _equal(getattr(options, one.name), one.default)}


def recalled(options: Options, command: Command, study: str) -> Options:
    """The options of a resume: those that were given, the others as the study was started with.

    Raises `OptionError` for one that is not what it was, and for one that cannot be kept and was not given again.
    """
    given = explicit_in(options) - NEVER
    if missing := [flag(name) for name in command.unkept if name not in given]:
        raise OptionError(
            f"--resume needs {', '.join(missing)} again: a study's folder keeps no data, arrays and functions, and "
            f"{study!r} was started with them"
        )
    if missing := [name for name in command.hidden if name not in given]:
        raise OptionError(
            f"--resume needs {flag(missing[0])} again: a study's folder keeps no passwords, and study {study!r} was "
            f"started with {command.options[missing[0]]}"
        )
    defaults = {one.name: one.default for one in fields(options)}
    for name in sorted(given - CHANGEABLE - BY_CONTENT - set(command.unkept)):
        if name in INFERRED and name not in command.options:
            continue
        before = command.options.get(_one_name(name), _json(name, defaults[name]))
        try:
            now = _json(name, getattr(options, name))
        except TypeError:
            continue  # arrays in place of what was a column: the study's record compares the splits
        if now != before:
            raise OptionError(
                f"--resume continues a study with its own options: {study!r} was started with {flag(name)} "
                f"{_told(before)}, got {_told(now)}; leave {flag(name)} out, or start another study with another --out"
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
    check_types(kept)
    filled: dict[str, Any] = {name: tuple(v) if isinstance(v, list) else v for name, v in kept.items()}
    return replace(options, **filled)


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
            raise OptionError(f"{error}; the study was started with --import {absent[0]}: give it again") from error
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
    if name in PATHS and isinstance(value, str):
        return _anchored(value)
    if name in URLS and isinstance(value, str):
        return _anchored_url(value)
    if isinstance(value, list | tuple) and name not in ONE_PER_ROW:
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
