"""Every error that losssearch raises on purpose, and the exit code that the command line assigns to it::

    LossSearchError
    ├── InputError              2    invalid input; nothing was written
    │   ├── DataError                a file, column, row or target
    │   ├── OptionError              an option or argument
    │   │   └── ArgumentError            a call with other arguments than there are; a `TypeError`, too
    │   ├── UnknownNameError         a name that is not in its registry; has the nearest names
    │   ├── ModelError               a user's model or training function raised, or returned unusable values
    │   ├── SpaceError               a search space file; has file and line
    │   └── SpecError                a loss spec
    ├── ConstraintUnmetError    3    the study finished, but no candidate satisfies the constraint
    ├── ConnectionLostError     4    a worker, store or tracking server was lost; ``--resume`` continues the study
    │   └── WorkersLostError         one population killed its workers repeatedly; has its trials
    ├── StudyHeldError          5    another driver holds the study; nothing was written
    └── InterruptedStudyError 130    stopped by the user; the state is saved; ``--resume`` continues the study

A message states the rule, what was found and, where it helps, what to do.

Example:
    >>> import losssearch as ls
    >>> from losssearch.errors import InputError
    >>> try:
    ...     ls.terms["focal"].module(gamma=9.0)
    ... except InputError as error:
    ...     print(error, error.exit_code)
    focal.gamma must lie in [0, 5], got 9.0 2
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from typing import Any

from losssearch.option_names import options_in, spelled
from losssearch.redaction import redact


def shown(value: object) -> str:
    """Return ``value`` as shown in a message: at most 80 characters, and never an error of its own."""
    try:
        return f"{value!r:.80}"
    # Python refuses to print an integer of more than 4300 digits, and lists within lists of a thousand levels.
    except (ValueError, RecursionError):
        return f"a {type(value).__name__} that is too long to print"


class LossSearchError(Exception):
    """Base of all errors raised on purpose. Secrets are removed from its message."""

    exit_code = 1

    def __init__(self, message: str = "") -> None:
        super().__init__(redact(message))

    def __str__(self) -> str:
        return spelled(super().__str__())

    @property
    def options(self) -> tuple[str, ...]:
        """Names of the options of `losssearch.search` that the message is about."""
        return options_in(super().__str__())


class InputError(LossSearchError):
    """Invalid input from the user."""

    exit_code = 2


class DataError(InputError):
    """A file, column, row or target cannot be used."""


class OptionError(InputError):
    """An option or argument is out of its range or incompatible with the others."""


class ArgumentError(OptionError, TypeError):
    """A function or record of the public interface was called with arguments that it does not take."""


class UnknownNameError(InputError):
    """A name that is not in its registry.

    Attributes:
        kind: what the name stands for, such as ``"term"`` or ``"metric"``.
        name: the unknown name.
        known: all known names, sorted.
    """

    def __init__(self, kind: str, name: str, known: Iterable[str]) -> None:
        self.kind, self.name, self.known = kind, name, sorted(known)
        super().__init__(f"unknown {kind} {name!r}; {_hint(name, self.known)}")

    def __reduce__(self) -> tuple[type, tuple[str, str, list[str]]]:
        return type(self), (self.kind, self.name, self.known)


def _hint(name: str, known: list[str]) -> str:
    """Suggest the nearest names, ignoring case; list all names too unless one is close enough to be certain."""
    written = {each.casefold(): each for each in known}
    near = difflib.get_close_matches(name.casefold(), written, n=3, cutoff=0.5)
    question = f"did you mean {', '.join(written[each] for each in near)}?"
    if near and difflib.SequenceMatcher(None, name.casefold(), near[0]).ratio() >= 0.75:
        return question
    more = f" and {len(known) - 20} more" if len(known) > 20 else ""
    return f"{f'{question} ' if near else ''}known: {', '.join(known[:20])}{more}"


class ModelError(InputError):
    """A user's model or training function raised, or returned values that cannot be used."""


class SpaceError(InputError):
    """A search space file breaks a rule; the message begins ``FILE:LINE:``."""


class SpecError(InputError):
    """A loss spec breaks a rule."""


def stops(error: BaseException) -> bool:
    """Whether an exception raised inside a user's code ends the study; any other is a fault of that code.

    ``sys.exit`` in a user's function is such a fault: it must not end the study, because exit code 0 would look like
    success.
    """
    return isinstance(error, KeyboardInterrupt | InterruptedStudyError)


class ConstraintUnmetError(LossSearchError):
    """The study finished, but no candidate satisfies the constraint.

    Attributes:
        result: the `losssearch.SearchResult` of the study, with the candidate that is closest to the limit.
    """

    exit_code = 3

    def __init__(self, message: str, result: Any = None) -> None:
        self.result = result
        super().__init__(message)


class ConnectionLostError(LossSearchError):
    """A worker, store or tracking server was lost and could not be reached again."""

    exit_code = 4


class WorkersLostError(ConnectionLostError):
    """Workers repeatedly died while they trained one population.

    Attributes:
        trials: the numbers of its trials.
    """

    def __init__(self, message: str, trials: Iterable[int] = ()) -> None:
        self.trials = tuple(trials)
        super().__init__(message)


class StudyHeldError(LossSearchError):
    """Another driver holds the study, which is resumed, deleted or upgraded once that has ended."""

    exit_code = 5


class InterruptedStudyError(LossSearchError):
    """The user stopped the study; its state is saved."""

    exit_code = 130
