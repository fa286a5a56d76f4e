"""Teams with their quotas, and users."""

from __future__ import annotations

import re
from dataclasses import asdict, dataclass
from typing import Any

from sqlalchemy import Connection, RowMapping, func, select, update
from sqlalchemy.exc import IntegrityError

from losssearch.errors import OptionError
from services import schema
from services.access import passwords, sessions, tokens
from services.access.principal import ConflictError, MissingError, Role
from services.database import new_id, now

NAME = r"^[A-Za-z0-9][A-Za-z0-9._@-]{0,99}$"
"""What a user or a team may be called: it becomes part of MLflow's names and of messages."""


@dataclass(frozen=True)
class Quotas:
    """The most that a team may have.

    Args:
        max_running: searches that run at once.
        max_queued: searches that wait.
        max_trials: trials of one search.
        max_seconds: seconds of one search.
        max_bytes: bytes of all datasets and of the folders of searches.
        max_datasets: datasets, whether they have content or not.
        max_tokens: valid tokens of one user.
    """

    max_running: int = 4
    max_queued: int = 100
    max_trials: int = 5_000
    max_seconds: float = 86_400.0
    max_bytes: int = 50_000_000_000
    max_datasets: int = 1_000
    max_tokens: int = 100

    def __post_init__(self) -> None:
        for name, value in asdict(self).items():
            if not 0 <= value < 1 << 53:
                raise OptionError(f"{name} must lie in [0, 2^53), got {value}")


def create_team(connection: Connection, name: str, quotas: Quotas | None = None) -> str:
    """Make a team and return its id.

    Raises:
        OptionError: the name has other characters than letters, digits and ``._@-``.
        ConflictError: there is a team of this name.
    """
    _check(name, "team")
    if connection.execute(select(schema.team.c.id).where(schema.team.c.name == name)).first():
        raise ConflictError(f"names of teams must differ, there is a team {name!r}")
    made = {"id": new_id(), "name": name, "created": now(connection), **asdict(quotas or Quotas())}
    _insert(connection, schema.team, made, f"names of teams must differ, there is a team {name!r}")
    return str(made["id"])


def change_team(connection: Connection, team: str, changes: dict[str, Any]) -> None:
    """Change quotas of a team; raise `MissingError` where there is none."""
    kept = find_team(connection, team)
    quotas = Quotas(**{name: changes.get(name, kept[name]) for name in Quotas.__dataclass_fields__})
    connection.execute(update(schema.team).where(schema.team.c.id == team).values(asdict(quotas)))


def find_team(connection: Connection, team: str) -> RowMapping:
    """A team by its id; raise `MissingError` where there is none."""
    found = connection.execute(select(schema.team).where(schema.team.c.id == team)).mappings().first()
    if found is None:
        raise MissingError(f"there is no team {team!r}")
    return found


def create_user(connection: Connection, name: str, team: str, *, role: Role = "member", password: str | None) -> str:
    """Make a user and return the id; without a password, only a login link lets the user in.

    Raises:
        OptionError: the name or the password cannot be used.
        MissingError: there is no such team.
        ConflictError: there is a user of this name.
    """
    _check(name, "user")
    find_team(connection, team)
    if connection.execute(select(schema.user.c.id).where(schema.user.c.name == name)).first():
        raise ConflictError(f"names of users must differ, there is a user {name!r}")
    made = {
        "id": new_id(),
        "name": name,
        "password": None if password is None else passwords.hashed(password),
        "team_id": team,
        "role": role,
        "disabled": False,
        "created": now(connection),
    }
    _insert(connection, schema.user, made, f"names of users must differ, there is a user {name!r}")
    return str(made["id"])


def change_user(connection: Connection, user: str, changes: dict[str, Any]) -> None:
    """Change ``role``, ``disabled``, ``team_id`` or ``password`` of a user, who is then logged out.

    Tokens stay valid, unless ``revoke_tokens`` is among the changes, and true.

    Raises:
        MissingError: there is no such user or team.
        ConflictError: nobody would be left who manages users.
    """
    found = find_user(connection, user)
    values = dict(changes)
    if values.pop("revoke_tokens", False):
        tokens.revoke_all(connection, user)
    if "password" in values:
        values["password"] = passwords.hashed(values["password"])
    if "team_id" in values:
        find_team(connection, values["team_id"])
    loses = values.get("role", "admin") != "admin" or values.get("disabled", False)
    if found["role"] == "admin" and not found["disabled"] and loses and _admins(connection) == 1:
        raise ConflictError("somebody must manage users; make another user an admin first")
    if values:
        connection.execute(update(schema.user).where(schema.user.c.id == user).values(values))
    sessions.end_all(connection, user)


def find_user(connection: Connection, user: str) -> RowMapping:
    """A user by the id; raise `MissingError` where there is none."""
    found = connection.execute(select(schema.user).where(schema.user.c.id == user)).mappings().first()
    if found is None:
        raise MissingError(f"there is no user {user!r}")
    return found


def _admins(connection: Connection) -> int:
    managing = (schema.user.c.role == "admin") & ~schema.user.c.disabled
    return int(connection.execute(select(func.count()).select_from(schema.user).where(managing)).scalar_one())


def _check(name: str, what: str) -> None:
    if not re.fullmatch(NAME.strip("^$"), name):
        raise OptionError(f"the name of a {what} must be letters, digits, '.', '_', '@' or '-', got {name[:80]!r}")


def _insert(connection: Connection, table: Any, values: dict[str, Any], taken: str) -> None:
    try:
        connection.execute(table.insert().values(values))
    except IntegrityError:
        raise ConflictError(taken) from None
