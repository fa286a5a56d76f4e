"""The password that a user sets for oneself: who asks proves to be the user, and other sessions end."""

from __future__ import annotations

from sqlalchemy import Connection, select, update

from services import schema
from services.access import audit, passwords, sessions, tokens
from services.access.failures import failed, require_few
from services.access.principal import ConflictError, ForbiddenError, Principal

WRONG = "the current password must be given, this is not it"


def kept_of(connection: Connection, who: Principal) -> str | None:
    """The hash that the current password must fit; None where it need not be given.

    It need not after a login link, which proves as much, nor where there is none. A transaction that may only read is
    enough.

    Raises:
        TooManyError: wrong ones were given too often.
    """
    require_few(connection, (_key(who),))
    linked = connection.execute(select(schema.session.c.linked).where(schema.session.c.digest == who.session)).scalar()
    found: str | None = connection.execute(select(schema.user.c.password).where(schema.user.c.id == who.user)).scalar()
    return None if linked else found


def refuse(connection: Connection, who: Principal) -> None:
    """Count a wrong password, in a transaction of its own."""
    failed(connection, (_key(who),))
    audit.record(connection, who, "password.failed", who.user)


def change(connection: Connection, who: Principal, kept: str | None, fresh: str, *, revoke_tokens: bool) -> None:
    """Set a password, and end all sessions but the one that asks.

    Args:
        connection: a transaction.
        who: the user.
        kept: as `kept_of` has told it.
        fresh: the hash of the new password.
        revoke_tokens: ends all tokens too, but the one that asks.

    Raises:
        ConflictError: the password was changed meanwhile.
    """
    found = connection.execute(select(schema.user.c.password).where(schema.user.c.id == who.user)).scalar()
    if kept is not None and found != kept:
        raise ConflictError("the password was changed in the meantime: log in with the new one")
    connection.execute(update(schema.user).where(schema.user.c.id == who.user).values(password=fresh))
    sessions.end_all(connection, who.user, but=who.session)
    revoked = tokens.revoke_all(connection, who.user, but=who.token) if revoke_tokens else 0
    audit.record(connection, who, "password.change", who.user, revoked_tokens=revoked)


def set_own(kept: str | None, current: str | None, fresh: str) -> str:
    """The hash of the password ``fresh``, once ``current`` has shown to be the one that is kept; takes a while.

    Raises:
        ForbiddenError: ``current`` is not the password.
        OptionError: ``fresh`` is too short or too long.
    """
    if kept is not None and not passwords.matches(current or "", kept):
        raise ForbiddenError(WRONG)
    return passwords.hashed(fresh)


def _key(who: Principal) -> str:
    return f"password:{who.user}"
