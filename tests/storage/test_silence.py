"""Connections on which a server says nothing any more are cut, all by one thread."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from types import SimpleNamespace
from typing import Any

import pytest

from losssearch.storage.silence import Watch

LONG, SHORT = 3600.0, 0.6


class Line:
    """A connection to a server that says nothing."""

    def __init__(self) -> None:
        self.ours, self.theirs = socket.socketpair()
        # As SQLAlchemy's connection leads to the driver's.
        self.connection: Any = SimpleNamespace(connection=SimpleNamespace(driver_connection=self.ours))

    def is_cut(self, within: float) -> bool:
        self.theirs.settimeout(within)
        with suppress(TimeoutError):
            return self.theirs.recv(1) == b""
        return False


@pytest.fixture
def lines() -> Iterator[list[Line]]:
    made = [Line() for _ in range(4)]
    yield made
    for line in made:
        line.ours.close()
        line.theirs.close()


@pytest.fixture
def told() -> threading.Semaphore:
    return threading.Semaphore(0)


@pytest.fixture
def watch(told: threading.Semaphore) -> Iterator[Watch]:
    made = Watch(told.release)
    yield made
    made.close()


def _watchers() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name == "losssearch-store-watch"]


def test_a_silent_line_is_told_of_and_then_cut(watch: Watch, lines: list[Line], told: threading.Semaphore) -> None:
    begun = time.monotonic()
    with watch.over(lines[0].connection, SHORT):
        assert told.acquire(timeout=60)
        assert time.monotonic() - begun >= SHORT / 6
        assert lines[0].is_cut(within=60)
        assert time.monotonic() - begun >= SHORT
    assert not told.acquire(blocking=False)


def test_a_line_is_cut_though_the_thread_waits_for_one_with_more_patience(watch: Watch, lines: list[Line]) -> None:
    with watch.over(lines[0].connection, LONG):
        time.sleep(0.2)  # for the thread to look and to wait
        with watch.over(lines[1].connection, SHORT):
            assert lines[1].is_cut(within=60)
            assert not lines[0].is_cut(within=0.1)


def test_a_line_that_is_done_is_let_alone(watch: Watch, lines: list[Line], told: threading.Semaphore) -> None:
    with watch.over(lines[0].connection, SHORT):
        pass
    with watch.over(lines[1].connection, SHORT):
        assert lines[1].is_cut(within=60)
    assert not lines[0].is_cut(within=0.1)
    assert told.acquire(timeout=60)
    assert not told.acquire(blocking=False), "the line that was done was told of"


def test_one_thread_watches_all_lines(watch: Watch, lines: list[Line]) -> None:
    before = len(_watchers())
    with ExitStack() as stack:
        for line in lines:
            stack.enter_context(watch.over(line.connection, LONG))
            assert len(_watchers()) == before + 1
        watch.close()
        assert len(_watchers()) == before
    with watch.over(lines[0].connection, SHORT):  # starts it again
        assert lines[0].is_cut(within=60)
