"""Searches: asked for, cancelled, continued, deleted."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from typing import Any

from sqlalchemy import Connection, delete, select

from losssearch.errors import OptionError, UnknownNameError
from losssearch.request.remote import remote_request
from services import queue, schema
from services.access import audit, quotas
from services.access.people import find_team
from services.access.principal import ConflictError, Principal
from services.reading.datasets import dataset_schema, find_dataset
from services.reading.searches import find_search

READY = "ready"

_CUT = re.compile(r"\s*(>=|<=|>|<)\s*[-+]?\d+(\.\d*)?([eE][-+]?\d+)?$")
"""The end of a sensitive column that is cut at a number, such as ``age>=25``; `losssearch.data.groups` reads it."""


def create_search(
    connection: Connection, who: Principal, *, dataset: str, name: str, request: Mapping[str, Any], key: str | None
) -> str:
    """Ask for a search and return its id; that of the first one where its idempotency key came before.

    Args:
        connection: a transaction.
        who: who asks.
        dataset: the id of a dataset of the team.
        name: what people call the search.
        request: options of a search by name; see `losssearch.request.remote`.
        key: the idempotency key, or None.

    Raises:
        OptionError: an option cannot be used, or names a column that the dataset does not have.
        MissingError: there is no such dataset.
        ConflictError: the dataset is not ready.
        ForbiddenError: a quota is used up.
    """
    digest = hashlib.sha256(json.dumps([dataset, name, request], sort_keys=True).encode()).hexdigest()
    if key is not None and _came_before(connection, who, key):
        return _submit(connection, who, dataset, name, dict(request), key, digest)
    checked = checked_request(connection, who, dataset, request)
    quotas.require_place(connection, who.team)
    quotas.require_bytes(connection, who.team, 0)
    made = _submit(connection, who, dataset, name, checked, key, digest)
    audit.record(connection, who, "search.create", made, name=name, dataset=dataset)
    return made


def checked_request(connection: Connection, who: Principal, dataset: str, request: Mapping[str, Any]) -> dict[str, Any]:
    """The request, seen to be one that this team may ask of this dataset; with the team's seconds where it has none."""
    remote_request(request, quotas.request_limits(connection, who.team))
    if find_dataset(connection, who, dataset)["state"] != READY:
        raise ConflictError("a dataset must be ready before it is searched, this one is not: upload its content")
    columns = [column["name"] for column in (dataset_schema(connection, who, dataset) or {}).get("columns", [])]
    target = request.get("target")
    if not target:
        raise OptionError("target must name a column")
    for option in ("target", "sensitive", "drop", "group", "time", "split", "weight", "exposure", "query"):
        named = request.get(option) or []
        for column in [named] if isinstance(named, str) else named:
            if option == "sensitive" and _CUT.sub("", str(column)) in columns:
                continue
            if column not in columns:
                raise OptionError(f"{option}: {UnknownNameError('column', str(column), columns)}")
    return quotas.within_seconds(connection, who.team, dict(request))


def cancel_search(connection: Connection, who: Principal, search: str, *, tracked: bool) -> str:
    """Ask for the end of a search; its state now. ``tracked``: it may have a run in MLflow, which a worker ends."""
    find_search(connection, who, search)
    state = queue.cancel(connection, search, tracked=tracked)
    audit.record(connection, who, "search.cancel", search, state=state)
    return state


def resume_search(
    connection: Connection, who: Principal, search: str, *, trials: int | None, time_budget: float | None
) -> None:
    """Let a search that has ended continue, with more trials or more seconds where they are given.

    Raises:
        OptionError: there would be more trials or seconds than may be.
        ConflictError: there would be fewer trials than there were asked for.
        StateError: it has not ended.
        ForbiddenError: a quota is used up.
    """
    request = dict(find_search(connection, who, search)["request"])
    if trials is not None:
        if trials < (request.get("trials") or 0):
            raise ConflictError(f"trials must be at least the {request['trials']} of the search so far, got {trials}")
        request["trials"] = trials
    if time_budget is not None:
        request["time_budget"] = time_budget
    remote_request(request, quotas.request_limits(connection, who.team))
    quotas.require_place(connection, who.team)
    quotas.require_bytes(connection, who.team, 0)
    queue.requeue(connection, search, request=request)
    audit.record(connection, who, "search.resume", search, trials=trials, time_budget=time_budget)


def delete_search(connection: Connection, who: Principal, search: str, *, tracked: bool) -> None:
    """Delete the row and the events of a search that has ended; its folder and its study are the caller's to delete.

    Args:
        connection: a transaction.
        who: who asks.
        search: its id.
        tracked: whether it may have runs in MLflow, which a worker then deletes.

    Raises:
        ConflictError: it has not ended.
    """
    state = find_search(connection, who, search)["state"]
    ended = (schema.search.c.id == search) & schema.search.c.state.in_(schema.TERMINAL)
    connection.execute(
        delete(schema.event).where(schema.event.c.search_id.in_(select(schema.search.c.id).where(ended)))
    )
    connection.execute(delete(schema.sync).where(schema.sync.c.search_id.in_(select(schema.search.c.id).where(ended))))
    if not connection.execute(delete(schema.search).where(ended)).rowcount:
        raise ConflictError(f"a search is deleted after its end, this one is {state}: cancel it first")
    if tracked:
        queue.discard(connection, search, f"losssearch/{find_team(connection, who.team)['name']}")
    audit.record(connection, who, "search.delete", search)


def _came_before(connection: Connection, who: Principal, key: str) -> bool:
    mine = (schema.search.c.owner_id == who.user) & (schema.search.c.idempotency_key == key)
    return connection.execute(select(schema.search.c.id).where(mine)).first() is not None


def _submit(
    connection: Connection,
    who: Principal,
    dataset: str,
    name: str,
    request: dict[str, Any],
    key: str | None,
    digest: str,
) -> str:
    return queue.submit(
        connection,
        team=who.team,
        owner=who.user,
        dataset=dataset,
        name=name,
        request=request,
        idempotency_key=key,
        idempotency_digest=None if key is None else digest,
    )
