"""Users made or let in again by whoever runs the service, from the machine that it runs on: the first one above all."""

from __future__ import annotations

from sqlalchemy import Connection, select

from losssearch.errors import OptionError
from services import schema
from services.access import audit, people, tokens
from services.access.sessions import login_link
from services.database import open_database
from services.settings import Settings

LINK = "/login/link?code="
"""Where a login link leads."""


def enrol(
    settings: Settings,
    name: str,
    *,
    team: str | None,
    admin: bool,
    password: str | None,
    revoke_tokens: bool = False,
) -> str:
    """Make a user, or give one who is there another password or a login link; say in a line what was done.

    Args:
        settings: of the service.
        name: of the user.
        team: its name; made where there is none. None for the user's own, or for a new user ``main``.
        admin: makes a new user an admin, who manages users and teams.
        password: None for a login link. A new one ends the sessions of a user who is there, and no tokens.
        revoke_tokens: ends the user's tokens.

    Returns:
        What was done; with the login link, which is valid once and for ten minutes.

    Raises:
        OptionError: a name or the password cannot be used, or the user is in another team.
    """
    database = open_database(settings.database_url)
    try:
        said, code = database.run(lambda connection: _enrol(connection, name, team, admin, password, revoke_tokens))
    finally:
        database.close()
    return said if code is None else f"{said}: {settings.public_url}{LINK}{code}"


def _enrol(
    connection: Connection, name: str, team: str | None, admin: bool, password: str | None, revoke_tokens: bool
) -> tuple[str, str | None]:
    user = connection.execute(select(schema.user).where(schema.user.c.name == name)).mappings().first()
    if user is None:
        home = _team(connection, team or "main")
        made = people.create_user(connection, name, home, role="admin" if admin else "member", password=password)
        what = f"{name} is a new {'admin' if admin else 'member'} of the team {team or 'main'}"
    else:
        made, home = user["id"], user["team_id"]
        owned = people.find_team(connection, home)["name"]
        if team not in (None, owned):
            raise OptionError(f"{name} is in the team {owned}, got {team}: an admin moves users")
        if password is not None:
            people.change_user(connection, made, {"password": password})
        if revoke_tokens:
            tokens.revoke_all(connection, made)
        what = f"{name} of the team {owned} {'has a new password' if password is not None else 'may log in'}"
    audit.record(connection, None, "user.enrolled", name)
    return what, None if password is not None else login_link(connection, made)


def _team(connection: Connection, name: str) -> str:
    found = connection.execute(select(schema.team.c.id).where(schema.team.c.name == name)).scalar()
    return str(found) if found is not None else people.create_team(connection, name)
