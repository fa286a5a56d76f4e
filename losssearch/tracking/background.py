"""A tracker that never delays the search: a thread writes, and what cannot be written is kept in a file."""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future, wait
from contextlib import suppress
from pathlib import Path
from typing import Any

import tenacity

from losssearch import stopping
from losssearch.errors import LossSearchError
from losssearch.option_names import option, spelled
from losssearch.redaction import redact
from losssearch.storage.records import TrialRecord
from losssearch.tracking.spool import Entry, Result, Spool, Trials
from losssearch.tracking.tracker import DatasetInfo, Status, Tracker

ATTEMPTS = 3
"""How often an entry is tried; the waits between grow from 0.2 s."""

PAUSE = 30.0
"""Seconds that a lost server is left alone before an entry tries it again."""

PATIENCE = 60.0
"""Seconds that `BackgroundTracker.close` waits while nothing gets written."""

NOTICE = 3.0
"""Seconds of waiting after which the user is told."""


class BackgroundTracker:
    """Runs another `Tracker` in a thread of its own; only `start` and `close` wait for it.

    Making one begins the set-up (`Tracker.prepare`) at once. An entry that cannot be written after a few
    tries, or for which the queue has no room, goes to ``spool`` as one JSON line, and from there to the
    tracker in `close` or in the next `start` with the same run. So a lost tracking server costs the search
    nothing but one sentence in `problems`. A record of which something is missing is not ended as FINISHED.
    ``note`` is told, in a sentence, that the tracking store is waited for. ``load`` imports what the tracker needs,
    which may take seconds that are no fault of the store's.
    """

    def __init__(
        self,
        tracker: Tracker,
        spool: Path,
        *,
        capacity: int = 1000,
        note: Callable[[str], object] | None = None,
        load: Callable[[], object] | None = None,
    ) -> None:
        self._tracker = tracker
        self._load = load
        self._loaded = threading.Event()
        self._note = (lambda message: None) if note is None else note
        self._unopened: LossSearchError | None = None
        self._current: Entry | None = None
        self._spool = Spool(spool)
        self._queue: queue.Queue[Entry | Callable[[], None]] = queue.Queue(capacity)
        self._kept = ""
        self._lost = ""
        self._run_id = ""
        self._down_until = 0.0
        self._done = 0
        self._closed = self._finished = False
        self._thread = threading.Thread(target=self._work, name="losssearch-tracking", daemon=True)
        self._thread.start()

    @property
    def problems(self) -> Sequence[str]:
        """What the spool still keeps, and why; and what was lost."""
        return (*self._tracker.problems, *filter(None, (self._kept, self._lost)))

    def prepare(self) -> None:
        """Do nothing: set-up began when this was made."""

    def start(
        self,
        study: str,
        params: Mapping[str, Any],
        tags: Mapping[str, str],
        dataset: DatasetInfo,
        *,
        run_id: str | None = None,
    ) -> dict[str, str]:
        """Open the record and wait until it is open; what the spool keeps of the same run follows in the background."""
        answer: Future[dict[str, str]] = Future()

        def work() -> None:
            try:
                self._check_opened()
                answer.set_result(self._tracker.start(study, params, tags, dataset, run_id=run_id))
            except BaseException as error:  # noqa: BLE001  (raised where the caller waits)
                error.__context__ = None  # a library's error, whose text may hold the URL
                answer.set_exception(error)

        self._queue.put(work)
        self._loaded.wait()
        if not wait([answer], NOTICE).done:
            self._note("the tracking store has not answered for some seconds: waiting for it")
        where = answer.result()
        self._run_id = where.get("run_id", "")
        self._queue.put(self._replay)
        return where

    def log_trials(self, trials: Sequence[TrialRecord], formulas: Mapping[int, str], metric: str) -> None:
        """Leave ended trials to the thread."""
        if trials:
            self._leave(Trials(tuple(trials), dict(formulas), metric))

    def log_result(self, result: Mapping[str, Any], artifacts: Sequence[Path], metrics: Mapping[str, float]) -> None:
        """Leave the result to the thread."""
        self._leave(Result(dict(result), tuple(artifacts), dict(metrics)))

    def close(self, status: Status) -> None:
        """Wait until all is written or spooled, and end the record; may be called twice.

        Where nothing gets written for a minute, the rest is spooled without waiting for it.
        """
        if self._closed:
            return
        self._closed = True
        with suppress(queue.Full):
            self._queue.put(lambda: self._finish(status), timeout=PATIENCE)
        done, since, told = -1, 0.0, False
        while self._thread.is_alive():
            if self._done != done:
                done, since = self._done, time.monotonic()
            elif time.monotonic() - since > PATIENCE or stopping.current().urgent:
                self._keep_rest()
                return
            elif not told and time.monotonic() - since > NOTICE:
                told = True
                self._note(f"the tracking store has not answered for some seconds: waiting up to {PATIENCE:.0f} s")
            self._thread.join(0.05)

    def _check_opened(self) -> None:
        if self._unopened is not None:
            raise self._unopened

    def _leave(self, entry: Entry) -> None:
        try:
            self._queue.put_nowait(entry)
        except queue.Full:
            self._keep(entry, "the tracking store is slower than the search")

    def _work(self) -> None:
        try:
            try:
                if self._load is not None:
                    self._load()
            finally:
                self._loaded.set()
            self._tracker.prepare()
        except LossSearchError as error:
            self._unopened = error  # for `start`, where somebody hears of it
        while not self._finished:
            item = self._queue.get()
            if isinstance(item, Entry):
                self._current = item
                self._write(item)
                self._current = None
            else:
                item()
            self._done += 1

    def _write(self, entry: Entry) -> None:
        if time.monotonic() < self._down_until:
            self._keep(entry, "")
            return
        try:
            _retrying(entry.write, self._tracker)
        except Exception as error:  # noqa: BLE001  (tracking never ends a search)
            self._down_until = time.monotonic() + PAUSE
            self._keep(entry, str(error))

    def _replay(self) -> None:
        try:
            self._spool.replay(self._run_id, self._written_again)
        except Exception as error:  # noqa: BLE001  (tracking never ends a search)
            self._down_until = time.monotonic() + PAUSE
            self._report(str(error))
        else:
            self._kept = ""

    def _written_again(self, entry: Entry) -> None:
        entry.write(self._tracker)
        self._done += 1

    def _finish(self, status: Status) -> None:
        self._replay()
        try:
            if status == "FINISHED" and (self._kept or self._lost):
                self._lost = self._lost or "the tracked run was left open: it is not complete"
            else:
                _retrying(self._tracker.close, status)
        except Exception as error:  # noqa: BLE001  (tracking never ends a search)
            self._lost = self._lost or f"the tracked run was left open: {redact(str(error))}"
        self._finished = True

    def _keep_rest(self) -> None:
        if (current := self._current) is not None:  # may be written all the same: to write it again changes nothing
            self._keep(current, "the tracking store does not answer")
        while True:
            try:
                item = self._queue.get_nowait()
            except queue.Empty:
                self._report("the tracking store does not answer")
                return
            if isinstance(item, Entry):
                self._keep(item, "the tracking store does not answer")

    def _keep(self, entry: Entry, cause: str) -> None:
        try:
            self._spool.add(self._run_id, entry)
        except (OSError, TypeError, ValueError) as error:
            self._lost = f"tracking is incomplete: {cause or 'the tracking store was lost'}, and {error}"
        else:
            self._report(cause)

    def _report(self, cause: str) -> None:
        if not self._kept:
            rest = f"{self._spool.path.name} keeps the rest for {option('resume', True)} or `losssearch sync`"
            self._kept = spelled(f"tracking is incomplete, {rest}: {redact(cause)}")


_retrying = tenacity.Retrying(
    retry=tenacity.retry_if_exception_type(Exception),
    stop=tenacity.stop_after_attempt(ATTEMPTS),
    wait=tenacity.wait_exponential(multiplier=0.2, max=2.0),
    reraise=True,
)
