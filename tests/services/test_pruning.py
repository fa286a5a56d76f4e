"""What the database forgets by itself, and what it keeps."""

from __future__ import annotations

from sqlalchemy import select

from services import events, pruning, schema
from services.access import audit, failures, known, tokens
from services.access.principal import Principal
from services.database import now
from services.pruning import DAY, TOKENS_KEPT, prune
from tests.services.conftest import House


def test_what_is_old_goes_and_what_is_not_stays(house: House) -> None:
    team, user, _ = house.teams["one"]
    who = Principal(user, "one-user", team, "member", "write")
    search = house.submit()

    def fill(c) -> dict[str, list[object]]:
        at = now(c)
        for action, days in (("kept", 89.0), ("old", 91.0)):
            audit.record(c, who, action, "x")
            c.execute(schema.audit.update().where(schema.audit.c.action == action).values(at=at - days * DAY))
            events.write(c, search, [events.Event("note", key=action)])
        c.execute(schema.event.update().where(schema.event.c.key == "old").values(at=at - events.KEPT - 60))
        for name, ended in (("old", at - TOKENS_KEPT - 60), ("kept", at - 60), ("valid", None)):
            made = tokens.issue(c, who, name, "read")
            c.execute(schema.token.update().where(schema.token.c.id == made.id).values(revoked=ended))
        for mark, seen in (("ip:old", at - known.KEPT - 60), ("ip:kept", at)):
            known.note(c, user, mark)
            c.execute(schema.known.update().where(schema.known.c.mark == mark).values(seen=seen))
        for key, age in (("old", failures.WINDOW + 60), ("kept", 1.0)):
            c.execute(schema.failure.insert().values(key=key, at=at - age))
        for digest, life in (("old", -60.0), ("kept", 3600.0)):
            made_at = {"user_id": user, "csrf": "x", "expires": at + life, "created": at}
            c.execute(schema.session.insert().values(digest=digest, **made_at))
        prune(c, 90)
        columns = {
            "audit": schema.audit.c.action,
            "event": schema.event.c.key,
            "token": schema.token.c.name,
            "known": schema.known.c.mark,
            "failure": schema.failure.c.key,
            "session": schema.session.c.digest,
        }
        return {name: sorted(c.execute(select(column)).scalars()) for name, column in columns.items()}

    left = house.database.run(fill)
    assert left.pop("event")[-1] == "kept"
    assert left == {
        "audit": ["kept"],
        "token": ["kept", "valid"],
        "known": ["ip:kept"],
        "failure": ["kept"],
        "session": ["kept"],
    }


def test_a_worker_prunes_by_the_settings(house: House, tmp_path, monkeypatch) -> None:
    from services.settings import Settings
    from services.worker import Supervisor

    asked: list[int] = []
    monkeypatch.setattr(pruning, "prune", lambda connection, days: asked.append(days))
    settings = Settings.from_environment({"LOSSSEARCH_DATABASE_URL": house.url, "LOSSSEARCH_AUDIT_DAYS": "30"})
    worker = Supervisor(settings, house.database)
    worker._turn()
    assert asked == [30]
