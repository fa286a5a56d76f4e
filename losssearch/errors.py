"""Every error that losssearch raises on purpose, and the exit code that the command line gives it.

    LossSearchError
    ├── InputError              2    what the user gave cannot be used; nothing was written
    │   ├── DataError                a file, column, row or target
    │   ├── OptionError              an option or argument
    │   ├── UnknownNameError         a name that no registry holds; carries the nearest names
    │   ├── ModelError               a user's model or training function raised, or gave what cannot be used
    │   ├── SpaceError               a search space file; carries file and line
    │   └── SpecError                a loss spec
    ├── ConstraintUnmetError    3    the study finished and no candidate meets the constraint
    ├── ConnectionLostError     4    a worker, store or tracking server is gone; `--resume` goes on
    │   └── WorkersLostError         one population killed its workers again and again; carries its trials
    └── InterruptedStudyError 130    stopped by the user; state saved; `--resume` goes on

A message states the rule, what was found and, where it helps, what to do:
``"`low <= high` must hold, got low=3, high=1"``.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from typing import Any

from losssearch.redaction import redact


def shown(value: object) -> str:
    """``value`` as a message shows it: at most 80 characters, and never an error of its own."""
    try:
        return f"{value!r:.80}"
    # Python refuses to print an integer of more than 4300 digits, and lists within lists of a thousand levels.
    except (ValueError, RecursionError):
        return f"a {type(value).__name__} that is too long to print"


class LossSearchError(Exception):
    """Base of all errors raised on purpose; its message holds no secret, whatever it was made of."""

    exit_code = 1

    def __init__(self, message: str = "") -> None:
        super().__init__(redact(message))


class InputError(LossSearchError):
    """What the user gave cannot be used."""

    exit_code = 2


class DataError(InputError):
    """A file, column, row or target cannot be used."""


class OptionError(InputError):
    """An option or argument is out of its range or does not fit the others."""


class UnknownNameError(InputError):
    """A name that the registry of its kind does not hold."""

    def __init__(self, kind: str, name: str, known: Iterable[str]) -> None:
        self.kind, self.name, self.known = kind, name, sorted(known)
        super().__init__(f"unknown {kind} {name!r}; {_hint(name, self.known)}")

    def __reduce__(self) -> tuple[type, tuple[str, str, list[str]]]:
        return type(self), (self.kind, self.name, self.known)


def _hint(name: str, known: list[str]) -> str:
    """The nearest names, whatever their case; all names too, where none is so near that it must be meant."""
    written = {each.casefold(): each for each in known}
    near = difflib.get_close_matches(name.casefold(), written, n=3, cutoff=0.5)
    question = f"did you mean {', '.join(written[each] for each in near)}?"
    if near and difflib.SequenceMatcher(None, name.casefold(), near[0]).ratio() >= 0.75:
        return question
    more = f" and {len(known) - 20} more" if len(known) > 20 else ""
    return f"{f'{question} ' if near else ''}known: {', '.join(known[:20])}{more}"


class ModelError(InputError):
    """A user's model or training function raised, or gave what cannot be used."""


class SpaceError(InputError):
    """A search space file breaks a rule; the message begins ``FILE:LINE:``."""


class SpecError(InputError):
    """A loss spec breaks a rule."""


def stops(error: BaseException) -> bool:
    """Whether an exception that a user's code let through ends the study; all others are a fault of that code.

    ``sys.exit`` in a user's function is such a fault: it may not end the study, and with 0 look like success.
    """
    return isinstance(error, KeyboardInterrupt | InterruptedStudyError)


class ConstraintUnmetError(LossSearchError):
    """The study finished, but no candidate meets the constraint; ``result`` is what it came to all the same."""

    exit_code = 3

    def __init__(self, message: str, result: Any = None) -> None:
        self.result = result
        super().__init__(message)


class ConnectionLostError(LossSearchError):
    """A worker, store or tracking server was lost and could not be reached again."""

    exit_code = 4


class WorkersLostError(ConnectionLostError):
    """Workers kept dying on one population: that of ``trials``, by number."""

    def __init__(self, message: str, trials: Iterable[int] = ()) -> None:
        self.trials = tuple(trials)
        super().__init__(message)


class InterruptedStudyError(LossSearchError):
    """The user stopped the study; its state is saved."""

    exit_code = 130
