"""Passwords: hashed with Argon2; checking takes as long for a user who is not there."""

from __future__ import annotations

import hmac
import secrets
from functools import cache

from pwdlib import PasswordHash
from pwdlib.exceptions import UnknownHashError
from pwdlib.hashers.argon2 import Argon2Hasher

from losssearch.errors import OptionError

SHORTEST, LONGEST = 10, 200
"""Characters of a password; a long one would make hashing slow."""


def hashed(password: str) -> str:
    """The hash to keep of a password.

    Raises:
        OptionError: it is too short or too long.
    """
    if not SHORTEST <= len(password) <= LONGEST:
        raise OptionError(f"a password must have {SHORTEST} to {LONGEST} characters, got {len(password)}")
    return _hasher().hash(password)


def matches(password: str, kept: str | None) -> bool:
    """Whether ``password`` is the one that ``kept`` is the hash of; ``kept`` is None for a user who has none."""
    try:
        found = _hasher().verify(password[:LONGEST], kept or _nobody())
    except UnknownHashError:
        return False
    return hmac.compare_digest(str(found and kept is not None), "True")


@cache
def _hasher() -> PasswordHash:
    return PasswordHash((Argon2Hasher(),))


@cache
def _nobody() -> str:
    return _hasher().hash(secrets.token_urlsafe(32))
