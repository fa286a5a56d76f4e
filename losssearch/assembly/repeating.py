"""The command that does a study again, for its report."""

from __future__ import annotations

import shlex
from dataclasses import replace
from pathlib import Path
from typing import Any

from losssearch.assembly.command import NEVER, explicit_in
from losssearch.request import OPTIONS, Request, flag, kinds

_ELSEWHERE = frozenset({"data", "target", "out", "study", "resume"})
"""What is said otherwise, or would name the place of this study."""


def command_again(options: Request) -> str:
    """The command of a study without what says where it runs and where it is kept; ``…`` stands for what has no text.

    Example:
        >>> from losssearch.request import Request
        >>> command_again(Request(data="adult.parquet", target="income", trials=64, mlflow=False))
        'losssearch search adult.parquet --target income --trials 64'
    """
    differing = explicit_in(replace(options, explicit=None)) | (options.explicit or frozenset())
    names = [name for name, one in OPTIONS.items() if name in differing - NEVER - _ELSEWHERE and _of_study(name)]
    given = {name: _shown(name, getattr(options, name)) for name in ("target", *names)}
    given = {name: value for name, value in given.items() if value is not None}
    known = isinstance(options.data, str | Path) and all(_has_text(value) for value in given.values())
    if not known or any(OPTIONS[name].python_only for name in given):
        shown = ", ".join(f"{name}={value!r}" if _has_text(value) else f"{name}=…" for name, value in given.items())
        data = repr(_named(options.data)) if isinstance(options.data, str | Path) else "…"
        subject = f"data={data}" if options.train is None else "train=…"
        return f"ls.search({', '.join(filter(None, (subject, shown)))})"
    words = ["losssearch", "search", _named(options.data)]
    for name, value in given.items():
        words += _words(name, value)
    return shlex.join(words)


def _named(data: Any) -> str:
    """Data as the command names them: a file without its folder, so that a report tells nothing of the machine."""
    text = str(data)
    return Path(text).name if "/" in text and "://" not in text else text


def _shown(name: str, value: Any) -> Any:
    """The value of an option, files without their folders."""
    if not (OPTIONS[name].names_file or name == "imports"):
        return value
    if isinstance(value, list | tuple):
        return [_shown(name, one) for one in value]
    return _named(value) if isinstance(value, str | Path) else value


def _of_study(name: str) -> bool:
    """Whether an option says what the study is, rather than where it runs; links and addresses do not."""
    one = OPTIONS[name]
    return name in ("trials", "time_budget") or (one.resumed in ("same", "content") and one.kind is not kinds.URL)


def _has_text(value: Any) -> bool:
    many = value if isinstance(value, list | tuple) else [value]
    return all(isinstance(one, str | bool | int | float | Path) for one in many)


def _words(name: str, value: Any) -> list[str]:
    own = flag(name)
    if isinstance(value, bool):
        return [own]
    if OPTIONS[name].kind.several:
        return [word for one in ([value] if isinstance(value, str) else value) for word in (own, str(one))]
    text = ",".join(map(str, value)) if isinstance(value, list | tuple) else str(value)
    return [own, text]
