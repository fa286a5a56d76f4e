"""``/v1/terms``, ``/v1/metrics`` and ``/v1/spaces``: what losssearch knows."""

from __future__ import annotations

import base64
from typing import Annotated, Any

from fastapi import APIRouter, Path, Response

from losssearch.errors import OptionError
from services.access.principal import MissingError
from services.api import answers
from services.api.bodies import SampleOf, SpaceText
from services.api.guard import Reader
from services.api.problems import documented
from services.api.service import Here

routes = APIRouter(prefix="/v1", tags=["catalogue"])

Name = Annotated[str, Path(pattern=r"^[A-Za-z0-9_-]{1,100}$", description="A name.")]

_SVG = {"content": {"image/svg+xml": {"schema": {"type": "string"}}}, "description": "The picture."}

DRAWN = "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'"
"""Content security policy of a picture: SVG has styles inside, and may have no script."""


@routes.get("/terms")
def list_terms(service: Here, who: Reader) -> list[dict[str, Any]]:
    """All loss terms, with what they read, what may be tuned, and their reference."""
    del who
    return service.catalogue.terms()


@routes.get("/terms/{name}", responses=documented(404))
def show_term(name: Name, service: Here, who: Reader) -> dict[str, Any]:
    """One loss term."""
    del who
    return _named(service.catalogue.terms(), "term", name)


@routes.get("/terms/{name}/plot.svg", responses={**documented(404), 200: _SVG}, response_class=Response)
def plot_term(name: Name, service: Here, who: Reader) -> Response:
    """Value and gradient of a term as curves."""
    del who
    content = base64.b64decode(service.catalogue.plot(name))
    headers = {"Content-Security-Policy": DRAWN, "Cache-Control": "private, max-age=86400"}
    return Response(content, media_type="image/svg+xml", headers=headers)


@routes.get("/metrics")
def list_metrics(service: Here, who: Reader) -> list[dict[str, Any]]:
    """The metrics of each kind of task, with direction, unit, and a line on each."""
    del who
    return service.catalogue.metrics()


@routes.get("/spaces")
def list_spaces(service: Here, who: Reader) -> list[dict[str, Any]]:
    """The search spaces that come with losssearch."""
    del who
    return service.catalogue.spaces()


@routes.get("/spaces/{name}", responses=documented(404))
def show_space(name: Name, service: Here, who: Reader) -> dict[str, Any]:
    """One search space."""
    del who
    return _named(service.catalogue.spaces(), "space", name)


@routes.post("/spaces/check")
def check_space(body: SpaceText, service: Here, who: Reader) -> answers.SpaceCheck:
    """Every rule that the YAML text of a space breaks."""
    del who
    problems = service.catalogue.check(body.text)
    return answers.SpaceCheck(ok=not problems, problems=problems)


@routes.post("/spaces/sample", responses=documented(404))
def sample_space(body: SampleOf, service: Here, who: Reader) -> list[answers.Sampled]:
    """Losses drawn from a space at random, as a search would draw them."""
    del who
    if (body.name is None) == (body.text is None):
        raise OptionError("a space must be given either by name or as text")
    found = service.catalogue.sample(body.count, body.seed, name=body.name, text=body.text)
    return [answers.Sampled.model_validate(one) for one in found]


def _named(every: list[dict[str, Any]], what: str, name: str) -> dict[str, Any]:
    for one in every:
        if one["name"] == name:
            return one
    raise MissingError(f"there is no {what} {name!r}")
