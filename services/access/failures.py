"""Limits on failed logins and tokens, counted in the database, so that all processes of the service count together.

Failures by name and place lock that place alone. Those of a name from anywhere slow down places that the user has never
logged in from: nobody can be locked out by whoever fails in their name (OWASP, Authentication Cheat Sheet).
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable

from sqlalchemy import Connection, delete, func, select

from services import schema
from services.access.principal import TooManyError
from services.database import now

WINDOW = 900.0
"""Seconds for which a failure counts."""

MOST = {"login": 10, "login-ip": 50, "token-ip": 100, "password": 10}
"""Failures within `WINDOW` after which no more attempts are looked at, by the first part of the key."""

SLOW = 10
"""Failures of one name, wherever they came from, after which unknown places wait between attempts."""

LONGEST_WAIT = 30.0
"""Seconds between two attempts, however many failed."""


def place_of(address: str) -> str:
    """What counts as one place: an address, or for IPv6 its network, of which one machine has all addresses.

    Example:
        >>> place_of("2001:db8::1:2"), place_of("::ffff:192.0.2.1"), place_of("192.0.2.1")
        ('2001:db8::/64', '192.0.2.1', '192.0.2.1')
    """
    try:
        found = ipaddress.ip_address(address)
    except ValueError:
        return address
    if isinstance(found, ipaddress.IPv4Address):
        return str(found)
    if found.ipv4_mapped is not None:
        return str(found.ipv4_mapped)
    return str(ipaddress.ip_network((found, 64), strict=False))


def require_few(connection: Connection, keys: Iterable[str]) -> None:
    """Raise `TooManyError` if one of ``keys``, such as ``login:NAME|PLACE``, has failed too often."""
    since = now(connection) - WINDOW
    for key in keys:
        recent = (schema.failure.c.key == key) & (schema.failure.c.at > since)
        count, first = connection.execute(select(func.count(), func.min(schema.failure.c.at)).where(recent)).one()
        if count >= MOST[key.partition(":")[0]]:
            wait = max(1.0, first - since)
            raise TooManyError(f"too many failures: wait {wait:.0f} s, and try again", wait)


def require_pause(connection: Connection, key: str) -> None:
    """Raise `TooManyError` if ``key`` has failed often, and the last time a moment ago."""
    at = now(connection)
    recent = (schema.failure.c.key == key) & (schema.failure.c.at > at - WINDOW)
    count, last = connection.execute(select(func.count(), func.max(schema.failure.c.at)).where(recent)).one()
    if count >= SLOW and (left := last + min(LONGEST_WAIT, 2.0 ** min(count - SLOW, 10)) - at) > 0:
        wait = max(1.0, left)
        raise TooManyError(f"too many failures of this name: wait {wait:.0f} s, and try again", wait)


def failed(connection: Connection, keys: Iterable[str]) -> None:
    """Count a failure for each of ``keys``, and forget those that count no more."""
    at = now(connection)
    prune(connection)
    connection.execute(schema.failure.insert(), [{"key": key[:200], "at": at} for key in keys])


def prune(connection: Connection) -> None:
    """Forget failures that count no more."""
    connection.execute(delete(schema.failure).where(schema.failure.c.at <= now(connection) - WINDOW))
