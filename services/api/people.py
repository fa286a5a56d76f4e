"""``/v1/tokens``, and for admins ``/v1/users``, ``/v1/teams``, ``/v1/workers`` and ``/v1/audit``."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Query
from sqlalchemy import Connection

from services.access import audit, own_password, people, tokens
from services.access.principal import ForbiddenError, Principal
from services.api import answers
from services.api.bodies import (
    WHOLE,
    Identifier,
    Limit,
    NewTeam,
    NewToken,
    NewUser,
    OwnPassword,
    TeamChange,
    UserChange,
)
from services.api.guard import Admin, Reader, Writer
from services.api.problems import documented
from services.api.service import Here, Service
from services.reading import people as reading

routes = APIRouter(prefix="/v1", tags=["people"])


@routes.get("/tokens")
def list_tokens(service: Here, who: Reader) -> list[answers.Token]:
    """The tokens of who asks, without their secrets."""
    return [answers.Token.model_validate(one) for one in service.read(lambda c: reading.list_tokens(c, who.user))]


@routes.post("/tokens", status_code=201)
def create_token(body: NewToken, service: Here, who: Writer) -> answers.IssuedToken:
    """Make a token; its text is shown this once."""

    def make(connection: Connection) -> tokens.Issued:
        made = tokens.issue(connection, who, body.name, body.scope, body.seconds)
        audit.record(connection, who, "token.create", made.id, name=body.name, scope=body.scope)
        return made

    made = service.write(make)
    return answers.IssuedToken(id=made.id, token=made.secret)


@routes.delete("/tokens/{token}", status_code=204, responses=documented(404))
def revoke_token(token: Identifier, service: Here, who: Writer) -> None:
    """End a token, at once; an admin may end any of the team's."""

    def revoke(connection: Connection) -> None:
        tokens.revoke(connection, who, token)
        audit.record(connection, who, "token.revoke", token)

    service.write(revoke)


@routes.post("/password", status_code=204, responses=documented(409))
def change_password(body: OwnPassword, service: Here, who: Writer) -> None:
    """Change the password of who asks; all other sessions of the user end, and tokens where that is asked."""
    set_own_password(service, who, body.current, body.password, revoke_tokens=body.revoke_tokens)


def set_own_password(service: Service, who: Principal, current: str | None, fresh: str, *, revoke_tokens: bool) -> None:
    """Change a password; it is hashed and compared outside of any transaction.

    Raises:
        ForbiddenError: ``current`` is not the password.
        TooManyError: wrong ones were given too often.
        OptionError: ``fresh`` is too short or too long.
    """
    kept = service.read(lambda c: own_password.kept_of(c, who))
    try:
        made = own_password.set_own(kept, current, fresh)
    except ForbiddenError:
        service.write(lambda c: own_password.refuse(c, who))
        raise
    service.write(lambda c: own_password.change(c, who, kept, made, revoke_tokens=revoke_tokens))


@routes.get("/users")
def list_users(service: Here, who: Admin) -> list[answers.User]:
    """All users."""
    del who
    return [answers.User.model_validate(one) for one in service.read(reading.list_users)]


@routes.post("/users", status_code=201, responses=documented(404, 409))
def create_user(body: NewUser, service: Here, who: Admin) -> answers.Identified:
    """Make a user."""

    def make(connection: Connection) -> str:
        made = people.create_user(connection, body.name, body.team_id, role=body.role, password=body.password)
        audit.record(connection, who, "user.create", made, name=body.name, team=body.team_id, role=body.role)
        return made

    return answers.Identified(id=service.write(make))


@routes.patch("/users/{user}", status_code=204, responses=documented(404, 409))
def change_user(user: Identifier, body: UserChange, service: Here, who: Admin) -> None:
    """Change a user's role, team or password, or keep the user out."""
    changes = body.model_dump(exclude_none=True)

    def change(connection: Connection) -> None:
        people.change_user(connection, user, changes)
        shown = changes | ({"password": "changed"} if "password" in changes else {})
        audit.record(connection, who, "user.change", user, **shown)

    service.write(change)


@routes.get("/users/{user}/tokens", responses=documented(404))
def list_tokens_of_user(user: Identifier, service: Here, who: Admin) -> list[answers.Token]:
    """The tokens of any user, without their secrets."""
    del who

    def read(connection: Connection) -> list[dict[str, Any]]:
        people.find_user(connection, user)
        return reading.list_tokens(connection, user)

    return [answers.Token.model_validate(one) for one in service.read(read)]


@routes.delete("/users/{user}/tokens/{token}", status_code=204, responses=documented(404))
def revoke_token_of_user(user: Identifier, token: Identifier, service: Here, who: Admin) -> None:
    """End a token of any user, at once."""

    def revoke(connection: Connection) -> None:
        people.find_user(connection, user)
        tokens.revoke(connection, who, token, user=user)
        audit.record(connection, who, "token.revoke", token, user=user)

    service.write(revoke)


@routes.get("/teams")
def list_teams(service: Here, who: Admin) -> list[answers.Team]:
    """All teams with their quotas."""
    del who
    return [answers.Team.model_validate(one) for one in service.read(reading.list_teams)]


@routes.post("/teams", status_code=201, responses=documented(409))
def create_team(body: NewTeam, service: Here, who: Admin) -> answers.Identified:
    """Make a team."""
    quotas = people.Quotas(**body.model_dump(exclude_none=True, exclude={"name"}))

    def make(connection: Connection) -> str:
        made = people.create_team(connection, body.name, quotas)
        audit.record(connection, who, "team.create", made, name=body.name)
        return made

    return answers.Identified(id=service.write(make))


@routes.patch("/teams/{team}", status_code=204, responses=documented(404))
def change_team(team: Identifier, body: TeamChange, service: Here, who: Admin) -> None:
    """Change quotas of a team."""
    changes = body.model_dump(exclude_none=True)

    def change(connection: Connection) -> None:
        people.change_team(connection, team, changes)
        audit.record(connection, who, "team.change", team, **changes)

    service.write(change)


@routes.get("/workers")
def list_workers(service: Here, who: Admin) -> list[answers.Worker]:
    """The workers, and when each was last seen."""
    del who
    return [answers.Worker.model_validate(one) for one in service.read(reading.list_workers)]


@routes.get("/audit")
def list_audit(
    service: Here, who: Admin, before: Annotated[int | None, Query(ge=0, le=WHOLE)] = None, limit: Limit = 100
) -> answers.Audit:
    """The audit log, the newest first."""
    del who
    return answers.Audit.model_validate(service.read(lambda c: reading.list_audit(c, before=before, limit=limit)))
