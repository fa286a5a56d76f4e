"""Cutting connections on which a server says nothing any more, as one that is frozen does: no query of them returns."""

from __future__ import annotations

import math
import os
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass

from sqlalchemy import Connection


@dataclass(eq=False)
class _Line:
    """A connection in use: its own copy of the socket's descriptor, and when something is to be done about it."""

    descriptor: int
    noted_at: float
    cut_at: float
    noted: bool = False

    def due(self) -> float:
        return self.cut_at if self.noted else self.noted_at


class Watch:
    """One thread that watches all connections of a database; it starts with the first one.

    Args:
        tell: is called, in a thread of its own, for a connection on which nothing was said for a while.
    """

    def __init__(self, tell: Callable[[], object]) -> None:
        self._tell = tell
        self._lines: set[_Line] = set()
        self._changed = threading.Condition()
        self._looks_at = -math.inf
        self._thread: threading.Thread | None = None
        self._ended = False

    @contextmanager
    def over(self, connection: Connection, silence: float) -> Iterator[None]:
        """Watch a connection: tell after a sixth of ``silence`` seconds, and cut it after all of them."""
        begun = time.monotonic()
        descriptor = os.dup(connection.connection.driver_connection.fileno())  # type: ignore[union-attr]
        line = _Line(descriptor, begun + silence / 6, begun + silence)
        with self._changed:
            self._lines.add(line)
            if self._thread is None:
                self._ended = False
                self._looks_at = line.noted_at
                self._thread = threading.Thread(target=self._look, name="losssearch-store-watch", daemon=True)
                self._thread.start()
            elif line.noted_at < self._looks_at:  # seldom: the thread looks by itself before a later line is due
                self._looks_at = line.noted_at
                self._changed.notify()
        try:
            yield
        finally:
            with self._changed:
                self._lines.discard(line)
            os.close(descriptor)

    def close(self) -> None:
        """End the thread; the next connection starts it again."""
        with self._changed:
            self._ended = True
            self._changed.notify()
            thread, self._thread = self._thread, None
        if thread is not None:
            thread.join()

    def _look(self) -> None:
        with self._changed:
            while not self._ended:
                now = time.monotonic()
                for line in [one for one in self._lines if one.due() <= now]:
                    self._act(line)
                self._looks_at = min((line.due() for line in self._lines), default=math.inf)
                wait = self._looks_at - time.monotonic()
                self._changed.wait(None if math.isinf(wait) else max(0.0, wait))

    def _act(self, line: _Line) -> None:
        if not line.noted:
            line.noted = True
            threading.Thread(target=self._tell, name="losssearch-store-note", daemon=True).start()
            return
        self._lines.discard(line)
        # Whoever uses the line closes its descriptor after it has left the set, for which this thread holds the lock.
        with suppress(OSError), socket.socket(fileno=os.dup(line.descriptor)) as end:
            end.shutdown(socket.SHUT_RDWR)
