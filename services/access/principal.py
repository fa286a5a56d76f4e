"""Who asks: a user of a team, with a role and the scope of the token or session that was presented."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal, get_args

from losssearch.errors import LossSearchError

Scope = Literal["read", "write", "admin"]
"""What a token may do; each includes those before it."""

Role = Literal["member", "admin"]

SCOPES: tuple[Scope, ...] = get_args(Scope)


@dataclass(frozen=True)
class Principal:
    """Who asks.

    Args:
        user: the user's id.
        name: the user's name.
        team: the id of the user's team, whose objects alone are seen.
        role: ``admin`` manages users and teams.
        scope: what the token or session allows.
        csrf: what a form of this session must send along; empty for a token, which no browser sends by itself.
        token: the id of the token, or None for a session.
        session: the digest of the session's cookie, or None for a token.
    """

    user: str
    name: str
    team: str
    role: Role
    scope: Scope
    csrf: str = ""
    token: str | None = None
    session: str | None = field(default=None, repr=False)

    def may(self, scope: Scope) -> bool:
        """Whether the scope, and for ``admin`` the role too, allows it."""
        if scope == "admin" and self.role != "admin":
            return False
        return SCOPES.index(self.scope) >= SCOPES.index(scope)


class DeniedError(LossSearchError):
    """Nobody who may ask: no token or session, or one that is not valid any more."""


class ForbiddenError(LossSearchError):
    """Somebody who may not ask for this: the scope or role is too small, or a quota is used up."""


class TooManyError(LossSearchError):
    """Too many failures or streams; ``wait`` says for how many seconds."""

    def __init__(self, message: str, wait: float) -> None:
        self.wait = wait
        super().__init__(message)


class TooLargeError(LossSearchError):
    """A request has more content than it may."""


class MissingError(LossSearchError):
    """There is no such object, or it belongs to another team, which is not told apart."""


class ConflictError(LossSearchError):
    """The object is not in a state that allows it, or the name is taken."""
