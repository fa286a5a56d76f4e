"""Whether those who asked a while ago still may: their token or session is valid, and they are in their team."""

from __future__ import annotations

from collections.abc import Collection

from sqlalchemy import Connection, select

from services import schema
from services.access.principal import Principal
from services.database import now


def standing(connection: Connection, asked: Collection[Principal]) -> set[Principal]:
    """Those of ``asked`` whose token or session is still valid, whose user is not disabled, and in the same team.

    Two reads, however many they are; a transaction that may only read is enough.
    """
    at = now(connection)
    token, session, user = schema.token, schema.session, schema.user
    tokens = (
        select(token.c.id, user.c.team_id)
        .join(user, user.c.id == token.c.user_id)
        .where(token.c.id.in_([who.token for who in asked if who.token is not None]) & ~user.c.disabled)
        .where(token.c.revoked.is_(None) & (token.c.expires.is_(None) | (token.c.expires > at)))
    )
    sessions = (
        select(session.c.digest, user.c.team_id)
        .join(user, user.c.id == session.c.user_id)
        .where(session.c.digest.in_([who.session for who in asked if who.session is not None]) & ~user.c.disabled)
        .where(session.c.expires > at)
    )
    valid = {tuple(row) for chosen in (tokens, sessions) for row in connection.execute(chosen)}
    return {who for who in asked if (who.token or who.session, who.team) in valid}
