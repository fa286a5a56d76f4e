"""Deletes the runs of deleted searches in MLflow, one search at a time, by a process of its own."""

from __future__ import annotations

import json
import logging
import os
import subprocess
import sys
import time
from contextlib import suppress

from losssearch.storage.engine import Database
from services.queue import gone, has_discarded, take_discarded
from services.settings import Settings
from services.worker.environment import environment_of

log = logging.getLogger(__name__)

COMMAND = (sys.executable, "-m", "services.discard")

PATIENCE = 600.0
"""Seconds that one search may take; whatever is left of it then is deleted by the next try."""


class Discarding:
    """Looks for searches whose runs are to be deleted. A try that fails is repeated later, by any worker.

    Args:
        settings: of the service; without a ``tracking_uri`` nothing is done.
        database: of the service.
    """

    def __init__(self, settings: Settings, database: Database) -> None:
        self._settings, self._database = settings, database
        self._process: subprocess.Popen[bytes] | None = None
        self._search, self._until = "", 0.0

    def turn(self) -> None:
        """Look at the process that runs, or start one where there is something to do; waits for neither."""
        if self._settings.tracking_uri is None:
            return
        if self._process is not None:
            self._look(self._process)
        if self._process is None and self._database.run(has_discarded, reads=True, patient=False):
            self._start(self._settings.tracking_uri)

    def close(self) -> None:
        """End the process."""
        if self._process is not None:
            self._process.kill()
            self._process.communicate()
            self._process = None

    def _start(self, tracking_uri: str) -> None:
        found = self._database.run(take_discarded, patient=False)
        if found is None:
            return
        job = {"parent": os.getpid(), "tracking_uri": tracking_uri}
        job |= {"experiment": found.experiment, "study": found.search}
        self._search, self._until = found.search, time.monotonic() + PATIENCE
        self._process = subprocess.Popen(  # noqa: S603  (our own command, no shell)
            COMMAND,
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            env=environment_of(self._settings),
            start_new_session=True,
        )
        assert self._process.stdin is not None  # noqa: S101  (a pipe)
        with suppress(BrokenPipeError):
            self._process.stdin.write(json.dumps(job).encode())
            self._process.stdin.close()

    def _look(self, process: subprocess.Popen[bytes]) -> None:
        code = process.poll()
        if code is None and time.monotonic() < self._until:
            return
        if code is None:
            process.kill()
        code = process.wait()
        said = b"" if process.stderr is None else process.stderr.read()[-500:]
        if process.stderr is not None:
            process.stderr.close()
        self._process = None
        if code == 0:
            self._database.run(lambda connection: gone(connection, self._search), patient=False)
            return
        log.warning("the MLflow runs of search %s are still there: %s", self._search, said.decode(errors="replace"))
