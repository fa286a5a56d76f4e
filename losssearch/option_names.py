"""What an option is called by whoever uses it: a Python name, a flag of the command line.

A message that names an option is written once, with `option`. The name stands in it as a mark, and is spelled out when
the message is shown: as the argument of `losssearch.search`, unless a program such as the command line has said with
`spelled_by` how it calls its options.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, TypeAlias

Spelling: TypeAlias = Callable[[str, Any], str]
"""Spells an option, given its name and a value; the value is `ANY` where only the option is meant."""

ANY: Any = object()

_BEGIN, _END = "\ue000", "\ue001"  # of Unicode's private use area, so that no text has them
_MARK = re.compile(f"{_BEGIN}([a-z_]+)(?:=([^{_END}]*))?{_END}")


def option(name: str, value: Any = ANY) -> str:
    """Return a mark that stands for an option in a message.

    Args:
        name: the name in Python, such as ``"max_rows"``.
        value: a text, number or truth value that the message tells the user to give.

    Example:
        >>> from losssearch.option_names import option, spelled
        >>> spelled(f"{option('trials')} must be at least 2; or give {option('mlflow', False)}")
        'trials must be at least 2; or give mlflow=False'
    """
    return f"{_BEGIN}{name}{_END}" if value is ANY else f"{_BEGIN}{name}={json.dumps(value, default=str)}{_END}"


def spelled(text: str, spelling: Spelling | None = None) -> str:
    """Return ``text`` with every mark spelled out: by ``spelling``, or for whoever uses this process."""
    spell = spelling or _spelling[-1]
    return _MARK.sub(lambda mark: spell(mark[1], ANY if mark[2] is None else json.loads(mark[2])), text)


def options_in(text: str) -> tuple[str, ...]:
    """Return the names of the options that ``text`` has marks of, each once."""
    return tuple(dict.fromkeys(mark[1] for mark in _MARK.finditer(text)))


def in_python(name: str, value: Any = ANY) -> str:
    """Spell an option as an argument of `losssearch.search`."""
    return name if value is ANY else f"{name}={value!r}"


_spelling: list[Spelling] = [in_python]


@contextmanager
def spelled_by(spelling: Spelling) -> Iterator[None]:
    """While it is open, all messages of this process spell options so, those of its other threads included."""
    _spelling.append(spelling)
    try:
        yield
    finally:
        del _spelling[max(place for place, one in enumerate(_spelling) if one is spelling)]
