"""The store in a database: SQLite for one machine, PostgreSQL for several."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from typing import Any, TypeVar

from sqlalchemy import Connection, Table, select, update
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.exc import IntegrityError

from losssearch.errors import LossSearchError, OptionError, UnknownNameError
from losssearch.option_names import option
from losssearch.storage import codec, lease, schema
from losssearch.storage.engine import Database
from losssearch.storage.records import StudyRecord, TrialRecord
from losssearch.storage.seal import is_sealed
from losssearch.storage.soundness import missing_from

T = TypeVar("T")

_NUMBERS_A_CALL = 500


class SqlStore:
    """A `Store` in the database that ``url`` names: ``sqlite:///FILE`` or ``postgresql+psycopg://…``.

    Opening it makes what is missing (file, folder, tables), safely also where several processes open a
    new file at once; ``create=False`` only opens what is there. Safe to use from several threads. A server that
    restarts is waited for, and ``note`` is told so.

    Raises:
        OptionError: the URL cannot be read, or names another kind of database.
        DataError: the path holds something else, a damaged file, or a newer program's studies.
        ConnectionLostError: the database cannot be reached or written.
    """

    def __init__(self, url: str, *, create: bool = True, note: Callable[[str], object] | None = None) -> None:
        self._database = Database(url, create=create, note=note)
        self._holder = lease.new_holder()
        self._held: set[str] = set()
        self._taken_over: set[str] = set()
        self._stopped = threading.Event()
        self._heart: threading.Thread | None = None
        try:
            self._database.run(
                lambda connection: schema.prepare(connection, create=create, where=self._database.where),
                reads=not create,
                parses=True,
            )
        except BaseException:
            self._database.close()
            raise

    def create_study(self, study: StudyRecord) -> None:
        """Enter a new study; raise `OptionError` if the name is taken or no name."""
        _check_name(study.name)
        row = schema.study_row(study)
        ours = schema.study_record(codec.loads(codec.dumps(row)))
        tries = 0

        def enter(connection: Connection) -> None:
            nonlocal tries
            tries += 1
            # The answer to the commit of an earlier try may have been lost: then the study is there, and it is ours.
            if tries == 1 or _found(connection, study.name) != ours:
                connection.execute(schema.study.insert().values(row))

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
            found = _found(connection, name)
            if found is None:
                raise self._unknown(connection, name)
            return found

        return self._database.run(read, reads=True)

    def studies(self) -> list[str]:
        """The names of all studies, the oldest first."""
        return self._database.run(_names, reads=True)

    def save_trials(self, study: str, trials: Sequence[TrialRecord]) -> None:
        """Write trials; one whose number is there already is replaced."""
        rows = [schema.trial_row(study, record) for record in {record.number: record for record in trials}.values()]
        if rows:
            self._write(study, lambda connection: self._upsert(connection, schema.trial, rows))

    def trials(self, study: str, numbers: Sequence[int] | None = None) -> list[TrialRecord]:
        """All trials of a study, or those of ``numbers`` that are there, ordered by number."""

        def read(connection: Connection) -> list[TrialRecord]:
            must = self._seals(connection, study)
            found = select(schema.trial).where(schema.trial.c.study == study).order_by(schema.trial.c.number)
            # All rows first: one that cannot be read must not leave the database busy with the rest.
            if numbers is None:
                return [schema.trial_record(row, must=must) for row in connection.execute(found).mappings().all()]
            records = []
            wanted = sorted(set(numbers))
            for first in range(0, len(wanted), _NUMBERS_A_CALL):
                some = found.where(schema.trial.c.number.in_(wanted[first : first + _NUMBERS_A_CALL]))
                records += [schema.trial_record(row, must=must) for row in connection.execute(some).mappings().all()]
            return records

        return self._database.run(read, reads=True)

    def check(self, study: str) -> None:
        """Raise `DataError` if the trials of a study are not what losssearch wrote; see `Store.check`."""
        if problem := missing_from(self.trials(study)):
            self._database.refuse(problem)

    def save_stage(self, study: str, stage: str, payload: Mapping[str, Any]) -> None:
        """Write what one stage of the selection found, in place of what it found before."""
        row = schema.stage_row(study, stage, payload)
        self._write(study, lambda connection: self._upsert(connection, schema.stage, [row]))

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
            return lease.acquire(connection, study, self._holder)

        if self._database.run(work, parses=True):
            self._taken_over.add(study)
        self._held.add(study)
        if self._heart is None:
            self._heart = threading.Thread(target=self._beat, name="losssearch-lease", daemon=True)
            self._heart.start()

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

        try:
            self._database.run(guarded, patient=patient)
        except IntegrityError as error:
            self._database.refuse(str(error.orig))

    def _upsert(self, connection: Connection, table: Table, rows: Sequence[Mapping[str, Any]]) -> None:
        insert = (postgresql if self._database.kind == "postgresql" else sqlite).insert(table)
        keys = [column.name for column in table.primary_key]
        changed = {column.name: insert.excluded[column.name] for column in table.columns if column.name not in keys}
        connection.execute(insert.on_conflict_do_update(index_elements=keys, set_=changed), list(rows))

    def _beat(self) -> None:
        while not self._stopped.wait(lease.HEARTBEAT):
            for study in tuple(self._held):
                # A beat that fails is not lost on the driver: its next write raises the same error. Nor does it wait
                # for a server that restarts: the next beat comes soon, and whoever writes meanwhile does wait.
                with suppress(LossSearchError):
                    self._write(study, lambda connection: None, patient=False)

    def _require(self, connection: Connection, study: str, *, lock: bool = False) -> None:
        found = select(schema.study.c.name).where(schema.study.c.name == study)
        if connection.execute(found.with_for_update() if lock else found).first() is None:
            raise self._unknown(connection, study)

    def _seals(self, connection: Connection, study: str) -> bool:
        """Whether the rows of a study must have seals: those of one that an older version began have none."""
        row = connection.execute(select(schema.study.c.config).where(schema.study.c.name == study)).first()
        if row is None:
            raise self._unknown(connection, study)
        return is_sealed(row[0])

    def _unknown(self, connection: Connection, study: str) -> UnknownNameError:
        return UnknownNameError(f"study in {self._database.where}:", study, _names(connection))


def _check_name(name: str) -> None:
    if not (name.strip() and name.isprintable() and len(name) <= 200):
        raise OptionError(f"{option('study')} must be 1 to 200 printable characters, got {name[:40]!r}")


def _names(connection: Connection) -> list[str]:
    ordered = select(schema.study.c.name).order_by(schema.study.c.created, schema.study.c.name)
    return [str(name) for name in connection.execute(ordered).scalars()]


def _found(connection: Connection, name: str) -> StudyRecord | None:
    row = connection.execute(select(schema.study).where(schema.study.c.name == name)).mappings().first()
    return None if row is None else schema.study_record(row)
