"""One search from its claim to its end, in a thread of its own."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import replace

from losssearch.errors import ConnectionLostError, InputError, LossSearchError
from losssearch.storage.engine import Database
from services.queue import Beat, Claim, LeaseLostError, Progress, beat, finish, give_back, retry_later
from services.settings import Settings
from services.worker.bounds import most_seconds, size_of
from services.worker.environment import environment_of, job_of
from services.worker.outcome import Outcome, Then, outcome
from services.worker.process import Process
from services.worker.telling import Told
from services.worker.timing import Timing

log = logging.getLogger(__name__)

_TICK = 0.25

_SIZED = 60.0
"""Seconds between two looks at how much a search that runs has written."""

_UNTOLD = "the search ended before MLflow was told all of it"


class Run(threading.Thread):
    """Runs the study of ``claim`` by ``command``, and writes what it tells and how it ends.

    `cancel`, `stop`, `kill` and `lose` may be called from other threads.
    """

    def __init__(
        self, claim: Claim, database: Database, settings: Settings, command: Sequence[str], timing: Timing
    ) -> None:
        super().__init__(name=f"search {claim.search}", daemon=True)
        self.claim = claim
        self._database, self._settings = database, settings
        self._command, self._timing = command, timing
        self._process: Process | None = None
        self._cancelled = self._stopping = self._lost = self._ending = self._overdue = False
        self._until = time.monotonic() + most_seconds(claim)
        self._told_to_stop = 0.0
        self._urged = False
        self._renewed = time.monotonic()
        self._last_write = 0.0
        self._sized = time.monotonic()

    def cancel(self) -> None:
        """Ask for its end because the search is to be cancelled."""
        self._cancelled = True

    def stop(self) -> None:
        """Ask for its end so that another worker may continue it."""
        self._stopping = True

    def kill(self) -> None:
        """End the process at once."""
        if (process := self._process) is not None:
            process.kill()

    def lose(self, why: str) -> None:
        """End the process and write nothing more: the search is another's, or may be."""
        if not self._lost:
            log.warning(
                "search %s, attempt %d: %s; its study is ended here", self.claim.search, self.claim.attempt, why
            )
        self._lost = True
        self.kill()

    def check_lease(self) -> None:
        """Lose the search where its lease could not be renewed in time. Waits for nothing."""
        if not self._ending and time.monotonic() - self._renewed > self._timing.lease - self._timing.margin:
            self.lose("its lease could not be renewed")

    def run(self) -> None:
        """See `threading.Thread`."""
        try:
            self._run()
        except LeaseLostError as error:
            self.lose(str(error))
        except LossSearchError as error:
            log.warning("search %s: %s", self.claim.search, error)
            self.kill()
        except Exception:
            log.exception("search %s: an unexpected fault of the worker", self.claim.search)
            self.kill()

    def _run(self) -> None:
        try:
            self._process = Process(self._command, environment_of(self._settings), job_of(self._settings, self.claim))
        except OSError as error:
            self._write(Outcome(Then.RETRY, message=f"the process of the study could not be started: {error}"), None)
            return
        process = self._process
        log.info("search %s, attempt %d: process %d", self.claim.search, self.claim.attempt, process.pid)
        try:
            code = self._watch(process)
        finally:
            process.kill()
            process.wait(self._timing.kill)
            process.close()
        if self._lost:
            return
        cancelled = self._cancelled and (self._told_to_stop > 0 or code not in (0, 3))
        found = outcome(
            code,
            cancelled=cancelled,
            stopping=self._stopping,
            overdue=self._overdue,
            problem=process.told.problem,
            tail=process.tail,
        )
        log.info("search %s, attempt %d: exit code %d, %s %s", *self._named(), code, found.then.value, found.state)
        self._write(found, code)

    def _named(self) -> tuple[str, int]:
        return self.claim.search, self.claim.attempt

    def _watch(self, process: Process) -> int:
        """Wait for the end, and meanwhile renew the lease, write what is told, and pass on that it shall stop."""
        while (code := process.wait(_TICK)) is None:
            if self._lost:
                process.kill()
            elif self._cancelled or self._stopping:
                self._end(process)
            elif time.monotonic() > self._until:
                self._overdue = True
                self._end(process)
            self._beat(process)
        return code

    def _end(self, process: Process) -> None:
        now = time.monotonic()
        if not self._told_to_stop:
            self._told_to_stop = now
            process.interrupt()
        elif now - self._told_to_stop > (self._timing.kill if self._cancelled else self._timing.stop):
            process.kill()
        elif self._cancelled and not self._urged and now - self._told_to_stop > self._timing.urge:
            self._urged = True
            process.interrupt()  # asked twice, a study gives up what makes its end slow

    def _beat(self, process: Process) -> None:
        since = time.monotonic() - self._last_write
        if self._lost or since < (self._timing.write if process.told.news() else self._timing.beat):
            return
        progress, events = process.told.take()
        began = self._last_write = time.monotonic()
        if began - self._sized >= _SIZED:
            self._sized, progress = began, self._measured(progress)
        try:
            answer = beat(self._database, self.claim, progress, events, lease=self._timing.lease, patient=False)
        except ConnectionLostError as error:
            log.warning("search %s: %s", self.claim.search, error)
            process.told.put_back(events)
            return
        except LeaseLostError as error:
            self.lose(str(error))
            return
        self._renewed = began
        self.heard(answer)

    def heard(self, answer: Beat | None) -> None:
        """Take up what the queue says of the search: None where it is another's."""
        if answer is None:
            if not self._ending:  # what was given back a moment ago may be another's already
                self.lose("it is another worker's")
        elif answer.cancel:
            self.cancel()

    def _write(self, found: Outcome, code: int | None) -> None:
        """Write the end, and try it again while the database cannot be reached."""
        self._ending = True
        told = None if self._process is None else self._process.told
        summary = None if told is None else told.summary

        def last() -> None:
            if told is None:
                return
            progress, events = told.take()
            progress = self._measured(progress)
            try:
                beat(self._database, self.claim, progress, events, lease=self._timing.lease, patient=False)
            except ConnectionLostError:
                told.put_back(events)
                raise

        def end() -> None:
            match found.then:
                case Then.FINISH:
                    untracked = self._untracked(code, told)
                    finish(self._database, self.claim, found.state, code, found.message, summary, untracked=untracked)
                case Then.GIVE_BACK:
                    give_back(self._database, self.claim, untracked=self._untracked(code, told))
                case Then.RETRY:
                    retry_later(
                        *(self._database, self.claim, found.message, code),
                        waits=self._timing.retries,
                        untracked=self._untracked(code, told),
                    )

        self._patiently(last)
        self._patiently(end)

    def _measured(self, progress: Progress) -> Progress:
        return replace(progress, bytes=size_of(self._settings.searches / self.claim.search))

    def _untracked(self, code: int | None, told: Told | None) -> str | None:
        """Why MLflow misses something of a search that ends now; None where it misses nothing."""
        if self._settings.tracking_uri is None or code == InputError.exit_code:
            return None
        if told is None:  # no process could be started, but an earlier one may have begun a run
            return None if self.claim.attempt == 1 else _UNTOLD
        return None if told.tracked else told.untracked or _UNTOLD

    def _patiently(self, work: Callable[[], None]) -> None:
        until = time.monotonic() + (min(self._timing.end, self._timing.kill) if self._stopping else self._timing.end)
        while True:
            try:
                work()
            except ConnectionLostError:
                if time.monotonic() > until:
                    raise
                time.sleep(1.0)
            else:
                return
