"""``/v1/searches/{search}/trials``: the candidate losses that were tried, as they come."""

from __future__ import annotations

from typing import Annotated, Literal

from fastapi import APIRouter, Query, Response

from services.api import answers
from services.api.bodies import JSON, WHOLE, Identifier, Limit
from services.api.guard import Asks
from services.api.problems import documented
from services.api.service import Here
from services.reading.searches import require_search

routes = APIRouter(prefix="/v1/searches/{search}", tags=["results"])


@routes.get("/trials", responses=documented(404))
def list_trials(
    search: Identifier,
    asker: Asks,
    service: Here,
    sort: Annotated[
        Literal["number", "value"], Query(description="`value`: the best completed ones first.")
    ] = "number",
    after: Annotated[int, Query(ge=-1, le=WHOLE, description="With `number`: the number of the last one known.")] = -1,
    limit: Limit = 50,
) -> answers.Trials:
    """Trials, and how many are in each state."""
    asker.read(lambda connection, who: require_search(connection, who, search))
    # Written as `answers.Trials` says.
    found = service.artifacts.trials_json(search, sort=sort, after=after, limit=limit)
    return Response(found, media_type=JSON)  # type: ignore[return-value]
