"""What the holder of a search writes: signs of life and progress, its end, or that others may have it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from sqlalchemy import Connection, RowMapping, select, update

from losssearch.storage.engine import Database
from services import events
from services.database import now
from services.events import Event
from services.queue.claiming import Claim
from services.queue.errors import LeaseLostError, NoSearchError
from services.queue.rows import change, locked
from services.queue.syncing import miss
from services.queue.timing import LEASE, RETRIES
from services.schema import ACTIVE, CANCELLED, FAILED, QUEUED, TERMINAL, search


@dataclass(frozen=True)
class Progress:
    """How far a search has come; None for what is not known anew."""

    stage: str | None = None
    done: int | None = None
    total: int | None = None
    best: float | None = None
    mlflow_run: str | None = None
    bytes: int | None = None


@dataclass(frozen=True)
class Beat:
    """The answer to a sign of life: whether the search is to be cancelled."""

    cancel: bool


def beat(
    database: Database,
    claim: Claim,
    progress: Progress | None = None,
    told: Sequence[Event] = (),
    *,
    lease: float = LEASE,
    patient: bool = True,
) -> Beat:
    """Renew the lease, and write progress and events in the same transaction.

    Raises:
        LeaseLostError: the search is another's.
        ConnectionLostError: the database cannot be reached; ``patient`` off gives up after a moment.
    """

    def work(connection: Connection) -> Beat:
        row = _held(connection, claim)
        until: dict[str, Any] = {"lease_until": now(connection) + lease}
        if events.write(connection, claim.search, told):
            until["lost"] = 0  # who comes further is no victim of a fault that kills every worker
        known = {} if progress is None else asdict(progress)
        changed = {name: value for name, value in known.items() if value is not None and value != row[name]}
        if changed:
            change(connection, row, **changed, **until)
        else:
            connection.execute(update(search).where(search.c.id == claim.search).values(until))
        return Beat(bool(row["cancel"]))

    return database.run(work, patient=patient)


def finish(
    database: Database,
    claim: Claim,
    state: str,
    exit_code: int | None,
    message: str = "",
    summary: Mapping[str, Any] | None = None,
    *,
    untracked: str | None = None,
) -> None:
    """End a search in a terminal ``state``. Calling it again changes nothing.

    ``untracked`` says why MLflow misses something of it, and lets it be told again; None where it misses nothing.

    Raises:
        LeaseLostError: the search is another's.
    """
    if state not in TERMINAL:
        raise ValueError(f"a search ends as one of {', '.join(sorted(TERMINAL))}, got {state!r}")

    def work(connection: Connection, row: RowMapping) -> str:
        kept = {} if summary is None else {"summary": dict(summary)}
        _end(connection, row, state, exit_code, message, **kept)
        if untracked is not None:
            miss(connection, claim.search, untracked)
        return state

    _once(database, claim, work)


def give_back(database: Database, claim: Claim, *, untracked: str | None = None) -> str:
    """Let another worker continue, and return the state: one that is to be cancelled ends. See `finish`."""

    def work(connection: Connection, row: RowMapping) -> str:
        if row["cancel"]:
            _end(connection, row, CANCELLED, None, "")
            if untracked is not None:
                miss(connection, claim.search, untracked)
            return CANCELLED
        change(connection, row, state=QUEUED, lease_until=None, not_before=now(connection))
        return QUEUED

    return _once(database, claim, work)


def retry_later(
    database: Database,
    claim: Claim,
    message: str,
    exit_code: int | None = None,
    *,
    waits: Sequence[float] = RETRIES,
    untracked: str | None = None,
) -> str:
    """Let it be tried again after a while, and return the state; failed after as many times as there are waits.

    See `finish`.
    """

    def work(connection: Connection, row: RowMapping) -> str:
        tries = row["tries"]
        ended = CANCELLED if row["cancel"] else FAILED if tries >= len(waits) else None
        if ended is not None:
            _end(connection, row, ended, exit_code, message)
            if untracked is not None:
                miss(connection, claim.search, untracked)
            return ended
        later = now(connection) + waits[tries]
        change(
            connection,
            row,
            state=QUEUED,
            lease_until=None,
            not_before=later,
            tries=tries + 1,
            exit_code=exit_code,
            message=message,
        )
        return QUEUED

    return _once(database, claim, work)


def watch(database: Database, claims: Sequence[Claim], *, patient: bool = True) -> dict[str, Beat | None]:
    """For each search of ``claims`` whether it is to be cancelled, in one read; None where it is another's."""

    def work(connection: Connection) -> dict[str, Beat | None]:
        wanted = [claim.search for claim in claims]
        columns = (search.c.id, search.c.attempt, search.c.holder, search.c.state, search.c.cancel)
        found = {row.id: row for row in connection.execute(select(*columns).where(search.c.id.in_(wanted)))}
        answer: dict[str, Beat | None] = {}
        for claim in claims:
            row = found.get(claim.search)
            held = row is not None and (row.attempt, row.holder) == (claim.attempt, claim.holder)
            answer[claim.search] = Beat(bool(row.cancel)) if row is not None and held else None
        return answer

    return database.run(work, reads=True, patient=patient) if claims else {}


def _end(
    connection: Connection, row: RowMapping, state: str, exit_code: int | None, message: str, **further: Any
) -> None:
    # The holder stays, so that the same call after a lost answer finds that it was done.
    change(
        connection,
        row,
        state=state,
        exit_code=exit_code,
        message=message,
        ended=now(connection),
        lease_until=None,
        **further,
    )


def _once(database: Database, claim: Claim, work: Callable[[Connection, RowMapping], str]) -> str:
    """Run ``work`` on the row of a claim, unless that was done and only the answer was lost."""

    def guarded(connection: Connection) -> str:
        row = _ours(connection, claim)
        return work(connection, row) if row["state"] in ACTIVE else str(row["state"])

    return database.run(guarded)


def _held(connection: Connection, claim: Claim) -> RowMapping:
    row = _ours(connection, claim)
    if row["state"] not in ACTIVE:
        raise _lost(claim, f"it is {row['state']}")
    return row


def _ours(connection: Connection, claim: Claim) -> RowMapping:
    try:
        row = locked(connection, claim.search)
    except NoSearchError:
        raise _lost(claim, "it was deleted") from None
    if (row["attempt"], row["holder"]) != (claim.attempt, claim.holder):
        raise _lost(claim, f"attempt {row['attempt']} is another's")
    return row


def _lost(claim: Claim, why: str) -> LeaseLostError:
    return LeaseLostError(f"only who holds a search may write to it, attempt {claim.attempt} of {claim.search}: {why}")
