"""Tokens ``ls_<prefix>_<secret>``: shown once, kept as a digest, with a scope, an expiry and a revocation."""

from __future__ import annotations

import hashlib
import hmac
import re
import secrets
import time
from dataclasses import dataclass, field

from sqlalchemy import Connection, bindparam, delete, func, select, update

from losssearch.errors import OptionError
from services import schema
from services.access.principal import DeniedError, ForbiddenError, MissingError, Principal, Scope
from services.database import new_id, now

FORM = re.compile(r"ls_([0-9a-f]{12})_([A-Za-z0-9_-]{43})")
LONGEST_LIFE = 366 * 86_400.0
USED_AGAIN = 60.0
"""Seconds between two notes of when a token was last used: not each request is worth a write."""


_MOST_NOTED = 10_000

# Made once: every request asks it.
_PRESENTED = (
    select(
        *(schema.token.c[name] for name in ("id", "user_id", "digest", "scope", "expires", "revoked")),
        schema.user.c.name.label("user_name"),
        schema.user.c.team_id,
        schema.user.c.role,
    )
    .join(schema.user, schema.user.c.id == schema.token.c.user_id)
    .where((schema.token.c.prefix == bindparam("prefix")) & ~schema.user.c.disabled)
)


@dataclass(frozen=True)
class Issued:
    """A new token: its ``id``, and the ``secret`` text that nobody sees again."""

    id: str
    secret: str = field(repr=False)


def issue(connection: Connection, who: Principal, name: str, scope: Scope, seconds: float | None = None) -> Issued:
    """Make a token for the user who asks.

    Args:
        connection: a transaction.
        who: the user.
        name: what the token is for.
        scope: what it may do, no more than the one who asks.
        seconds: how long it lives; None for ever.

    Raises:
        ForbiddenError: the scope is greater than that of who asks, the token would outlive the one that makes it, or
            the user has as many as may be.
        OptionError: the life is not within a year.
    """
    if not who.may(scope):
        raise ForbiddenError(f"a token's scope must be within that of who makes it, {who.scope!r}, got {scope!r}")
    if seconds is not None and not 0 < seconds <= LONGEST_LIFE:
        raise OptionError(f"a token must live for up to {LONGEST_LIFE:.0f} s, got {seconds:g}")
    prefix, secret, at = secrets.token_hex(6), secrets.token_urlsafe(32), now(connection)
    expires = None if seconds is None else at + seconds
    _require_within(connection, who, expires)
    _require_few(connection, who, at)
    text = f"ls_{prefix}_{secret}"
    made = {
        "id": new_id(),
        "user_id": who.user,
        "name": name,
        "prefix": prefix,
        "digest": digest_of(text),
        "scope": scope,
        "expires": expires,
        "created": at,
    }
    connection.execute(schema.token.insert().values(made))
    return Issued(str(made["id"]), text)


def _require_within(connection: Connection, who: Principal, expires: float | None) -> None:
    """Raise `ForbiddenError` where a token makes one that lives longer: whoever found it would keep its rights."""
    if who.token is None:
        return
    own = connection.execute(select(schema.token.c.expires).where(schema.token.c.id == who.token)).scalar()
    if own is not None and (expires is None or expires > own):
        raise ForbiddenError(
            f"a token must not outlive the one that makes it, which has {own - now(connection):.0f} s left: "
            "give fewer seconds, or log in"
        )


def _require_few(connection: Connection, who: Principal, at: float) -> None:
    """Raise `ForbiddenError` where the user has as many valid tokens as one of the team may."""
    most = connection.execute(
        select(schema.team.c.max_tokens).where(schema.team.c.id == who.team).with_for_update()
    ).scalar_one()
    valid = schema.token.c.revoked.is_(None) & (schema.token.c.expires.is_(None) | (schema.token.c.expires > at))
    mine = (schema.token.c.user_id == who.user) & valid
    count = connection.execute(select(func.count()).select_from(schema.token).where(mine)).scalar_one()
    if count >= most:
        raise ForbiddenError(f"a user may have {most} valid tokens, you have {count}: revoke one")


def revoke(connection: Connection, who: Principal, token: str, *, user: str | None = None) -> None:
    """End a token, at once.

    Args:
        connection: a transaction.
        who: who asks.
        token: its id.
        user: for an admin, whose it is; None for one of who asks, or of anybody in the team for an admin.

    Raises:
        MissingError: there is no such token.
    """
    owner = select(schema.user.c.id).where(
        schema.user.c.id == user
        if user is not None
        else schema.user.c.team_id == who.team
        if who.may("admin")
        else schema.user.c.id == who.user
    )
    mine = (schema.token.c.id == token) & schema.token.c.user_id.in_(owner)
    kept = connection.execute(select(schema.token.c.revoked).where(mine)).first()
    if kept is None:
        raise MissingError(f"there is no token {token!r}")
    if kept[0] is None:
        connection.execute(update(schema.token).where(mine).values(revoked=now(connection)))


def revoke_all(connection: Connection, user: str, *, but: str | None = None) -> int:
    """End all tokens of a user, but the one with this id; how many those were."""
    mine = (schema.token.c.user_id == user) & schema.token.c.revoked.is_(None)
    chosen = mine if but is None else mine & (schema.token.c.id != but)
    return connection.execute(update(schema.token).where(chosen).values(revoked=now(connection))).rowcount


def prune(connection: Connection, older_than: float) -> None:
    """Forget tokens that were revoked or have expired more than this many seconds ago."""
    ended = func.coalesce(schema.token.c.revoked, schema.token.c.expires)
    connection.execute(delete(schema.token).where(ended < now(connection) - older_than))


def principal_of(connection: Connection, text: str) -> Principal:
    """Who presents this token; a transaction that may only read is enough.

    Raises:
        DeniedError: it is no token, was revoked, has expired, or its user is disabled.
    """
    found = FORM.fullmatch(text)
    if found is None:
        raise DeniedError("a token must be ls_PREFIX_SECRET, as losssearch made it")
    row = connection.execute(_PRESENTED, {"prefix": found[1]}).mappings().first()
    if row is None or not hmac.compare_digest(row["digest"], digest_of(text)):
        raise DeniedError("this token is not known")
    if row["revoked"] is not None:
        raise DeniedError("this token was revoked")
    if row["expires"] is not None and row["expires"] <= now(connection):
        raise DeniedError("this token has expired")
    return Principal(row["user_id"], row["user_name"], row["team_id"], row["role"], row["scope"], token=row["id"])


def note_use(connection: Connection, token: str) -> None:
    """Note that a token was used, where the last note is old."""
    at = now(connection)
    old = schema.token.c.last_used.is_(None) | (schema.token.c.last_used < at - USED_AGAIN)
    connection.execute(update(schema.token).where((schema.token.c.id == token) & old).values(last_used=at))


class Uses:
    """When this process last noted the use of each token; safe to use from several threads."""

    def __init__(self) -> None:
        self._noted: dict[str, float] = {}

    def due(self, token: str) -> bool:
        """Whether the use of ``token`` is to be noted now."""
        at = time.monotonic()
        if at - self._noted.get(token, -USED_AGAIN) < USED_AGAIN:
            return False
        if len(self._noted) > _MOST_NOTED:
            self._noted.clear()
        self._noted[token] = at
        return True


def digest_of(text: str) -> str:
    """What is kept of a secret: it is long and random, so that no slow hash is needed."""
    return hashlib.sha256(text.encode()).hexdigest()
