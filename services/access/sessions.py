"""Sessions of browsers: a cookie kept as a digest, with a token against forged requests; and login links."""

from __future__ import annotations

import hmac
import secrets
from dataclasses import dataclass, field

from sqlalchemy import Connection, bindparam, delete, select

from losssearch.redaction import learn
from services import schema
from services.access import known
from services.access.failures import failed, place_of, require_few, require_pause
from services.access.principal import DeniedError, Principal, Scope
from services.access.tokens import digest_of
from services.database import now

LIFE = 12 * 3600.0
"""Seconds of a session."""

LINK_LIFE = 600.0
"""Seconds within which a login link must be followed."""

_LINK = "link"
"""Stands in place of a CSRF token where the row is a login link, which opens a session and is none."""

# Made once: every request asks it.
_PRESENTED = (
    select(schema.session, schema.user.c.name, schema.user.c.team_id, schema.user.c.role)
    .join(schema.user, schema.user.c.id == schema.session.c.user_id)
    .where((schema.session.c.digest == bindparam("digest")) & ~schema.user.c.disabled)
)


@dataclass(frozen=True)
class Session:
    """A session that was opened: whose it is, the cookie's ``secret``, and one by which the ``browser`` is known."""

    principal: Principal
    secret: str = field(repr=False)
    browser: str = field(repr=False)


@dataclass(frozen=True)
class Attempt:
    """An attempt to log in that is looked at.

    Args:
        keys: what a failure is counted by.
        place: the address that it comes from, as `services.access.failures.place_of` has it.
        mark: by which the user is known there: that of the address, or of the browser where it is known.
        user: the id of the user of this name; None where there is none.
        kept: the hash of the user's password; None where there is no user, or no password.
    """

    keys: tuple[str, ...]
    place: str
    mark: str
    user: str | None
    kept: str | None = field(repr=False)


def attempt(connection: Connection, name: str, address: str, browser: str | None = None) -> Attempt:
    """See whether a login may be tried; a transaction that may only read is enough.

    Args:
        connection: that transaction.
        name: of the user.
        address: where it comes from.
        browser: the secret of a browser that has logged in before.

    Raises:
        TooManyError: there were too many failures for this name from this place or from this address, or for this name
            from anywhere a moment ago, and the user has never logged in from here.
    """
    folded, place = name.casefold()[:100], place_of(address)
    row = connection.execute(select(schema.user).where(schema.user.c.name == name)).mappings().first()
    user, kept = (None, None) if row is None else (str(row["id"]), row["password"])
    mark = known.address_mark(place)
    own = browser and user and known.is_known(connection, user, known.browser_mark(browser))
    if browser and own:  # whatever others do from the same address
        mark = known.browser_mark(browser)
        keys: tuple[str, ...] = (f"login:{folded}|{digest_of(browser)[:32]}",)
    else:
        keys = (f"login:{folded}|{place}", f"login-ip:{place}")
    require_few(connection, keys)
    everywhere = f"login-name:{folded}"
    if not own and not (user and known.is_known(connection, user, mark)):
        require_pause(connection, everywhere)
    return Attempt((*keys, everywhere), place, mark, user, kept)


def log_in(connection: Connection, tried: Attempt, *, fits: bool) -> Session | None:
    """Open a session where the password fits; None where it does not, which is counted.

    The caller commits in both cases, as a failure that is rolled back would not count.
    """
    row = connection.execute(select(schema.user).where(schema.user.c.id == tried.user)).mappings().first()
    # The password may have been changed while it was compared.
    if row is None or not fits or row["disabled"] or row["password"] != tried.kept:
        failed(connection, tried.keys)
        return None
    if tried.mark != known.address_mark(tried.place):
        known.forget(connection, row["id"], tried.mark)  # the browser is given another
    return _open(connection, row["id"], known.address_mark(tried.place))


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
    place = place_of(address)
    keys = (f"login-ip:{place}",)
    require_few(connection, keys)
    mine = (schema.session.c.digest == digest_of(code)) & (schema.session.c.csrf == _LINK)
    row = connection.execute(delete(schema.session).where(mine).returning(schema.session)).mappings().first()
    if row is None or row["expires"] <= now(connection):
        failed(connection, keys)
        return None
    return _open(connection, row["user_id"], known.address_mark(place), linked=True)


def principal_of(connection: Connection, secret: str) -> Principal:
    """Who the session with this cookie belongs to.

    Raises:
        DeniedError: there is no such session any more, or its user is disabled.
    """
    row = connection.execute(_PRESENTED, {"digest": digest_of(secret)}).mappings().first()
    if row is None or row["csrf"] == _LINK or row["expires"] <= now(connection):
        raise DeniedError("this session has ended: log in again")
    scope: Scope = "admin" if row["role"] == "admin" else "write"
    who = (row["user_id"], row["name"], row["team_id"], row["role"], scope, row["csrf"])
    return Principal(*who, session=row["digest"])


def log_out(connection: Connection, secret: str) -> None:
    """End a session."""
    connection.execute(delete(schema.session).where(schema.session.c.digest == digest_of(secret)))


def end_all(connection: Connection, user: str, *, but: str | None = None) -> None:
    """End all sessions and login links of a user, but the one with this digest."""
    mine = schema.session.c.user_id == user
    connection.execute(delete(schema.session).where(mine if but is None else mine & (schema.session.c.digest != but)))


def genuine(who: Principal, presented: str) -> bool:
    """Whether a request that changes something comes from a page of ours: it has the session's CSRF token."""
    return bool(who.csrf) and hmac.compare_digest(who.csrf.encode(), presented.encode())


def prune(connection: Connection) -> None:
    """Forget sessions and login links that have ended."""
    connection.execute(delete(schema.session).where(schema.session.c.expires <= now(connection)))


def _open(connection: Connection, user: str, mark: str, *, linked: bool = False) -> Session:
    secret, browser, at = secrets.token_urlsafe(32), secrets.token_urlsafe(32), now(connection)
    prune(connection)
    known.note(connection, user, mark, known.browser_mark(browser))
    made = {
        "digest": digest_of(secret),
        "user_id": user,
        "csrf": secrets.token_urlsafe(32),
        "linked": linked,
        "expires": at + LIFE,
        "created": at,
    }
    connection.execute(schema.session.insert().values(made))
    return Session(principal_of(connection, secret), secret, browser)
