"""A process-wide setting that several studies in different threads may need at the same time."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Generic, TypeVar

Value = TypeVar("Value")

_LOCK = threading.RLock()
"""One for all settings: while one of them is being looked at, none may change."""


class SharedSetting(Generic[Value]):
    """Changes a setting when the first of several studies needs it, and restores it when the last one is done.

    If each study restored what it had found, then of two that overlap, the second would leave what the first had set.

    Args:
        read: gives the present value.
        write: sets a value.
        wanted: the value that a study needs, made from the one that the caller had.
    """

    def __init__(
        self, read: Callable[[], Value], write: Callable[[Value], object], wanted: Callable[[Value], Value]
    ) -> None:
        self._read, self._write, self._wanted = read, write, wanted
        self._users = 0
        self._before: Value | None = None

    @contextmanager
    def held(self) -> Iterator[None]:
        """The setting as a study needs it, until the last of those who hold it lets go."""
        with _LOCK:
            if not self._users:
                before = self._read()
                self._write(self._wanted(before))
                self._before = before
            self._users += 1
        try:
            yield
        finally:
            with _LOCK:
                self._users -= 1
                if not self._users and self._before is not None:
                    self._write(self._before)
                    self._before = None


@contextmanager
def no_change() -> Iterator[None]:
    """While it is open, no shared setting changes in another thread."""
    with _LOCK:
        yield
