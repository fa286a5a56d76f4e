"""How a study is told to stop: a token that signals or other threads ask, and that every long loop looks at.

An exception alone would not do. Python swallows what a signal handler raises inside a callback of the garbage
collector or a destructor, and a user's training function may catch it. So a handler sets the token first, and what
it then raises only makes the stop faster.
"""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from types import FrameType

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
"""What stops a program: Ctrl-C, ``docker stop``, and a terminal that is closed."""

AGAIN = 1.0
"""Seconds after which a signal that was raised once is raised again, and a third one may end the program at once."""


class StopToken:
    """Tells one study to stop, at its next `check`; asked twice, to give up what makes its end slow.

    ``ends_program``: the process ends with the study, so what cannot be broken off may be left behind.
    """

    def __init__(self, *, ends_program: bool = False) -> None:
        self.ends_program = ends_program
        self._asked, self._since, self._ending = 0, 0.0, False
        self._error: Exception | None = None

    @property
    def requested(self) -> bool:
        """Whether the study was asked to stop."""
        return self._asked > 0

    @property
    def urgent(self) -> bool:
        """Whether it was asked more than once."""
        return self._asked > 1

    def request(self) -> None:
        """Ask the study to stop. Takes no lock, so that a signal handler may call it."""
        self._asked += 1
        self._since = self._since or time.monotonic()

    def abort(self, error: Exception) -> None:
        """Let the study end by ``error``, which another thread has found."""
        self._error = self._error or error

    def settle(self) -> None:
        """Say that the study is ending: from here on, no check and no signal breaks in."""
        self._ending = True

    def check(self) -> None:
        """Raise `KeyboardInterrupt` where the study was asked to stop, or the error that ends it."""
        if (self._asked or self._error) and not self._ending:
            if self._asked or self._error is None:
                raise KeyboardInterrupt
            raise self._error

    def answer(self, at_last: Callable[[], object] | None) -> None:
        """What a signal handler does: ask, and raise `KeyboardInterrupt` where nothing is ending yet.

        The third signal calls ``at_last``, or where there is none, raises in any case.
        """
        again = not self._asked or time.monotonic() - self._since > AGAIN
        self.request()
        if self._asked > 2 and again and at_last is not None:
            at_last()
        elif again and (not self._ending or self._asked > 2):
            raise KeyboardInterrupt


_current: ContextVar[StopToken | None] = ContextVar("losssearch_stop", default=None)
_left_behind: list[str] = []


def current() -> StopToken:
    """The token of the study that runs here; one that nobody asks where none does."""
    return _current.get() or StopToken()


def check() -> None:
    """See `StopToken.check`, of the study that runs here."""
    token = _current.get()
    if token is not None:
        token.check()


@contextmanager
def active(token: StopToken) -> Iterator[StopToken]:
    """Make ``token`` that of the study which runs here."""
    before = _current.set(token)
    try:
        yield token
    finally:
        _current.reset(before)


def listen(
    token: StopToken, signals: Sequence[signal.Signals] = SIGNALS, at_last: Callable[[], object] | None = None
) -> Callable[[], None]:
    """Let ``signals`` ask ``token``; gives a function that puts back the handlers that were there before.

    A signal that is ignored, or that a program around has a handler of its own for, is left alone; and nothing is done
    outside the main thread, where Python allows no handler to be set.
    """
    if threading.current_thread() is not threading.main_thread():
        return lambda: None

    def handler(number: int, frame: FrameType | None) -> None:
        token.answer(at_last)

    free = (signal.SIG_DFL, signal.default_int_handler)
    before = {number: own for number in signals if (own := signal.getsignal(number)) in free}
    for number in before:
        signal.signal(number, handler)

    def restore() -> None:
        for number, own in before.items():
            signal.signal(number, own)

    return restore


@contextmanager
def stoppable(signals: Sequence[signal.Signals] = (signal.SIGINT,)) -> Iterator[StopToken]:
    """The token of what runs here; where there is none, a new one that ``signals`` ask while this lasts."""
    token = _current.get()
    if token is not None:
        yield token
        return
    token = StopToken()
    restore = listen(token, signals)
    try:
        with active(token):
            yield token
    finally:
        restore()


@contextmanager
def one_process() -> Iterator[None]:
    """End every other process that leaves this: a user's code may fork, and return in the child too."""
    owner = os.getpid()
    try:
        yield
    finally:
        end_others(owner)


def end_others(owner: int) -> None:
    """End this process where it is not that of the number ``owner``."""
    if os.getpid() != owner:
        os._exit(1)


def leave_behind(what: str) -> None:
    """Note that ``what`` still runs in this process and cannot be ended, so that the program must end without it."""
    _left_behind.append(what)


def left_behind() -> bool:
    """Whether something still runs that the interpreter's own shutdown would wait for, or crash on."""
    return bool(_left_behind)
