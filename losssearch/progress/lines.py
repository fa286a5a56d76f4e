"""Progress if stderr is not a terminal, as in a log file: a few whole lines."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from contextlib import suppress

from losssearch.progress.stages import Stage, StagedProgress
from losssearch.redaction import redact

PAUSE = 10.0
"""Seconds between two lines of one stage, at the least."""


class LineProgress(StagedProgress):
    """A line where a stage begins and ends, and every `PAUSE` seconds in between; notes as they come."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        super().__init__(clock)
        self._shown = 0.0
        self._said: tuple[Stage, int, str] | None = None

    def note(self, message: str) -> None:
        """See `losssearch.study.observer.Observer`."""
        _write(redact(message))

    def show(self, *, now: bool) -> None:
        """See `StagedProgress.show`."""
        moment, last = self.clock(), self.stages[-1]
        if not now and moment - self._shown < PAUSE:
            return
        if last.total and last.done >= last.total and self._said == (last, last.done, last.best):
            return  # that all is done was said before the stage ended
        self._shown, self._said = moment, (last, last.done, last.best)
        took = self.took(last) if last.done or last.ended is not None else ""
        facts = ", ".join(filter(None, (last.best, took, self.remaining())))
        _write(f"{last.title} {last.count}{facts and f': {facts}'}")


def _write(line: str) -> None:
    with suppress(OSError, ValueError, AttributeError):  # closed, full or none at all: a study does not end for that
        sys.stderr.write(" ".join(line.split()) + "\n")
        sys.stderr.flush()
