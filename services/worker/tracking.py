"""Telling MLflow what it missed of a search that has ended, in a thread and a process of their own."""

from __future__ import annotations

import logging
import os
import sys
import threading
import time
from collections.abc import Sequence
from typing import Any

from losssearch.errors import ConnectionLostError, InputError, LossSearchError
from losssearch.storage.engine import Database
from services.queue import LeaseLostError, SyncClaim, beat_sync, sync_later, synced
from services.settings import Settings
from services.worker.environment import environment_of
from services.worker.process import Process
from services.worker.timing import Timing

log = logging.getLogger(__name__)

SYNC = (sys.executable, "-m", "services.sync")
"""The command of the process that tells MLflow."""

_TICK = 0.25

_LONGEST = 600.0
"""Seconds that it may take: a server that never ends an answer must not keep a slot."""


class Tracking(threading.Thread):
    """Tells MLflow of the search of ``claim`` by ``command``, and writes what came of it.

    `stop` and `kill` may be called from other threads.
    """

    def __init__(
        self, claim: SyncClaim, database: Database, settings: Settings, timing: Timing, command: Sequence[str]
    ) -> None:
        super().__init__(name=f"tracking {claim.search}", daemon=True)
        self._claim, self._database, self._settings, self._timing = claim, database, settings, timing
        self._command = command
        self._process: Process | None = None
        self._stopping = False

    def stop(self) -> None:
        """End it, so that another worker may do it."""
        self._stopping = True

    def kill(self) -> None:
        """End the process at once."""
        if (process := self._process) is not None:
            process.kill()

    def run(self) -> None:
        """See `threading.Thread`."""
        try:
            self._run()
        except LossSearchError as error:
            log.warning("search %s: %s", self._claim.search, error)
        except Exception:
            log.exception("search %s: an unexpected fault of the worker", self._claim.search)

    def _run(self) -> None:
        try:
            process = self._process = Process(self._command, environment_of(self._settings), self._job())
        except OSError as error:
            sync_later(self._database, self._claim, f"its process could not be started: {error}")
            return
        try:
            code = self._watch(process)
        finally:
            process.kill()
            process.wait(self._timing.kill)
            process.close()
        if self._stopping:
            sync_later(self._database, self._claim, None)
            return
        told = process.told
        log.info("search %s: told MLflow, exit code %s %s", self._claim.search, code, told.problem)
        if code == 0 and told.synced is not None:
            synced(self._database, self._claim, told.synced)
        elif code == InputError.exit_code:  # no study had begun, so there is nothing to tell
            synced(self._database, self._claim, None)
        else:
            said = told.problem or "\n".join(process.tail) or f"its process ended with exit code {code}"
            sync_later(self._database, self._claim, said)

    def _watch(self, process: Process) -> int | None:
        """Wait for the end; None where the process was ended here."""
        began = written = time.monotonic()
        while (code := process.wait(_TICK)) is None:
            now = time.monotonic()
            if self._stopping or now - began > _LONGEST:
                return None
            if now - written < self._timing.beat:
                continue
            try:
                beat_sync(self._database, self._claim, lease=self._timing.lease, patient=False)
                written = now
            except ConnectionLostError as error:
                log.warning("search %s: %s", self._claim.search, error)
                if now - written > self._timing.lease - self._timing.margin:
                    raise LeaseLostError("its lease could not be renewed") from None
        return code

    def _job(self) -> dict[str, Any]:
        """What the process reads from its standard input."""
        settings, claim = self._settings, self._claim
        return {
            "parent": os.getpid(),
            "search": claim.search,
            "attempt": claim.number,
            "failed": claim.failed,
            "out": str((settings.searches / claim.search).resolve()),
            "storage": settings.storage,
            "tracking_uri": settings.tracking_uri,
            "experiment": f"losssearch/{claim.team_name}",
            "memory": settings.child_memory,
        }
