"""Ends a user's training function that does not return when the time budget is over.

A function that looks at `TrialHandle.should_stop` ends by itself. One that does not, or that hangs, is interrupted by
an alarm (SIGALRM), in this process and in Ray workers alike. Only Python code responds to an alarm: code that
hangs in a native library is ended only in a worker, by killing the worker.
"""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

GRACE = 10.0
"""Seconds that a function has at the least, however late it was called, and that a worker has to end it."""

AGAIN = 1.0
"""Seconds until the alarm goes off again, as a function may catch what it raises."""


class Overdue(BaseException):
    """A function has not returned in time. Not an `Exception`, so that a function hardly catches it unawares."""


@contextmanager
def alarm(moment: float | None) -> Iterator[None]:
    """Raise `Overdue` within, at ``moment`` (seconds since 1970), but not before `GRACE` seconds.

    Nothing happens outside the main thread, which alone can be interrupted, nor where a program has a handler of its
    own for SIGALRM.
    """
    in_main = threading.current_thread() is threading.main_thread()
    if moment is None or not in_main or signal.getsignal(signal.SIGALRM) is not signal.SIG_DFL:
        yield
        return
    within = [True]

    def ring(number: int, frame: FrameType | None) -> None:
        if within:
            raise Overdue

    signal.signal(signal.SIGALRM, ring)
    try:
        try:
            signal.setitimer(signal.ITIMER_REAL, max(GRACE, moment - time.time()), AGAIN)
            yield
        finally:
            within.clear()
    finally:
        within.clear()
        signal.setitimer(signal.ITIMER_REAL, 0.0)
        signal.signal(signal.SIGALRM, signal.SIG_DFL)
