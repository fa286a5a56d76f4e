"""The supervisor: claims searches for its free slots, starts a thread and a process for each, and ends them all."""

from __future__ import annotations

import logging
import signal
import sys
import threading
import time
from collections.abc import Callable, Sequence
from types import FrameType
from typing import TypeVar

from losssearch.errors import ConnectionLostError
from losssearch.storage.engine import Database
from services import pruning
from services.database import new_id
from services.queue import claim, claim_sync, leave, seen, watch
from services.settings import Settings
from services.worker.discarding import Discarding
from services.worker.run import Run
from services.worker.timing import TIMING, Timing
from services.worker.tracking import SYNC, Tracking

log = logging.getLogger(__name__)

T = TypeVar("T")

CHILD = (sys.executable, "-m", "services.child")
"""The command of a study's process."""

_SEEN = 10.0
_PRUNE = 3600.0
_DISCARD = 5.0

_TELL = 2.0
_OVERDUE = 600.0
"""Seconds between two looks for searches of which MLflow misses something; and how long one yields to searches."""


class Supervisor:
    """Runs searches until it is asked to stop.

    Args:
        settings: of the service; ``slots`` is how many searches run at once.
        database: of the service, open.
        command: starts the process of a study, which reads its job from its standard input.
        telling: starts the process that tells MLflow what it missed; so does it.
        timing: what is waited for, and how long.
    """

    def __init__(
        self,
        settings: Settings,
        database: Database,
        *,
        command: Sequence[str] = CHILD,
        telling: Sequence[str] = SYNC,
        timing: Timing = TIMING,
    ) -> None:
        self._settings, self._database, self._command, self._timing = settings, database, command, timing
        self._telling = telling
        self._worker = new_id()
        self._runs: list[Run] = []
        self._tracking: list[Tracking] = []
        self._stop = threading.Event()
        self._asked = 0
        self._over = threading.Event()
        self._due: dict[str, float] = {}
        self._discarding = Discarding(settings, database)

    def stop(self) -> None:
        """Ask it to end: studies are interrupted and given back; asked twice, they are killed."""
        self._asked += 1
        self._stop.set()

    def listen(self) -> None:
        """Let the signals that end a program ask this one to stop."""

        def handler(_number: int, _frame: FrameType | None) -> None:
            self.stop()

        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, handler)

    def run(self) -> None:
        """Work until `stop` is called, and give back what has not ended by then."""
        watchdog = threading.Thread(target=self._guard, name="leases", daemon=True)
        watchdog.start()
        log.info("worker %s with %d slots", self._worker, self._settings.slots)
        try:
            while not self._stop.is_set():
                self._patiently(self._turn)
                self._stop.wait(self._timing.poll)
        finally:
            self._end()
            self._over.set()
            watchdog.join()

    def _turn(self) -> None:
        """One look: at what has ended, at what is to be cancelled, and for more to run."""
        self._runs = [run for run in self._runs if run.is_alive()]
        found = watch(self._database, [run.claim for run in self._runs], patient=False)
        for run in self._runs:
            # One that has written its end meanwhile holds its search still.
            run.heard(found[run.claim.search])
        self._tracking = [one for one in self._tracking if one.is_alive()]
        self._tell(overdue=_OVERDUE)
        while self._free() and not self._stop.is_set():
            tracked = self._settings.tracking_uri is not None
            claimed = claim(self._database, new_id(), lease=self._timing.lease, tracked=tracked, patient=False)
            if claimed is None:
                break
            run = Run(claimed, self._database, self._settings, self._command, self._timing)
            self._runs.append(run)
            run.start()
        self._tell()
        self._every(
            "seen",
            _SEEN,
            lambda: self._database.run(
                lambda connection: seen(connection, self._worker, self._settings.slots), patient=False
            ),
        )
        days = self._settings.audit_days
        self._every("prune", _PRUNE, lambda: self._database.run(lambda c: pruning.prune(c, days), patient=False))
        self._every("discard", _DISCARD, self._discarding.turn)

    def _free(self) -> bool:
        return len(self._runs) + len(self._tracking) < self._settings.slots

    def _tell(self, *, overdue: float = 0.0) -> None:
        """Tell MLflow what it missed of a search, in a slot that no search needs, unless it has waited for long."""
        if self._settings.tracking_uri is None or self._tracking or not self._free() or self._stop.is_set():
            return

        def work() -> None:
            claimed = claim_sync(self._database, new_id(), lease=self._timing.lease, overdue=overdue, patient=False)
            if claimed is not None:
                self._tracking.append(Tracking(claimed, self._database, self._settings, self._timing, self._telling))
                self._tracking[-1].start()

        self._every(f"tell {overdue}", _TELL, work)

    def _every(self, what: str, seconds: float, work: Callable[[], object]) -> None:
        if (now := time.monotonic()) >= self._due.get(what, 0.0):
            work()
            self._due[what] = now + seconds

    def _patiently(self, work: Callable[[], object]) -> None:
        """Do ``work``; where the database cannot be reached say so, and leave it to the next turn."""
        try:
            work()
        except ConnectionLostError as error:
            log.warning("%s", error)

    def _guard(self) -> None:
        """End studies whose lease could not be renewed. Waits for no database: nothing here may."""
        while not self._over.wait(min(1.0, self._timing.poll)):
            for run in tuple(self._runs):
                if run.is_alive():
                    run.check_lease()

    def _end(self) -> None:
        every: list[Run | Tracking] = [*self._runs, *self._tracking]
        for one in every:
            one.stop()
        until = time.monotonic() + self._timing.stop + self._timing.kill
        while any(one.is_alive() for one in every) and time.monotonic() < until:
            if self._asked > 1:
                for one in every:
                    one.kill()
            time.sleep(0.05)
        for one in every:
            one.kill()
        self._discarding.close()
        self._patiently(lambda: self._database.run(lambda connection: leave(connection, self._worker), patient=False))
        log.info("worker %s ended", self._worker)
