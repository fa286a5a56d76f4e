"""Uploads whose API was killed: nothing half-written stays, and their datasets say so; those of others go on."""

from __future__ import annotations

from pathlib import Path

import pytest
from sqlalchemy import update

from services import schema
from services.api.left import BROKEN, clear_left
from services.api.service import Service
from services.uploads.exclusive import Exclusive
from tests.services.api.serving import TABLE, Running, upload


@pytest.mark.parametrize("state", ["receiving", "converting"])
@pytest.mark.parametrize("held", [False, True])
def test_what_a_killed_api_left_is_removed_and_told(running: Running, state: str, held: bool) -> None:
    service: Service = running.app.state.service
    incoming = running.settings.incoming
    with running.client() as client:
        dataset = client.post("/v1/datasets", json={"name": "broken off"}).json()["id"]
        ready = upload(client, TABLE.encode()).json()["id"]
        awaited = update(schema.dataset).where(schema.dataset.c.id == dataset).values(state=state, bytes=10**6)
        running.database.run(lambda connection: connection.execute(awaited))
        half = Path(f"{incoming / dataset}-{'e' * 32}.part")
        half.write_bytes(b"half")
        (incoming / f"{half.stem}-x7").mkdir()
        (incoming / f"{half.stem}-x7" / "table.parquet").write_bytes(b"half")
        (incoming / f"{dataset}.lock").touch()  # of the killed process
        receiver = Exclusive(incoming / f"{dataset}.lock")
        if held:
            assert receiver.take()
        clear_left(service)
        found = client.get(f"/v1/datasets/{dataset}").json()
        if held:
            assert (found["state"], half.exists()) == (state, True)
            receiver.leave()
            clear_left(service)
            found = client.get(f"/v1/datasets/{dataset}").json()
        assert (found["state"], found["bytes"], found["problem"]) == ("failed", 0, BROKEN)
        assert [path for path in incoming.iterdir() if path.name.startswith(dataset)] == []
        assert client.get(f"/v1/datasets/{ready}").json()["state"] == "ready"
