"""Pages of events as the JSON that clients get, written from the rows without reading their content."""

from __future__ import annotations

import json
import math
from typing import Any

from sqlalchemy import Connection, Text, bindparam, cast, select

from losssearch.storage import codec
from services.schema import event

_FOLLOWING = (
    select(event.c.id, event.c.kind, event.c.trial, event.c.at, cast(event.c.data, Text))
    .where((event.c.search_id == bindparam("search")) & (event.c.id > bindparam("after")))
    .order_by(event.c.id)
    .limit(bindparam("limit"))
)


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
