"""Trials counted, ranked and read a page at a time by the database, which need not hand over all of them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeVar

from sqlalchemy import Connection, Select, Text, bindparam, cast, func, select

from losssearch.storage import schema
from losssearch.storage.records import TrialRecord, TrialState
from losssearch.storage.viewed import Unread, Viewed

V = TypeVar("V")

_NUMBERS_A_CALL = 500

# What the service asks all the time is made once; a body is text there, since most rows need not be read again.
_OF_STUDY = schema.trial.c.study == bindparam("study")
_ROWS = (
    select(*(cast(one, Text).label(one.name) if one.name == "body" else one for one in schema.trial.columns))
    .where(_OF_STUDY)
    .limit(bindparam("limit"))
)
_FOLLOWING = _ROWS.where(schema.trial.c.number > bindparam("after")).order_by(schema.trial.c.number)
_RANKED = _ROWS.where((schema.trial.c.state == TrialState.COMPLETED.value) & schema.trial.c.value.is_not(None))
_BEST = _RANKED.order_by(schema.trial.c.value.desc(), schema.trial.c.number)
_LEAST = _RANKED.order_by(schema.trial.c.value, schema.trial.c.number)
_COUNTS = select(schema.trial.c.state, func.count()).where(_OF_STUDY).group_by(schema.trial.c.state)


def read(
    connection: Connection,
    version: int,
    study: str,
    numbers: Sequence[int] | None,
    *,
    after: int | None,
    limit: int | None,
    must: bool,
) -> list[TrialRecord]:
    """The trials of a study by number: all of them, a page of ``limit`` that follow ``after``, or those of ``numbers``.

    ``must`` as in `schema.trial_record`.
    """
    found = _of(study, version).order_by(schema.trial.c.number)
    if after is not None:
        found = found.where(schema.trial.c.number > after)
    if numbers is None:
        return _records(connection, found.limit(limit), must)
    records = []
    wanted = sorted(set(numbers))
    for first in range(0, len(wanted), _NUMBERS_A_CALL):
        some = found.where(schema.trial.c.number.in_(wanted[first : first + _NUMBERS_A_CALL]))
        records += _records(connection, some, must)
    return records if limit is None else records[:limit]


def top(connection: Connection, version: int, study: str, n: int, *, maximize: bool, must: bool) -> list[TrialRecord]:
    """The ``n`` completed trials with the best values, the best first and of equal ones the earlier first."""
    found = _of(study, version).where(schema.trial.c.state == TrialState.COMPLETED.value)
    if version == 1:  # which has no column to rank by
        records = [one for one in _records(connection, found, must) if schema.ranked(one.value) is not None]
        return sorted(records, key=lambda one: (-(one.value or 0) if maximize else one.value, one.number))[:n]
    value = schema.trial.c.value
    ordered = found.where(value.is_not(None)).order_by(value.desc() if maximize else value, schema.trial.c.number)
    return _records(connection, ordered.limit(n), must)


def page(
    connection: Connection,
    study: str,
    viewed: Viewed[V],
    *,
    after: int,
    limit: int,
    maximize: bool | None,
    must: Callable[[], bool],
) -> list[V | Unread]:
    """The trials that `read` gives after a number, or `top` where ``maximize`` is not None, as views."""
    asked = {"study": study, "limit": limit}
    if maximize is None:
        rows = connection.execute(_FOLLOWING, asked | {"after": after})
    else:
        rows = connection.execute(_BEST if maximize else _LEAST, asked)
    return viewed.read(rows.all(), must)


def counts(connection: Connection, study: str) -> dict[TrialState, int]:
    """How many trials of a study are in each state."""
    found = connection.execute(_COUNTS, {"study": study})
    return dict.fromkeys(TrialState, 0) | {TrialState(name): count for name, count in found}


def _of(study: str, version: int) -> Select[tuple[object, ...]]:
    return select(*schema.columns_of(schema.trial, version)).where(schema.trial.c.study == study)


def _records(connection: Connection, found: Select[tuple[object, ...]], must: bool) -> list[TrialRecord]:
    # All rows first: one that cannot be read must not leave the database busy with the rest.
    return [schema.trial_record(row, must=must) for row in connection.execute(found).mappings().all()]
