"""Who watches a stream and still may: one look in a while for all streams of a process."""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager

from losssearch.errors import LossSearchError
from services.access.principal import Principal

RECHECK = 3.0
"""Seconds between two looks: a stream ends within about as many after its token or session does."""

Look = Callable[[Collection[Principal]], set[Principal]]
"""Those who still may, of some; called in a thread."""

_log = logging.getLogger("losssearch.service")


class Standing:
    """Those who watch, by what they presented.

    Args:
        wake: is called once some may no more.
    """

    def __init__(self, wake: Callable[[], None]) -> None:
        self._wake = wake
        self._watching: Counter[Principal] = Counter()
        self._ended: set[Principal] = set()
        self._task: asyncio.Task[None] | None = None

    def may(self, who: Principal) -> bool:
        """Whether ``who`` may continue to watch, as far as the last look has shown."""
        return who not in self._ended

    @contextmanager
    def entered(self, who: Principal, look: Look) -> Iterator[None]:
        """Look after ``who``, by ``look``, as long as this lasts."""
        self._watching[who] += 1
        if self._task is None:
            self._task = asyncio.create_task(self._look(look))
        try:
            yield
        finally:
            self._watching[who] -= 1
            if not self._watching[who]:
                del self._watching[who]
                self._ended.discard(who)
            if not self._watching:
                self._task.cancel()
                self._task = None

    async def _look(self, look: Look) -> None:
        while True:
            await asyncio.sleep(RECHECK)
            asked = frozenset(self._watching)
            try:
                valid = await asyncio.to_thread(look, asked)
            except LossSearchError as error:  # as long as the database does not answer, streams tell nothing either
                _log.warning("streams wait: %s", error)
                continue
            if ended := (asked - valid) & self._watching.keys():
                self._ended |= ended
                self._wake()
