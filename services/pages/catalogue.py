"""The catalogue: loss terms with their plots."""

from __future__ import annotations

import itertools

from fastapi import APIRouter, Request, Response

from services.access.principal import MissingError
from services.api.service import Here
from services.pages.rendering import page
from services.pages.visiting import PageRoute, Visitor

routes = APIRouter(prefix="/terms", route_class=PageRoute, include_in_schema=False)


@routes.get("")
def list_terms(request: Request, service: Here, who: Visitor) -> Response:
    """All loss terms, by what they are for."""
    families = {
        family: list(members)
        for family, members in itertools.groupby(service.catalogue.terms(), key=lambda one: str(one["family"]))
    }
    return page(request, "terms.html", who, families=families)


@routes.get("/{name}")
def show_term(name: str, request: Request, service: Here, who: Visitor) -> Response:
    """One loss term, with its curves."""
    for term in service.catalogue.terms():
        if term["name"] == name:
            return page(request, "term.html", who, term=term)
    raise MissingError(f"there is no term {name[:80]!r}")
