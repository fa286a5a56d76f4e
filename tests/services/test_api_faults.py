"""An API that is killed in the middle of a search: who watches misses nothing, and no upload is half there."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import httpx
import pytest
from sklearn.datasets import load_wine

from losssearch.cli.remote_client import Remote
from services.access import tokens
from services.access.principal import Principal
from services.api.left import BROKEN
from tests.services.api.serving import digest_header, free_port, upload
from tests.services.conftest import House
from tests.services.studies import Studies
from tests.services.test_worker import wait_for

ROOT = Path(__file__).resolve().parents[2]

pytestmark = [pytest.mark.nightly, pytest.mark.timeout(1200)]


class Api:
    """``losssearch serve api`` in a process of its own, always on the same port."""

    def __init__(self, studies: Studies) -> None:
        self._port = free_port()
        self.url = f"http://127.0.0.1:{self._port}"
        self._environment = {
            **os.environ,
            "LOSSSEARCH_DATABASE_URL": studies.house.url,
            "LOSSSEARCH_DATA_DIR": str(studies.folder),
            "LOSSSEARCH_PUBLIC_URL": self.url,
        }
        self.start()

    def start(self) -> None:
        """Start it, and wait until it answers."""
        command = [sys.executable, "-m", "losssearch", "serve", "api", "--port", str(self._port)]
        self._process = subprocess.Popen(command, env=self._environment)
        wait_for(self._answers)

    def kill(self) -> None:
        """End it by force."""
        self._process.kill()
        self._process.wait()

    def _answers(self) -> bool:
        with suppress(httpx.TransportError):
            return httpx.get(f"{self.url}/health", timeout=60).status_code == 200
        return False


@pytest.fixture
def studies(house: House, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Studies:
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    return Studies.made(house, tmp_path / "data")


@pytest.fixture
def api(studies: Studies) -> Iterator[Api]:
    made = Api(studies)
    yield made
    made.kill()


def following(api: Api, token: str, search: str, found: list[tuple[str, dict[str, Any]]]) -> Callable[[], None]:
    """Follow a search as `losssearch remote watch` does, from a thread of its own; gives what waits for its end."""

    def follow() -> None:
        found.extend(Remote(api.url, token).events(search))

    thread = threading.Thread(target=follow, daemon=True)
    thread.start()
    return lambda: thread.join(300)


def test_who_watches_misses_nothing_and_no_upload_is_half_there(studies: Studies, api: Api) -> None:
    team, user, _ = studies.house.teams["one"]
    who = Principal(user, "one-user", team, "member", "write")
    token = studies.house.database.run(lambda connection: tokens.issue(connection, who, "test", "write")).secret
    client = httpx.Client(base_url=api.url, headers={"Authorization": f"Bearer {token}"}, timeout=60)
    table = load_wine(as_frame=True).frame.to_csv(index=False).encode()
    dataset = upload(client, table).json()["id"]
    studies.house.teams["one"] = (team, user, dataset)  # the undisturbed search reads the same file
    asked = {"target": "target", "trials": 6, "epochs": 3, "confirm_seeds": 2}
    body = {"dataset": dataset, "name": "watched", "request": asked}
    search = client.post("/v1/searches", json=body, headers={"Idempotency-Key": "k"}).json()["id"]
    told: list[list[tuple[str, dict[str, Any]]]] = [[], [], []]
    waits = [following(api, token, search, one) for one in told]
    fresh = client.post("/v1/datasets", json={"name": "half"}).json()["id"]
    with studies.worker():
        wait_for(lambda: studies.house.row(search)["done"] > 0)
        sending = half_sent(api, token, fresh, table)
        incoming = studies.folder / "datasets" / "incoming"
        wait_for(lambda: [file for file in incoming.glob("*.part") if file.stat().st_size])
        api.kill()
        killed = time.monotonic()
        assert studies.house.row(search)["state"] == "running"
        api.start()
        print(f"the API answered {time.monotonic() - killed:.1f} s after it was killed")  # noqa: T201
        again = client.post("/v1/searches", json=body, headers={"Idempotency-Key": "k"})
        assert again.json()["id"] == search  # whoever got no answer may ask again
        row = studies.ends(search)
    for wait in waits:
        wait()
    sending.close()
    assert (row["state"], row["attempt"], row["message"]) == ("done", 1, "")
    expected, trials = studies.undisturbed()
    assert (studies.result(search), studies.trials(search)) == (expected, trials)
    stored = client.get(f"/v1/searches/{search}/events", params={"limit": 100}).json()["items"]
    assert [one["trial"] for one in stored if one["kind"] == "trial"] == [number for number, _ in trials]
    for one in told:
        seen = [data for kind, data in one if kind not in ("progress", "end")]
        assert seen == stored  # each once, in order
        assert one[-1] == ("end", {"state": "done"})
    found = client.get(f"/v1/datasets/{fresh}").json()
    assert (found["state"], found["bytes"], found["problem"]) == ("failed", 0, BROKEN)
    assert list(incoming.iterdir()) == []
    content = f"/v1/datasets/{fresh}/content?format=csv"
    sent = client.put(content, content=table, headers={"Content-Digest": digest_header(table)})
    assert (sent.status_code, sent.json()["rows"]) == (200, 178)


def half_sent(api: Api, token: str, dataset: str, table: bytes) -> Any:
    """A connection on which half of a table came."""

    address = httpx.URL(api.url)
    opened = socket.create_connection((address.host, address.port or 80), 60)
    lines = (
        f"PUT /v1/datasets/{dataset}/content?format=csv HTTP/1.1",
        "Host: 127.0.0.1",
        f"Authorization: Bearer {token}",
        f"Content-Length: {len(table)}",
        f"Content-Digest: {digest_header(table)}",
    )
    opened.sendall("".join(f"{line}\r\n" for line in (*lines, "")).encode() + table[: len(table) // 2])
    return opened
