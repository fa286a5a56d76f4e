"""The service's API on a port of this machine, with two teams and their tokens."""

from __future__ import annotations

import base64
import hashlib
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import uvicorn

from losssearch.storage.engine import Database
from services.access import people, tokens
from services.access.principal import Principal
from services.api.app import create_app
from services.database import open_database
from services.migrations import upgrade
from services.settings import Settings

PASSWORD = "correct horse battery"
TABLE = "age,sex,income\n" + "".join(f"{20 + n % 50},{'fm'[n % 2]},{'no' if n % 3 else 'yes'}\n" for n in range(60))


@dataclass
class Team:
    """A team, and who belongs to it: their names, principals and tokens."""

    id: str
    who: dict[str, Principal] = field(default_factory=dict)
    tokens: dict[str, str] = field(default_factory=dict)


@dataclass
class Running:
    """A running API."""

    app: Any
    url: str
    settings: Settings
    database: Database
    teams: dict[str, Team]

    def client(self, token: str | None = "writer", team: str = "red", **given: Any) -> httpx.Client:
        """A client with a token of a team, by its name, or with none."""
        headers = {} if token is None else {"Authorization": f"Bearer {self.teams[team].tokens[token]}"}
        return httpx.Client(base_url=self.url, headers=headers | given.pop("headers", {}), timeout=60, **given)


def digest_header(content: bytes) -> str:
    """``Content-Digest`` of a content."""
    return f"sha-256=:{base64.b64encode(hashlib.sha256(content).digest()).decode()}:"


def upload(client: httpx.Client, content: bytes, kind: str = "csv", name: str = "table") -> httpx.Response:
    """Make a dataset and send its content; the answer to the latter."""
    made = client.post("/v1/datasets", json={"name": name})
    assert made.status_code == 201, made.text
    return client.put(
        f"/v1/datasets/{made.json()['id']}/content?format={kind}",
        content=content,
        headers={"Content-Digest": digest_header(content)},
    )


def _add_team(database: Database, name: str) -> Team:
    def work(connection) -> Team:
        team = Team(people.create_team(connection, name))
        for user, role in ((f"{name}-member", "member"), (f"{name}-admin", "admin")):
            made = people.create_user(connection, user, team.id, role=role, password=PASSWORD)
            who = team.who[role] = Principal(made, user, team.id, role, "admin" if role == "admin" else "write")
            for token, scope in {"member": (("reader", "read"), ("writer", "write")), "admin": (("admin", "admin"),)}[
                role
            ]:
                team.tokens[token] = tokens.issue(connection, who, token, scope).secret
        return team

    return database.run(work)


@contextmanager
def serving(folder: Path, **given: Any) -> Iterator[Running]:
    """Run the API of a service on SQLite with the teams ``red`` and ``blue``."""
    port = free_port()
    settings = Settings(
        **{
            "database_url": f"sqlite:///{folder / 'service.db'}",
            "data": folder / "data",
            "max_upload": 3_000_000,
            "public_url": f"http://127.0.0.1:{port}",
        }
        | given
    )
    database = open_database(settings.database_url, create=True)
    upgrade(database)
    teams = {name: _add_team(database, name) for name in ("red", "blue")}
    app = create_app(settings, database)
    config = uvicorn.Config(
        app, host="127.0.0.1", port=port, log_level="warning", lifespan="on", timeout_graceful_shutdown=1
    )
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    url = f"http://127.0.0.1:{port}"
    _wait(lambda: httpx.get(f"{url}/health").status_code == 200)
    try:
        yield Running(app, url, settings, database, teams)
    finally:
        server.should_exit = True
        thread.join(60)
        database.close()


def free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])


def _wait(answers: Callable[[], bool]) -> None:
    for _ in range(600):
        try:
            if answers():
                return
        except httpx.TransportError:
            pass
        time.sleep(0.1)
    raise AssertionError("the API did not start within a minute")


def folder_of(running: Running, search: str) -> Path:
    """The folder of a search."""
    return running.settings.searches / search


def connected(running: Running) -> socket.socket:
    address = httpx.URL(running.url)
    return socket.create_connection((address.host, address.port or 80), 60)


def upload_head(running: Running, dataset: str, length: int, content: bytes) -> bytes:
    """The headers of an upload that announces ``length`` bytes and the digest of ``content``."""
    lines = (
        f"PUT /v1/datasets/{dataset}/content?format=csv HTTP/1.1",
        "Host: 127.0.0.1",
        f"Authorization: Bearer {running.teams['red'].tokens['writer']}",
        f"Content-Length: {length}",
        f"Content-Digest: {digest_header(content)}",
    )
    return "".join(f"{line}\r\n" for line in (*lines, "")).encode()
