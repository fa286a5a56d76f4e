"""The store in a database: SQLite for one machine, PostgreSQL for several."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from typing import Any, TypeVar

from sqlalchemy import Connection, delete, select, update
from sqlalchemy.exc import IntegrityError

from losssearch.errors import LossSearchError, OptionError, UnknownNameError
from losssearch.option_names import option
from losssearch.storage import codec, lease, ranking, schema, versions
from losssearch.storage.engine import Database
from losssearch.storage.records import StudyRecord, TrialRecord, TrialState
from losssearch.storage.rows import check_name, found_study, is_there, seals, study_names, upsert
from losssearch.storage.soundness import missing_from
from losssearch.storage.viewed import Unread, Viewed

T = TypeVar("T")
V = TypeVar("V")


class SqlStore:
    """A `Store` in the database that ``url`` names: ``sqlite:///FILE`` or ``postgresql+psycopg://…``.

    Opening it makes what is missing (file, folder, tables), safely also where several processes open a
    new file at once; ``create=False`` only opens what is there. A store of an older version is upgraded with that, or
    before the first write where ``create`` is off; until then it is read as it is. Safe to use from several threads. A
    server that restarts is waited for, and ``note`` is told so. ``job``: see `losssearch.storage.lease.Job`.

    Raises:
        OptionError: the URL cannot be read, or names another kind of database.
        DataError: the path holds something else, a damaged file, or a newer program's studies.
        StudyHeldError: an older program drives a study of a store that must be upgraded; raised by the first write
            too.
        ConnectionLostError: the database cannot be reached or written.
    """

    def __init__(
        self,
        url: str,
        *,
        create: bool = True,
        note: Callable[[str], object] | None = None,
        job: lease.Job | None = None,
    ) -> None:
        self._database = Database(url, create=create, note=note)
        self._holder, self._job = lease.new_holder(job), job
        self._held: set[str] = set()
        self._taken_over: set[str] = set()
        self._stopped = threading.Event()
        self._heart: threading.Thread | None = None
        try:
            self._version = self._database.run(
                lambda connection: versions.prepare(connection, create=create, where=self._database.where),
                reads=not create,
                parses=True,
            )
        except BaseException:
            self._database.close()
            raise

    def create_study(self, study: StudyRecord) -> None:
        """Enter a new study; raise `OptionError` if the name is taken or no name."""
        check_name(study.name)
        row = schema.study_row(study)
        ours = schema.study_record(codec.loads(codec.dumps(row)))
        tries = 0

        def enter(connection: Connection) -> None:
            nonlocal tries
            tries += 1
            # The answer to the commit of an earlier try may have been lost: then the study is there, and it is ours.
            if tries == 1 or found_study(connection, study.name) != ours:
                connection.execute(schema.study.insert().values(row))

        self._upgrade()
        try:
            self._database.run(enter, parses=True)
        except IntegrityError:
            raise OptionError(
                f"a new study needs a name of its own, there is a study {study.name!r}: "
                f"continue it with {option('resume', True)}, or give another {option('study')}"
            ) from None

    def study(self, name: str) -> StudyRecord:
        """Look a study up."""

        def read(connection: Connection) -> StudyRecord:
            found = found_study(connection, name)
            if found is None:
                raise self._unknown(connection, name)
            return found

        return self._database.run(read, reads=True)

    def studies(self) -> list[str]:
        """The names of all studies, the oldest first."""
        return self._database.run(study_names, reads=True)

    def save_trials(self, study: str, trials: Sequence[TrialRecord]) -> None:
        """Write trials; one whose number is there already is replaced."""
        rows = [schema.trial_row(study, record) for record in {record.number: record for record in trials}.values()]
        if rows:
            self._write(study, lambda connection: upsert(self._database.kind, connection, schema.trial, rows))

    def trials(
        self, study: str, numbers: Sequence[int] | None = None, *, after: int | None = None, limit: int | None = None
    ) -> list[TrialRecord]:
        """Trials of a study, ordered by number; see `Store.trials`."""

        def read(connection: Connection) -> list[TrialRecord]:
            must = self._seals(connection, study)
            return ranking.read(connection, self._version, study, numbers, after=after, limit=limit, must=must)

        return self._database.run(read, reads=True)

    def top(self, study: str, n: int, *, maximize: bool) -> list[TrialRecord]:
        """The completed trials with the best values; see `Store.top`."""

        def read(connection: Connection) -> list[TrialRecord]:
            must = self._seals(connection, study)
            return ranking.top(connection, self._version, study, n, maximize=maximize, must=must)

        return self._database.run(read, reads=True)

    def page(
        self, study: str, viewed: Viewed[V], *, after: int = -1, limit: int, maximize: bool | None = None
    ) -> tuple[list[V], dict[TrialState, int]]:
        """A page of a study as views, and its `counts`: for programs that show the same trials again and again.

        Args:
            study: its name.
            viewed: makes the views, and keeps them.
            after: the number after which the page begins.
            limit: how many trials.
            maximize: None for trials by number; otherwise the best ones, as `top` gives them.
        """
        if self._version == 1:  # a store that no driver of today has written to
            by_number = maximize is None
            trials = (
                self.trials(study, after=after, limit=limit)
                if by_number
                else self.top(study, limit, maximize=bool(maximize))
            )
            return viewed.make(trials), self.counts(study)

        def read(connection: Connection) -> tuple[list[V | Unread], dict[TrialState, int]]:
            found = ranking.page(
                *(connection, study, viewed),
                after=after,
                limit=limit,
                maximize=maximize,
                must=lambda: self._seals(connection, study),
            )
            if not found:
                self._require(connection, study)
            return found, ranking.counts(connection, study)

        found, counts = self._database.run(read, reads=True)
        return viewed.complete(found), counts

    def counts(self, study: str) -> dict[TrialState, int]:
        """How many trials of a study are in each state."""

        def read(connection: Connection) -> dict[TrialState, int]:
            self._require(connection, study)
            return ranking.counts(connection, study)

        return self._database.run(read, reads=True)

    def delete(self, study: str) -> None:
        """Remove a study and all that is stored of it; raise `StudyHeldError` while a driver holds it."""

        def work(connection: Connection) -> None:
            self._require(connection, study, lock=True)
            lease.refuse_held(connection, study)
            for table in (schema.lease, schema.stage, schema.trial):
                connection.execute(delete(table).where(table.c.study == study))
            connection.execute(delete(schema.study).where(schema.study.c.name == study))

        self._upgrade()
        self._database.run(work, parses=True)

    def check(self, study: str) -> None:
        """Raise `DataError` if the trials of a study are not what losssearch wrote; see `Store.check`."""
        if problem := missing_from(self.trials(study)):
            self._database.refuse(problem)

    def save_stage(self, study: str, stage: str, payload: Mapping[str, Any]) -> None:
        """Write what one stage of the selection found, in place of what it found before."""
        row = schema.stage_row(study, stage, payload)
        self._write(study, lambda connection: upsert(self._database.kind, connection, schema.stage, [row]))

    def stage(self, study: str, stage: str) -> dict[str, Any] | None:
        """What a stage found; None if it has not ended yet."""

        def read(connection: Connection) -> dict[str, Any] | None:
            must = self._seals(connection, study)
            key = (schema.stage.c.study == study) & (schema.stage.c.stage == stage)
            found = connection.execute(select(schema.stage.c.payload).where(key)).one_or_none()
            return None if found is None else schema.stage_payload(study, stage, found[0], must=must)

        return self._database.run(read, reads=True)

    def save_tracking(self, study: str, tracking: Mapping[str, str]) -> None:
        """Write where the tracker records this study."""
        self._update(study, {"tracking": schema.tracking_value(study, tracking)})

    def save_result(self, study: str, result: Mapping[str, Any]) -> None:
        """Write the content of ``result.json``."""
        self._update(study, {"result": schema.result_value(study, result)})

    def acquire(self, study: str) -> None:
        """Become the one driver of a study; see `Store.acquire`."""

        def work(connection: Connection) -> bool:
            self._require(connection, study, lock=True)
            return lease.acquire(connection, study, self._holder, self._job)

        self._upgrade()
        if self._database.run(work, parses=True):
            self._taken_over.add(study)
        self._held.add(study)
        if self._heart is None:
            self._heart = threading.Thread(target=self._beat, name="losssearch-lease", daemon=True)
            self._heart.start()

    def refuse_held(self, study: str) -> None:
        """Raise `StudyHeldError` if `acquire` would do so now; see `Store.refuse_held`."""
        self._database.run(lambda connection: lease.refuse_held(connection, study, self._holder, self._job), reads=True)

    def taken_over(self, study: str) -> bool:
        """Whether `acquire` found the lease of a driver that was killed."""
        return study in self._taken_over

    def release(self, study: str) -> None:
        """Give the lease back; nothing happens where this store does not hold it."""
        if study in self._held:
            self._held.discard(study)
            self._taken_over.discard(study)
            lease.give_up(study, self._holder)
            # Where the database is gone the lease ends by itself, when its process does: nobody waits for that.
            self._database.run(lambda connection: lease.release(connection, study, self._holder), patient=False)

    def close(self) -> None:
        """Give all leases back and close every connection; may be called twice."""
        self._stopped.set()
        if self._heart is not None:
            self._heart.join(lease.HEARTBEAT)
            self._heart = None
        try:
            for study in tuple(self._held):
                with suppress(LossSearchError):
                    self.release(study)
        finally:
            self._database.close()

    def _update(self, study: str, values: Mapping[str, Any]) -> None:
        target = schema.study.c.name == study
        self._write(study, lambda connection: connection.execute(update(schema.study).where(target).values(values)))

    def _write(self, study: str, work: Callable[[Connection], object], *, patient: bool = True) -> None:
        def guarded(connection: Connection) -> None:
            self._require(connection, study)
            if study in self._held:
                lease.renew(connection, study, self._holder)
            work(connection)

        self._upgrade()
        try:
            self._database.run(guarded, patient=patient)
        except IntegrityError as error:
            self._database.refuse(str(error.orig))

    def _upgrade(self) -> None:
        if self._version < schema.VERSION:
            where = self._database.where
            self._version = self._database.run(
                lambda connection: versions.migrate(connection, schema.VERSION, where), parses=True
            )

    def _beat(self) -> None:
        while not self._stopped.wait(lease.HEARTBEAT):
            for study in tuple(self._held):
                # A beat that fails is not lost on the driver: its next write raises the same error. Nor does it wait
                # for a server that restarts: the next beat comes soon, and whoever writes meanwhile does wait.
                with suppress(LossSearchError):
                    self._write(study, lambda connection: None, patient=False)

    def _require(self, connection: Connection, study: str, *, lock: bool = False) -> None:
        if not is_there(connection, study, lock=lock):
            raise self._unknown(connection, study)

    def _seals(self, connection: Connection, study: str) -> bool:
        """Whether the rows of a study must have seals: those of one that an older version began have none."""
        sealed = seals(connection, study)
        if sealed is None:
            raise self._unknown(connection, study)
        return sealed

    def _unknown(self, connection: Connection, study: str) -> UnknownNameError:
        return UnknownNameError(f"study in {self._database.where}:", study, study_names(connection))
