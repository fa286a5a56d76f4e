"""The programs of the service fail in one line, without a secret, and are missed politely."""

from __future__ import annotations

import asyncio
import importlib.util
import os
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import httpx
import pytest
import uvicorn
from sqlalchemy import select

from losssearch.cli.app import main
from losssearch.errors import OptionError
from services import schema, serve
from services.catalogue.client import Catalogue
from services.database import open_database
from services.migrate import migrate
from services.settings import Settings

ROOT = Path(__file__).resolve().parents[2]
FORWARDED = {"X-Forwarded-For": "203.0.113.9"}


@pytest.mark.parametrize("program", ["migrate", "worker", "api"])
def test_a_database_that_cannot_be_reached_is_told_without_its_password(
    program: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("LOSSSEARCH_DATABASE_URL", "postgresql://ls:pass-9-word@127.0.0.1:1/ls?connect_timeout=2")
    monkeypatch.setattr("losssearch.storage.engine.ATTEMPTS", 2)
    assert main(["serve", program]) == 4
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err.splitlines()[-1].startswith("losssearch: the service database must be reachable")
    assert "pass-9-word" not in said.err
    assert list(tmp_path.iterdir()) == []


def test_a_worker_needs_the_tables(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    url = f"sqlite:///{tmp_path}/service.db"
    migrate(Settings(database_url=url, data=tmp_path))
    monkeypatch.setattr("services.migrations.head", lambda: "9999")
    from losssearch.errors import DataError

    with pytest.raises(DataError, match="run `losssearch serve migrate`"):
        serve.worker(Settings(database_url=url, data=tmp_path))


@pytest.mark.parametrize("missing", ["services", "fastapi"])
def test_without_the_repository_or_the_extra_it_says_so(
    missing: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    find = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name, *rest: None if name == missing else find(name, *rest))
    assert main(["serve", "--dev"]) == 2
    assert capsys.readouterr().err.startswith("losssearch: the service ")


def test_the_command_line_of_a_worker_needs_no_torch() -> None:
    asked = (
        "import sys, losssearch.cli.app, services.serve, services.worker;"
        "print({'torch', 'pandas', 'optuna', 'mlflow', 'ray', 'fastapi'} & set(sys.modules))"
    )
    done = subprocess.run(
        [sys.executable, "-c", asked], capture_output=True, text=True, check=True, cwd=ROOT, env=dict(os.environ)
    )
    assert done.stdout == "set()\n"


def test_a_folder_that_cannot_be_one_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "file").write_text("")
    assert main(["serve", "--dev", "--data", str(tmp_path / "file"), "--no-mlflow"]) == 2
    assert "--data must be a folder that can be written to" in capsys.readouterr().err


def test_settings_are_refused_in_a_line(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setenv("LOSSSEARCH_SLOTS", "many")
    assert main(["serve", "worker"]) == 2
    assert capsys.readouterr().err == "losssearch: LOSSSEARCH_SLOTS must be a whole number from 1 to 1024, got 'many'\n"
    with pytest.raises(OptionError):
        Settings.from_environment()


@pytest.mark.parametrize(
    ("proxies", "peer", "counted"),
    [
        ((), "127.0.0.1", "127.0.0.1"),  # started directly: nobody says where a request comes from
        (("10.0.0.0/8",), "10.1.2.3", "203.0.113.9"),
        (("10.0.0.0/8",), "127.0.0.1", "127.0.0.1"),
        (("*",), "192.0.2.1", "203.0.113.9"),
    ],
)
def test_a_forwarded_address_is_that_of_a_proxy_which_is_named(
    proxies: tuple[str, ...], peer: str, counted: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FORWARDED_ALLOW_IPS", "*")
    settings = Settings(database_url=f"sqlite:///{tmp_path}/service.db", data=tmp_path, proxies=proxies)
    migrate(settings)
    told: dict[str, Any] = {}
    monkeypatch.setattr("uvicorn.run", lambda app, **given: told.update(given, app=app))
    begun = threading.Event()
    monkeypatch.setattr(Catalogue, "begin", lambda self: begun.set())
    serve.api(settings, "127.0.0.1", 1)
    assert begun.wait(60)  # or the first to ask for a trial would wait for it, and with it all that ask at once
    config = uvicorn.Config(told.pop("app"), **told)
    config.load()

    async def ask() -> None:
        transport = httpx.ASGITransport(config.loaded_app, client=(peer, 1))
        async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1") as client:
            await client.post("/login", data={"name": "ada", "password": "x"}, headers=FORWARDED)

    asyncio.run(ask())
    database = open_database(settings.database_url)
    keys = database.run(lambda c: c.execute(select(schema.failure.c.key)).scalars().all())
    database.close()
    assert f"login-ip:{counted}" in keys


@pytest.mark.parametrize("program", ["api", "worker"])
def test_a_program_is_concealed_before_anything_else(program: str, monkeypatch: pytest.MonkeyPatch) -> None:
    class ConcealedError(Exception):
        pass

    def conceal() -> None:
        raise ConcealedError

    monkeypatch.setattr(serve, "conceal", conceal)
    monkeypatch.setattr(serve, "open_database", lambda *given, **named: pytest.fail("was opened before"))
    settings = Settings(database_url="sqlite:////nowhere/service.db", data=Path("/nowhere"))
    with pytest.raises(ConcealedError):
        serve.api(settings, "127.0.0.1", 1) if program == "api" else serve.worker(settings)


@pytest.mark.skipif(os.getuid() != 0, reason="takes the rights of another user, and an administrator sees all")
def test_others_do_not_see_the_environment_of_a_concealed_process() -> None:
    code = f"""
import ctypes, importlib.util, os, subprocess, sys
spec = importlib.util.spec_from_file_location("concealed", {str(ROOT / "services/concealed.py")!r})
concealed = importlib.util.module_from_spec(spec)
spec.loader.exec_module(concealed)
os.setgid(65534); os.setuid(65534); ctypes.CDLL(None).prctl(4, 1, 0, 0, 0)
for conceal in (lambda: None, concealed.conceal):
    conceal()
    done = subprocess.run(["/bin/cat", f"/proc/{{os.getpid()}}/environ"], capture_output=True, text=True)
    print(done.stdout[:6] or done.stderr.strip().rpartition(": ")[2])
"""
    program = [sys.executable, "-I", "-c", code]
    done = subprocess.run(program, env={"SECRET": "x"}, capture_output=True, text=True, check=False)
    assert done.stdout.splitlines() == ["SECRET", "Permission denied"], done.stderr
