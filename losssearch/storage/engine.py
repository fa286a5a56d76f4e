"""A database and its faults: transactions, waiting for a server that restarts, and error messages."""

from __future__ import annotations

import math
import sqlite3
import time
from collections.abc import Callable
from typing import NoReturn, TypeVar

import tenacity
from sqlalchemy import Connection
from sqlalchemy.exc import DBAPIError, IntegrityError, InterfaceError, InvalidRequestError, OperationalError

from losssearch import stopping
from losssearch.errors import ConnectionLostError, DataError, LossSearchError
from losssearch.option_names import option
from losssearch.redaction import redact, redacted_cause, remember
from losssearch.storage.opening import check_file, new_engine, parse_url
from losssearch.storage.silence import Watch

T = TypeVar("T")

ATTEMPTS = 5
"""How often a transaction is tried on SQLite, or on a server that never answered; waits grow from 0.1 s to 0.8 s."""

PATIENCE = 75.0
"""Seconds that a server that has answered before is waited for: a restart or a failover takes less."""

SILENCE = 30.0
"""Seconds after which a server that keeps a connection open and says nothing counts as lost."""

NOTICE = 2.0
"""Seconds of waiting after which the user is told."""

_SQLITE_OUT_OF_REACH = frozenset(
    (
        *(
            sqlite3.SQLITE_PERM,
            sqlite3.SQLITE_BUSY,
            sqlite3.SQLITE_LOCKED,
            sqlite3.SQLITE_NOMEM,
            sqlite3.SQLITE_READONLY,
        ),
        *(sqlite3.SQLITE_IOERR, sqlite3.SQLITE_FULL, sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_PROTOCOL),
    )
)

_PASSING = ("25006", "25P03")
"""PostgreSQL's codes for a server that is a copy of another, until it takes over, and for a transaction in which this
process stood still for too long."""

_UNREADABLE = (ValueError, TypeError, AttributeError, LookupError, ArithmeticError, RecursionError, InvalidRequestError)
"""What reading a row raises that losssearch did not write."""


class Database:
    """An SQLite file or a PostgreSQL database, opened by URL.

    ``create`` makes a missing SQLite file and its folder, and puts the file into WAL mode; without it the
    file must be there and is left as it is. ``note`` is told, in a sentence, that a server is waited for. Messages
    call the database by ``name``, and end with ``remedy`` where it cannot be reached. At most ``connections`` threads
    work at once, further ones wait.

    Raises:
        OptionError: the URL cannot be read, or names another kind of database.
        DataError: the file is a folder, no database, damaged, or is missing and ``create`` is off.
        ConnectionLostError: the database cannot be reached.
    """

    def __init__(
        self,
        url: str,
        *,
        create: bool,
        note: Callable[[str], object] | None = None,
        name: str = "study store",
        remedy: str = f"what was saved is kept; repair the store and continue with {option('resume', True)}",
        connections: int = 15,
    ) -> None:
        remember(url)
        self._name, self._remedy = name, remedy
        parsed = parse_url(url)
        self.kind = parsed.get_backend_name()
        self.where = (
            str(parsed.database) if self.kind == "sqlite" else redact(parsed.render_as_string(hide_password=False))
        )
        if self.kind == "sqlite":
            check_file(self.where, create)
        self._note = (lambda message: None) if note is None else note
        self._engine = new_engine(parsed, wal=create, connections=connections)
        single = {} if self.kind == "sqlite" else {"isolation_level": "AUTOCOMMIT"}
        self._reader = self._engine.execution_options(losssearch_reads=True, **single)
        self._watch = Watch(lambda: self._tell("has not answered for some seconds: waiting for it"))
        self._answered = self._noted = False
        self._lost_since: float | None = None

    def run(
        self, work: Callable[[Connection], T], *, reads: bool = False, parses: bool = False, patient: bool = True
    ) -> T:
        """Run ``work`` in one transaction, again where the database was out of reach for a while.

        ``work`` must be such that running it twice is as good as once: where the answer to a commit is lost, nobody
        knows whether it took place. ``reads`` promises that ``work`` only reads, so SQLite need not wait for a writer;
        ``parses`` says that it interprets rows, which may be damaged. ``patient`` off gives up after a moment. An
        `IntegrityError` is left to the caller, who alone knows which rule was broken.
        """
        failure: LossSearchError
        try:
            found: T = self._tried(work, reads, patient)
        except IntegrityError:
            raise
        except DBAPIError as error:
            failure = self._translated(error)
        except LossSearchError:
            self._is_back()
            raise
        except _UNREADABLE as error:
            if not (reads or parses):
                raise
            failure = self._unreadable(error)
        except KeyboardInterrupt:
            if self._lost_since is not None:
                self._lost_since = -math.inf  # what is still to be done at the end must not wait once more
            raise
        else:
            self._is_back()
            return found
        # Outside the handlers, so that no context holds what a library said of the URL.
        raise failure

    def _tried(self, work: Callable[[Connection], T], reads: bool, patient: bool) -> T:
        """Run ``work``, and where that fails for a while, again."""
        try:
            return self._attempt(work, reads)  # to be ready for another try takes longer than most reads
        except DBAPIError as error:
            if not _may_pass(error):
                raise
            lost = [error]

        def again() -> T:
            if lost:
                raise lost.pop()
            return self._attempt(work, reads)

        found: T = self._retrying(patient)(again)
        return found

    def _retrying(self, patient: bool) -> tenacity.Retrying:
        """Few tries where nobody ever answered, or nobody will; `PATIENCE` seconds of them for a server that did."""
        few = ATTEMPTS if patient else 2

        def give_up(state: tenacity.RetryCallState) -> bool:
            if self.kind == "sqlite" or not (self._answered and patient):
                return state.attempt_number >= few
            return time.monotonic() - (self._lost_since or time.monotonic()) >= PATIENCE

        def failed(_state: tenacity.RetryCallState) -> None:
            stopping.check()  # a user who stops the study need not wait for its store
            if self._lost_since is None:
                self._lost_since = time.monotonic()
            elif self._answered and self.kind != "sqlite" and time.monotonic() - self._lost_since >= NOTICE:
                self._tell(f"does not answer: trying again for {PATIENCE:.0f} s")

        return tenacity.Retrying(
            retry=tenacity.retry_if_exception(_may_pass),
            stop=give_up,
            wait=tenacity.wait_exponential(multiplier=0.1, max=2.0),
            after=failed,
            reraise=True,
        )

    def refuse(self, found: str) -> NoReturn:
        """Raise the error for content that losssearch did not write."""
        raise self._damaged(found)

    def close(self) -> None:
        """Close every connection."""
        self._watch.close()
        self._engine.dispose()

    def _attempt(self, work: Callable[[Connection], T], reads: bool) -> T:
        engine = self._reader if reads else self._engine
        if self.kind == "sqlite":
            with engine.begin() as connection:
                return work(connection)
        with engine.connect() as connection, self._watch.over(connection, SILENCE):
            if reads:  # each statement sees what is committed when it begins, with a transaction around it or without
                return work(connection)
            with connection.begin():
                return work(connection)

    def _tell(self, what: str) -> None:
        if not self._noted:
            self._noted = True
            self._note(f"the {self._name} {self.where} {what}")

    def _is_back(self) -> None:
        self._answered, self._lost_since = True, None
        if self._noted:
            self._noted = False
            self._note(f"the {self._name} {self.where} answers again")

    def _translated(self, error: DBAPIError) -> LossSearchError:
        cause = redact(" ".join(str(error.orig).split()).strip())
        if not _may_pass(error):
            return self._damaged(cause, error)
        waited = f"for {PATIENCE:.0f} s" if self._answered and self.kind != "sqlite" else f"in {ATTEMPTS} tries"
        lost = ConnectionLostError(
            f"the {self._name} must be reachable and writable, {self.where} was not {waited} ({cause}): {self._remedy}"
        )
        lost.__cause__ = redacted_cause(error)
        return lost

    def _unreadable(self, error: Exception) -> DataError:
        said = " ".join(str(error).split())[:200]
        return self._damaged(f"{type(error).__name__}: {said}", error)

    def _damaged(self, cause: str, error: Exception | None = None) -> DataError:
        damaged = DataError(
            f"a {self._name} must be an SQLite or PostgreSQL database of losssearch, {self.where} is damaged or none: "
            f"{redact(cause)}"
        )
        damaged.__cause__ = None if error is None else redacted_cause(error)
        return damaged


def _may_pass(error: BaseException) -> bool:
    """Whether the fault is one of reaching or writing the database, and not of what it holds."""
    if not isinstance(error, DBAPIError):
        return False
    if isinstance(error.orig, sqlite3.Error):
        return getattr(error.orig, "sqlite_errorcode", sqlite3.SQLITE_ERROR) & 0xFF in _SQLITE_OUT_OF_REACH
    return isinstance(error, OperationalError | InterfaceError) or getattr(error.orig, "sqlstate", "") in _PASSING
