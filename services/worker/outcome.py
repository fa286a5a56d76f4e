"""From how the process of a study ended to what becomes of its search."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from losssearch.errors import ConnectionLostError, ConstraintUnmetError, InputError, InterruptedStudyError
from services.schema import CANCELLED, DONE, FAILED, UNMET

HELD = 5
"""The exit code of a study that another driver holds."""

_MAY_PASS = (ConnectionLostError.exit_code, HELD)
_INTERRUPTED = (InterruptedStudyError.exit_code, -2, -15, 143)

TAIL = 20
"""Lines of a study's last words that a search's message has."""


OVERDUE = (
    "a search ends within the seconds that its team may use for one, this did not: what it found is kept; resume it, "
    "or give it a time_budget, within which it finds its end"
)


class Then(Enum):
    """What to do with a search whose process has ended."""

    FINISH = "finish"
    GIVE_BACK = "give back"
    RETRY = "retry"


@dataclass(frozen=True)
class Outcome:
    """What to do; for `Then.FINISH` the state, and the message for people."""

    then: Then
    state: str = ""
    message: str = ""


def outcome(
    code: int,
    *,
    cancelled: bool,
    stopping: bool,
    overdue: bool = False,
    problem: str = "",
    tail: tuple[str, ...] = (),
) -> Outcome:
    """Decide by the exit code of a study's process.

    Args:
        code: as `subprocess` tells it: negative for a signal.
        cancelled: whether the search was to be cancelled, and the process was told so.
        stopping: whether the process was told to stop because the worker stops.
        overdue: whether it was told to stop because it has used up the seconds of its team.
        problem: what the study itself says of its end.
        tail: its last lines on stderr.

    Example:
        >>> outcome(-9, cancelled=False, stopping=False).then
        <Then.RETRY: 'retry'>
    """
    if cancelled:
        return Outcome(Then.FINISH, CANCELLED)
    if code == 0:
        return Outcome(Then.FINISH, DONE)
    if code == ConstraintUnmetError.exit_code:
        return Outcome(Then.FINISH, UNMET, problem)
    if overdue:
        return Outcome(Then.FINISH, FAILED, OVERDUE)
    words = "\n".join(tail[-TAIL:])
    if code == InputError.exit_code:
        return Outcome(Then.FINISH, FAILED, problem or words)
    if stopping or code in _INTERRUPTED:
        return Outcome(Then.GIVE_BACK)
    silent = "" if words or problem or _by_signal(code) else ", without a word: was its cluster lost?"
    said = "\n".join(filter(None, (f"the process of the study {_ended(code)}{silent}", words or problem)))
    # A study tells each problem that it has: one that ends without a word was ended, as Ray ends who loses its cluster.
    if code in _MAY_PASS or _by_signal(code) or not problem:
        return Outcome(Then.RETRY, message=said)
    return Outcome(Then.FINISH, FAILED, said)


def _by_signal(code: int) -> bool:
    # A process within another, as in a shell, tells 128 and the signal.
    return code < 0 or 128 < code <= 192


def _ended(code: int) -> str:
    if _by_signal(code):
        number = -code if code < 0 else code - 128
        hint = ": out of memory?" if number == 9 else ""
        return f"was ended by signal {number}{hint}"
    return f"ended with exit code {code}"
