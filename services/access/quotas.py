"""What a team may still do: searches that wait, trials and seconds of a search, datasets, and bytes of all of them."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Connection, func, select

from losssearch.request.remote import Limits
from services import schema
from services.access.people import find_team
from services.access.principal import ForbiddenError


def request_limits(connection: Connection, team: str) -> Limits:
    """The most that a search of ``team`` may ask for."""
    row = find_team(connection, team)
    usual = Limits()
    return Limits(
        trials=max(2, min(usual.trials, row["max_trials"])), time_budget=min(usual.time_budget, row["max_seconds"])
    )


def within_seconds(connection: Connection, team: str, request: dict[str, Any]) -> dict[str, Any]:
    """The request with the team's seconds as its time budget, where it has none and the team has fewer than a day.

    With a day or more a study is not planned by the clock, as it is on one's own machine; its worker interrupts it once
    the seconds are over.
    """
    most = find_team(connection, team)["max_seconds"]
    if request.get("time_budget") is None and most < Limits().time_budget:
        return {**request, "time_budget": most}
    return request


def require_place(connection: Connection, team: str) -> None:
    """Raise `ForbiddenError` if as many searches of ``team`` wait as may.

    The team's row is locked, so that two requests are counted one after the other.
    """
    most = connection.execute(
        select(schema.team.c.max_queued).where(schema.team.c.id == team).with_for_update()
    ).scalar_one()
    waiting = (schema.search.c.team_id == team) & (schema.search.c.state == schema.QUEUED)
    count = connection.execute(select(func.count()).select_from(schema.search).where(waiting)).scalar_one()
    if count >= most:
        raise ForbiddenError(f"a team may have {most} searches that wait, yours has {count}: cancel one, or wait")


def require_bytes(connection: Connection, team: str, size: int) -> None:
    """Raise `ForbiddenError` if ``size`` more bytes are too many for the datasets and searches of ``team``."""
    most = connection.execute(
        select(schema.team.c.max_bytes).where(schema.team.c.id == team).with_for_update()
    ).scalar_one()
    held = select(func.coalesce(func.sum(schema.dataset.c.bytes), 0)).where(schema.dataset.c.team_id == team)
    found = select(func.coalesce(func.sum(schema.search.c.bytes), 0)).where(schema.search.c.team_id == team)
    datasets, searches = (int(connection.execute(chosen).scalar_one()) for chosen in (held, found))
    if datasets + searches + size > most:
        asked = f" and this has {size:,}" if size else ""
        raise ForbiddenError(
            f"datasets and searches of a team may take {most:,} bytes, your datasets take {datasets:,}, your searches "
            f"{searches:,}{asked}: delete some"
        )


def require_dataset(connection: Connection, team: str) -> None:
    """Raise `ForbiddenError` if ``team`` has as many datasets as it may, with content or without."""
    most = connection.execute(
        select(schema.team.c.max_datasets).where(schema.team.c.id == team).with_for_update()
    ).scalar_one()
    mine = schema.dataset.c.team_id == team
    count = connection.execute(select(func.count()).select_from(schema.dataset).where(mine)).scalar_one()
    if count >= most:
        raise ForbiddenError(f"a team may have {most} datasets, yours has {count}: delete one")
