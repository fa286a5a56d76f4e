"""`losssearch serve user`: the first user, and those who forgot their password."""

from __future__ import annotations

from pathlib import Path

import pytest
from sqlalchemy import select
from typer.testing import CliRunner

from losssearch.cli.app import app
from losssearch.errors import OptionError
from services import schema
from services.access import passwords
from services.access.sessions import attempt, follow, log_in
from services.database import open_database
from services.enrol import LINK, enrol
from services.migrations import upgrade
from services.settings import Settings


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    made = Settings(database_url=f"sqlite:///{tmp_path}/service.db", data=tmp_path)
    database = open_database(made.database_url, create=True)
    upgrade(database)
    database.close()
    return made


def logged_in(settings: Settings, password: str) -> str | None:
    database = open_database(settings.database_url)
    try:
        tried = database.run(lambda connection: attempt(connection, "ada", "here"))
        fits = passwords.matches(password, tried.kept)
        session = database.run(lambda connection: log_in(connection, tried, fits=fits))
    finally:
        database.close()
    return None if session is None else session.principal.role


def test_the_first_user_logs_in_with_the_password(settings: Settings) -> None:
    said = enrol(settings, "ada", team="red", admin=True, password="a long password")
    assert said == "ada is a new admin of the team red"
    assert logged_in(settings, "a long password") == "admin"
    assert logged_in(settings, "another password") is None


def test_who_forgot_the_password_gets_another(settings: Settings) -> None:
    enrol(settings, "ada", team=None, admin=False, password="a long password")
    assert enrol(settings, "ada", team=None, admin=False, password="another password").endswith("has a new password")
    assert logged_in(settings, "another password") == "member"
    assert logged_in(settings, "a long password") is None


def test_a_link_lets_a_user_in_once(settings: Settings) -> None:
    enrol(settings, "ada", team=None, admin=False, password="a long password")
    said = enrol(settings, "ada", team=None, admin=False, password=None)
    address, code = said.rsplit(LINK, 1)
    assert address.endswith(settings.public_url)
    database = open_database(settings.database_url)
    sessions = [database.run(lambda connection: follow(connection, code, "here")) for _ in range(2)]
    recorded = database.run(lambda connection: connection.execute(select(schema.audit.c.action)).scalars().all())
    database.close()
    assert [session is not None for session in sessions] == [True, False]
    assert recorded.count("user.enrolled") == 2


def test_a_user_stays_in_the_team(settings: Settings) -> None:
    enrol(settings, "ada", team="red", admin=False, password="a long password")
    with pytest.raises(OptionError, match="ada is in the team red, got blue"):
        enrol(settings, "ada", team="blue", admin=False, password=None)


def test_the_command_reads_the_password_from_stdin(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LOSSSEARCH_DATABASE_URL", settings.database_url)
    done = CliRunner().invoke(app, ["serve", "user", "ada", "--admin"], input="a long password\n")
    assert done.exit_code == 0, done.output
    assert "ada is a new admin of the team main" in done.output
    assert "a long password" not in done.output
    assert logged_in(settings, "a long password") == "admin"
