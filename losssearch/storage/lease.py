"""Which process drives a study: its identity, and how its lease is acquired, renewed and lost."""

from __future__ import annotations

import os
import re
import socket
import uuid
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from time import time

from sqlalchemy import Connection, RowMapping, delete, select, text, update

from losssearch.errors import ConnectionLostError, StudyHeldError
from losssearch.option_names import option
from losssearch.storage.schema import lease

STALE_AFTER = 60.0
"""Seconds without a heartbeat after which another driver may take a study over."""

HEARTBEAT = 10.0
"""Seconds between two heartbeats."""


@dataclass(frozen=True)
class Process:
    """One process, told apart from a later one with the same pid by its start.

    ``place`` names the kernel and pid namespace in which ``pid`` means something: two containers may share
    a host name, and then a pid of the one says nothing in the other.
    """

    host: str
    place: str
    pid: int
    started: str


def this_process() -> Process:
    """The identity of the calling process."""
    return Process(socket.gethostname(), _place(), os.getpid(), _started(os.getpid()))


@dataclass(frozen=True)
class Job:
    """The job that a driver works for, whose next attempt may take the study from it at once.

    Not for users: whoever sets it makes sure that only the newest attempt of a job is to continue, as a queue of jobs
    does.

    Args:
        token: tells jobs apart; the drivers of all attempts of one job have the same.
        attempt: a driver is not taken over from by an earlier attempt, which may have stood still.
        tracks_later: whether the queue tells the tracking store afterwards what it missed
            (`losssearch.assembly.sync.sync`): a study then begins without one that does not answer.
    """

    token: str
    attempt: int = 0
    tracks_later: bool = False

    def __post_init__(self) -> None:
        if not re.fullmatch(r"[\w.-]{1,100}", self.token):
            raise ValueError(f"a job's token must be 1 to 100 letters, digits, '.', '_' or '-', got {self.token!r:.80}")

    def follows(self, holder: str) -> bool:
        """Whether ``holder`` works for this job, in this attempt or an earlier one."""
        found = _OF_A_JOB.fullmatch(holder)
        return found is not None and found[1] == self.token and int(found[2]) <= self.attempt


_OF_A_JOB = re.compile(r"([\w.-]+)#(\d+)/.*")


_given_up: set[tuple[str, str]] = set()
"""Holders of this process that drive no more, though their lease may stand where it could not be deleted."""


def give_up(study: str, holder: str) -> None:
    """Say that ``holder`` drives the study no more, before it tries to delete its lease: the disk may be full."""
    _given_up.add((study, holder))


def acquire(connection: Connection, study: str, holder: str, job: Job | None = None) -> bool:
    """Enter ``holder`` as the driver of ``study`` where nobody else is alive; whether a dead driver left its lease.

    A driver that ends by itself, be it by an error or because it was asked to, releases its lease; one that was killed
    does not. One that works for an earlier attempt of ``job`` counts as dead.

    The caller's transaction must hold the study's row, so that two drivers come here one after the other.

    Raises:
        StudyHeldError: a live driver holds the study.
    """
    now = _now(connection)
    row = connection.execute(select(lease).where(lease.c.study == study)).mappings().first()
    polite = row is not None and (study, row["holder"]) in _given_up
    _given_up.discard((study, holder))
    if row is not None:
        _refuse(row, now, holder, job)
    process = this_process()
    values = {
        "holder": holder,
        "host": process.host,
        "place": process.place,
        "pid": process.pid,
        "started": process.started,
        "heartbeat": now,
    }
    if row is None:
        connection.execute(lease.insert().values(study=study, **values))
    else:
        connection.execute(update(lease).where(lease.c.study == study).values(values))
    return row is not None and row["holder"] != holder and not polite


def renew(connection: Connection, study: str, holder: str) -> None:
    """Write a sign of life.

    Raises:
        ConnectionLostError: another driver has taken the study over.
    """
    mine = (lease.c.study == study) & (lease.c.holder == holder)
    if connection.execute(update(lease).where(mine).values(heartbeat=_now(connection))).rowcount == 0:
        raise ConnectionLostError(
            f"only its driver may write to a study, {study!r} was taken over by another driver: after "
            f"{STALE_AFTER:.0f} s without a sign of life from this one, or by the next attempt of the same job"
        )


def refuse_held(connection: Connection, study: str, holder: str = "", job: Job | None = None) -> None:
    """Raise `StudyHeldError` if a live driver other than ``holder`` has a study that ``job`` may not take from it."""
    row = connection.execute(select(lease).where(lease.c.study == study)).mappings().first()
    if row is not None:
        _refuse(row, _now(connection), holder, job)


def refuse_any(connection: Connection) -> None:
    """Raise `StudyHeldError` if any study of the store has a live driver."""
    now = _now(connection)
    for row in connection.execute(select(lease)).mappings().all():
        _refuse(row, now)


def release(connection: Connection, study: str, holder: str) -> None:
    """End the lease where ``holder`` still has it."""
    connection.execute(delete(lease).where((lease.c.study == study) & (lease.c.holder == holder)))


def new_holder(job: Job | None = None) -> str:
    """A name for one holder, unlike any other, which tells the job that it works for."""
    name = uuid.uuid4().hex
    return name if job is None else f"{job.token}#{job.attempt}/{name}"


def _refuse(row: RowMapping, now: float, holder: str = "", job: Job | None = None) -> None:
    """Raise `StudyHeldError` if the lease is that of a live driver other than ``holder``, and not ``job``'s to take."""
    study, found = row["study"], row["holder"]
    if found == holder or (study, found) in _given_up or not _alive(row, now) or (job and job.follows(found)):
        return
    raise StudyHeldError(
        f"a study has one driver at a time, {study!r} is driven by process {row['pid']} on {row['host']} "
        f"(last sign of life {max(0.0, now - row['heartbeat']):.0f} s ago): "
        f"stop it or wait {STALE_AFTER:.0f} s after its end, or give another {option('study')}"
    )


def _alive(row: RowMapping, now: float) -> bool:
    if row["place"] == _place() and row["started"] != _started(row["pid"]):
        return False
    return bool(now - row["heartbeat"] <= STALE_AFTER)


def _now(connection: Connection) -> float:
    # Drivers on several hosts compare one clock, the server's; an SQLite file has one host.
    if connection.dialect.name == "postgresql":
        return float(connection.execute(text("SELECT extract(epoch FROM clock_timestamp())")).scalar_one())
    return time()


@cache
def _place() -> str:
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
        return f"{boot}/{os.readlink('/proc/self/ns/pid')}"
    except OSError:
        return socket.gethostname()


def _started(pid: int) -> str:
    """When a process started, in the kernel's ticks; "dead" where there is none, "alive" where nothing tells."""
    try:
        # The second field is the program's name in brackets and may hold spaces; the 22nd is the start.
        fields = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace").rpartition(")")[2].split()
    except OSError:
        return _signalled(pid)
    return "dead" if fields[0] in "ZX" else fields[19]


def _signalled(pid: int) -> str:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return "dead"
    except PermissionError:
        pass
    return "alive"
