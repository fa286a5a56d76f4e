"""Searches and pages of events as the JSON that clients get, written from the rows without reading their content."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from typing import Any

from sqlalchemy import Connection, RowMapping, Text, bindparam, cast, select

from losssearch.storage import codec
from services import schema
from services.access.principal import MissingError, Principal
from services.reading.cursor import paged
from services.reading.searches import of_team, plain_fields, those
from services.schema import event

_FOLLOWING = (
    select(event.c.id, event.c.kind, event.c.trial, event.c.at, cast(event.c.data, Text))
    .where((event.c.search_id == bindparam("search")) & (event.c.id > bindparam("after")))
    .order_by(event.c.id)
    .limit(bindparam("limit"))
)

_SEARCHES = of_team(as_text=True)
_SEARCH = _SEARCHES.where(schema.search.c.id == bindparam("search"))


def searches_json(
    connection: Connection, who: Principal, *, limit: int, cursor: str | None, state: str | None, mine: bool
) -> bytes:
    """What `services.reading.searches.list_searches` gives."""
    chosen = those(_SEARCHES, who, state=state, mine=mine)
    rows, following = paged(connection, chosen, schema.search, limit, cursor)
    return f'{{"items":[{",".join(map(_search, rows))}],"next":{json.dumps(following)}}}'.encode()


def search_json(connection: Connection, who: Principal, search: str) -> tuple[bytes, int]:
    """What `services.reading.searches.find_search` gives, and the search's revision."""
    row = connection.execute(_SEARCH, {"team": who.team, "search": search}).mappings().first()
    if row is None:
        raise MissingError(f"there is no search {search!r}")
    return _search(row).encode(), row["revision"]


def _search(row: Mapping[str, Any] | RowMapping) -> str:
    request, summary = _standard(row["request"]), "null" if row["summary"] is None else _standard(row["summary"])
    return f'{json.dumps(plain_fields(row), allow_nan=False)[:-1]},"request":{request},"summary":{summary}}}'


def events_json(connection: Connection, search: str, after: int, limit: int) -> bytes:
    """A page of events after number ``after`` in their order: ``items``, and ``next``, the number to ask after.

    What it holds is what `services.reading.searches.list_events` gives. The caller has seen that it may be read.
    """
    rows = connection.execute(_FOLLOWING, {"search": search, "after": after, "limit": limit}).all()
    items = (
        f'{{"id":{number},"kind":{json.dumps(kind)},"trial":{"null" if trial < 0 else trial},"at":{json.dumps(at)},'
        f'"data":{_standard(data)}}}'
        for number, kind, trial, at, data in rows
    )
    following = rows[-1][0] if rows else after
    return f'{{"items":[{",".join(items)}],"next":{following}}}'.encode()


def _standard(text: str) -> str:
    """Stored JSON as it is, or where it holds a number that is not finite, with null in its place."""
    if codec.MARK not in text:
        return text
    return json.dumps(_finite(codec.loads(text)))


def _finite(value: Any) -> Any:
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, dict):
        return {key: _finite(item) for key, item in value.items()}
    return [_finite(item) for item in value] if isinstance(value, list) else value
