"""Open event streams: how many there may be, and one look at each search in a while for all that watch it."""

from __future__ import annotations

import asyncio
import logging
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import Any

from losssearch.errors import ConnectionLostError, LossSearchError
from services.access.principal import Principal, TooManyError
from services.api.standing import Look, Standing

MOST, MOST_OF_USER = 1_000, 100
"""Streams of this process, and of one user in it."""

PAUSE = 0.5
"""Seconds between two looks."""

LIFE = 3600.0
"""Seconds after which a stream ends, so that its client comes again and shows that it still may."""

PAGE = 200
"""Events that are read at once."""

Seen = tuple[dict[str, Any], list[dict[str, Any]], bool]
"""A search as it is, its next events, and whether it has ended."""

_log = logging.getLogger("losssearch.service")


@dataclass(frozen=True)
class Source:
    """How one search is looked at, each in a thread.

    Args:
        mark: what changes whenever the search or its events do; None where it is there no more.
        read: the search and its events after a number, at most `PAGE`.
    """

    mark: Callable[[], tuple[Any, ...] | None]
    read: Callable[[int], Seen | None]


@dataclass
class _Watched:
    """A search that is watched. ``reads`` are shared by those who wait for the same events."""

    source: Source
    watchers: int = 0
    changed: asyncio.Event = field(default_factory=asyncio.Event)
    reads: dict[int, asyncio.Task[Seen | None]] = field(default_factory=dict)
    task: asyncio.Task[None] | None = None

    async def look(self) -> None:
        mark: tuple[Any, ...] | None = ()
        while True:
            try:
                found = await asyncio.to_thread(self.source.mark)
            except LossSearchError as error:  # the database comes back, or the clients go
                _log.warning("a stream waits: %s", error)
            else:
                if found != mark:
                    mark = found
                    self.reads.clear()
                    self.tell()
            await asyncio.sleep(PAUSE)

    def tell(self) -> None:
        """Let all who wait for a change look again."""
        self.changed.set()
        self.changed = asyncio.Event()

    async def read(self, after: int) -> Seen | None:
        if after not in self.reads:
            self.reads[after] = asyncio.create_task(asyncio.to_thread(self.source.read, after))
        reading = self.reads[after]
        try:
            return await asyncio.shield(reading)
        except LossSearchError:
            if self.reads.get(after) is reading:
                del self.reads[after]
            raise


class Streams:
    """The streams of one process."""

    def __init__(self) -> None:
        self._users: Counter[str] = Counter()
        self._watched: dict[str, _Watched] = {}
        self._standing = Standing(self._wake)

    @property
    def open(self) -> int:
        """How many streams are open."""
        return self._users.total()

    def require_room(self, user: str) -> None:
        """Raise `TooManyError` if ``user``, or all users together, have as many streams as may be."""
        if self._users[user] >= MOST_OF_USER or self.open >= MOST:
            raise TooManyError(f"a user may have {MOST_OF_USER} streams open at once: close some", 10.0)

    async def follow(self, who: Principal, search: str, after: int, source: Source, look: Look) -> AsyncIterator[Seen]:
        """Give a search and its events after a number, again whenever they change, until it has ended.

        Args:
            who: watches, as long as the token or session is valid.
            search: the id of the search.
            after: the number of the last event that was seen.
            source: how to look at it.
            look: tells who still may watch.
        """
        ends = time.monotonic() + LIFE
        with self._entered(who.user), self._standing.entered(who, look), self._joined(search, source) as watched:
            while time.monotonic() < ends and self._standing.may(who):
                changed = watched.changed
                try:
                    seen = await watched.read(after)
                except ConnectionLostError:  # the database comes back, or the client goes
                    await asyncio.sleep(PAUSE)
                    continue
                if seen is None:
                    return
                yield seen
                events, ended = seen[1:]
                after = events[-1]["id"] if events else after
                if len(events) == PAGE:
                    continue
                if ended:
                    return
                with suppress(TimeoutError):
                    async with asyncio.timeout(max(0.0, ends - time.monotonic())):
                        await changed.wait()

    def _wake(self) -> None:
        for watched in self._watched.values():
            watched.tell()

    @contextmanager
    def _entered(self, user: str) -> Iterator[None]:
        self._users[user] += 1
        try:
            yield
        finally:
            self._users[user] -= 1
            self._users += Counter()  # forgets who has none

    @contextmanager
    def _joined(self, search: str, source: Source) -> Iterator[_Watched]:
        watched = self._watched.setdefault(search, _Watched(source))
        watched.watchers += 1
        if watched.task is None:
            watched.task = asyncio.create_task(watched.look())
        try:
            yield watched
        finally:
            watched.watchers -= 1
            if not watched.watchers:
                watched.task.cancel()
                del self._watched[search]
