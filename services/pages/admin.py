"""For admins: users, teams and their quotas, workers seen, the audit log."""

from __future__ import annotations

from typing import Annotated, Any, TypeVar

from fastapi import APIRouter, Depends, Query, Request, Response
from pydantic import BaseModel, ValidationError
from sqlalchemy import Connection

from losssearch.errors import InputError, LossSearchError, shown
from services.access import audit, people, tokens
from services.access.principal import ForbiddenError, Principal
from services.api.bodies import WHOLE, Identifier, NewTeam, NewUser, TeamChange, UserChange
from services.api.service import Here, Service
from services.pages.rendering import page
from services.pages.visiting import Form, PageRoute, Poster, Visitor, described, see, text_of
from services.reading import people as reading

routes = APIRouter(prefix="/admin", route_class=PageRoute, include_in_schema=False)

QUOTAS = {
    "max_running": "searches that run at once",
    "max_queued": "searches that wait",
    "max_trials": "trials of a search",
    "max_seconds": "seconds of a search",
    "max_bytes": "bytes of all datasets and searches",
    "max_datasets": "datasets",
    "max_tokens": "valid tokens of a user",
}
"""Quotas of a team in words."""

Body = TypeVar("Body", bound=BaseModel)

ENTRIES = 100


def _admin(who: Visitor) -> Principal:
    if not who.may("admin"):
        raise ForbiddenError("this page is for admins")
    return who


def _changing_admin(who: Poster) -> Principal:
    return _admin(who)


Admin = Annotated[Principal, Depends(_admin)]
ChangingAdmin = Annotated[Principal, Depends(_changing_admin)]


@routes.get("")
def overview(request: Request, service: Here, who: Admin) -> Response:
    """Users, teams and workers."""
    return _shown(request, service, who)


@routes.get("/audit")
def audit_log(
    request: Request, service: Here, who: Admin, before: Annotated[int | None, Query(ge=0, le=WHOLE)] = None
) -> Response:
    """Who changed what."""
    found = service.read(lambda c: reading.list_audit(c, before=before, limit=ENTRIES))
    return page(request, "audit.html", who, found=found)


@routes.post("/users")
def create_user(request: Request, service: Here, who: ChangingAdmin, form: Form) -> Response:
    """Make a user."""
    given = {name: text_of(form, name) for name in ("name", "team_id", "role")} | {"password": form.get("password", "")}

    def make(connection: Connection) -> None:
        body = _read(NewUser, given)
        made = people.create_user(connection, body.name, body.team_id, role=body.role, password=body.password)
        audit.record(connection, who, "user.create", made, name=body.name, team=body.team_id, role=body.role)

    return _change(request, service, who, make)


@routes.post("/users/{user}")
def change_user(user: Identifier, request: Request, service: Here, who: ChangingAdmin, form: Form) -> Response:
    """Change a user's role, team or password, or keep the user out; the user is then logged out."""
    given: dict[str, Any] = {name: text_of(form, name) for name in ("role", "team_id") if text_of(form, name)}
    given["disabled"] = text_of(form, "disabled") == "yes"
    given["revoke_tokens"] = text_of(form, "revoke_tokens") == "yes" or None
    if form.get("password"):
        given["password"] = form.get("password")

    def change(connection: Connection) -> None:
        changes = _read(UserChange, given).model_dump(exclude_none=True)
        kept = people.find_user(connection, user)
        always = ("password", "revoke_tokens")
        changes = {name: value for name, value in changes.items() if name in always or kept[name] != value}
        if changes:
            people.change_user(connection, user, changes)
            told = changes | ({"password": "changed"} if "password" in changes else {})
            audit.record(connection, who, "user.change", user, **told)

    return _change(request, service, who, change)


@routes.get("/users/{user}/tokens")
def list_tokens(user: Identifier, request: Request, service: Here, who: Admin) -> Response:
    """The tokens of a user, to revoke them."""
    found = service.read(lambda c: (people.find_user(c, user), reading.list_tokens(c, user)))
    return page(request, "user_tokens.html", who, user=found[0], tokens=found[1])


@routes.post("/users/{user}/tokens/{token}/revoke")
def revoke_token(user: Identifier, token: Identifier, service: Here, who: ChangingAdmin) -> Response:
    """End a token of a user, at once."""

    def revoke(connection: Connection) -> None:
        tokens.revoke(connection, who, token, user=user)
        audit.record(connection, who, "token.revoke", token, user=user)

    service.write(revoke)
    return see(f"/admin/users/{user}/tokens?said=revoked")


@routes.post("/teams")
def create_team(request: Request, service: Here, who: ChangingAdmin, form: Form) -> Response:
    """Make a team."""

    def make(connection: Connection) -> None:
        body = _read(NewTeam, {"name": text_of(form, "name"), **_quotas(form)})
        quotas = people.Quotas(**body.model_dump(exclude_none=True, exclude={"name"}))
        made = people.create_team(connection, body.name, quotas)
        audit.record(connection, who, "team.create", made, name=body.name)

    return _change(request, service, who, make)


@routes.post("/teams/{team}")
def change_team(team: Identifier, request: Request, service: Here, who: ChangingAdmin, form: Form) -> Response:
    """Change quotas of a team."""

    def change(connection: Connection) -> None:
        changes = _read(TeamChange, _quotas(form)).model_dump(exclude_none=True)
        people.change_team(connection, team, changes)
        audit.record(connection, who, "team.change", team, **changes)

    return _change(request, service, who, change)


def _change(request: Request, service: Service, who: Principal, work: Any) -> Response:
    try:
        service.write(work)
    except LossSearchError as error:
        status, problem = described(error)
        return _shown(request, service, who, status, problem)
    return see("/admin?said=saved")


def _shown(
    request: Request, service: Service, who: Principal, status: int = 200, problem: str | None = None
) -> Response:
    facts = {
        "users": service.read(reading.list_users),
        "teams": service.read(reading.list_teams),
        "workers": service.read(reading.list_workers),
        "quotas": QUOTAS,
        "usual": people.Quotas(),
        "problem": problem,
    }
    return page(request, "admin.html", who, status=status, **facts)


def _quotas(form: Form) -> dict[str, int | str]:
    """The numbers of a form; what is none stays text, which the check of the body refuses."""
    given = {name: text.replace(",", "") for name in QUOTAS if (text := text_of(form, name))}
    return {name: int(text) if text.isdecimal() and len(text) < 20 else text for name, text in given.items()}


def _read(kind: type[Body], given: dict[str, Any]) -> Body:
    """The fields of a form as the API's body; its first fault is raised in a line."""
    try:
        return kind.model_validate(given)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        got = "" if where == "password" else f", got {shown(first.get('input'))}"
        raise InputError(f"{where}: {first['msg']}{got}") from None
