"""Pages of a list: a cursor says after which row the next page begins."""

from __future__ import annotations

import re
from typing import Any

from sqlalchemy import Connection, Select, Table, tuple_

from losssearch.errors import OptionError

MOST = 200
"""Rows of a page, at the most."""

FORM = r"^[0-9]{1,12}(\.[0-9]{1,9})?-[0-9a-f]{32}$"
"""A cursor: the time and the identifier of the last row of a page."""


def paged(
    connection: Connection, chosen: Select[Any], table: Table, limit: int, cursor: str | None
) -> tuple[list[dict[str, Any]], str | None]:
    """The newest rows of ``chosen`` after ``cursor``, and the cursor of the next page; None on the last.

    Raises:
        OptionError: the cursor is none of ours.
    """
    if cursor is not None:
        chosen = chosen.where(tuple_(table.c.created, table.c.id) < tuple_(*_read(cursor)))
    ordered = chosen.order_by(table.c.created.desc(), table.c.id.desc()).limit(limit + 1)
    rows = [dict(row) for row in connection.execute(ordered).mappings()]
    more = len(rows) > limit
    rows = rows[:limit]
    return rows, _cursor(rows[-1]["created"], rows[-1]["id"]) if more else None


def _cursor(created: float, identifier: str) -> str:
    return f"{created!r}-{identifier}"


def _read(cursor: str) -> tuple[float, str]:
    if not re.fullmatch(FORM, cursor):
        raise OptionError("a cursor must be the `next` of a page, got something else")
    created, _, identifier = cursor.partition("-")
    return float(created), identifier
