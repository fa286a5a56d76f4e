"""Sessions of browsers: a cookie kept as a digest, with a token against forged requests; and login links."""

from __future__ import annotations

import hmac
import secrets
from dataclasses import dataclass, field

from sqlalchemy import Connection, delete, select

from losssearch.redaction import learn
from services import schema
from services.access import passwords
from services.access.failures import failed, require_few
from services.access.principal import DeniedError, Principal, Scope
from services.access.tokens import digest_of
from services.database import now

LIFE = 12 * 3600.0
"""Seconds of a session."""

LINK_LIFE = 600.0
"""Seconds within which a login link must be followed."""

_LINK = "link"
"""Stands in place of a CSRF token where the row is a login link, which opens a session and is none."""


@dataclass(frozen=True)
class Session:
    """A session that was opened: the cookie's ``secret``, and who it belongs to."""

    principal: Principal
    secret: str = field(repr=False)


def log_in(connection: Connection, name: str, password: str, address: str) -> Session | None:
    """Open a session for a user with a password; None where the two do not fit, which is counted.

    The caller commits in both cases, as a failure that is rolled back would not count.

    Raises:
        TooManyError: there were too many failures for this name or from this address.
    """
    keys = (f"login:{name.casefold()[:100]}", f"login-ip:{address}")
    require_few(connection, keys)
    row = connection.execute(select(schema.user).where(schema.user.c.name == name)).mappings().first()
    fits = passwords.matches(password, None if row is None else row["password"])
    if row is None or not fits or row["disabled"]:
        failed(connection, keys)
        return None
    return _open(connection, row["id"])


def login_link(connection: Connection, user: str) -> str:
    """A code that opens a session for ``user`` once, within `LINK_LIFE`."""
    code, at = secrets.token_urlsafe(32), now(connection)
    learn(code)
    made = {"digest": digest_of(code), "user_id": user, "csrf": _LINK, "expires": at + LINK_LIFE, "created": at}
    connection.execute(schema.session.insert().values(made))
    return code


def follow(connection: Connection, code: str, address: str) -> Session | None:
    """Open a session with a login link's code, which is then used up; None where it is not, or no more, valid.

    Raises:
        TooManyError: there were too many failures from this address.
    """
    keys = (f"login-ip:{address}",)
    require_few(connection, keys)
    mine = (schema.session.c.digest == digest_of(code)) & (schema.session.c.csrf == _LINK)
    row = connection.execute(delete(schema.session).where(mine).returning(schema.session)).mappings().first()
    if row is None or row["expires"] <= now(connection):
        failed(connection, keys)
        return None
    return _open(connection, row["user_id"])


def principal_of(connection: Connection, secret: str) -> Principal:
    """Who the session with this cookie belongs to.

    Raises:
        DeniedError: there is no such session any more, or its user is disabled.
    """
    chosen = (
        select(schema.session, schema.user.c.name, schema.user.c.team_id, schema.user.c.role)
        .join(schema.user, schema.user.c.id == schema.session.c.user_id)
        .where((schema.session.c.digest == digest_of(secret)) & ~schema.user.c.disabled)
    )
    row = connection.execute(chosen).mappings().first()
    if row is None or row["csrf"] == _LINK or row["expires"] <= now(connection):
        raise DeniedError("this session has ended: log in again")
    scope: Scope = "admin" if row["role"] == "admin" else "write"
    who = (row["user_id"], row["name"], row["team_id"], row["role"], scope, row["csrf"])
    return Principal(*who, session=row["digest"])


def log_out(connection: Connection, secret: str) -> None:
    """End a session."""
    connection.execute(delete(schema.session).where(schema.session.c.digest == digest_of(secret)))


def genuine(who: Principal, presented: str) -> bool:
    """Whether a request that changes something comes from a page of ours: it has the session's CSRF token."""
    return bool(who.csrf) and hmac.compare_digest(who.csrf.encode(), presented.encode())


def _open(connection: Connection, user: str) -> Session:
    secret, at = secrets.token_urlsafe(32), now(connection)
    connection.execute(delete(schema.session).where(schema.session.c.expires <= at))
    made = {
        "digest": digest_of(secret),
        "user_id": user,
        "csrf": secrets.token_urlsafe(32),
        "expires": at + LIFE,
        "created": at,
    }
    connection.execute(schema.session.insert().values(made))
    return Session(principal_of(connection, secret), secret)
