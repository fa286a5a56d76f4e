"""CPU seconds of this process and of everything that it started, the workers of Ray included (Linux).

Ended processes cannot simply be asked for (``os.times``), as those of Ray are never waited for by the process
that uses them. So a process outside the tree walks ``/proc`` twenty times a second and keeps the last user +
system time of every process of the tree that it has ever seen. What a process uses in the last twentieth of a
second of its life is missed; the watcher's own time is not counted.
"""

from __future__ import annotations

import os
import select
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import NamedTuple, Self

INTERVAL = 0.05
_TICKS = os.sysconf("SC_CLK_TCK")


class _Process(NamedTuple):
    number: int
    parent: int
    started: int
    seconds: float


class _Tree:
    """The processes under ``root``; one whose parent ended stays in it."""

    def __init__(self, root: int) -> None:
        self._seconds: dict[tuple[int, int], float] = {}  # by number and start, as numbers are used again
        self._root = root

    def walk(self) -> float:
        """CPU seconds of all processes seen so far."""
        alive = {process.number: process for process in _processes()}
        members = {self._root} | {number for number, started in self._seconds if _started(alive, number) == started}
        for process in alive.values():
            chain = []
            at: _Process | None = process
            while at is not None and at.number not in members:
                chain.append(at.number)
                at = alive.get(at.parent)
            if at is not None:
                members.update(chain)
        for number in members - {os.getpid()}:
            if number in alive:
                self._seconds[number, alive[number].started] = alive[number].seconds
        return sum(self._seconds.values())


def _started(alive: dict[int, _Process], number: int) -> int | None:
    return alive[number].started if number in alive else None


def _processes() -> Iterator[_Process]:
    for entry in os.scandir("/proc"):
        if entry.name.isdigit():
            with suppress(OSError):  # it ended meanwhile
                # After the name, which is in brackets and may contain blanks: field 3 of proc(5) and on.
                fields = Path(entry.path, "stat").read_text().rpartition(")")[2].split()
                seconds = (int(fields[11]) + int(fields[12])) / _TICKS
                yield _Process(int(entry.name), int(fields[1]), int(fields[19]), seconds)


class Meter:
    """Reads the CPU seconds of this process's tree; a context manager."""

    def __enter__(self) -> Self:
        self._watcher = subprocess.Popen(
            [sys.executable, "-m", "benchmarks.meter", str(os.getpid())],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            cwd=Path(__file__).parents[1],
        )
        self.read()
        return self

    def read(self) -> float:
        """CPU seconds so far."""
        assert self._watcher.stdin
        assert self._watcher.stdout
        self._watcher.stdin.write("\n")
        self._watcher.stdin.flush()
        return float(self._watcher.stdout.readline())

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._watcher.communicate()


def _watch(root: int) -> None:
    tree = _Tree(root)
    while True:
        asked, _, _ = select.select([sys.stdin], [], [], INTERVAL)
        if asked and not sys.stdin.readline():
            return
        seconds = tree.walk()
        if asked:
            print(seconds, flush=True)


if __name__ == "__main__":
    _watch(int(sys.argv[1]))
