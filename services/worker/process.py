"""The process of one study: started in a group of its own, read, interrupted and killed."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import threading
import time
from collections import deque
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import IO, Any

from losssearch.redaction import redact
from services.worker.outcome import TAIL
from services.worker.telling import LONGEST, Told

_DRAINED = 5.0
"""Seconds that the last lines of an ended process are waited for: something it left behind may hold its pipes."""


class Process:
    """Starts ``command`` and hands it ``job`` on its standard input.

    It must be made by the thread that waits for it: the kernel kills the process when that thread ends.

    Raises:
        OSError: it cannot be started.
    """

    def __init__(self, command: Sequence[str], environment: Mapping[str, str], job: Mapping[str, Any]) -> None:
        self.told = Told()
        self._tail: deque[str] = deque(maxlen=TAIL)
        self._process = subprocess.Popen(  # noqa: S603  (our own command, no shell)
            command,
            env=dict(environment),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            start_new_session=True,
        )
        self.pid = self._process.pid
        self._readers = [
            threading.Thread(target=self._read, args=(self._process.stdout, self.told.line), daemon=True),
            threading.Thread(target=self._read, args=(self._process.stderr, self._say), daemon=True),
        ]
        for reader in self._readers:
            reader.start()
        assert self._process.stdin is not None  # noqa: S101
        with suppress(OSError), self._process.stdin as pipe:  # it may have died at once
            pipe.write(json.dumps(job).encode())

    @property
    def tail(self) -> tuple[str, ...]:
        """The last lines on its standard error."""
        return tuple(self._tail)

    def wait(self, seconds: float) -> int | None:
        """The exit code, negative for a signal; None while it runs after this many ``seconds``."""
        try:
            return self._process.wait(seconds)
        except subprocess.TimeoutExpired:
            return None

    def interrupt(self) -> None:
        """Ask the study to stop."""
        with suppress(ProcessLookupError):
            self._process.send_signal(signal.SIGINT)

    def kill(self) -> None:
        """End the process and all of its group."""
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(self.pid, signal.SIGKILL)

    def close(self) -> None:
        """End what an ended process left behind, and read its last lines."""
        self.kill()
        until = time.monotonic() + _DRAINED
        for reader in self._readers:
            reader.join(max(0.0, until - time.monotonic()))
        for pipe in (self._process.stdout, self._process.stderr):
            if pipe is not None and not any(reader.is_alive() for reader in self._readers):
                pipe.close()

    def _say(self, line: bytes) -> None:
        self._tail.append(redact(line.decode("utf-8", "replace").rstrip())[:2000])

    @staticmethod
    def _read(pipe: IO[bytes], take: Any) -> None:
        with suppress(OSError, ValueError):
            while line := pipe.readline(LONGEST + 1):
                take(line)
