"""A disk that is full while an upload comes or is converted: one answer, nothing half kept."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from services.uploads import receiving
from tests.services.api.serving import Running, serving, upload


@pytest.fixture
def small(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Running]:
    """A service whose datasets lie on a disk of 2 MB, and which believes that every disk has room."""
    if os.geteuid() != 0 or shutil.which("mount") is None:
        pytest.skip("mounting a small file system needs root")
    disk = tmp_path / "data" / "datasets"
    disk.mkdir(parents=True)
    mount = ["mount", "-t", "tmpfs", "-o", "size=2m", "tmpfs", str(disk)]
    if subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("this machine lets nobody mount")
    monkeypatch.setattr(receiving, "KEPT_FREE", -(10**9))
    try:
        with serving(tmp_path, max_upload=20_000_000) as running:
            yield running
    finally:
        subprocess.run(["umount", "--lazy", str(disk)], check=True)


def table(rows: int) -> bytes:
    """Numbers that do not compress."""
    lines = [",".join(f"{(n * 7919 + k * 104729) % 1_000_003 / 1e6:.6f}" for k in range(4)) for n in range(rows)]
    return "\n".join(["a,b,c,d", *lines]).encode()


@pytest.mark.parametrize(("rows", "when"), [(90_000, "it comes"), (45_000, "it is converted")])
def test_an_upload_that_finds_no_room_is_told_and_not_kept(small: Running, rows: int, when: str) -> None:
    content, disk = table(rows), small.settings.datasets
    assert (len(content) > 2 << 20) is (when == "it comes")
    with small.client() as client:
        refused = upload(client, content)
        assert (refused.status_code, refused.json()["detail"]) == (507, receiving.NO_ROOM), refused.text
        (found,) = client.get("/v1/datasets").json()["items"]
        assert (found["state"], found["bytes"], found["problem"]) == ("failed", 0, receiving.NO_ROOM)
        assert [path for path in disk.rglob("*") if path.is_file()] == []
        subprocess.run(["mount", "-o", "remount,size=64m", str(disk)], check=True)
        again = client.put(
            f"/v1/datasets/{found['id']}/content?format=csv", content=content, headers=dict(refused.request.headers)
        )
        assert (again.status_code, again.json()["rows"]) == (200, rows), again.text
